"""``wardian logs``: what a container's main process has printed."""

from __future__ import annotations

import math
import os
import select
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from wardian.cli.params import container_argument
from wardian.cli.program import Command
from wardian.errors import FailedPrecondition, NotFound
from wardian.runtime.logs import LogLine, files

if TYPE_CHECKING:
    from wardian.runtime.container import Container
    from wardian.runtime.spec import ContainerSpec

_POLL_MS = 100
_decode = msgspec.json.Decoder(LogLine).decode


@click.command(cls=Command)
@click.option("-f", "--follow", is_flag=True, help="Go on until the container ends.")
@click.option("-n", "--tail", default="all", metavar="N", help="Only the last N lines.")
@click.option("--since", metavar="TIME", help="Like 10m, or 2026-01-31T12:00:00.")
@click.option("--until", metavar="TIME", help="Nothing from after that; likewise.")
@click.option("--details", is_flag=True, help="The labels and variables that --log-opt names.")
@click.option("-t", "--timestamps", is_flag=True, help="Print when each line was printed.")
@container_argument
def logs(
    *,
    name: str,
    follow: bool,
    tail: str,
    since: str | None,
    until: str | None,
    details: bool,
    timestamps: bool,
) -> None:
    """Print what a container's main process has printed, stderr to stderr.

    \b
    wardian logs --follow --tail 20 web
    wardian logs --since 10m --timestamps web
    """  # noqa: D301
    from wardian.cli.words import moment
    from wardian.runtime.client import Client

    last = count(tail)
    now_s = time.time()
    span = Span(
        0.0 if since is None else moment(since, now_s=now_s),
        math.inf if until is None else moment(until, now_s=now_s),
    )
    with Client.connect() as client:
        container = client.container(name)
        if container.info.spec.log.driver == "none":
            raise FailedPrecondition(
                f"nothing is kept of what {name} prints: its log driver is none",
                hint="create it without --log-driver none",
            )
        noted = _details(container.info.spec) if details else ""
        reader = LogReader(container, timestamps=timestamps, details=noted)
        reader.print_kept(last=last, span=span)
        if follow:
            reader.follow(span=span)


def _details(spec: ContainerSpec) -> str:
    """``key=value,… `` as docker's: of the labels and variables that --log-opt names."""
    env = spec.process.env if spec.process else {}
    found = {name: spec.labels[name] for name in spec.log.labels if name in spec.labels}
    found |= {name: env[name] for name in spec.log.env if name in env}
    return ",".join(f"{name}={value}" for name, value in sorted(found.items())) + " "


def count(tail: str) -> int | None:
    """``--tail``: a number, or None for ``all``."""
    from wardian.errors import InvalidInput

    if tail == "all":
        return None
    if not (tail.isascii() and tail.isdigit()):
        raise InvalidInput(f"not a number of lines: {tail[:40]!r}", hint="write 100 or all")
    return int(tail)


class Span(msgspec.Struct, frozen=True):
    """A time in which output counts, in seconds since the epoch."""

    since_s: float = 0.0
    until_s: float = math.inf

    def has(self, line: LogLine) -> bool:
        """Whether it was printed then."""
        return self.since_s <= line.time <= self.until_s


ALWAYS = Span()


class LogReader:
    """Reads a container's log from the start or from where it has come to.

    The writer appends to ``log.jsonl`` and now and then renames it, so the file that was read last,
    known by its inode, is read to its end before those that came after.
    """

    def __init__(
        self,
        container: Container,
        *,
        timestamps: bool = False,
        details: str = "",
        prefix: str = "",
    ) -> None:
        self._container = container
        info = container.info
        self._path = Path(info.log_directory) / "log.jsonl"
        self._offset = 0
        self._inode = 0
        self._rest = b""
        self._printer = Printer(timestamps=timestamps, details=details, prefix=prefix)

    def print_kept(self, *, last: int | None, span: Span = ALWAYS) -> None:
        """Print what is there of a time: the ``last`` lines at most."""
        lines = (line for line in self._new_lines() if span.has(line))
        pieces = _by_line(lines)
        for piece in pieces if last is None else deque(pieces, maxlen=last):
            self._printer.print(piece)
        self._printer.flush()

    def follow(self, *, span: Span = ALWAYS) -> None:
        """Print what comes, until the container has ended or the time is over."""
        while not self.step(span=span):
            select.select([], [], [], _POLL_MS / 1000)

    def step(self, *, span: Span = ALWAYS) -> bool:
        """Print what has come; whether that was all."""
        is_over = (
            time.time() > span.until_s or not self._is_running()
        )  # asked first: what it printed last is read after
        for line in self._new_lines():
            if span.has(line):
                self._printer.print(line)
        self._printer.flush()
        return is_over

    def _is_running(self) -> bool:
        try:
            return self._container.info.host_pid is not None
        except NotFound:
            return False

    def _new_lines(self) -> Iterator[LogLine]:
        """What was written since, in the file that was read last and in those after it."""
        opened = []
        for path in files(self._path.parent):
            with suppress(FileNotFoundError):  # a rotation meanwhile
                opened.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        inodes = [os.fstat(fd).st_ino for fd in opened]
        first = inodes.index(self._inode) if self._inode in inodes else 0
        try:
            for fd in opened[first:]:
                yield from self._read_on(fd)
        finally:
            for fd in opened:
                os.close(fd)

    def _read_on(self, fd: int) -> Iterator[LogLine]:
        inode = os.fstat(fd).st_ino
        if inode != self._inode:
            self._inode, self._offset, self._rest = inode, 0, b""
        while data := os.pread(fd, 1 << 16, self._offset):
            self._offset += len(data)
            *whole, self._rest = (self._rest + data).split(b"\n")
            for line in whole:
                yield _decode(line)


def _by_line(pieces: Iterator[LogLine]) -> Iterator[LogLine]:
    """The same output cut at line ends, so that ``--tail`` counts lines and not writes."""
    for piece in pieces:
        for text in piece.log.splitlines(keepends=True):
            yield LogLine(piece.time, piece.stream, text)


class Printer:
    """Prints output to our stream of the same name, each line with its time if asked.

    ``details`` come after the time. With a ``prefix`` every piece begins a line and ends one.
    """

    def __init__(self, *, timestamps: bool, details: str = "", prefix: str = "") -> None:
        self._timestamps = timestamps
        self._details = details
        self._prefix = prefix

    def print(self, line: LogLine) -> None:
        """Print one piece."""
        from wardian.cli.format import timestamp

        target = sys.stderr if line.stream == "stderr" else sys.stdout
        text = line.log
        before = (f"{timestamp(line.time)} " if self._timestamps else "") + self._details
        if before:
            text = "".join(f"{before}{part}" for part in text.splitlines(keepends=True))
        if self._prefix:
            text = "".join(f"{self._prefix}{part}\n" for part in text.splitlines())
        target.write(text)

    def flush(self) -> None:
        """Show what was printed."""
        sys.stdout.flush()
        sys.stderr.flush()
