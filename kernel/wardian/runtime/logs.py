"""What a container's main process prints, kept as docker's json-file does."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

MAX_FILE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class LogLine:
    """One piece of output: seconds since the epoch, ``stdout`` or ``stderr``, text."""

    time: float
    stream: str
    log: str


class LogWriter:
    """Appends to ``log.jsonl``; at 16 MiB the file becomes ``log.jsonl.1`` and a new one starts."""

    def __init__(self, home: Path) -> None:
        self._path = home / "log.jsonl"

    def write(self, stream: str, data: bytes) -> None:
        """Keep a piece of output. Output that cannot be kept (disk full) is dropped."""
        line = LogLine(time.time(), stream, data.decode(errors="replace"))
        try:
            with open(self._path, "ab") as file:
                file.write(msgspec.json.encode(line) + b"\n")
                size = file.tell()
            if size > MAX_FILE_BYTES:
                os.replace(self._path, f"{self._path}.1")
        except OSError:
            return


def read(home: Path) -> Iterator[LogLine]:
    """Everything kept of a container's output, oldest first."""
    decode = msgspec.json.Decoder(LogLine).decode
    for path in (home / "log.jsonl.1", home / "log.jsonl"):
        with suppress(FileNotFoundError), open(path, "rb") as file:
            for line in file:
                if line.endswith(b"\n"):  # the last may still be on its way
                    yield decode(line)
