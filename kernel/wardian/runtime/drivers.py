"""The storage driver of a state root: the one it has, that is asked for, or that works best."""

from __future__ import annotations

from pathlib import Path

from wardian.storage import driver as drivers
from wardian.storage.active import ActiveSnapshots
from wardian.storage.driver import Driver
from wardian.storage.overlay import OverlaySnapshotter


def settle(root: Path) -> Driver:
    """The driver of a state root, recorded there if it is new.

    Raises FailedPrecondition if another one is asked for, InvalidInput if that is none.
    """
    drivers.check(root)
    known = drivers.recorded(root)
    if known is not None and (root / drivers.FILE).exists():
        return known
    return drivers.record(root, known or drivers.asked() or best(root))


def best(root: Path) -> Driver:
    """The first that works on the state directory's file system; all that is tried is undone."""
    from wardian.runtime.probes import layers, spaces  # once in the life of a state root

    with layers.scratch_below(root) as scratch:
        if layers.state_overlay(scratch).works or not spaces.user_namespace().works:
            return Driver.OVERLAY  # without user namespaces that is what says why
    with layers.scratch_below(root) as scratch:
        return Driver.FUSE if layers.fuse_overlay(scratch).works else Driver.NATIVE


def snapshotter(root: Path) -> ActiveSnapshots:
    """The state root's snapshots. Raises SetupError."""
    driver = settle(root)
    if driver is Driver.NATIVE:
        from wardian.storage.native import NativeSnapshotter

        return NativeSnapshotter(root)
    if driver is Driver.FUSE:
        from wardian.storage.fuse import FuseSnapshotter

        return FuseSnapshotter(root)
    return OverlaySnapshotter(root)
