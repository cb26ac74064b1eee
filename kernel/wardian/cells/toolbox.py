"""Our own Python (and a shell) for containers whose image has none: the toolbox.

Built once per host environment as ``<state root>/toolbox/<fingerprint>`` and mounted read-only at
``/.wardian``: the interpreter, the shared libraries that it and its packages need, their loader,
bash and busybox, the runner. The standard library and the site directories are too large to copy
and are mounted from where they are.

The programs are copies whose loader (PT_INTERP, elf(5)) is the toolbox's, and that loader knows the
toolbox's ``lib`` as its only default directory and no cache. So nothing of the image is ever mixed
into our processes, no environment variable is needed that children would inherit, and
``sys.executable`` can be started like any program.
"""

from __future__ import annotations

import compileall
import errno
import hashlib
import os
import re
import shutil
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

import msgspec

from wardian.cells.environment import MOUNT_POINT
from wardian.errors import SetupError
from wardian.images.shared import shared_root
from wardian.runtime.spec import Bind

RECIPE = "2"
LOADER = f"{MOUNT_POINT}/lib/ld.so"
PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"
GUEST = Path(__file__).parent / "guest"
# Opened by libc by name.
LOADED_BY_NAME = ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2", "libgcc_s.so.1")
# Where there is no static busybox to take, some of the host's programs.
PROGRAMS = """
    basename cat chmod chown cp cut date dd df dirname du env expr false find grep head hostname id
    kill ln ls mkdir mktemp mv printf ps pwd readlink realpath rm rmdir sed seq sleep sort stat
    tail tee touch tr true uname uniq wc whoami xargs
""".split()  # noqa: SIM905  # half a hundred quoted names are harder to read


class Toolbox(msgspec.Struct, frozen=True):
    """A built toolbox: its directory, and what is mounted into it."""

    directory: Path
    stdlib: Path
    sites: tuple[Path, ...]

    @property
    def binds(self) -> tuple[Bind, ...]:
        """The mounts that a container needs, in this order."""
        return (
            Bind(source=str(self.directory), target=MOUNT_POINT),
            Bind(source=str(self.stdlib), target=f"{MOUNT_POINT}/stdlib"),
            *(
                Bind(source=str(folder), target=f"{MOUNT_POINT}/site/{number}")
                for number, folder in enumerate(self.sites)
            ),
        )


def toolbox_binds(root: Path) -> tuple[Bind, ...]:
    """The mounts of the toolbox in a state root, which is built if need be."""
    return ensure_toolbox(root).binds


def ensure_toolbox(root: Path) -> Toolbox:
    """The toolbox of this process's Python environment, built on first use."""
    interpreter = Path(os.path.realpath(sys.executable))
    stdlib = Path(sysconfig.get_path("stdlib"))
    sites = _sites()
    shells = [Path(path) for name in ("bash", "busybox") if (path := shutil.which(name))]
    fingerprint = _fingerprint([interpreter, stdlib, *sites, *shells, *sorted(GUEST.iterdir())])
    shared = shared_root(root)
    if shared and (shared / "toolbox" / fingerprint).is_dir():
        (root / "toolbox").mkdir(parents=True, exist_ok=True)  # tells that it was looked for
        root = shared
    toolbox = Toolbox(root / "toolbox" / fingerprint, stdlib, sites)
    if not toolbox.directory.is_dir():
        scratch = root / "toolbox" / f".{fingerprint}.{os.urandom(4).hex()}"
        try:
            _Builder(scratch, toolbox, interpreter).build()
            scratch.rename(toolbox.directory)
        except FileExistsError:  # somebody else was faster
            pass
        except OSError as error:
            if not toolbox.directory.is_dir():
                room = "set WARDIAN_ROOT to a directory with 100 MB of free space"
                raise SetupError(
                    f"cannot build the toolbox: {error.strerror} ({error.filename or scratch})",
                    hint=room if error.errno in (errno.ENOSPC, errno.EDQUOT) else "",
                ) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    if os.statvfs(toolbox.directory).f_flag & os.ST_NOEXEC:
        raise SetupError(
            "the state directory is mounted noexec: no interpreter can be started from it",
            hint="set WARDIAN_ROOT to a directory where programs may be executed",
        )
    return toolbox


def _sites() -> tuple[Path, ...]:
    """The directories of installed packages, first found first."""
    folders = [*site.getsitepackages()]
    if site.ENABLE_USER_SITE:
        folders.insert(0, site.getusersitepackages())
    return tuple(Path(folder) for folder in dict.fromkeys(folders) if os.path.isdir(folder))


def _fingerprint(paths: Iterable[Path]) -> str:
    """Another one whenever one of these files or directories was changed."""
    digest = hashlib.sha256(f"{RECIPE} {sys.version}".encode())
    for path in paths:
        status = path.stat()
        digest.update(f"\n{path} {status.st_mtime_ns} {status.st_size}".encode())
    return digest.hexdigest()[:16]


class _Builder:
    """Fills a directory with a toolbox."""

    def __init__(self, directory: Path, toolbox: Toolbox, interpreter: Path) -> None:
        self._directory = directory
        self._toolbox = toolbox
        self._interpreter = interpreter
        self._loader: Path | None = None

    def build(self) -> None:
        """Make everything."""
        for name in ("bin", "box", "stdlib", f"lib/{PYTHON}/site-packages"):
            (self._directory / name).mkdir(parents=True)
        for number in range(len(self._toolbox.sites)):
            (self._directory / "site" / str(number)).mkdir(parents=True)
        programs = {self._interpreter: "bin/python3"}
        if bash := shutil.which("bash"):
            programs[Path(bash)] = "bin/bash"
        programs.update(self._fill_box(has_bash=bash is not None))
        self._copy_libraries(programs)
        for program, place in programs.items():
            self._copy_program(program, place)
        self._link_python()
        self._copy_guest()

    def _fill_box(self, *, has_bash: bool) -> dict[Path, str]:
        """Busybox under all its names; without one, programs of the host, which are returned."""
        from wardian.images.elf import Dynamic

        box = self._directory / "box"
        busybox = shutil.which("busybox")
        dynamic = Dynamic.from_file(Path(busybox)) if busybox else None
        if busybox is not None and dynamic is not None and dynamic.is_static:
            shutil.copy(busybox, box / "busybox")
            names = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
            for name in names.stdout.split():
                if name != "busybox":
                    (box / name).symlink_to("busybox")
            return {}
        if has_bash:
            (box / "sh").symlink_to("../bin/bash")
        found = ((name, shutil.which(name)) for name in PROGRAMS)
        return {Path(os.path.realpath(path)): f"box/{name}" for name, path in found if path}

    def _copy_libraries(self, programs: Iterable[Path]) -> None:
        """What the programs and all extension modules need, but for what they have beside them."""
        from wardian.images.elf import closure

        homes = (self._toolbox.stdlib, *self._toolbox.sites)
        modules = [path for home in homes for path in _extension_modules(home)]
        for soname, path in closure([*programs, *modules]).items():
            if "/" in soname:
                self._loader = path
            elif not any(path.is_relative_to(home) for home in homes):
                _link(path, self._directory / "lib" / soname)
                self._copy_named_siblings(path.parent)
        if self._loader is not None:
            place = self._directory / "lib" / Path(LOADER).name
            place.write_bytes(at_home_in_toolbox(self._loader.read_bytes()))
            place.chmod(0o755)

    def _copy_named_siblings(self, folder: Path) -> None:
        for name in LOADED_BY_NAME:
            if (folder / name).exists():
                _link(folder / name, self._directory / "lib" / name)

    def _copy_program(self, program: Path, place: str) -> None:
        target = self._directory / place
        target.write_bytes(with_loader(program.read_bytes(), LOADER))
        target.chmod(0o755)

    def _link_python(self) -> None:
        """A prefix in which Python finds its library, and pip under its own name."""
        folder = self._directory / "bin"
        for name in ("python", PYTHON):
            (folder / name).symlink_to("python3")
        pip = folder / "pip"
        pip.write_text(
            f"#!{MOUNT_POINT}/bin/python3\nfrom runpy import run_module\n\n"
            'run_module("pip", run_name="__main__")\n'
        )
        pip.chmod(0o755)
        library = self._directory / "lib" / PYTHON
        for name in os.listdir(self._toolbox.stdlib):
            if name not in ("site-packages", "dist-packages", "EXTERNALLY-MANAGED"):
                (library / name).symlink_to(f"{MOUNT_POINT}/stdlib/{name}")
        lines = [
            f"import site; site.addsitedir({f'{MOUNT_POINT}/site/{number}'!r})\n"
            for number in range(len(self._toolbox.sites))
        ]
        (library / "site-packages" / "wardian.pth").write_text("".join(lines))
        (library / "dist-packages").symlink_to("site-packages")  # Debian's Python looks there

    def _copy_guest(self) -> None:
        guest = self._directory / "guest"
        shutil.copytree(GUEST, guest, ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(
            guest, quiet=2, stripdir=str(guest), prependdir=f"{MOUNT_POINT}/guest"
        )


def _link(source: Path, place: Path) -> None:
    """The same file under another name: its pages in memory are then shared with the host's."""
    source = Path(os.path.realpath(source))
    try:
        os.link(source, place)
    except FileExistsError:  # found by two names
        pass
    except OSError:  # another file system, or not ours to link (protected_hardlinks)
        shutil.copy(source, place)


def _extension_modules(home: Path) -> list[Path]:
    return [
        Path(folder) / name
        for folder, _, names in os.walk(home)
        for name in names
        if name.endswith(".so") or ".so." in name
    ]


def with_loader(program: bytes, loader: str) -> bytes:
    """A program with another loader's path in its PT_INTERP segment, which must have room."""
    from io import BytesIO

    from elftools.elf.elffile import ELFFile
    from elftools.elf.segments import InterpSegment

    for segment in ELFFile(BytesIO(program)).iter_segments():
        if isinstance(segment, InterpSegment):
            start, size = segment["p_offset"], segment["p_filesz"]
            if len(loader) >= size:
                raise SetupError(f"this host's loader has too short a path for {loader}")
            return program[:start] + loader.encode().ljust(size, b"\0") + program[start + size :]
    return program  # static


DEFAULT_DIRECTORY = re.compile(
    rb"(?<![\w./-])/(?:usr/)?lib(?:64|32)?/(?:[\w-]+-linux-gnu\w*/)?(?=\0)"
)
OUTSIDE_FILES = (b"/etc/ld.so.cache", b"/etc/ld.so.preload")


def at_home_in_toolbox(loader: bytes) -> bytes:
    """Glibc's loader with the toolbox's ``lib`` for its default directories.

    They are strings of fixed length in it (elf/rtld, ``system_dirs``), so a path is padded with
    ``./``; what is too short for ours becomes a directory that is not there.
    """

    def replace(match: re.Match[bytes]) -> bytes:
        size = len(match.group())
        ours = f"{MOUNT_POINT}/lib/".encode()
        if size < len(ours):
            return b"/." + b"-" * (size - 3) + b"/"
        padding = size - len(ours)
        return ours + b"/" * (padding % 2) + b"./" * (padding // 2)

    for path in OUTSIDE_FILES:
        ours = f"{MOUNT_POINT}/-".encode()
        loader = loader.replace(b"\0" + path + b"\0", b"\0" + ours.ljust(len(path), b"-") + b"\0")
    return DEFAULT_DIRECTORY.sub(replace, loader)
