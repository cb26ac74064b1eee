"""/proc, /dev and /sys of a container, built on a scratch tmpfs before its image is known.

Nothing here touches the image, so plain paths are safe; `rootfs` later moves the three trees into
the container's root. It all runs in the child that becomes init, root of its user namespace.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from wardian.errors import KernelRefused, SetupError
from wardian.linux import mount as mnt
from wardian.runtime import messages as m
from wardian.runtime import sysctls

TREES = ("proc", "dev", "sys")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
DEVICE_LINKS = {
    "ptmx": "pts/ptmx",
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}
# The paths that docker and podman hide or write-protect (moby oci/defaults.go names them).
MASKED = (
    "proc/acpi",
    "proc/asound",
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/scsi",
    "proc/timer_list",
    "proc/timer_stats",
    "sys/firmware",
    "sys/devices/virtual/powercap",
)
READ_ONLY = ("proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger")
SHM_BYTES = 64 << 20
SAFE = mnt.MS_NOSUID | mnt.MS_NODEV | mnt.MS_NOEXEC
NULL_DEVICE = os.makedev(1, 3)


def build(order: m.Furnish) -> tuple[str, ...]:
    """Make the trees in the working directory; what had to be borrowed, for people."""
    _check_null_device()
    for name in TREES:
        os.mkdir(name, 0o755)
    borrowed = _build_proc()
    sysctls.write("proc/sys", order.sysctls)
    _build_dev(has_tty_group=order.has_tty_group)
    if order.own_network:
        borrowed += _build_sys()
    else:
        # sysfs shows the network namespace that mounted it, which here is not ours to mount.
        _borrow("sys")
    if not order.hides_paths:
        return borrowed
    for path in MASKED:
        _mask(path)
    for path in READ_ONLY:
        if os.path.exists(path):
            mnt.mount(path, path, None, mnt.MS_BIND | mnt.MS_REC)
            _make_read_only(path)
    return borrowed


def _build_proc() -> tuple[str, ...]:
    """A /proc of the container's own, or, in a pod, this machine's.

    Where parts of the /proc at hand are hidden, the kernel gives no fresh one to a user namespace
    (mount_too_revealing() in fs/namespace.c). What is borrowed is read-only: files such as
    oom_score_adj ask for the same user, which the pod's other processes may be.
    """
    try:
        mnt.mount("proc", "proc", "proc", SAFE)
    except KernelRefused as error:
        if error.errno != errno.EPERM:
            raise
    else:
        return ()
    _borrow("proc")
    _mask("proc/bus")  # where we are building
    return ("its /proc is this machine's, read-only: a fresh one is refused here",)


def _build_sys() -> tuple[str, ...]:
    """A /sys of the container's own network namespace, or, in a pod, this machine's."""
    try:
        mnt.mount("sysfs", "sys", "sysfs", SAFE | mnt.MS_RDONLY)
    except KernelRefused as error:
        if error.errno != errno.EPERM:
            raise
    else:
        return ()
    _borrow("sys")
    return ("its /sys is this machine's, read-only: a fresh one is refused here",)


def _borrow(name: str) -> None:
    mnt.mount(f"/{name}", name, None, mnt.MS_BIND | mnt.MS_REC)
    _make_read_only(name)


def mount_cgroups(mounts: tuple[tuple[str, str], ...]) -> None:
    """The container's own view of its cgroup, read-only (CVE-2022-0492).

    ``mounts`` maps a name below /sys/fs/cgroup to the controllers there; the empty name is a
    whole cgroup v2 tree.
    """
    if not mounts:
        return
    top = "sys/fs/cgroup"
    if mounts[0][0] == "":
        mnt.mount("cgroup2", top, "cgroup2", SAFE | mnt.MS_RDONLY)
        return
    mnt.mount("tmpfs", top, "tmpfs", SAFE, "mode=755,size=64k")
    for name, controllers in mounts:
        os.mkdir(f"{top}/{name}", 0o755)
        fstype = "cgroup" if controllers else "cgroup2"
        mnt.mount(fstype, f"{top}/{name}", fstype, SAFE | mnt.MS_RDONLY, controllers)
    _make_read_only(top, recursive=False)


def borrow_cgroups() -> None:
    """Every group of this machine, read-only."""
    top = "sys/fs/cgroup"
    mnt.mount(f"/{top}", top, None, mnt.MS_BIND | mnt.MS_REC)
    _make_read_only(top)


def _build_dev(*, has_tty_group: bool) -> None:
    # nodev is for what is made here later; the nodes below are mounts of their own.
    mnt.mount("tmpfs", "dev", "tmpfs", mnt.MS_NOSUID | mnt.MS_NODEV, "mode=755,size=65536k")
    for name in DEVICES:
        # mknod(2) is not for user namespaces: bind the host's node over an empty file.
        os.close(os.open(f"dev/{name}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))
        mnt.mount(f"/dev/{name}", f"dev/{name}", None, mnt.MS_BIND)
    for name, destination in DEVICE_LINKS.items():
        os.symlink(destination, f"dev/{name}")
    for name in ("pts", "shm", "mqueue"):
        os.mkdir(f"dev/{name}", 0o755)
    group = ",gid=5" if has_tty_group else ""
    pts = mnt.MS_NOSUID | mnt.MS_NOEXEC
    mnt.mount("devpts", "dev/pts", "devpts", pts, f"ptmxmode=0666,mode=0620{group}")
    mnt.mount("shm", "dev/shm", "tmpfs", SAFE, f"mode=1777,size={SHM_BYTES}")
    with suppress(KernelRefused):  # a kernel without POSIX message queues
        mnt.mount("mqueue", "dev/mqueue", "mqueue", SAFE)


def _check_null_device() -> None:
    """The host's /dev/null must be char 1:3, or masking would show something else."""
    status = os.stat("/dev/null")
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != NULL_DEVICE:
        raise SetupError("the host's /dev/null is not the null device", hint="repair /dev")


def _mask(path: str) -> None:
    if os.path.isdir(path):
        mnt.mount("tmpfs", path, "tmpfs", SAFE | mnt.MS_RDONLY, "size=0")
    elif os.path.exists(path):
        mnt.mount("/dev/null", path, None, mnt.MS_BIND)


def _make_read_only(path: str, *, recursive: bool = True) -> None:
    mnt.mount_setattr(
        mnt.AT_FDCWD,
        path=path,
        flags=mnt.AT_RECURSIVE if recursive else 0,
        attr_set=mnt.MOUNT_ATTR_RDONLY,
    )
