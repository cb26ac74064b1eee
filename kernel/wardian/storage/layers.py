"""Layers: a changeset as an archive, and the same as a directory that overlayfs can stack.

The archive is hostile and so is every path in it. A path is walked by openat2(2) with
RESOLVE_IN_ROOT, which is to the kernel what chroot(2) is; its last name is then made, never
opened, in the directory that was found; what was there is unlinked before. The directory belongs
to the unpacker alone until it is whole, so there is nobody to race with.
"""

from __future__ import annotations

import enum
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec.structs import replace

from wardian.errors import InvalidInput, KernelRefused, SetupError, WardianError
from wardian.linux.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from wardian.storage import foreign, tree, whiteout
from wardian.storage.compression import decompressed, read_chunks
from wardian.storage.tar import Entry, Kind, TarReader

MAX_PATH_BYTES = 4095  # PATH_MAX without its NUL
_IN_ROOT = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_PATH_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CAPABILITY = "security.capability"
_NO_ID = 0xFFFFFFFF


class Owners(enum.Enum):
    """Whose the files become."""

    AS_ARCHIVED = "as archived"  # for root
    CALLER = "the caller's"  # for one who has but a single id: that is root's in the container


class Devices(enum.Enum):
    """What becomes of device nodes. A container gets its /dev from the runtime."""

    SKIP = "skip"
    REFUSE = "refuse"
    CREATE = "create"


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive may do."""

    owners: Owners = Owners.AS_ARCHIVED
    devices: Devices = Devices.SKIP
    privileges: bool = True  # setuid, setgid and file capabilities
    max_entries: int = 2_000_000
    max_bytes: int = 64 << 30


class Unpacked(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive was: the digest of its bytes, of them unpacked, and how much it held."""

    digest: str
    diff_id: str
    size_bytes: int
    entries: int
    data_bytes: int


class Hashed:
    """Passes chunks on; knows their digest and size."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        self._hash.update(chunk)
        self.size_bytes += len(chunk)
        return chunk

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def unpack(
    stream: BinaryIO,
    dir_fd: int,
    *,
    policy: Policy | None = None,
    digest: str | None = None,
    diff_id: str | None = None,
) -> Unpacked:
    """Unpack a layer's archive, compressed or not, into an empty directory.

    Whiteouts become overlayfs'. Raises InvalidInput for an archive that is damaged, is not the
    one of this digest (of its bytes) or diff_id (of them unpacked), or tries to leave the
    directory; SetupError if the disk is full. What was unpacked until then is the caller's to
    remove.
    """
    raw = Hashed(read_chunks(stream))
    plain = Hashed(decompressed(raw))
    reader = TarReader(plain)
    unpacker = _Unpacker(dir_fd, policy or Policy())
    try:
        for entry in reader:
            unpacker.add(entry, reader)
        unpacker.finish()
    finally:
        unpacker.close()
    reader.drain()
    for _ in raw:  # what a decompressor leaves
        pass
    _verify(digest, raw.digest)
    _verify(diff_id, plain.digest)
    return Unpacked(
        digest=raw.digest,
        diff_id=plain.digest,
        size_bytes=raw.size_bytes,
        entries=unpacker.entries,
        data_bytes=unpacker.data_bytes,
    )


def unpack_file(
    archive: Path, directory: Path, *, digest: str | None = None, diff_id: str | None = None
) -> Unpacked:
    """Unpack a layer's archive into a new directory, as `unpack` does.

    Owners are kept as far as the caller has ids: root, and a user with subordinate ones, in whose
    containers they are what the archive says. Whoever has but one owns everything.
    """
    directory.mkdir(mode=0o755)
    directory.chmod(0o755)  # whatever the umask

    def fill(owners: Owners) -> Unpacked:
        fd = os.open(directory, tree.OPEN_DIRECTORY)
        try:
            with open(archive, "rb") as stream:
                policy = Policy(owners=owners)
                return unpack(stream, fd, policy=policy, digest=digest, diff_id=diff_id)
        finally:
            os.close(fd)

    def fill_as_root_of_own_ids() -> bytes:
        unpacked = fill(Owners.AS_ARCHIVED)
        os.chown(directory, 0, 0)  # or its owner could not move it into the store
        return msgspec.json.encode(unpacked)

    if foreign.has_own_ids():
        return msgspec.json.decode(
            foreign.as_root_of_own_ids(fill_as_root_of_own_ids), type=Unpacked
        )
    return fill(Owners.AS_ARCHIVED if os.geteuid() == 0 else Owners.CALLER)


def verify(stream: BinaryIO, *, diff_id: str) -> None:
    """Read a layer's archive and only check what it is; InvalidInput if it is another."""
    plain = Hashed(decompressed(read_chunks(stream)))
    for _ in plain:
        pass
    _verify(diff_id, plain.digest)


def _verify(wanted: str | None, found: str) -> None:
    if wanted is not None and wanted != found:
        raise InvalidInput(
            "the layer is not what its digest says: it was damaged or changed on its way",
            hint="fetch it again",
        )


class _Unpacker:
    """The directory being filled. ``_folders`` get their mode and time when nothing more comes."""

    def __init__(self, root_fd: int, policy: Policy) -> None:
        self._root_fd = root_fd
        self._policy = policy
        self._folders: dict[str, tuple[int, int]] = {}
        self._parent_path = ""
        self._parent_fd: int | None = None
        self.entries = 0
        self.data_bytes = 0

    def add(self, entry: Entry, reader: TarReader) -> None:
        """Make one entry."""
        self.entries += 1
        self.data_bytes += entry.data_bytes
        if self.entries > self._policy.max_entries or self.data_bytes > self._policy.max_bytes:
            raise InvalidInput(
                f"the layer is too big: more than {self._policy.max_entries:,} files or"
                f" {self._policy.max_bytes >> 30:,} GiB"
            )
        if not self._policy.privileges:
            entry = _without_privileges(entry)
        try:
            self._make(_clean(entry.path), entry, reader)
        except OSError as error:
            raise _cannot_unpack(entry.path, error.errno or 0) from error
        except KernelRefused as error:
            raise _cannot_unpack(entry.path, error.errno) from error
        except (ValueError, OverflowError) as error:  # a NUL in a name, a number beyond all
            raise _cannot_unpack(entry.path, errno.EINVAL) from error

    def finish(self) -> None:
        """Give directories their modes and times, the deepest first."""
        for path, (mode, mtime_ns) in sorted(self._folders.items(), reverse=True):
            with suppress(KernelRefused):  # replaced by something else since
                flags = tree.OPEN_DIRECTORY
                fd = openat2(self._root_fd, path or ".", flags, resolve=_IN_ROOT)
                try:
                    os.fchmod(fd, mode)
                    os.utime(fd, ns=(mtime_ns, mtime_ns))
                finally:
                    os.close(fd)

    def close(self) -> None:
        """Give back the descriptor of the last directory."""
        if self._parent_fd is not None:
            os.close(self._parent_fd)
            self._parent_fd = None

    def _make(self, path: str, entry: Entry, reader: TarReader) -> None:
        if not path:
            if entry.kind is Kind.DIRECTORY:
                self._dress_folder("", self._root_fd, entry)
            return
        folder, _, name = path.rpartition("/")
        if name.startswith(whiteout.PREFIX):
            self._whiteout(folder, name, entry)
            return
        if entry.kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE) and not self._wants(entry):
            return
        parent_fd = self._parent(folder, entry)
        if entry.kind is Kind.DIRECTORY:
            self._make_folder(parent_fd, path, name, entry)
            return
        source = self._link_source(entry) if entry.kind is Kind.HARD_LINK else None
        self._clear(parent_fd, name)
        if source is not None:
            self._link(source, parent_fd, name)
        elif entry.kind is Kind.FILE:
            self._write(parent_fd, name, entry, reader)
        else:
            self._make_special(parent_fd, name, entry)

    def _wants(self, entry: Entry) -> bool:
        """Whether a device node is to be made."""
        if self._policy.devices is Devices.REFUSE:
            raise InvalidInput(f"the layer has a device node: {_label(entry.path)}")
        is_whiteout = entry.kind is Kind.CHARACTER_DEVICE and entry.device == (0, 0)
        return self._policy.devices is Devices.CREATE and not is_whiteout

    # --- directories ---------------------------------------------------------------------

    def _parent(self, folder: str, entry: Entry) -> int:
        """A descriptor of the directory, made with those above it if it is missing."""
        if self._parent_fd is not None and folder == self._parent_path:
            return self._parent_fd
        try:
            fd = openat2(self._root_fd, folder or ".", _PATH_DIRECTORY, resolve=_IN_ROOT)
        except KernelRefused as refused:
            if refused.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise
            fd = self._make_parents(folder, entry)
        self.close()
        self._parent_path, self._parent_fd = folder, fd
        return fd

    def _make_parents(self, folder: str, entry: Entry) -> int:
        above_fd = os.dup(self._root_fd)
        names = folder.split("/")
        for count, name in enumerate(names, 1):
            path = "/".join(names[:count])
            try:
                status = tree.look_at(above_fd, name)
                if status is None or whiteout.is_whiteout(status):
                    self._make_folder(above_fd, path, name, _implied(path, entry))
                fd = openat2(self._root_fd, path, _PATH_DIRECTORY, resolve=_IN_ROOT)
            finally:
                os.close(above_fd)
            above_fd = fd
        return above_fd

    def _make_folder(self, parent_fd: int, path: str, name: str, entry: Entry) -> None:
        status = tree.look_at(parent_fd, name)
        was_deleted = status is not None and whiteout.is_whiteout(status)
        if status is None or not stat.S_ISDIR(status.st_mode):
            self._clear(parent_fd, name)
            os.mkdir(name, 0o700, dir_fd=parent_fd)
        fd = os.open(name, tree.OPEN_DIRECTORY, dir_fd=parent_fd)
        try:
            if was_deleted:  # deleted below and made anew: nothing of the old one shows
                whiteout.make_opaque(fd)
            self._dress_folder(path, fd, entry)
        finally:
            os.close(fd)

    def _dress_folder(self, path: str, fd: int, entry: Entry) -> None:
        self._own(fd, entry)
        self._set_attributes(fd, entry)
        self._folders[path] = (entry.mode, entry.mtime_ns)

    def _clear(self, parent_fd: int, name: str) -> None:
        """Remove what an earlier entry made here."""
        if tree.look_at(parent_fd, name) is not None:
            tree.remove(parent_fd, name)
            self._parent_path = "\0"  # the path may lead elsewhere from now on

    # --- whiteouts -----------------------------------------------------------------------

    def _whiteout(self, folder: str, name: str, entry: Entry) -> None:
        """A whiteout hides what is below this layer, never what the layer itself brings."""
        if name == whiteout.OPAQUE_NAME:
            fd = os.open(".", tree.OPEN_DIRECTORY, dir_fd=self._parent(folder, entry))
            try:
                whiteout.make_opaque(fd)
            finally:
                os.close(fd)
            return
        hidden = name.removeprefix(whiteout.PREFIX)
        if name.startswith(whiteout.META_PREFIX):
            return
        if hidden in ("", ".", ".."):
            raise InvalidInput(f"the layer has a whiteout of no name: {_label(entry.path)}")
        parent_fd = self._parent(folder, entry)
        status = tree.look_at(parent_fd, hidden)
        if status is None:
            whiteout.make_whiteout(parent_fd, hidden)
        elif stat.S_ISDIR(status.st_mode):
            fd = os.open(hidden, tree.OPEN_DIRECTORY, dir_fd=parent_fd)
            try:
                whiteout.make_opaque(fd)
            finally:
                os.close(fd)

    # --- everything else -----------------------------------------------------------------

    def _write(self, parent_fd: int, name: str, entry: Entry, reader: TarReader) -> None:
        fd = os.open(name, _NEW_FILE, 0o600, dir_fd=parent_fd)
        try:
            end = 0
            for offset, piece in reader.data():
                _write_at(fd, piece, offset)
                end = offset + len(piece)
            if end < entry.size_bytes:
                os.ftruncate(fd, entry.size_bytes)
            # This order: chown(2) takes away set-id bits and capabilities.
            self._own(fd, entry)
            self._set_attributes(fd, entry)
            os.fchmod(fd, entry.mode)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)

    def _link_source(self, entry: Entry) -> tuple[int, str]:
        """The directory and name that a hard link is to; never what a symlink leads to."""
        folder, _, name = _clean(entry.target).rpartition("/")
        try:
            fd = openat2(self._root_fd, folder or ".", _PATH_DIRECTORY, resolve=_IN_ROOT)
        except KernelRefused as refused:
            raise _no_source(entry) from refused
        status = tree.look_at(fd, name) if name else None
        if status is None or not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
            os.close(fd)
            raise _no_source(entry)
        return fd, name

    def _link(self, source: tuple[int, str], parent_fd: int, name: str) -> None:
        fd, old_name = source
        try:
            os.link(old_name, name, src_dir_fd=fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        finally:
            os.close(fd)

    def _make_special(self, parent_fd: int, name: str, entry: Entry) -> None:
        if entry.kind is Kind.SYMLINK:
            os.symlink(entry.target, name, dir_fd=parent_fd)
        elif entry.kind is Kind.FIFO:
            os.mkfifo(name, 0o600, dir_fd=parent_fd)
        else:
            kind = stat.S_IFCHR if entry.kind is Kind.CHARACTER_DEVICE else stat.S_IFBLK
            os.mknod(name, kind | 0o600, os.makedev(*entry.device), dir_fd=parent_fd)
        if self._policy.owners is Owners.AS_ARCHIVED:
            with _own_ids(entry):
                os.chown(name, *_owner(entry), dir_fd=parent_fd, follow_symlinks=False)
        if entry.kind is not Kind.SYMLINK:
            os.chmod(name, entry.mode, dir_fd=parent_fd)  # no symlink: we have just made it
        times = (entry.mtime_ns, entry.mtime_ns)
        os.utime(name, ns=times, dir_fd=parent_fd, follow_symlinks=False)

    def _own(self, fd: int, entry: Entry) -> None:
        if self._policy.owners is Owners.AS_ARCHIVED:
            with _own_ids(entry):
                os.fchown(fd, *_owner(entry))

    def _set_attributes(self, fd: int, entry: Entry) -> None:
        """File capabilities and users' attributes; overlayfs' own would change what is shown."""
        for name, value in entry.xattrs.items():
            is_user = name.startswith("user.") and not name.startswith(whiteout.PRIVATE_PREFIXES)
            if name != _CAPABILITY and not is_user:
                continue
            try:
                os.setxattr(fd, name, value)
            except OSError as error:
                is_forbidden = error.errno == errno.EPERM
                if error.errno != errno.ENOTSUP and not (
                    is_forbidden and self._policy.owners is Owners.CALLER
                ):
                    raise


@contextmanager
def _own_ids(entry: Entry) -> Iterator[None]:
    """Say so of an owner whom our user namespace has no number for (user_namespaces(7))."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        user, group = _owner(entry)
        raise SetupError(
            f"the layer has files of user {user} and group {group}, ids that you do not have",
            hint="widen your range in /etc/subuid and /etc/subgid (usermod --add-subuids …)",
        ) from error


def _clean(path: str) -> str:
    """A member's path in its plain form, "" for the root; InvalidInput for one that climbs."""
    names = [name for name in path.split("/") if name not in ("", ".")]
    is_strange = ".." in names or any(name.startswith(whiteout.PREFIX) for name in names[:-1])
    if is_strange or "\0" in path or len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise InvalidInput(
            f"the layer has a path that no image may have: {_label(path)}",
            hint="do not trust where it came from",
        )
    return "/".join(names)


def _without_privileges(entry: Entry) -> Entry:
    xattrs = {key: value for key, value in entry.xattrs.items() if key != _CAPABILITY}
    return replace(entry, mode=entry.mode & 0o1777, xattrs=xattrs)


def _implied(path: str, entry: Entry) -> Entry:
    """A directory that the archive does not mention, though it has something in it."""
    return Entry(path=path, kind=Kind.DIRECTORY, mode=0o755, mtime_ns=entry.mtime_ns)


def _owner(entry: Entry) -> tuple[int, int]:
    for number in (entry.uid, entry.gid):
        if not 0 <= number < _NO_ID:
            raise InvalidInput(f"the layer has a file of an impossible owner: {number}")
    return entry.uid, entry.gid


def _write_at(fd: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written


def _no_source(entry: Entry) -> InvalidInput:
    return InvalidInput(f"the layer has a hard link to what it does not hold: {_label(entry.path)}")


def _cannot_unpack(path: str, number: int) -> WardianError:
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EPERM, errno.EACCES):
        return SetupError(
            f"cannot unpack the layer: {os.strerror(number)}",
            hint="set WARDIAN_ROOT to a file system with room that you can write",
        )
    return InvalidInput(f"the layer cannot be unpacked at {_label(path)}: {os.strerror(number)}")


def _label(path: str) -> str:
    """A hostile path in a message: quoted, and not too long."""
    return ascii(path if len(path) <= 80 else f"{path[:77]}...")
