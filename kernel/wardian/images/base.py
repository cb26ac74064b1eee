"""The embedded images: made on first use from the host's own programs, offline.

``wardian/base`` is a small GNU user land, ``wardian/busybox`` one static program,
``wardian/scratch`` nothing at all. On the same host the same digest comes out every time.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wardian.errors import NotFound, SetupError
from wardian.images.elf import Dynamic, closure
from wardian.images.rootfs import RootTree
from wardian.images.store import Image, ImageStore

RECIPE = "1"
FINGERPRINT = "org.wardian.image.fingerprint"
MISSING = "org.wardian.image.missing"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
EPOCH = "1970-01-01T00:00:00Z"

PROGRAMS = """
    bash sh [ arch awk b2sum base32 base64 basename cat chgrp chmod chown cksum clear cmp comm cp
    csplit cut date dd df diff dir dircolors dirname du echo env expand expr factor false find fmt
    fold free getopt grep egrep fgrep groups gunzip gzip head hostid hostname id install ip ipcs
    join kill less ln logname ls lsns md5sum mkdir mkfifo mknod mktemp more mount mountpoint mv
    nice nl nohup nproc nsenter numfmt od paste pathchk pgrep pidof pidwait pivot_root pkill pmap
    pr printenv printf prlimit ps pwd readlink realpath rev rm rmdir sed seq setpriv setsid
    sha1sum sha256sum sha512sum shred shuf sleep slabtop sort split ss stat stdbuf stty sum sync
    sysctl tac tail tar taskset tee test timeout top touch tr true truncate tsort tty umount uname
    unexpand uniq unlink unshare uptime users vmstat watch wc which who whoami xargs yes zcat
    capsh getcap getpcaps setcap chroot findmnt flock ionice lscpu lsof losetup strings xz bzip2
    file tree bc ping nano vi python3
""".split()  # noqa: SIM905  # a hundred quoted names are harder to read
# Read at run time by name, so no header mentions them.
LOADED_BY_NAME = ("libnss_files.so.2", "libgcc_s.so.1", "libnss_dns.so.2", "libresolv.so.2")
TERMINALS = ("x/xterm", "x/xterm-256color", "x/xterm-color", "l/linux", "d/dumb", "v/vt100")
SKIPPED_PYTHON = frozenset(
    {
        "__pycache__",
        "test",
        "tests",
        "idlelib",
        "turtledemo",
        "ensurepip",
        "lib2to3",
        "tkinter",
        "dist-packages",
        "site-packages",
        "pydoc_data",
        "sitecustomize.py",
        "EXTERNALLY-MANAGED",
    }
)


def ensure_base(store: ImageStore) -> Image:
    """``wardian/base``: bash, coreutils, procps, iproute2, util-linux …, python3 if it is there."""
    found = {name: path for name in PROGRAMS if (path := _on_host(name))}
    if "bash" not in found and "sh" not in found:
        raise SetupError("the host has no shell to make wardian/base from", hint="install bash")
    python = _system_python(found.pop("python3", None))
    inputs = [*found.values(), *([python] if python else [])]
    fingerprint = _fingerprint(inputs)
    if (image := _unchanged(store, "wardian/base", fingerprint)) is not None:
        return image
    with store.scratch() as scratch:
        tree = RootTree(scratch)
        _lay_out(tree)
        for name, path in sorted(found.items()):
            _add_program(tree, name, path)
        extensions = _add_python(tree, python) if python else []
        _add_libraries(tree, [*found.values(), *inputs, *extensions])
        _add_data(tree)
        _write_etc(tree, "Wardian base", "base")
        missing = sorted(set(PROGRAMS) - set(found) - ({"python3"} if python else set()))
        labels = {FINGERPRINT: fingerprint, MISSING: " ".join(missing)}
        config = _config(["bash"], labels, "made from the host's programs")
        return store.put("wardian/base", config, [tree.seal()])


def ensure_busybox(store: ImageStore) -> Image:
    """``wardian/busybox``: a static busybox and its applets; SetupError if the host has none."""
    busybox = next((p for p in (_on_host("busybox"),) if p and _is_static(p)), None)
    if busybox is None:
        raise SetupError("the host has no static busybox", hint="apt-get install busybox-static")
    fingerprint = _fingerprint([busybox])
    if (image := _unchanged(store, "wardian/busybox", fingerprint)) is not None:
        return image
    with store.scratch() as scratch:
        tree = RootTree(scratch)
        for folder in ("bin", "etc", "root", "tmp", "var/tmp", "home"):
            tree.make_directory(folder)
        tree.make_directory("tmp", 0o1777)
        tree.make_directory("root", 0o700)
        tree.copy(busybox, "/bin/busybox")
        for applet in _applets(busybox):
            tree.link(f"/bin/{applet}", "busybox")
        _write_etc(tree, "Wardian busybox", "busybox")
        config = _config(["sh"], {FINGERPRINT: fingerprint}, "made from the host's static busybox")
        return store.put("wardian/busybox", config, [tree.seal()])


def ensure_scratch(store: ImageStore) -> Image:
    """``wardian/scratch``: no file at all."""
    if (image := _unchanged(store, "wardian/scratch", RECIPE)) is not None:
        return image
    with store.scratch() as scratch:
        config = _config([], {FINGERPRINT: RECIPE}, "empty")
        return store.put("wardian/scratch", config, [RootTree(scratch).seal()])


MAKERS: dict[str, Callable[[ImageStore], Image]] = {
    "wardian/base": ensure_base,
    "wardian/busybox": ensure_busybox,
    "wardian/scratch": ensure_scratch,
}


# --- what is on the host ---------------------------------------------------------------------


def _on_host(name: str) -> Path | None:
    found = shutil.which(name, path=PATH)
    return Path(found) if found else None


def _system_python(path: Path | None) -> Path | None:
    """The distribution's own python3, whose library lies below /usr/lib."""
    if path is None:
        return None
    real = path.resolve()
    return real if (Path("/usr/lib") / real.name).is_dir() else None


def _is_static(path: Path) -> bool:
    dynamic = Dynamic.from_file(path)
    return dynamic is not None and dynamic.is_static


def _fingerprint(inputs: list[Path]) -> str:
    """Changes when a program does: names, sizes and times, not contents, as it is asked often."""
    facts: list[object] = [RECIPE, platform.machine(), sys.byteorder]
    for path in sorted(inputs):
        status = path.stat()
        facts.append((str(path), status.st_size, status.st_mtime_ns))
    facts += [
        (name, os.stat(name).st_mtime_ns)
        for name in ("/etc/ld.so.cache", "/etc/os-release")
        if os.path.exists(name)
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _unchanged(store: ImageStore, reference: str, fingerprint: str) -> Image | None:
    try:
        image = store.get(reference)
    except NotFound:
        return None
    is_whole = all(directory.is_dir() for directory in image.layer_directories)
    return image if is_whole and image.labels.get(FINGERPRINT) == fingerprint else None


def _applets(busybox: Path) -> list[str]:
    """Busybox tells its own applets; it is a host program that we trust to run."""
    import subprocess

    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    return sorted(name for name in listed.stdout.split() if name != "busybox")


# --- what goes into the tree -----------------------------------------------------------------


def _lay_out(tree: RootTree) -> None:
    """The usual directories; /bin, /sbin and /lib* are links into /usr where the host has so."""
    for folder in (
        "etc",
        "home",
        "opt",
        "run",
        "srv",
        "usr/bin",
        "usr/lib",
        "usr/local/bin",
        "var/log",
    ):
        tree.make_directory(folder)
    for name in ("bin", "sbin", "lib", "lib64"):
        if os.path.islink(f"/{name}"):
            target = os.readlink(f"/{name}")
            tree.make_directory("/" + target.lstrip("/"))
            tree.link(f"/{name}", target)
        else:
            tree.make_directory(name)
    tree.make_directory("tmp", 0o1777)
    tree.make_directory("var/tmp", 0o1777)
    tree.make_directory("root", 0o700)


def _add_program(tree: RootTree, name: str, path: Path) -> None:
    """A program under its own name; where the name is a link, the file it leads to."""
    real = path.resolve()
    tree.copy(real)
    if real != path:
        tree.link(f"/usr/bin/{name}", str(real))


def _add_python(tree: RootTree, python: Path) -> list[Path]:
    """The interpreter and its standard library; its extension modules, for their libraries."""
    tree.copy(python)
    for name in ("python3", "python"):
        tree.link(f"/usr/bin/{name}", python.name)
    library = Path("/usr/lib") / python.name
    tree.copy_tree(library, str(library), SKIPPED_PYTHON)
    tree.make_directory(f"/usr/local/lib/{python.name}/dist-packages")
    return sorted((library / "lib-dynload").glob("*.so"))


def _add_libraries(tree: RootTree, programs: list[Path]) -> None:
    libraries = closure(path.resolve() for path in programs)
    for name, path in libraries.items():
        # Where the loader looks for it: under its own name, in the directory it was found in.
        inside = name if name.startswith("/") else str(path)
        tree.copy(
            path.resolve(),
            os.path.realpath(os.path.dirname(inside)) + "/" + os.path.basename(inside),
        )
    folders = {path.parent for path in libraries.values()}
    for name in LOADED_BY_NAME:
        for folder in folders:
            if (folder / name).exists():
                tree.copy((folder / name).resolve(), f"{folder.resolve()}/{name}")
    if os.path.exists("/etc/ld.so.cache"):
        tree.write(
            "/etc/ld.so.conf", "".join(f"{folder}\n" for folder in sorted(map(str, folders)))
        )


def _add_data(tree: RootTree) -> None:
    for name in TERMINALS:
        for folder in ("/usr/lib/terminfo", "/lib/terminfo", "/usr/share/terminfo"):
            if os.path.isfile(f"{folder}/{name}"):
                tree.copy(Path(os.path.realpath(f"{folder}/{name}")), f"/usr/share/terminfo/{name}")
                break
    for locale in ("/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8"):
        if os.path.isdir(locale):
            tree.copy_tree(Path(locale), locale, frozenset())
    if os.path.isfile("/etc/ssl/certs/ca-certificates.crt"):
        tree.copy(Path("/etc/ssl/certs/ca-certificates.crt"))
    if os.path.isfile("/usr/share/zoneinfo/Etc/UTC"):
        tree.copy(Path(os.path.realpath("/usr/share/zoneinfo/Etc/UTC")), "/etc/localtime")


def _write_etc(tree: RootTree, pretty_name: str, variant: str) -> None:
    shell = "/bin/bash" if variant == "base" else "/bin/sh"
    tree.write(
        "/etc/passwd",
        f"root:x:0:0:root:/root:{shell}\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    )
    tree.write("/etc/group", "root:x:0:\ntty:x:5:\nstaff:x:50:\nusers:x:100:\nnogroup:x:65534:\n")
    tree.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
    tree.write(
        "/etc/os-release",
        f'NAME="Wardian"\nPRETTY_NAME="{pretty_name} (made from {_distribution()})"\n'
        f"ID=wardian\nID_LIKE={_os_release().get('ID', 'linux')}\nVARIANT_ID={variant}\n",
    )
    tree.write("/etc/profile", f'export PATH="{PATH}"\nPS1="\\u@\\h:\\w\\$ "\n')
    if variant == "base":
        tree.write("/root/.bashrc", 'PS1="\\u@\\h:\\w\\$ "\nalias ls="ls --color=auto"\n')


def _distribution() -> str:
    return _os_release().get("PRETTY_NAME", "this host")


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _config(command: list[str], labels: dict[str, str], history: str) -> dict[str, Any]:
    """An image config (image-spec, config.md) in which nothing depends on when it was made."""
    machines = {"x86_64": "amd64", "aarch64": "arm64"}
    return {
        "created": EPOCH,
        "architecture": machines.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {
            "Env": [f"PATH={PATH}"],
            "Cmd": command or None,
            "WorkingDir": "/",
            "Labels": {"org.opencontainers.image.vendor": "Wardian", **labels},
        },
        "history": [{"created": EPOCH, "created_by": "wardian", "comment": history}],
    }
