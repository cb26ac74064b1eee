"""The two processes that look after plain cells.

The *steward* is the kernel's child and stands outside of the walls. It is a subreaper (prctl(2)):
whatever the cells start, however it hides, ends up below it, and ends with it. Its child, *init*,
is that of a container (`wardian.runtime.init`) behind the walls: it starts the processes. When init
is killed, or the kernel hangs up, the steward ends the rest.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
from typing import NoReturn

from wardian.bare.directory import LOCK, stamp
from wardian.bare.family import end_descendants
from wardian.bare.messages import Enclose, Enclosed, Refused
from wardian.bare.walls import raise_walls
from wardian.errors import WardianError
from wardian.linux import process
from wardian.runtime import messages as m
from wardian.runtime.init import Init
from wardian.runtime.process import Privileges
from wardian.runtime.wire import Connection

STEWARD_NAME, INIT_NAME = "wardian-steward", "wardian-plain"


def main(orders_fd: int, life_fd: int) -> None:
    """Serve one kernel. ``life_fd`` is a pipe whose other end it holds as long as it lives."""
    process.set_name(STEWARD_NAME)
    process.set_dumpable(False)
    process.set_child_subreaper()
    for fd in (orders_fd, life_fd):  # they came over an execve: no cell shall have them
        os.set_inheritable(fd, False)  # noqa: FBT003  # its own form
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    orders = Connection(socket.socket(fileno=orders_fd))
    order = m.decode(orders.receive().data, Enclose)
    lock_fd = os.open(f"{order.directory}/{LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock_fd, fcntl.LOCK_SH)
    stamp(lock_fd)
    steward = os.getpid()
    init_host_pid = os.fork()
    if init_host_pid == 0:
        _be_init(orders, order, steward)
    orders.close()
    _wait_for_end(life_fd, init_host_pid)
    end_descendants(order.patience_s)
    stamp(lock_fd)  # from now on it is abandoned


def _wait_for_end(life_fd: int, init_host_pid: int) -> None:
    pidfd = os.pidfd_open(init_host_pid)
    poll = select.poll()
    poll.register(life_fd, 0)  # its other end is closed: POLLHUP
    poll.register(pidfd, select.POLLIN)
    poll.poll()
    os.close(pidfd)


def _be_init(orders: Connection, order: Enclose, steward: int) -> NoReturn:
    code = 1
    try:
        process.set_parent_death_signal(signal.SIGKILL)
        if os.getppid() != steward:
            os._exit(code)
        process.set_name(INIT_NAME)
        process.keep_only(orders.fileno())
        os.setsid()
        os.chdir("/")
        os.umask(0o022)
        try:
            walls = raise_walls(order.reach)
        except (WardianError, OSError) as error:
            what = getattr(error, "what", None) or f"cannot raise the walls: {error}"
            orders.send(m.encode(Refused(what=what, hint=getattr(error, "hint", ""))))
        else:
            process.set_dumpable(False)  # nobody behind the walls may trace it
            init = Init(None, owns_pids=False)
            orders.send(m.encode(Enclosed(walls=walls, init_host_pid=os.getpid())))
            init.run(orders, Privileges(frozenset()))
    except (EOFError, WardianError):
        pass
    finally:
        os._exit(code)
