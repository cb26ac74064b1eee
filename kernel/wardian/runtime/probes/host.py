"""What explains a refusal: the settings and surroundings of this host, read from /proc and /sys."""

from __future__ import annotations

import ctypes
import os
import platform
import pwd
import shutil
from contextlib import suppress
from pathlib import Path

from wardian.cgroups.delegation import own_groups
from wardian.cgroups.hierarchy import Hierarchy
from wardian.errors import WardianError
from wardian.linux import capabilities, namespaces
from wardian.linux.syscall import libc
from wardian.runtime import ids
from wardian.runtime.probes.attempt import attempt
from wardian.runtime.probes.finding import Host

# The magic numbers that statfs(2) gives.
FILE_SYSTEMS = {
    0xEF53: "ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0x01021994: "tmpfs",
    0x794C7630: "overlayfs",
    0x6969: "nfs",
    0x65735546: "fuse",
    0x2FC12FC1: "zfs",
    0xF2F52010: "f2fs",
    0x01021997: "9p",
    0x6A656A63: "virtiofs",
    0xCA451A4E: "bcachefs",
}
FIRST_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO of <linux/proc_ns.h>
MANAGERS = ("apt-get", "dnf", "zypper", "pacman", "apk")


def look(root: Path, proc: str = "/proc") -> Host:
    """Everything that the remedies ask of the host; ``root`` is the state directory."""
    status = _status(f"{proc}/self/status")
    hierarchy = Hierarchy.detect()
    return Host(
        release=os.uname().release,
        machine=platform.machine(),
        uid=os.geteuid(),
        login=_login(),
        root=str(root),
        root_filesystem=file_system(root),
        surroundings=_surroundings(),
        is_chrooted=is_chrooted(),
        has_seccomp_filter=status.get("Seccomp") == "2",
        has_no_new_privs=status.get("NoNewPrivs") == "1",
        max_user_namespaces=_setting(f"{proc}/sys/user/max_user_namespaces"),
        unprivileged_userns_clone=_setting(f"{proc}/sys/kernel/unprivileged_userns_clone"),
        apparmor_restrict_userns=_setting(
            f"{proc}/sys/kernel/apparmor_restrict_unprivileged_userns"
        ),
        covered_proc=tuple(covered_below_proc(Path(f"{proc}/self/mountinfo"))),
        cgroup_version=hierarchy.version.value,
        cgroup_why_not=hierarchy.why_not,
        cgroup=own_groups(proc).get("", "/"),
        owns_ids=_owns_ids(),
        capabilities=capabilities.effective(),
        package_manager=next((name for name in MANAGERS if shutil.which(name)), ""),
    )


def file_system(path: Path) -> str:
    """The name of the file system that a path, or its nearest parent that exists, lies on."""
    while not path.exists() and path != path.parent:
        path = path.parent
    buffer = (ctypes.c_long * 32)()
    if libc.statfs(os.fsencode(path), buffer) < 0:
        return "unknown"
    kind = buffer[0] & 0xFFFFFFFF
    return FILE_SYSTEMS.get(kind, f"unknown ({kind:#x})")


def _status(path: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in Path(path).read_text().splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _setting(path: str) -> int | None:
    with suppress(OSError, ValueError):
        return int(Path(path).read_text())
    return None


def _owns_ids() -> bool:
    with suppress(WardianError, OSError):
        return ids.choose(()).shifts_layers
    return False


def _login() -> str:
    with suppress(KeyError):
        return pwd.getpwuid(os.geteuid()).pw_name
    return str(os.geteuid())


def _surroundings() -> str:
    """Which container we are in, if any, by the marks that runtimes leave.

    A machine that was made from an image has the marks, too, but the first PID namespace.
    """
    if os.stat("/proc/self/ns/pid").st_ino == FIRST_PID_NAMESPACE:
        return "host"
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    if os.path.exists("/.dockerenv"):
        return "docker"
    if os.path.exists("/run/.containerenv"):
        return "podman"
    with suppress(OSError):
        if Path("/proc/1/comm").read_text().strip() == "wardian-init":
            return "container"
    with suppress(OSError):
        if b"container=" in Path("/proc/1/environ").read_bytes():
            return "container"
    return "host"


def is_chrooted() -> bool:
    """Whether our root is not the mount namespace's own, so that no user namespace can be made.

    Root finds out by setns(2) to its own mount namespace, which moves it to the real root. Others
    see it when ``/`` is no mount point; a chroot onto one they cannot tell.
    """
    if os.geteuid() == 0:
        result = attempt(_compare_roots)
        if result.works:
            return result.detail == "chroot"
    return not any(line.split()[4] == "/" for line in _mountinfo(Path("/proc/self/mountinfo")))


def _compare_roots() -> str:
    before = _mount_id("/")
    fd = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    namespaces.setns(fd, namespaces.CLONE_NEWNS)
    return "same" if _mount_id("/") == before else "chroot"


def _mount_id(path: str) -> tuple[str, int]:
    """The id of the mount that a path is on (proc(5), fdinfo), and the inode there."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        text = Path(f"/proc/self/fdinfo/{fd}").read_text()
        fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        return fields["mnt_id"], os.fstat(fd).st_ino
    finally:
        os.close(fd)


def _mountinfo(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def covered_below_proc(mountinfo: Path) -> list[str]:
    """Mounts that hide parts of /proc: with them the kernel refuses a fresh one."""
    points = (line.split()[4] for line in _mountinfo(mountinfo))
    return sorted({point for point in points if point.startswith("/proc/")} - _HARMLESS)


# mount_too_revealing() lets mounts on empty directories pass (fs/namespace.c).
_HARMLESS = frozenset({"/proc/sys/fs/binfmt_misc", "/proc/fs/nfsd"})
