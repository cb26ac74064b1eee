"""Capabilities (capabilities(7)): the sets of a process, and giving them up."""

from __future__ import annotations

import ctypes
import enum
import errno
from collections.abc import Iterable

import msgspec

from wardian.errors import InvalidInput, KernelRefused
from wardian.linux.syscall import prctl, syscall


class Capability(enum.IntEnum):
    """Every capability, by its number in <linux/capability.h>."""

    CHOWN = 0
    DAC_OVERRIDE = 1
    DAC_READ_SEARCH = 2
    FOWNER = 3
    FSETID = 4
    KILL = 5
    SETGID = 6
    SETUID = 7
    SETPCAP = 8
    LINUX_IMMUTABLE = 9
    NET_BIND_SERVICE = 10
    NET_BROADCAST = 11
    NET_ADMIN = 12
    NET_RAW = 13
    IPC_LOCK = 14
    IPC_OWNER = 15
    SYS_MODULE = 16
    SYS_RAWIO = 17
    SYS_CHROOT = 18
    SYS_PTRACE = 19
    SYS_PACCT = 20
    SYS_ADMIN = 21
    SYS_BOOT = 22
    SYS_NICE = 23
    SYS_RESOURCE = 24
    SYS_TIME = 25
    SYS_TTY_CONFIG = 26
    MKNOD = 27
    LEASE = 28
    AUDIT_WRITE = 29
    AUDIT_CONTROL = 30
    SETFCAP = 31
    MAC_OVERRIDE = 32
    MAC_ADMIN = 33
    SYSLOG = 34
    WAKE_ALARM = 35
    BLOCK_SUSPEND = 36
    AUDIT_READ = 37
    PERFMON = 38
    BPF = 39
    CHECKPOINT_RESTORE = 40


# What docker and podman leave to a container's root (moby oci/caps/defaults.go).
DEFAULT = frozenset(
    {
        Capability.CHOWN,
        Capability.DAC_OVERRIDE,
        Capability.FSETID,
        Capability.FOWNER,
        Capability.MKNOD,
        Capability.NET_RAW,
        Capability.SETGID,
        Capability.SETUID,
        Capability.SETFCAP,
        Capability.SETPCAP,
        Capability.NET_BIND_SERVICE,
        Capability.SYS_CHROOT,
        Capability.KILL,
        Capability.AUDIT_WRITE,
    }
)

_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]  # ctypes


class _Data(ctypes.Structure):
    _fields_ = [  # ctypes wants a plain list
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


def parse(name: str) -> Capability:
    """A capability by docker's spelling: ``NET_ADMIN`` or ``cap_net_admin``."""
    try:
        return Capability[name.upper().removeprefix("CAP_")]
    except KeyError:
        raise InvalidInput(
            f"unknown capability: {name[:40]}", hint="capabilities(7) lists them, e.g. NET_ADMIN"
        ) from None


def mask(capabilities: Iterable[Capability]) -> int:
    """The set as a bit mask."""
    bits = 0
    for capability in capabilities:
        bits |= 1 << capability
    return bits


def drop_bounding(keep: Iterable[Capability]) -> None:
    """Take every capability but these out of the bounding set, for good."""
    kept = frozenset(keep)
    for capability in Capability:
        if capability in kept:
            continue
        try:
            prctl(_PR_CAPBSET_DROP, capability, f"prctl(PR_CAPBSET_DROP) {capability.name}")
        except KernelRefused as refused:
            if refused.errno != errno.EINVAL:
                raise
            return  # an older kernel does not know this one nor those after it


def clear_ambient() -> None:
    """Empty the ambient set."""
    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, "prctl(PR_CAP_AMBIENT)")


def permitted() -> int:
    """Our permitted set as a bit mask (capget(2))."""
    low, high = _own()
    return int(low.permitted | high.permitted << 32)


def effective() -> int:
    """Our effective set as a bit mask."""
    low, high = _own()
    return int(low.effective | high.effective << 32)


def _own() -> tuple[_Data, _Data]:
    data = (_Data * 2)()
    header = _Header(_VERSION_3, 0)
    syscall("capget", ctypes.byref(header), ctypes.byref(data))
    return data[0], data[1]


def set_capabilities(
    *,
    effective: Iterable[Capability],
    permitted: Iterable[Capability],
    inheritable: Iterable[Capability],
) -> None:
    """capset(2) for this thread."""
    sets = [mask(effective), mask(permitted), mask(inheritable)]
    data = (_Data * 2)(
        _Data(*(bits & 0xFFFFFFFF for bits in sets)), _Data(*(bits >> 32 for bits in sets))
    )
    header = _Header(_VERSION_3, 0)
    syscall("capset", ctypes.byref(header), ctypes.byref(data))


class Capabilities(msgspec.Struct, frozen=True):
    """The five sets of a process, as bit masks."""

    effective: int
    permitted: int
    inheritable: int
    bounding: int
    ambient: int

    @classmethod
    def from_proc(cls, host_pid: int | str = "self", *, proc: str = "/proc") -> Capabilities:
        """Read from /proc/PID/status."""
        from wardian.linux.proc import Status

        status = Status.from_proc(host_pid, proc=proc)
        if status is None:
            raise KernelRefused("read", errno.ESRCH, f"/proc/{host_pid}/status")
        names = ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")
        try:
            return cls(*(status.masks[name] for name in names))
        except KeyError as error:
            raise KernelRefused("read", errno.ENODATA, f"{error} of /proc/{host_pid}") from error

    def has(self, capability: Capability) -> bool:
        """Whether it is in the effective set."""
        return bool(self.effective >> capability & 1)
