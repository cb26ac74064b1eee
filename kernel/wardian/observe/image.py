"""Looks at an image: its documents, its history, and what each of its layers does to files."""

from __future__ import annotations

import heapq
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from wardian.errors import NotFound, SetupError
from wardian.images.index import name_of
from wardian.images.manifest import MANIFEST_TYPE, Descriptor
from wardian.images.reference import Reference
from wardian.images.resolve import resolve
from wardian.images.store import Image, ImageStore
from wardian.observe.frames import Mark, Source
from wardian.observe.image_comparison import compared
from wardian.observe.image_frame import (
    Blob,
    FileRow,
    ImageFrame,
    LayerFiles,
    LayerRow,
    RelativeRow,
    StepRow,
    WastedRow,
)
from wardian.observe.instruction import instruction
from wardian.observe.label import label
from wardian.storage import foreign
from wardian.storage.changes import Change, ChangeKind
from wardian.storage.flattened import Flattened, Note, flatten

MOST_FILES = 10_000
_LARGEST, _MOST_WASTED, _MOST_RELATIVES, _MOST_USERS = 12, 60, 24, 8
_MOST_STEPS, _LINE_CHARS, _VALUE_CHARS = 600, 2000, 400
_SETTINGS = ("Entrypoint", "Cmd", "WorkingDir", "User", "Env", "ExposedPorts", "Volumes", "Labels")
_MARKS = {
    ChangeKind.ADDED: Mark.ADDED,
    ChangeKind.MODIFIED: Mark.MODIFIED,
    ChangeKind.DELETED: Mark.DELETED,
}


def look(store: ImageStore, reference: str, note: Note | None = None) -> ImageFrame:
    """The frame of an image. Raises NotFound, InvalidInput, SetupError.

    ``note`` is told of each change with the number of its layer, so that nobody reads them again.
    """
    image = resolve(store, reference)
    manifest = store.manifest(image)
    tallies = [_Tally() for _ in image.diff_ids]

    def count(number: int, change: Change) -> None:
        tallies[number].add(change)
        if note is not None:
            note(number, change)

    stack, skipped = _stacked(image, count)
    others = [one for one in store.list() if one.digest != image.digest]
    wasted, names = stack.wasted, list(_names(store, image))
    relatives = sorted(_relatives(image, others), key=lambda one: (-len(one.shared), one.reference))
    return ImageFrame(
        time_s=time.time(),
        container=label(image.reference),
        source=Source.POLLING,
        names=tuple(label(Reference.parse(one).familiar) for one in names),
        platform=label("/".join(str(image.config.get(key, "")) for key in ("os", "architecture"))),
        created=label(str(image.config.get("created", "")), max_chars=64),
        manifest=_manifest_blob(store, image, manifest.mediaType),
        config=_blob(manifest.config),
        settings=tuple(_settings(image)),
        steps=tuple(_steps(image)),
        layers=tuple(
            LayerRow(
                number=number,
                diff_id=diff_id,
                blob=_blob(manifest.layers[number]),
                unpacked_bytes=_use(stack, number - skipped)[0],
                hidden_bytes=_use(stack, number - skipped)[1],
                added=tallies[number].counts[Mark.ADDED],
                modified=tallies[number].counts[Mark.MODIFIED],
                deleted=tallies[number].counts[Mark.DELETED],
                users=tuple(_users(diff_id, others)),
                largest=tallies[number].largest,
            )
            for number, diff_id in enumerate(image.diff_ids[: len(manifest.layers)])
        ),
        efficiency=round(stack.efficiency, 6),
        wasted_bytes=sum(each.total_bytes for each in wasted),
        wasted=tuple(
            WastedRow(path=label(f"/{each.path}"), count=each.count, total_bytes=each.total_bytes)
            for each in wasted[:_MOST_WASTED]
        ),
        wasted_left_out=max(0, len(wasted) - _MOST_WASTED),
        relatives=tuple(relatives[:_MOST_RELATIVES]),
        relatives_left_out=max(0, len(relatives) - _MOST_RELATIVES),
        store_host_path=str(store.root),
        layout_name=names[0] if names else "",
    )


def files(store: ImageStore, reference: str, layer: int) -> LayerFiles:
    """What one layer changes. Raises NotFound, InvalidInput, SetupError."""
    image = resolve(store, reference)
    if not 0 <= layer < len(image.diff_ids):
        raise NotFound(f"no layer {layer} in {label(image.reference)}")
    found = _Listing()

    def note(number: int, change: Change) -> None:
        if number == layer:
            found.add(change)

    _stacked(image, note)
    return found.told(layer)


def _stacked(image: Image, note: Note) -> tuple[Flattened, int]:
    """The layers stacked, and how many lowest ones lie below one that hides all."""
    shown = image.layer_directories[::-1]
    skipped = len(image.diff_ids) - len(shown)

    def look() -> tuple[Flattened, list[tuple[int, Change]]]:
        told: list[tuple[int, Change]] = []
        return flatten(shown, lambda *change: told.append(change)), told

    try:
        stack, told = foreign.read(look, tuple[Flattened, list[tuple[int, Change]]])
    except OSError as error:
        raise SetupError(
            f"the image's layers cannot be read: {error.strerror}",
            hint="`wardian system check` says what is wrong",
        ) from error
    for number, change in told:
        note(number + skipped, change)
    return stack, skipped


def _use(stack: Flattened, number: int) -> tuple[int, int]:
    if number < 0:
        return 0, 0
    return stack.layers[number].size_bytes, stack.layers[number].hidden_bytes


class _Tally(msgspec.Struct):
    """How many changes of each kind a layer has, and the largest of its files."""

    counts: Counter[Mark] = msgspec.field(default_factory=Counter)
    _largest: list[tuple[int, str, FileRow]] = msgspec.field(default_factory=list)

    def add(self, change: Change) -> None:
        row = _row(change)
        self.counts[row.mark] += 1
        if not change.is_directory:
            entry = (row.size_bytes, row.path, row)
            push = heapq.heappush if len(self._largest) < _LARGEST else heapq.heappushpop
            push(self._largest, entry)

    @property
    def largest(self) -> tuple[FileRow, ...]:
        return tuple(row for _, _, row in sorted(self._largest, reverse=True))


class _Listing(msgspec.Struct):
    """All of a layer's changes but too many."""

    _rows: list[tuple[int, str, FileRow]] = msgspec.field(default_factory=list)
    _left_out: int = 0

    def add(self, change: Change) -> None:
        row = _row(change)
        entry = (row.size_bytes, row.path, row)
        if len(self._rows) < MOST_FILES:
            heapq.heappush(self._rows, entry)
        else:
            heapq.heappushpop(self._rows, entry)
            self._left_out += 1

    def told(self, layer: int) -> LayerFiles:
        rows = sorted((row for _, _, row in self._rows), key=lambda row: row.path)
        return LayerFiles(layer=layer, files=tuple(rows), left_out=self._left_out)


def _row(change: Change) -> FileRow:
    """An archive names each directory that it has something in: that alone changes nothing."""
    is_passed = change.is_directory and change.kind is ChangeKind.MODIFIED
    return FileRow(
        path=label(f"/{change.path}"),
        mark=Mark.UNCHANGED if is_passed else _MARKS[change.kind],
        size_bytes=change.size_bytes,
        is_directory=change.is_directory,
    )


def _blob(found: Descriptor) -> Blob:
    return Blob(
        digest=found.digest,
        media_type=label(found.mediaType, max_chars=128),
        size_bytes=found.size,
    )


def _manifest_blob(store: ImageStore, image: Image, media_type: str) -> Blob:
    size = store.blob(image.digest).stat().st_size
    said = label(media_type or MANIFEST_TYPE, max_chars=128)
    return Blob(digest=image.digest, media_type=said, size_bytes=size)


def _names(store: ImageStore, image: Image) -> Iterator[str]:
    """Every name of the manifest, in full."""
    for entry in store.names.read():
        if entry.digest == image.digest and (name := name_of(entry)):
            yield name


def _settings(image: Image) -> Iterator[tuple[str, str]]:
    """What a container of it starts with, in the words of its configuration."""
    config = image.config.get("config") or {}
    for name in _SETTINGS:
        if value := config.get(name):
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield name, label(shown, max_chars=_VALUE_CHARS)


def _steps(image: Image) -> Iterator[StepRow]:
    """The history, which may claim anything; then the layers that it does not tell of."""
    number, history = 0, image.config.get("history")
    entries = [one for one in history if isinstance(one, dict)] if history else []
    for entry in entries[:_MOST_STEPS]:
        makes_layer = not entry.get("empty_layer") and number < len(image.diff_ids)
        created_by = str(entry.get("created_by") or "")
        comment = str(entry.get("comment") or "")
        yield StepRow(
            instruction=label(instruction(created_by), max_chars=_LINE_CHARS),
            created_by=label(created_by, max_chars=_LINE_CHARS),
            comment=label(comment, max_chars=_VALUE_CHARS),
            layer=number if makes_layer else None,
        )
        number += makes_layer
    for left in range(number, len(image.diff_ids)):
        yield StepRow(instruction="", created_by="", comment="", layer=left)


def _users(diff_id: str, others: Sequence[Image]) -> Iterator[str]:
    found = [one.reference for one in others if diff_id in one.diff_ids]
    yield from map(label, found[:_MOST_USERS])
    if len(found) > _MOST_USERS:
        yield f"… and {len(found) - _MOST_USERS} more"


def _relatives(image: Image, others: Sequence[Image]) -> Iterator[RelativeRow]:
    for one in others:
        theirs = set(one.diff_ids)
        shared = tuple(n for n, diff_id in enumerate(image.diff_ids) if diff_id in theirs)
        if shared:
            yield RelativeRow(
                reference=label(one.reference),
                digest=one.digest,
                layers=len(one.diff_ids),
                shared=shared,
            )


class Exhibit(msgspec.Struct, frozen=True):
    """An image of a state root, by its name or digest: what an image view is about.

    With ``older``, the name of another, the frame says what differs.
    """

    root: Path
    reference: str
    older: str = ""

    def look(self, note: Note | None = None) -> ImageFrame:
        """The frame, as `look` has it. Raises NotFound, InvalidInput, SetupError."""
        store = ImageStore(self.root)
        frame = look(store, self.reference, note)
        if not self.older:
            return frame
        return replace(frame, compared=compared(store, self.older, self.reference))

    def files(self, layer: int) -> LayerFiles:
        """What one layer changes. Raises NotFound, InvalidInput, SetupError."""
        return files(ImageStore(self.root), self.reference, layer)
