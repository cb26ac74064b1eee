"""The values of docker's flags, from text to what the runtime takes. All raise InvalidInput."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from wardian.errors import InvalidInput

if TYPE_CHECKING:
    from wardian.runtime.spec import Ulimit

T = TypeVar("T")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)", re.ASCII)
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def host(word: str) -> tuple[str, str]:
    """``--add-host NAME:IP`` (or ``NAME=IP``): the name and the address."""
    import ipaddress

    found = re.fullmatch(r"([A-Za-z0-9_.-]{1,253})[:=](.+)", word)
    hint = "write it like db:10.0.0.2"
    if found is None:
        raise InvalidInput(f"not a host and its address: {word[:80]!r}", hint=hint)
    try:
        address = ipaddress.ip_address(found[2].removeprefix("[").removesuffix("]"))
    except ValueError:
        raise InvalidInput(f"not an IP address: {found[2][:80]!r}", hint=hint) from None
    return found[1], str(address)


def environment(words: Iterable[str], files: Iterable[str] = ()) -> dict[str, str]:
    """``-e NAME=value`` (``-e NAME``: the caller's value, if it has one) over ``--env-file``s."""
    lines = [line for path in files for line in _lines(path, "environment")]
    return pairs((*lines, *words), "an environment variable", or_ours=True)


def pairs(words: Iterable[str], what: str, *, or_ours: bool = False) -> dict[str, str]:
    """``NAME=value``; if ``or_ours``, also ``NAME``: the caller's own variable, if it has one."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or "\0" in word or name != name.strip() or not (equals or or_ours):
            raise InvalidInput(f"not {what}: {word[:60]!r}", hint="write it like NAME=value")
        if equals:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    return found


def _lines(path: str, kind: str) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"cannot read the {kind} file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the {kind} file {path} is not UTF-8") from error
    lines = (line.lstrip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def labels(words: Iterable[str], files: Iterable[str] = ()) -> dict[str, str]:
    """``--label key=value`` over ``--label-file``s; without ``=`` the value is empty."""
    found = {}
    for word in (*(line for path in files for line in _lines(path, "label")), *words):
        key, _, value = word.partition("=")
        if not key:
            raise InvalidInput(f"not a label: {word[:40]!r}", hint="write it like key=value")
        found[key] = value
    return found


ULIMITS = (
    *("core", "cpu", "data", "fsize", "memlock", "msgqueue", "nice", "nofile", "nproc"),
    *("rss", "rtprio", "sigpending", "stack"),
)


def ulimits(words: Iterable[str]) -> tuple[Ulimit, ...]:
    """``--ulimit name=soft[:hard]``; the hard limit is the soft one if it is left out."""
    from wardian.runtime.spec import Ulimit

    found = {}
    for word in words:
        name, _, value = word.partition("=")
        soft, colon, hard = value.partition(":")
        if name not in ULIMITS:
            raise InvalidInput(
                f"unknown limit: {name[:40]!r}", hint=f"use one of {', '.join(ULIMITS)}"
            )
        numbers = [_ulimit(part, word) for part in (soft, hard if colon else soft)]
        if -1 != numbers[1] < numbers[0] or numbers[0] == -1 != numbers[1]:
            raise InvalidInput(f"the soft limit is above the hard one: {word[:80]}")
        found[name] = Ulimit(name=name, soft=numbers[0], hard=numbers[1])
    return tuple(found.values())


def _ulimit(part: str, word: str) -> int:
    if part in ("-1", "unlimited"):
        return -1
    if not re.fullmatch(r"[0-9]{1,18}", part):
        raise InvalidInput(f"not a limit: {word[:80]!r}", hint="write it like nofile=1024:4096")
    return int(part)


def is_true(word: str) -> bool:
    """Docker's words for a switch."""
    if word.lower() not in ("true", "1", "false", "0"):
        raise InvalidInput(f"neither true nor false: {word[:40]!r}")
    return word.lower() in ("true", "1")


def seccomp(words: Iterable[str]) -> str:
    """``--security-opt seccomp=…``: ``default``, ``unconfined`` or a profile's JSON."""
    chosen = "default"
    for word in words:
        key, _, value = (word if "=" in word else word.replace(":", "=", 1)).partition("=")
        if key == "seccomp":
            chosen = value if value in ("unconfined", "default") else _profile(value)
        elif key == "no-new-privileges":
            if not is_true(value or "true"):
                raise InvalidInput(
                    "no-new-privileges is always in force", hint="leave the option out"
                )
        else:
            raise InvalidInput(
                f"unsupported security option: {key[:40]}",
                hint="use seccomp=, systempaths=, landlock=, apparmor= or label=",
            )
    return chosen


def _profile(path: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise InvalidInput(f"cannot read the seccomp profile {path!r}: {why}") from error
    import msgspec

    try:
        profile = msgspec.json.decode(text)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"the seccomp profile {path} is not JSON: {error}") from error
    if not isinstance(profile, Mapping) or "defaultAction" not in profile:
        raise InvalidInput(f"the seccomp profile {path} has no defaultAction")
    return text


def key_sequence(text: str) -> bytes:
    """Docker's ``--detach-keys``: letters and ``ctrl-…``, with commas between. InvalidInput."""
    return bytes(_key(word) for word in text.split(","))


def _key(word: str) -> int:
    letter = word.removeprefix("ctrl-").upper()
    if word.startswith("ctrl-") and len(letter) == 1 and "@" <= letter <= "_":
        return ord(letter) - 0x40  # as a terminal encodes them (ascii(7))
    if len(word) == 1 and word.isascii():
        return ord(word)
    raise InvalidInput(
        f"not a key for --detach-keys: {word[:40]!r}", hint="write them like ctrl-p,ctrl-q"
    )


def duration_s(word: str) -> float:
    """A time as Go writes it: ``30s``, ``1m30s``, ``500ms``; ``0`` is one, too. In seconds."""
    seconds = 0.0 if word == "0" else _duration_s(word)
    if seconds is None:
        raise InvalidInput(f"not a duration: {word[:40]!r}", hint="write it like 30s or 1m30s")
    return seconds


def _duration_s(word: str) -> float | None:
    parts = _PART.findall(word)
    if not parts or "".join(number + unit for number, unit in parts) != word:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def moment(word: str, *, now_s: float) -> float:
    """``--since``: ``10m`` or ``1h30m`` ago, an RFC 3339 time, or seconds since the epoch."""
    if (ago_s := _duration_s(word)) is not None:
        return now_s - ago_s
    if re.fullmatch(r"\d+(\.\d+)?", word):
        return float(word)
    try:
        when = datetime.fromisoformat(word)
    except ValueError:
        raise InvalidInput(
            f"not a time: {word[:40]!r}", hint="write it like 10m, 1h30m or 2026-01-31T12:00:00"
        ) from None
    return when.replace(tzinfo=when.tzinfo or UTC).timestamp()


class Filter(msgspec.Struct, frozen=True):
    """``--filter key=value``."""

    key: str
    value: str


def filters(words: Iterable[str], known: Iterable[str]) -> list[Filter]:
    """Every ``--filter``; the key must be one of ``known``."""
    names = sorted(known)
    found = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in names:
            raise InvalidInput(
                f"not a filter: {word[:40]!r}", hint=f"use {', '.join(f'{n}=…' for n in names)}"
            )
        found.append(Filter(key, value))
    return found


def all_or_any(hits: Iterable[tuple[str, bool]]) -> bool:
    """Docker's rule: one of the values given for a key must fit, of labels every one."""
    by_key: dict[str, list[bool]] = defaultdict(list)
    for key, hit in hits:
        by_key[key].append(hit)
    return all(all(part) if key == "label" else any(part) for key, part in by_key.items())


def fits(one: T, wanted: Iterable[Filter], tests: Mapping[str, Callable[[T, str], bool]]) -> bool:
    """Whether something passes the filters."""
    return all_or_any((each.key, tests[each.key](one, each.value)) for each in wanted)


def has_label(labels: Mapping[str, str], wanted: str) -> bool:
    """``key``, or ``key=value``."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)
