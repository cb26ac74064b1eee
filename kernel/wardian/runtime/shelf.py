"""The keeper's side of volumes: which container has which, made when wanted, removed when free."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec.structs import replace

from wardian.errors import (
    AlreadyExists,
    FailedPrecondition,
    KernelRefused,
    NotFound,
    SetupError,
    WardianError,
)
from wardian.linux import mount as mnt
from wardian.runtime.history import History
from wardian.runtime.sandbox import Sandbox
from wardian.runtime.spec import Bind
from wardian.runtime.state import Record
from wardian.runtime.volume_messages import MadeVolumes
from wardian.storage.volume import (
    ANONYMOUS,
    BIND,
    PROPAGATION,
    TMPFS,
    Volume,
    VolumeMount,
    VolumeRequest,
    new_name,
)
from wardian.storage.volumes import Volumes

_LEFT_OUT = (
    "the image's volume at {} is not made: there are no id-mapped mounts here"
    " (see `wardian doctor`)"
)
_NAMED_AT_MOST = 5


class Shelved(msgspec.Struct, frozen=True):
    """What a start mounts for a container's volumes, and what of them it goes without."""

    binds: tuple[Bind, ...] = ()
    warnings: tuple[str, ...] = ()


class Shelf:
    """The volumes of one state root. The containers' records tell who has which."""

    def __init__(self, root: Path, records: Mapping[str, Record], history: History) -> None:
        self._disk = Volumes(root)
        self._records = records
        self._history = history
        self._attached: dict[str, list[VolumeMount]] = {}
        self._can_map: bool | None = None

    # --- make and remove -----------------------------------------------------------------

    def create(self, request: VolumeRequest) -> Volume:
        """A new volume, or the one of this name; AlreadyExists if that has other options."""
        if request.name:
            with suppress(NotFound):
                return _same(self._disk.get(request.name), request)
        name = request.name or new_name()
        labels = request.labels if request.name else {ANONYMOUS: "", **request.labels}
        volume = Volume(name=name, created_at=time.time(), labels=labels, options=request.options)
        if volume.kind == TMPFS and os.geteuid() != 0:
            raise SetupError(
                "only root can make a volume of type tmpfs",
                hint="give each container a directory in memory with --tmpfs",
            )
        self._disk.create(volume)
        self._note("create", volume)
        return volume

    def make(self, mounts: Sequence[VolumeMount]) -> MadeVolumes:
        """The volumes that a container wants, those made that did not exist.

        Nothing that was made stays on failure.
        """
        found: list[VolumeMount] = []
        made: list[str] = []
        try:
            for mount in mounts:
                is_new = not (mount.name and self._exists(mount.name))
                request = VolumeRequest(name=mount.name, labels=mount.labels, options=mount.options)
                volume = self.create(request)
                made += [volume.name] if is_new else []
                found.append(
                    replace(
                        mount,
                        name=volume.name,
                        is_anonymous=mount.is_anonymous or not mount.name,
                    )
                )
        except BaseException:
            self.drop(made)
            raise
        unfilled = tuple(mount for mount in found if self._may_be_filled(mount))
        return MadeVolumes(tuple(found), tuple(made), unfilled)

    def _exists(self, name: str) -> bool:
        try:
            return bool(self._disk.get(name))
        except NotFound:
            return False

    def _may_be_filled(self, mount: VolumeMount) -> bool:
        is_plain = not mount.no_copy and not self._disk.get(mount.name).kind
        is_mounted = any(self._users(mount.name, running=True))
        return is_plain and not is_mounted and self._disk.is_empty(mount.name)

    def settle(self, name: str, staging: str) -> None:
        """What a client has staged becomes the volume's files; FailedPrecondition if it has some.

        Not while a container runs that sees its empty directory.
        """
        self._disk.get(name)
        if users := [*self._users(name, running=True)]:
            raise FailedPrecondition(
                f"volume {name} is in use by {_list(users)}", hint="stop that container first"
            )
        self._disk.settle(name, staging)

    def drop(self, names: Sequence[str]) -> None:
        """Remove those of these volumes that no container has."""
        for name in names:
            with suppress(WardianError):
                self.remove(name)

    def remove(self, name: str) -> None:
        """Remove a volume and its files. FailedPrecondition if a container has it; NotFound."""
        volume = self._disk.get(name)
        if users := [*self._users(name)]:
            raise FailedPrecondition(
                f"volume {name} is in use by {_list(users)}",
                hint=f"remove the container first: wardian rm {users[0].spec.name}",
            )
        self._unmount(volume)
        self._disk.remove(name)
        self._note("destroy", volume)

    def forsake(self, record: Record, *, volumes: bool) -> None:
        """A container was removed: so are its anonymous volumes, if that is wanted."""
        if volumes:
            self.drop([mount.name for mount in record.spec.volumes if mount.is_anonymous])

    def ensure(self, mounts: Sequence[VolumeMount]) -> None:
        """Raise NotFound unless all of these exist."""
        for mount in mounts:
            self._disk.get(mount.name)

    # --- a container's start and end -----------------------------------------------------

    def attach(self, record: Record, sandbox: Sandbox) -> Shelved:
        """What to mount in a container that starts. Raises SetupError, NotFound."""
        binds: list[Bind] = []
        warnings: list[str] = []
        attached = self._attached[record.id] = []
        for mount in record.spec.volumes:
            volume = self._disk.get(mount.name)
            if mount.is_of_image and not volume.kind and not self._maps(volume, sandbox):
                warnings.append(_LEFT_OUT.format(mount.target))
                continue
            binds.append(self._bind(volume, mount))
            attached.append(mount)
            self._note(
                "mount",
                volume,
                container=record.id,
                destination=mount.target,
                propagation="",
                **{"read/write": str(not mount.read_only).lower()},
            )
        return Shelved(tuple(binds), tuple(warnings))

    def detach(self, record: Record) -> None:
        """A container has ended, or its start has failed."""
        for mount in self._attached.pop(record.id, ()):
            with suppress(WardianError):
                volume = self._disk.get(mount.name)
                self._note("unmount", volume, container=record.id)
                if not any(user.id != record.id for user in self._users(mount.name, running=True)):
                    self._unmount(volume)

    def adopt(self) -> None:
        """A new keeper: what was left half-made goes, and tmpfs that nobody runs with."""
        self._disk.sweep()
        for record in self._records.values():
            if record.is_running:
                self._attached[record.id] = list(record.spec.volumes)
        with suppress(WardianError):
            for volume in self._disk.list():
                if not any(self._users(volume.name, running=True)):
                    self._unmount(volume)

    def _bind(self, volume: Volume, mount: VolumeMount) -> Bind:
        read_only = mount.read_only or "ro" in volume.words
        no_exec = mount.no_exec or "noexec" in volume.words
        bind = Bind(
            source=str(self._disk.files(volume.name)),
            target=mount.target,
            read_only=read_only,
            recursive=False,
            no_exec=no_exec,
            volume=volume.name,
        )
        if volume.kind == BIND:
            device = volume.options["device"]
            if not os.path.exists(device):
                raise SetupError(
                    f"volume {volume.name} lacks its directory on the host: {device}",
                    hint="create it first",
                )
            kinds = [word for word in volume.words if word in PROPAGATION]
            return replace(
                bind,
                source=device,
                recursive="rbind" in volume.words,
                propagation=kinds[-1] if kinds else bind.propagation,
                volume="",
            )
        if volume.kind == TMPFS:
            self._mount_tmpfs(volume)
        return bind

    def _mount_tmpfs(self, volume: Volume) -> None:
        """All who have it see one tmpfs: it is mounted where its files would lie, as docker does.

        There a keeper that is killed leaves it to the next.
        """
        path = str(self._disk.files(volume.name))
        if os.path.ismount(path):
            return
        flags = mnt.MS_NOSUID | mnt.MS_NODEV
        try:
            mnt.mount("tmpfs", path, "tmpfs", flags, volume.tmpfs_data)
        except KernelRefused as error:
            raise SetupError(
                f"cannot mount volume {volume.name}: {os.strerror(error.errno)}",
                hint="is its size possible? `wardian volume inspect` shows its options",
            ) from error

    def _unmount(self, volume: Volume) -> None:
        path = str(self._disk.files(volume.name))
        if volume.kind == TMPFS and os.path.ismount(path):
            with suppress(KernelRefused):
                mnt.umount2(path, mnt.MNT_DETACH)

    def _maps(self, volume: Volume, sandbox: Sandbox) -> bool:
        """Whether files here can show with the container's ids; tried once."""
        if self._can_map is None:
            self._can_map = sandbox.can_map(self._disk.files(volume.name))
        return self._can_map

    # --- who has which -------------------------------------------------------------------

    def _users(self, name: str, *, running: bool = False) -> Iterator[Record]:
        for record in self._records.values():
            names = (mount.name for mount in record.spec.volumes)
            if (record.is_running or not running) and name in names:
                yield record

    def _note(self, action: str, volume: Volume, **attributes: str) -> None:
        self._history.note_volume(action, volume.name, {"driver": "local", **attributes})


def _same(volume: Volume, request: VolumeRequest) -> Volume:
    if request.options and request.options != volume.options:
        raise AlreadyExists(
            f"volume {volume.name} exists with other options",
            hint=f"`wardian volume inspect {volume.name}` shows them; choose another name",
        )
    return volume


def _list(users: Sequence[Record]) -> str:
    names = [record.spec.name for record in users]
    more = f" and {len(names) - _NAMED_AT_MOST} more" if len(names) > _NAMED_AT_MOST else ""
    return ", ".join(names[:_NAMED_AT_MOST]) + more
