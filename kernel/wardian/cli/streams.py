"""The main process's streams, joined to ours: what ``run``, ``start -a`` and ``attach`` follow."""

from __future__ import annotations

import os
import select
from collections.abc import Collection, Sequence
from contextlib import suppress

from wardian.cli.foreground import Terminal
from wardian.errors import WardianError
from wardian.runtime.container import Container

_CHUNK = 1 << 16


class Streams:
    """Descriptors as `Container.join` gives them; a context manager that closes them.

    ``was_detached`` after `follow`: the detach keys were typed, and the container goes on.
    """

    def __init__(
        self,
        container: Container,
        given: Sequence[int],
        *,
        reads_input: bool,
        keys: bytes,
        shown: Collection[str],
    ) -> None:
        self._container = container
        self._given = tuple(given)
        self._has_terminal = container.info.spec.tty
        self._reads_input = reads_input
        self._keys = keys
        self._targets = [
            number if name in shown else None for number, name in ((1, "stdout"), (2, "stderr"))
        ]
        self.was_detached = False

    def follow(self) -> None:
        """Until the container ends or is detached from. A new keeper is joined like the old one."""
        try:
            while True:
                self._copy()
                if self.was_detached or not self._join_again():
                    return
        finally:
            self._close()

    def _join_again(self) -> bool:
        """Whether it goes on: then its streams ended because the keeper did."""
        self._close()
        with suppress(WardianError):
            if self._container.info.host_pid is not None:
                self._given = self._container.join()
                return True
        return False

    def _copy(self) -> None:
        if self._has_terminal:
            shown, master = self._given
            terminal = Terminal(
                master, interactive=self._reads_input, keys=self._keys, source=shown
            )
            terminal.join()
            self.was_detached = terminal.was_detached
        else:
            self._copy_pipes(*self._given[:2])

    def _copy_pipes(self, out: int, err: int) -> None:
        targets = dict(zip((out, err), self._targets, strict=True))
        poll = select.poll()
        for fd in targets:
            poll.register(fd, select.POLLIN)
        program = self._given[2] if len(self._given) > 2 and self._reads_input else None
        typed = b""
        if program is not None:
            poll.register(0, select.POLLIN)
        while targets:
            for fd, _ in poll.poll():
                if fd in targets:
                    if not _pass_on(fd, targets[fd]):
                        poll.unregister(fd)
                        del targets[fd]
                elif fd == 0:
                    typed = os.read(0, select.PIPE_BUF)
                    poll.unregister(0)
                    if typed and program is not None:
                        poll.register(program, select.POLLOUT)
                elif program is not None:  # a pipe that takes any takes PIPE_BUF (pipe(7))
                    poll.unregister(program)
                    with suppress(OSError):  # the program has closed its stdin
                        os.write(program, typed)
                        poll.register(0, select.POLLIN)

    def _close(self) -> None:
        for fd in self._given:
            os.close(fd)
        self._given = ()


def _pass_on(source: int, target: int | None) -> bool:
    """A chunk, be it for nobody; False at the end."""
    data = os.read(source, _CHUNK)
    rest = memoryview(data)
    while rest and target is not None:
        rest = rest[os.write(target, rest) :]
    return bool(data)
