"""What all users of a hub share: the base image and the toolbox, made once, by root."""

from __future__ import annotations

import os
from pathlib import Path


def lay_in(directory: str) -> str:
    """Make what the host's programs have changed since, if anything; the directory.

    The hub does it whenever it starts (`jupyterhub_config.py`). Raises SetupError.
    """
    from wardian.cells.toolbox import ensure_toolbox
    from wardian.images.base import ensure_base
    from wardian.images.store import ImageStore

    root = Path(directory)
    mask = os.umask(0o022)
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        ensure_base(ImageStore(root))
        ensure_toolbox(root)
    finally:
        os.umask(mask)
    return directory
