"""`create`: the command line's side, which makes the container and exits."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import msgspec

from wardian.cgroups.cgroup import Cgroup
from wardian.errors import (
    CommandFailed,
    FailedPrecondition,
    InvalidInput,
    KernelRefused,
    SetupError,
    WardianError,
)
from wardian.linux import capabilities, namespaces, process
from wardian.linux.proc import start_ticks
from wardian.oci import group, hooks, identity, inside
from wardian.oci import process as oci_process
from wardian.oci.config import KINDS, Config, NamespaceRequest, load
from wardian.oci.log import LOG
from wardian.oci.state import Folder, Record, document

NAMES = {"network": "net", "mount": "mnt"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The flags of create and run."""

    bundle: str = "."
    pid_file: str = ""
    console_socket: str = ""
    preserve_fds: int = 0
    no_pivot: bool = False
    new_keyring: bool = True


def create(root: str, container_id: str, options: Options) -> Record:
    """Make a container that waits for `start`; nothing of it stays on failure."""
    bundle = os.path.realpath(options.bundle)
    folder = Folder(root, container_id)
    config = load(bundle)
    if not os.path.isdir(os.path.join(bundle, config.root.path)):
        raise InvalidInput(f"config.json: root.path {config.root.path[:200]} is not a directory")
    wants_terminal = config.process is not None and config.process.terminal
    if wants_terminal != bool(options.console_socket):
        raise InvalidInput("process.terminal and --console-socket go together")
    if config.process is not None:
        own = capabilities.Capabilities.from_proc().permitted
        for name in oci_process.unavailable(config.process, own):
            LOG.warning(f"config.json: process.capabilities {name[:40]} cannot be given as asked")
    folder.make()
    with ExitStack() as undo:
        undo.callback(folder.remove)
        cgroup = group.create(config, container_id)
        undo.callback(_remove_group, cgroup)
        record = Record(
            id=container_id,
            bundle=bundle,
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            config=config,
            cgroups=group.paths(cgroup),
        )
        folder.write(record)  # a command killed from here on leaves what `delete --force` finds
        _start_process(folder, record, config, cgroup, options, undo)
        folder.write(record)
        if options.pid_file:
            write_pid_file(options.pid_file, record.pid)
        undo.pop_all()
    return record


def write_pid_file(path: str, host_pid: int) -> None:
    """Atomically, as conmon reads it."""
    new = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.new")
    with open(new, "w") as file:
        file.write(str(host_pid))
    os.rename(new, path)


def _remove_group(cgroup: Cgroup) -> None:
    with suppress(KernelRefused):
        cgroup.kill()
    remove_group(cgroup)


def remove_group(cgroup: Cgroup) -> None:
    """Remove it as soon as the last process has left."""
    deadline = time.monotonic() + 5
    while True:
        try:
            cgroup.remove()
        except KernelRefused:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return


def _start_process(
    folder: Folder,
    record: Record,
    config: Config,
    cgroup: Cgroup,
    options: Options,
    undo: ExitStack,
) -> None:
    fifo = os.open(folder.fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    # Held open by the first process alone, until it has become the program.
    outcome = os.open(folder.outcome, os.O_RDWR | os.O_CLOEXEC)
    console = connect_console(options.console_socket)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    plan = inside.Plan(
        config=config,
        bundle=record.bundle,
        sync=theirs,
        admission=tuple(cgroup.admission_fds()),
        cgroups=record.cgroups,
        maps=tuple(map(identity.user_namespace_of, config.mounts)),
        fifo=fifo,
        outcome=outcome,
        seccomp=seccomp_of(config),
        console=console,
        preserve_fds=options.preserve_fds,
        no_pivot=options.no_pivot,
        new_keyring=options.new_keyring,
    )
    flags = 0
    for each in config.linux.namespaces:
        if not each.path and each.type not in {"cgroup", "time"}:
            flags |= KINDS[each.type]
    hooks.prepare(config.hooks)
    joined = _joined([each for each in config.linux.namespaces if each.path])
    with joined, identity.time_namespace(config):
        host_pid, pidfd = process.clone3(flags, cgroup_fd=cgroup.clone_fd())
        if host_pid == 0:
            ours.close()
            inside.main(plan)
    theirs.close()
    os.close(outcome)
    undo.callback(_kill, host_pid, pidfd)
    record.pid, record.started_ticks = host_pid, start_ticks(host_pid) or 0
    if identity.has_user_namespace(config):
        hear(ours, b"unmapped")
        identity.write_maps(host_pid, config.linux.uidMappings, config.linux.gidMappings)
        ours.send(b"{}")
    hear(ours, b"mounted")
    state = document(record, "creating")
    hooks.run(config.hooks.prestart, state, "prestart")
    hooks.run(config.hooks.createRuntime, state, "createRuntime")
    ours.send(msgspec.json.encode(state))
    hear(ours, b"ready")


def _kill(host_pid: int, pidfd: int) -> None:
    with suppress(KernelRefused):
        process.pidfd_send_signal(pidfd, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(host_pid, 0)


def hear(sync: socket.socket, word: bytes) -> None:
    """Wait for the child's word; what went wrong there is raised here."""
    answer = sync.recv(1 << 13)
    if answer == word:
        return
    if not answer:
        raise SetupError("the container's first process ended while it was set up")
    code, _, what = answer[1:].decode(errors="replace").partition("\n")
    raise CommandFailed(what, exit_code=int(code))


def connect_console(path: str) -> socket.socket | None:
    """The way to whoever wants the terminal's other end."""
    if not path:
        return None
    console = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        console.connect(path)
    except OSError as error:
        console.close()
        raise InvalidInput(f"cannot connect to {path}: {error.strerror}") from error
    return console


def seccomp_of(config: Config) -> oci_process.Filter | None:
    """The filter, compiled, and its flags; None without one."""
    if config.linux.seccomp is None:
        return None
    from wardian.linux import seccomp  # and libseccomp: a container without a filter does without

    profile = config.linux.seccomp
    return seccomp.compile_profile(profile, capabilities.DEFAULT), seccomp.flags_of(profile)


@contextmanager
def _joined(requests: list[NamespaceRequest]) -> Iterator[None]:
    """Be in these namespaces while the child is born, and back in ours afterwards."""
    back: list[tuple[int, int]] = []
    try:
        for each in requests:
            kind, flag = NAMES.get(each.type, each.type), KINDS[each.type]
            old = os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
            back.append((old, flag))
            try:
                fd = os.open(each.path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise InvalidInput(f"namespace {each.path}: {error.strerror}") from error
            try:
                namespaces.setns(fd, flag)
            finally:
                os.close(fd)
        yield
    finally:
        for fd, flag in back:
            namespaces.setns(fd, flag)
            os.close(fd)


def start(folder: Folder) -> None:
    """Let a created container's process run."""
    with folder.locked() as record:
        status = folder.status(record)
        if status != "created":
            raise FailedPrecondition(f"cannot start container {record.id}: it is {status}")
        if record.config.process is None:
            raise InvalidInput(f"cannot start container {record.id}: config.json has no process")
        outcome = os.open(folder.outcome, os.O_RDONLY | os.O_CLOEXEC)
        fd = os.open(folder.fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        folder.fifo.unlink()
        os.write(fd, b"0")
        os.close(fd)
        _hear_outcome(outcome)
    try:
        hooks.run(record.config.hooks.poststart, document(record, "running"), "poststart")
    except WardianError:
        if cgroup := group.recorded(record.cgroups):
            cgroup.kill()
        raise


def _hear_outcome(outcome: int) -> None:
    """Wait until the program runs; CommandFailed tells why it does not."""
    with open(outcome, "rb") as file:
        code, _, what = file.read().decode(errors="replace").partition("\n")
    if code:
        raise CommandFailed(what, exit_code=int(code))
