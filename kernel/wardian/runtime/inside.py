"""A container's namespaces: the child's half, from clone3 to PID 1's loop.

The child is a fork of the keeper; it closes what it inherited, never returns and never runs a
finaliser of the keeper's objects.
"""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from wardian.errors import WardianError
from wardian.linux import capabilities, namespaces, process, seccomp
from wardian.linux import mount as mnt
from wardian.linux.capabilities import Capability
from wardian.runtime import apparmor, furniture, landlocked, rootfs, trees, wire
from wardian.runtime import messages as m
from wardian.runtime.confinement import allowed_capabilities, usual_seccomp
from wardian.runtime.init import Init
from wardian.runtime.process import Privileges
from wardian.runtime.rehearsal import rehearse
from wardian.runtime.rootfs import BindMount, Overlay
from wardian.runtime.sharing import PRIVATE
from wardian.runtime.spec import Bind, ContainerSpec
from wardian.storage.driver import Driver

INIT_NAME = "wardian-init"
# Exists on every host, and nobody wants to mount it; what is there is seen by this child alone.
STAGING = "/proc/bus"
# What init itself needs to start, signal and confine the container's processes.
INIT_CAPABILITIES = frozenset(
    {Capability.SETUID, Capability.SETGID, Capability.KILL, Capability.SETPCAP}
)


def main(sync: wire.Connection) -> NoReturn:
    """Follow the keeper's orders, then be init."""
    code = 1
    try:
        gc.disable()  # nothing of the keeper's may be finalised here
        process.keep_only(sync.fileno())
        try:
            init, privileges, borrowed = _settle(sync)
        except WardianError as error:
            sync.send(m.encode(m.Failure("SetupError", error.what, error.hint)))
        except OSError as error:
            what = f"cannot set up the container: {error.strerror}"
            sync.send(m.encode(m.Failure("SetupError", what)))
        except EOFError:
            raise
        except Exception as error:  # noqa: BLE001  # a mistake of ours must not look like silence
            what = f"cannot set up the container: {type(error).__name__}: {error}"
            sync.send(m.encode(m.Failure("WardianError", what)))
        else:
            sync.send("\n".join((m.READY, *borrowed)).encode())
            if sync.receive().data == b"go":
                init.run(sync, privileges)
    except EOFError:
        code = 0  # the keeper is gone: so are we
    finally:
        os._exit(code)


def _settle(sync: wire.Connection) -> tuple[Init, Privileges, tuple[str, ...]]:
    first = sync.receive()
    furnish = m.decode(first.data, m.Furnish)
    _move_into_cgroup(first.fds[: len(first.fds) - furnish.joins_cgroup_root])
    _become_root()
    mnt.make_rprivate()
    mnt.mount("tmpfs", STAGING, "tmpfs", 0, "mode=700,size=1m")
    os.chdir(STAGING)
    if furnish.own_network:
        namespaces.bring_up_loopback()
    borrowed = furniture.build(furnish)
    _take_cgroup_root(furnish, first.fds)
    message = sync.receive()
    if message.data == m.USER:
        _show_namespace(sync, m.USER)
        message = sync.receive()
    listener = socket.socket(fileno=message.fds[0])
    lay = m.decode(message.data, m.Lay)
    binds_at = 1 + (lay.driver is Driver.FUSE)
    whole, given = message.fds[1:binds_at], message.fds[binds_at:]
    root_fd = _lay(lay, whole, given, furnish)
    if given:  # else the binds to come are found by their paths on the host
        rootfs.enter(root_fd)
    # From now on every descriptor that comes is wanted, also those of init's first orders.
    process.keep_only(sync.fileno(), listener.fileno(), root_fd)
    init = Init(listener, owns_pids=furnish.owns_pids)
    if not furnish.has_loan:  # the rehearsal would be seen in namespaces of others
        rehearse()
    if lay.plain_hostname and given:
        privileges = _finish(root_fd, _plain(lay.plain_hostname), usual_seccomp())
        sync.receive()
        return init, privileges, borrowed
    message = sync.receive()
    if message.data == m.NETWORK:
        _show_namespace(sync, m.NETWORK)
        message = sync.receive()
    order = m.decode(message.data, m.Enter)
    rootfs.furnish(root_fd, _binds(order, message.fds), order.spec)
    if not given:
        rootfs.enter(root_fd)
    program = usual_seccomp() if order.has_usual_seccomp else order.seccomp
    return init, _finish(root_fd, order.spec, program), borrowed


def _show_namespace(sync: wire.Connection, kind: bytes) -> None:
    """Nobody else may open it who is not root: we are not dumpable (ptrace(2))."""
    fd = os.open(f"/proc/self/ns/{kind.decode()}", os.O_RDONLY | os.O_CLOEXEC)
    sync.send(kind, (fd,))
    os.close(fd)


def _move_into_cgroup(fds: tuple[int, ...]) -> None:
    for fd in fds:
        os.write(fd, b"0")
        os.close(fd)


def _take_cgroup_root(furnish: m.Furnish, fds: tuple[int, ...]) -> None:
    """A cgroup namespace of our own has the group that we are in for its root; and its files."""
    if furnish.own_cgroup_root:
        namespaces.unshare(namespaces.CLONE_NEWCGROUP)
    elif furnish.joins_cgroup_root:
        namespaces.setns(fds[-1])
        os.close(fds[-1])
    elif furnish.own_network:  # else /sys is this machine's already, and its cgroups with it
        furniture.borrow_cgroups()
        return
    if furnish.own_network:
        furniture.mount_cgroups(furnish.cgroup_mounts)


def _plain(hostname: str) -> ContainerSpec:
    return ContainerSpec(name="plain", image="", lowers=(), hostname=hostname)


def _finish(root_fd: int, spec: ContainerSpec, program: bytes | None) -> Privileges:
    os.close(root_fd)
    if spec.sharing.uts == PRIVATE:
        namespaces.sethostname(spec.hostname)
        if spec.domainname:
            namespaces.setdomainname(spec.domainname)
    os.umask(0o022)  # what programs start with, as under docker
    return _confine(spec, program)


def _become_root() -> None:
    os.setsid()
    process.set_name(INIT_NAME)
    process.set_title(INIT_NAME)  # the keeper's command line names paths of the host
    process.become_root()
    os.umask(0)


def _lay(order: m.Lay, whole: tuple[int, ...], fds: tuple[int, ...], furnish: m.Furnish) -> int:
    """Mount the container's root with its usual furniture; a descriptor of it."""
    if whole:
        binds = fds or tuple(trees.binds(order, None))
        return _furnished(rootfs.mount_whole(*whole), binds, order.binds)
    if order.driver is Driver.NATIVE:
        return _lay_native(order, fds)
    sources = fds or trees.detach(order, None)
    lowers = len(order.lowers)
    overlay = Overlay(
        lower_fds=tuple(sources[:lowers]),
        snapshot_fd=sources[lowers],
        upper=order.upper,
        work=order.work,
        in_user_namespace=furnish.in_user_namespace,
    )
    return _furnished(rootfs.mount_overlay(overlay), sources[lowers + 1 :], order.binds)


def _lay_native(order: m.Lay, fds: tuple[int, ...]) -> int:
    """The same of a snapshot that has all files; where the keeper may not give us it, by us."""
    if not fds:
        from wardian.storage import native
        from wardian.storage.packing import IdShift
        from wardian.storage.snapshotter import Snapshot

        home = Path(order.snapshot)
        snapshot = Snapshot("", home / order.upper, home / order.work, order.driver)
        native.fill(snapshot, [Path(lower) for lower in order.lowers], IdShift())
    sources = fds or trees.detach(msgspec.structs.replace(order, lowers=()), None)
    return _furnished(rootfs.mount_whole(sources[0]), sources[1:], order.binds)


def _furnished(root_fd: int, sources: Sequence[int], binds: Sequence[Bind]) -> int:
    """The root with /proc, /dev and /sys, and our files in /etc."""
    rootfs.move_in(root_fd, furniture.TREES)
    for fd, bind in zip(sources, binds, strict=True):
        rootfs.attach(root_fd, fd, bind.target, directory=False)
    return root_fd


def _binds(order: m.Enter, fds: tuple[int, ...]) -> list[BindMount]:
    sources = fds or trees.detach(order, None)
    return [
        BindMount(fd, bind.target, is_directory)
        for fd, bind, is_directory in zip(
            sources, order.binds, order.bind_is_directory, strict=True
        )
    ]


def _confine(spec: ContainerSpec, program: bytes | None) -> Privileges:
    """Give up what init does not need; its children start from here and give up the rest."""
    allowed = allowed_capabilities(spec)
    own = allowed | INIT_CAPABILITIES
    capabilities.drop_bounding(own)
    capabilities.clear_ambient()
    capabilities.set_capabilities(effective=own, permitted=own, inheritable=frozenset())
    process.set_no_new_privs()
    apparmor.take(spec.apparmor)
    landlocked.restrict(spec.landlock)
    if program is not None:
        seccomp.load(program)
    return Privileges(allowed, has_more=own != allowed)
