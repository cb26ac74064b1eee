"""Copies of layers whose owners are a container's host ids: for hosts without id-mapped mounts.

Where mount_setattr(2) cannot map a layer (Linux before 5.19, tmpfs before 6.3, a filter that
refuses the call), what the kernel would show is written out: every owner shifted by the first of
the container's host ids. A copy is made once for each range of ids and layer and serves every
container that gets the range after that.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import msgspec

from wardian.errors import SetupError
from wardian.storage import tree

_CAPABILITY = "security.capability"
_REVISION_2, _REVISION_3 = 0x02000000, 0x03000000


class MappedCopies(msgspec.Struct, frozen=True):
    """The copies below one directory, by range of ids, then by layer."""

    directory: Path

    def of(self, layer: Path, first_host_id: int, count: int) -> Path:
        """The layer's copy for these ids, made if need be. Raises SetupError."""
        status = layer.stat()  # another layer may have the name by now
        copy = self.directory / str(first_host_id) / f"{layer.name}-{status.st_ino}"
        if copy.is_dir():
            return copy
        staging = copy.with_name(f".new-{copy.name}")
        try:
            _remove(staging)
            staging.mkdir(parents=True, mode=0o700)
            for parent in (self.directory, copy.parent):
                parent.chmod(0o711)
            _fill(staging, layer, first_host_id, count)
            os.chown(staging, status.st_uid + first_host_id, status.st_gid + first_host_id)
            staging.chmod(stat.S_IMODE(status.st_mode))
            os.utime(staging, ns=(status.st_mtime_ns, status.st_mtime_ns))
            staging.rename(copy)
        except OSError as error:
            raise SetupError(
                f"cannot copy a layer for the container's ids: {error.strerror}",
                hint="free some space; with Linux 5.19 or newer on ext4, xfs or btrfs there is no"
                " need to copy",
            ) from error
        finally:
            _remove(staging)
        return copy

    def sweep(self, in_use: Collection[int]) -> None:
        """Remove the copies for ranges that no container has."""
        with suppress(FileNotFoundError):
            for name in os.listdir(self.directory):
                if not name.isdecimal() or int(name) not in in_use:
                    _remove(self.directory / name)


def _remove(directory: Path) -> None:
    """Remove a tree; what cannot be removed is left to the next sweep."""
    with suppress(OSError):
        fd = os.open(directory.parent, tree.OPEN_DIRECTORY)
        try:
            tree.remove(fd, directory.name)
        finally:
            os.close(fd)


def _fill(target: Path, layer: Path, first_host_id: int, count: int) -> None:
    """By way of an archive: packing and unpacking know all that a layer can hold."""
    import tempfile  # hardly any keeper needs all this

    from wardian.storage.layers import unpack
    from wardian.storage.packing import IdShift, pack

    source_fd = os.open(layer, tree.OPEN_DIRECTORY)
    target_fd = os.open(target, tree.OPEN_DIRECTORY)
    try:
        with tempfile.TemporaryFile(dir=target.parent) as archive:
            pack(source_fd, archive, ids=IdShift(-first_host_id, first_host_id + count))
            archive.seek(0)
            unpack(archive, target_fd)
        for _, fd, name in tree.walk(target_fd):
            _give_capabilities(f"/proc/self/fd/{fd}/{name}", first_host_id)
    finally:
        os.close(source_fd)
        os.close(target_fd)


def _give_capabilities(path: str, first_host_id: int) -> None:
    with suppress(OSError):
        value = os.getxattr(path, _CAPABILITY, follow_symlinks=False)
        value = namespaced_capability(value, first_host_id)
        os.setxattr(path, _CAPABILITY, value, follow_symlinks=False)


def namespaced_capability(value: bytes, first_host_id: int) -> bytes:
    """File capabilities that say of which user namespace's root they are.

    (linux/capability.h, struct vfs_ns_cap_data)
    """
    magic = int.from_bytes(value[:4], "little")
    if magic & 0xFF000000 != _REVISION_2:
        return value
    head = (magic & 0x00FFFFFF | _REVISION_3).to_bytes(4, "little")
    return head + value[4:20] + first_host_id.to_bytes(4, "little")
