"""What `features` and `spec` print."""

from __future__ import annotations

import os
from typing import Any

from wardian.linux.capabilities import DEFAULT, Capability
from wardian.linux.security_module import SecurityModule, is_active
from wardian.linux.syscall import MACHINE
from wardian.oci.config import KINDS, Hooks
from wardian.oci.mounts import ATTRIBUTES, PROPAGATION
from wardian.oci.state import OCI_VERSION


def features() -> dict[str, object]:
    """features.md of the runtime-spec."""
    deep = [f"r{name}" for name in (*ATTRIBUTES, *PROPAGATION)]
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": list(Hooks.__struct_fields__),
        "mountOptions": sorted(
            {*ATTRIBUTES, *PROPAGATION, *deep, "bind", "rbind", "idmap", "ridmap"}
        ),
        "linux": {
            "namespaces": sorted(KINDS),
            "capabilities": [f"CAP_{each.name}" for each in Capability],
            "cgroup": {"v1": True, "v2": True, "systemd": True, "systemdUser": True},
            "seccomp": _seccomp(),
            **{each.name.lower(): {"enabled": is_active(each)} for each in SecurityModule},
            "intelRdt": {"enabled": False},
            "netDevices": {"enabled": False},
            "mountExtensions": {"idmap": {"enabled": True}},
        },
    }


def _seccomp() -> dict[str, object]:
    from wardian.linux.seccomp import FLAGS

    kills = ("KILL", "KILL_PROCESS", "KILL_THREAD")
    actions = ("ALLOW", "ERRNO", *kills, "LOG", "NOTIFY", "TRACE", "TRAP")
    operators = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
    arches = {"x86_64": ("X86_64", "X86", "X32"), "aarch64": ("AARCH64", "ARM")}
    return {
        "enabled": True,
        "actions": [f"SCMP_ACT_{name}" for name in actions],
        "operators": [f"SCMP_CMP_{name}" for name in operators],
        "archs": [f"SCMP_ARCH_{name}" for name in arches.get(MACHINE, ())],
        "knownFlags": list(FLAGS),
        "supportedFlags": list(FLAGS),
    }


def _mount(at: str, kind: str, *options: str) -> dict[str, object]:
    return {"destination": at, "type": kind, "source": kind, "options": list(options)}


def example(*, rootless: bool = False) -> dict[str, object]:
    """A config.json to begin with; ``rootless`` for the user who calls, by runc's rules."""
    config = _example()
    if rootless:
        linux: dict[str, object] = dict(config["linux"])
        kinds = [kind for kind in KINDS if kind not in {"network", "time"}]
        linux["namespaces"] = [{"type": kind} for kind in kinds]
        for name, number in (("uidMappings", os.geteuid()), ("gidMappings", os.getegid())):
            linux[name] = [{"containerID": 0, "hostID": number, "size": 1}]
        config["linux"] = linux
        bound = ["rbind", "nosuid", "noexec", "nodev", "ro"]
        host = {"destination": "/sys", "type": "none", "source": "/sys", "options": bound}
        config["mounts"] = [
            host if each["destination"] == "/sys" else each for each in config["mounts"]
        ]
    return config


def _example() -> dict[str, Any]:
    names = [f"CAP_{each.name}" for each in sorted(DEFAULT)]
    safe = ("nosuid", "noexec", "nodev")
    return {
        "ociVersion": OCI_VERSION,
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), names),
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "wardian",
        "mounts": [
            _mount("/proc", "proc", *safe),
            _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            _mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666"),
            _mount("/dev/shm", "tmpfs", *safe, "mode=1777", "size=65536k"),  # noqa: S108
            _mount("/dev/mqueue", "mqueue", *safe),
            _mount("/sys", "sysfs", *safe, "ro"),
            _mount("/sys/fs/cgroup", "cgroup", *safe, "relatime", "ro"),
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in KINDS if kind not in {"user", "time"}],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
        },
    }
