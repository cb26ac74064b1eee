"""Probes of namespaces and of the file systems that a container mounts."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from wardian.errors import SetupError
from wardian.linux import mount as mnt
from wardian.linux import namespaces
from wardian.linux.namespaces import CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER
from wardian.runtime.probes.attempt import (
    Result,
    attempt,
    enter_user_namespace,
    in_namespaces,
    mount_scratch,
)

MANY_LAYERS = 128
KINDS = {
    "mount namespace": CLONE_NEWNS,
    "PID namespace": CLONE_NEWPID,
    "network namespace": CLONE_NEWNET,
    "UTS namespace": namespaces.CLONE_NEWUTS,
    "IPC namespace": namespaces.CLONE_NEWIPC,
    "cgroup namespace": namespaces.CLONE_NEWCGROUP,
    "time namespace": namespaces.CLONE_NEWTIME,
}


def user_namespace() -> Result:
    """Make one and use a right that one has there: AppArmor takes the rights, not the namespace."""

    def deed() -> str:
        enter_user_namespace()
        namespaces.unshare(CLONE_NEWNS)
        mnt.make_rprivate()
        return ""

    return attempt(deed)


def own_namespace(flag: int) -> Result:
    """A namespace of one kind, made as a container's is: in a user namespace."""
    return in_namespaces(flag, lambda: "")


def root_only_namespaces() -> Result:
    """The same all at once, by root without a user namespace (``--userns host``)."""
    flags = 0
    for flag in KINDS.values():
        flags |= flag
    return in_namespaces(flags & ~CLONE_NEWPID, lambda: "", own_user=False)


def fresh_proc() -> Result:
    """A procfs of a new PID namespace: refused where parts of the present one are hidden."""

    def deed() -> str:
        mount_scratch()
        os.mkdir("proc")
        mnt.mount("proc", "proc", "proc", mnt.MS_NOSUID | mnt.MS_NODEV | mnt.MS_NOEXEC)
        if not os.path.exists("proc/1/status"):
            raise SetupError("the fresh /proc is empty")
        return ""

    return in_namespaces(CLONE_NEWNS | CLONE_NEWPID, deed)


def tmpfs() -> Result:
    """A tmpfs, with a file in it."""

    def deed() -> str:
        mount_scratch()
        Path("file").write_bytes(b"x")
        return ""

    return in_namespaces(CLONE_NEWNS, deed)


def terminals() -> Result:
    """A devpts of the container's own, and a terminal from it."""

    def deed() -> str:
        mount_scratch()
        os.mkdir("pts")
        mnt.mount("devpts", "pts", "devpts", mnt.MS_NOSUID, "ptmxmode=0666,mode=0620")
        os.close(os.open("pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
        return ""

    return in_namespaces(CLONE_NEWNS, deed)


def network_files() -> Result:
    """A sysfs of a network namespace of one's own: what a container's /sys is."""

    def deed() -> str:
        mount_scratch()
        os.mkdir("sys")
        mnt.mount("sysfs", "sys", "sysfs", mnt.MS_RDONLY | mnt.MS_NOSUID)
        return ""

    return in_namespaces(CLONE_NEWNS | CLONE_NEWNET, deed)


def pivot_root() -> Result:
    """Another root, the old one gone."""

    def deed() -> str:
        mount_scratch()
        os.mkdir("root")
        mnt.mount("tmpfs", "root", "tmpfs", 0, "size=64k")
        Path("root/mark").touch()
        os.chdir("root")
        mnt.pivot_root(".", ".")
        mnt.umount2(".", mnt.MNT_DETACH)
        os.chdir("/")
        if os.listdir("/") != ["mark"]:
            raise SetupError("the old root is still there")
        return ""

    return in_namespaces(CLONE_NEWNS, deed)


def overlay(layers: int = 2) -> Result:
    """An overlay in a user namespace, on a tmpfs: what this kernel can at all."""

    def deed() -> str:
        mount_scratch("8m")
        for number in range(layers):
            os.mkdir(str(number))
        Path("0/file").write_text("lower")
        _mount_and_check(layers)
        return f"{layers} lower layers" if layers > 2 else ""

    return in_namespaces(CLONE_NEWNS, deed)


def _mount_and_check(layers: int) -> None:
    for name in ("upper", "work", "merged"):
        os.mkdir(name)
    lowers = ":".join(map(str, range(layers)))
    options = f"lowerdir={lowers},upperdir=upper,workdir=work,index=off,metacopy=off,userxattr"
    mnt.mount("overlay", "merged", "overlay", 0, options)
    Path("merged/file").write_text("upper")
    if Path("0/file").read_text() != "lower" or Path("upper/file").read_text() != "upper":
        raise SetupError("the overlay does not keep its layers apart")


def loopback() -> Result:
    """``lo`` of a network namespace set up, and a packet sent over it."""
    import socket

    def deed() -> str:
        namespaces.bring_up_loopback()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(1.0)
            sock.sendto(b"x", sock.getsockname())
            sock.recv(1)
        return ""

    return in_namespaces(CLONE_NEWNET, deed)


def ipc_queue_files() -> Result:
    """POSIX message queues of the container's own (mq_overview(7))."""

    def deed() -> str:
        mount_scratch()
        os.mkdir("mqueue")
        mnt.mount("mqueue", "mqueue", "mqueue", mnt.MS_NOSUID)
        return ""

    return in_namespaces(CLONE_NEWNS | namespaces.CLONE_NEWIPC, deed)


def nested_user_namespace() -> Result:
    """A user namespace within one: what a build in a container asks for."""

    def deed() -> str:
        with suppress(OSError):
            os.setgroups([])
        namespaces.unshare(CLONE_NEWUSER)
        return ""

    return in_namespaces(0, deed)
