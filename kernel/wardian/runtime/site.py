"""Where on the host a container lives: its directory, its layers, its snapshot."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from wardian.runtime import drivers
from wardian.runtime.ids import IdMaps
from wardian.runtime.spec import ContainerSpec
from wardian.runtime.state import Record, Records
from wardian.storage.driver import Driver
from wardian.storage.mapped import MappedCopies
from wardian.storage.snapshotter import Snapshot


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """The paths of one container.

    ``copies`` are layers whose owners are its ids, if the kernel cannot map them.
    """

    home: Path
    copies: MappedCopies
    lowers: tuple[Path, ...]
    snapshot: Snapshot


class Sites:
    """Every container's site below one state root."""

    def __init__(self, root: Path, records: Records) -> None:
        self._root = root
        self._records = records
        self._snapshots = drivers.snapshotter(root)
        self._copies = MappedCopies(root / "mapped")

    @property
    def driver(self) -> Driver:
        """The storage driver."""
        return self._snapshots.driver

    def reserve(self, container_id: str, maps: IdMaps | None) -> None:
        """Make a container's directories, owned by its root, whoever that is on the host."""
        self._records.reserve(container_id)
        snapshot = self._snapshots.prepare(container_id)
        if maps is None or maps.first_host_id is None:
            return
        for directory in (snapshot.upper.parent, snapshot.upper, snapshot.work):
            os.chown(directory, maps.first_host_id, maps.first_host_id)

    def release(self, container_id: str) -> None:
        """Remove a container's directories, the record first."""
        self._records.remove(container_id)
        self._snapshots.remove(container_id)

    def of(self, container_id: str, lowers: tuple[Path, ...]) -> Site:
        """The site of a container on these layers (`lowers`); NotFound."""
        snapshot = self._snapshots.get(container_id)
        home = self._records.home(container_id)
        return Site(home=home, copies=self._copies, lowers=lowers, snapshot=snapshot)

    def lowers(self, spec: ContainerSpec) -> tuple[Path, ...]:
        """All lower layers of a container, uppermost first: its image's and the skeleton."""
        return (*(Path(lower) for lower in spec.lowers), self._skeleton())

    def sweep(self, records: Mapping[str, Record]) -> None:
        """Remove every snapshot, and every copied layer, but those of these containers."""
        for key in set(self._snapshots.keys()) - set(records):
            self._snapshots.remove(key)
        self._copies.sweep([record.first_host_id or 0 for record in records.values()])

    def _skeleton(self) -> Path:
        """A lowest layer with nothing but mount points, so that they never count as changes."""
        skeleton = self._root / "skeleton"
        if not skeleton.is_dir():
            staging = self._root / ".skeleton"  # one keeper at a time; one killed here left half
            for name in ("proc", "dev", "sys", "etc", ".wardian"):
                (staging / name).mkdir(parents=True, mode=0o755, exist_ok=True)
            for name in ("hostname", "hosts", "resolv.conf"):
                (staging / "etc" / name).touch(0o644)
            staging.chmod(0o755)
            staging.rename(skeleton)
        return skeleton
