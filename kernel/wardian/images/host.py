"""The host as a source of programs: where they are, and whether they have changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

DIRECTORIES = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")  # what the distribution brought
_CHANGES_WITH_LIBRARIES = ("/etc/ld.so.cache", "/etc/os-release")


class HostPrograms:
    """The host's programs by name; each directory is listed once."""

    def __init__(self, directories: Iterable[str] = DIRECTORIES) -> None:
        self._paths: dict[str, str] = {}
        for real in dict.fromkeys(map(os.path.realpath, directories)):
            if os.path.isdir(real):
                for name in os.listdir(real):
                    self._paths.setdefault(name, f"{real}/{name}")

    def find(self, name: str) -> Path | None:
        """A program that we may read and run; None if there is none."""
        path = self._paths.get(name)
        if path is None or not os.path.isfile(path) or not os.access(path, os.R_OK | os.X_OK):
            return None
        return Path(path)

    def find_all(self, names: Iterable[str]) -> dict[str, Path]:
        """Those of the names that there are."""
        return {name: path for name in sorted(names) if (path := self.find(name))}

    def python(self) -> Path | None:
        """The distribution's own python3, whose library lies below /usr/lib; None without."""
        path = self.find("python3")
        if path is None:
            return None
        real = path.resolve()
        return real if python_library(real).is_dir() else None


def python_library(python: Path) -> Path:
    """Where the standard library of a distribution's interpreter lies."""
    return Path("/usr/lib") / python.name


def fingerprint(recipe: str, inputs: Iterable[Path]) -> str:
    """Changes when an input does: by names, sizes and times, as it is asked at each start.

    A library that is replaced shows by the loader's cache, which is renewed with it.
    """
    facts: list[object] = [recipe, os.uname().machine]
    for path in (*sorted(map(str, inputs)), *_CHANGES_WITH_LIBRARIES):
        with suppress(FileNotFoundError):
            status = os.stat(path)
            facts.append((path, status.st_size, status.st_mtime_ns))
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def os_release() -> dict[str, str]:
    """What the host's distribution says of itself (os-release(5))."""
    import platform

    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}
