"""What COPY and ADD bring: files of a root, chosen by pattern, as an archive for another root.

The root is a context's directory, or ``/`` inside a container that holds another stage's files;
there nothing can be imported any more, so everything is imported above.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec.structs import replace

from wardian.build.patterns import WILD, Patterns, regex
from wardian.build.permissions import Permissions
from wardian.errors import InvalidInput, KernelRefused, NotFound
from wardian.linux.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from wardian.storage import tree, whiteout
from wardian.storage.tar import END, Entry, Kind, header, padding

_IN_ROOT = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_CHUNK_BYTES = 1 << 20
_KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFIFO: Kind.FIFO,
}


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be copied and how. ``target`` is absolute; a directory's contents go into it.

    ``owner`` and ``permissions`` are for all; without an owner they keep their own if
    ``keep_owners``, else they are root's.
    """

    sources: tuple[str, ...]
    target: str
    into_directory: bool
    owner: tuple[int, int] | None = None
    permissions: Permissions | None = None
    keep_owners: bool = False
    parents: bool = False
    exclude: Patterns = msgspec.field(default_factory=lambda: Patterns(()))
    ignore: Patterns = msgspec.field(default_factory=lambda: Patterns(()))


class Sent(msgspec.Struct):
    """What was sent: a digest that knows nothing of times, and one for each file."""

    digest: str = ""
    files: dict[str, str] = msgspec.field(default_factory=dict)


class _Item(msgspec.Struct, frozen=True):
    """One file: where it is found (a descriptor and a name in it), what it becomes."""

    fd: int
    name: str
    shown: str
    path: str
    status: os.stat_result


class Transfer:
    """One order being sent from a root."""

    def __init__(self, root: str, order: Order, output: BinaryIO | None) -> None:
        self._order = order
        self._output = output
        self._hash = hashlib.sha256()
        self._root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._links: dict[tuple[int, int], str] = {}
        self.sent = Sent()

    def run(self) -> Sent:
        """Send it all. Raises NotFound for a source without wildcards that is not there."""
        try:
            for source in self._order.sources:
                self._send_source(source)
            self._write(END)
        finally:
            os.close(self._root_fd)
        self.sent.digest = self._hash.hexdigest()
        return self.sent

    # --- which ones ----------------------------------------------------------------------

    def _send_source(self, source: str) -> None:
        has_pivot = self._order.parents and "/./" in source
        base, _, rest = source.partition("/./") if has_pivot else ("", "", source)
        path = posixpath.normpath(posixpath.join("/", base, rest)).lstrip("/")
        pivot = posixpath.normpath(base).strip("/") if base else ""
        is_wild = WILD.search(path) is not None
        found = list(self._matches(path)) if is_wild else [path]
        was_any = is_wild  # which may match nothing: COPY package.json yarn.lock* ./
        for each in found:
            if self._order.ignore.exclude(each) and not self._order.ignore.have_exceptions:
                continue
            try:
                fd = openat2(self._root_fd, each or ".", os.O_PATH | os.O_CLOEXEC, resolve=_IN_ROOT)
            except (KernelRefused, OSError):
                continue
            try:
                was_any = self._send_found(fd, each, pivot) or was_any
            finally:
                os.close(fd)
        if not was_any:
            raise NotFound(
                f'"/{path[:200]}": not found',
                hint="is it in the context, and not excluded by .dockerignore?",
            )

    def _matches(self, pattern: str) -> Iterator[str]:
        rule = regex(pattern)
        for folder, _, name in tree.walk(self._root_fd):
            path = f"{folder}/{name}" if folder else name
            if rule.fullmatch(path):
                yield path

    def _send_found(self, fd: int, path: str, pivot: str) -> bool:
        order = self._order
        status = os.fstat(fd)
        target = order.target.lstrip("/").rstrip("/")
        if order.parents:
            kept = posixpath.relpath(f"/{path}", f"/{pivot}")
            target = posixpath.join(target, kept) if kept != "." else target
        if stat.S_ISDIR(status.st_mode):
            return self._send_directory(fd, path, target)
        if order.ignore.exclude(path) or order.exclude.exclude(path):
            return False
        if stat.S_IFMT(status.st_mode) not in _KINDS:
            return False
        if order.into_directory and not order.parents:
            target = posixpath.join(target, posixpath.basename(path))
        # Not by way of /proc/self/fd: inside a container /proc is of another PID namespace.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        readable = openat2(self._root_fd, path, flags, resolve=_IN_ROOT)
        try:
            self._send(_Item(readable, "", path, target, os.fstat(readable)))
        finally:
            os.close(readable)
        return True

    def _send_directory(self, fd: int, path: str, target: str) -> bool:
        """Whether it is there: one that is ignored is if an exception leaves something in it."""
        top = os.open(".", tree.OPEN_DIRECTORY, dir_fd=fd)
        own = _Item(top, "", path, target, os.fstat(top))
        pending: list[tuple[str, _Folder]] = []
        is_there = not path or not self._order.ignore.exclude(path)
        try:
            if target and is_there:
                self._send(own)
            for folder, below, name in tree.walk(top):
                inside = f"{folder}/{name}" if folder else name
                whole = f"{path}/{inside}" if path else inside
                status = tree.look_at(below, name)
                if status is None or whiteout.is_whiteout(status):
                    continue
                is_folder = stat.S_ISDIR(status.st_mode)
                while pending and not f"{inside}/".startswith(f"{pending[-1][0]}/"):
                    pending.pop()
                if self._order.ignore.exclude(whole) or self._order.exclude.exclude(inside):
                    if is_folder:
                        pending.append(
                            (inside, _Folder(whole, posixpath.join(target, inside), status))
                        )
                    continue
                if target and not is_there:
                    self._send(own)
                is_there = True
                for _, each in pending:  # a directory is needed after all: by an exception
                    self._add(each.shown, self._entry(each.path, each.status), b"")
                pending = []
                self._send(_Item(below, name, whole, posixpath.join(target, inside), status))
        finally:
            os.close(top)
        return is_there

    # --- one of them ---------------------------------------------------------------------

    def _send(self, item: _Item) -> None:
        kind = _KINDS.get(stat.S_IFMT(item.status.st_mode))
        if kind is None:  # sockets and devices are no content
            return
        entry = self._entry(item.path, item.status)
        if kind is Kind.SYMLINK:
            target = os.readlink(item.name, dir_fd=item.fd)
            self._add(item.shown, _replaced(entry, target=target), os.fsencode(target))
        elif kind is Kind.FILE:
            self._send_file(item, entry)
        else:
            self._add(item.shown, entry, b"")

    def _send_file(self, item: _Item, entry: Entry) -> None:
        identity = (item.status.st_dev, item.status.st_ino)
        first = self._links.setdefault(identity, entry.path) if item.status.st_nlink > 1 else None
        if first is not None and first != entry.path:
            self._add(item.shown, _replaced(entry, kind=Kind.HARD_LINK, target=first), b"")
            return
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(item.name, flags, dir_fd=item.fd) if item.name else os.dup(item.fd)
        try:
            size = os.fstat(fd).st_size
            entry = _replaced(entry, size_bytes=size)
            self._write(header(entry))
            content, left = hashlib.sha256(), size
            while left:
                data = os.read(fd, min(left, _CHUNK_BYTES))
                if not data:
                    raise InvalidInput(f"{item.shown[:80]} was changed while it was read")
                content.update(data)
                self._write(data)
                left -= len(data)
            self._write(padding(size))
        finally:
            os.close(fd)
        self._note(item.shown, entry, content.digest())

    def _add(self, shown: str, entry: Entry, content: bytes) -> None:
        self._write(header(entry))
        self._note(shown, entry, content)

    def _note(self, shown: str, entry: Entry, content: bytes) -> None:
        """Times do not count."""
        facts = f"{entry.path}\0{entry.kind}\0{entry.mode}\0{entry.uid}\0{entry.gid}\0".encode(
            errors="surrogateescape"
        )
        one = hashlib.sha256(facts + content).hexdigest()
        self._hash.update(one.encode())
        self.sent.files[shown] = one[:16]

    def _entry(self, path: str, status: os.stat_result) -> Entry:
        order = self._order
        kind = _KINDS[stat.S_IFMT(status.st_mode)]
        own = (status.st_uid, status.st_gid) if order.keep_owners else (0, 0)
        uid, gid = order.owner or own
        mode = stat.S_IMODE(status.st_mode)
        if order.permissions is not None:
            mode = order.permissions.of(mode, is_directory=kind is Kind.DIRECTORY)
        return Entry(
            path=f"{path}/" if kind is Kind.DIRECTORY else path,
            kind=kind,
            mode=0o777 if kind is Kind.SYMLINK else mode,
            uid=uid,
            gid=gid,
            size_bytes=0,
            mtime_ns=status.st_mtime_ns,
            target="",
            device=(0, 0),
            xattrs={},
        )

    def _write(self, data: bytes) -> None:
        if self._output is not None:
            self._output.write(data)


class _Folder(msgspec.Struct, frozen=True):
    """An excluded directory, kept in mind should something below it be in again."""

    shown: str
    path: str
    status: os.stat_result


def _replaced(entry: Entry, **changes: object) -> Entry:
    return replace(entry, **changes)


def send_from(root: Path, order: Order, output: BinaryIO | None) -> Sent:
    """Pack files of a context. Raises NotFound for a context that is none."""
    try:
        return Transfer(str(root), order, output).run()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"cannot read the context: {error.strerror}") from error
