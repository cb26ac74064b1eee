"""`exec`: another process in a container that runs."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence

import msgspec

from wardian.cgroups.cgroup import Cgroup
from wardian.errors import FailedPrecondition, InvalidInput, SetupError
from wardian.linux import capabilities, namespaces, process
from wardian.oci import birth, create, group, identity, inside, scheduling
from wardian.oci import process as oci_process
from wardian.oci.config import KINDS, Affinity, Process, User, check_process, load_process
from wardian.oci.console import Console
from wardian.oci.state import Folder, Record, document


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The flags of exec."""

    process: str = ""
    cgroups: tuple[str, ...] = ()
    pid_file: str = ""
    console_socket: str = ""
    preserve_fds: int = 0
    cwd: str = ""
    env: tuple[str, ...] = ()
    user: str = ""
    groups: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    no_new_privs: bool = False
    apparmor: str = ""
    process_label: str = ""
    tty: bool = False
    detach: bool = False
    ignore_paused: bool = False


def execute(folder: Folder, args: list[str], options: Options) -> int:
    """Run it; its exit code, or 0 at once when detached."""
    record = folder.read()
    status = folder.status(record)
    usable = {"created", "running"} | ({"paused"} if options.ignore_paused else set())
    if status not in usable:
        raise FailedPrecondition(f"cannot exec in container {folder.id}: it is {status}")
    spec = _spec(record, args, options)
    with Console.open(
        options.console_socket, is_wanted=spec.terminal, is_detached=options.detach
    ) as console:
        host_pid = _start(folder, record, spec, options, console)
        if options.pid_file:
            create.write_pid_file(options.pid_file, host_pid)
        return 0 if options.detach else console.wait(host_pid)


def _start(
    folder: Folder, record: Record, spec: Process, options: Options, console: Console
) -> int:
    program = create.seccomp_of(record.config)
    cgroup = group.recorded(record.cgroups)
    below = _subgroups(record, options.cgroups)
    flags = 0
    for each in record.config.linux.namespaces:
        flags |= KINDS[each.type]
    own = identity.capabilities_of(record.config)

    def become(sync: socket.socket) -> None:
        if flags & namespaces.CLONE_NEWUSER:
            process.become_root()
        os.setsid()
        if console.theirs is not None:
            inside.give_terminal(console.theirs, None, spec.consoleSize)
        oci_process.enter(spec)
        path = oci_process.find(spec)
        state = inside.ask(sync, b"ready")
        host_pid = int(str(state.pop("exec_pid")))
        last = program.of(host_pid, state) if program is not None else None
        inside.finish(spec, path, last, own, options.preserve_fds)

    process.set_dumpable(False)  # the child enters the container's namespaces next
    host_pid, sync = birth.clone(
        become,
        cgroup_fd=_birthplace(cgroup, below),
        go_there=_way_in(record, spec, [*_admission(cgroup), *_doors(below)], flags),
    )
    with sync:
        birth.hear(sync, b"ready")
        console.take()
        state = document(record, folder.status(record))
        sync.send(msgspec.json.encode({**state, "exec_pid": host_pid}))
    return host_pid


def _subgroups(record: Record, words: tuple[str, ...]) -> dict[str, str]:
    """Existing groups below the container's own, by hierarchy: runc's --cgroup [HIERARCHY:]PATH."""
    found: dict[str, str] = {}
    for word in words:
        names, _, path = word.rpartition(":")
        if ".." in path.split("/"):
            raise InvalidInput(f"--cgroup {word[:200]}: `..` components are not allowed")
        wanted = set(names.split(",")) if names else None
        there = {
            hierarchy: os.path.join(directory, path.strip("/"))
            for hierarchy, directory in record.cgroups.items()
            if wanted is None or wanted & set(hierarchy.split(","))
        }
        there = {hierarchy: path for hierarchy, path in there.items() if os.path.isdir(path)}
        if not there:
            raise InvalidInput(
                f"--cgroup {word[:200]}: the container's cgroup has no such group",
                hint="make it first, below the container's own",
            )
        found |= there
    return found


def _birthplace(cgroup: Cgroup | None, below: Mapping[str, str]) -> int | None:
    """A group of v2 with groups of its own may take no process: it is born where it is to be."""
    if "unified" in below:
        return os.open(below["unified"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return cgroup.clone_fd() if cgroup else None


def _admission(cgroup: Cgroup | None) -> Sequence[int]:
    return cgroup.admission_fds() if cgroup else ()


def _doors(below: Mapping[str, str]) -> Sequence[int]:
    return [
        os.open(os.path.join(path, "cgroup.procs"), os.O_WRONLY | os.O_CLOEXEC)
        for hierarchy, path in below.items()
        if hierarchy != "unified"
    ]


def _enter(fd: int) -> None:
    try:
        os.write(fd, b"0")
    except OSError as error:
        file = os.readlink(f"/proc/self/fd/{fd}")
        what = f"cannot enter the cgroup {os.path.dirname(file)}: {error.strerror}"
        raise SetupError(what, hint="a cpuset of v1 needs cpuset.cpus and cpuset.mems") from error


def _way_in(
    record: Record, spec: Process, admission: Sequence[int], flags: int
) -> Callable[[], None]:
    """Into the container's cgroup and namespaces, with what needs the host's /proc and rights."""
    pidfd = process.pidfd_open(record.pid)
    affinity = spec.execCPUAffinity or Affinity()

    def go_there() -> None:
        scheduling.set_affinity(affinity.initial)
        for fd in admission:
            _enter(fd)
        scheduling.set_affinity(affinity.final)
        oci_process.adjust(spec)
        namespaces.setns(pidfd, flags)

    return go_there


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
        user=_user(base.user, options),
        capabilities=_capabilities(base.capabilities, options.capabilities),
        noNewPrivileges=base.noNewPrivileges or options.no_new_privs,
        apparmorProfile=options.apparmor or base.apparmorProfile,
        selinuxLabel=options.process_label or base.selinuxLabel,
    )
    check_process(spec)
    return spec


def _user(base: User, options: Options) -> User:
    """--user UID[:GID] and --additional-gids, by runc's rules."""
    uid, _, gid = options.user.partition(":")
    words = [word for word in (uid, gid, *options.groups) if word]
    for word in words:
        if not word.isdecimal() or int(word) >= 1 << 32:
            raise InvalidInput(f"--user or --additional-gids: {word[:20]!r} is not an id")
    return msgspec.structs.replace(
        base,
        uid=int(uid) if uid else base.uid,
        gid=int(gid) if gid else base.gid,
        additionalGids=(*base.additionalGids, *map(int, options.groups)),
    )


def _capabilities(
    base: Mapping[str, tuple[str, ...]], more: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """--cap adds to all that runc adds to: ambient ones only where they can be."""
    names = [f"CAP_{capabilities.parse(name).name}" for name in more]
    sets = dict(base)
    for kind in ("bounding", "effective", "permitted") if names else ():
        sets[kind] = tuple(dict.fromkeys((*sets.get(kind, ()), *names)))
    return sets
