"""`create`: the command line's side, which makes the container and exits."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec
from msgspec.structs import replace

from wardian.cgroups.cgroup import Cgroup
from wardian.errors import (
    CommandFailed,
    FailedPrecondition,
    InvalidInput,
    KernelRefused,
    WardianError,
)
from wardian.linux.capabilities import DEFAULT
from wardian.linux.process import start_ticks
from wardian.linux.whole import write_whole
from wardian.oci import birth, group, hooks, identity, inside
from wardian.oci import process as oci_process
from wardian.oci.config import KINDS, Config, load
from wardian.oci.console import Console
from wardian.oci.group import Group, Manager
from wardian.oci.log import LOG
from wardian.oci.state import Folder, Record, document


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The flags of create and run."""

    bundle: str = "."
    manager: Manager = Manager.CGROUPFS
    pid_file: str = ""
    preserve_fds: int = 0
    no_pivot: bool = False
    new_keyring: bool = True


def read_config(bundle: str, file: str, listening: int = 0) -> Config:
    """A bundle's config.json, checked, with warnings of what cannot be given as asked.

    The program is told of ``listening`` sockets that it gets (sd_listen_fds(3)).
    """
    config = load(file)
    if listening and config.process is not None:
        env = (*config.process.env, f"LISTEN_FDS={listening}", "LISTEN_PID=1")
        config = replace(config, process=replace(config.process, env=env))
    if not os.path.isdir(os.path.join(bundle, config.root.path)):
        raise InvalidInput(f"config.json: root.path {config.root.path[:200]} is not a directory")
    if config.process is not None:
        identity.check_user(config, config.process.user)
        own = identity.capabilities_of(config)
        for name in oci_process.unavailable(config.process, own):
            LOG.warning(f"config.json: process.capabilities {name[:40]} cannot be given as asked")
    return config


def create(folder: Folder, config: Config, options: Options, console: Console) -> Record:
    """Make a container that waits for `start`; nothing of it stays on failure."""
    folder.make()
    with ExitStack() as undo:
        undo.callback(folder.remove)
        wish = Group.of(config, folder.id, options.manager)
        record = Record(
            id=folder.id,
            bundle=options.bundle,
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            owner=_login(),
            config=config,
            cgroups=wish.paths,
            parents=wish.parents(),
            unit=wish.scope.unit if wish.scope else "",
        )
        folder.write(record)  # a command killed from here on leaves what `delete --force` finds
        undo.callback(_remove_group, wish.cgroup, record)
        if wish.scope is None:
            wish.create()
        _start_process(folder, record, wish, options, console, undo)
        undo.pop_all()
    return record


def _login() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def write_pid_file(path: str, host_pid: int) -> None:
    """Atomically, as conmon reads it."""
    write_whole(Path(path), b"%d" % host_pid, mode=0o644, is_only_writer=True)


def _remove_group(cgroup: Cgroup, record: Record) -> None:
    with suppress(KernelRefused):
        cgroup.kill()
    remove_group(cgroup, record)


def remove_group(cgroup: Cgroup, record: Record) -> None:
    """Remove it as soon as the last process has left, and what was made on the way to it."""
    if record.unit:
        from wardian.oci import systemd

        systemd.stop(record.unit)
    deadline = time.monotonic() + 5
    while True:
        try:
            cgroup.remove()
        except KernelRefused:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            break
    for path in record.parents:
        with suppress(OSError):  # another group is in it by now
            os.rmdir(path)


def _start_process(
    folder: Folder,
    record: Record,
    wish: Group,
    options: Options,
    console: Console,
    undo: ExitStack,
) -> None:
    config, cgroup = record.config, wish.cgroup
    outcome = os.open(folder.outcome, os.O_RDWR | os.O_CLOEXEC)
    plan = inside.Plan(
        config=config,
        bundle=record.bundle,
        admission=() if wish.scope else tuple(cgroup.admission_fds()),
        cgroups=record.cgroups,
        maps=tuple(map(identity.user_namespace_of, config.mounts)),
        fifo=os.open(folder.fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC),
        # Held open by the first process alone, until it has become the program.
        outcome=outcome,
        seccomp=seccomp_of(config),
        console=console.theirs,
        preserve_fds=options.preserve_fds,
        no_pivot=options.no_pivot,
        new_keyring=options.new_keyring,
        is_placed_later=wish.scope is not None,
    )
    flags = 0
    for each in config.linux.namespaces:
        if not each.path and each.type not in {"cgroup", "time"}:
            flags |= KINDS[each.type]
    hooks.prepare(config.hooks)
    with identity.time_namespace(config):
        record.pid, sync = birth.clone(
            lambda sync: inside.main(plan, sync),
            flags=flags,
            cgroup_fd=None if wish.scope else cgroup.clone_fd(),
            go_there=birth.way_to(config.linux.namespaces),
        )
    os.close(outcome)
    undo.callback(_kill, record.pid)
    record.started_ticks = start_ticks(record.pid) or 0
    with sync:
        _accompany(record, wish, sync)
        console.take()
        folder.write(record)
        if options.pid_file:
            write_pid_file(options.pid_file, record.pid)
        sync.send(b"{}")  # else the process ends: a container that nobody knows of cannot stay


def _accompany(record: Record, wish: Group, sync: socket.socket) -> None:
    """Do for the first process what can be done only from outside, step by step."""
    config = record.config
    if wish.scope is not None:
        birth.hear(sync, b"unplaced")
        wish.create_around(record.pid, record.id)
        sync.send(b"{}")
    if identity.makes_user_namespace(config):
        birth.hear(sync, b"unmapped")
        identity.write_maps(record.pid, config.linux.uidMappings, config.linux.gidMappings)
        sync.send(b"{}")
    if config.linux.netDevices:
        from wardian.oci import net_devices

        net_devices.move(config.linux.netDevices, record.pid)
    birth.hear(sync, b"mounted")
    state = document(record, "creating")
    hooks.run(config.hooks.prestart, state, "prestart")
    hooks.run(config.hooks.createRuntime, state, "createRuntime")
    sync.send(msgspec.json.encode(state))
    birth.hear(sync, b"ready")


def _kill(host_pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(host_pid, signal.SIGKILL)  # our child: its number is no other's until we wait
    with suppress(ChildProcessError):
        os.waitpid(host_pid, 0)


def seccomp_of(config: Config) -> oci_process.Filter | None:
    """The filter, compiled, with its flags and its listener; None without one."""
    profile = config.linux.seccomp
    if profile is None:
        return None
    from wardian.linux import seccomp  # and libseccomp: a container without a filter does without
    from wardian.oci import listener

    program = seccomp.compile_profile(profile, DEFAULT, has_listener=True)
    return oci_process.Filter(program, seccomp.flags_of(profile), listener.connect(config))


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
    except WardianError:  # it is destroyed, as runtime.md has it ("Lifecycle", 9 and 12)
        from wardian.oci import deletion

        if group.recorded(record.cgroups) is None:
            _kill(record.pid)
        deletion.remove(folder, record)
        raise


def _hear_outcome(outcome: int) -> None:
    """Wait until the program runs; CommandFailed tells why it does not."""
    with open(outcome, "rb") as file:
        code, _, what = file.read().decode(errors="replace").partition("\n")
    if code:
        raise CommandFailed(what, exit_code=int(code))
