"""Where instructions are carried out: containers on layers, and layers of what they changed."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec.structs import replace

from wardian.build.reach import Reach
from wardian.build.state import Made
from wardian.build.stop import Stop
from wardian.build.transfer import Order, Sent, Transfer
from wardian.errors import SetupError, WardianError
from wardian.images.ingest import Ingest
from wardian.network.definition import DEFAULT, Attachment
from wardian.runtime import drivers
from wardian.runtime import user as users
from wardian.runtime.changed import as_owner
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import Bind, ContainerSpec, Keep, Network, ProcessSpec, Tmpfs
from wardian.runtime.visit import visit, visit_own
from wardian.storage import foreign, tree, whiteout
from wardian.storage import layers as unpacking
from wardian.storage.changes import Change, changes
from wardian.storage.compression import decompressed, read_chunks
from wardian.storage.driver import Driver
from wardian.storage.packing import IdShift, pack, pack_changes
from wardian.storage.promotion import promote
from wardian.storage.snapshotter import Snapshot


class Ground(msgspec.Struct, frozen=True):
    """Layers with a writable one on them, without a container: an ordinary user may enter none.

    ``scratch`` is an empty directory, over which the root is put together for each look.
    """

    snapshot: Snapshot
    lowers: tuple[str, ...]
    scratch: Path


Place = Container | Ground


@contextmanager
def ground(work: Path, lowers: Sequence[Path], driver: Driver) -> Iterator[Ground]:
    """Layers, uppermost first, with an empty one on them, in a directory of ``work`` of its own."""
    name = os.urandom(8).hex()
    home = work / name
    for part in ("snapshot/upper", "snapshot/work", "scratch"):
        (home / part).mkdir(parents=True, mode=0o755)
    snapshot = Snapshot(name, home / "snapshot/upper", home / "snapshot/work", driver)
    fd = os.open(work, tree.OPEN_DIRECTORY)
    try:
        yield Ground(snapshot, tuple(map(str, lowers)), home / "scratch")
    finally:
        foreign.remove(fd, name)
        os.close(fd)


def on_ground(place: Ground, action: Callable[[], bytes], *fds: int) -> bytes:
    """Do something as root of the caller's ids, with the layers as the root."""
    return visit_own(
        action,
        fds=fds,
        lowers=place.lowers,
        place=str(place.scratch),
        snapshot=place.snapshot,
    ).result()


class Workshop:
    """Containers and the layers made from them. Used by one thread, which closes it.

    ``latest_s`` cuts off later modification times (``--rewrite-timestamp``).
    """

    def __init__(
        self,
        root: Path,
        ingest: Ingest,
        latest_s: int | None = None,
        stop: Stop | None = None,
    ) -> None:
        self._root = root
        self._ingest = ingest
        self._latest_s = latest_s
        self._stop = stop or Stop()
        self._connected: Client | None = None
        self.why_no_network = ""

    def close(self) -> None:
        """Hang up."""
        if self._connected is not None:
            self._connected.close()
            self._connected = None

    @property
    def _client(self) -> Client:
        """Our own way to the keeper, which what is in the cache needs not."""
        if self._connected is None:
            self._connected = Client.connect(self._root)
        return self._connected

    @contextmanager
    def lent(self, lowers: Sequence[Path]) -> Iterator[Place]:
        """These layers for a look at their files: root's in a container with init alone in it."""
        if os.geteuid() != 0:
            driver = drivers.settle(self._root)
            with ground(self._ingest.work, shown(lowers), driver) as place:
                yield place
            return
        container = self._client.run(self._spec(lowers))
        try:
            yield container
        finally:
            container.remove(force=True)

    def _spec(self, lowers: Sequence[Path]) -> ContainerSpec:
        return ContainerSpec(
            name=f"build-{os.urandom(6).hex()}",
            image="wardian build",
            lowers=tuple(map(str, shown(lowers))),
            keep=Keep.NEVER,
        )

    def run(
        self,
        lowers: Sequence[Path],
        process: ProcessSpec,
        output: Callable[[bytes], None],
        *,
        reach: Reach = Reach.NONE,
        binds: tuple[Bind, ...] = (),
        tmpfs: tuple[Tmpfs, ...] = (),
        hosts: tuple[tuple[str, str], ...] = (),
        stdin: int | None = None,
    ) -> tuple[int, Made]:
        """Run a command on the layers: its exit code and what it made.

        Where the default network cannot be made it has none; the first output begins with why.
        """
        spec = replace(self._spec(lowers), process=process, binds=binds, tmpfs=tmpfs)
        spec = replace(spec, extra_hosts=hosts)
        if reach is Reach.HOST:
            spec = replace(spec, network=Network.HOST)
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        fds = {1: write_fd, 2: write_fd} | ({} if stdin is None else {0: stdin})
        try:
            container = self._plugged(spec, fds, output) if reach is Reach.DEFAULT else None
            container = container or self._started(spec, fds)
        finally:
            os.close(write_fd)
            if stdin is not None:
                os.close(stdin)
        try:
            with self._stop.ending(partial(self._end, container.id)):
                with open(read_fd, "rb", buffering=0) as stream:
                    while data := stream.read(1 << 16):
                        output(data)
                code = container.wait()
            if code == 0:
                container.stop(timeout_s=0)  # what the command left running
            mounted = [bind.target for bind in binds] + [one.target for one in tmpfs]
            made = self.made(container, lowers, mounted) if code == 0 else Made(None, ())
            return code, made
        finally:
            container.remove(force=True)

    def _end(self, container_id: str) -> None:
        """By a way of its own, as the workshop's may be waiting for this very container."""
        with suppress(WardianError), Client.connect(self._root) as client:
            client.container(container_id).remove(force=True)

    def _plugged(
        self, spec: ContainerSpec, fds: dict[int, int], output: Callable[[bytes], None]
    ) -> Container | None:
        """One in the default network; None if it cannot be had here (`why_no_network`)."""
        if self.why_no_network:
            return None
        attachments = (Attachment(network=DEFAULT),)
        try:
            return self._started(replace(spec, attachments=attachments), fds)
        except SetupError as error:
            self.why_no_network = error.what
            output(f"RUN has loopback only: {error.what}\n".encode())
            return None

    def _started(self, spec: ContainerSpec, fds: dict[int, int]) -> Container:
        try:
            return self._client.run(spec, fds=fds)
        except WardianError:
            with suppress(WardianError):
                self._client.container(spec.name).remove(force=True)
            raise

    # --- layers --------------------------------------------------------------------------

    def made(
        self,
        place: Place,
        lowers: Sequence[Path],
        mounted: Sequence[str] = (),
        *,
        is_at_rest: bool = True,
    ) -> Made:
        """The layer of what was changed at a place.

        In one ``is_at_rest`` nothing runs that could write, and it is removed next.
        """
        snapshot, below = _snapshot(place), shown(lowers)
        if not snapshot.driver.has_upper:
            below = _all_lowers(place)
        archive = self._ingest.work / os.urandom(8).hex()
        with open(archive, "wb") as output:

            def look() -> tuple[list[Change], str]:
                _remove_mount_points(snapshot.upper, below, mounted)
                found = list(changes(snapshot, below))
                return found, self._pack(snapshot, found, output) if found else ""

            found, diff_id = as_owner(look, output.fileno())
        if not found:
            return Made(None, ())
        ids = IdShift.of(snapshot.first_host_id)
        directory = self._ingest.work / os.urandom(8).hex()
        may_promote = is_at_rest and snapshot.driver is Driver.OVERLAY and os.geteuid() == 0
        if not (may_promote and self._promote(snapshot.upper, directory, ids)):
            unpacking.unpack_file(archive, directory)
        layer = self._ingest.adopt(archive, directory, diff_id)
        self._ingest.settle(layer)
        return Made(layer, tuple(found))

    def _pack(self, snapshot: Snapshot, found: Sequence[Change], output: BinaryIO) -> str:
        """Write the layer's archive; its diff_id."""
        ids, latest_s = IdShift.of(snapshot.first_host_id), self._latest_s
        fd = os.open(snapshot.upper, tree.OPEN_DIRECTORY)
        try:
            if snapshot.driver is not Driver.OVERLAY:
                packed = pack_changes(fd, found, output, ids=ids, latest_s=latest_s)
            else:
                packed = pack(fd, output, ids=ids, latest_s=latest_s)
            output.flush()
        finally:
            os.close(fd)
        return packed.diff_id

    def _promote(self, upper: Path, directory: Path, ids: IdShift) -> bool:
        try:
            promote(upper, directory, ids=ids, latest_s=self._latest_s)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return False
        return True

    # --- files: the layers alone, without what is mounted on them -------------------------

    def owner(self, place: Place, words: str) -> tuple[int, int]:
        """The numbers of ``--chown``, by the container's own files; one without a group has it."""

        def look() -> bytes:
            user, _, group = words.partition(":")
            found = users.lookup(words)
            gid = found.gid if group else (found.uid if user.isdecimal() else found.gid)
            return f"{found.uid} {gid}".encode()

        uid, gid = self._visit(place, look).split()
        return int(uid), int(gid)

    def is_directory(self, place: Place, path: str) -> bool:
        """Whether there is one at this path."""
        return self._visit(place, lambda: str(os.path.isdir(path)).encode()) == b"True"

    def make_directory(self, place: Place, path: str) -> None:
        """Make it with those above it."""

        def make() -> bytes:
            os.makedirs(path, mode=0o755, exist_ok=True)
            return b""

        self._visit(place, make)

    def receive(self, place: Place, stream: BinaryIO, folder: str = "/") -> None:
        """Unpack an archive into the container."""
        stream.flush()

        def take() -> bytes:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            unpacking.unpack(stream, fd)
            return b""

        self._visit(place, take, stream.fileno())

    def receive_plain(self, place: Place, stream: BinaryIO, folder: str) -> None:
        """The same of an archive that may be compressed: it is decompressed out here."""
        with self.scratch() as file:
            file.writelines(decompressed(read_chunks(stream)))
            file.flush()
            file.seek(0)
            self.receive(place, file, folder)

    def send(self, place: Place, order: Order, output: BinaryIO) -> Sent:
        """Pack files of the container."""

        def give() -> bytes:
            sent = Transfer("/", order, output).run()
            output.flush()
            return sent.digest.encode()

        return Sent(self._visit(place, give, output.fileno()).decode())

    @contextmanager
    def scratch(self) -> Iterator[BinaryIO]:
        """A file without a name on the store's file system."""
        with tempfile.TemporaryFile(dir=self._ingest.work) as file:
            yield file

    @staticmethod
    def _visit(place: Place, action: Callable[[], bytes], *fds: int) -> bytes:
        if isinstance(place, Ground):
            return on_ground(place, action, *fds)
        return visit(place, action, fds=fds, without_mounts=True).result()


def _snapshot(place: Place) -> Snapshot:
    """What was written."""
    return place.snapshot if isinstance(place, Ground) else place.info.snapshot


def _all_lowers(place: Place) -> list[Path]:
    """Every layer that a place lies on, uppermost first, ours with the mount points, too."""
    lowers = place.lowers if isinstance(place, Ground) else place.info.lowers
    return [Path(lower) for lower in lowers]


def shown(lowers: Sequence[Path]) -> list[Path]:
    """Layers that come lowest first, uppermost first, down to one whose root hides the others."""
    result = []
    for directory in reversed(lowers):
        result.append(directory)
        if whiteout.is_opaque_path(directory):
            break
    return result


def _remove_mount_points(upper: Path, lowers: Sequence[Path], mounted: Sequence[str]) -> None:
    """What was made only to mount something on is no change: empty, and with no name below."""
    fd = os.open(upper, tree.OPEN_DIRECTORY)
    try:
        for target in mounted:
            path = target.strip("/")
            while path and not any(os.path.lexists(lower / path) for lower in lowers):
                folder, _, name = path.rpartition("/")
                if not _remove_if_empty(fd, folder, name):
                    break
                path = folder
    finally:
        os.close(fd)


def _remove_if_empty(fd: int, folder: str, name: str) -> bool:
    try:
        parent = tree.open_below(fd, folder, tree.OPEN_DIRECTORY)
    except FileNotFoundError:
        return False
    try:
        status = tree.look_at(parent, name)
        if status is None or (
            status.st_size and not os.path.isdir(f"/proc/self/fd/{parent}/{name}")
        ):
            return False
        try:
            if stat.S_ISDIR(status.st_mode):
                _remove_marks(parent, name)
            os.rmdir(name, dir_fd=parent)
        except NotADirectoryError:
            os.unlink(name, dir_fd=parent)
    except OSError:
        return False
    finally:
        os.close(parent)
    return True


def _remove_marks(parent: int, name: str) -> None:
    """What fuse-overlayfs leaves in each directory that it makes."""
    fd = os.open(name, tree.OPEN_DIRECTORY, dir_fd=parent)
    try:
        names = os.listdir(fd)
        if whiteout.OPAQUE_NAME in names and not whiteout.without_marks(names):
            for mark in names:
                os.unlink(mark, dir_fd=fd)
    finally:
        os.close(fd)
