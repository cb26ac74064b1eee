"""The proc connector: the kernel tells of every fork, exec and exit, by netlink.

It needs CAP_NET_ADMIN and the initial user and PID namespaces (linux/drivers/connector/cn_proc.c);
elsewhere the kernel stays silent, and :meth:`ProcConnector.open` returns None.
"""

from __future__ import annotations

import enum
import os
import select
import socket
import struct
import time
from contextlib import suppress

import msgspec

_NETLINK_CONNECTOR = 11
_CN_IDX_PROC = 1
_CN_VAL_PROC = 1
_NLMSG_DONE = 3
_PROC_CN_MCAST_LISTEN = 1
_PROC_CN_MCAST_IGNORE = 2
_REQUEST = struct.Struct("=IHHII IIIIHH I")  # nlmsghdr, cn_msg, proc_cn_mcast_op
_EVENT_AT = 36  # after nlmsghdr (16) and cn_msg (20)
_WHAT = struct.Struct("=I")
_ERROR_AT = _EVENT_AT + 16  # after what, cpu, timestamp
_FOUR = struct.Struct("=IIII")
_ANSWERED_AT = 28  # cn_msg.ack: one more than that of the request
_ACK_TIMEOUT_S = 0.2
_RECEIVE_BUFFER_BYTES = 1 << 20


class What(enum.IntEnum):
    """``enum proc_cn_event`` of linux/cn_proc.h, those that we use."""

    ACK = 0
    FORK = 0x1
    EXEC = 0x2
    COMM = 0x200
    EXIT = 0x80000000


class ProcEvent(msgspec.Struct, frozen=True):
    """Something that happened to a process (not to a thread).

    ``parent_host_pid`` is known of a fork; ``wait_status`` (wait(2)) of an exit.
    """

    what: What
    host_pid: int
    parent_host_pid: int = 0
    wait_status: int = 0


class ProcConnector:
    """A subscription. ``fileno()`` is readable when events wait."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    @classmethod
    def open(cls) -> ProcConnector | None:
        """Subscribe, or None where the kernel does not allow it."""
        connection = None
        try:
            connection = socket.socket(
                socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, _NETLINK_CONNECTOR
            )
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            connection.bind((0, _CN_IDX_PROC))
            token = int.from_bytes(os.urandom(3), "big")
            connection.send(_request(_PROC_CN_MCAST_LISTEN, token))
            if _is_acknowledged(connection, token):
                return cls(connection)
        except OSError:
            pass
        if connection is not None:
            connection.close()
        return None

    def fileno(self) -> int:
        """The file descriptor, for poll(2)."""
        return self._socket.fileno()

    def read(self, max_events: int = 4096) -> tuple[list[ProcEvent], bool]:
        """The events that wait, and whether some were lost because we were too slow."""
        events: list[ProcEvent] = []
        for _ in range(max_events):
            try:
                data = self._socket.recv(256)
            except BlockingIOError:
                return events, False
            except OSError:  # ENOBUFS: the queue ran over
                return events, True
            if (event := _parse(data)) is not None:
                events.append(event)
        return events, False

    def close(self) -> None:
        """Unsubscribe: kernels before 6.6 don't notice that a listener's socket is gone."""
        with suppress(OSError):
            self._socket.send(_request(_PROC_CN_MCAST_IGNORE))
        self._socket.close()


def _request(operation: int, token: int = 0) -> bytes:
    return _REQUEST.pack(
        *(_REQUEST.size, _NLMSG_DONE, 0, 0, os.getpid()),
        *(_CN_IDX_PROC, _CN_VAL_PROC, 0, token, 4, 0),
        operation,
    )


def _is_acknowledged(connection: socket.socket, token: int) -> bool:
    """Wait for the kernel's answer to our request, which goes to every listener.

    Events alone prove nothing: they come as long as anybody else on the host listens.
    """
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    deadline = time.monotonic() + _ACK_TIMEOUT_S
    while (left_s := deadline - time.monotonic()) > 0 and poll.poll(left_s * 1000):
        data = connection.recv(256)
        if len(data) < _ERROR_AT + _WHAT.size:
            continue
        (what,) = _WHAT.unpack_from(data, _EVENT_AT)
        (answered,) = _WHAT.unpack_from(data, _ANSWERED_AT)
        if what == What.ACK and answered == token + 1:
            (error,) = _WHAT.unpack_from(data, _ERROR_AT)
            return bool(error == 0)
    return False


def _parse(data: bytes) -> ProcEvent | None:
    if len(data) < _ERROR_AT + _FOUR.size:
        return None
    (what,) = _WHAT.unpack_from(data, _EVENT_AT)
    first, second, third, fourth = _FOUR.unpack_from(data, _ERROR_AT)
    if what == What.FORK:  # parent_pid, parent_tgid, child_pid, child_tgid
        return ProcEvent(What.FORK, fourth, second) if third == fourth else None
    if first != second:  # a thread's: process_pid is not its process_tgid
        return None
    if what == What.EXIT:  # process_pid, process_tgid, exit_code, exit_signal
        return ProcEvent(What.EXIT, second, wait_status=third)
    if what in (What.EXEC, What.COMM):
        return ProcEvent(What(what), second)
    return None
