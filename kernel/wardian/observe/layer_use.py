"""How well a container uses its layers: dive's score over the image's layers and the upper one.

The image's layers are read, which can take seconds; what the upper layer holds is known to its
sampler, and is laid upon them as it was at that moment.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from wardian.errors import InvalidInput, KernelRefused, SetupError
from wardian.observe.label import label
from wardian.observe.lowers import Lowers
from wardian.storage.changes import Change
from wardian.storage.flattened import Flattened, Node, Occurrences, flatten
from wardian.storage.whiteout import is_whiteout

MOST_PATHS = 500_000
_MOST_ROWS = 30
_STEP = 200  # changes between two rests


class UpperNow(msgspec.Struct, frozen=True):
    """The upper layer at one moment: lstat(2)'s answers, and the opaque directories, by paths."""

    facts: Mapping[str, os.stat_result]
    opaque: frozenset[str]
    unreadable: int


class WastedPath(msgspec.Struct, frozen=True, kw_only=True):
    """A path that costs more than what is seen of it.

    ``total_bytes`` is what all layers together hold there, in the order of ``layers``, uppermost
    first. ``is_deleted``: nothing of it is seen, and yet it is still in these layers.
    """

    path: str
    total_bytes: int
    layers: tuple[str, ...]
    is_deleted: bool


class LayersUse(msgspec.Struct, frozen=True, kw_only=True):
    """Dive's score: the least size of each path over all that layers hold there.

    ``has_upper`` is False of a copy, whose image's layers alone are counted. ``unreadable`` are
    directories of the upper layer that the user of the kernel may not list: what is in them is not
    counted.
    """

    time_s: float
    efficiency: float
    least_bytes: int
    total_bytes: int
    wasted_bytes: int
    wasted: tuple[WastedPath, ...]
    left_out: int
    has_upper: bool
    unreadable: int


def layers_use(
    directories: Sequence[Path], upper: UpperNow | None, ensure_wanted: Callable[[], None]
) -> LayersUse:
    """Count. ``directories`` are those of the lower layers, uppermost first. Raises WardianError.

    ``ensure_wanted`` is called every now and then, and raises when nobody wants to know any more.
    """
    time_s = time.time()
    try:
        stack = flatten(directories[::-1], _Pace(ensure_wanted).note)
        if upper is not None:
            _lay(stack, upper)
        wasted = sorted(_wasted(stack), key=lambda one: (-one.total_bytes, one.path))
        lowers = Lowers(directories)
    except (OSError, KernelRefused) as error:
        raise SetupError("the layers cannot be read", hint="only root can, of root's") from error
    try:
        rows = tuple(_row(one, stack, lowers, upper) for one in wasted[:_MOST_ROWS])
    finally:
        lowers.close()
    return LayersUse(
        time_s=time_s,
        efficiency=round(stack.efficiency, 6),
        least_bytes=sum(one.least_bytes for one in stack.paths.values()),
        total_bytes=sum(one.total_bytes for one in stack.paths.values()),
        wasted_bytes=sum(one.total_bytes for one in wasted),
        wasted=rows,
        left_out=len(wasted) - len(rows),
        has_upper=upper is not None,
        unreadable=0 if upper is None else upper.unreadable,
    )


class _Pace:
    """Takes no more than half of a core: cells and views go on meanwhile."""

    def __init__(self, ensure_wanted: Callable[[], None]) -> None:
        self._ensure_wanted = ensure_wanted
        self._count = 0
        self._used_s = time.thread_time()

    def note(self, _layer: int, _change: Change) -> None:
        """One more path has been read."""
        self._count += 1
        if self._count > MOST_PATHS:
            raise InvalidInput(f"the layers have more than {MOST_PATHS} paths", hint="see dive(1)")
        if self._count % _STEP == 0:
            self._ensure_wanted()
            now_s = time.thread_time()
            time.sleep(now_s - self._used_s)
            self._used_s = now_s


def _lay(stack: Flattened, upper: UpperNow) -> None:
    """Put the upper layer on the others, as `flatten` does with those that lie on disk."""
    number, linked = len(stack.layers), set()
    holders = {os.path.dirname(path) for path in upper.facts}
    if "" in upper.opaque:
        stack.root.children = {}
    for path, facts in sorted(upper.facts.items()):
        parent, name = _node(stack, os.path.dirname(path)), os.path.basename(path)
        if parent is None or parent.children is None:
            continue  # what was there is another thing by now
        if is_whiteout(facts):
            gone = parent.children.pop(name, None)
            _occurs(stack, path, gone.total_bytes() if gone and gone.children is not None else 0)
        elif stat.S_ISDIR(facts.st_mode):
            below = parent.children.get(name)
            if below is None or below.children is None or path in upper.opaque:
                parent.children[name] = Node(number, children={})
            if path not in holders:
                _occurs(stack, path, 0)
        else:
            is_new = facts.st_ino not in linked
            linked.add(facts.st_ino)
            size = facts.st_size if stat.S_ISREG(facts.st_mode) and is_new else 0
            parent.children[name] = Node(number, size)
            _occurs(stack, path, size)


def _occurs(stack: Flattened, path: str, size_bytes: int) -> None:
    stack.paths.setdefault(path, Occurrences(path)).add(size_bytes)


def _node(stack: Flattened, path: str) -> Node | None:
    """What is seen under a path."""
    node: Node | None = stack.root
    for name in path.split("/") if path else ():
        node = (node.children or {}).get(name) if node is not None else None
    return node


def _wasted(stack: Flattened) -> Iterator[Occurrences]:
    """Paths that several layers have, and directories that one has deleted with what was in them.

    Dive's list lacks the latter: it counts a directory where it is deleted and nowhere else.
    """
    for one in stack.paths.values():
        if one.count > 1:
            if one.total_bytes:
                yield one
        elif one.total_bytes and _node(stack, one.path) is None:
            parent = _node(stack, os.path.dirname(one.path))
            if parent is not None and parent.children is not None:
                yield one


def _row(one: Occurrences, stack: Flattened, lowers: Lowers, upper: UpperNow | None) -> WastedPath:
    facts = None if upper is None else upper.facts.get(one.path)
    found = lowers.versions(one.path)
    layers = [name for name, below in found if not is_whiteout(below)]
    if facts is not None and not is_whiteout(facts):
        layers.insert(0, "upper")
    return WastedPath(
        path=label(f"/{one.path}"),
        total_bytes=one.total_bytes,
        layers=tuple(layers),
        is_deleted=_node(stack, one.path) is None,
    )
