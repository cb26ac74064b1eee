"""A running container as the keeper holds it: init's socket, its processes, who waits for what."""

from __future__ import annotations

import os
import re
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self, cast

import msgspec

from wardian.cgroups.cgroup import Cgroup
from wardian.errors import (
    CommandFailed,
    FailedPrecondition,
    KernelRefused,
    ProtocolError,
    WardianError,
)
from wardian.linux import namespaces, process, unix_socket
from wardian.linux.clock import boot_id
from wardian.linux.process import start_ticks
from wardian.runtime import fuse_server, oom
from wardian.runtime import messages as m
from wardian.runtime.logs import LogWriter
from wardian.runtime.loop import Loop
from wardian.runtime.relay import STREAMS, Relay, give_pipes, own_master, own_pipe_end
from wardian.runtime.spec import ProcessSpec
from wardian.runtime.state import Record, Status
from wardian.runtime.wire import Connection, Message

REMEMBERED_EXITS = 512
_ANSWER_S = 5.0
_SERVER_GRACE_S = 1.0
Spawned = Callable[[m.SpawnedProcess | WardianError, tuple[int, ...]], None]
Ended = Callable[[int], None]


class Running(msgspec.Struct):
    """A process in the container that the keeper knows by key."""

    container_pid: int
    host_pid: int


class Starting(msgspec.Struct):
    """A process that init was asked for and has not confirmed."""

    spec: ProcessSpec
    has_terminal: bool
    done: Spawned


class Live(msgspec.Struct):
    """One running container. ``record`` is what is on disk.

    ``before`` is what it is again when it ends, if it runs only for ``borrowers`` who look at its
    files.
    """

    loop: Loop
    record: Record
    home: Path
    cgroup: Cgroup
    pidfd: int
    init: Connection | None = None
    starting: dict[int, Starting] = msgspec.field(default_factory=dict)
    running: dict[int, Running] = msgspec.field(default_factory=dict)
    exits: dict[int, int] = msgspec.field(default_factory=dict)
    waiting: dict[int, list[Ended]] = msgspec.field(default_factory=dict)
    on_stopped: list[Ended] = msgspec.field(default_factory=list)
    stop_reason: str = ""
    before: Record | None = None
    borrowers: int = 0
    relay: Relay = cast("Relay", None)  # made of the others when they are known
    _inputs: list[int] = msgspec.field(default_factory=list)
    _namespaces: tuple[int, ...] = ()
    _server: int = -1
    _awaits_table: bool = False
    _next_key: int = m.MAIN_KEY + 1
    _next_probe: int = m.MAIN_KEY - 1

    def __post_init__(self) -> None:
        self.relay = Relay(self.loop, LogWriter(self.home, self.record.spec.log))

    @classmethod
    def reconnect(cls, loop: Loop, record: Record, home: Path, cgroup: Cgroup) -> Self:
        """One that an earlier keeper has started; OSError if its init is gone."""
        if record.boot_id != boot_id() or record.host_pid is None:
            raise ProcessLookupError
        pidfd = os.pidfd_open(record.host_pid)
        try:
            if start_ticks(record.host_pid) != record.started_ticks:
                raise ProcessLookupError
            init = Connection(unix_socket.connect(home / "init.sock"))
        except OSError:
            os.close(pidfd)
            raise
        live = cls(loop, record, home, cgroup, pidfd)
        live.connect(init)
        live.ask_for_table()
        try:
            live.watch_server(fuse_server.noted(home))
        except ProcessLookupError:
            loop.later(0, live._lose_files)
        return live

    def connect(self, init: Connection) -> None:
        """Speak to init through this connection from now on."""
        self.init = init
        self.loop.serve(init, self._hear, self._lost)

    def watch_server(self, pidfd: int | None) -> None:
        """End with the process that serves its files (fuse-overlayfs), if that is first to end."""
        if pidfd is None:
            return
        self._server = pidfd

        def ended() -> None:
            self._forget_server()
            # A container's end is its server's, which the kernel may tell of sooner.
            self.loop.later(_SERVER_GRACE_S, self._lose_files)

        self.loop.watch(pidfd, ended)

    def _forget_server(self) -> None:
        if self._server >= 0:
            self.loop.unwatch(self._server)
            os.close(self._server)
            self._server = -1

    def _lose_files(self) -> None:
        if self.pidfd >= 0:
            self.stop_reason = "fuse-overlayfs ended, and the container's files with it"
            self.kill()

    def give_up(self) -> None:
        """The start has failed: forget what was ordered; whoever starts it tells why."""
        self.starting.clear()
        self.relay.drop()
        self._drop_inputs()

    def _lost(self) -> None:
        self.init = None
        for key in list(self.starting):
            self.starting.pop(key).done(_died_meanwhile(), ())

    # --- orders --------------------------------------------------------------------------

    def spawn(
        self,
        spec: ProcessSpec,
        targets: Sequence[int],
        fds: Sequence[int],
        *,
        terminal: bool,
        done: Spawned,
    ) -> None:
        """Start a process; ``done`` hears its numbers and pidfd, or why not."""
        key, self._next_key = self._next_key, self._next_key + 1
        self._order(m.Spawn(key, spec, tuple(targets), terminal), fds, done)

    def spawn_probe(self, spec: ProcessSpec, output: int, done: Spawned) -> int:
        """Start a process for a healthcheck, with one descriptor for its output; its key."""
        key, self._next_probe = self._next_probe, self._next_probe - 1
        self._order(m.Spawn(key, spec, (1, 2)), (output, output), done)
        return key

    def spawn_main(
        self,
        spec: ProcessSpec,
        targets: Sequence[int],
        fds: Sequence[int],
        *,
        terminal: bool,
        done: Spawned,
    ) -> None:
        """Start the main process, by whose end the container ends.

        Unless it is given where to write, or a terminal that the caller wants, it is relayed.
        """
        if not {1, 2}.isdisjoint(targets) or (terminal and not self.record.spec.tty):
            self._order(m.Spawn(m.MAIN_KEY, spec, tuple(targets), terminal), fds, done)
        elif terminal:  # its master comes when it has started
            self._order(m.Spawn(m.MAIN_KEY, spec, (), terminal=True), (), done)
        else:
            self._spawn_relayed(spec, targets, fds, done)

    def _spawn_relayed(
        self, spec: ProcessSpec, targets: Sequence[int], fds: Sequence[int], done: Spawned
    ) -> None:
        """Init keeps our ends of the pipes, too, for the next keeper."""
        pipes = [os.pipe2(os.O_CLOEXEC) for _ in STREAMS]
        ours, theirs = [end for end, _ in pipes], [end for _, end in pipes]
        numbers = [1, 2]
        if self.record.spec.open_stdin and 0 not in targets:
            read_end, write_end = os.pipe2(os.O_CLOEXEC)
            numbers.append(0)
            theirs.append(read_end)
            ours.append(write_end)
        given = (*theirs, *fds, *ours)
        self._order(m.Spawn(m.MAIN_KEY, spec, (*numbers, *targets)), given, done)
        for fd in theirs:
            os.close(fd)
        self._relay_pipes(ours)

    def _order(self, order: m.Spawn, fds: Sequence[int], done: Spawned) -> None:
        if self.init is None:
            raise _died_meanwhile()
        oom.check(self.record.host_pid, order.process.oom_score_adj)
        give_pipes(fds, self.record.first_host_id)
        self.starting[order.key] = Starting(order.process, order.terminal, done)
        self.loop.send(self.init, m.encode(order), fds)

    def ask_for_table(self) -> None:
        """Hear from init what runs: it was started by another keeper.

        Until it answers, we know no key that is taken; ours begin where no earlier keeper's were.
        """
        self._next_key = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000 << 20
        self._next_probe = -self._next_key
        if self.init is not None:
            self._awaits_table = True
            self.loop.send(self.init, m.encode(m.Hello()))

    def signal(self, number: int, key: int | None, *, group: bool = False) -> None:
        """Send a signal to one process (or to its process group), or to all but init."""
        if self.init is not None:
            self.loop.send(self.init, m.encode(m.SendSignal(number, key, group)))

    def shut_down(self, timeout_s: float, number: int) -> None:
        """Ask init to end everything, and make sure of it a second after the time is up."""
        if self.init is not None:
            self.loop.send(self.init, m.encode(m.Shutdown(timeout_s, number)))
            self.loop.later(timeout_s + 1.0, self.kill)
        else:
            self.kill()

    def kill(self) -> None:
        """SIGKILL init; the kernel ends the rest of the PID namespace (pid_namespaces(7))."""
        if self.pidfd >= 0:
            with suppress(KernelRefused):
                self.cgroup.thaw()
            with suppress(KernelRefused):
                process.pidfd_send_signal(self.pidfd, 9)
        self._kill_rest()

    def wait_for_end(self) -> None:
        """Of an init that was killed with nobody beside it: a moment."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        if not poll.poll(_ANSWER_S * 1000):
            raise FailedPrecondition(
                f"container {self.record.spec.name} has not ended", hint="try again in a moment"
            )

    def _kill_rest(self) -> None:
        """Where the PID namespace is shared, it does not end with init."""
        if not self.record.spec.sharing.owns_pids:
            with suppress(WardianError, OSError):
                self.cgroup.kill()

    def wait(self, key: int, done: Ended) -> None:
        """Call ``done`` with the exit code of a process, now or later."""
        if key in self.exits:
            done(self.exits[key])
        else:
            self.waiting.setdefault(key, []).append(done)

    # --- what init says (hostile) --------------------------------------------------------

    def _hear(self, message: Message) -> None:
        try:
            event = m.decode_from_init(message.data)
        except (msgspec.MsgspecError, RecursionError):
            message.close()
            return
        match event:
            case m.Spawned():
                self._note_spawned(event, message.fds)
                return
            case m.SpawnFailed():
                if starting := self.starting.pop(event.key, None):
                    error = CommandFailed(event.what, exit_code=event.exit_code, hint=event.hint)
                    starting.done(error, ())
                if event.key == m.MAIN_KEY:
                    self.stop_reason = event.what
                    self.exits[m.MAIN_KEY] = event.exit_code
                    self.kill()
            case m.Exited():
                self._note_exit(event.key, event.exit_code)
            case m.Table() if self._awaits_table:
                self._awaits_table = False
                self._note_table(event, message.fds)
                return
            case m.Namespaces() if not self._namespaces and len(message.fds) == len(m.NAMESPACES):
                if all(map(namespaces.is_of_kind, message.fds, m.NAMESPACES)):
                    self._namespaces = message.fds
                    return
        message.close()

    def _note_spawned(self, event: m.Spawned, fds: tuple[int, ...]) -> None:
        starting = self.starting.pop(event.key, None)
        is_whole = starting is not None and len(fds) == 1 + starting.has_terminal
        host_pid = pid_of(fds[0]) if is_whole else None
        if starting is None or host_pid is None:
            for fd in fds:
                os.close(fd)
            if starting is not None:
                starting.done(_died_meanwhile(), ())
            return
        self.running[event.key] = Running(event.container_pid, host_pid)
        if event.key == m.MAIN_KEY and starting.has_terminal and self.record.spec.tty:
            self._relay_terminal(fds[1])
        if starting.spec.oom_score_adj and host_pid:
            oom.prefer(host_pid, starting.spec.oom_score_adj)
        starting.done(m.SpawnedProcess(event.key, event.container_pid, host_pid), fds)
        for fd in fds:
            os.close(fd)

    def _note_exit(self, key: int, exit_code: int) -> None:
        if key not in self.running and key not in self.waiting and key != m.MAIN_KEY:
            return
        self.running.pop(key, None)
        if key >= m.MAIN_KEY:
            self.exits[key] = exit_code
        while len(self.exits) > REMEMBERED_EXITS:
            self.exits.pop(next(iter(self.exits)))
        for done in self.waiting.pop(key, ()):
            done(exit_code)

    def _note_table(self, table: m.Table, fds: tuple[int, ...]) -> None:
        """A new keeper learns what runs: processes, exit codes, the main process's output."""
        pidfds, kept = fds[: len(table.running)], fds[len(table.running) :]
        for (key, container_pid), pidfd in zip(table.running, pidfds, strict=False):
            if key < m.MAIN_KEY:  # the last keeper's question: nobody hears the answer
                self.signal(signal.SIGKILL, key, group=True)
            elif host_pid := pid_of(pidfd):
                self.running[key] = Running(container_pid, host_pid)
            os.close(pidfd)
        self.exits.update(table.exited)
        known = [key for key, _ in (*table.running, *table.exited)]
        self._next_key = max([self._next_key, *(key + 1 for key in known)])
        if len(kept) in (len(STREAMS), len(STREAMS) + 1):
            self._relay_pipes(kept)
            return
        if len(kept) == 1 and self.record.spec.tty:
            self._relay_terminal(kept[0])
        for fd in kept:
            os.close(fd)

    # --- its namespaces ------------------------------------------------------------------

    @contextmanager
    def namespace(self, kind: str) -> Iterator[int]:
        """A descriptor of one of its namespaces, for a moment. FailedPrecondition."""
        fd = self._open_namespace(kind)
        if fd is None:
            self._ask_for_namespaces()
            yield self._namespaces[m.NAMESPACES.index(kind)]
            return
        try:
            yield fd
        finally:
            os.close(fd)

    def hold_namespaces(self) -> None:
        """Be able to show them from now on, be it frozen."""
        fd = self._open_namespace("user")
        if fd is None:
            self._ask_for_namespaces()
        else:
            os.close(fd)

    def _open_namespace(self, kind: str) -> int | None:
        """None if only init can show it: to a user, and to root without CAP_SYS_PTRACE."""
        try:
            return os.open(f"/proc/{self.record.host_pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise _died_meanwhile() from None
        except PermissionError:
            return None

    def _ask_for_namespaces(self) -> None:
        if self._namespaces:
            return
        name = self.record.spec.name
        if self.record.status is Status.PAUSED:
            what = f"container {name} was paused by an earlier keeper"
            raise FailedPrecondition(what, hint=f"let it go on with `wardian unpause {name}`")
        if self.init is None:
            raise _died_meanwhile()
        self.loop.send(self.init, m.encode(m.ShowNamespaces()))
        deadline, poll = time.monotonic() + _ANSWER_S, select.poll()
        poll.register(self.init.sock, select.POLLIN)
        with suppress(EOFError, ProtocolError):  # the loop sees it, too
            while not self._namespaces and poll.poll(max(0, deadline - time.monotonic()) * 1000):
                for message in self.init.receive_ready():
                    self._hear(message)
        if not self._namespaces:
            what = f"the namespaces of container {name} cannot be entered"
            raise FailedPrecondition(what, hint="has it mounted something over its /proc?")

    # --- the main process's streams ------------------------------------------------------

    def _relay_pipes(self, ends: Sequence[int]) -> None:
        """Stdout and stderr, and the writing end of stdin if it is kept open; all ours now."""
        for stream, given in zip(STREAMS, ends, strict=False):
            if (fd := own_pipe_end(given)) is not None:
                self.relay.read(fd, stream)
        for given in ends[len(STREAMS) :]:
            if (fd := own_pipe_end(given, os.O_WRONLY)) is not None:
                self._inputs.append(fd)

    def _relay_terminal(self, master: int) -> None:
        if (fd := own_master(master)) is not None:
            self.relay.read(fd, "stdout")
            self._inputs.append(os.dup(fd))

    @property
    def inputs(self) -> tuple[int, ...]:
        """Where those who attach write to the main process: at most one descriptor."""
        return tuple(self._inputs)

    @property
    def streams(self) -> tuple[str, ...]:
        """What there is to see of the main process; a terminal has but one stream."""
        return STREAMS[:1] if self.record.spec.tty else STREAMS

    def _drop_inputs(self) -> None:
        while self._inputs:
            os.close(self._inputs.pop())

    def hear_last_words(self) -> None:
        """Init has ended: what it still said counts, such as why the program did not start."""
        with suppress(EOFError, ProtocolError):
            while self.init is not None and (messages := self.init.receive_ready()):
                for message in messages:
                    self._hear(message)

    def close(self, exit_code: int) -> None:
        """The container has ended: keep the last output, answer everybody who waits."""
        self._kill_rest()
        self.relay.close()
        self._drop_inputs()
        if self.init is not None:
            self.loop.drop(self.init)
        self._lost()
        for fd in self._namespaces:
            os.close(fd)
        self._namespaces = ()
        self._forget_server()
        self.loop.unwatch(self.pidfd)
        os.close(self.pidfd)
        self.pidfd = -1
        for callbacks in self.waiting.values():
            for done in callbacks:
                done(137)
        self.waiting.clear()
        for done in self.on_stopped:
            done(exit_code)
        self.on_stopped.clear()


def pid_of(pidfd: int) -> int | None:
    """The host PID behind a pidfd (proc(5), fdinfo): 0 if it was reaped, None if it is no pidfd."""
    try:
        info = os.open(f"/proc/self/fdinfo/{pidfd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:  # a text file would ask seven times more of the kernel, for every process started
        text = os.read(info, 4096)
    finally:
        os.close(info)
    found = re.search(rb"^Pid:\t(-?\d+)$", text, re.MULTILINE)
    return max(0, int(found[1])) if found else None


def _died_meanwhile() -> FailedPrecondition:
    return FailedPrecondition(
        "the container ended meanwhile", hint="start it again with `wardian start`"
    )
