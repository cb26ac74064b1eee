"""A container's namespaces, made before or when they are needed: the keeper's half.

    keeper                                   child (becomes init)
    ------                                   --------------------
    clone3, by way of the zygote ──────────→ waits
    writes the id maps
    FURNISH + cgroup descriptors ──────────→ moves itself into its cgroup (slow on v1),
                                             builds /proc, /dev, /sys on a scratch tmpfs,
                                             makes its cgroup namespace
                 … a prepared sandbox rests here until its image is known …
    maps the layers to its ids
    LAY + descriptors ─────────────────────→ mounts the overlay, moves the trees in, pivot_root
                 … or here, when its image can be guessed: it is that of the last start …
    ENTER + descriptors ───────────────────→ mounts what the spec adds, drops privileges
    writes the record to disk
    GO, and init's first orders ───────────→
                       READY or an error ←── serves as PID 1

The child exits when the keeper's end closes before GO: a keeper that is killed half-way leaves no
container that nobody knows.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import msgspec

from wardian.cgroups.cgroup import Cgroup
from wardian.errors import KernelRefused, SetupError, WardianError
from wardian.linux import namespaces, process, unix_socket
from wardian.linux.idmap import write_id_maps
from wardian.linux.process import start_ticks
from wardian.runtime import fuse_server, trees, wire
from wardian.runtime import messages as m
from wardian.runtime.confinement import has_usual_seccomp, seccomp_program
from wardian.runtime.ids import IdMaps
from wardian.runtime.lending import NOTHING, Loan
from wardian.runtime.site import Site
from wardian.runtime.spec import Bind, ContainerSpec, Network
from wardian.runtime.zygote import Zygote, ZygoteLost
from wardian.storage.driver import Driver
from wardian.storage.mapped import MappedCopies

DOCTOR = "`wardian doctor` tells what this host allows"
COPIED = (
    "the image's layers were copied for the container's ids: there are no id-mapped mounts here"
    " (see `wardian doctor`)"
)


class Sandbox(msgspec.Struct):
    """New namespaces with one process in them, which waits for its orders.

    ``ids`` None means that it shares the host's user namespace.
    """

    network: Network
    ids: IdMaps | None
    cgroup: Cgroup
    host_pid: int
    started_ticks: int | None
    pidfd: int
    _sync: wire.Connection
    loan: Loan = NOTHING
    _laid: tuple[tuple[int, int], ...] | None = None
    is_plain: bool = False
    warnings: tuple[str, ...] = ()
    server: fuse_server.Server | None = None

    @classmethod
    def create(
        cls,
        zygote: Zygote,
        network: Network,
        ids: IdMaps | None,
        cgroup: Cgroup,
        loan: Loan = NOTHING,
        spec: ContainerSpec | None = None,
    ) -> Sandbox:
        """Clone the child into its namespaces and its cgroup. The cgroup stays the caller's.

        With a spec its /proc is as that wants it.
        """
        flags = _namespaces(network, ids if loan.user_fd is None else None) & ~loan.kept
        try:
            host_pid, pidfd, ours = _clone(zygote, flags, cgroup, loan)
        except ZygoteLost:
            host_pid, pidfd, ours = _clone(zygote, flags, cgroup, loan)
        ticks, sync = start_ticks(host_pid), wire.Connection(ours)
        sandbox = cls(network, ids, cgroup, host_pid, ticks, pidfd, sync, loan)
        sandbox.warnings = loan.warnings
        try:
            sandbox._move_in(spec)
        except BaseException:
            sandbox.discard()
            raise
        return sandbox

    def _move_in(self, spec: ContainerSpec | None) -> None:
        loan = self.loan
        if self.ids is not None and loan.user_fd is None:
            maps = (self.ids.uids, self.ids.gids)
            try:
                write_id_maps(self.host_pid, *maps, deny_setgroups=self.ids.has_one_group)
            except KernelRefused as error:
                what = f"cannot give the container its ids: {error.what}"
                raise SetupError(what, hint=DOCTOR) from error
        order = m.Furnish(
            own_network=self.network is Network.NONE and loan.owns_network,
            in_user_namespace=self.ids is not None,
            has_tty_group=self.ids is None or self.ids.maps_tty_group,
            cgroup_mounts=cgroup_mounts(self.cgroup),
            own_cgroup_root=loan.has_own_cgroup_root,
            joins_cgroup_root=loan.cgroup_fd is not None,
            owns_pids=loan.owns_pids,
            has_loan=loan is not NOTHING,
            hides_paths=spec is None or spec.hides_paths,
            sysctls=spec.sysctls if spec else {},
        )
        admission = self.cgroup.admission_fds()
        self._sync.send(m.encode(order), [*admission, *filter(None, (loan.cgroup_fd,))])
        for fd in admission:
            os.close(fd)

    def lay(self, site: Site, *, plain_hostname: str = "") -> None:
        """Give it its root, from the layers of an image and a snapshot of its own.

        With a hostname it confines itself at once, and is for a plain spec only.
        """
        snapshot, lowers = site.snapshot, tuple(map(str, site.lowers))
        if snapshot.driver is Driver.NATIVE and trees.may_clone():
            self._fill(site)
            lowers = ()
        order = m.Lay(
            lowers=lowers,
            snapshot=str(snapshot.upper.parent),
            upper=snapshot.upper.name,
            work=snapshot.work.name,
            binds=tuple(_identity_files(site.home)),
            plain_hostname=plain_hostname,
            driver=snapshot.driver,
        )
        laid = tuple(map(_identity, site.lowers))
        copy = partial(self._copy, site.copies)
        with (
            unix_socket.listen(site.home / "init.sock") as listener,
            self._trees(order, copy) as fds,
            self._served(order, fds) as given,
        ):
            self._send(m.encode(order), [listener.fileno(), *given])
        self._laid = laid
        self.is_plain = bool(plain_hostname)

    @contextmanager
    def _served(self, order: m.Lay, fds: Sequence[int]) -> Iterator[Sequence[int]]:
        """What the child gets: with fuse-overlayfs one mount instead of the layers."""
        if order.driver is not Driver.FUSE:
            yield fds
            return
        count = len(order.lowers) + 1
        paths = (*order.lowers, order.tree)
        layers = fuse_server.Layers(fds[:count], paths, order.upper, order.work)
        userns_fd = None if self.ids is None else self._namespace_fd(m.USER)
        try:
            self.server = fuse_server.start(layers, userns_fd)
        finally:
            if userns_fd is not None:
                os.close(userns_fd)
        yield [self.server.mount_fd, *fds[count:]]

    def _fill(self, site: Site) -> None:
        from wardian.storage import native  # hardly any keeper needs all this
        from wardian.storage.packing import IdShift

        first_host_id = self.ids.first_host_id if self.ids else None
        native.fill(site.snapshot, site.lowers, IdShift.of(first_host_id))

    def is_laid_on(self, lowers: Sequence[Path]) -> bool:
        """Whether it stands on these very directories, not on others of the same names."""
        return self._laid is not None and self._laid == tuple(map(_identity, lowers))

    @property
    def is_laid(self) -> bool:
        """Whether it has its root."""
        return self._laid is not None

    def network_fd(self) -> int:
        """Its network namespace, to be asked for when it is laid and before it enters."""
        return self._namespace_fd(m.NETWORK)

    def _namespace_fd(self, kind: bytes) -> int:
        with suppress(PermissionError):  # a user, or root without CAP_SYS_PTRACE
            return os.open(f"/proc/{self.host_pid}/ns/{kind.decode()}", os.O_RDONLY | os.O_CLOEXEC)
        self._send(kind, ())
        answer = self._receive()
        if len(answer.fds) != 1:
            failure = m.decode(answer.data, m.Failure)
            raise SetupError(failure.what, hint=failure.hint)
        return answer.fds[0]

    def can_map(self, directory: Path) -> bool:
        """Whether owners of files there can show as they are to it; they need not be mapped."""
        if self.ids is None or not self.ids.shifts_layers or not trees.may_clone():
            return True
        userns_fd = os.open(f"/proc/{self.host_pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return trees.can_map(str(directory), userns_fd)
        finally:
            os.close(userns_fd)

    def enter(self, spec: ContainerSpec, more: tuple[Bind, ...] = ()) -> wire.Connection:
        """Ask for all that the spec adds, and for these: files of ours in its /etc, its volumes.

        Returns the way to init, which serves after `go`.
        """
        binds = (*more, *spec.binds)
        order = m.Enter(
            spec=spec,
            binds=binds,
            bind_is_directory=tuple(os.path.isdir(bind.source) for bind in binds),
            seccomp=None if has_usual_seccomp(spec) else seccomp_program(spec),
            has_usual_seccomp=has_usual_seccomp(spec),
        )
        with self._trees(order) as fds:
            self._send(m.encode(order), fds)
        return self._sync

    def go(self) -> None:
        """Let it serve as soon as it can. Until then it dies with us."""
        self._send(b"go", ())

    def wait_until_ready(self) -> tuple[str, ...]:
        """Return when it serves, with what is not as it is elsewhere; raises what went wrong."""
        answer = self._receive().data
        is_ready = answer.startswith(m.READY.encode())
        if self.server is not None and not is_ready and (failure := self.server.why_ended()):
            raise failure
        word, *borrowed = answer.decode(errors="replace").split("\n")
        if word != m.READY:
            failure = m.decode(answer, m.Failure)
            raise SetupError(failure.what, hint=failure.hint)
        return tuple(borrowed)

    def take_server(self, home: Path) -> int | None:
        """A pidfd of the process that serves its files, if there is one; it is noted there."""
        if self.server is None:
            return None
        pidfd = os.dup(self.server.pidfd)
        fuse_server.note(home, self.server)
        self.server.close()
        return pidfd

    def _send(self, data: bytes, fds: Sequence[int]) -> None:
        with suppress(EOFError):  # it has failed: `wait_until_ready` tells why
            self._sync.send(data, fds)

    def _receive(self) -> wire.Message:
        try:
            return self._sync.receive()
        except EOFError:
            raise SetupError(
                "the container's first process ended while it was set up",
                hint="is the memory or process limit too small to start with?",
            ) from None

    def _copy(self, copies: MappedCopies, layer: str) -> str:
        assert self.ids is not None
        assert self.ids.first_host_id is not None
        copy = copies.of(Path(layer), self.ids.first_host_id, self.ids.uids[0].count)
        self.warnings = (*self.loan.warnings, COPIED)
        return str(copy)

    @contextmanager
    def _trees(self, order: m.Lay | m.Enter, copy: trees.Copy | None = None) -> Iterator[list[int]]:
        """What the child mounts from. Without the rights to clone mounts, it does that itself."""
        if not trees.may_clone() or not (isinstance(order, m.Lay) or order.binds):
            yield []
            return
        with ExitStack() as stack:
            userns_fd = None
            if self.ids is not None and self.ids.shifts_layers:
                userns_fd = os.open(f"/proc/{self.host_pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
                stack.callback(os.close, userns_fd)
            fds = trees.detach(order, userns_fd, copy)
            for fd in fds:
                stack.callback(os.close, fd)
            yield fds

    def discard(self) -> None:
        """End it; its cgroup stays the caller's."""
        if self.server is not None:
            self.server.close()
        self._sync.close()
        with suppress(KernelRefused):
            process.pidfd_send_signal(self.pidfd, 9)
        with suppress(ChildProcessError):
            os.waitpid(self.host_pid, 0)
        os.close(self.pidfd)


def _namespaces(network: Network, ids: IdMaps | None) -> int:
    flags = (
        namespaces.CLONE_NEWNS
        | namespaces.CLONE_NEWPID
        | namespaces.CLONE_NEWUTS
        | namespaces.CLONE_NEWIPC
    )
    if network is Network.NONE:
        flags |= namespaces.CLONE_NEWNET
    if ids is not None:
        flags |= namespaces.CLONE_NEWUSER
    return flags


def _clone(
    zygote: Zygote, flags: int, cgroup: Cgroup, loan: Loan
) -> tuple[int, int, socket.socket]:
    """The child's PID, its pidfd and our end of its socket."""
    cgroup_fd = cgroup.clone_fd()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        host_pid, pidfd = zygote.clone(flags, theirs, cgroup_fd, loan)
    except WardianError as error:
        ours.close()
        if not isinstance(error, KernelRefused):
            raise
        what = f"cannot make the container's namespaces: {error.what}"
        raise SetupError(what, hint=_why_not()) from error
    finally:
        theirs.close()
        if cgroup_fd is not None:
            os.close(cgroup_fd)
    return host_pid, pidfd, ours


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
            return (
                "user namespaces are switched off; as root:"
                " sysctl -w user.max_user_namespaces=15000"
            )
    with suppress(OSError):
        if "\nSeccomp:\t2\n" in Path("/proc/self/status").read_text():
            return (
                "a seccomp filter refuses it: start this container with"
                " --security-opt seccomp=unconfined, this pod with seccompProfile: Unconfined"
            )
    return DOCTOR


def _identity(directory: Path) -> tuple[int, int]:
    """A directory by device and inode, which stays taken as long as something is mounted of it."""
    try:
        status = directory.stat()
    except OSError:
        return (0, 0)
    return (status.st_dev, status.st_ino)


def _identity_files(home: Path) -> Iterator[Bind]:
    for name in ("hostname", "hosts"):
        yield Bind(source=str(home / name), target=f"/etc/{name}", read_only=False)


def cgroup_mounts(cgroup: Cgroup) -> tuple[tuple[str, str], ...]:
    """What to mount below /sys/fs/cgroup: (name, options), the empty name for plain v2."""
    names = [name for name in cgroup.paths if name]
    if not names or set(names) == {"unified"}:
        return (("", ""),) if cgroup.paths else ()
    return tuple((name, "" if name == "unified" else name) for name in names)
