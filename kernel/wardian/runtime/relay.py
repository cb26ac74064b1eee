"""What a main process prints, on its way to the log and to everybody who is attached."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress

from wardian.linux.statfs import PIPEFS_MAGIC, file_system_type
from wardian.runtime.logs import LogWriter
from wardian.runtime.loop import Loop

STREAMS = ("stdout", "stderr")
CHUNK_BYTES = 1 << 16
PTMX = os.makedev(5, 2)


class Tap:
    """One stream's pipe to somebody who is attached.

    Who reads too slowly stops the program, as with docker: at most one chunk waits here.
    """

    def __init__(self, loop: Loop, stream: str, on_room: Callable[[], None]) -> None:
        self._loop = loop
        self.stream = stream
        self._on_room = on_room
        self._pending = bytearray()
        self._is_finished = False
        self.reading_end, self._fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._fd, False)

    @property
    def is_full(self) -> bool:
        """Whether something waits for its reader."""
        return bool(self._pending)

    def put(self, data: bytes) -> None:
        """Pass it on now, or as soon as there is room."""
        if self._fd < 0:
            return
        was_full = self.is_full
        self._pending += data
        if not was_full and not self._write():
            self._loop.watch_writable(self._fd, self._go_on)

    def _write(self) -> bool:
        """Whether nothing waits any more."""
        try:
            del self._pending[: os.write(self._fd, self._pending)]
        except BlockingIOError:
            return False
        except OSError:  # EPIPE: the reader is gone
            self.close()
        return not self._pending

    def _go_on(self) -> None:
        fd = self._fd
        if not self._write():
            return
        if self._fd == fd:
            self._loop.unwatch(fd)
            if self._is_finished:
                self.close()
        self._on_room()

    def finish(self) -> None:
        """No more will come: the reader sees the end after what waits."""
        self._is_finished = True
        if not self.is_full:
            self.close()

    def close(self) -> None:
        """Let go of it; what waits is lost."""
        if self._fd < 0:
            return
        with suppress(KeyError):  # it was not watched
            self._loop.unwatch(self._fd)
        os.close(self._fd)
        self._fd = -1
        self._pending.clear()


class Relay:
    """Reads what a container prints; writes it to the log and to the taps."""

    def __init__(self, loop: Loop, writer: LogWriter) -> None:
        self._loop = loop
        self._writer = writer
        self._sources: dict[int, str] = {}
        self._stalled: set[int] = set()
        self._taps: list[Tap] = []

    def read(self, fd: int, stream: str) -> None:
        """Pass on what comes from a descriptor, which is ours now and does not block."""
        self._sources[fd] = stream
        self._loop.watch(fd, lambda: self._hear(fd))

    def attach(self, streams: Sequence[str]) -> list[Tap]:
        """A tap for each stream. Their reading ends are the caller's to pass on and close."""
        taps = [Tap(self._loop, stream, self._unstall) for stream in streams]
        self._taps += taps
        return taps

    def detach(self, taps: Sequence[Tap]) -> None:
        """Somebody is gone."""
        for tap in taps:
            if tap in self._taps:
                self._taps.remove(tap)
            tap.close()
        self._unstall()

    def _hear(self, fd: int) -> None:
        stream = self._sources[fd]
        if self._pass_on(fd) is False:
            self._end(fd)
        elif any(tap.is_full and tap.stream == stream for tap in self._taps):
            self._loop.unwatch(fd)
            self._stalled.add(fd)

    def _pass_on(self, fd: int) -> bool | None:
        """Pass on a chunk. False at the end, None if there is nothing now."""
        try:
            data = os.read(fd, CHUNK_BYTES)
        except BlockingIOError:
            return None
        except OSError:  # EIO: nobody has the terminal open any more (pty(7))
            return False
        if not data:
            return False
        stream = self._sources[fd]
        self._writer.write(stream, data)
        for tap in self._taps:
            if tap.stream == stream:
                tap.put(data)
        return True

    def _unstall(self) -> None:
        full = {tap.stream for tap in self._taps if tap.is_full}
        for fd in [fd for fd in self._stalled if self._sources[fd] not in full]:
            self._stalled.discard(fd)
            self._loop.watch(fd, lambda fd=fd: self._hear(fd))  # type: ignore[misc]

    def _end(self, fd: int) -> None:
        del self._sources[fd]
        if fd in self._stalled:
            self._stalled.discard(fd)
        else:
            self._loop.unwatch(fd)
        os.close(fd)

    def close(self) -> None:
        """The container has ended: keep its last output, and tell who is attached."""
        for fd in list(self._sources):
            while self._pass_on(fd):
                pass
            self._end(fd)
        for tap in self._taps:
            tap.finish()
        self._taps.clear()

    def drop(self) -> None:
        """The container did not come to be."""
        for fd in list(self._sources):
            self._end(fd)
        self.detach(list(self._taps))


def give_pipes(fds: Sequence[int], host_id: int | None) -> None:
    """Make a container's root the owner of pipes: only an owner can open /dev/stdout (proc(5)).

    A user's containers have their root's id already. What has a name, and what is not root's,
    stays whose it is.
    """
    if not host_id or os.geteuid() != 0:
        return
    for fd in fds:
        with suppress(OSError):  # root of a pod without CAP_CHOWN: then it cannot be opened anew
            status = os.fstat(fd)
            is_pipe = stat.S_ISFIFO(status.st_mode) and file_system_type(fd) == PIPEFS_MAGIC
            if is_pipe and status.st_uid == 0:
                os.fchown(fd, host_id, host_id)


def own_pipe_end(given: int, flags: int = os.O_RDONLY) -> int | None:
    """A pipe's end, opened anew and never blocking; closes ``given``. None if that is no pipe.

    Whoever else has ``given`` could let it block again, and with it whoever reads (fcntl(2): the
    flags are those of the open file description).
    """
    try:
        if stat.S_ISFIFO(os.fstat(given).st_mode):
            return os.open(f"/proc/self/fd/{given}", flags | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        pass
    finally:
        os.close(given)
    return None


def own_master(given: int) -> int | None:
    """A copy of a terminal's master that does not block; None if it is none.

    It cannot be opened anew (that would be another terminal), so its flags are shared with init,
    which no program of the container can make change them.
    """
    status = os.fstat(given)
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != PTMX:
        return None
    os.set_blocking(given, False)
    return os.dup(given)
