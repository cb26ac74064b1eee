"""The values of docker's flags, from text to what the runtime takes. All raise InvalidInput."""

from __future__ import annotations

import os
import re
import signal
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from wardian.cgroups.limits import parse_size
from wardian.errors import InvalidInput
from wardian.runtime.spec import Bind, Tmpfs, Ulimit

T = TypeVar("T")
RTMIN = 34  # what a libc leaves of the kernel's 32 and up (signal(7)); musl's and Go's too
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)", re.ASCII)
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
# What is not named here of nosuid, nodev and rro is always so.
_VOLUME_OPTIONS = (
    "ro",
    "rro",
    "rw",
    "noexec",
    "nosuid",
    "nodev",
    "bind",
    "rbind",
    "z",
    "Z",
)
PROPAGATION = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
_VOLUME_HINT = "write it like /on/the/host:/in/the/container or …:ro"


def volume(word: str) -> Bind:
    """``-v host:container[:ro]``; named volumes do not exist yet."""
    source, colon, rest = word.partition(":")
    target, _, options = rest.partition(":")
    if not colon or not source or not target:
        raise InvalidInput(f"not a volume: {word[:80]!r}", hint=_VOLUME_HINT)
    if "/" not in source:
        raise InvalidInput(
            f"named volumes are not supported: {source[:80]}",
            hint="give a directory of the host, such as ./data",
        )
    chosen = [option for option in options.split(",") if option]
    for option in chosen:
        if option not in (*_VOLUME_OPTIONS, *PROPAGATION):
            raise InvalidInput(
                f"unknown volume option: {option[:40]}",
                hint=f"use {', '.join((*_VOLUME_OPTIONS[:7], *PROPAGATION))}",
            )
    bind = _bind(
        source,
        target,
        read_only=not {"ro", "rro"}.isdisjoint(chosen),
        recursive="bind" not in chosen,
    )
    kinds = [option for option in chosen if option in PROPAGATION]
    return replace(
        bind, no_exec="noexec" in chosen, propagation=kinds[-1] if kinds else bind.propagation
    )


def _bind(source: str, target: str, *, read_only: bool, recursive: bool = True) -> Bind:
    path = os.path.abspath(os.path.expanduser(source))
    if not os.path.exists(path):
        raise InvalidInput(f"no such file or directory on the host: {path}", hint="create it first")
    return Bind(source=path, target=_inside(target), read_only=read_only, recursive=recursive)


def _inside(target: str) -> str:
    if not target.startswith("/") or os.path.normpath(target) == "/":
        raise InvalidInput(
            f"cannot mount at {target[:80]!r}",
            hint="give an absolute path, not / itself",
        )
    return os.path.normpath(target)


def mount(word: str) -> Bind | Tmpfs:
    """``--mount type=bind,src=…,dst=…[,readonly]`` or ``type=tmpfs,dst=…[,tmpfs-size=…]``."""
    options = {}
    for part in word.split(","):
        key, equals, value = part.partition("=")
        options[key.strip().lower()] = value if equals else "true"
    kind = options.pop("type", "volume")
    target = _take(options, "target", "dst", "destination")
    if not target:
        raise InvalidInput("the mount has no target", hint="add dst=/in/the/container")
    if kind == "bind":
        source = _take(options, "source", "src")
        if not source:
            raise InvalidInput("the bind mount has no source", hint="add src=/on/the/host")
        read_only = _is_true(_take(options, "readonly", "ro") or "false")
        recursive = not _is_true(_take(options, "bind-nonrecursive") or "false")
        bind = _bind(source, target, read_only=read_only, recursive=recursive)
        bind = replace(bind, propagation=_propagation(_take(options, "bind-propagation")))
        made: Bind | Tmpfs = _to_depth(bind, _take(options, "bind-recursive"))
    elif kind == "tmpfs":
        size, mode = _take(options, "tmpfs-size"), _take(options, "tmpfs-mode")
        made = _tmpfs(target, size, mode)
    else:
        raise InvalidInput(f"unknown mount type: {kind[:40]}", hint="use type=bind or type=tmpfs")
    if options:
        raise InvalidInput(f"unknown mount option: {min(options)[:40]}")
    return made


def _propagation(word: str | None) -> str:
    if word is not None and word not in PROPAGATION:
        raise InvalidInput(
            f"unknown propagation: {word[:40]}", hint=f"use {', '.join(PROPAGATION)}"
        )
    return word or "rprivate"


def _to_depth(bind: Bind, word: str | None) -> Bind:
    """``bind-recursive``: what a read-only bind means for what is mounted below it."""
    if word in (None, "enabled", "readonly"):
        return bind
    if word == "disabled":
        return replace(bind, recursive=False)
    if word == "writable":
        return replace(bind, only_top_is_read_only=True)
    raise InvalidInput(
        f"not a choice for bind-recursive: {str(word)[:40]}",
        hint="use enabled, disabled, writable or readonly",
    )


def _take(options: dict[str, str], *names: str) -> str | None:
    found = [options.pop(name) for name in names if name in options]
    return found[-1] if found else None


def _is_true(word: str) -> bool:
    if word.lower() not in ("true", "1", "false", "0"):
        raise InvalidInput(f"neither true nor false: {word[:40]!r}")
    return word.lower() in ("true", "1")


def tmpfs(word: str) -> Tmpfs:
    """``--tmpfs /path[:size=64m,mode=1777]``; options that are always in force are accepted."""
    target, _, rest = word.partition(":")
    size = mode = None
    owner = {"uid": 0, "gid": 0}
    inodes: int | None = None
    words = {"exec": False, "ro": False}
    for option in filter(None, rest.split(",")):
        key, _, value = option.partition("=")
        if key == "size":
            size = value
        elif key == "mode":
            mode = value
        elif key in owner:
            if not re.fullmatch(r"[0-9]{1,9}", value):
                raise InvalidInput(f"not a {key}: {value[:40]!r}", hint="write it as a number")
            owner[key] = int(value)
        elif key == "nr_inodes" and re.fullmatch(r"[1-9][0-9]{0,14}", value):
            inodes = int(value)
        elif option in ("exec", "noexec"):
            words["exec"] = option == "exec"
        elif option in ("ro", "rw"):
            words["ro"] = option == "ro"
        elif option not in ("nosuid", "nodev", "noatime", "relatime"):
            raise InvalidInput(
                f"unknown tmpfs option: {option[:40]}",
                hint="use size=, mode=, uid=, gid=, nr_inodes=, exec and ro",
            )
    made = replace(_tmpfs(target, size, mode), uid=owner["uid"], gid=owner["gid"])
    return replace(made, inodes=inodes, exec=words["exec"], read_only=words["ro"])


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


def shm(size: str) -> Tmpfs:
    """``--shm-size``: a tmpfs over the usual /dev/shm of 64 MiB."""
    size_bytes = parse_size(size)
    if not size_bytes or size_bytes < 0:
        raise InvalidInput(f"not a size for /dev/shm: {size[:40]!r}", hint="write it like 256m")
    return Tmpfs(target="/dev/shm", size_bytes=size_bytes)  # noqa: S108  # the container's


def _tmpfs(target: str, size: str | None, mode: str | None) -> Tmpfs:
    if mode is not None and not re.fullmatch(r"[0-7]{1,4}", mode):
        raise InvalidInput(f"not a mode: {mode[:40]!r}", hint="write it in octal, like 1777")
    return Tmpfs(
        target=_inside(target),
        size_bytes=None if size is None else parse_size(size),
        mode=0o1777 if mode is None else int(mode, 8),
    )


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


def seccomp(words: Iterable[str]) -> str:
    """``--security-opt seccomp=…``: ``default``, ``unconfined`` or a profile's JSON."""
    chosen = "default"
    for word in words:
        key, _, value = (word if "=" in word else word.replace(":", "=", 1)).partition("=")
        if key == "seccomp":
            chosen = value if value in ("unconfined", "default") else _profile(value)
        elif key == "no-new-privileges":
            if not _is_true(value or "true"):
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


def signal_number(word: str) -> int:
    """``SIGTERM``, ``term``, ``15``, or a real-time signal such as ``SIGRTMIN+3`` (signal(7))."""
    name = word.strip().upper().removeprefix("SIG")
    found: int | None = None
    if re.fullmatch(r"[0-9]{1,2}", name):
        found = int(name)
    elif real_time := re.fullmatch(r"(RTMIN\+|RTMAX-)([0-9]{1,2})", name):
        away = int(real_time[2])
        found = RTMIN + away if real_time[1] == "RTMIN+" else signal.SIGRTMAX - away
        found = found if found >= RTMIN else None
    else:
        found = signal.Signals.__members__.get(f"SIG{name}")
    is_one = found in signal.valid_signals() or found in range(RTMIN, signal.SIGRTMAX + 1)
    if found is None or not is_one:
        raise InvalidInput(f"not a signal: {word[:40]!r}", hint="write it like SIGTERM or 15")
    return int(found)


def signal_name(number: int) -> str:
    """``SIGTERM``, ``SIGRTMIN+3``."""
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"SIGRTMIN+{number - RTMIN}" if number > RTMIN else str(number)


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


@dataclass(frozen=True, slots=True)
class Filter:
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
