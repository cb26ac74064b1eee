"""What goes into volumes and comes out of them: an image's files, archives.

Files of a volume are written by containers, so no process of the host's root walks among them. A
container with init alone in it has the volume mounted, and a child of ours does the work inside
(`visit`): no symlink leads out of it, and owners are mapped as everywhere. An ordinary user's child
has that user's own ids (`visit_own`), and goes by descriptors as the other does. What is brought in
is staged beside the volume's files and becomes them by a rename.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec
from msgspec.structs import replace

from wardian.errors import FailedPrecondition, SetupError, WardianError
from wardian.runtime import drivers
from wardian.runtime import volume_messages as v
from wardian.runtime.spec import Bind, ContainerSpec, Keep
from wardian.runtime.visit import Visit, visit, visit_own
from wardian.storage import layers, tree
from wardian.storage.compression import decompressed, read_chunks
from wardian.storage.driver import Driver
from wardian.storage.foreign import own_ranges
from wardian.storage.packing import pack_whole
from wardian.storage.snapshotter import Snapshot
from wardian.storage.volume import VolumeMount
from wardian.storage.volumes import DATA, STAGING, Volumes

if TYPE_CHECKING:
    from wardian.runtime.client import Client
    from wardian.runtime.container import Container

_PLACE = "/.wardian-volume"  # where the volume, or the directory that it lies in, is mounted
_CHUNK_BYTES = 1 << 16


@contextmanager
def with_volumes(client: Client, spec: ContainerSpec) -> Iterator[ContainerSpec]:
    """The spec with its volumes named, there, and filled from the image on their first use.

    Those that were made for it go again if what is done with the spec fails.
    """
    made, _ = client.call("make_volumes", v.MakeVolumesCall(spec.volumes), v.MadeVolumes)
    try:
        for mount in made.unfilled:
            _fill_from_image(client, spec, mount)
        yield replace(spec, volumes=made.mounts)
    except BaseException:
        with suppress(WardianError):
            client.call("drop_volumes", v.DropVolumesCall(made.new), type(None))
        raise


def _fill_from_image(client: Client, spec: ContainerSpec, mount: VolumeMount) -> None:
    """With what the image has at the target, the directory's owner and mode, too."""
    try:
        with _staging(client, mount.name, spec.lowers) as staging:
            staging.copy(mount.target)
    except FailedPrecondition:
        if Volumes(client.root).is_empty(mount.name):
            raise
        # Another container was a moment faster.
    except SetupError:
        if not mount.is_of_image:  # else the start goes without it, and says why
            raise


def restore(client: Client, name: str, stream: BinaryIO) -> None:
    """Fill an empty volume from an archive (tar), compressed or not.

    Raises FailedPrecondition for an archive that is damaged or hostile, for a volume that has
    files or is in use; InvalidInput for what is no archive. The volume is as it was then.
    """
    if Volumes(client.root).get(name).kind:
        raise FailedPrecondition(
            f"the files of volume {name} lie elsewhere", hint="unpack the archive there"
        )
    with _staging(client, name) as staging:
        staging.unpack(stream)


def save(client: Client, name: str, output: BinaryIO) -> None:
    """Write a volume's files as an archive (tar). Raises WardianError, OSError."""
    volume = Volumes(client.root).get(name)
    mounted = VolumeMount(target=_PLACE, name=name, read_only=True, no_copy=True)
    files = volume.options.get("device") or str(Volumes(client.root).files(name))
    with _porter(client, files, mounted) as porter:
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        giving = porter.begin(partial(_pack, porter.place, write_fd), write_fd)
        with open(read_fd, "rb") as stream:
            try:
                while data := stream.read(_CHUNK_BYTES):
                    output.write(data)
            except OSError:
                stream.close()  # the visit ends at a pipe that nobody reads
                giving.abandon()
                raise
        giving.result()


# --- outside -------------------------------------------------------------------------------------


class _Porter(msgspec.Struct, frozen=True):
    """Does things at a ``place``: in a container, or for an ordinary user with its own ids."""

    place: str
    container: Container | None = None
    lowers: Sequence[str] = ()
    snapshot: Snapshot | None = None

    def begin(self, action: partial[bytes], fd: int | None = None, *, image: bool = False) -> Visit:
        """Begin one, perhaps in the image's tree; the descriptor is the visit's from then on."""
        fds = () if fd is None else (fd,)
        try:
            if self.container is not None:
                return visit(self.container, action, fds=fds, without_mounts=image)
            if not image:
                return visit_own(action, fds=fds)
            place, snapshot = f"{self.place}/{DATA}", self.snapshot
            return visit_own(action, fds=fds, lowers=self.lowers, place=place, snapshot=snapshot)
        finally:
            if fd is not None:
                os.close(fd)


@contextmanager
def _porter(
    client: Client, place: str, mounted: Bind | VolumeMount, lowers: Sequence[str] = ()
) -> Iterator[_Porter]:
    """Root's has a container of its own, in which what is at the place is mounted."""
    if os.geteuid() != 0:
        with _copy_of_image(client.root) if lowers else nullcontext() as snapshot:
            yield _Porter(place, lowers=lowers, snapshot=snapshot)
        return
    spec = ContainerSpec(
        name=f"volume-{os.urandom(6).hex()}",
        image="wardian volume",
        lowers=tuple(lowers),
        binds=(mounted,) if isinstance(mounted, Bind) else (),
        volumes=(mounted,) if isinstance(mounted, VolumeMount) else (),
        keep=Keep.NEVER,
    )
    container = client.run(spec)
    try:
        yield _Porter(_PLACE, container)
    finally:
        container.remove(force=True)


@contextmanager
def _copy_of_image(root: Path) -> Iterator[Snapshot | None]:
    """Where the image's files can be copied to, with a driver that cannot show them otherwise."""
    snapshots = drivers.snapshotter(root)
    if snapshots.driver is Driver.OVERLAY:
        yield None
        return
    key = f"volume-{os.urandom(6).hex()}"
    snapshot = snapshots.prepare(key)
    try:
        yield snapshot
    finally:
        snapshots.remove(key)


class _Staging(msgspec.Struct, frozen=True):
    """A directory beside a volume's files, and who can reach it."""

    name: str
    porter: _Porter

    def copy(self, directory: str) -> None:
        """Fill it with what the image has in a directory."""
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        giving = self.porter.begin(partial(_pack, directory, write_fd), write_fd, image=True)
        taking = self._take(read_fd)
        try:
            giving.result()
        except BaseException:
            taking.abandon()
            raise
        taking.result()

    def unpack(self, stream: BinaryIO) -> None:
        """Fill it from an archive."""
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        taking = self._take(read_fd)
        try:
            with suppress(BrokenPipeError), open(write_fd, "wb") as output:  # the visit tells why
                output.writelines(decompressed(read_chunks(stream)))
        except BaseException:
            taking.abandon()
            raise
        taking.result()

    def _take(self, fd: int) -> Visit:
        has_one_id = os.geteuid() != 0 and min(map(len, own_ranges())) == 1
        owners = layers.Owners.CALLER if has_one_id else layers.Owners.AS_ARCHIVED
        path = f"{self.porter.place}/{self.name}"
        return self.porter.begin(partial(_unpack, path, owners, fd), fd)

    def remove(self) -> None:
        """Take it away again."""
        with suppress(WardianError):
            self.porter.begin(partial(_remove, self.porter.place, self.name)).result()


@contextmanager
def _staging(client: Client, name: str, lowers: Sequence[str] = ()) -> Iterator[_Staging]:
    """What is in it becomes the volume's files if all goes well."""
    home = str(Volumes(client.root).home(name))
    bind = Bind(source=home, target=_PLACE, read_only=False, volume=name)
    with _porter(client, home, bind, lowers) as porter:
        staging = _Staging(f"{STAGING}{os.urandom(8).hex()}", porter)
        try:
            yield staging
            client.call("settle_volume", v.SettleVolumeCall(name, staging.name), type(None))
        except BaseException:
            staging.remove()
            raise


# --- inside --------------------------------------------------------------------------------------


def _pack(directory: str, fd: int) -> bytes:
    """Nothing is written where there is no such directory."""
    with open(fd, "wb") as output, suppress(FileNotFoundError, NotADirectoryError, BrokenPipeError):
        source = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        pack_whole(source, output)
    return b""


def _unpack(path: str, owners: layers.Owners, fd: int) -> bytes:
    """Without an entry in the archive the directory is as any new one."""
    os.mkdir(path)
    os.chmod(path, 0o755)  # noqa: S103  # as `Volumes.create` does
    target = os.open(path, tree.OPEN_DIRECTORY)
    with open(fd, "rb") as stream:
        layers.unpack(stream, target, policy=layers.Policy(owners=owners))
    return b""


def _remove(place: str, staging: str) -> bytes:
    tree.remove(os.open(place, tree.OPEN_DIRECTORY), staging)
    return b""
