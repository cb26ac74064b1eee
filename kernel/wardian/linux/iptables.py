"""The old iptables' filter table (ip_tables of the kernel), which nftables does not show."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from contextlib import suppress
from pathlib import Path

from wardian.linux.syscall import libc

_GET_INFO, _GET_ENTRIES = 64, 65  # IPT_SO_*
_FORWARD = 2  # NF_INET_FORWARD
_INFO = struct.Struct("=32sI5I5III")
_ENTRIES_BYTES = 40  # struct ipt_get_entries before its entries
_TARGET_OFFSET = struct.Struct("=84xIH")  # of struct ipt_entry
_VERDICT_AT = 32  # struct xt_standard_target
_NF_DROP = -1  # as a verdict: -NF_DROP - 1


def drops_forwarded(link: str) -> bool:
    """Whether its chain FORWARD drops what no rule accepts, and no rule is about the link.

    Loads no module to find out.
    """
    with suppress(OSError):
        if "filter" in Path("/proc/net/ip_tables_names").read_text().split():
            with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
                return _policy(sock, link.encode()) == _NF_DROP
    return False


def _policy(sock: socket.socket, link: bytes) -> int | None:
    """The verdict at the end of the chain; None if a rule names the link before."""
    info = _INFO.unpack(_get(sock, _GET_INFO, bytearray(b"filter".ljust(_INFO.size, b"\0"))))
    first, last, size = info[2 + _FORWARD], info[7 + _FORWARD], info[-1]
    ask = bytearray(b"filter".ljust(32, b"\0") + struct.pack("=I", size))
    entries = _get(sock, _GET_ENTRIES, ask.ljust(_ENTRIES_BYTES + size, b"\0"))
    at = _ENTRIES_BYTES + last
    if link + b"\0" in entries[_ENTRIES_BYTES + first : at]:  # iniface, outiface of struct ipt_ip
        return None
    _, target = _TARGET_OFFSET.unpack_from(entries, at)
    return int(struct.unpack_from("=i", entries, at + target + _VERDICT_AT)[0])


def _get(sock: socket.socket, option: int, data: bytearray) -> bytes:
    """getsockopt(2), which reads the buffer, too, and may be long. Raises OSError."""
    buffer = (ctypes.c_char * len(data)).from_buffer(data)
    length = ctypes.c_uint(len(data))
    if libc.getsockopt(
        sock.fileno(), socket.IPPROTO_IP, option, ctypes.byref(buffer), ctypes.byref(length)
    ):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return bytes(data)
