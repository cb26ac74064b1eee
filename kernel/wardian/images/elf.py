"""Which shared libraries an ELF program needs, read from its headers.

ldd(1) would run the program's loader, which is code of a file that we do not trust.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import msgspec

DEFAULT_DIRECTORIES = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")
_LIB_NAMES = ("lib64", "lib", "lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu")  # for $LIB


class Dynamic(msgspec.Struct, frozen=True):
    """What a program's dynamic section asks for (elf(5)); all empty for a static one."""

    interpreter: str | None
    needed: tuple[str, ...]
    runpath: tuple[str, ...]
    rpath: tuple[str, ...]

    @classmethod
    def from_file(cls, path: Path) -> Dynamic | None:
        """Read a file's headers; None if it is no ELF file."""
        from elftools.common.exceptions import ELFError, ELFParseError
        from elftools.elf.elffile import ELFFile

        with open(path, "rb") as file:
            if file.read(4) != b"\x7fELF":
                return None
            try:
                return cls._from_elf(ELFFile(file))
            except (ELFError, ELFParseError, UnicodeDecodeError, ValueError):
                return None

    @classmethod
    def _from_elf(cls, elf: object) -> Dynamic:
        from elftools.elf.dynamic import DynamicSegment
        from elftools.elf.segments import InterpSegment

        interpreter: str | None = None
        found: dict[str, list[str]] = {"DT_NEEDED": [], "DT_RUNPATH": [], "DT_RPATH": []}
        for segment in elf.iter_segments():  # type: ignore[attr-defined]  # elftools has no types
            if isinstance(segment, InterpSegment):
                interpreter = segment.get_interp_name()
            elif isinstance(segment, DynamicSegment):
                for tag in segment.iter_tags():
                    if (values := found.get(tag.entry.d_tag)) is not None:
                        name = tag.entry.d_tag.removeprefix("DT_").lower()
                        values.append(getattr(tag, name))
        return cls(
            interpreter,
            tuple(found["DT_NEEDED"]),
            tuple(folder for text in found["DT_RUNPATH"] for folder in text.split(":") if folder),
            tuple(folder for text in found["DT_RPATH"] for folder in text.split(":") if folder),
        )

    @property
    def is_static(self) -> bool:
        """Whether it runs without a loader and libraries."""
        return self.interpreter is None and not self.needed


class _Needer(msgspec.Struct, frozen=True):
    """A file whose libraries are wanted, and the DT_RPATH of those that it is loaded for."""

    path: Path
    rpath: tuple[str, ...] = ()


def closure(programs: Iterable[Path]) -> dict[str, Path]:
    """Every library that these files need, directly or not, by soname, and their loader by path.

    The loader's key is its full path, because programs name it so. Libraries that cannot be found
    are left out: the host's own program would not start either.
    """
    found: dict[str, Path] = {}
    waiting = [_Needer(path) for path in programs]
    seen: set[Path] = set()
    while waiting:
        needer = waiting.pop()
        if needer.path in seen:
            continue
        seen.add(needer.path)
        dynamic = Dynamic.from_file(needer.path)
        if dynamic is None:
            continue
        if dynamic.interpreter and os.path.exists(dynamic.interpreter):
            found.setdefault(dynamic.interpreter, Path(dynamic.interpreter))
        search = _search_path(needer, dynamic)
        for soname in dynamic.needed:
            if soname not in found and (library := _find(soname, needer.path, search)):
                found[soname] = library
                waiting.append(_Needer(library, search.rpath))
    return found


class _Search(msgspec.Struct, frozen=True):
    """Where ld.so(8) looks before the usual directories."""

    own: tuple[str, ...]
    rpath: tuple[str, ...]  # what the libraries found inherit


def _search_path(needer: _Needer, dynamic: Dynamic) -> _Search:
    """DT_RPATH, also of the loading files, counts only for a file without DT_RUNPATH."""
    origin = os.path.dirname(os.path.realpath(needer.path))
    rpath = (*_expanded(dynamic.rpath, origin), *needer.rpath)
    own = tuple(_expanded(dynamic.runpath, origin)) if dynamic.runpath else rpath
    return _Search(own, rpath)


def _expanded(folders: Iterable[str], origin: str) -> Iterator[str]:
    """Replace ld.so(8)'s tokens; $LIB has several values, as it is the loader's own."""
    for folder in folders:
        text = folder.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)
        if "$LIB" in text or "${LIB}" in text:
            for name in _LIB_NAMES:
                yield text.replace("${LIB}", name).replace("$LIB", name)
        else:
            yield text


def _find(soname: str, needer: Path, search: _Search) -> Path | None:
    if "/" in soname:
        return Path(soname) if os.path.isfile(soname) else None
    wanted = _machine(needer)
    for folder in (*search.own, *_configured(), *DEFAULT_DIRECTORIES):
        candidate = Path(folder) / soname
        if candidate.is_file() and _machine(candidate) == wanted:
            return candidate
    return None


def _machine(path: Path) -> bytes | None:
    """Word size, byte order and machine: libraries of another are passed over (elf(5))."""
    with open(path, "rb") as file:
        header = file.read(20)
    return header[4:6] + header[18:20] if header.startswith(b"\x7fELF") else None


@cache
def _configured() -> tuple[str, ...]:
    """The directories of /etc/ld.so.conf."""
    return tuple(_read_conf("/etc/ld.so.conf"))


def _read_conf(path: str, depth: int = 0) -> Iterator[str]:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return
    for line in (raw.partition("#")[0].strip() for raw in lines):
        if line.startswith("include "):
            pattern = os.path.join(os.path.dirname(path), line.split(None, 1)[1])
            for included in sorted(glob.glob(pattern)) if depth < 8 else ():
                yield from _read_conf(included, depth + 1)
        elif line:
            yield line
