"""What an image is made of: immutable, from the store and the layers as they lie on disk.

All text that the image chose has passed through :func:`wardian.observe.label.label`.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from wardian.observe.frames import Mark, Source


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """A document or an archive of the store."""

    digest: str
    media_type: str
    size_bytes: int


class FileRow(msgspec.Struct, frozen=True, kw_only=True):
    """A path that a layer changes. A directory is unchanged that is there for what is in it."""

    path: str
    mark: Mark
    size_bytes: int
    is_directory: bool = False


class LayerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A layer, by the digest of its archive unpacked.

    ``hidden_bytes`` are those that layers above it replace or delete. ``users`` are other images
    that have it, too. ``largest`` are a few of its files.
    """

    number: int
    diff_id: str
    blob: Blob
    unpacked_bytes: int
    hidden_bytes: int
    added: int
    modified: int
    deleted: int
    users: tuple[str, ...]
    largest: tuple[FileRow, ...]


class StepRow(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the history: what made a layer, or only changed the configuration (None)."""

    instruction: str
    created_by: str
    comment: str
    layer: int | None


class WastedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A path that several layers have."""

    path: str
    count: int
    total_bytes: int


class RelativeRow(msgspec.Struct, frozen=True, kw_only=True):
    """Another image that has layers in common with this one, by their numbers here."""

    reference: str
    digest: str
    layers: int
    shared: tuple[int, ...]


class DifferenceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A path that differs; sizes are None where it is not. ``what`` is what of it does."""

    path: str
    mark: Mark
    old_bytes: int | None
    new_bytes: int | None
    what: tuple[str, ...]


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What differs from an older image. Times of files are not compared.

    ``settings`` are fields of the configuration with both values, "" where there is none.
    ``shared_steps`` and ``shared_layers`` count what both begin with.
    """

    reference: str
    digest: str
    layers: int
    unpacked_bytes: int
    efficiency: float
    wasted_bytes: int
    shared_layers: int
    shared_steps: int
    old_steps: tuple[str, ...]
    new_steps: tuple[str, ...]
    settings: tuple[tuple[str, str, str], ...]
    files: tuple[DifferenceRow, ...]
    files_left_out: int


class ImageFrame(msgspec.Struct, frozen=True, kw_only=True):
    """An image. ``container`` is its name, by which a view of it is headed.

    ``layers`` and ``steps`` are lowest and first first. ``efficiency`` is dive's score.
    ``store_host_path`` is the state root: its ``content`` is an OCI image layout, which knows the
    image by ``layout_name`` ("" if it has no name), and ``layers`` has each layer unpacked.
    ``compared`` is what differs from another image, if that was asked for.
    """

    view: ClassVar[str] = "image"
    rows_field: ClassVar[str | None] = None

    time_s: float
    container: str
    source: Source
    names: tuple[str, ...]
    platform: str
    created: str
    manifest: Blob
    config: Blob
    settings: tuple[tuple[str, str], ...]
    steps: tuple[StepRow, ...]
    layers: tuple[LayerRow, ...]
    efficiency: float
    wasted_bytes: int
    wasted: tuple[WastedRow, ...]
    wasted_left_out: int
    relatives: tuple[RelativeRow, ...]
    relatives_left_out: int
    store_host_path: str = ""
    layout_name: str = ""
    compared: Compared | None = None


class LayerFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a layer changes, by path; of very many the largest, and how many not."""

    layer: int
    files: tuple[FileRow, ...]
    left_out: int
