"""Two images side by side: files, settings, history, and how well each uses its layers.

Times of files are not compared: a build at another time is not another image.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import msgspec

from wardian.errors import NotFound, SetupError
from wardian.images.store import Image
from wardian.storage import foreign
from wardian.storage.changes import ChangeKind
from wardian.storage.flattened import Flattened, Node, flatten
from wardian.storage.packing import attributes
from wardian.storage.tree import OPEN_DIRECTORY, look_at, open_below

_CHUNK_BYTES = 1 << 20


class FileDifference(msgspec.Struct, frozen=True):
    """A path that only one image has, or that is another in each; sizes are None where it is not.

    ``what`` names what differs: type, content, mode, owner, attributes.
    """

    kind: ChangeKind
    path: str
    old_bytes: int | None
    new_bytes: int | None
    what: tuple[str, ...] = ()


class Setting(msgspec.Struct, frozen=True):
    """A field of the configuration, such as ``config.Env``, that differs; None where it is not."""

    name: str
    old: Any
    new: Any


class History(msgspec.Struct, frozen=True):
    """How many steps both began with, and those that only one of them has."""

    shared: int
    old: tuple[str, ...]
    new: tuple[str, ...]


class Comparison:
    """An old image and a new one."""

    def __init__(self, old: Image, new: Image) -> None:
        self.old, self.new = old, new
        try:
            self.old_stack, self.new_stack = _stack(old), _stack(new)
        except OSError as error:
            raise SetupError(
                f"the images' layers cannot be read: {error.strerror}",
                hint="`wardian system check` says what is wrong",
            ) from error

    @property
    def shared_layers(self) -> int:
        """How many layers, from the lowest, are the same in both."""
        return _shared(self.old.diff_ids, self.new.diff_ids)

    def settings(self) -> list[Setting]:
        """What differs in the configuration, but for layers, history and the time of making."""
        old, new = (dict(_fields(image.config)) for image in (self.old, self.new))
        names = sorted(old.keys() | new.keys())
        return [
            Setting(name, old.get(name), new.get(name))
            for name in names
            if old.get(name) != new.get(name)
        ]

    def history(self) -> History:
        """The steps of each after those that are the same in both."""
        old, new = _steps(self.old), _steps(self.new)
        shared = _shared(old, new)
        return History(shared, tuple(old[shared:]), tuple(new[shared:]))

    def files(self) -> Iterator[FileDifference]:
        """Every difference between the trees that show, by path."""
        yield from foreign.read(self._files, list[FileDifference])

    def _files(self) -> list[FileDifference]:
        with ExitStack() as stack:
            sides = [
                _Side(image, stack, self.old_stack if image is self.old else self.new_stack)
                for image in (self.old, self.new)
            ]
            return list(_differences(*sides))


def _stack(image: Image) -> Flattened:
    return foreign.read(lambda: flatten(image.layer_directories[::-1]), Flattened)


def _shared(old: Sequence[str], new: Sequence[str]) -> int:
    pairs = zip(old, new, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(old), len(new)))


def _fields(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if name == "config" and isinstance(value, dict):
            yield from ((f"config.{key}", inner) for key, inner in value.items())
        elif name not in ("rootfs", "history", "created"):
            yield name, value


def _steps(image: Image) -> list[str]:
    entries = image.config.get("history") or []
    described = (entry if isinstance(entry, dict) else {} for entry in entries)
    return [str(entry.get("created_by") or entry.get("comment") or "") for entry in described]


class _Side:
    """One of the images, its layers held open."""

    def __init__(self, image: Image, stack: ExitStack, flattened: Flattened) -> None:
        self.root = flattened.root
        self._fds = []
        for directory in image.layer_directories[::-1]:
            self._fds.append(os.open(directory, OPEN_DIRECTORY))
            stack.callback(os.close, self._fds[-1])

    def folder(self, node: Node, path: str, stack: ExitStack) -> tuple[int, str]:
        """A descriptor of the directory that holds the path, and its last name."""
        parent, _, name = path.rpartition("/")
        fd = open_below(self._fds[node.layer], parent, OPEN_DIRECTORY)
        stack.callback(os.close, fd)
        return fd, name


def _differences(old: _Side, new: _Side) -> Iterator[FileDifference]:
    waiting: list[tuple[str, Node | None, Node | None]] = [("", old.root, new.root)]
    while waiting:
        path, before, after = waiting.pop()
        if path:
            yield from _difference(path, (old, before), (new, after))
        below_old = (before.children if before else None) or {}
        below_new = (after.children if after else None) or {}
        for name in sorted(below_old.keys() | below_new.keys(), reverse=True):
            child = f"{path}/{name}" if path else name
            waiting.append((child, below_old.get(name), below_new.get(name)))


def _difference(
    path: str, before: tuple[_Side, Node | None], after: tuple[_Side, Node | None]
) -> Iterator[FileDifference]:
    (old, old_node), (new, new_node) = before, after
    if old_node is None or new_node is None:
        kind = ChangeKind.ADDED if old_node is None else ChangeKind.DELETED
        old_bytes, new_bytes = (n.size_bytes if n else None for n in (old_node, new_node))
        yield FileDifference(kind, path, old_bytes, new_bytes)
        return
    with ExitStack() as stack:
        one, two = old.folder(old_node, path, stack), new.folder(new_node, path, stack)
        what = tuple(_what_differs(one, two))
    if what:
        yield FileDifference(
            ChangeKind.MODIFIED, path, old_node.size_bytes, new_node.size_bytes, what
        )


def _what_differs(one: tuple[int, str], two: tuple[int, str]) -> Iterator[str]:
    old, new = look_at(*one), look_at(*two)
    if old is None or new is None:
        raise NotFound("a layer changed while it was read", hint="try again")
    if os.path.samestat(old, new):
        return
    if stat.S_IFMT(old.st_mode) != stat.S_IFMT(new.st_mode):
        yield "type"
        return
    if _content_differs(one, two, old, new):
        yield "content"
    if stat.S_IMODE(old.st_mode) != stat.S_IMODE(new.st_mode):
        yield "mode"
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        yield "owner"
    if (stat.S_ISREG(old.st_mode) or stat.S_ISDIR(old.st_mode)) and (
        attributes(*one) != attributes(*two)
    ):
        yield "attributes"


def _content_differs(
    one: tuple[int, str], two: tuple[int, str], old: os.stat_result, new: os.stat_result
) -> bool:
    if stat.S_ISLNK(old.st_mode):
        return os.readlink(one[1], dir_fd=one[0]) != os.readlink(two[1], dir_fd=two[0])
    if not stat.S_ISREG(old.st_mode):
        return old.st_rdev != new.st_rdev
    if old.st_size != new.st_size:
        return True
    with ExitStack() as stack:
        files = []
        for fd, name in (one, two):
            opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            files.append(stack.enter_context(open(opened, "rb", buffering=0)))
        while data := files[0].read(_CHUNK_BYTES):
            if data != files[1].read(_CHUNK_BYTES):
                return True
    return False
