"""Pseudo-terminals from the container's own devpts."""

from __future__ import annotations

import fcntl
import os
import stat
import struct

from wardian.errors import CommandFailed

TIOCSWINSZ = 0x5414
TIOCGPTPEER = 0x5441
TIOCSPTLCK = 0x40045431
PTMX = os.makedev(5, 2)


def open_terminal(size: tuple[int, int] | None = None) -> tuple[int, int]:
    """A new terminal: (master, slave), of ``size`` (rows, columns) if that is known.

    The slave is opened through its master (TIOCGPTPEER, ioctl_tty(2)), never by a path that the
    container could have replaced (CVE-2025-52565).
    """
    try:
        master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise CommandFailed(
            f"cannot open a terminal: {error.strerror}",
            exit_code=125,
            hint="the container has no /dev/pts",
        ) from error
    status = os.fstat(master)
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != PTMX:
        os.close(master)
        raise CommandFailed("/dev/pts/ptmx is not a terminal multiplexer", exit_code=125)
    fcntl.ioctl(master, TIOCSPTLCK, b"\0\0\0\0")
    if size is not None:
        fcntl.ioctl(master, TIOCSWINSZ, struct.pack("4H", *size, 0, 0))
    slave = fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    return master, slave
