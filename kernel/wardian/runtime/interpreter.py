"""The keeper's interpreter, by a mount of its own through which nobody can write (CVE-2019-5736).

A container's init is the keeper's fork, so ``/proc/1/exe`` and ``#!/proc/self/exe`` lead to the
host's interpreter. With ids of its own a container may not write it; without a user namespace, or
where a user's own interpreter runs the user's containers, only ETXTBSY stands before it, which
kernels 6.11 and 6.12 do not have. So the keeper is started through a detached, read-only clone of
the interpreter's mount: the same file and the same cached pages, at two system calls a keeper.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from wardian.errors import KernelRefused
from wardian.linux import mount as mnt

_CLONE = mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC


@contextmanager
def read_only() -> Iterator[int | None]:
    """A descriptor to execute our interpreter by; None where the kernel has no such mounts.

    Who may clone no mount needs none, if the interpreter is not theirs to write.
    """
    fd = _clone()
    if fd is None and os.access(sys.executable, os.W_OK):
        fd = _by_helper()
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


def _clone() -> int | None:
    try:
        fd = mnt.open_tree(os.path.realpath(sys.executable), _CLONE)
    except KernelRefused:
        return None
    try:
        mnt.mount_setattr(fd, attr_set=mnt.MOUNT_ATTR_RDONLY)
    except KernelRefused:
        os.close(fd)
        return None
    return fd


def _by_helper() -> int | None:
    """A user may clone mounts in a user namespace: a process of its own goes there for us."""
    import socket  # with subprocess 20 ms of imports, which root does without
    import subprocess

    ours, theirs = socket.socketpair()
    with ours, theirs:
        subprocess.run(
            [sys.executable, "-P", "-m", "wardian.runtime.interpreter", str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        theirs.close()
        _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    return fds[0] if fds else None


def _help(fd: int) -> None:
    import socket

    from wardian.linux import namespaces

    with socket.socket(fileno=fd) as sock, suppress(KernelRefused):
        namespaces.unshare(namespaces.CLONE_NEWUSER | namespaces.CLONE_NEWNS)
        clone = _clone()
        if clone is not None:
            socket.send_fds(sock, [b"+"], [clone])


if __name__ == "__main__":
    _help(int(sys.argv[1]))
