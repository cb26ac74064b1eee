"""config.json (runtime-spec, config.md): typed, and what is not supported refused by its name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from wardian.errors import InvalidInput
from wardian.linux import namespaces

MAX_BYTES = 8 << 20
KINDS = {
    "mount": namespaces.CLONE_NEWNS,
    "pid": namespaces.CLONE_NEWPID,
    "network": namespaces.CLONE_NEWNET,
    "uts": namespaces.CLONE_NEWUTS,
    "ipc": namespaces.CLONE_NEWIPC,
    "cgroup": namespaces.CLONE_NEWCGROUP,
}
# Fields of the spec that we do not put in force; by dotted path, refused when they are given.
UNSUPPORTED = (
    "domainname",
    "zos",
    "vm",
    "solaris",
    "windows",
    "process.consoleSize",
    "process.apparmorProfile",
    "process.selinuxLabel",
    "process.scheduler",
    "process.ioPriority",
    "process.execCPUAffinity",
    "linux.uidMappings",
    "linux.gidMappings",
    "linux.timeOffsets",
    "linux.intelRdt",
    "linux.personality",
    "linux.mountLabel",
    "linux.seccomp.listenerPath",
    "linux.seccomp.listenerMetadata",
    "linux.seccomp.flags",
    "linux.netDevices",
    "linux.memoryPolicy",
    "linux.resources.blockIO",
    "linux.resources.hugepageLimits",
    "linux.resources.network",
    "linux.resources.rdma",
    "linux.resources.unified",
    "linux.resources.memory.kernel",
    "linux.resources.memory.kernelTCP",
    "linux.resources.memory.swappiness",
    "linux.resources.memory.disableOOMKiller",
    "linux.resources.memory.useHierarchy",
    "linux.resources.memory.checkBeforeUpdate",
    "linux.resources.cpu.burst",
    "linux.resources.cpu.idle",
    "linux.resources.cpu.realtimePeriod",
    "linux.resources.cpu.realtimeRuntime",
    "linux.resources.cpu.mems",
)


class User(msgspec.Struct, frozen=True):
    """Who the process is, by ids of the container."""

    uid: int = 0
    gid: int = 0
    umask: int = 0o022
    additionalGids: tuple[int, ...] = ()  # noqa: N815  # the spec's names


class Rlimit(msgspec.Struct, frozen=True):
    """setrlimit(2)."""

    type: str
    soft: int
    hard: int


class Process(msgspec.Struct, frozen=True):
    """What runs."""

    cwd: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    terminal: bool = False
    user: User = User()
    rlimits: tuple[Rlimit, ...] = ()
    capabilities: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    noNewPrivileges: bool = False  # noqa: N815
    oomScoreAdj: int | None = None  # noqa: N815


class Root(msgspec.Struct, frozen=True):
    """The root file system."""

    path: str
    readonly: bool = False


class Mount(msgspec.Struct, frozen=True):
    """One mount; what its options mean is `mounts`' affair."""

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()
    uidMappings: tuple[Any, ...] = ()  # noqa: N815
    gidMappings: tuple[Any, ...] = ()  # noqa: N815


class Hook(msgspec.Struct, frozen=True):
    """A program to run at a step of the lifecycle; ``timeout`` in seconds."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int | None = None


class Hooks(msgspec.Struct, frozen=True):
    """All six points."""

    prestart: tuple[Hook, ...] = ()
    createRuntime: tuple[Hook, ...] = ()  # noqa: N815
    createContainer: tuple[Hook, ...] = ()  # noqa: N815
    startContainer: tuple[Hook, ...] = ()  # noqa: N815
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()


class NamespaceRequest(msgspec.Struct, frozen=True):
    """New, or the one at ``path``."""

    type: str
    path: str = ""


class Device(msgspec.Struct, frozen=True):
    """A node to make."""

    type: str
    path: str
    major: int = 0
    minor: int = 0
    fileMode: int = 0o666  # noqa: N815
    uid: int = 0
    gid: int = 0


class DeviceRule(msgspec.Struct, frozen=True):
    """One line of the device cgroup."""

    allow: bool
    type: str = "a"
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"


class Memory(msgspec.Struct, frozen=True):
    """Bytes; -1 is unlimited."""

    limit: int | None = None
    swap: int | None = None
    reservation: int | None = None


class Cpu(msgspec.Struct, frozen=True):
    """Shares, and quota by period in microseconds."""

    shares: int | None = None
    quota: int | None = None
    period: int | None = None
    cpus: str | None = None


class Pids(msgspec.Struct, frozen=True):
    """How many processes; not positive is unlimited."""

    limit: int = 0


class Resources(msgspec.Struct, frozen=True):
    """What the cgroup limits."""

    memory: Memory = Memory()
    cpu: Cpu = Cpu()
    pids: Pids = Pids()
    devices: tuple[DeviceRule, ...] = ()


class Linux(msgspec.Struct, frozen=True):
    """What only Linux has."""

    namespaces: tuple[NamespaceRequest, ...] = ()
    devices: tuple[Device, ...] = ()
    cgroupsPath: str = ""  # noqa: N815
    resources: Resources = Resources()
    sysctl: dict[str, str] = msgspec.field(default_factory=dict)
    seccomp: dict[str, Any] | None = None
    rootfsPropagation: str = "private"  # noqa: N815
    maskedPaths: tuple[str, ...] = ()  # noqa: N815
    readonlyPaths: tuple[str, ...] = ()  # noqa: N815


class Config(msgspec.Struct, frozen=True):
    """The whole file."""

    ociVersion: str  # noqa: N815
    root: Root
    process: Process | None = None
    hostname: str = ""
    mounts: tuple[Mount, ...] = ()
    hooks: Hooks = Hooks()
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    linux: Linux = Linux()


def load(bundle: str) -> Config:
    """Read and check a bundle's config.json; InvalidInput says which field is wrong."""
    path = Path(bundle) / "config.json"
    tree = _tree(path)
    _refuse(tree)
    try:
        config = msgspec.convert(_without_null(tree), Config)
    except msgspec.ValidationError as error:
        raise _wrong(str(error)) from error
    _check(config)
    return config


def load_process(path: str) -> Process:
    """The process of ``exec --process``, checked alike."""
    tree = _tree(Path(path))
    _refuse({"process": tree})
    try:
        process = msgspec.convert(_without_null(tree), Process)
    except msgspec.ValidationError as error:
        raise _wrong(str(error)) from error
    check_process(process)
    return process


def _tree(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            tree = msgspec.json.decode(file.read(MAX_BYTES))
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}", hint="name a bundle") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{path} is not JSON: {error}", hint="see `wardian-oci spec`") from error
    if not isinstance(tree, dict):
        raise _wrong("expected an object")
    return tree


def _without_null(value: Any) -> Any:
    """A field that is null is as good as absent, as Go's encoders write it."""
    if isinstance(value, dict):
        return {key: _without_null(each) for key, each in value.items() if each is not None}
    return [_without_null(each) for each in value] if isinstance(value, list) else value


def _refuse(tree: Mapping[str, Any]) -> None:
    for dotted in UNSUPPORTED:
        value: Any = tree
        for name in dotted.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        is_said = value not in (None, "", [], {}, False)
        if is_said or (value is not None and dotted.endswith(".swappiness")):  # 0 is a wish too
            raise InvalidInput(f"config.json: {dotted} is not supported", hint="leave it out")


def _check(config: Config) -> None:
    if not config.ociVersion.startswith("1."):
        raise _wrong(f"ociVersion {config.ociVersion[:20]!r} is not 1.x")
    _check_namespaces(config)
    _check_hooks(config.hooks)
    for mount in config.mounts:
        if mount.uidMappings or mount.gidMappings:
            raise InvalidInput("config.json: mounts.uidMappings is not supported")
    if config.linux.rootfsPropagation not in {"", "private", "rprivate", "slave", "rslave"}:
        raise InvalidInput("config.json: linux.rootfsPropagation shared is not supported")
    if config.process is not None:
        check_process(config.process)


def _check_namespaces(config: Config) -> None:
    seen = set()
    for each in config.linux.namespaces:
        if each.type not in KINDS:
            raise InvalidInput(f"config.json: linux.namespaces {each.type!r} is not supported")
        if each.type in seen:
            raise _wrong(f"linux.namespaces has {each.type} twice")
        if each.path and (each.type == "mount" or not os.path.isabs(each.path)):
            raise _wrong(f"linux.namespaces: {each.type} by path {each.path!r} is not supported")
        seen.add(each.type)
    if "mount" not in seen:
        raise _wrong("linux.namespaces without a new mount namespace is not supported")
    if config.hostname and "uts" not in seen:
        raise _wrong("hostname needs a uts namespace")


def _check_hooks(hooks: Hooks) -> None:
    for name in hooks.__struct_fields__:
        for hook in getattr(hooks, name):
            if not os.path.isabs(hook.path) or (hook.timeout is not None and hook.timeout <= 0):
                raise _wrong(f"hooks.{name}: path must be absolute, timeout above zero")


def check_process(process: Process) -> None:
    """What types alone do not say."""
    if not os.path.isabs(process.cwd):
        raise _wrong("process.cwd is not an absolute path")
    if not process.args:
        raise _wrong("process.args is empty")
    if any("=" not in pair for pair in process.env):
        raise _wrong("process.env has an entry without '='")


def _wrong(why: str) -> InvalidInput:
    return InvalidInput(
        f"config.json: {why}", hint="config.md of the OCI runtime-spec has the rules"
    )
