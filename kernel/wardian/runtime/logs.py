"""What a container's main process prints, kept as docker's json-file does."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from wardian.cgroups.limits import parse_size
from wardian.errors import InvalidInput

MAX_FILE_BYTES = 16 << 20
MAX_FILES = 2
NAME = "log.jsonl"


class LogPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept: ``max_files`` files of ``max_bytes``, the current one among them.

    ``driver`` is the word that was asked for: json-file and local are the same here, none keeps
    nothing. Unlike docker's, the default has a bound. ``labels`` and ``env`` name what
    `wardian logs --details` tells of the container.
    """

    driver: str = "json-file"
    max_bytes: int = MAX_FILE_BYTES
    max_files: int = MAX_FILES
    labels: tuple[str, ...] = ()
    env: tuple[str, ...] = ()

    @classmethod
    def parse(cls, driver: str, options: Sequence[str]) -> LogPolicy:
        """Of docker's ``--log-driver`` and ``--log-opt``. Raises InvalidInput."""
        if driver not in ("json-file", "local", "none"):
            raise InvalidInput(
                f"unknown log driver: {driver[:40]}", hint="use json-file, local or none"
            )
        given = dict(option.partition("=")[::2] for option in options)
        if unknown := given.keys() - {"max-size", "max-file", "labels", "env"}:
            raise InvalidInput(
                f"unknown log option: {min(unknown)[:40]!r}",
                hint="use max-size=10m, max-file=3, labels=NAME,… or env=NAME,…",
            )
        if given and driver == "none":
            raise InvalidInput("the log driver none has no options", hint="leave out --log-opt")
        return cls(
            driver=driver,
            labels=_names(given.get("labels", "")),
            env=_names(given.get("env", "")),
            **_sizes(given),
        )


def _names(words: str) -> tuple[str, ...]:
    return tuple(filter(None, words.split(",")))


def _sizes(given: Mapping[str, str]) -> dict[str, Any]:
    sizes: dict[str, Any] = {}
    if "max-size" in given:
        size = parse_size(given["max-size"])
        if size < 1:
            raise InvalidInput(f"not a size of a log: {given['max-size'][:40]!r}", hint="like 10m")
        sizes["max_bytes"] = size
    if "max-file" in given:
        word = given["max-file"]
        if not re.fullmatch(r"[1-9][0-9]{0,2}", word):
            raise InvalidInput(f"not a number of log files: {word[:40]!r}", hint="write 1 to 999")
        sizes["max_files"] = int(word)
    return sizes


USUAL = LogPolicy()


class LogLine(msgspec.Struct, frozen=True):
    """One piece of output: seconds since the epoch, ``stdout`` or ``stderr``, text."""

    time: float
    stream: str
    log: str


class LogWriter:
    """Appends to ``log.jsonl``; when that is full it becomes ``.1``, that ``.2`` and so on."""

    def __init__(self, home: Path, policy: LogPolicy = USUAL) -> None:
        self._path = home / NAME
        self._policy = policy

    def write(self, stream: str, data: bytes) -> None:
        """Keep a piece of output. Output that cannot be kept (disk full) is dropped."""
        if self._policy.driver == "none":
            return
        line = LogLine(time.time(), stream, data.decode(errors="replace"))
        try:
            with open(self._path, "ab", opener=_for_us_alone) as file:
                file.write(msgspec.json.encode(line) + b"\n")
                size = file.tell()
            if size > self._policy.max_bytes:
                self._rotate()
        except OSError:
            return

    def _rotate(self) -> None:
        for number in range(self._policy.max_files - 1, 0, -1):
            older = f"{self._path}.{number}"
            newer = f"{self._path}.{number - 1}" if number > 1 else self._path
            with suppress(FileNotFoundError):
                os.replace(newer, older)
        if self._policy.max_files == 1:
            self._path.unlink()


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def files(home: Path) -> list[Path]:
    """A container's log files that are there, oldest first."""
    numbered = [
        (int(path.suffix[1:]), path)
        for path in home.glob(f"{NAME}.*")
        if path.suffix[1:].isdecimal()
    ]
    older = [path for _, path in sorted(numbered, reverse=True)]
    return [*older, *([home / NAME] if (home / NAME).exists() else [])]


def read(home: Path) -> Iterator[LogLine]:
    """Everything kept of a container's output, oldest first."""
    decode = msgspec.json.Decoder(LogLine).decode
    opened = []
    for path in files(home):  # all before the first is read: a rotation meanwhile renames them
        with suppress(FileNotFoundError):
            opened.append(open(path, "rb"))  # noqa: SIM115  # closed below
    seen = set()
    for file in opened:
        with file:
            inode = os.fstat(file.fileno()).st_ino
            if inode in seen:
                continue
            seen.add(inode)
            for line in file:
                if line.endswith(b"\n"):  # the last may still be on its way
                    yield decode(line)
