"""``linux.netDevices``: interfaces where the runtime is that become the container's."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from wardian.errors import InvalidInput, KernelRefused
from wardian.linux import namespaces
from wardian.linux.netlink import CREATE, ROUTE, Message, Netlink, attribute, attributes, text
from wardian.oci.config import NetDevice

# <linux/rtnetlink.h>, <linux/if_link.h>, <linux/if_addr.h>
_NEWLINK, _NEWADDR, _GETADDR = 16, 20, 22
_IFINFO = struct.Struct("=BxHiII")  # struct ifinfomsg
_IFADDR = struct.Struct("=BBBBI")  # struct ifaddrmsg
_IFLA_IFNAME, _IFLA_NET_NS_PID = 3, 19
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST = 1, 2, 4
_IFA_F_PERMANENT, _SCOPE_UNIVERSE, _IFF_UP = 0x80, 0, 1
_HEADER_BYTES = 16


def move(devices: Mapping[str, NetDevice], host_pid: int) -> None:
    """Give them to the process's network namespace: with its names, its addresses, and up.

    As config-linux.md has it ("Network Devices"), permanent global addresses go with them.
    """
    for name, wish in devices.items():
        try:
            with Netlink.open(ROUTE) as kernel:
                index = kernel.index_of(name)
                addresses = list(_addresses(kernel, index))
                kernel.ask(_moved(index, host_pid, wish.name or name))
            with _inside(host_pid), Netlink.open(ROUTE) as kernel:
                index = kernel.index_of(wish.name or name)
                kernel.ask(*(_address(data, index) for data in addresses), _up(index))
        except KernelRefused as error:
            what = f"config.json: linux.netDevices {name[:20]}: {os.strerror(error.errno)}"
            raise InvalidInput(what, hint="`ip link` lists what can be given away") from error


def _addresses(kernel: Netlink, index: int) -> Iterator[bytes]:
    for data in kernel.dump(Message(_GETADDR, 0, bytes(_IFADDR.size))):
        body = data[_HEADER_BYTES:]
        _, _, flags, scope, link = _IFADDR.unpack_from(body)
        if link == index and scope == _SCOPE_UNIVERSE and flags & _IFA_F_PERMANENT:
            yield body


def _moved(index: int, host_pid: int, name: str) -> Message:
    where = attribute(_IFLA_NET_NS_PID, struct.pack("=I", host_pid))
    return Message(_NEWLINK, 0, _IFINFO.pack(0, 0, index, 0, 0) + where + text(_IFLA_IFNAME, name))


def _address(body: bytes, index: int) -> Message:
    family, prefix, _, scope, _ = _IFADDR.unpack_from(body)
    kept = (_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST)
    rest = (
        attribute(kind, data) for kind, data in attributes(body[_IFADDR.size :]) if kind in kept
    )
    return Message(_NEWADDR, CREATE, _IFADDR.pack(family, prefix, 0, scope, index) + b"".join(rest))


def _up(index: int) -> Message:
    return Message(_NEWLINK, 0, _IFINFO.pack(0, 0, index, _IFF_UP, _IFF_UP))


@contextmanager
def _inside(host_pid: int) -> Iterator[None]:
    """We alone are there for a moment: this process has one thread."""
    ours = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    theirs = os.open(f"/proc/{host_pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        namespaces.setns(theirs, namespaces.CLONE_NEWNET)
        try:
            yield
        finally:
            namespaces.setns(ours, namespaces.CLONE_NEWNET)
    finally:
        os.close(ours)
        os.close(theirs)
