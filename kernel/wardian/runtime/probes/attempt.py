"""Trying something that cannot be undone: in a child of its own, which then is gone.

Used by the doctor's probes. The caller must have one thread only; `python -m
wardian.runtime.probes` is such a process.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
from collections.abc import Callable
from typing import NoReturn

import msgspec

from wardian.errors import KernelRefused, WardianError
from wardian.linux import mount as mnt
from wardian.linux import namespaces, process

PATIENCE_MS = 20_000  # on a crowded host a network namespace alone may take seconds
# A directory of every host; what is mounted there is seen by the child alone.
STAGING = "/proc"
Deed = Callable[[], str]


class Result(msgspec.Struct, frozen=True):
    """What came of a deed. ``errno`` is the refused system call's; ``detail`` is for people."""

    works: bool
    detail: str = ""
    errno: int | None = None


def attempt(deed: Deed) -> Result:
    """Do it in a child; what it returns is the detail, what it raises the reason why not."""
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _be_child(deed, write_fd)
    os.close(write_fd)
    try:
        text = _read_all(read_fd)
    finally:
        os.kill(pid, signal.SIGKILL)  # nobody else's: it is not reaped yet; pidfds may be missing
        os.waitpid(pid, 0)
        os.close(read_fd)
    if text is None:
        return Result(works=False, detail=f"no answer within {PATIENCE_MS // 1000} s")
    if not text:
        return Result(works=False, detail="the attempt ended without an answer")
    return Result(**json.loads(text))


def _be_child(deed: Deed, write_fd: int) -> NoReturn:
    process.set_parent_death_signal(signal.SIGKILL)
    try:
        report(write_fd, _try(deed))
    finally:
        os._exit(0)


def report(fd: int, result: Result) -> None:
    """Write a result for `attempt` to read."""
    os.write(
        fd,
        json.dumps(
            {"works": result.works, "detail": result.detail, "errno": result.errno}
        ).encode(),
    )


def _try(deed: Deed) -> Result:
    try:
        return Result(works=True, detail=deed())
    except KernelRefused as error:
        return Result(works=False, detail=error.what, errno=error.errno)
    except WardianError as error:
        cause = error.__cause__
        number = cause.errno if isinstance(cause, KernelRefused) else None
        return Result(works=False, detail=error.what, errno=number)
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "")
        return Result(works=False, detail=f"{error.strerror} ({name})", errno=error.errno)


def _read_all(fd: int) -> str | None:
    """Until the other end is closed; None if that takes too long."""
    data = b""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while poll.poll(PATIENCE_MS):
        piece = os.read(fd, 1 << 16)
        if not piece:
            return data.decode()
        data += piece
    return None


def in_namespaces(flags: int, deed: Deed, *, own_user: bool = True) -> Result:
    """Do it in new namespaces; with ``own_user`` as root of a user namespace of one id.

    With CLONE_NEWPID the deed is done by PID 1 of that namespace.
    """

    def inside() -> str:
        if own_user:
            enter_user_namespace()
        if flags:
            namespaces.unshare(flags)
        if flags & namespaces.CLONE_NEWNS:
            mnt.make_rprivate()
        if flags & namespaces.CLONE_NEWPID:
            return _as_pid_one(deed)
        return deed()

    return attempt(inside)


def enter_user_namespace() -> None:
    """Become root of a new user namespace in which we are the only id (user_namespaces(7))."""
    uid, gid = os.geteuid(), os.getegid()
    namespaces.unshare(namespaces.CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        fd = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        except OSError as error:
            raise KernelRefused("write", error.errno or 0, name) from error
        finally:
            os.close(fd)


def _as_pid_one(deed: Deed) -> str:
    result = attempt(deed)
    if result.works:
        return result.detail
    if result.errno is not None:
        raise OSError(result.errno, result.detail)
    raise WardianError(result.detail)


def mount_scratch(size: str = "2m") -> None:
    """A tmpfs of this mount namespace's own, as the working directory."""
    mnt.mount("tmpfs", STAGING, "tmpfs", 0, f"mode=700,size={size}")
    os.chdir(STAGING)
