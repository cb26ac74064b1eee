"""The directory of a notebook's plain cells: all that they can write to, and kept."""

from __future__ import annotations

import fcntl
import os
import shutil
import site
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from wardian.linux.clock import boot_id, since_boot_s

FOLDER, LOCK, TRANSIENT = "plain", "lock", "transient"
# Where semaphores and shared memory of POSIX are (shm_overview(7)): multiprocessing needs them.
SHARED_MEMORY = "/dev/shm"  # noqa: S108  # it has no other name
ABANDONED_S = 600.0  # a kernel that is restarted finds its files again
# What a program may need to know of this machine; nothing else of our environment reaches a cell.
KEPT = (
    *("PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV"),
    *("CONDA_PREFIX", "CONDA_DEFAULT_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)


def stamp(lock_fd: int) -> None:
    """Say in a lock when its directory was in use, by a clock that does not jump."""
    os.ftruncate(lock_fd, 0)
    os.pwrite(lock_fd, f"{boot_id()} {since_boot_s():.3f}".encode(), 0)


class Directory(msgspec.Struct, frozen=True):
    """A home and a place for temporary files, below the state directory ``root``."""

    root: Path
    owner: str

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.root / FOLDER / self.owner

    @property
    def home(self) -> Path:
        """Where cells begin, and what ``~`` is to them."""
        return self.path / "home"

    @property
    def temporary(self) -> Path:
        """What ``$TMPDIR`` is to them."""
        return self.path / "tmp"

    @property
    def may_share_memory(self) -> bool:
        """Whether the cells may write to `SHARED_MEMORY`: not if Wardian's own files are there."""
        return not self.root.is_relative_to(SHARED_MEMORY)

    def make(self, *, is_transient: bool) -> None:
        """Make it unless it is there; transient ones that nobody has any more are removed."""
        for folder in (self.path.parent, self.path, self.home, self.temporary):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if is_transient:
            (self.path / TRANSIENT).touch()
        for name in os.listdir(self.path.parent):
            other = Directory(self.root, name)
            if name != self.owner and (other.path / TRANSIENT).exists() and other.is_abandoned():
                other.discard()

    def is_abandoned(self) -> bool:
        """Whether no kernel holds it, nor did a while ago."""
        with suppress(OSError):
            fd = os.open(self.path / LOCK, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                boot, _, moment = os.pread(fd, 100, 0).decode("ascii", "replace").partition(" ")
                if boot == boot_id():
                    return since_boot_s() - float(moment) > ABANDONED_S
                stamp(fd)  # another machine's, or of before a restart: it counts from now on
            finally:
                os.close(fd)
        return False

    def discard(self) -> None:
        """Remove the files, whatever the cells have made of them."""
        for folder, names, _ in os.walk(self.path):
            for name in names:
                with suppress(OSError):
                    if not os.path.islink(path := os.path.join(folder, name)):
                        os.chmod(path, 0o700)
        shutil.rmtree(self.path, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """That of the cells, made anew, so that no token of ours is in it.

        pip is told that what is installed here is not for it to write to (``PIP_USER``).
        """
        kept = {name: value for name in KEPT if (value := os.environ.get(name))}
        locale = {name: value for name, value in os.environ.items() if name.startswith("LC_")}
        own = {"HOME": str(self.home), "TMPDIR": str(self.temporary)}
        if site.ENABLE_USER_SITE:  # it would be looked for in the new home
            paths = (kept.get("PYTHONPATH", ""), site.getusersitepackages())
            own["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        if sys.prefix == sys.base_prefix:
            own["PIP_USER"] = "1"
        return {**kept, **locale, **own}
