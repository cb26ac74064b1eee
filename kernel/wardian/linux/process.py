"""Processes: clone3(2), pidfds, close_range(2), prctl(2), daemons."""

from __future__ import annotations

import ctypes
import errno
import os
import signal as signals
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from wardian.errors import KernelRefused
from wardian.linux.syscall import prctl, syscall

CLONE_PARENT = 0x8000
_CLONE_PIDFD = 0x1000
_CLONE_INTO_CGROUP = 0x200000000

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38


# Without typing_extensions msgspec takes typing: 10 ms of imports that a daemon does without.
_BEGIN = """
import gc, sys
gc.disable()
sys.modules["typing_extensions"] = None
import msgspec
del sys.modules["typing_extensions"]
from importlib import import_module
module = import_module(sys.argv[1])
gc.enable()
module.begin(*sys.argv[2:])
from wardian.linux.exit import leave
leave()
"""


class _CloneArgs(ctypes.Structure):
    _fields_ = [  # ctypes wants a plain list
        (name, ctypes.c_uint64)
        for name in (
            "flags",
            "pidfd",
            "child_tid",
            "parent_tid",
            "exit_signal",
            "stack",
            "stack_size",
            "tls",
            "set_tid",
            "set_tid_size",
            "cgroup",
        )
    ]


def clone3(flags: int, *, cgroup_fd: int | None = None) -> tuple[int, int]:
    """Fork into new namespaces: (pid, pidfd) in the parent, (0, -1) in the child.

    Only for single-threaded processes: libc does not hear of this fork, the interpreter does. Where
    libc counts more threads, setresuid(2) and its like wait for them for ever in the child.
    With ``cgroup_fd`` (a cgroup v2 directory) the child is born in that group. Where clone3 is
    hidden clone(2) does, and the child moves there first of all, or ends.
    """
    pidfd = ctypes.c_int(-1)
    args = _CloneArgs(
        flags=flags | _CLONE_PIDFD,
        pidfd=ctypes.addressof(pidfd),
        # A sibling of ours is announced to our parent as we are.
        exit_signal=0 if flags & CLONE_PARENT else signals.SIGCHLD,
    )
    if cgroup_fd is not None:
        args.flags |= _CLONE_INTO_CGROUP
        args.cgroup = cgroup_fd
    procs_fd = -1
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = -1
    try:
        try:
            pid = syscall("clone3", ctypes.byref(args), ctypes.sizeof(args))
        except KernelRefused as error:
            # Docker's seccomp profile answers so, to make libc fall back to clone(2).
            if error.errno != errno.ENOSYS:
                raise
            if cgroup_fd is not None:
                procs_fd = _open_procs(cgroup_fd)
            pid = _clone(flags, pidfd)
    finally:
        if pid == 0:
            ctypes.pythonapi.PyOS_AfterFork_Child()
        else:
            ctypes.pythonapi.PyOS_AfterFork_Parent()
        if procs_fd >= 0:
            _close_procs(procs_fd, moves=pid == 0)
    return (0, -1) if pid == 0 else (pid, pidfd.value)


def _open_procs(cgroup_fd: int) -> int:
    """By the parent, whose right to move into the group is then the child's."""
    try:
        return os.open("cgroup.procs", os.O_WRONLY | os.O_CLOEXEC, dir_fd=cgroup_fd)
    except OSError as error:
        raise KernelRefused("open", error.errno or 0, "cgroup.procs") from error


def _close_procs(procs_fd: int, *, moves: bool) -> None:
    try:
        if moves:
            os.write(procs_fd, b"0")
    except OSError:
        os._exit(1)
    finally:
        os.close(procs_fd)


def _clone(flags: int, pidfd: ctypes.c_int) -> int:
    """The raw clone(2); its pidfd comes where older kernels put the parent's tid."""
    flags |= _CLONE_PIDFD | (0 if flags & CLONE_PARENT else signals.SIGCHLD)
    return syscall("clone", flags, 0, ctypes.byref(pidfd), 0, 0)


def start_ticks(host_pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if it is gone.

    With the pid it names a process beyond doubt.
    """
    try:
        with open(f"/proc/{host_pid}/stat", "rb", buffering=0) as file:
            data = file.read(1 << 14) or b""
    except OSError:
        return None
    return int(data[data.rindex(b")") :].split()[20]) if data else None


def pidfd_open(host_pid: int) -> int:
    """pidfd_open(2)."""
    try:
        return os.pidfd_open(host_pid)
    except OSError as error:
        raise KernelRefused("pidfd_open", error.errno or 0) from error


def pidfd_send_signal(pidfd: int, signal: int) -> None:
    """pidfd_send_signal(2)."""
    try:
        signals.pidfd_send_signal(pidfd, signal)
    except OSError as error:
        raise KernelRefused("pidfd_send_signal", error.errno or 0) from error


def reap(host_pid: int | None) -> int:
    """A child's exit code, 128+n if by signal n; 137 when it was not our child (adopted)."""
    if host_pid is None:
        return 137
    try:
        _, status = os.waitpid(host_pid, os.WNOHANG)
    except ChildProcessError:
        return 137
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def close_range(first: int, last: int = 0xFFFFFFFF) -> None:
    """close_range(2): close every descriptor from ``first`` to ``last``."""
    syscall("close_range", first, last, 0)


def give_streams(uid: int, *, terminal: bool) -> None:
    """Make the user that a program will be the owner of its pipes, and of a terminal made for it.

    /dev/stdout leads to one of them, and nobody else can open it (proc(5)). What is of an id that
    we do not have stays, and so does what somebody else may use: a file, another's terminal.
    """
    for fd in (0, 1, 2):
        with suppress(OSError):
            there = os.fstat(fd)
            ours = stat.S_ISFIFO(there.st_mode) or (terminal and os.isatty(fd))
            if ours and there.st_uid != uid:
                os.fchown(fd, uid, -1)


def keep_only(*fds: int) -> None:
    """Point the standard descriptors at /dev/null and close all others but these."""
    null = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    first = 3
    for fd in sorted(fds):
        if first < fd:
            close_range(first, fd - 1)
        first = fd + 1
    close_range(first)


def set_no_new_privs() -> None:
    """PR_SET_NO_NEW_PRIVS(2const): execve gives no more privileges, for good."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1, "prctl(PR_SET_NO_NEW_PRIVS)")


def set_dumpable(value: bool) -> None:  # noqa: FBT001  # prctl's own argument
    """PR_SET_DUMPABLE: whether others of our uid may trace and read us."""
    prctl(_PR_SET_DUMPABLE, int(value), "prctl(PR_SET_DUMPABLE)")


def set_keep_capabilities(value: bool) -> None:  # noqa: FBT001  # prctl's own argument
    """PR_SET_KEEPCAPS: keep permitted capabilities when all user ids become non-zero."""
    prctl(_PR_SET_KEEPCAPS, int(value), "prctl(PR_SET_KEEPCAPS)")


def become_root() -> None:
    """Be root of the user namespace that we are in, whose maps are written, and not dumpable."""
    with suppress(PermissionError):  # a map of one id has setgroups=deny (user_namespaces(7))
        os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    set_dumpable(False)  # a change of ids made it so again


def set_parent_death_signal(signal: int) -> None:
    """PR_SET_PDEATHSIG: the signal that we get when our parent *thread* ends."""
    prctl(_PR_SET_PDEATHSIG, signal, "prctl(PR_SET_PDEATHSIG)")


def set_child_subreaper() -> None:
    """PR_SET_CHILD_SUBREAPER: orphans below us become our children."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1, "prctl(PR_SET_CHILD_SUBREAPER)")


def set_name(comm: str) -> None:
    """PR_SET_NAME: the name in /proc/self/comm, 15 bytes at most."""
    prctl(_PR_SET_NAME, comm.encode()[:15], "prctl(PR_SET_NAME)")


def set_title(text: str) -> None:
    """Replace what ps(1) shows as our command line, as far as the old one was long.

    The kernel reads it from our own memory (proc(5): stat fields 48 and 49, cmdline).
    """
    from wardian.linux.proc import Stat

    stat = Stat.from_proc("self")
    if stat is not None and 0 < stat.argument_start < stat.argument_end:
        start, size_bytes = stat.argument_start, stat.argument_end - stat.argument_start
        title = text.encode()[: size_bytes - 1]
        ctypes.memset(start, 0, size_bytes)
        ctypes.memmove(start, title, len(title))


def start_daemon(
    module: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    program_fd: int | None = None,
) -> bytes:
    """Have a module of ours become a daemon, and wait until it is ready: what it says of that.

    Its ``begin`` gets these arguments and the descriptor to say it through (`daemonize` keeps it);
    nothing was said if it ended without a word. ``program_fd`` is the interpreter to run, ours if
    None.
    """
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    kept = (write_fd,) if program_fd is None else (write_fd, program_fd)
    null = ((os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2))
    with open(read_fd, "rb") as ready:
        try:
            host_pid = os.posix_spawn(
                sys.executable if program_fd is None else f"/proc/self/fd/{program_fd}",
                # -P: a module in the directory where somebody is now is none of ours.
                [sys.executable, "-P", "-c", _BEGIN, module, *arguments, str(write_fd)],
                os.environ if environment is None else environment,
                # A descriptor that is put where it is stays open (posix_spawn(3)).
                file_actions=[*null, *((os.POSIX_SPAWN_DUP2, fd, fd) for fd in kept)],
                setsigdef=[signals.SIGCHLD],  # else nobody could wait for containers
            )
            with suppress(ChildProcessError):  # where SIGCHLD is ignored nobody is left to wait for
                os.waitpid(host_pid, 0)
        finally:
            os.close(write_fd)
        return ready.read()


def daemonize(log: Path, *kept: int) -> None:
    """Leave the caller's session, directory and descriptors but these (daemon(7)).

    Returns in the daemon alone, which only SIGTERM and SIGKILL end. What goes wrong from here on
    is in ``log``.
    """
    keep_only(*kept)
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    for target in (1, 2):
        os.dup2(fd, target)
    os.close(fd)
    os.chdir("/")
    if os.fork():
        os._exit(0)
    os.setsid()
    for number in (signals.SIGHUP, signals.SIGINT, signals.SIGPIPE):
        signals.signal(number, signals.SIG_IGN)
