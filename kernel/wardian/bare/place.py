"""A place for cells on a host that allows no containers, as a kernel holds it.

It is no container: its processes share this machine's files, processes and network, and are held
by nothing but the walls that a process without privileges can raise (`wardian.bare.walls`).
"""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress

import msgspec
from msgspec.structs import replace

from wardian.bare.directory import Directory
from wardian.bare.family import descendants
from wardian.bare.figures import PlainGroup
from wardian.bare.messages import Answer, Enclose, Enclosed, Refused
from wardian.bare.reach import Reach
from wardian.bare.walls import Walls
from wardian.cgroups.limits import Limits
from wardian.errors import CommandFailed, FailedPrecondition, ProtocolError, SetupError
from wardian.runtime import messages as m
from wardian.runtime.live import pid_of
from wardian.runtime.spec import ProcessSpec
from wardian.runtime.wire import Connection

ANSWER_S = 20.0  # what runs behind the walls may have stopped whom we ask
PATIENCE_S = 2.0  # between asking processes to end and killing them
REAPED_S = 2.0


class PlainProcess(msgspec.Struct):
    """A process behind the walls; ``pidfd`` becomes readable when it ends."""

    place: Place
    key: int
    host_pid: int
    pidfd: int

    def signal(self, number: int) -> None:
        """Send a signal; nothing if it has ended."""
        if self.pidfd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, number)

    def wait(self, timeout_s: float | None = None) -> int:
        """The exit code, 128+n after signal n. Raises TimeoutError."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        if not poll.poll(None if timeout_s is None else timeout_s * 1000):
            raise TimeoutError(f"the process still runs after {timeout_s} s")
        return self.place.exit_code(self.key)

    def close(self) -> None:
        """Let go of the descriptor; the process goes on."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


class Place(msgspec.Struct):
    """The processes of one kernel, and their directory. All methods block.

    ``limits`` are those that were asked for; `limit` says which of them are in force.
    """

    directory: Directory
    walls: Walls
    init_host_pid: int
    limits: Limits
    _steward: subprocess.Popen[bytes]
    _orders: Connection
    _life_fd: int
    _lock: threading.Lock = msgspec.field(default_factory=threading.Lock)
    _exits: dict[int, int] = msgspec.field(default_factory=dict)
    _next_key: int = m.MAIN_KEY + 1

    @classmethod
    def open(cls, directory: Directory) -> Place:
        """Begin to look after processes in a directory. Raises SetupError."""
        reach = Reach.of_cells(directory)
        order = Enclose(directory=str(directory.path), reach=reach, patience_s=PATIENCE_S)
        ours, theirs = socket.socketpair()
        life_r, life_w = os.pipe2(os.O_CLOEXEC)
        try:
            steward = subprocess.Popen(
                [sys.executable, "-P", "-m", "wardian.bare", str(theirs.fileno()), str(life_r)],
                pass_fds=(theirs.fileno(), life_r),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                env=directory.environment(),
            )
        finally:
            theirs.close()
            os.close(life_r)
        orders = Connection(ours)
        try:
            enclosed = _exchange(orders, order)
        except BaseException:
            orders.close()
            os.close(life_w)
            steward.wait()
            raise
        walls, init_host_pid = enclosed.walls, enclosed.init_host_pid
        return cls(directory, walls, init_host_pid, Limits(), steward, orders, life_w)

    # --- processes -----------------------------------------------------------------------

    @property
    def group(self) -> PlainGroup:
        """Its processes, and what they use."""
        return PlainGroup(self.init_host_pid)

    def is_running(self) -> bool:
        """Whether somebody is there to start processes."""
        return self._steward.poll() is None and not self._has_hung_up()

    def _has_hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self._orders.fileno(), 0)
        return bool(poll.poll(0))

    def spawn(self, process: ProcessSpec, fds: Mapping[int, int] | None = None) -> PlainProcess:
        """Start a process as our user; ``fds`` maps its descriptor numbers to ours."""
        fds = fds or {}
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        whole = {**dict.fromkeys({0, 1, 2} - fds.keys(), null), **fds}
        with self._lock:
            key, self._next_key = self._next_key, self._next_key + 1
            try:
                self._orders.send(m.encode(m.Spawn(key, process, tuple(whole))), [*whole.values()])
                return self._started(key)
            except (EOFError, ProtocolError, TimeoutError, msgspec.MsgspecError) as error:
                raise _gone() from error
            finally:
                os.close(null)

    def _started(self, key: int) -> PlainProcess:
        while True:
            message = self._orders.receive()
            event = m.decode_from_init(message.data)
            is_answer = isinstance(event, m.Spawned) and event.key == key
            host_pid = pid_of(message.fds[0]) if is_answer and len(message.fds) == 1 else None
            if host_pid is not None:  # 0: it has ended already
                return PlainProcess(self, key, host_pid, message.fds[0])
            message.close()
            if isinstance(event, m.SpawnFailed) and event.key == key:
                raise CommandFailed(
                    event.what.replace("in the container", "here"),
                    exit_code=event.exit_code,
                    hint="check PATH" if event.exit_code == 127 else "",
                )
            self._note(event)

    def exit_code(self, key: int) -> int:
        """That of a process which has ended; 137 if nobody knows any more."""
        deadline = time.monotonic() + REAPED_S
        with self._lock, suppress(EOFError, ProtocolError, msgspec.MsgspecError):
            while key not in self._exits and (left_s := deadline - time.monotonic()) > 0:
                poll = select.poll()
                poll.register(self._orders.fileno(), select.POLLIN)
                if self._orders.has_received or poll.poll(left_s * 1000):
                    message = self._orders.receive()
                    message.close()
                    self._note(m.decode_from_init(message.data))
        return self._exits.pop(key, 128 + signal.SIGKILL)

    def _note(self, event: m.FromInit) -> None:
        if isinstance(event, m.Exited) and event.key < self._next_key:
            self._exits[event.key] = event.exit_code

    # --- limits --------------------------------------------------------------------------

    def limit(self, limits: Limits) -> list[str]:
        """Put in force what has an rlimit; what has none is said (`not_in_force`).

        It is the soft limit of each process, so that it can be changed while they run.
        """
        self.limits = replace(limits, cpus=None, pids=None)
        wanted = resource.RLIM_INFINITY if limits.memory_bytes is None else limits.memory_bytes
        for _ in range(2):  # who was forked during the first round
            for host_pid in (self.init_host_pid, *descendants(self.init_host_pid)):
                with suppress(ProcessLookupError, PermissionError):
                    _, most = resource.prlimit(host_pid, resource.RLIMIT_DATA)
                    soft = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
                    if most != resource.RLIM_INFINITY and wanted == resource.RLIM_INFINITY:
                        soft = most
                    resource.prlimit(host_pid, resource.RLIMIT_DATA, (soft, most))
        return not_in_force(limits)

    # --- the end -------------------------------------------------------------------------

    def close(self) -> None:
        """End every process that the cells started, and those who looked after them."""
        with self._lock:
            if self._life_fd < 0:
                return
            self._orders.close()
            os.close(self._life_fd)
            self._life_fd = -1
        self._steward.wait()


def _exchange(orders: Connection, order: Enclose) -> Enclosed:
    orders.sock.settimeout(ANSWER_S)
    try:
        orders.send(m.encode(order))
        answer = orders.receive()
        answer.close()
        said = m.decode(answer.data, Answer)
    except (EOFError, ProtocolError, TimeoutError, msgspec.MsgspecError) as error:
        raise SetupError("the process that looks after them did not get ready") from error
    if isinstance(said, Refused):
        raise SetupError(said.what, hint=said.hint)
    assert isinstance(said, Enclosed)
    return said


def _gone() -> FailedPrecondition:
    return FailedPrecondition(
        "the process that starts the cells' processes has ended", hint="run the cell again"
    )


def not_in_force(limits: Limits) -> list[str]:
    """Limits that no rlimit stands for, and why."""
    missing = []
    if limits.cpus is not None:
        missing.append("not in force: cpus: without a cgroup nothing gives a share of the CPU")
    if limits.pids is not None:
        missing.append(
            "not in force: pids: without a cgroup the kernel counts all of this user's processes,"
            " Jupyter's and other pods', too (RLIMIT_NPROC)"
        )
    return missing
