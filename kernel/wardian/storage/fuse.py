"""The fuse-overlayfs driver: layers put together by a program in user space (fuse-overlayfs(1)).

For kernels whose overlayfs a user namespace may not mount (before Linux 5.11, or where it is left
out). What a container writes is kept as overlayfs keeps it, but for two marks of the program's own.
"""

from __future__ import annotations

import os
from typing import ClassVar

from wardian.errors import SetupError
from wardian.linux.fuse import DEVICE
from wardian.storage.active import ActiveSnapshots
from wardian.storage.driver import Driver

PROGRAM = "fuse-overlayfs"
PATH = "/usr/local/bin:/usr/bin:/bin"


class FuseSnapshotter(ActiveSnapshots):
    """fuse-overlayfs' upper and work directories."""

    driver: ClassVar[Driver] = Driver.FUSE

    def _ensure_fit(self) -> None:
        program()
        if not os.path.exists(DEVICE):
            raise SetupError(
                f"there is no {DEVICE}, which the storage driver fuse-overlayfs needs",
                hint="load the kernel's module `fuse`, or set WARDIAN_STORAGE_DRIVER=native",
            )


def program() -> str:
    """Where it is; SetupError."""
    import shutil  # no keeper needs it with another driver

    found = shutil.which(PROGRAM, path=PATH)
    if found is None:
        raise SetupError(
            "the program fuse-overlayfs is not installed",
            hint="on Debian or Ubuntu: sudo apt-get install fuse-overlayfs; or set"
            " WARDIAN_STORAGE_DRIVER=native",
        )
    return os.path.realpath(found)
