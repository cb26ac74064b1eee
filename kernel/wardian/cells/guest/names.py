"""The file name that stands for a cell in code objects and tracebacks."""

from __future__ import annotations

import os

SEED = 0xC70F6907
MASK = 0xFFFFFFFF


def cell_file_name(code: str) -> str:
    """A name that depends on the cell's text only; frontends compute the same for breakpoints."""
    given = os.environ.get("IPYKERNEL_CELL_NAME")
    return given or os.path.join(cell_folder(), f"{murmur2(code.encode(), SEED)}.py")


def cell_folder() -> str:
    """Where cells would be if they were files.

    Not by ``tempfile.gettempdir()``, which writes a file to see whether it can: a container
    in which nobody has written anything would have a changed /tmp.
    """
    named = (os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    folder = next((each for each in named if each), "/tmp")  # noqa: S108  # nothing is put there
    return os.path.join(os.path.abspath(folder), f"ipykernel_{os.getpid()}")


def murmur2(data: bytes, seed: int) -> int:
    """MurmurHash2 (32 bits), the hash that the Jupyter debugger protocol announces."""
    m = 0x5BD1E995
    value = seed ^ len(data)
    whole = len(data) & ~3
    for start in range(0, whole, 4):
        k = int.from_bytes(data[start : start + 4], "little") * m & MASK
        k = (k ^ (k >> 24)) * m & MASK
        value = (value * m & MASK) ^ k
    rest = data[whole:]
    if rest:
        value = (value ^ int.from_bytes(rest, "little")) * m & MASK
    value = (value ^ (value >> 13)) * m & MASK
    return value ^ (value >> 15)
