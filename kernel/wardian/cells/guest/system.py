"""``!cmd``: a command under a shell, its output as it comes, Ctrl-C for it alone."""

from __future__ import annotations

import codecs
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from typing import Optional

SHELLS = ("/bin/bash", "/usr/bin/bash", "/bin/sh", "/.wardian/bin/bash", "/.wardian/box/sh")
GRACE_S = 0.2
WINDOW_SIZE = struct.pack("HHHH", 24, 80, 0, 0)


def find_shell() -> str:
    """The shell that ``$SHELL`` names if it is there, else the best that there is."""
    for path in (os.environ.get("SHELL", ""), *SHELLS):
        if path and os.access(path, os.X_OK):
            return path
    raise OSError("there is no shell in this container")


def run_on_terminal(command: str) -> int:
    """Run a command with a new terminal as its stdin, stdout and stderr; its exit status.

    A terminal, as IPython does: programs then write line by line instead of when they end. The
    status is negative after a signal as subprocess has it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        master, slave = os.openpty()
    except OSError:  # no /dev/ptmx in this container
        return subprocess.call([find_shell(), "-c", command], stdin=subprocess.DEVNULL)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, WINDOW_SIZE)
    try:
        # A session of its own, so that Ctrl-C can be sent to the command and all that it started.
        process = subprocess.Popen(
            [find_shell(), "-c", command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
    finally:
        os.close(slave)
    try:
        status = _relay(process, master)
    finally:
        os.close(master)
    return 128 - status if status > 128 else status


def _relay(process: subprocess.Popen[bytes], master: int) -> int:
    """Copy the terminal's output to stdout until the command has ended."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while True:
        try:
            data = _read(process, master)
            if data is None:
                break
            if data:
                sys.stdout.write(decoder.decode(data))
                sys.stdout.flush()
        except KeyboardInterrupt:
            _stop(process, master)
            break
    sys.stdout.write(decoder.decode(b"", final=True))
    sys.stdout.flush()
    return process.wait()


def _read(process: subprocess.Popen[bytes], master: int) -> Optional[bytes]:
    """Bytes, b"" when there are none yet, None when the command is done and all was read."""
    has_ended = process.poll() is not None
    ready, _, _ = select.select([master], [], [], 0 if has_ended else 0.05)
    if not ready:
        return None if has_ended else b""
    try:
        return os.read(master, 1 << 16) or None
    except OSError:  # EIO: nobody has the terminal open any more
        process.wait()
        return None


def _stop(process: subprocess.Popen[bytes], master: int) -> None:
    """Ctrl-C, and what it takes if that is not enough."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline:
            data = _read(process, master)
            if data is None:
                return
            sys.stdout.write(data.decode("utf-8", "replace"))
