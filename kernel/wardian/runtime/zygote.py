"""The process that containers' first processes are cloned of.

After a fork both sides pay a page fault for every page that they first write to, and Python writes
to whatever it looks at (reference counts). So the keeper forks once, when it is born, and never
again: its own pages stay its own, and every container shares the zygote's. What the zygote clones
is the keeper's child all the same (CLONE_PARENT).
"""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from wardian.errors import KernelRefused, ProtocolError, SetupError
from wardian.linux import process
from wardian.runtime import messages as m
from wardian.runtime.wire import Connection

Become = Callable[[Connection], NoReturn]


class ZygoteLost(SetupError):
    """The zygote has died while it was asked."""

    def __init__(self) -> None:
        super().__init__("the keeper's helper ends again and again", hint="see keeper.log")


class Zygote:
    """The keeper's side. Must be made before the keeper has a second thread."""

    def __init__(self, become: Become) -> None:
        self._become = become
        self._pid, self._sync = self._fork()

    def _fork(self) -> tuple[int, Connection]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        pid = os.fork()
        if pid == 0:
            _serve(Connection(theirs), self._become)
        theirs.close()
        return pid, Connection(ours)

    def clone(
        self, flags: int, child_end: socket.socket, cgroup_fd: int | None = None
    ) -> tuple[int, int]:
        """A new process with these namespaces, whose end of its socket this is: PID and pidfd.

        Raises KernelRefused; ZygoteLost if the zygote was killed. Then there is another already,
        and perhaps a process that nobody knows: it ends with the other end of its socket, so the
        next one needs a socket of its own.
        """
        fds = [child_end.fileno(), *(() if cgroup_fd is None else (cgroup_fd,))]
        try:
            self._sync.send(m.encode(m.Clone(flags)), fds)
            answer = self._sync.receive()
        except (EOFError, ProtocolError) as error:
            self.close()
            self._pid, self._sync = self._fork()
            raise ZygoteLost from error
        cloned = m.decode(answer.data, m.Cloned)
        if cloned.errno:
            raise KernelRefused("clone3", cloned.errno)
        return cloned.host_pid, answer.fds[0]

    def close(self) -> None:
        """End it; what it cloned lives on."""
        self._sync.close()
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _serve(sync: Connection, become: Become) -> NoReturn:
    try:
        gc.disable()  # nothing of the keeper's may be finalised here
        process.set_name("wardian-zygote")
        process.keep_only(sync.fileno())
        while True:
            message = sync.receive()
            order = m.decode(message.data, m.Clone)
            child_end, *cgroup = message.fds
            try:
                host_pid, pidfd = process.clone3(
                    order.flags | process.CLONE_PARENT, cgroup_fd=cgroup[0] if cgroup else None
                )
            except KernelRefused as error:
                sync.send(m.encode(m.Cloned(0, error.errno)))
            else:
                if host_pid == 0:
                    become(Connection(socket.socket(fileno=child_end)))
                sync.send(m.encode(m.Cloned(host_pid)), (pidfd,))
                os.close(pidfd)
            message.close()
    except EOFError:
        pass  # the keeper is gone: so are we
    finally:
        os._exit(0)
