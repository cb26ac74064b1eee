"""PID 1 of a container: reaps, starts processes, passes on signals.

It is the keeper's child, forked after everything was imported, so the image needs no program of
ours. It listens on a socket whose name lies outside the container; whatever keeper runs at the
moment connects to it, so containers live on when a keeper dies. It cannot be traced or read from
inside (its memory belongs to the keeper's user namespace and it is not dumpable, ptrace(2)).
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections import OrderedDict
from contextlib import suppress
from typing import NoReturn

import msgspec

from wardian.errors import CommandFailed, ProtocolError, WardianError
from wardian.linux import process as processes
from wardian.runtime import messages as m
from wardian.runtime import process
from wardian.runtime.process import Privileges
from wardian.runtime.terminal import open_terminal
from wardian.runtime.wire import Connection

REMEMBERED_EXITS = 256
MAX_TABLE = 60
KILLED = 128 + signal.SIGKILL


class Child(msgspec.Struct):
    """A process that the keeper asked for."""

    key: int
    container_pid: int
    pidfd: int
    kept: list[int] = msgspec.field(default_factory=list)
    exit_code: int = 0


class Starting(msgspec.Struct):
    """A fork that has not reached execve yet."""

    child: Child
    reply_to: Connection
    failure: bytearray = msgspec.field(default_factory=bytearray)
    master: int = -1


class Init:
    """The event loop of PID 1."""

    def __init__(self, listener: socket.socket | None, *, owns_pids: bool = True) -> None:
        """Without a PID namespace of its own it is no PID 1: it adopts what its children leave.

        Without a listener no other keeper can come: it ends with its only one.
        """
        self._listener = listener
        self._owns_pids = owns_pids
        self._privileges = Privileges(frozenset())
        self._selector = selectors.EpollSelector()
        self._keepers: list[Connection] = []
        self._children: dict[int, Child] = {}
        self._starting: dict[int, Starting] = {}
        self._exits: OrderedDict[int, int] = OrderedDict()
        self._deadline: float | None = None

        if not owns_pids:
            processes.set_child_subreaper()
        wake = self._watch_signals()
        if listener is not None:
            listener.settimeout(0)
            self._selector.register(listener, selectors.EVENT_READ, lambda: self._accept(listener))
        self._selector.register(wake, selectors.EVENT_READ, lambda: self._drain(wake))

    def run(self, keeper: Connection, privileges: Privileges) -> NoReturn:
        """Serve until told to shut down or until the main process ends."""
        self._privileges = privileges
        self._listen_to(keeper)
        while True:
            for key, _ in self._selector.select(self._patience()):
                key.data()
            self._reap()
            if self._deadline is not None:
                self._end_if_empty()

    def _watch_signals(self) -> int:
        wake, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for ignored in (signal.SIGINT, signal.SIGPIPE, signal.SIGHUP, signal.SIGTERM):
            signal.signal(ignored, signal.SIG_IGN)
        return wake

    def _drain(self, wake: int) -> None:
        with suppress(BlockingIOError):
            os.read(wake, 4096)

    def _patience(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    # --- the keeper's orders -------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError):
            sock, _ = listener.accept()
            self._listen_to(Connection(sock))

    def _listen_to(self, keeper: Connection) -> None:
        keeper.sock.settimeout(0)
        self._keepers.append(keeper)
        self._selector.register(keeper.sock, selectors.EVENT_READ, lambda: self._serve(keeper))
        if keeper.has_received:  # its first orders came with the last of the set-up
            self._serve(keeper)

    def _serve(self, keeper: Connection) -> None:
        try:
            for message in keeper.receive_ready():
                self._obey(keeper, m.decode_to_init(message.data), message.fds)
        except (EOFError, ProtocolError):
            self._selector.unregister(keeper.sock)
            self._keepers.remove(keeper)
            keeper.close()
            if self._listener is None:
                os._exit(0)

    def _obey(self, keeper: Connection, order: m.ToInit, fds: tuple[int, ...]) -> None:
        match order:
            case m.Spawn():
                self._spawn(keeper, order, fds)
            case m.SendSignal():
                self._signal(order)
            case m.Hello():
                self._tell_table(keeper)
            case m.ShowNamespaces():
                self._show_namespaces(keeper)
            case m.Shutdown(timeout_s=timeout_s, signal=number):
                self._deadline = time.monotonic() + timeout_s
                self._signal_all(number)

    def _tell(self, keeper: Connection, event: m.FromInit, fds: tuple[int, ...] = ()) -> None:
        with suppress(EOFError, ProtocolError):  # the next keeper asks for the table
            keeper.send(m.encode(event), fds)

    def _tell_table(self, keeper: Connection) -> None:
        children = list(self._children.values())[:MAX_TABLE]
        self._tell(
            keeper,
            m.Table(
                running=tuple((child.key, child.container_pid) for child in children),
                exited=tuple(self._exits.items()),
            ),
            (
                *(child.pidfd for child in children),
                *(fd for child in children if child.key == m.MAIN_KEY for fd in child.kept),
            ),
        )

    def _show_namespaces(self, keeper: Connection) -> None:
        """Nobody else may open them who is not root: we are not dumpable (ptrace(2))."""
        fds: list[int] = []
        try:
            how = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
            fds.extend(os.open(f"/proc/self/ns/{kind}", how) for kind in m.NAMESPACES)
        except OSError:
            pass  # the container has mounted something there: the keeper says so
        self._tell(keeper, m.Namespaces(), tuple(fds))
        for fd in fds:
            os.close(fd)

    def _signal(self, order: m.SendSignal) -> None:
        if order.key is None:
            self._signal_all(order.signal)
            return
        for child in self._children.values():
            if child.key != order.key:
                continue
            with suppress(ProcessLookupError):
                if order.group:
                    os.killpg(child.container_pid, order.signal)
                else:
                    os.kill(child.container_pid, order.signal)

    def _signal_all(self, number: int) -> None:
        """Every process but ourselves; where PIDs are shared, those that we were asked for."""
        targets = [-1] if self._owns_pids else list(self._children)
        for target in targets:
            with suppress(ProcessLookupError):
                os.kill(target, number)

    # --- processes -----------------------------------------------------------------------

    def _spawn(self, keeper: Connection, order: m.Spawn, fds: tuple[int, ...]) -> None:
        if order.key == m.MAIN_KEY:  # as docker does; where it cannot be made, entering it says why
            with suppress(OSError):
                os.makedirs(order.process.workdir, mode=0o755, exist_ok=True)
        if not order.terminal and process.is_simple(order.process, self._privileges):
            self._spawn_simply(keeper, order, fds)
        else:
            self._fork(keeper, order, fds)

    def _spawn_simply(self, keeper: Connection, order: m.Spawn, fds: tuple[int, ...]) -> None:
        """posix_spawn(3) copies no page of ours: a third of a fork's cost."""
        given, kept = fds[: len(order.targets)], fds[len(order.targets) :]
        try:
            pid = process.spawn(order.process, dict(zip(order.targets, given, strict=True)))
        except CommandFailed as error:
            self._tell(keeper, m.SpawnFailed(order.key, error.what, error.exit_code, error.hint))
            for fd in fds:
                os.close(fd)
            return
        for fd in given:
            os.close(fd)
        child = Child(order.key, pid, os.pidfd_open(pid), list(kept))
        self._children[pid] = child
        self._tell(keeper, m.Spawned(order.key, pid), (child.pidfd,))

    def _fork(self, keeper: Connection, order: m.Spawn, fds: tuple[int, ...]) -> None:
        """The general way; whether execve worked is learnt from a pipe that execve closes."""
        given, kept = fds[: len(order.targets)], fds[len(order.targets) :]
        descriptors = dict(zip(order.targets, given, strict=True))
        master = slave = -1
        try:
            if order.terminal:
                master, slave = open_terminal(order.process.terminal_size)
                descriptors |= dict.fromkeys((0, 1, 2), slave)
            failure_r, failure_w = os.pipe2(os.O_CLOEXEC)
            pid = os.fork()
        except (OSError, WardianError) as error:
            what = getattr(error, "what", None) or f"cannot start a process: {error}"
            self._tell(keeper, m.SpawnFailed(order.key, what[:4096], 125, _fork_hint(error)))
            for fd in (*fds, master, slave):
                if fd >= 0:
                    os.close(fd)
            return
        if pid == 0:
            process.start(
                order.process,
                descriptors,
                self._privileges,
                failure_fd=failure_w,
                controlling_terminal=order.terminal,
            )
        for fd in (*given, failure_w, slave):
            if fd >= 0:
                os.close(fd)
        child = Child(order.key, pid, os.pidfd_open(pid), list(kept))
        self._children[pid] = child
        self._starting[failure_r] = Starting(child, keeper, master=master)
        self._selector.register(
            failure_r, selectors.EVENT_READ, lambda: self._hear_start(failure_r)
        )

    def _hear_start(self, failure_r: int) -> None:
        starting = self._starting[failure_r]
        if data := os.read(failure_r, 4096):
            starting.failure += data
            return
        self._selector.unregister(failure_r)
        os.close(failure_r)
        del self._starting[failure_r]
        child = starting.child
        if starting.failure:
            code, what, hint = (starting.failure.decode(errors="replace") + "\n\n").split("\n")[:3]
            self._tell(starting.reply_to, m.SpawnFailed(child.key, what, int(code), hint))
        else:
            fds = (child.pidfd,) if starting.master < 0 else (child.pidfd, starting.master)
            self._tell(starting.reply_to, m.Spawned(child.key, child.container_pid), fds)
        if starting.master >= 0:
            if child.key == m.MAIN_KEY:
                child.kept.append(starting.master)  # else a client that detaches hangs it up
            else:
                os.close(starting.master)
        if child.container_pid not in self._children:  # it ended before we heard
            self._report(child)
            os.close(child.pidfd)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if child := self._children.pop(pid, None):
                self._note_exit(child, status)

    def _note_exit(self, child: Child, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        child.exit_code = code if code >= 0 else 128 - code
        if child.key >= m.MAIN_KEY:  # nobody asks for a probe's later
            self._exits[child.key] = child.exit_code
        while len(self._exits) > REMEMBERED_EXITS:
            self._exits.popitem(last=False)
        for fd in child.kept:
            os.close(fd)
        if not any(starting.child is child for starting in self._starting.values()):
            self._report(child)
            os.close(child.pidfd)

    def _report(self, child: Child) -> None:
        for keeper in self._keepers:
            self._tell(keeper, m.Exited(child.key, child.exit_code))
        if child.key == m.MAIN_KEY:
            os._exit(child.exit_code)

    def _end_if_empty(self) -> None:
        """After Shutdown: leave when alone or when the time is up (the kernel ends the rest)."""
        if self._is_alone():
            os._exit(0)
        if self._deadline is not None and time.monotonic() >= self._deadline:
            has_main = any(child.key == m.MAIN_KEY for child in self._children.values())
            os._exit(KILLED if has_main else 0)

    def _is_alone(self) -> bool:
        try:
            if self._owns_pids:
                os.kill(-1, 0)
            else:
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except (ProcessLookupError, ChildProcessError):
            return True
        return False


def _fork_hint(error: Exception) -> str:
    return process.why_no_process(error) if isinstance(error, OSError) else error.hint  # type: ignore[attr-defined]
