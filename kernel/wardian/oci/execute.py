"""`exec`: another process in a container that runs."""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import dataclass

import msgspec

from wardian.errors import FailedPrecondition, InvalidInput
from wardian.linux import capabilities, namespaces, process
from wardian.oci import create, group, inside, scheduling
from wardian.oci import process as oci_process
from wardian.oci.config import KINDS, Affinity, Process, check_process, load_process
from wardian.oci.state import Folder, Record

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The flags of exec."""

    process: str = ""
    pid_file: str = ""
    console_socket: str = ""
    preserve_fds: int = 0
    cwd: str = ""
    env: tuple[str, ...] = ()
    tty: bool = False
    detach: bool = False


def execute(folder: Folder, args: list[str], options: Options) -> int:
    """Run it; its exit code, or 0 at once when detached."""
    record = folder.read()
    status = folder.status(record)
    if status not in {"created", "running"}:
        raise FailedPrecondition(f"cannot exec in container {folder.id}: it is {status}")
    spec = _spec(record, args, options)
    if spec.terminal != bool(options.console_socket):
        raise InvalidInput("a terminal and --console-socket go together")
    console = create.connect_console(options.console_socket)
    program = create.seccomp_of(record.config)
    cgroup = group.recorded(record.cgroups)
    admission = cgroup.admission_fds() if cgroup else []
    cgroup_fd = cgroup.clone_fd() if cgroup else None
    pidfd = process.pidfd_open(record.pid)
    flags = 0
    for each in record.config.linux.namespaces:
        flags |= KINDS[each.type]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process.set_dumpable(False)  # we enter the container's PID namespace next
    # The PID namespace is that of children: we ourselves stay outside.
    back = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    namespaces.setns(pidfd, flags & namespaces.CLONE_NEWPID)
    host_pid, _ = process.clone3(0, cgroup_fd=cgroup_fd)
    if host_pid == 0:
        ours.close()
        _child(spec, program, admission, pidfd, flags, console, theirs, options.preserve_fds)
    namespaces.setns(back, namespaces.CLONE_NEWPID)
    theirs.close()
    with ours:
        create.hear(ours, b"ready")
    if options.pid_file:
        create.write_pid_file(options.pid_file, host_pid)
    return 0 if options.detach else wait(host_pid)


def wait(host_pid: int) -> int:
    """Its exit code, 128+n after a signal; our signals go to it."""
    for number in FORWARDED:
        signal.signal(number, lambda received, _: os.kill(host_pid, received))
    _, status = os.waitpid(host_pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _spec(record: Record, args: list[str], options: Options) -> Process:
    if options.process:
        return load_process(options.process)
    base = record.config.process
    if base is None:
        raise InvalidInput("the container has no process to take settings from: give --process")
    spec = msgspec.structs.replace(
        base,
        args=tuple(args),
        env=(*base.env, *options.env),
        cwd=options.cwd or base.cwd,
        terminal=options.tty,
    )
    check_process(spec)
    return spec


def _child(
    spec: Process,
    program: oci_process.Filter | None,
    admission: list[int],
    pidfd: int,
    flags: int,
    console: socket.socket | None,
    sync: socket.socket,
    preserve_fds: int,
) -> None:
    own = capabilities.Capabilities.from_proc().permitted
    affinity = spec.execCPUAffinity or Affinity()

    def become() -> None:
        scheduling.set_affinity(affinity.initial)
        for fd in admission:
            os.write(fd, b"0")
        scheduling.set_affinity(affinity.final)
        oci_process.adjust(spec)
        namespaces.setns(pidfd, flags & ~namespaces.CLONE_NEWPID)
        if flags & namespaces.CLONE_NEWUSER:
            process.become_root()
        os.setsid()
        if console is not None:
            inside.give_terminal(console, None, spec.consoleSize)
        oci_process.enter(spec)
        path = oci_process.find(spec)
        sync.send(b"ready")
        inside.finish(spec, path, program, own, preserve_fds)

    inside.guarded(sync, become)
