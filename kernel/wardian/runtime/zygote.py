"""The process that containers' first processes are cloned of.

After a fork both sides pay a page fault for every page that they first write to, and Python writes
to whatever it looks at (reference counts). So the keeper forks once, when it is born, and never
again: its own pages stay its own, and every container shares the zygote's. What the zygote clones
is the keeper's child all the same (CLONE_PARENT).
"""

from __future__ import annotations

import gc
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

from wardian.errors import KernelRefused, ProtocolError, SetupError
from wardian.linux import namespaces, process
from wardian.linux.proc import children
from wardian.runtime import messages as m
from wardian.runtime.lending import NOTHING, Loan
from wardian.runtime.wire import SCM_MAX_FD, Connection, Message

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
        self,
        flags: int,
        child_end: socket.socket,
        cgroup_fd: int | None = None,
        loan: Loan = NOTHING,
    ) -> tuple[int, int]:
        """A new process with these namespaces, whose end of its socket this is: PID and pidfd.

        Raises KernelRefused; ZygoteLost if the zygote, or who went on its errand, was killed. Then
        there is another already, and perhaps a process that nobody knows: it ends with the other
        end of its socket, so the next one needs a socket of its own.
        """
        joins = [*loan.join, *(() if loan.user_fd is None else (loan.user_fd,))]
        fds = [child_end.fileno(), *joins, *(() if cgroup_fd is None else (cgroup_fd,))]
        order = m.Clone(flags, len(joins), loan.clocks)
        ask = self._ask_errand if order.takes_errand else self._ask
        answer = ask(order, fds)
        cloned = m.decode(answer.data, m.Cloned)
        if cloned.errno:
            raise KernelRefused("clone3", cloned.errno)
        return cloned.host_pid, answer.fds[0]

    def _ask(self, order: m.Clone, fds: Sequence[int]) -> Message:
        try:
            self._sync.send(m.encode(order), fds)
            return self._sync.receive()
        except (EOFError, ProtocolError) as error:
            self.close()
            self._pid, self._sync = self._fork()
            raise ZygoteLost from error

    def _ask_errand(self, order: m.Clone, fds: Sequence[int]) -> Message:
        """The zygote tells who goes, who goes tells what came of it: or dies, and its socket ends.

        It is ours to wait for, as what it clones is.
        """
        ours, theirs = map(Connection, socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM))
        known = set(children(os.getpid()))
        try:
            told = self._ask(order, (*fds, theirs.fileno()))
            theirs.close()
            errand = m.decode(told.data, m.Cloned)
            if errand.errno:
                return told
            try:
                return ours.receive()
            except (EOFError, ProtocolError) as error:
                _end_strays(known | {errand.host_pid})
                raise ZygoteLost from error
            finally:
                with suppress(ChildProcessError):
                    os.waitpid(errand.host_pid, 0)
        finally:
            ours.close()
            theirs.close()

    def close(self) -> None:
        """End it; what it cloned lives on."""
        self._sync.close()
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _end_strays(known: set[int]) -> None:
    """End and reap what an errand cloned before it was killed, which nobody else knows.

    Unreaped it would keep the init of the PID namespace that it joined from ending.
    """
    for host_pid in set(children(os.getpid())) - known:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(host_pid, signal.SIGKILL)
            os.waitpid(host_pid, 0)


def _serve(sync: Connection, become: Become) -> NoReturn:
    try:
        gc.disable()  # nothing of the keeper's may be finalised here
        process.set_name("wardian-zygote")
        process.keep_only(sync.fileno())
        while True:
            message = sync.receive()
            order = m.decode(message.data, m.Clone)
            go = _send_errand if order.takes_errand else _clone
            go(sync, become, order, message.fds)
            message.close()
    except EOFError:
        pass  # the keeper is gone: so are we
    finally:
        os._exit(0)


def _clone(sync: Connection, become: Become, order: m.Clone, fds: tuple[int, ...]) -> None:
    child_end, *cgroup = fds
    try:
        host_pid, pidfd = process.clone3(
            order.flags | process.CLONE_PARENT, cgroup_fd=cgroup[0] if cgroup else None
        )
    except KernelRefused as error:
        sync.send(m.encode(m.Cloned(0, error.errno)))
    else:
        if host_pid == 0:
            sync.close()  # else its end would seem to live on when who cloned us is killed
            become(Connection(socket.socket(fileno=child_end), max_descriptors=SCM_MAX_FD))
        sync.send(m.encode(m.Cloned(host_pid)), (pidfd,))
        os.close(pidfd)


def _send_errand(sync: Connection, become: Become, order: m.Clone, fds: tuple[int, ...]) -> None:
    """Have the process cloned by one that goes where it is to be born.

    A process of its own: who has joined a user namespace cannot come back.
    """
    try:
        errand_pid, pidfd = process.clone3(process.CLONE_PARENT)
    except KernelRefused as error:
        sync.send(m.encode(m.Cloned(0, error.errno)))
        return
    if errand_pid == 0:
        *rest, answer = fds
        _run_errand(Connection(socket.socket(fileno=answer)), become, order, tuple(rest))
    os.close(pidfd)
    sync.send(m.encode(m.Cloned(errand_pid)))


def _run_errand(sync: Connection, become: Become, order: m.Clone, fds: tuple[int, ...]) -> NoReturn:
    """Go there, clone it, and end."""
    try:
        if any(order.clocks):
            namespaces.shift_clocks(*order.clocks)
        namespaces.join_all(fds[1 : 1 + order.joins])
        _clone(sync, become, order, (fds[0], *fds[1 + order.joins :]))
    except KernelRefused as error:
        sync.send(m.encode(m.Cloned(0, error.errno)))
    finally:
        os._exit(0)
