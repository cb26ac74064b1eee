"""A container's terminal: its other end is sent to --console-socket, or shown on ours meanwhile."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from wardian.errors import InvalidInput, SetupError
from wardian.linux import process

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_CHUNK = 1 << 14


class Console:
    """``theirs`` is where the process sends its terminal's other end; ``ours`` whence we get it."""

    def __init__(
        self, theirs: socket.socket | None = None, ours: socket.socket | None = None
    ) -> None:
        self.theirs = theirs
        self._ours = ours
        self._master: int | None = None

    @classmethod
    @contextmanager
    def open(cls, path: str, *, is_wanted: bool, is_detached: bool) -> Iterator[Console]:
        """Who wants a terminal has somebody to show it; InvalidInput if not."""
        if bool(path) > is_wanted:
            raise InvalidInput("--console-socket without a terminal", hint="set process.terminal")
        if is_wanted and not path and is_detached:
            raise InvalidInput("a terminal needs --console-socket, as nobody is here to show it")
        if not is_wanted:
            yield cls()
            return
        sockets = [_connected(path)] if path else list(socket.socketpair())
        try:
            yield cls(*sockets)
        finally:
            for each in sockets:
                each.close()

    def wait(self, host_pid: int) -> int:
        """A child's exit code, 128+n after signal n. Our signals go to it, its terminal to us."""
        for number in FORWARDED:
            signal.signal(number, lambda received, _: os.kill(host_pid, received))
        if self._master is not None:
            with _raw(0), _same_size(self._master):
                _relay(self._master, process.pidfd_open(host_pid))
        _, status = os.waitpid(host_pid, 0)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def take(self) -> None:
        """Take the terminal that is to be shown here, before the program looks at its size."""
        if self._ours is None:
            return
        _, fds, _, _ = socket.recv_fds(self._ours, 64, 1)
        if not fds:
            raise SetupError("the container's process sent no terminal")
        self._master = fds[0]
        _resize(self._master)


def _connected(path: str) -> socket.socket:
    console = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        console.connect(path)
    except OSError as error:
        console.close()
        raise InvalidInput(f"cannot connect to {path}: {error.strerror}") from error
    return console


@contextmanager
def _raw(fd: int) -> Iterator[None]:
    """Keys go through as they are, if we have a terminal."""
    if not os.isatty(fd):
        yield
        return
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


@contextmanager
def _same_size(master: int) -> Iterator[None]:
    """The container's terminal is as large as ours, when ours changes too."""
    before = signal.signal(signal.SIGWINCH, lambda *_: _resize(master))
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def _resize(master: int) -> None:
    with suppress(OSError):  # we have no terminal
        size = fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8)
        fcntl.ioctl(master, termios.TIOCSWINSZ, size)


def _relay(master: int, pidfd: int) -> None:
    """Copy both ways until the process has ended and all that it wrote is out."""
    poll = select.poll()
    for fd in (0, master, pidfd):
        poll.register(fd, select.POLLIN)
    has_ended = False
    while True:
        ready = dict(poll.poll(0 if has_ended else None))
        if master in ready and not _copy(master, 1):
            return
        if master not in ready and has_ended:
            return
        if 0 in ready and not _copy(0, master):
            poll.unregister(0)
        if pidfd in ready:
            has_ended = True
            poll.unregister(pidfd)


def _copy(source: int, target: int) -> bool:
    """What is there, once; False at the end (a terminal nobody has open gives EIO)."""
    try:
        data = os.read(source, _CHUNK)
        is_more = bool(data)
        while data:
            data = data[os.write(target, data) :]
    except OSError:
        return False
    return is_more
