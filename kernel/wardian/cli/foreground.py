"""A program in a container in the foreground: our descriptors, our signals, our terminal."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

from wardian.cli.program import complain
from wardian.errors import InvalidInput, WardianError

if TYPE_CHECKING:
    from wardian.runtime.container import Container

FORWARDED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
DETACH_KEYS = b"\x10\x11"  # ctrl-p ctrl-q, as docker's
_CHUNK = 1 << 16


def standard_fds(*, interactive: bool) -> dict[int, int]:
    """Our own standard descriptors, for the program to use as they are; no stdin without ``-i``."""
    return {0: 0, 1: 1, 2: 2} if interactive else {1: 1, 2: 2}


def check_terminal(*, interactive: bool, terminal: bool) -> None:
    """With ``-it`` our own stdin must be a terminal. Raises InvalidInput."""
    if interactive and terminal and not os.isatty(0):
        raise InvalidInput("the input device is not a terminal", hint="leave out --tty (-t)")


def terminal_size() -> tuple[int, int] | None:
    """Rows and columns of our terminal; None if our output is none."""
    try:
        size = os.get_terminal_size(1)
    except OSError:
        return None
    return size.lines, size.columns


@contextmanager
def forwarded_signals(send: Callable[[int], None]) -> Iterator[None]:
    """Pass the signals that would end us on to the program.

    The handlers run between the interpreter's instructions; ``send`` must not use a connection on
    which this thread waits.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        with suppress(WardianError, OSError):  # it has just ended
            send(number)

    before = {number: signal.signal(number, handle) for number in FORWARDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class SignalRelay:
    """Where signals go: kept until the program is there, then sent to it."""

    def __init__(self) -> None:
        self._early: list[int] = []
        self._send: Callable[[int], None] = self._early.append

    def __call__(self, number: int) -> None:
        self._send(number)

    def aim(self, send: Callable[[int], None]) -> None:
        """The program is there: pass on what came early, and from now on at once."""
        self._send = send
        while self._early:
            send(self._early.pop(0))


class Terminal:
    """Our terminal, joined to the master of the program's.

    What the program shows is read from ``source``, if that is another descriptor.
    """

    def __init__(
        self,
        master: int,
        *,
        interactive: bool,
        keys: bytes = DETACH_KEYS,
        source: int | None = None,
    ) -> None:
        self._master = master
        self._source = master if source is None else source
        self._interactive = interactive
        self._keys = DetachKeys(keys)
        self._outgoing = bytearray()
        self.was_detached = False

    def join(self) -> None:
        """Copy both ways until the program's side is closed or the detach keys are typed."""
        os.set_blocking(self._master, False)
        with self._resizing() as wake, _raw_mode(is_wanted=self._interactive):
            inputs = [self._source, wake, *([0] if self._interactive else [])]
            while not self.was_detached:
                # While the program does not read, what is typed waits in our own terminal.
                wanted = inputs if not self._outgoing else inputs[:2]
                writable = [self._master] if self._outgoing else []
                ready, can_write, _ = select.select(wanted, writable, [])
                if can_write:
                    self._flush()
                if wake in ready:
                    os.read(wake, _CHUNK)
                    self.resize()
                if 0 in ready and not self._take_typed():
                    inputs.remove(0)
                if self._source in ready and not self._show():
                    return

    def _show(self) -> bool:
        try:
            data = os.read(self._source, _CHUNK)
        except BlockingIOError:
            return True
        except OSError:  # EIO: nobody has the other side open any more (pty(7))
            return False
        if not data:
            return False
        while data:
            data = data[os.write(1, data) :]
        return True

    def _take_typed(self) -> bool:
        data = os.read(0, _CHUNK)
        if not data:
            return False
        passed, self.was_detached = self._keys.scan(data)
        self._outgoing += passed
        self._flush()
        return True

    def _flush(self) -> None:
        with suppress(OSError):  # EIO is met when reading, too
            del self._outgoing[: os.write(self._master, self._outgoing)]

    def resize(self) -> None:
        """Make the program's terminal as large as ours (ioctl_tty(2))."""
        with suppress(OSError):
            size = fcntl.ioctl(1, termios.TIOCGWINSZ, bytes(struct.calcsize("4H")))
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    @contextmanager
    def _resizing(self) -> Iterator[int]:
        """A descriptor that becomes readable on SIGWINCH; sets the size right away."""
        wake, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

        def note(_number: int, _frame: FrameType | None) -> None:
            with suppress(BlockingIOError):  # enough of them wait already
                os.write(write, b"w")

        before = signal.signal(signal.SIGWINCH, note)
        self.resize()
        try:
            yield wake
        finally:
            signal.signal(signal.SIGWINCH, before)
            os.close(wake)
            os.close(write)


class DetachKeys:
    """Finds the detach keys in what is typed, also when they come one at a time."""

    def __init__(self, keys: bytes = DETACH_KEYS) -> None:
        self._keys = keys
        self._held = b""

    def scan(self, typed: bytes) -> tuple[bytes, bool]:
        """What to pass on now, and whether to detach; the start of the keys is held back."""
        passed = bytearray()
        for byte in typed:
            candidate = self._held + bytes([byte])
            if candidate == self._keys:
                return bytes(passed), True
            if self._keys.startswith(candidate):
                self._held = candidate
                continue
            # The held bytes were no start of the keys; this one may be.
            passed += self._held
            self._held = b""
            if self._keys.startswith(bytes([byte])):
                self._held = bytes([byte])
            else:
                passed.append(byte)
        return bytes(passed), False


@contextmanager
def _raw_mode(*, is_wanted: bool) -> Iterator[None]:
    """Our terminal passes every key on, ctrl-c too (termios(3)); restored whatever happens."""
    if not (is_wanted and os.isatty(0)):
        yield
        return
    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSANOW)  # what was typed ahead is for the program
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def flush_output() -> None:
    """What we have printed so far comes before what the program prints."""
    sys.stdout.flush()
    sys.stderr.flush()


def told(container: Container, code: int) -> int:
    """The exit code; on stderr that the container has ended for want of memory, if it has.

    Near a memory limit it may be init that the kernel kills, and with it all that is there.
    """
    if code == 128 + signal.SIGKILL:
        with suppress(WardianError):  # it was removed with its end
            info = container.info
            if info.host_pid is None and info.was_oom_killed:
                hint = f"`wardian update --memory` gives {info.name} more; then start it again"
                complain(f"container {info.name} has ended; it had run out of memory", hint)
    return code
