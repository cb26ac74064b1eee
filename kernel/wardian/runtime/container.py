"""A container and its processes, as a client holds them."""

from __future__ import annotations

import os
import select
import signal as signals
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import msgspec

from wardian.cgroups.limits import Limits
from wardian.errors import FailedPrecondition, NotFound, WardianError
from wardian.runtime import messages as m
from wardian.runtime.event_messages import NoteCall, NotedAction
from wardian.runtime.health import HealthStatus
from wardian.runtime.messages import ContainerInfo
from wardian.runtime.restart_policy import RestartPolicy
from wardian.runtime.spec import Keep, ProcessSpec

if TYPE_CHECKING:
    from wardian.runtime.client import Client


class ContainerProcess(msgspec.Struct):
    """A process that was started in a container.

    ``pidfd`` becomes readable when it ends; ``terminal_fd`` is its terminal's master, if it has
    one. Both belong to this object: use it as a context manager or ``close`` it.
    """

    container: Container
    key: int
    container_pid: int
    host_pid: int
    pidfd: int
    terminal_fd: int | None = None

    def signal(self, number: int) -> None:
        """Send a signal; nothing if it has ended or was closed."""
        if self.pidfd < 0:
            return
        with suppress(ProcessLookupError):
            signals.pidfd_send_signal(self.pidfd, number)

    def wait(self, timeout_s: float | None = None) -> int:
        """The exit code, 128+n after signal n. Raises TimeoutError."""
        patience = None if timeout_s is None else timeout_s * 1000
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        if not poll.poll(patience):
            raise TimeoutError(f"the process still runs after {timeout_s} s")
        client = self.container.client
        try:
            code, _ = client.call("wait", m.WaitCall(self.container.id, self.key), int)
        except WardianError:
            return 137  # the container ended with it
        return code

    def close(self) -> None:
        """Let go of the descriptors; the process goes on."""
        for fd in (self.pidfd, self.terminal_fd):
            if fd is not None and fd >= 0:
                os.close(fd)
        self.pidfd, self.terminal_fd = -1, None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Container(msgspec.Struct):
    """A container, by id: every question is asked of the keeper anew."""

    client: Client
    id: str
    terminal_fd: int | None = None
    streams: tuple[int, ...] = ()

    @property
    def info(self) -> ContainerInfo:
        """What is known of it now."""
        info, _ = self.client.call("inspect", m.NameCall(self.id), ContainerInfo)
        return info

    @property
    def exists(self) -> bool:
        """Whether it has not been removed."""
        try:
            return bool(self.info)
        except NotFound:
            return False

    def start(
        self,
        fds: Mapping[int, int] | None = None,
        *,
        terminal: bool = False,
        attach: bool = False,
    ) -> ContainerInfo:
        """Start it (again), its files as they were; the rest is as in `Client.run`."""
        fds = fds or {}
        call = m.StartCall(self.id, tuple(fds), terminal, attach)
        info, given = self.client.call("start", call, ContainerInfo, tuple(fds.values()))
        if attach:
            self.streams = given
        else:
            self.terminal_fd = given[0] if given else None
        return info

    def join(self) -> tuple[int, ...]:
        """The streams of the main process, from now on and as long as the client is connected.

        Pipes of its stdout and stderr, and its stdin if that is kept open; with a terminal, a pipe
        of what it shows, and its master. They end with the container, and belong to the caller.
        Raises FailedPrecondition if it does not run or is paused.
        """
        return self.client.call("join", m.JoinCall(self.id), type(None))[1]

    def spawn(
        self,
        process: ProcessSpec,
        fds: Mapping[int, int] | None = None,
        *,
        terminal: bool = False,
    ) -> ContainerProcess:
        """Start a process in it. ``fds`` maps its descriptor numbers to ours, which stay ours."""
        fds = fds or {}
        call = m.SpawnCall(self.id, process, tuple(fds), terminal)
        started, given = self.client.call("spawn", call, m.SpawnedProcess, tuple(fds.values()))
        return ContainerProcess(
            self,
            started.key,
            started.container_pid,
            started.host_pid,
            given[0],
            given[1] if len(given) > 1 else None,
        )

    def lend(self) -> ContainerInfo:
        """Have it run, with init alone unless it does already, for a look at its files.

        Until `give_back`, or until this client is gone.
        """
        return self.client.call("lend", m.NameCall(self.id), ContainerInfo)[0]

    def give_back(self) -> None:
        """Its files are looked at no more: what did not run does not run then."""
        self.client.call("give_back", m.NameCall(self.id), type(None))

    def enter(self) -> tuple[int, int]:
        """Descriptors of its user and its mount namespace, the caller's to close."""
        user, mounts = self.client.call("enter", m.NameCall(self.id), type(None))[1]
        return user, mounts

    def note(self, action: NotedAction, **attributes: str) -> None:
        """Have `wardian events` tell what is done to it here, without the keeper's help."""
        self.client.call("note", NoteCall(self.id, action, attributes), type(None))

    def wait(self) -> int:
        """Wait until the container has ended; its exit code."""
        return self.client.call("wait", m.WaitCall(self.id), int)[0]

    def wait_healthy(self, *, timeout_s: float | None = None) -> None:
        """Wait until its healthcheck says that it is well.

        Raises FailedPrecondition if it has none, does not run, ends or turns out unhealthy, and
        TimeoutError.
        """
        call = m.HealthCall(self.id, timeout_s)
        answer, _ = self.client.call("wait_healthy", call, m.HealthAnswer)
        if answer.status is HealthStatus.STARTING:
            raise TimeoutError(f"the container is not healthy after {timeout_s} s")
        if answer.status is not HealthStatus.HEALTHY:
            what = "ended before it was healthy" if answer.status is None else "is unhealthy"
            raise FailedPrecondition(
                f"the container {what}",
                hint="`wardian inspect` shows what its healthcheck said",
            )

    def stop(self, *, timeout_s: float = 10.0, signal: int = signals.SIGTERM) -> int:
        """Signal its processes, kill them after the timeout; the exit code. Its files stay."""
        return self.client.call("stop", m.StopCall(self.id, timeout_s, int(signal)), int)[0]

    def kill(self, signal: int = signals.SIGKILL) -> None:
        """Send a signal to the main process; SIGKILL ends the container."""
        self.client.call("kill", m.KillCall(self.id, int(signal)), type(None))

    def remove(self, *, force: bool = False, volumes: bool = False) -> None:
        """Remove it and its writable layer; with ``force`` even if it runs.

        With ``volumes`` those of its volumes that nobody has named go, too.
        """
        self.client.call("remove", m.RemoveCall(self.id, force, volumes), type(None))
        self.client.attached.pop(self.id, None)

    def pause(self) -> None:
        """Freeze every process."""
        self.client.call("pause", m.NameCall(self.id), ContainerInfo)

    def unpause(self) -> None:
        """Thaw every process."""
        self.client.call("unpause", m.NameCall(self.id), ContainerInfo)

    def update(
        self, limits: Limits | None = None, *, restart: RestartPolicy | None = None
    ) -> ContainerInfo:
        """Other limits, in force at once; another policy for when it has ended."""
        call = m.UpdateCall(self.id, limits, restart)
        return self.client.call("update", call, ContainerInfo)[0]

    def rename(self, name: str) -> ContainerInfo:
        """Give it another name; AlreadyExists if that is taken."""
        return self.client.call("rename", m.RenameCall(self.id, name), ContainerInfo)[0]

    def attach(self, keep: Keep) -> None:
        """Hold it with this client: when the client goes away, ``keep`` says what becomes of it."""
        call = m.AttachCall(self.id, keep)
        self.client.call("attach", call, type(None))
        self.client.attached[self.id] = call
