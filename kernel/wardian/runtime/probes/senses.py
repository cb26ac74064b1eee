"""Probes of what the views and later networks use: events, pressure, netlink, programs."""

from __future__ import annotations

import os
import select
import shutil
import socket
import struct
from pathlib import Path

from wardian.errors import KernelRefused, SetupError
from wardian.linux.namespaces import CLONE_NEWNET
from wardian.linux.proc_connector import ProcConnector
from wardian.linux.syscall import check, libc
from wardian.network import outlet
from wardian.runtime.probes.attempt import Result, attempt, in_namespaces

# Flags of fanotify_init(2) and fanotify_mark(2).
_FAN_CLOEXEC = 0x1
_FAN_REPORT_DFID_NAME = 0x400 | 0x800
_FAN_MARK_ADD = 0x1
_FAN_CREATE = 0x100
_AT_FDCWD = -100

# From <linux/netfilter/nfnetlink.h> and nf_tables.h, see netlink(7).
_NETLINK_NETFILTER = 12
_NFT_MSG_GETGEN = 10 << 8 | 16
_NLM_F_REQUEST = 1
_NLMSG_ERROR = 2


def process_events() -> Result:
    """The proc connector: forks, execs and exits as they happen."""

    def deed() -> str:
        connector = ProcConnector.open()
        if connector is None:
            raise SetupError("the kernel does not answer")
        connector.close()
        return ""

    return attempt(deed)


def file_events(scratch: Path) -> Result:
    """Watch a directory by fanotify: a file is made there, and heard of."""

    def deed() -> str:
        flags = _FAN_CLOEXEC | _FAN_REPORT_DFID_NAME
        fd = check(libc.fanotify_init(flags, os.O_RDONLY), "fanotify_init")
        check(
            libc.fanotify_mark(
                fd, _FAN_MARK_ADD, _mask(_FAN_CREATE), _AT_FDCWD, os.fsencode(scratch)
            ),
            "fanotify_mark",
        )
        (scratch / "made").touch()
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(500):
            raise SetupError("a file was made, and no event came")
        return ""

    return attempt(deed)


def _mask(events: int) -> object:
    import ctypes

    return ctypes.c_uint64(events)


def pressure() -> Result:
    """PSI: how long tasks waited for memory, CPU and disks."""

    def deed() -> str:
        text = Path("/proc/pressure/memory").read_text()
        if not text.startswith("some avg10="):
            raise SetupError("/proc/pressure/memory is not readable")
        return ""

    return attempt(deed)


def firewall() -> Result:
    """nf_tables in a network namespace of our own answers a question."""

    def deed() -> str:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as sock:
            sock.settimeout(1.0)
            body = struct.pack("=BBH", 0, 0, 0)
            header = struct.pack("=IHHII", 16 + len(body), _NFT_MSG_GETGEN, _NLM_F_REQUEST, 1, 0)
            sock.send(header + body)
            answer = sock.recv(4096)
        _, kind = struct.unpack_from("=IH", answer)
        if kind == _NLMSG_ERROR:
            (refused,) = struct.unpack_from("=i", answer, 16)
            raise KernelRefused("nf_tables", -refused)
        return ""

    return in_namespaces(CLONE_NEWNET, deed)


def rootless_network() -> Result:
    """A program that gives a user's network namespace a way out, and the device that it needs."""
    chosen = outlet.choose()
    return Result(works=bool(chosen.path), detail=chosen.name or chosen.why)


def fuse() -> Result:
    """/dev/fuse, for fuse-overlayfs."""

    def deed() -> str:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
        return ""

    return attempt(deed)


def program(name: str) -> Result:
    """Whether a program is installed."""
    where = shutil.which(name)
    return Result(works=where is not None, detail="" if where else f"{name} is not installed")
