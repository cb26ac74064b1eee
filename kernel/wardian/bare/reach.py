"""Which files the cells' processes may reach where there is no root of their own.

Landlock's rules only allow, and what they allow counts for all beneath. So a directory that is to
be left out is left out by allowing its neighbours, level by level.
"""

from __future__ import annotations

import os
import site
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from wardian.bare.directory import SHARED_MEMORY, Directory

# Nothing runs without these; what else is in /dev is only looked at.
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")
TERMINALS = ("/dev/ptmx", "/dev/pts")
# Service accounts of a pod, sockets of a login session, temporary files of others.
PRIVATE = ("/run/secrets", "/var/run/secrets", "/run/user", "/tmp", "/var/tmp", SHARED_MEMORY)  # noqa: S108  # left out


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Directories (and files) by what may be done there; ``hidden`` ones are not read.

    A ``readable`` one is read though it lies in a hidden one.
    """

    writable: tuple[str, ...]
    readable: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()

    @classmethod
    def of_cells(cls, directory: Directory, environment: Mapping[str, str] = os.environ) -> Reach:
        """That of a notebook's cells.

        The user's home is hidden, as it holds keys and Jupyter's tokens, but for our interpreter.
        """
        home = os.path.expanduser("~")
        hidden = [*PRIVATE, home, str(directory.root), tempfile.gettempdir()]
        hidden += [path for name in _PLACES if (path := environment.get(name))]
        real = tuple(dict.fromkeys(os.path.realpath(path) for path in hidden))
        writable = [str(directory.home), str(directory.temporary), *DEVICES, *TERMINALS]
        if directory.may_share_memory:
            writable.append(SHARED_MEMORY)
        return cls(
            writable=tuple(writable),
            readable=tuple(path for path in _interpreter(environment) if not _opens(path, real)),
            hidden=tuple(path for path in real if path != "/"),
        )


# What else may hold keys, tokens and what others have written down (jupyter --paths).
_PLACES = (
    *("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"),
    *("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"),
)


def _interpreter(environment: Mapping[str, str]) -> Iterator[str]:
    """What this Python is made of, wherever it lies; not the directory that it was started in."""
    package = Path(__file__).parents[1]
    yield from (sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib"), str(package))
    yield os.path.dirname(os.path.realpath(sys.executable))
    yield from site.getsitepackages()
    if site.ENABLE_USER_SITE:
        yield site.getusersitepackages()
    yield from filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))


def _opens(path: str, hidden: Iterable[str]) -> bool:
    """Whether to allow this would allow a hidden directory, too."""
    real = Path(os.path.realpath(path))
    return any(Path(one).is_relative_to(real) for one in hidden)


def beneath(top: str, hidden: Iterable[str]) -> Iterator[str]:
    """What covers a directory but for the hidden ones: itself, or its entries, level by level."""
    inside = [one for one in hidden if Path(one).is_relative_to(top)]
    if not inside:
        yield top
    elif top not in inside:
        with suppress(OSError):
            for entry in os.scandir(top):
                if not entry.is_symlink():  # what it leads to is found by its own path
                    yield from beneath(entry.path, inside)
