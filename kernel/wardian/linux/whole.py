"""Files that appear whole: under another name first (rename(2) replaces in one step)."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def write_whole(
    path: Path,
    data: bytes,
    *,
    mode: int = 0o600,
    is_only_writer: bool = False,
    outlasts_power: bool = False,
    prepare: Callable[[int], object] | None = None,
) -> None:
    """Write or replace a file. Raises OSError, with nothing half-written left.

    Who is the ``is_only_writer`` of it, by a lock or by being one thread, writes half a file under
    a fixed name: what a killed one has left is replaced by the next. What must be there after a
    power cut ``outlasts_power``, which takes the disk milliseconds (fsync(2)). ``prepare`` is told
    the descriptor before the file is to be seen under its name.
    """
    suffix = "new" if is_only_writer else os.urandom(4).hex()
    staging = path.with_name(f".{path.name}.{suffix}")
    once = os.O_TRUNC if is_only_writer else os.O_EXCL
    try:
        fd = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | once, mode)
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            if prepare is not None:
                prepare(fd)
            if outlasts_power:
                os.fsync(fd)
        staging.replace(path)
    except BaseException:
        with suppress(OSError):
            staging.unlink()
        raise
