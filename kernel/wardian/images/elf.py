"""Which shared libraries an ELF program needs, read from its headers.

ldd(1) would run the program's loader, which is code of a file that we do not trust.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

DEFAULT_DIRECTORIES = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")


@dataclass(frozen=True, slots=True)
class Dynamic:
    """What a program's dynamic section asks for (elf(5)); all empty for a static one."""

    interpreter: str | None
    needed: tuple[str, ...]
    runpath: tuple[str, ...]
    machine: str

    @classmethod
    def from_file(cls, path: Path) -> Dynamic | None:
        """Read a file's headers; None if it is no ELF file."""
        from elftools.common.exceptions import ELFError
        from elftools.elf.dynamic import DynamicSegment
        from elftools.elf.elffile import ELFFile
        from elftools.elf.segments import InterpSegment

        with open(path, "rb") as file:
            if file.read(4) != b"\x7fELF":
                return None
            try:
                elf = ELFFile(file)
                interpreter: str | None = None
                needed: list[str] = []
                runpath: list[str] = []
                for segment in elf.iter_segments():
                    if isinstance(segment, InterpSegment):
                        interpreter = segment.get_interp_name()
                    elif isinstance(segment, DynamicSegment):
                        for tag in segment.iter_tags():
                            # The attribute is there or not by the tag's kind.
                            needed += [name] if (name := getattr(tag, "needed", "")) else []
                            paths = getattr(tag, "runpath", "") or getattr(tag, "rpath", "")
                            runpath += paths.split(":") if paths else []
                return cls(interpreter, tuple(needed), tuple(runpath), elf["e_machine"])
            except ELFError:
                return None

    @property
    def is_static(self) -> bool:
        """Whether it runs without a loader and libraries."""
        return self.interpreter is None and not self.needed


def closure(programs: Iterable[Path]) -> dict[str, Path]:
    """Every library that these files need, directly or not, by soname, and their loader by path.

    The loader's key is its full path, because programs name it so. Libraries that cannot be found
    are left out: the host's own program would not start either.
    """
    found: dict[str, Path] = {}
    waiting = list(programs)
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        dynamic = Dynamic.from_file(path)
        if dynamic is None:
            continue
        if dynamic.interpreter and dynamic.interpreter not in found:
            loader = Path(dynamic.interpreter)
            if loader.exists():
                found[dynamic.interpreter] = loader
        for soname in dynamic.needed:
            if soname not in found and (library := _find(soname, path, dynamic)):
                found[soname] = library
                waiting.append(library)
    return found


def _find(soname: str, needer: Path, dynamic: Dynamic) -> Path | None:
    """ld.so(8)'s search: run path, then the configured and the usual directories."""
    origin = os.path.dirname(os.path.realpath(needer))
    runpath = [
        folder.replace("$ORIGIN", origin).replace("${ORIGIN}", origin) for folder in dynamic.runpath
    ]
    for folder in (*runpath, *_configured(), *DEFAULT_DIRECTORIES):
        candidate = Path(folder) / soname
        if candidate.is_file():
            other = Dynamic.from_file(candidate)
            if other is not None and other.machine == dynamic.machine:
                return candidate
    return None


@cache
def _configured() -> tuple[str, ...]:
    """The directories of /etc/ld.so.conf."""
    return tuple(_read_conf("/etc/ld.so.conf"))


def _read_conf(path: str) -> Iterator[str]:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return
    for line in (raw.partition("#")[0].strip() for raw in lines):
        if line.startswith("include "):
            pattern = os.path.join(os.path.dirname(path), line.split(None, 1)[1])
            for included in sorted(glob.glob(pattern)):
                yield from _read_conf(included)
        elif line:
            yield line
