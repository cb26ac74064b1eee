"""Where Wardian keeps its state on the host."""

from __future__ import annotations

import os
import re
from pathlib import Path


def state_root() -> Path:
    """The state directory: ``$WARDIAN_ROOT``, else the usual place for root or for a user."""
    if configured := os.environ.get("WARDIAN_ROOT"):
        return Path(configured).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/wardian")
    data_home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data_home) / "wardian"


GROUPS = "wardian"
FOLDER_NAME = re.compile(r"[0-9a-f]+-[0-9a-f]+")


def group_folder(root: Path) -> str:
    """The cgroup in which the groups of this root's containers are, below the hierarchy's top.

    Each root has its own, by its inode: nobody but its keeper can tell a group that was just made
    from one that was left behind.
    """
    status = root.stat()
    return f"{GROUPS}/{status.st_dev:x}-{status.st_ino:x}"
