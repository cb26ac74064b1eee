"""The overlay driver: makes the directories; the mount is made inside the container."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from wardian.errors import SetupError
from wardian.linux.statfs import OVERLAYFS_SUPER_MAGIC, file_system_type
from wardian.storage.active import ActiveSnapshots
from wardian.storage.driver import Driver
from wardian.storage.tree import OPEN_DIRECTORY


class OverlaySnapshotter(ActiveSnapshots):
    """overlayfs' upper and work directories."""

    driver: ClassVar[Driver] = Driver.OVERLAY

    def _ensure_fit(self) -> None:
        """Say early what mount(2) would only call EINVAL or ENODEV."""
        fd = os.open(self._directory, OPEN_DIRECTORY)
        try:
            # Overlayfs can lie on another's lower, not be its upper (overlayfs.rst).
            if file_system_type(fd) == OVERLAYFS_SUPER_MAGIC:
                raise SetupError(
                    "the state directory is on overlayfs, which cannot carry a writable layer",
                    hint="set WARDIAN_ROOT to a volume or a tmpfs, such as /dev/shm/wardian, or"
                    " WARDIAN_STORAGE_DRIVER=native",
                )
        finally:
            os.close(fd)
        if not kernel_has_overlay():
            raise SetupError(
                f"the kernel has no overlayfs (Linux {os.uname().release})",
                hint="install the kernel's module `overlay`, or boot a distribution's own kernel,"
                " or set WARDIAN_STORAGE_DRIVER=native",
            )


def kernel_has_overlay(proc: Path = Path("/proc"), modules: Path | None = None) -> bool:
    """Whether overlayfs is in the kernel or among its modules, which mount(2) loads by itself."""
    if "nodev\toverlay" in (proc / "filesystems").read_text().splitlines():
        return True
    folder = modules or Path("/lib/modules") / os.uname().release
    with suppress(OSError):
        return "/overlay.ko" in (folder / "modules.dep").read_text()
    return False
