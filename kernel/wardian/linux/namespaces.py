"""Namespaces (namespaces(7)): making, joining, naming them."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterable

import msgspec

from wardian.errors import KernelRefused
from wardian.linux.syscall import check, libc

CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

KINDS = ("mnt", "pid", "net", "uts", "ipc", "user", "cgroup", "time")

_NS_GET_USERNS = 0xB701
_NS_GET_NSTYPE = 0xB703
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_IFREQ = struct.Struct("16sh22x")


class Namespace(msgspec.Struct, frozen=True):
    """A namespace: its kind (``pid``, ``mnt`` …) and the inode that names it."""

    kind: str
    device: int
    inode: int

    @classmethod
    def of(cls, host_pid: int, kind: str, *, proc: str = "/proc") -> Namespace:
        """The namespace of this kind that a process is in."""
        status = os.stat(f"{proc}/{host_pid}/ns/{kind}")
        return cls(kind, status.st_dev, status.st_ino)


def unshare(flags: int) -> None:
    """unshare(2)."""
    check(libc.unshare(flags), "unshare", f"{flags:#x}")


def setns(fd: int, flags: int = 0) -> None:
    """setns(2)."""
    check(libc.setns(fd, flags), "setns")


def owner(fd: int) -> int:
    """The user namespace that a namespace belongs to, as a descriptor (ioctl_ns(2))."""
    try:
        return fcntl.ioctl(fd, _NS_GET_USERNS)
    except OSError as error:
        raise KernelRefused("ioctl", error.errno or 0, "NS_GET_USERNS") from error


def kind_of(fd: int) -> int:
    """Which CLONE_NEW* flag a namespace's descriptor is of (ioctl_ns(2)); OSError if it is none."""
    return fcntl.ioctl(fd, _NS_GET_NSTYPE)


def is_of_kind(fd: int, kind: str) -> bool:
    """Whether a descriptor from somebody hostile is a namespace's; no file system is asked."""
    return os.readlink(f"/proc/self/fd/{fd}").startswith(f"{kind}:[")


def join_all(fds: Iterable[int]) -> None:
    """setns(2) for each of several namespaces, a user namespace last.

    Root may join anything at once, others only as root of that user namespace.
    """
    later = []
    for fd in fds:
        try:
            setns(fd)
        except KernelRefused as error:
            if error.errno != errno.EPERM:
                raise
            later.append(fd)
    for fd in later:
        setns(fd)


def shift_clocks(
    monotonic_s: int, boottime_s: int, *, monotonic_ns: int = 0, boottime_ns: int = 0
) -> None:
    """Give the children to come clocks that are ahead by so much (time_namespaces(7))."""
    unshare(CLONE_NEWTIME)
    text = f"monotonic {monotonic_s} {monotonic_ns}\nboottime {boottime_s} {boottime_ns}\n"
    try:
        with open("/proc/self/timens_offsets", "w", encoding="ascii") as offsets:
            offsets.write(text)
    except OSError as error:
        raise KernelRefused("write", error.errno or 0, "/proc/self/timens_offsets") from error


def sethostname(name: str) -> None:
    """sethostname(2), for this UTS namespace."""
    data = name.encode()
    check(libc.sethostname(data, len(data)), "sethostname", name)


def setdomainname(name: str) -> None:
    """setdomainname(2): the NIS domain of this UTS namespace."""
    data = name.encode()
    check(libc.setdomainname(data, len(data)), "setdomainname", name)


def bring_up_loopback() -> None:
    """Set ``lo`` up in this network namespace (netdevice(7)); the kernel adds its addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, _IFREQ.pack(b"lo", 0))
        _, flags = _IFREQ.unpack(answer)
        fcntl.ioctl(sock, _SIOCSIFFLAGS, _IFREQ.pack(b"lo", flags | _IFF_UP))
