"""Snapshots: the file-system state of a container, as containerd's core/snapshots names things.

A layer of an image is a *committed* snapshot: named by its digest, with the layers below it for a
parent, and never written again; the image store keeps them, unpacked in one form for every driver.
A container has an *active* one, whose *key* is the container's id; to *commit* it (`wardian
commit`, each step of a build) is to make a layer of what `changes` finds. A *view* is layers alone,
mounted read-only. So a driver's own are the active snapshots, and how they get their files:

- **overlay**: the kernel merges the layers and the upper directory (overlayfs).
- **fuse-overlayfs**: a program does the same in user space (FUSE), where the kernel may not.
- **native**: every file of the layers is copied, once, before the first start.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Protocol

import msgspec

from wardian.storage.driver import Driver
from wardian.storage.tree import Usage


class Snapshot(msgspec.Struct, frozen=True):
    """An active snapshot; which layers it lies on is its user's to know.

    ``upper`` is what the container writes to: what differs from the layers, or with the native
    driver all of its files. ``work`` is the driver's scratch directory. They have the same parent,
    which holds nothing else. ``first_host_id`` is the owner of the container's root's files.
    """

    key: str
    upper: Path
    work: Path
    driver: Driver = Driver.OVERLAY
    first_host_id: int | None = None


class Snapshotter(Protocol):
    """A storage driver. ``prepare`` is atomic; a key names at most one snapshot."""

    driver: ClassVar[Driver]

    def prepare(self, key: str) -> Snapshot:
        """A new, empty active snapshot; AlreadyExists, SetupError."""

    def get(self, key: str) -> Snapshot:
        """The snapshot of this key; NotFound."""

    def remove(self, key: str) -> None:
        """Remove it and what was written to it; nothing if there is none."""

    def keys(self) -> Iterable[str]:
        """Every key there is."""

    def usage(self, key: str) -> Usage:
        """What its files take; NotFound."""
