"""Files that appear whole: under another name first (rename(2) replaces in one step)."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write or replace a file. Raises OSError, with nothing half-written left."""
    staging = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        staging.write_bytes(data)
        staging.replace(path)
    except OSError:
        with suppress(OSError):
            staging.unlink()
        raise
