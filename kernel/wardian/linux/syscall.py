"""The way into libc: one library handle, errno in one place, numbers of calls without a wrapper."""

from __future__ import annotations

import ctypes
import os

from wardian.errors import KernelRefused, SetupError

# CDLL(None) finds libc in the running program; find_library would run gcc and ldconfig.
# PyDLL keeps the interpreter's lock, which costs less than the calls that we make.
libc = ctypes.PyDLL(None, use_errno=True)

_COMMON = {
    "pidfd_send_signal": 424,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "pidfd_open": 434,
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "mount_setattr": 442,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}
# syscalls(2): numbers from 424 on are the same everywhere.
_BY_MACHINE = {
    "x86_64": {
        "clone": 56,
        "pivot_root": 155,
        "capget": 125,
        "capset": 126,
        "seccomp": 317,
        "keyctl": 250,
        "sched_setattr": 314,
        "ioprio_set": 251,
        "set_mempolicy": 238,
        "bpf": 321,
    },
    "aarch64": {
        "clone": 220,
        "pivot_root": 41,
        "capget": 90,
        "capset": 91,
        "seccomp": 277,
        "keyctl": 219,
        "sched_setattr": 274,
        "ioprio_set": 30,
        "set_mempolicy": 237,
        "bpf": 280,
    },
}

# Before personality(2), which would make it another.
MACHINE = os.uname().machine


def number(name: str) -> int:
    """The number of a system call on this machine."""
    machine = MACHINE
    if machine not in _BY_MACHINE:
        raise SetupError(f"machine {machine} is not supported", hint="use x86_64 or aarch64")
    return _COMMON.get(name) or _BY_MACHINE[machine][name]


def check(result: int, call: str, what: str = "") -> int:
    """Return a call's result, or raise KernelRefused with its errno."""
    if result < 0:
        raise KernelRefused(call, ctypes.get_errno(), what)
    return result


_syscall = libc.syscall
_syscall.restype = ctypes.c_long


def syscall(name: str, *arguments: object, what: str = "") -> int:
    """Make a system call by name; integers travel as long, bytes as pointers."""
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return check(_syscall(ctypes.c_long(number(name)), *converted), name, what)


def prctl(option: int, value: int | bytes, call: str) -> None:
    """prctl(2) with one argument; the kernel wants zeroes in the places of the others."""
    argument = ctypes.c_ulong(value) if isinstance(value, int) else value
    zero = ctypes.c_ulong(0)
    check(libc.prctl(option, argument, zero, zero, zero), call)


def path_bytes(path: str | os.PathLike[str]) -> bytes:
    """A path as the kernel takes it."""
    return os.fsencode(path)
