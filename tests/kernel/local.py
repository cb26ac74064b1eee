"""A launcher without a container: runners as plain child processes, for tests of runners alone."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from wardian.errors import CommandFailed
from wardian.runtime.spec import ProcessSpec

DESCRIPTOR_FLOOR = 100
RESET_SIGNALS = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGTERM)


@dataclass(slots=True)
class LocalProcess:
    """A child process; ``pidfd`` becomes readable when it ends."""

    host_pid: int
    pidfd: int
    _exit_code: int | None = None
    _reaping: threading.Lock = field(default_factory=threading.Lock)

    def signal(self, number: int) -> None:
        """Send a signal; nothing if it has ended."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def wait(self, timeout_s: float | None = None) -> int:
        """The exit code, 128+n after signal n. Raises TimeoutError."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        if not poll.poll(None if timeout_s is None else timeout_s * 1000):
            raise TimeoutError(f"the process still runs after {timeout_s} s")
        with self._reaping:
            if self._exit_code is None:
                _, status = os.waitpid(self.host_pid, 0)
                code = os.waitstatus_to_exitcode(status)
                self._exit_code = code if code >= 0 else 128 - code
        return self._exit_code

    def close(self) -> None:
        """Let go of the descriptor; the process goes on."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


@dataclass(frozen=True, slots=True)
class LocalLauncher:
    """Starts processes on the host itself. ``ProcessSpec.user`` is not honoured."""

    def spawn(self, process: ProcessSpec, fds: Mapping[int, int] | None = None) -> LocalProcess:
        """Start a process; ``fds`` maps its descriptor numbers to ours, which stay ours.

        posix_spawn(3) costs the same however large this process is. It has no step that changes
        the directory before Linux has one, so a shell does that.
        """
        argv = list(process.argv)
        if process.workdir != os.getcwd():
            argv = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', process.workdir, *argv]
        moved: dict[int, int] = {}
        try:
            for target, fd in (fds or {}).items():
                moved[target] = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, DESCRIPTOR_FLOOR)
            actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]]
            actions = [(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in moved.items()]
            actions += [
                (os.POSIX_SPAWN_OPEN, standard, os.devnull, os.O_RDWR, 0)
                for standard in (0, 1, 2)
                if standard not in moved
            ]
            host_pid = os.posix_spawnp(
                argv[0],
                argv,
                process.env,
                file_actions=actions,
                setsid=process.new_session,
                setsigmask=(),
                setsigdef=RESET_SIGNALS,
            )
        except OSError as error:
            raise _cannot_start(argv[0], error) from error
        finally:
            for fd in moved.values():
                os.close(fd)
        return LocalProcess(host_pid, os.pidfd_open(host_pid))


def _cannot_start(program: str, error: OSError) -> CommandFailed:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return CommandFailed(f"{program}: not found", exit_code=127, hint="check PATH")
    return CommandFailed(f"{program}: {error.strerror}", exit_code=126)
