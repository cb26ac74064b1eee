"""The last steps of a process before it becomes the user's program: from fork to execve(2)."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import termios
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NoReturn, TypeVar

import msgspec

from wardian.errors import CommandFailed, WardianError
from wardian.linux import capabilities, process
from wardian.linux.capabilities import Capability
from wardian.runtime import user as users
from wardian.runtime.spec import DEFAULT_PATH, ProcessSpec, Ulimit

DESCRIPTOR_FLOOR = 100
# Signals that the interpreter or init handles or ignores, and a program must not inherit so.
DEFAULT_SIGNALS = (
    signal.SIGCHLD,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGPIPE,
    signal.SIGXFSZ,
)


class Privileges(msgspec.Struct, frozen=True):
    """What every process of a container may have at most."""

    capabilities: frozenset[Capability]
    has_more: bool = False
    """Whether init itself has capabilities beyond these, which its children must give up."""


def is_simple(spec: ProcessSpec, privileges: Privileges) -> bool:
    """Whether the process may be just what init is: same user, same capabilities."""
    has_usual_user = spec.user in ("0:0", "0") and not spec.groups
    return has_usual_user and not spec.ulimits and not privileges.has_more


def spawn(spec: ProcessSpec, descriptors: Mapping[int, int]) -> int:
    """Start a simple process (`is_simple`) with posix_spawn(3); its PID. Raises CommandFailed.

    All descriptors of ours are close-on-exec, so the program has what is given and nothing else.
    """
    env = environment(spec, "/root")
    floor = max([DESCRIPTOR_FLOOR, *(target + 1 for target in descriptors)])
    moved = {
        target: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, floor) for target, fd in descriptors.items()
    }
    actions: list[tuple[int, int, int]] = [
        (os.POSIX_SPAWN_DUP2, fd, target) for target, fd in moved.items()
    ]
    try:
        _enter(spec.workdir)
        return _first_that_runs(
            spec.argv,
            env,
            lambda path: os.posix_spawn(
                path,
                spec.argv,
                env,
                file_actions=actions,
                setsid=spec.new_session,
                setsigmask=(),
                setsigdef=DEFAULT_SIGNALS,
            ),
        )
    finally:
        os.chdir("/")
        for fd in moved.values():
            os.close(fd)


def environment(spec: ProcessSpec, home: str) -> dict[str, str]:
    """The program's environment: docker's three variables, then the spec's."""
    return {"PATH": DEFAULT_PATH, "HOSTNAME": os.uname().nodename, "HOME": home, **spec.env}


def start(
    spec: ProcessSpec,
    descriptors: Mapping[int, int],
    privileges: Privileges,
    *,
    failure_fd: int,
    controlling_terminal: bool,
) -> NoReturn:
    """Become the program of ``spec``; on failure write three lines: exit code, what, hint.

    Runs in a child that was just forked. ``descriptors`` maps the program's numbers to ours;
    everything else is closed before execve (CVE-2024-21626 and its kin).
    """
    floor = max([DESCRIPTOR_FLOOR, *(target + 1 for target in descriptors)])
    failure_fd = fcntl.fcntl(failure_fd, fcntl.F_DUPFD_CLOEXEC, floor)
    try:
        _reset_signals()
        if spec.new_session:
            os.setsid()
        _place(descriptors, floor, keep=failure_fd)
        _start(spec, privileges, controlling_terminal=controlling_terminal)
    except CommandFailed as error:
        report, code = f"{error.exit_code}\n{error.what}\n{error.hint}", error.exit_code
    except WardianError as error:
        report, code = f"125\n{error.what}\n{error.hint}", 125
    except OSError as error:
        report, code = f"125\ncannot start {spec.argv[0]}: {error.strerror}\n", 125
    with suppress(OSError):
        os.write(failure_fd, report.encode(errors="replace")[:4000])
    os._exit(code)


def _start(spec: ProcessSpec, privileges: Privileges, *, controlling_terminal: bool) -> None:
    if controlling_terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    user = users.lookup(spec.user, more=spec.groups)
    os.umask(0o022)
    process.give_streams(user.uid, terminal=controlling_terminal)
    _become(user, privileges)
    _enter(spec.workdir)
    env = environment(spec, user.home)
    _limit(spec.ulimits)
    _first_that_runs(spec.argv, env, lambda path: os.execve(path, list(spec.argv), env))


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in DEFAULT_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _place(descriptors: Mapping[int, int], floor: int, *, keep: int) -> None:
    """Put every descriptor at its number and close all others but ``keep``.

    They are first moved to ``floor`` and above, so that no dup2 overwrites one still needed.
    """
    moved = {
        target: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, floor) for target, fd in descriptors.items()
    }
    null = -1
    for standard in (0, 1, 2):
        if standard not in moved:
            if null < 0:
                null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            moved[standard] = fcntl.fcntl(null, fcntl.F_DUPFD_CLOEXEC, floor)
    for target, fd in moved.items():
        os.dup2(fd, target, inheritable=True)
    _close_all_but({*moved, keep})


def _close_all_but(keep: set[int]) -> None:
    first = 0
    for fd in sorted(keep):
        if first < fd:
            process.close_range(first, fd - 1)
        first = fd + 1
    process.close_range(first)


def _become(user: users.User, privileges: Privileges) -> None:
    """Take the user's ids and no more capabilities than the container may have."""
    capabilities.drop_bounding(privileges.capabilities)
    with suppress(PermissionError):  # a map of one id has setgroups=deny (user_namespaces(7))
        os.setgroups(user.groups)
    try:
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    except OSError as error:
        raise CommandFailed(
            f"cannot run as {user.uid}:{user.gid}: {error.strerror}",
            exit_code=126,
            hint="this container's user namespace maps fewer ids; use a user that it has",
        ) from error
    kept = privileges.capabilities if user.uid == 0 else frozenset()
    capabilities.set_capabilities(effective=kept, permitted=kept, inheritable=frozenset())


def _limit(ulimits: Sequence[Ulimit]) -> None:
    for ulimit in ulimits:
        number = getattr(resource, f"RLIMIT_{ulimit.name.upper()}")
        try:
            resource.setrlimit(number, (ulimit.soft, ulimit.hard))
        except (OSError, ValueError) as error:  # ValueError: beyond the hard limit
            most = resource.getrlimit(number)[1]
            raise CommandFailed(
                f"cannot set the limit {ulimit.name} to {ulimit.soft}:{ulimit.hard}:"
                f" the most that this host allows is {'unlimited' if most < 0 else most}",
                exit_code=126,
                hint="give a smaller --ulimit, or raise the limit before Wardian's keeper starts",
            ) from error


def _enter(workdir: str) -> None:
    try:
        os.chdir(workdir)
    except OSError as error:
        raise CommandFailed(
            f"cannot enter the working directory {workdir}: {error.strerror}",
            exit_code=126,
            hint="create it first, or give another --workdir",
        ) from error
    # A directory outside the root has no absolute path (CVE-2024-21626).
    if not os.getcwd().startswith("/"):
        raise CommandFailed(f"working directory {workdir} is outside the container", exit_code=126)


T = TypeVar("T")


def _first_that_runs(argv: Sequence[str], env: Mapping[str, str], run: Callable[[str], T]) -> T:
    """Run the first of the program's candidates along the *new* environment's PATH."""
    name = argv[0]
    candidates = (
        [name]
        if "/" in name
        else [f"{folder or '.'}/{name}" for folder in env.get("PATH", "").split(":")]
    )
    refused: OSError | None = None
    for path in candidates:
        try:
            return run(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            refused = error
            if error.errno != errno.EACCES:
                break
    raise _why_not(name, refused)


def _why_not(name: str, refused: OSError | None) -> CommandFailed:
    if refused is None:
        return CommandFailed(
            f"{name}: not found in the container",
            exit_code=127,
            hint="check the spelling, PATH, and whether the image has the program"
            " (a dynamic program also needs its loader)",
        )
    if refused.errno in (errno.EAGAIN, errno.ENOMEM):
        what = f"cannot start {name}: {refused.strerror}"
        return CommandFailed(what, exit_code=125, hint=why_no_process(refused))
    if refused.errno == errno.ENOEXEC:
        return CommandFailed(
            f"{name}: neither a binary for this machine nor a script with #!", exit_code=126
        )
    return CommandFailed(f"{name}: {refused.strerror}", exit_code=126)


def why_no_process(error: OSError) -> str:
    """What to do when fork(2) was refused."""
    if error.errno == errno.EAGAIN:
        return "the container's process limit is reached; end some processes or raise --pids-limit"
    if error.errno == errno.ENOMEM:
        return "the container is out of memory; raise its memory limit"
    return ""
