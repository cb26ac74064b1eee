"""sys.stdout and sys.stderr of a runner: fast, into the pipes, flushed as one would expect."""

from __future__ import annotations

import io
import os
import threading
import time
from typing import Any, Iterable, List, Optional, Tuple

from .descriptors import private_descriptor, write_all
from .link import Link

LULL_S = 0.02  # the first line goes at once; what follows it sooner than this waits a little
LUMP_CHARS = 1 << 15


class OutStream(io.TextIOBase):
    """A text stream into one of the two output pipes.

    What a task of an earlier cell writes goes over the socket instead, with that cell's number.
    """

    encoding = "UTF-8"  # as in ipykernel, where it is spelt so
    errors = None

    def __init__(self, name: str, fd: int, link: Link, flusher: Flusher) -> None:
        super().__init__()
        self.name = name
        self._public_fd = fd
        self._fd = private_descriptor(fd)
        self._link = link
        self._flusher = flusher
        self._lock = threading.RLock()
        self._waiting: List[str] = []
        self._waiting_chars = 0
        self._flushed_s = 0.0
        self._late: List[Tuple[int, str]] = []
        self._bytes: Optional[_BytesSide] = None
        os.register_at_fork(before=self.flush, after_in_child=self._become_child)

    def _become_child(self) -> None:
        self._lock = threading.RLock()

    def write(self, text: str) -> int:
        """Write text; it is on its way at the end of its line or `LULL_S` later."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text)}")
        link = self._link
        is_late = link.cell != link.running[0]
        with self._lock:
            if is_late and not link.is_child:
                self._late.append((link.cell, text))
            else:
                self._waiting.append(text)
            self._waiting_chars += len(text)
            now = time.monotonic()
            if link.is_child or self._waiting_chars >= LUMP_CHARS:
                self.flush()
            elif now - self._flushed_s < LULL_S or not text.endswith("\n"):
                self._flusher.soon(self)
            else:
                self.flush()
        return len(text)

    def flush(self) -> None:
        """Hand on everything written so far."""
        if not self._waiting and not self._late:
            return
        with self._lock:
            waiting, self._waiting = self._waiting, []
            late, self._late = self._late, []
            self._waiting_chars = 0
            self._flushed_s = time.monotonic()
            if waiting:
                write_all(self._fd, encoded("".join(waiting)))
            for cell in dict.fromkeys(number for number, _ in late):
                text = "".join(part for number, part in late if number == cell)
                self._link.send({"t": "stream", "cell": cell, "name": self.name, "text": text})

    def writelines(self, lines: Iterable[Any]) -> None:
        """Write each of them."""
        for line in lines:
            self.write(line)

    @property
    def buffer(self) -> _BytesSide:
        """The same stream for bytes."""
        if self._bytes is None:
            self._bytes = _BytesSide(self, self._fd)
        return self._bytes

    def fileno(self) -> int:
        """1 or 2: a subprocess may be given it."""
        self.flush()
        return self._public_fd

    @property
    def mark_fd(self) -> int:
        """Where marks go: the pipe itself, whatever a cell did to descriptor 1 or 2."""
        return self._fd

    def isatty(self) -> bool:
        """It is a page, not a terminal."""
        return False

    def writable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """A cell that closes its output keeps it, as in ipykernel's streams after a restart."""
        self.flush()


class _BytesSide(io.RawIOBase):
    """``sys.stdout.buffer``: bytes in order with the text."""

    def __init__(self, text: OutStream, fd: int) -> None:
        super().__init__()
        self._text = text
        self._fd = fd

    def write(self, data: Any) -> int:
        """Write bytes at once."""
        self._text.flush()
        view = memoryview(data).cast("B")
        write_all(self._fd, bytes(view))
        return len(view)

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """1 or 2."""
        return self._text.fileno()

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Stays open with the text side."""


class Flusher:
    """Flushes streams that were written to a moment ago. Its thread starts when first needed."""

    def __init__(self) -> None:
        self._streams: List[OutStream] = []
        self._wake = threading.Event()
        self._thread: Optional[threading.Thread] = None
        os.register_at_fork(after_in_child=self._become_child)

    def soon(self, stream: OutStream) -> None:
        """Flush this stream within two lulls."""
        if stream in self._streams:
            return
        self._streams.append(stream)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="wardian-flush", daemon=True)
            hide_from_debugger(self._thread)
            self._thread.start()
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            time.sleep(LULL_S)
            streams, self._streams = self._streams, []
            for stream in streams:
                stream.flush()

    def _become_child(self) -> None:
        self._thread = None
        self._streams = []
        self._wake = threading.Event()


def hide_from_debugger(thread: threading.Thread) -> None:
    """Keep pydevd from stopping a thread of ours together with the user's."""
    thread.pydev_do_not_trace = True  # type: ignore[attr-defined]
    thread.is_pydev_daemon_thread = True  # type: ignore[attr-defined]


def encoded(text: str) -> bytes:
    """UTF-8; undecodable bytes of file names as they were, other lone surrogates as ``?``."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
