"""From a directory to a layer's archive: the same directory gives the same bytes always."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from typing import BinaryIO, Self

import msgspec

from wardian.errors import FailedPrecondition, InvalidInput
from wardian.storage import tree, whiteout
from wardian.storage.changes import Change, ChangeKind
from wardian.storage.tar import END, Entry, Kind, header, padding

_CAPABILITY = "security.capability"
_CHUNK_BYTES = 1 << 20
_NOBODY = 65534
_IDS = 65536
# What is a file now may be a FIFO when it is opened, which must not block.
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class IdShift(msgspec.Struct, frozen=True):
    """Host ids from ``first_host_id`` on are the image's 0 and up (``count`` of them)."""

    first_host_id: int = 0
    count: int = 1 << 32

    @classmethod
    def of(cls, first_host_id: int | None) -> Self:
        """That of a container: 65,536 ids of its own, or those of its user."""
        return cls() if first_host_id is None else cls(first_host_id, _IDS)

    def image_id(self, host_id: int) -> int:
        """The id in the image; those outside become nobody's, as user_namespaces(7) shows them."""
        number = host_id - self.first_host_id
        return number if 0 <= number < self.count else _NOBODY

    def host_id(self, image_id: int) -> int:
        """The other way round."""
        return self.first_host_id + (image_id if image_id < self.count else _NOBODY)


class Packed(msgspec.Struct, frozen=True):
    """The archive that was written: digest and diff_id are the same, it is not compressed."""

    diff_id: str
    size_bytes: int
    entries: int


def pack(
    dir_fd: int, output: BinaryIO, *, ids: IdShift | None = None, latest_s: int | None = None
) -> Packed:
    """Write what is below ``dir_fd`` as a layer, overlayfs' whiteouts in the image's spelling.

    ``latest_s`` cuts off later modification times (SOURCE_DATE_EPOCH). Sockets are left out, as
    no archive can hold them. Raises InvalidInput for a name that would mean a whiteout,
    FailedPrecondition if a file shrinks meanwhile.
    """
    packer = _Packer(output, ids or IdShift(), latest_s)
    packer.enter(dir_fd, "")
    for path, fd, name in tree.walk(dir_fd):
        packer.add(fd, name, f"{path}/{name}" if path else name)
    packer.write(END)
    return Packed(f"sha256:{packer.hash.hexdigest()}", packer.size_bytes, packer.entries)


def pack_changes(
    dir_fd: int,
    changes: Iterable[Change],
    output: BinaryIO,
    *,
    ids: IdShift | None = None,
    latest_s: int | None = None,
) -> Packed:
    """Write what changed in a whole tree as a layer, directories before what is in them.

    Raises what `pack` does.
    """
    packer = _Packer(output, ids or IdShift(), latest_s)
    for change in changes:
        folder, _, name = change.path.rpartition("/")
        if change.kind is ChangeKind.DELETED:
            packer.add_whiteout(folder, name)
            continue
        try:
            fd = tree.open_below(dir_fd, folder, tree.OPEN_DIRECTORY)
        except FileNotFoundError as error:
            raise _changed() from error
        try:
            packer.add_plain(fd, name, change.path)
        finally:
            os.close(fd)
    packer.write(END)
    return Packed(f"sha256:{packer.hash.hexdigest()}", packer.size_bytes, packer.entries)


def pack_one(dir_fd: int, name: str, path: str, output: BinaryIO) -> Packed:
    """Write one file or tree as an archive in which it is called ``path``; ``.`` its contents."""
    packer = _Packer(output, IdShift(), None)
    if path != ".":
        packer.add(dir_fd, name, path)
    status = tree.look_at(dir_fd, name or ".")
    if status is not None and stat.S_ISDIR(status.st_mode):
        inside = os.open(name or ".", tree.OPEN_DIRECTORY, dir_fd=dir_fd)
        try:
            prefix = "" if path == "." else f"{path}/"
            for folder, fd, entry in tree.walk(inside):
                below = f"{folder}/{entry}" if folder else entry
                packer.add(fd, entry, prefix + below)
        finally:
            os.close(inside)
    packer.write(END)
    return Packed(f"sha256:{packer.hash.hexdigest()}", packer.size_bytes, packer.entries)


def pack_whole(dir_fd: int, output: BinaryIO) -> Packed:
    """Write a directory with its own owner and mode, as ``./``, and what is below it."""
    packer = _Packer(output, IdShift(), None)
    packer.add(dir_fd, ".", ".")
    for path, fd, name in tree.walk(dir_fd):
        packer.add(fd, name, f"{path}/{name}" if path else name)
    packer.write(END)
    output.flush()
    return Packed(f"sha256:{packer.hash.hexdigest()}", packer.size_bytes, packer.entries)


class _Packer:
    def __init__(self, output: BinaryIO, ids: IdShift, latest_s: int | None) -> None:
        self._output = output
        self._ids = ids
        self._latest_ns = None if latest_s is None else latest_s * 10**9
        self._first_names: dict[tuple[int, int], str] = {}
        self._with_whiteout_files: set[str] = set()
        self.hash = hashlib.sha256()
        self.size_bytes = 0
        self.entries = 0

    def write(self, data: bytes) -> None:
        self.hash.update(data)
        self.size_bytes += len(data)
        self._output.write(data)

    def enter(self, fd: int, path: str) -> None:
        """Begin with a directory."""
        if whiteout.is_opaque(fd):
            self._add_marker(f"{path}/{whiteout.OPAQUE_NAME}".lstrip("/"))
        if whiteout.has_whiteout_files(fd):
            self._with_whiteout_files.add(path)

    def add(self, fd: int, name: str, path: str) -> None:
        """One name of the directory ``fd``."""
        status = tree.look_at(fd, name)
        if status is None:
            return
        folder = path[: -len(name)].rstrip("/")
        if whiteout.is_whiteout(status) or (
            folder in self._with_whiteout_files and whiteout.is_whiteout_file(fd, name, status)
        ):
            self.add_whiteout(folder, name)
            return
        self._add(fd, name, path, status)
        if stat.S_ISDIR(status.st_mode):
            self._enter_child(fd, name, path)

    def add_plain(self, fd: int, name: str, path: str) -> None:
        """One name of a directory where nothing is a whiteout, whatever it looks like."""
        status = tree.look_at(fd, name)
        if status is not None:
            self._add(fd, name, path, status)

    def add_whiteout(self, folder: str, name: str) -> None:
        """The mark that a name below is gone."""
        _check_name(name, f"{folder}/{name}")
        self._add_marker(f"{folder}/{whiteout.PREFIX}{name}".lstrip("/"))

    def _enter_child(self, fd: int, name: str, path: str) -> None:
        try:
            child = os.open(name, tree.OPEN_DIRECTORY, dir_fd=fd)
        except OSError as error:
            raise _changed() from error
        try:
            self.enter(child, path)
        finally:
            os.close(child)

    def _add_marker(self, path: str) -> None:
        self.entries += 1
        self.write(header(Entry(path=path, kind=Kind.FILE, mode=0)))

    def _add(self, dir_fd: int, name: str, path: str, status: os.stat_result) -> None:
        _check_name(name, path)
        kind = _kind(status.st_mode)
        if kind is None:
            return
        self.entries += 1
        if kind is not Kind.FILE:
            target = os.readlink(name, dir_fd=dir_fd) if kind is Kind.SYMLINK else ""
            self.write(header(self._entry(dir_fd, name, path, status, kind, target)))
            return
        identity = (status.st_dev, status.st_ino)
        first = self._first_names.setdefault(identity, path) if status.st_nlink > 1 else path
        if first != path:
            self.write(header(self._entry(dir_fd, name, path, status, Kind.HARD_LINK, first)))
            return
        try:
            fd = os.open(name, _OPEN_FILE, dir_fd=dir_fd)
        except OSError as error:
            raise _changed() from error
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise _changed()
            self.write(header(self._entry(dir_fd, name, path, status, kind, "")))
            self._copy(fd, status.st_size)
        finally:
            os.close(fd)

    def _copy(self, fd: int, size_bytes: int) -> None:
        left = size_bytes
        while left:
            data = os.read(fd, min(left, _CHUNK_BYTES))
            if not data:
                raise _changed()
            self.write(data)
            left -= len(data)
        self.write(padding(size_bytes))

    def _entry(
        self,
        dir_fd: int,
        name: str,
        path: str,
        status: os.stat_result,
        kind: Kind,
        target: str,
    ) -> Entry:
        mtime_ns = status.st_mtime_ns
        is_device = kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE)
        device = status.st_rdev if is_device else 0
        return Entry(
            path=f"{path}/" if kind is Kind.DIRECTORY else path,
            kind=kind,
            mode=0o777 if kind is Kind.SYMLINK else stat.S_IMODE(status.st_mode),
            uid=self._ids.image_id(status.st_uid),
            gid=self._ids.image_id(status.st_gid),
            size_bytes=status.st_size if kind is Kind.FILE else 0,
            mtime_ns=mtime_ns if self._latest_ns is None else min(mtime_ns, self._latest_ns),
            target=target,
            device=(os.major(device), os.minor(device)),
            xattrs=attributes(dir_fd, name) if kind in (Kind.FILE, Kind.DIRECTORY) else {},
        )


def _check_name(name: str, path: str) -> None:
    if name.startswith(whiteout.PREFIX):
        raise InvalidInput(
            f"a file's name means a whiteout in a layer: {path!a}",
            hint="rename it: names in an image cannot start with .wh.",
        )


def _changed() -> FailedPrecondition:
    return FailedPrecondition(
        "a file was changed while it was read", hint="pause the container, then try again"
    )


def _kind(mode: int) -> Kind | None:
    """The entry that a file becomes; None for a socket."""
    kinds = {
        stat.S_IFREG: Kind.FILE,
        stat.S_IFDIR: Kind.DIRECTORY,
        stat.S_IFLNK: Kind.SYMLINK,
        stat.S_IFIFO: Kind.FIFO,
        stat.S_IFCHR: Kind.CHARACTER_DEVICE,
        stat.S_IFBLK: Kind.BLOCK_DEVICE,
    }
    return kinds.get(stat.S_IFMT(mode))


def attributes(dir_fd: int, name: str) -> dict[str, bytes]:
    """File capabilities and users' attributes of a file or directory, as `unpack` takes them.

    By a descriptor: there may be no /proc.
    """
    found = {}
    with suppress(OSError):
        fd = os.open(name, _OPEN_FILE, dir_fd=dir_fd)
        try:
            for key in os.listxattr(fd):
                is_user = key.startswith("user.") and not key.startswith(whiteout.PRIVATE_PREFIXES)
                if is_user or key == _CAPABILITY:
                    found[key] = os.getxattr(fd, key)
        finally:
            os.close(fd)
    if _CAPABILITY in found:
        found[_CAPABILITY] = _without_namespace(found[_CAPABILITY])
    return found


def _without_namespace(value: bytes) -> bytes:
    """File capabilities of revision 2: revision 3 also has the host's id of the root they are for.

    (linux/capability.h, struct vfs_ns_cap_data)
    """
    revision_2, revision_3 = 0x02000000, 0x03000000
    magic = int.from_bytes(value[:4], "little")
    if magic & 0xFF000000 != revision_3 or len(value) != 24:
        return value
    return (magic & 0x00FFFFFF | revision_2).to_bytes(4, "little") + value[4:20]
