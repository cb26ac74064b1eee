"""Which storage driver a state root is used with: one for each, recorded in it.

Docker's and podman's state roots have each one driver, too: a container that one driver has made
means nothing to another.
"""

from __future__ import annotations

import enum
import os
from contextlib import suppress
from pathlib import Path

from wardian.errors import FailedPrecondition, InvalidInput, SetupError, not_ours

FILE = "storage-driver"
VARIABLE = "WARDIAN_STORAGE_DRIVER"
_DOCKERS = {"overlay2": "overlay", "vfs": "native"}


class Driver(enum.Enum):
    """How a container's writable files come to lie on an image's layers."""

    OVERLAY = "overlay"
    FUSE = "fuse-overlayfs"
    NATIVE = "native"

    @property
    def has_upper(self) -> bool:
        """Whether what a container writes is apart from its layers, else all is one copy."""
        return self is not Driver.NATIVE


def parse(word: str) -> Driver:
    """A driver by its name, or docker's for it; InvalidInput."""
    try:
        return Driver(_DOCKERS.get(word, word))
    except ValueError:
        names = ", ".join(one.value for one in Driver)
        raise InvalidInput(f"no storage driver: {word[:40]!a}", hint=f"one of: {names}") from None


def asked() -> Driver | None:
    """The driver that the environment asks for. Raises InvalidInput."""
    word = os.environ.get(VARIABLE)
    return parse(word) if word else None


def recorded(root: Path) -> Driver | None:
    """The driver that this state root has; None if nothing has been stored with any."""
    path = root / FILE
    try:
        word = path.read_text(errors="replace").strip()
    except FileNotFoundError:
        # Before there was a choice nothing was recorded.
        return Driver.OVERLAY if (root / "snapshots").is_dir() else None
    except OSError as error:
        raise SetupError(f"cannot read the state directory: {error.strerror}") from error
    try:
        return Driver(word)
    except ValueError:
        raise not_ours(path, f"there is no storage driver {word[:40]!a}") from None


def record(root: Path, driver: Driver) -> Driver:
    """Record the driver of a new state root; the one that somebody else just recorded wins."""
    scratch = root / f".{FILE}-{os.urandom(4).hex()}"
    try:
        scratch.write_text(f"{driver.value}\n")
        with suppress(FileExistsError):
            os.link(scratch, root / FILE)
        scratch.unlink()
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise SetupError(
            f"cannot write to the state directory: {error.strerror}",
            hint="set WARDIAN_ROOT to a directory that you can write, or free some space",
        ) from error
    return recorded(root) or driver


def check(root: Path) -> None:
    """Raise FailedPrecondition if another driver is asked for than the state root has."""
    wanted, known = asked(), recorded(root)
    if wanted is not None and known is not None and wanted is not known:
        raise FailedPrecondition(
            f"the state directory has the storage driver {known.value}, not {wanted.value}",
            hint=f"leave out --storage-driver and {VARIABLE}, or set WARDIAN_ROOT to another"
            " directory",
        )
