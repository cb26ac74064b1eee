"""Snapshots: the file-system state of a container, as containerd's core/snapshots names things."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wardian.storage.tree import Usage


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An active snapshot: the writable ``upper``; which layers it lies on is its user's to know.

    ``work`` is overlayfs' scratch directory. ``upper`` and ``work`` have the same parent, which
    holds nothing else.
    """

    key: str
    upper: Path
    work: Path


class Snapshotter(Protocol):
    """A storage driver. ``prepare`` is atomic; a key names at most one snapshot."""

    def prepare(self, key: str) -> Snapshot:
        """A new, empty active snapshot; AlreadyExists, SetupError."""

    def get(self, key: str) -> Snapshot:
        """The snapshot of this key; NotFound."""

    def remove(self, key: str) -> None:
        """Remove it and what was written to it; nothing if there is none."""

    def keys(self) -> Iterable[str]:
        """Every key there is."""

    def usage(self, key: str) -> Usage:
        """What was written to it takes; NotFound."""
