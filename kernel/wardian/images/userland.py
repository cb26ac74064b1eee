"""What goes into the embedded images, and where.

Only what is named here is read from the host: programs, the libraries that they need, data that
is everybody's. Users, passwords, keys and settings of the host are not.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from wardian.images.elf import DEFAULT_DIRECTORIES, closure
from wardian.images.host import os_release, python_library
from wardian.images.ingest import Ingest
from wardian.images.rootfs import RootTree

FOLDERS = (
    *("dev", "etc", "home", "mnt", "opt", "proc", "run", "srv", "sys"),
    *("usr/bin", "usr/lib", "usr/sbin", "usr/share", "usr/local/bin", "usr/local/lib"),
    *("var/cache", "var/lib", "var/log"),
)
# Loaded by name while a program runs, so that no header mentions them.
LOADED_BY_NAME = ("libnss_files.so.2", "libnss_dns.so.2", "libgcc_s.so.1", "libresolv.so.2")
LOADED_BY_PATH = ("/usr/libexec/coreutils/libstdbuf.so",)
TERMINALS = (
    *("a/ansi", "d/dumb", "l/linux", "s/screen", "t/tmux-256color", "v/vt100"),
    *("x/xterm", "x/xterm-color", "x/xterm-256color"),
)
TERMINFO = ("/usr/lib/terminfo", "/lib/terminfo", "/usr/share/terminfo", "/etc/terminfo")
LOCALES = ("/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8")
DATA = ("/etc/protocols", "/etc/services", "/usr/share/iproute2", "/etc/iproute2")
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# Of the standard library: tests, and what has no use without packages that are not here.
SKIPPED_OF_PYTHON = frozenset(
    {
        *("__pycache__", "__phello__", "test", "tests", "idlelib", "turtledemo", "lib2to3"),
        *("ensurepip", "tkinter", "pydoc_data", "dist-packages", "site-packages"),
        *("sitecustomize.py", "EXTERNALLY-MANAGED"),
    }
)
SKIPPED_PREFIXES_OF_PYTHON = ("config-", "_test", "_ctypes_test", "_xxtest", "xxlimited")

USERS = """\
root:x:0:0:root:/root:{shell}
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
"""
GROUPS = "root:x:0:\ntty:x:5:\nstaff:x:50:\nusers:x:100:\nnogroup:x:65534:\n"
NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"
HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
PROFILE = r"""PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
if [ "$BASH" ]; then . /etc/bash.bashrc; else PS1='$ '; fi
"""
BASHRC = r"""[ -z "$PS1" ] && return
PS1='\u@\h:\w\$ '
alias ls='ls --color=auto'
"""
SH_PROFILE = "PS1='\\u@\\h:\\w\\$ '\n"  # busybox's ash knows bash's escapes


def lay_out(ingest: Ingest, programs: Mapping[str, Path], python: Path | None) -> RootTree:
    """The tree of ``wardian/base``."""
    tree = RootTree(ingest)
    _make_folders(tree)
    for path in programs.values():
        _add_program(tree, path)
    extensions = _add_python(tree, python) if python else []
    by_path = [Path(name) for name in LOADED_BY_PATH if os.path.exists(name)]
    for path in by_path:
        tree.copy(path)
    _add_libraries(tree, [*programs.values(), *extensions, *by_path])
    _add_data(tree)
    _write_etc(tree, "/bin/bash" if "bash" in programs else "/bin/sh", "base")
    tree.write("/etc/profile", PROFILE)
    tree.write("/etc/bash.bashrc", BASHRC)
    tree.write("/root/.bashrc", ". /etc/bash.bashrc\n")
    tree.write("/root/.profile", "")
    tree.make_directory("root", 0o700)
    return tree


def lay_out_busybox(ingest: Ingest, busybox: Path, applets: Iterable[str]) -> RootTree:
    """The tree of ``wardian/busybox``."""
    tree = RootTree(ingest)
    for folder in ("bin", "dev", "etc", "home", "proc", "sys", "var"):
        tree.make_directory(folder)
    _make_private_folders(tree)
    tree.copy(busybox, "/bin/busybox")
    for applet in applets:
        tree.link(f"/bin/{applet}", "busybox")
    _write_etc(tree, "/bin/sh", "busybox")
    tree.write("/etc/profile", SH_PROFILE)
    return tree


def _make_folders(tree: RootTree) -> None:
    """The usual ones; /bin, /sbin and /lib* are links into /usr where the host has so."""
    for folder in FOLDERS:
        tree.make_directory(folder)
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        if os.path.islink(f"/{name}"):
            target = os.readlink(f"/{name}")
            tree.make_directory("/" + target.lstrip("/"))
            tree.link(f"/{name}", target)
        elif os.path.isdir(f"/{name}"):
            tree.make_directory(name)
    tree.link("/var/run", "/run")
    _make_private_folders(tree)


def _make_private_folders(tree: RootTree) -> None:
    tree.make_directory("tmp", 0o1777)
    tree.make_directory("var/tmp", 0o1777)
    tree.make_directory("root", 0o700)


def _add_program(tree: RootTree, path: Path) -> None:
    """A program where the host has it; a link to it leads there directly (no alternatives)."""
    real = path.resolve()
    tree.copy(real)
    if real != path:
        tree.link(str(path), real.name if real.parent == path.parent else str(real))


# --- libraries -------------------------------------------------------------------------------


def _add_libraries(tree: RootTree, programs: Iterable[Path]) -> None:
    """Each library where the loader looks for it: the image has no cache of the loader's."""
    libraries = closure(path.resolve() for path in programs)
    usual = {os.path.realpath(folder) for folder in DEFAULT_DIRECTORIES}
    if libc := libraries.get("libc.so.6"):
        usual.add(os.path.realpath(libc.parent))
    for name, path in libraries.items():
        place = Path(os.path.realpath(path.parent)) / path.name
        tree.copy(path.resolve(), str(place))
        if not name.startswith("/") and libc and str(place.parent) not in usual:
            # Found by the host's /etc/ld.so.conf; at its own place for those with a run path.
            tree.link(f"{os.path.realpath(libc.parent)}/{name}", str(place))
    for folder in {os.path.realpath(path.parent) for path in libraries.values()}:
        for name in LOADED_BY_NAME:
            if os.path.exists(f"{folder}/{name}"):
                tree.copy(Path(folder, name).resolve(), f"{folder}/{name}")


# --- Python ----------------------------------------------------------------------------------


def _is_skipped(name: str) -> bool:
    return name in SKIPPED_OF_PYTHON or name.startswith(SKIPPED_PREFIXES_OF_PYTHON)


def _add_python(tree: RootTree, python: Path) -> list[Path]:
    """The interpreter and its standard library; its extension modules, for their libraries."""
    tree.copy(python)
    for name in ("python3", "python"):
        tree.link(f"/usr/bin/{name}", python.name)
    library = python_library(python)
    tree.copy_tree(str(library), _is_skipped)
    for source in tree.path(str(library)).rglob("*.py"):
        _add_bytecode(tree, library / source.relative_to(tree.path(str(library))))
    tree.make_directory(f"/usr/local/lib/{python.name}/dist-packages")
    copied = tree.path(str(library / "lib-dynload")).glob("*.so")
    return sorted(library / "lib-dynload" / path.name for path in copied)


def _add_bytecode(tree: RootTree, source: Path) -> None:
    """The host's compiled module, if it is that of this source.

    Without it the first import of each module would write one into the container's upper layer.
    Its header names the source's time and size (PEP 552); here all times are 0.
    """
    for compiled in source.parent.glob(f"__pycache__/{source.stem}.cpython-*.pyc"):
        if compiled.stem.count(".") != source.stem.count(".") + 1:
            continue  # .opt-1, .opt-2
        with suppress(OSError):
            data, status = compiled.read_bytes(), source.stat()
            said = (data[4:8], data[8:12], data[12:16])
            is_fresh = said == (bytes(4), _word(int(status.st_mtime)), _word(status.st_size))
            if is_fresh:
                tree.write(str(compiled), data[:8] + bytes(4) + data[12:])


def _word(number: int) -> bytes:
    return (number & 0xFFFFFFFF).to_bytes(4, "little")


# --- data ------------------------------------------------------------------------------------


def _add_data(tree: RootTree) -> None:
    for name in TERMINALS:
        if path := _first_file(f"{folder}/{name}" for folder in TERMINFO):
            tree.copy(path, f"/usr/share/terminfo/{name}")
    for folder in LOCALES:
        if os.path.isdir(folder):
            tree.copy_tree(folder, lambda _: False)
    for name in DATA:
        if os.path.isdir(name):
            tree.copy_tree(name, lambda name: name.endswith(".d"))
        elif os.path.isfile(name):
            tree.copy(Path(name))
    if os.path.isfile(CERTIFICATES):
        tree.copy(Path(CERTIFICATES))
        tree.link("/usr/lib/ssl/cert.pem", CERTIFICATES)  # where Debian's OpenSSL looks
    if path := _first_file(["/usr/share/zoneinfo/Etc/UTC"]):
        tree.copy(path, "/usr/share/zoneinfo/Etc/UTC")
        tree.link("/etc/localtime", "/usr/share/zoneinfo/Etc/UTC")


def _first_file(names: Iterable[str]) -> Path | None:
    """The first that is there, as the file that it leads to."""
    return next((Path(os.path.realpath(name)) for name in names if os.path.isfile(name)), None)


def _write_etc(tree: RootTree, shell: str, variant: str) -> None:
    release = os_release()
    tree.write("/etc/passwd", USERS.format(shell=shell))
    tree.write("/etc/group", GROUPS)
    tree.write("/etc/nsswitch.conf", NSSWITCH)
    tree.write("/etc/hosts", HOSTS)
    tree.write("/etc/shells", f"/bin/sh\n{shell}\n" if shell != "/bin/sh" else "/bin/sh\n")
    tree.write(
        "/etc/os-release",
        f'NAME="Wardian"\n'
        f'PRETTY_NAME="Wardian {variant} (made from {release.get("PRETTY_NAME", "this host")})"\n'
        f"ID=wardian\nID_LIKE={release.get('ID', 'linux')}\nVARIANT_ID={variant}\n",
    )
