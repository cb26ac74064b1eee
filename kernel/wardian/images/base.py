"""The embedded images: made on first use from the host's own programs, offline.

``wardian/base`` is a small GNU user land, ``wardian/debug`` the same with what finds faults,
``wardian/busybox`` one static program, ``wardian/scratch`` nothing at all. On the same host the
same digest comes out every time, and nothing is made again while the host's programs are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from wardian.errors import InvalidInput, NotFound, SetupError
from wardian.images.host import HostPrograms, fingerprint, os_release
from wardian.images.manifest import architecture
from wardian.images.store import Image, ImageStore

RECIPE = "2"
FINGERPRINT = "org.wardian.image.fingerprint"
MISSING = "org.wardian.image.missing"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
EPOCH = "1970-01-01T00:00:00Z"

_BY_PACKAGE = {
    "bash": "bash sh",
    "coreutils": """
        [ arch b2sum base32 base64 basename basenc cat chgrp chmod chown chroot cksum comm cp csplit
        cut date dd df dir dircolors dirname du echo env expand expr factor false fmt fold groups
        head hostid id install join link ln logname ls md5sum mkdir mkfifo mknod mktemp mv nice nl
        nohup nproc numfmt od paste pathchk pinky pr printenv printf ptx pwd readlink realpath rm
        rmdir seq sha1sum sha224sum sha256sum sha384sum sha512sum shred shuf sleep sort split stat
        stdbuf stty sum sync tac tail tee test timeout touch tr true truncate tsort tty uname
        unexpand uniq unlink users vdir wc who whoami yes
    """,
    "text": "awk cmp diff egrep fgrep find grep less more patch sed xargs",
    "archives": "bzip2 gunzip gzip tar unxz xz zcat zstd",
    "procps": """
        free kill pgrep pidof pidwait pkill pmap ps pwdx slabtop sysctl top uptime vmstat w watch
    """,
    "iproute2": "bridge ip ss tc",
    "network": "hostname ping",
    "util-linux": """
        blkid choom chrt column fallocate findmnt flock getopt hexdump ionice ipcmk ipcrm ipcs kill
        last logger losetup lsblk lscpu lsipc lslocks lsmem lsns mcookie mount mountpoint namei
        nsenter pivot_root prlimit renice rev script setarch setpriv setsid swapon taskset umount
        uuidgen unshare whereis
    """,
    "libc": "getconf getent iconv ldd locale",
    "terminal": "clear infocmp nano reset tput",
    "capabilities": "capsh getcap getpcaps setcap",
    "tools": "bc lsof make python3 tree which",
}
PROGRAMS = tuple(sorted({name for names in _BY_PACKAGE.values() for name in names.split()}))
# What one looks into other containers with: of these, too, whatever the host has.
_DEBUGGERS = """
    arping conntrack curl dig ethtool file host htop iperf3 jq ltrace mtr nc ncat nft nslookup
    openssl socat strace tcpdump tracepath traceroute vi wget whois
"""


def ensure_base(store: ImageStore) -> Image:
    """``wardian/base``: bash, coreutils, procps, iproute2, util-linux …, python3 if it is there."""
    return _ensure_user_land(store, "wardian/base", "Wardian base", PROGRAMS)


def ensure_debug(store: ImageStore) -> Image:
    """``wardian/debug``: the same and tcpdump, strace, dig … as far as the host has them."""
    return _ensure_user_land(
        store, "wardian/debug", "Wardian debug", tuple(sorted({*PROGRAMS, *_DEBUGGERS.split()}))
    )


def _ensure_user_land(store: ImageStore, name: str, title: str, wanted: tuple[str, ...]) -> Image:
    programs = HostPrograms()
    found = programs.find_all(wanted)
    python = programs.python()
    if python is None:
        found.pop("python3", None)
    stamp = fingerprint(RECIPE, [*found.values(), *([python] if python else [])])
    if (image := _unchanged(store, name, stamp)) is not None:
        return image
    if "sh" not in found:
        raise SetupError(f"the host has no shell to make {name} from", hint="install bash")
    from wardian.images.userland import lay_out

    with store.ingest() as ingest:
        tree = lay_out(ingest, found, python)
        labels = {
            FINGERPRINT: stamp,
            MISSING: " ".join(sorted(set(wanted) - set(found))),
            **_labels(title, f"made from the programs of {_distribution()}"),
        }
        config = _config(["bash"], labels, "programs and libraries of the host")
        return ingest.commit_image(name, config, [tree.seal()])


def ensure_busybox(store: ImageStore) -> Image:
    """``wardian/busybox``: a static busybox and its applets; SetupError if the host has none."""
    busybox = HostPrograms().find("busybox")
    stamp = fingerprint(RECIPE, [busybox] if busybox else [])
    if busybox and (image := _unchanged(store, "wardian/busybox", stamp)) is not None:
        return image
    if busybox is None or not _is_static(busybox):
        raise SetupError("the host has no static busybox", hint="apt-get install busybox-static")
    from wardian.images.userland import lay_out_busybox

    with store.ingest() as ingest:
        tree = lay_out_busybox(ingest, busybox, _applets(busybox))
        labels = {FINGERPRINT: stamp, **_labels("Wardian busybox", "one static program")}
        config = _config(["sh"], labels, "the host's static busybox")
        return ingest.commit_image("wardian/busybox", config, [tree.seal()])


def ensure_scratch(store: ImageStore) -> Image:
    """``wardian/scratch``: no file at all."""
    if (image := _unchanged(store, "wardian/scratch", RECIPE)) is not None:
        return image
    from wardian.images.rootfs import RootTree

    with store.ingest() as ingest:
        labels = {FINGERPRINT: RECIPE, **_labels("Wardian scratch", "no file at all")}
        config = _config([], labels, "empty")
        return ingest.commit_image("wardian/scratch", config, [RootTree(ingest).seal()])


MAKERS: dict[str, Callable[[ImageStore], Image]] = {
    "wardian/base": ensure_base,
    "wardian/debug": ensure_debug,
    "wardian/busybox": ensure_busybox,
    "wardian/scratch": ensure_scratch,
}


def _unchanged(store: ImageStore, reference: str, stamp: str) -> Image | None:
    """The image as it is in the store, if it is whole and was made from the same inputs."""
    try:
        image = store.get(reference)
    except (NotFound, InvalidInput):
        return None
    is_whole = all(directory.is_dir() for directory in image.layer_directories)
    return image if is_whole and image.labels.get(FINGERPRINT) == stamp else None


def _is_static(path: Path) -> bool:
    from wardian.images.elf import Dynamic

    dynamic = Dynamic.from_file(path)
    return dynamic is not None and dynamic.is_static


def _applets(busybox: Path) -> list[str]:
    """Busybox tells its own applets; it is a host program that we trust to run."""
    import subprocess

    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    return sorted(name for name in listed.stdout.split() if name != "busybox")


def _distribution() -> str:
    return os_release().get("PRETTY_NAME", "this host")


def _labels(title: str, description: str) -> dict[str, str]:
    return {
        "org.opencontainers.image.title": title,
        "org.opencontainers.image.description": description,
        "org.opencontainers.image.vendor": "Wardian",
    }


def _config(command: list[str], labels: dict[str, str], comment: str) -> dict[str, Any]:
    """An image config (image-spec, config.md) in which nothing depends on when it was made."""
    return {
        "created": EPOCH,
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "Env": [f"PATH={PATH}", "LANG=C.UTF-8"],
            "Cmd": command or None,
            "WorkingDir": "/",
            "Labels": labels,
        },
        "history": [{"created": EPOCH, "created_by": "wardian", "comment": comment}],
    }
