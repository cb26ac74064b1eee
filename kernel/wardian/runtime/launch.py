"""Starting a container: the keeper's half and the child's half of one handshake.

    keeper                                   child (becomes init)
    ------                                   --------------------
    cgroup, listening socket
    clone3 ────────────────────────────────→ waits
    writes the id maps
    maps the layers to them
    PREPARE + descriptors ─────────────────→ mounts the overlay, /proc, /dev …
    puts it into its cgroup (slow on v1,       (meanwhile)
      so it runs side by side)
    ENTER ─────────────────────────────────→ cgroup namespace, pivot_root, drops privileges
                       READY or an error ←──
    writes the record to disk
    GO ────────────────────────────────────→ serves as PID 1

The child exits when the keeper's end closes before GO: a keeper that is killed half-way leaves no
container that nobody knows.
"""

from __future__ import annotations

import gc
import os
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import msgspec

from wardian.cgroups.cgroup import Cgroup
from wardian.errors import KernelRefused, SetupError, WardianError
from wardian.linux import capabilities, namespaces, process, seccomp
from wardian.linux import mount as mnt
from wardian.linux.capabilities import Capability
from wardian.linux.idmap import write_id_maps
from wardian.runtime import rootfs, wire
from wardian.runtime.ids import IdMaps
from wardian.runtime.init import Init
from wardian.runtime.messages import Failure
from wardian.runtime.process import Privileges
from wardian.runtime.rootfs import BindMount, RootPlan
from wardian.runtime.spec import Bind, ContainerSpec, Network

INIT_NAME = "wardian-init"
# What init itself needs to start, signal and confine the container's processes.
INIT_CAPABILITIES = frozenset(
    {Capability.SETUID, Capability.SETGID, Capability.KILL, Capability.SETPCAP}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where on the host a container lives."""

    home: Path
    lowers: tuple[Path, ...]
    upper: Path
    work: Path


class PlanText(msgspec.Struct, frozen=True):
    """What goes with the descriptors of the first message to the child."""

    lowers: int
    upper: str
    work: str
    binds: tuple[tuple[str, bool], ...]
    cgroup_mounts: tuple[tuple[str, str], ...]
    in_user_namespace: bool
    maps_tty_group: bool


@dataclass(frozen=True, slots=True)
class Launched:
    """A child that is ready to serve and waits for ``go``."""

    host_pid: int
    pidfd: int
    sync: wire.Connection

    def go(self) -> None:
        """Let it serve. Until then it dies with us."""
        self.sync.send(b"go")
        self.sync.close()


def launch(spec: ContainerSpec, site: Site, ids: IdMaps | None, cgroup: Cgroup) -> Launched:
    """Make the container's namespaces and root; without ``ids`` no user namespace.

    On failure nothing is left but the cgroup, which is the caller's.
    """
    listener = wire.listen(site.home / "init.sock")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    sync = wire.Connection(ours)
    with ExitStack() as stack:
        stack.callback(theirs.close)
        stack.callback(listener.close)
        host_pid, pidfd = _clone(_namespaces(spec, ids), cgroup)
        if host_pid == 0:
            _child(wire.Connection(theirs), listener, spec, in_user_namespace=ids is not None)
        try:
            _conduct(sync, spec, site, ids, cgroup, host_pid)
        except BaseException:
            sync.close()
            _end(pidfd, host_pid)
            raise
    return Launched(host_pid, pidfd, sync)


def _namespaces(spec: ContainerSpec, ids: IdMaps | None) -> int:
    flags = (
        namespaces.CLONE_NEWNS
        | namespaces.CLONE_NEWPID
        | namespaces.CLONE_NEWUTS
        | namespaces.CLONE_NEWIPC
    )
    if spec.network is Network.NONE:
        flags |= namespaces.CLONE_NEWNET
    if ids is not None:
        flags |= namespaces.CLONE_NEWUSER
    return flags


def _clone(flags: int, cgroup: Cgroup) -> tuple[int, int]:
    cgroup_fd = cgroup.clone_fd()
    try:
        return process.clone3(flags, cgroup_fd=cgroup_fd)
    except KernelRefused as error:
        raise SetupError(
            f"cannot make the container's namespaces: {error}", hint=_why_not()
        ) from error
    finally:
        if cgroup_fd is not None:
            os.close(cgroup_fd)


def _why_not() -> str:
    restricted = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    with suppress(OSError):
        if os.geteuid() != 0 and restricted.read_text().strip() == "1":
            return (
                "AppArmor forbids user namespaces; as root:"
                " sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
            )
    with suppress(OSError):
        if Path("/proc/sys/user/max_user_namespaces").read_text().strip() == "0":
            return "user namespaces are switched off; as root: sysctl -w user.max_user_namespaces=15000"
    return "`wardian doctor` tells what this host allows"


def _end(pidfd: int, host_pid: int) -> None:
    with suppress(KernelRefused):
        process.pidfd_send_signal(pidfd, 9)
    with suppress(ChildProcessError):
        os.waitpid(host_pid, 0)
    os.close(pidfd)


# --- the keeper's half -----------------------------------------------------------------------


def _conduct(
    sync: wire.Connection,
    spec: ContainerSpec,
    site: Site,
    ids: IdMaps | None,
    cgroup: Cgroup,
    host_pid: int,
) -> None:
    if ids is not None:
        write_id_maps(host_pid, ids.uids, ids.gids, deny_setgroups=len(ids.gids) == 1)
    with _prepared(spec, site, ids, host_pid) as (targets, fds):
        plan = PlanText(
            lowers=len(site.lowers),
            upper=site.upper.name,
            work=site.work.name,
            binds=targets,
            cgroup_mounts=cgroup_mounts(cgroup),
            in_user_namespace=ids is not None,
            maps_tty_group=ids is None or ids.maps_tty_group,
        )
        sync.send(msgspec.json.encode(plan), fds)
        cgroup.add(host_pid)
        sync.send(b"enter")
        answer = sync.receive().data
    if answer != b"ready":
        failure = msgspec.json.decode(answer, type=Failure)
        raise SetupError(failure.what, hint=failure.hint)


@contextmanager
def _prepared(
    spec: ContainerSpec, site: Site, ids: IdMaps | None, host_pid: int
) -> Iterator[tuple[tuple[tuple[str, bool], ...], list[int]]]:
    """The descriptors that the child mounts from, and their order."""
    with ExitStack() as stack:
        userns_fd = None
        if ids is not None and ids.shifts_layers:
            userns_fd = os.open(f"/proc/{host_pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, userns_fd)
        fds: list[int] = []

        def own(fd: int) -> None:
            fds.append(fd)
            stack.callback(os.close, fd)

        for lower in site.lowers:
            own(_layer(lower, userns_fd))
        # Both in one mount, and that a detached one: overlayfs takes no mount of another namespace.
        own(mnt.open_tree(str(site.upper.parent), mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC))
        targets = []
        for bind in (*spec.binds, *_identity_files(site.home)):
            tree, is_directory = _detached(bind, userns_fd)
            own(tree)
            targets.append((bind.target, is_directory))
        yield tuple(targets), fds


def _layer(path: Path, userns_fd: int | None) -> int:
    """A layer as an overlay lower: mapped to the container's ids without touching a file."""
    try:
        tree = mnt.open_tree(str(path), mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC)
    except (OSError, KernelRefused) as error:
        raise SetupError(
            f"a layer of the image is missing on disk: {path.name}",
            hint="remove the image and build or load it again",
        ) from error
    if userns_fd is None:
        return tree
    try:
        mnt.mount_setattr(tree, attr_set=mnt.MOUNT_ATTR_IDMAP, userns_fd=userns_fd)
    except KernelRefused as error:
        os.close(tree)
        raise SetupError(
            "cannot map the image's layers to the container's ids: the kernel or the file system"
            " of the state directory has no id-mapped mounts",
            hint="use Linux 5.19 or newer with ext4, xfs, btrfs or tmpfs (6.3) below WARDIAN_ROOT",
        ) from error
    return tree


def _identity_files(home: Path) -> Iterator[Bind]:
    for name in ("hostname", "hosts"):
        yield Bind(source=str(home / name), target=f"/etc/{name}", read_only=False)


def _detached(bind: Bind, userns_fd: int | None) -> tuple[int, bool]:
    """A detached copy of a host directory or file, never setuid, never a device."""
    recursive = mnt.AT_RECURSIVE if bind.recursive else 0
    try:
        tree = mnt.open_tree(bind.source, mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC | recursive)
    except KernelRefused as error:
        raise SetupError(
            f"cannot mount {bind.source}: {os.strerror(error.errno)}",
            hint="the source of a bind mount must exist on the host",
        ) from error
    attributes = mnt.MOUNT_ATTR_NOSUID | mnt.MOUNT_ATTR_NODEV
    if bind.read_only:
        attributes |= mnt.MOUNT_ATTR_RDONLY
    mnt.mount_setattr(tree, flags=mnt.AT_EMPTY_PATH | recursive, attr_set=attributes)
    if userns_fd is not None:
        # What cannot be mapped (procfs, some network file systems) shows as owned by nobody.
        with suppress(KernelRefused):
            mnt.mount_setattr(tree, attr_set=mnt.MOUNT_ATTR_IDMAP, userns_fd=userns_fd)
    is_directory = os.path.isdir(bind.source)
    return tree, is_directory


def cgroup_mounts(cgroup: Cgroup) -> tuple[tuple[str, str], ...]:
    """What to mount below /sys/fs/cgroup: (name, options), the empty name for plain v2."""
    names = [name for name in cgroup.paths if name]
    if not names or set(names) == {"unified"}:
        return (("", ""),) if cgroup.paths else ()
    return tuple((name, "" if name == "unified" else name) for name in names)


# --- the child's half ------------------------------------------------------------------------


def _child(
    sync: wire.Connection,
    listener: socket.socket,
    spec: ContainerSpec,
    *,
    in_user_namespace: bool,
) -> NoReturn:
    """From clone3 to PID 1's loop; never returns, whatever happens."""
    code = 1
    try:
        gc.disable()  # nothing of the keeper's may be finalised here
        _keep_only(sync.fileno(), listener.fileno())
        _wait_for_maps(sync)
        try:
            privileges = _settle(sync, listener, spec)
        except WardianError as error:
            sync.send(msgspec.json.encode(Failure("SetupError", error.what, error.hint)))
        except OSError as error:
            what = f"cannot set up the container: {error.strerror}"
            sync.send(msgspec.json.encode(Failure("SetupError", what)))
        else:
            sync.send(b"ready")
            if sync.receive().data == b"go":
                sync.sock.close()
                Init(listener, privileges).run()
        code = 1
    except EOFError:
        code = 0  # the keeper is gone: so are we
    finally:
        os._exit(code)


def _keep_only(*fds: int) -> None:
    """Point the standard descriptors at /dev/null and close the keeper's others."""
    null = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    first = 3
    for fd in sorted(fds):
        if first < fd:
            process.close_range(first, fd - 1)
        first = fd + 1
    process.close_range(first)


def _wait_for_maps(sync: wire.Connection) -> None:
    select.select([sync.sock], [], [])


def _settle(sync: wire.Connection, listener: socket.socket, spec: ContainerSpec) -> Privileges:
    """Become the container's root in a finished root directory, without needless privileges."""
    message = sync.receive()
    os.setsid()
    process.set_name(INIT_NAME)
    with suppress(PermissionError):  # a map of one id has setgroups=deny (user_namespaces(7))
        os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    process.set_dumpable(False)
    os.umask(0)
    plan = _read_plan(message)
    root_fd = rootfs.mount_root(plan)
    namespaces.sethostname(spec.hostname)
    if spec.network is Network.NONE:
        namespaces.bring_up_loopback()
    rootfs.furnish(root_fd, plan, spec)
    if sync.receive().data != b"enter":
        raise EOFError
    # The cgroup namespace's root is the group we are in now (cgroup_namespaces(7)).
    namespaces.unshare(namespaces.CLONE_NEWCGROUP)
    rootfs.mount_cgroups(root_fd, plan, spec)
    if spec.read_only:
        mnt.mount_setattr(root_fd, attr_set=mnt.MOUNT_ATTR_RDONLY)
    rootfs.enter(root_fd)
    _keep_only(sync.fileno(), listener.fileno())
    return _confine(spec)


def _read_plan(message: wire.Message) -> RootPlan:
    plan = msgspec.json.decode(message.data, type=PlanText)
    fds = message.fds
    after = plan.lowers + 1
    return RootPlan(
        lower_fds=fds[: plan.lowers],
        snapshot_fd=fds[plan.lowers],
        upper=plan.upper,
        work=plan.work,
        binds=tuple(
            BindMount(fd, target, is_directory)
            for fd, (target, is_directory) in zip(fds[after:], plan.binds, strict=True)
        ),
        cgroup_mounts=plan.cgroup_mounts,
        in_user_namespace=plan.in_user_namespace,
        maps_tty_group=plan.maps_tty_group,
    )


def allowed_capabilities(spec: ContainerSpec) -> frozenset[Capability]:
    """Docker's default capabilities, plus ``--cap-add``, minus ``--cap-drop`` (ALL is a word)."""
    allowed = set(capabilities.DEFAULT)
    if "ALL" in map(str.upper, spec.cap_add):
        allowed = set(Capability)
    if "ALL" in map(str.upper, spec.cap_drop):
        allowed.clear()
    allowed |= {capabilities.parse(name) for name in spec.cap_add if name.upper() != "ALL"}
    allowed -= {capabilities.parse(name) for name in spec.cap_drop if name.upper() != "ALL"}
    return frozenset(allowed)


def seccomp_program(spec: ContainerSpec) -> bytes | None:
    """The container's filter as BPF; None for ``unconfined``. Compiled once, kept in memory."""
    if spec.seccomp == "unconfined":
        return None
    allowed = allowed_capabilities(spec)
    if spec.seccomp == "default":
        return seccomp.compile_default(allowed)
    return seccomp.compile_profile(msgspec.json.decode(spec.seccomp), allowed)


def _confine(spec: ContainerSpec) -> Privileges:
    """Give up what init does not need; its children start from here and give up the rest."""
    allowed = allowed_capabilities(spec)
    program = seccomp_program(spec)
    own = allowed | INIT_CAPABILITIES
    capabilities.drop_bounding(own)
    capabilities.clear_ambient()
    capabilities.set_capabilities(effective=own, permitted=own, inheritable=frozenset())
    process.set_no_new_privs()
    if program is not None:
        seccomp.load(program)
    return Privileges(allowed)
