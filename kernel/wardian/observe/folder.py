"""One directory of one layer, or as the merged view shows it: what a tree loads when it is opened.

The layers are read by descriptors of their own, so that it can be done in any thread; of the upper
layer, which changes, only what its sampler knows of it is used.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from wardian.errors import KernelRefused
from wardian.observe.frames import Kind, Mark, UpperEntry
from wardian.observe.label import label
from wardian.observe.lowers import Lowers, file_bytes, kind_of, mark_of
from wardian.storage import foreign, whiteout
from wardian.storage.stack import LayerStack
from wardian.storage.tree import OPEN_DIRECTORY, look_at, open_below

MERGED = "merged"
ROWS, MOST_ROWS = 500, 8000  # at first, and at all


class FolderRow(UpperEntry, frozen=True, kw_only=True):
    """A path in a directory; ``owner`` is the layer that it is seen from."""

    owner: str


class Folder(msgspec.Struct, frozen=True, kw_only=True):
    """A directory of the tree of a layer or of ``merged``; ``left_out`` counts names not told.

    ``is_refused``: the user of the kernel may not read it.
    """

    tree: str
    path: str
    rows: tuple[FolderRow, ...] = ()
    left_out: int = 0
    is_refused: bool = False


class UpperFolder(msgspec.Struct, frozen=True):
    """What the upper layer has in a directory, by names.

    ``opaque`` and ``copied_up`` are paths of those that are so. ``hides``: nothing of the layers
    below shows in the directory.
    """

    name: str
    facts: Mapping[str, os.stat_result]
    opaque: frozenset[str]
    hides: bool
    is_unreadable: bool = False
    copied_up: frozenset[str] = frozenset()


def of_layer(directories: Sequence[Path], layer: str, path: str, most: int = ROWS) -> Folder:
    """What a lower layer has in a directory, with what it does to those below it.

    ``directories`` are those of all lower layers, uppermost first; ``most`` rows are told.
    """
    return foreign.read(lambda: _of_layer(directories, layer, path, most), Folder, _is_refused)


def _is_refused(found: Folder) -> bool:
    return found.is_refused


def _of_layer(directories: Sequence[Path], layer: str, path: str, most: int) -> Folder:
    place = Lowers.names_of(len(directories)).index(layer)
    try:
        root_fd = os.open(directories[place], OPEN_DIRECTORY)
        try:
            fd = open_below(root_fd, path, OPEN_DIRECTORY)
        finally:
            os.close(root_fd)
    except FileNotFoundError:
        return Folder(tree=layer, path=label(f"/{path}"))
    except (OSError, KernelRefused):
        return Folder(tree=layer, path=label(f"/{path}"), is_refused=True)
    try:
        below = Lowers(directories[place + 1 :])
        try:
            with LayerStack(directories[place:]) as stack:
                is_merged = len(stack.visible_in(path)) > 1
            names = sorted(os.listdir(fd))
            rows = _rows_of_layer(fd, names[:most], path, layer, below if is_merged else None)
            return _folder(layer, path, tuple(rows), len(names) - most)
        finally:
            below.close()
    finally:
        os.close(fd)


def _rows_of_layer(
    fd: int, names: Sequence[str], path: str, layer: str, below: Lowers | None
) -> Iterator[FolderRow]:
    has_whiteout_files = whiteout.has_whiteout_files(fd)
    for name in names:
        facts = look_at(fd, name)
        if facts is None:
            continue
        child = _join(path, name)
        hidden = None if below is None else below.winner(child)
        is_gone = has_whiteout_files and whiteout.is_whiteout_file(fd, name, facts)
        is_opaque = stat.S_ISDIR(facts.st_mode) and _is_opaque(fd, name)
        yield _row(child, facts, hidden, layer, is_opaque=is_opaque, is_gone=is_gone)


def merged(directories: Sequence[Path], upper: UpperFolder, path: str, most: int = ROWS) -> Folder:
    """What the container sees in a directory, each name with the layer that it is from."""
    if upper.is_unreadable:
        return Folder(tree=MERGED, path=label(f"/{path}"), is_refused=True)
    return foreign.read(lambda: _merged(directories, upper, path, most), Folder, _is_refused)


def _merged(directories: Sequence[Path], upper: UpperFolder, path: str, most: int) -> Folder:
    lowers = Lowers(directories)
    try:
        with LayerStack(directories) as stack:
            seen = _seen(stack, () if upper.hides else stack.visible_in(path), path, upper)
        rows = [
            _merged_row(path, name, found, lowers, upper)
            for name, found in sorted(seen.items())[:most]
        ]
        return _folder(MERGED, path, tuple(rows), len(seen) - most)
    except (OSError, KernelRefused):
        return Folder(tree=MERGED, path=label(f"/{path}"), is_refused=True)
    finally:
        lowers.close()


_Seen = dict[str, tuple[int | None, os.stat_result]]


def _seen(stack: LayerStack, visible: tuple[int, ...], path: str, upper: UpperFolder) -> _Seen:
    """Every name that shows, with the number of its lower layer; None is the upper."""
    seen: _Seen = {
        name: (None, facts)
        for name, facts in upper.facts.items()
        if kind_of(facts) is not Kind.WHITEOUT
    }
    with stack.opened(path, visible) as folder:
        for name in folder.listed() - upper.facts.keys():
            if (found := folder.owned(name)) is not None:
                seen[name] = found
    return seen


def _merged_row(
    path: str,
    name: str,
    found: tuple[int | None, os.stat_result],
    lowers: Lowers,
    upper: UpperFolder,
) -> FolderRow:
    number, facts = found
    child = _join(path, name)
    if number is not None:
        row = _row(child, facts, None, lowers.names[number], is_opaque=False)
        return msgspec.structs.replace(row, mark=Mark.UNCHANGED)
    hidden = None if upper.hides else lowers.winner(child)
    row = _row(child, facts, hidden, upper.name, is_opaque=child in upper.opaque)
    return msgspec.structs.replace(row, is_copied_up=child in upper.copied_up)


def _row(
    path: str,
    facts: os.stat_result,
    hidden: tuple[str, os.stat_result] | None,
    owner: str,
    *,
    is_opaque: bool,
    is_gone: bool = False,
) -> FolderRow:
    below = None if hidden is None else hidden[1]
    return FolderRow(
        path=label(f"/{path}"),
        mark=Mark.DELETED if is_gone else mark_of(facts, below, is_opaque=is_opaque),
        kind=Kind.WHITEOUT if is_gone else kind_of(facts),
        size_bytes=file_bytes(facts) or 0,
        mode=stat.S_IMODE(facts.st_mode),
        changed_s=facts.st_ctime,
        is_opaque=is_opaque,
        hides=None if hidden is None else hidden[0],
        hidden_bytes=None if below is None else file_bytes(below),
        owner=owner,
    )


def _folder(tree: str, path: str, rows: tuple[FolderRow, ...], left_out: int) -> Folder:
    return Folder(tree=tree, path=label(f"/{path}"), rows=rows, left_out=max(0, left_out))


def _is_opaque(fd: int, name: str) -> bool:
    try:
        child_fd = os.open(name, OPEN_DIRECTORY, dir_fd=fd)
    except OSError:
        return False
    try:
        return whiteout.is_opaque(child_fd)
    finally:
        os.close(child_fd)


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
