"""What is lost where a probe fails, and the exact line that lifts it."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Callable
from pathlib import Path

from wardian.cgroups.delegation import line_for_more, line_for_own_groups
from wardian.linux.capabilities import Capability
from wardian.runtime.probes.finding import Area, Finding, Host, Weight
from wardian.runtime.probes.host import file_system

Lift = Callable[[Finding, Host], str]
# What can carry an upper layer (overlayfs.rst) and id-mapped mounts.
GOOD_FILE_SYSTEMS = ("ext4", "xfs", "btrfs", "tmpfs")
PACKAGES = {  # program: (Debian, Fedora, others)
    "newuidmap": ("uidmap", "shadow-utils", "shadow"),
    "pasta": ("passt", "passt", "passt"),
    "libseccomp": ("libseccomp2", "libseccomp", "libseccomp"),
    "busybox": ("busybox-static", "busybox", "busybox"),
    "programs": ("bash coreutils procps iproute2", "bash coreutils procps-ng iproute", "bash"),
}


class Remedy:
    """Where a probe belongs, what its failure costs, and how to lift it."""

    __slots__ = ("area", "lift", "loss", "weight")

    def __init__(self, area: Area, weight: Weight, loss: str, lift: Lift) -> None:
        self.area = area
        self.weight = weight
        self.loss = loss
        self.lift = lift


def _sudo(host: Host, command: str) -> str:
    return command if host.is_root else f"sudo {command}"


def _install(host: Host, program: str) -> str:
    debian, fedora, others = PACKAGES[program]
    commands = {
        "apt-get": f"apt-get install -y {debian}",
        "dnf": f"dnf install -y {fedora}",
        "zypper": f"zypper install -y {others}",
        "pacman": f"pacman -S --noconfirm {others}",
        "apk": f"apk add {others}",
    }
    return _sudo(host, commands.get(host.package_manager, f"install the package {debian}"))


def _newer_kernel(finding: Finding, host: Host) -> str:
    if host.has_seccomp_filter and finding.errno in (None, errno.EPERM, errno.ENOSYS):
        return _without_filter(host)
    return _boot(finding, host)


def _boot(_: Finding, host: Host) -> str:
    return f"boot a newer kernel than {host.release}: 5.15 at least, 6.6 for everything"


def _without_filter(host: Host) -> str:
    return _container_option(
        host,
        docker="--security-opt seccomp=unconfined",
        podman="--security-opt seccomp=unconfined",
        kubernetes="securityContext: {seccompProfile: {type: Unconfined}}",
    )


def _container_option(host: Host, *, docker: str, podman: str, kubernetes: str) -> str:
    """What whoever started the container that we are in has to write."""
    return {
        "docker": f"start this container with: docker run {docker} …",
        "podman": f"start this container with: podman run {podman} …",
        "kubernetes": f"in the pod's spec: {kubernetes}",
    }.get(
        host.surroundings, f"start this container with: docker run {docker} … (or the like of it)"
    )


# --- namespaces ------------------------------------------------------------------------------


def _user_namespace(finding: Finding, host: Host) -> str:
    """Which of the five things that forbid user namespaces it is (user_namespaces(7))."""
    if host.max_user_namespaces == 0 or finding.errno == errno.ENOSPC:
        return _sudo(host, "sysctl -w user.max_user_namespaces=15000")
    if finding.errno == errno.EINVAL:
        return "boot a kernel with CONFIG_USER_NS=y"
    if host.unprivileged_userns_clone == 0 and not host.is_root:
        return "sudo sysctl -w kernel.unprivileged_userns_clone=1"
    if host.apparmor_restrict_userns and not host.is_root:
        return "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    if host.is_chrooted:
        return "leave the chroot, in which the kernel allows no user namespace: pivot_root(8)"
    if host.has_seccomp_filter:
        return _without_filter(host)
    if missing := _missing(host, Capability.SETFCAP):  # else root may not map itself (Linux 5.12)
        return missing
    return "neither a sysctl, a chroot nor a seccomp filter explains it: see user_namespaces(7)"


def _missing(host: Host, *needed: Capability) -> str:
    """The line that gives root the capabilities that it lacks of these; "" if it lacks none."""
    names = [one.name for one in needed if host.is_root and not host.capabilities >> one & 1]
    return _capability_option(host, names) if names else ""


def _capability_option(host: Host, names: list[str]) -> str:
    if host.surroundings == "host":
        return "give them to whoever starts this session (CapabilityBoundingSet= of its unit)"
    added = " ".join(f"--cap-add {name}" for name in names)
    pod = f"securityContext: {{capabilities: {{add: [{', '.join(names)}]}}}}"
    return _container_option(host, docker=added, podman=added, kubernetes=pod)


def _own_namespace(finding: Finding, host: Host) -> str:
    if finding.errno == errno.ENOSPC:
        return _sudo(host, f"sysctl -w user.max_{_kind(finding)}_namespaces=15000")
    if finding.errno in (errno.EINVAL, errno.ENOSYS):
        return f"boot a kernel with CONFIG_{_kind(finding).upper()}_NS=y"
    return _user_namespace(finding, host)


def _kind(finding: Finding) -> str:
    kind = finding.name.split()[0].lower()
    return {"mount": "mnt", "network": "net"}.get(kind, kind)


def _id_maps(_: Finding, host: Host) -> str:
    if host.is_root:
        ids = "give this container a user namespace with 65536 ids or more"
        return _missing(host, Capability.SETUID, Capability.SETGID) or ids
    if host.has_no_new_privs:
        return _container_option(
            host,
            docker="(without --security-opt no-new-privileges)",
            podman="(without --security-opt no-new-privileges)",
            kubernetes="securityContext: {allowPrivilegeEscalation: true}",
        )
    login = shlex.quote(host.login)
    grant = f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {login}"
    if not any(os.access(f"{folder}/newuidmap", os.X_OK) for folder in ("/usr/bin", "/bin")):
        return f"{_install(host, 'newuidmap')} && sudo {grant}"
    return f"sudo {grant}"


def _fresh_proc(_: Finding, host: Host) -> str:
    if host.surroundings == "host" and host.covered_proc:
        return _sudo(host, f"umount {' '.join(map(shlex.quote, host.covered_proc))}")
    return _container_option(
        host,
        docker="--security-opt systempaths=unconfined",
        podman="--security-opt unmask=ALL",
        kubernetes="hostUsers: false, and securityContext: {procMount: Unmasked}",
    )


# --- files -----------------------------------------------------------------------------------


def _overlay(finding: Finding, host: Host) -> str:
    if finding.errno == errno.ENODEV:
        return _sudo(host, "modprobe overlay")
    return _newer_kernel(finding, host)


def _fuse_overlayfs(finding: Finding, host: Host) -> str:
    if finding.errno == errno.ENOENT:
        return _sudo(host, "modprobe fuse")
    if finding.errno == errno.EACCES:
        return _sudo(host, "chmod 666 /dev/fuse")
    return _sudo(host, "apt-get install fuse-overlayfs")


def _state_directory(finding: Finding, host: Host) -> str:
    candidates = (Path.home(), Path("/var/lib"), Path("/var/tmp"), Path("/dev/shm"), Path("/tmp"))  # noqa: S108  # places to propose, not to write to
    for parent in candidates:
        is_other = not Path(host.root).is_relative_to(parent) or finding.errno == errno.EACCES
        is_good = os.access(parent, os.W_OK) and file_system(parent) in GOOD_FILE_SYSTEMS
        if is_other and is_good and not os.statvfs(parent).f_flag & os.ST_NOEXEC:
            name = "wardian" if host.is_root else f"wardian-{host.uid}"
            return f"export WARDIAN_ROOT={parent / name}"
    return "export WARDIAN_ROOT=… a directory that you can write, on ext4, xfs, btrfs or tmpfs"


def _id_mapped(finding: Finding, host: Host) -> str:
    if host.kernel < (5, 19):
        return _newer_kernel(finding, host)
    return _state_directory(finding, host)


# --- limits ----------------------------------------------------------------------------------


CONTROLLERS = {
    "memory limit": "memory",
    "swap limit": "memory",
    "CPU limit": "cpu",
    "CPU shares": "cpu",
    "cpuset": "cpuset",
    "process limit": "pids",
    "freezer": "freezer",
}


def _enable_controller(name: str, host: Host) -> str:
    if host.cgroup_version == "v2":
        return f"echo +{name} > /sys/fs/cgroup/cgroup.subtree_control"
    place = f"/sys/fs/cgroup/{name}"
    return f"mkdir -p {place} && mount -t cgroup -o {name} none {place}"


def _cgroup(finding: Finding, host: Host) -> str:
    if "swapaccount" in finding.detail:
        return "boot with swapaccount=1 on the kernel's command line"
    if host.cgroup_version == "none" and not host.cgroup_why_not.startswith("cgroups are"):
        return _sudo(host, "mount -t cgroup2 none /sys/fs/cgroup")
    if host.surroundings != "host":
        return _container_option(
            host,
            docker="--privileged --cgroupns=private",
            podman="--security-opt unmask=/sys/fs/cgroup --cgroupns=private",
            kubernetes="securityContext: {privileged: true} (a pod's cgroups are read-only else)",
        )
    if host.is_root:
        return _enable_controller(CONTROLLERS[finding.name], host)
    if host.cgroup_version == "v2":
        return line_for_more(host.cgroup, uid=host.uid)
    return line_for_own_groups(shlex.quote(host.login))


# --- the rest --------------------------------------------------------------------------------


def _capabilities(finding: Finding, host: Host) -> str:
    return _capability_option(host, finding.detail.partition("lacks ")[2].split(", "))


def _rootless_network(finding: Finding, host: Host) -> str:
    if "may not be opened" in finding.detail:
        return _sudo(host, "chmod 666 /dev/net/tun")
    if "/dev/net/tun" in finding.detail:
        return _module("tun")(finding, host)
    return _install(host, "pasta")


def _landlock(_: Finding, host: Host) -> str:
    if host.kernel < (5, 13):
        return "boot a kernel of 5.13 or newer with CONFIG_SECURITY_LANDLOCK=y"
    return "boot with lsm=landlock,… first on the kernel's command line"


def _process_events(_: Finding, host: Host) -> str:
    if not host.is_root:
        return "run as root: the kernel tells only root of every process"
    if host.surroundings != "host":
        return "run on the host: the kernel tells only its first namespaces"
    return "boot a kernel with CONFIG_PROC_EVENTS=y"


def _says(text: str) -> Lift:
    return lambda _finding, _host: text


def _needs(program: str) -> Lift:
    return lambda _finding, host: _install(host, program)


def _module(name: str) -> Lift:
    return lambda _finding, host: _sudo(host, f"modprobe {name}")


ESSENTIAL, PROMISE, EXTRA = Weight.ESSENTIAL, Weight.PROMISE, Weight.EXTRA
_NONE = "no containers here"
_SPACES = "containers cannot have one of their own"
_COPIES = "layers are put together by fuse-overlayfs, or copied for each container"

REMEDIES: dict[str, Remedy] = {
    "kernel": Remedy(Area.HOST, ESSENTIAL, "no overlay in user namespaces", _boot),
    "system calls": Remedy(Area.HOST, ESSENTIAL, _NONE, _newer_kernel),
    "state directory": Remedy(
        Area.HOST, ESSENTIAL, "no good place for containers and images", _state_directory
    ),
    "user namespace": Remedy(
        Area.NAMESPACES, ESSENTIAL, "cells can only run as plain processes", _user_namespace
    ),
    "id maps": Remedy(
        Area.NAMESPACES, ESSENTIAL, "a container has one user; su and apt fail there", _id_maps
    ),
    "mount namespace": Remedy(Area.NAMESPACES, ESSENTIAL, _NONE, _own_namespace),
    "PID namespace": Remedy(Area.NAMESPACES, ESSENTIAL, _NONE, _own_namespace),
    "network namespace": Remedy(Area.NAMESPACES, ESSENTIAL, _SPACES, _own_namespace),
    "UTS namespace": Remedy(Area.NAMESPACES, ESSENTIAL, _SPACES, _own_namespace),
    "IPC namespace": Remedy(Area.NAMESPACES, ESSENTIAL, _SPACES, _own_namespace),
    "cgroup namespace": Remedy(Area.NAMESPACES, ESSENTIAL, _SPACES, _own_namespace),
    "time namespace": Remedy(Area.NAMESPACES, EXTRA, _SPACES, _own_namespace),
    "fresh /proc": Remedy(
        Area.NAMESPACES, PROMISE, "containers see this machine's /proc, read-only", _fresh_proc
    ),
    "/sys of one's own": Remedy(
        Area.FILES, PROMISE, "containers see this machine's /sys, read-only", _fresh_proc
    ),
    "tmpfs": Remedy(Area.FILES, ESSENTIAL, _NONE, _user_namespace),
    "terminals": Remedy(Area.FILES, ESSENTIAL, "containers have no terminals", _newer_kernel),
    "message queues": Remedy(
        Area.FILES,
        EXTRA,
        "no POSIX message queues",
        _says("boot a kernel with CONFIG_POSIX_MQUEUE=y"),
    ),
    "pivot_root": Remedy(Area.FILES, ESSENTIAL, _NONE, _user_namespace),
    "overlay": Remedy(Area.FILES, PROMISE, _COPIES, _overlay),
    "overlay of many layers": Remedy(
        Area.FILES, PROMISE, "images of many layers cannot be run", _newer_kernel
    ),
    "layers on the state directory": Remedy(Area.FILES, PROMISE, _COPIES, _state_directory),
    "storage driver": Remedy(Area.FILES, EXTRA, _COPIES, _says("set WARDIAN_STORAGE_DRIVER")),
    "id-mapped layers": Remedy(
        Area.FILES, PROMISE, "layers are copied for each container's ids", _id_mapped
    ),
    "fuse-overlayfs": Remedy(
        Area.FILES, EXTRA, "where overlayfs is missing, images are copied", _fuse_overlayfs
    ),
    "/dev/fuse": Remedy(Area.FILES, EXTRA, "no fuse-overlayfs", _module("fuse")),
    "memory limit": Remedy(Area.LIMITS, PROMISE, "--memory is not in force", _cgroup),
    "swap limit": Remedy(Area.LIMITS, PROMISE, "--memory-swap is not in force", _cgroup),
    "CPU limit": Remedy(Area.LIMITS, PROMISE, "--cpus is not in force", _cgroup),
    "CPU shares": Remedy(Area.LIMITS, PROMISE, "--cpu-shares is not in force", _cgroup),
    "cpuset": Remedy(Area.LIMITS, PROMISE, "--cpuset-cpus is not in force", _cgroup),
    "process limit": Remedy(Area.LIMITS, PROMISE, "--pids-limit is not in force", _cgroup),
    "freezer": Remedy(Area.LIMITS, PROMISE, "containers cannot be paused", _cgroup),
    "seccomp": Remedy(
        Area.CONFINEMENT,
        ESSENTIAL,
        "no system call is filtered",
        _says("boot a kernel with CONFIG_SECCOMP_FILTER=y"),
    ),
    "libseccomp": Remedy(
        Area.CONFINEMENT,
        PROMISE,
        "no --cap-add, no seccomp profiles of one's own",
        _needs("libseccomp"),
    ),
    "no_new_privs": Remedy(Area.CONFINEMENT, ESSENTIAL, _NONE, _newer_kernel),
    "Landlock": Remedy(Area.CONFINEMENT, EXTRA, "no walls without namespaces", _landlock),
    "capabilities": Remedy(
        Area.CONFINEMENT, EXTRA, "what needs these is kept as it is inherited", _capabilities
    ),
    "loopback": Remedy(Area.NETWORK, ESSENTIAL, "containers have no 127.0.0.1", _own_namespace),
    "nf_tables": Remedy(Area.NETWORK, EXTRA, "no published ports", _module("nf_tables")),
    "rootless network": Remedy(
        Area.NETWORK, EXTRA, "a user's networks have no way out", _rootless_network
    ),
    "process events": Remedy(
        Area.OBSERVATION,
        EXTRA,
        "the process view polls: brief processes are missed",
        _process_events,
    ),
    "file events": Remedy(Area.OBSERVATION, EXTRA, "the layers view polls", _newer_kernel),
    "pressure": Remedy(
        Area.OBSERVATION,
        EXTRA,
        "no pressure figures",
        _says("boot with psi=1 on the kernel's command line"),
    ),
    "wardian/base": Remedy(Area.IMAGES, PROMISE, "it cannot be made", _needs("programs")),
    "wardian/busybox": Remedy(Area.IMAGES, EXTRA, "it cannot be made", _needs("busybox")),
}
