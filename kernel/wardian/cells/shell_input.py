"""A shell's standard input: a pipe that is at its end until somebody asks the user."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

from wardian.cells.family import waits_for_input
from wardian.cells.guest.frames import READ_BYTES

FIRST_LOOK_S = 0.03
LONGEST_PAUSE_S = 0.25

Ask = Callable[[str, bool], Awaitable[str]]


class ShellInput:
    """The pipe and the one who asks.

    A pipe without a writer is at its end; opened for writing again through /proc it is not. So a
    cell whose frontend takes no input sees the end at once, and the user can give one.
    """

    def __init__(self) -> None:
        self.read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        os.close(write_fd)
        self._inode = os.fstat(self.read_fd).st_ino
        self._write_fd = -1
        self._watch: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._ask: Ask | None = None

    def begin(self, host_pid: int, ask: Ask | None) -> None:
        """A cell starts; with ``ask`` its frontend can be asked for lines."""
        self._forget_lines()
        self._ask = ask
        if ask is not None:
            self._write_fd = os.open(f"/proc/self/fd/{self.read_fd}", os.O_WRONLY | os.O_CLOEXEC)
            self._watch = asyncio.get_running_loop().create_task(self._look_for_readers(host_pid))

    def end(self) -> None:
        """The cell is over: whoever still reads gets the end of input."""
        for task in (self._watch, self._asking):
            if task is not None:
                task.cancel()
        self._watch = self._asking = self._ask = None
        self._close_writer()

    def ask(self, prompt: str, *, is_password: bool) -> None:
        """Ask for a line unless that is being done."""
        if self._ask is not None and self._write_fd >= 0 and self._asking is None:
            answer = self._put_line(self._ask, prompt, is_password=is_password)
            self._asking = asyncio.get_running_loop().create_task(answer)

    def close(self) -> None:
        """Close the pipe."""
        self.end()
        if self.read_fd >= 0:
            os.close(self.read_fd)
            self.read_fd = -1

    async def _put_line(self, ask: Ask, prompt: str, *, is_password: bool) -> None:
        try:
            line = await ask(prompt, is_password)
        except EOFError:
            self._close_writer()
            return
        finally:
            self._asking = None
        if self._write_fd >= 0:
            data = (line + "\n").encode("utf-8", "surrogateescape")
            await asyncio.to_thread(_write_all, os.dup(self._write_fd), data)

    async def _look_for_readers(self, host_pid: int) -> None:
        """Programs that read without saying so; the first look is soon, the later ones rarer."""
        pause_s = FIRST_LOOK_S
        while self._write_fd >= 0:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
            if self._asking is None and waits_for_input(host_pid, self._inode):
                self.ask("", is_password=False)
                pause_s = FIRST_LOOK_S

    def _forget_lines(self) -> None:
        os.set_blocking(self.read_fd, False)
        with suppress(BlockingIOError):
            while os.read(self.read_fd, READ_BYTES):
                pass
        os.set_blocking(self.read_fd, True)

    def _close_writer(self) -> None:
        if self._write_fd >= 0:
            os.close(self._write_fd)
            self._write_fd = -1


def _write_all(fd: int, data: bytes) -> None:
    try:
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)
