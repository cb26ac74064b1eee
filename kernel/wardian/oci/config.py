"""config.json (runtime-spec, config.md): typed, and what is not supported refused by its name."""

# Annotations are evaluated at once: as text they would cost msgspec 4 ms of each command.
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from wardian.errors import InvalidInput
from wardian.linux import namespaces
from wardian.linux.security_module import SecurityModule, is_active
from wardian.oci import schema
from wardian.oci.resources import Resources

if TYPE_CHECKING:
    from wardian.linux.idmap import IdRange

MAX_BYTES = 8 << 20
KINDS = {
    "mount": namespaces.CLONE_NEWNS,
    "pid": namespaces.CLONE_NEWPID,
    "network": namespaces.CLONE_NEWNET,
    "uts": namespaces.CLONE_NEWUTS,
    "ipc": namespaces.CLONE_NEWIPC,
    "cgroup": namespaces.CLONE_NEWCGROUP,
    "user": namespaces.CLONE_NEWUSER,
    "time": namespaces.CLONE_NEWTIME,
}
# Fields of the spec that we do not put in force; by dotted path, refused when they are given.
UNSUPPORTED = (
    "zos",
    "freebsd",
    "process.commandLine",
    "process.user.username",
    "vm",
    "solaris",
    "windows",
    "linux.intelRdt",
    "linux.mountLabel",
    "linux.resources.memory.kernel",  # Linux 5.16 has given it up: it would hold nothing
    "linux.resources.memory.useHierarchy",
    "linux.resources.memory.checkBeforeUpdate",
)
# The labels of a process, by the module that has them.
LABELS = {
    SecurityModule.APPARMOR: "apparmorProfile",
    SecurityModule.SELINUX: "selinuxLabel",
}
# What the kernel does anyway: to ask for it is no wish that we leave unfulfilled.
_IN_FORCE = {
    "linux.resources.memory.useHierarchy": True,
    "linux.resources.memory.checkBeforeUpdate": False,
}
PROPAGATION = ("private", "slave", "shared", "unbindable")
_VERSION = re.compile(r"1\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?")


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


class ConsoleSize(msgspec.Struct, frozen=True):
    """Of a terminal, in characters."""

    height: int
    width: int


class Scheduler(msgspec.Struct, frozen=True):
    """sched_setattr(2); times in nanoseconds."""

    policy: str
    nice: int = 0
    priority: int = 0
    flags: tuple[str, ...] = ()
    runtime: int = 0
    deadline: int = 0
    period: int = 0


class IoPriority(msgspec.Struct, frozen=True):
    """ioprio_set(2)."""

    # "class" is a word of Python.
    kind: str = msgspec.field(name="class")
    priority: int = 0


class Affinity(msgspec.Struct, frozen=True):
    """Which CPUs a process of exec is on before and after it is in the container's cgroup."""

    initial: str = ""
    final: str = ""


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
    apparmorProfile: str = ""  # noqa: N815
    selinuxLabel: str = ""  # noqa: N815
    oomScoreAdj: int | None = None  # noqa: N815
    consoleSize: ConsoleSize | None = None  # noqa: N815
    scheduler: Scheduler | None = None
    ioPriority: IoPriority | None = None  # noqa: N815
    execCPUAffinity: Affinity | None = None  # noqa: N815


class Root(msgspec.Struct, frozen=True):
    """The root file system."""

    path: str
    readonly: bool = False


class IdMapping(msgspec.Struct, frozen=True):
    """A range of ids, inside and outside."""

    containerID: int  # noqa: N815
    hostID: int  # noqa: N815
    size: int

    def range(self) -> "IdRange":
        """As user_namespaces(7) has it; InvalidInput for what is no range."""
        from wardian.linux.idmap import IdRange  # most containers have no ids of their own

        return IdRange(self.containerID, self.hostID, self.size)


class Mount(msgspec.Struct, frozen=True):
    """One mount; what its options mean is `mounts`' affair."""

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()
    uidMappings: tuple[IdMapping, ...] = ()  # noqa: N815
    gidMappings: tuple[IdMapping, ...] = ()  # noqa: N815


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


class Personality(msgspec.Struct, frozen=True):
    """personality(2)."""

    domain: str = "LINUX"
    flags: tuple[str, ...] = ()


class MemoryPolicy(msgspec.Struct, frozen=True):
    """set_mempolicy(2): on which NUMA nodes memory is taken."""

    mode: str = ""
    nodes: str = ""
    flags: tuple[str, ...] = ()


class NetDevice(msgspec.Struct, frozen=True):
    """An interface that is given to the container; under its own name unless there is one."""

    name: str = ""


class TimeOffset(msgspec.Struct, frozen=True):
    """How far a clock of a time namespace is from the host's."""

    secs: int = 0
    nanosecs: int = 0


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
    uidMappings: tuple[IdMapping, ...] = ()  # noqa: N815
    gidMappings: tuple[IdMapping, ...] = ()  # noqa: N815
    timeOffsets: dict[str, TimeOffset] = msgspec.field(default_factory=dict)  # noqa: N815
    personality: Personality | None = None
    memoryPolicy: MemoryPolicy | None = None  # noqa: N815
    netDevices: dict[str, NetDevice] = msgspec.field(default_factory=dict)  # noqa: N815


class Config(msgspec.Struct, frozen=True):
    """The whole file."""

    ociVersion: str  # noqa: N815
    root: Root
    process: Process | None = None
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    hooks: Hooks = Hooks()
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    linux: Linux = Linux()


def load(file: str) -> Config:
    """Read and check a config.json; InvalidInput says which field is wrong."""
    tree = without_null(_tree(Path(file)))
    if isinstance(linux := tree.get("linux"), dict):
        _take_common_words(linux)
    schema.check(tree)
    _refuse(tree)
    try:
        config = msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        raise _wrong(str(error)) from error
    _check(config)
    return config


def _take_common_words(linux: dict[str, Any]) -> None:
    """What engines write and runc takes, though the schema does not."""
    word = linux.get("rootfsPropagation")
    if isinstance(word, str):  # "rprivate" is podman's word
        linux["rootfsPropagation"] = word[1:] if word[1:] in PROPAGATION else word or "private"
    devices = linux.get("devices")
    for device in devices if isinstance(devices, list) else ():
        mode = device.get("fileMode") if isinstance(device, dict) else None
        if isinstance(mode, int) and stat.S_IFMT(mode):  # podman's is st_mode, with the type
            device["fileMode"] = stat.S_IMODE(mode) & 0o777


def load_process(path: str) -> Process:
    """The process of ``exec --process``, checked alike."""
    tree = without_null(_tree(Path(path)))
    schema.check(tree, "config-schema.json#/properties/process")
    _refuse({"process": tree})
    try:
        process = msgspec.convert(tree, Process)
    except msgspec.ValidationError as error:
        raise _wrong(str(error)) from error
    check_process(process)
    return process


def read_tree(path: str) -> dict[str, Any]:
    """A JSON object of a file, without what is null."""
    tree: dict[str, Any] = without_null(_tree(Path(path)))
    return tree


def resources_of(tree: dict[str, Any]) -> Resources:
    """``linux.resources`` of another file than config.json, checked alike."""
    schema.check(tree, "config-linux.json#/linux/properties/resources")
    whole = {"linux": {"resources": tree}}
    _refuse(whole)
    try:
        resources = msgspec.convert(tree, Resources)
    except msgspec.ValidationError as error:
        raise _wrong(str(error)) from error
    resources.limits()
    return resources


def _tree(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES)
        tree = msgspec.json.decode(data)
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}", hint="name a bundle") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{path} is not JSON: {error}", hint="see `wardian-oci spec`") from error
    if not isinstance(tree, dict):
        raise _wrong("expected an object")
    if b"\\u0000" in data and _has_zero_byte(tree):
        raise _wrong("a string has a zero byte, which no path or name can have")
    return tree


def _has_zero_byte(value: Any) -> bool:
    if isinstance(value, dict):
        return any("\0" in key or _has_zero_byte(each) for key, each in value.items())
    if isinstance(value, list):
        return any(map(_has_zero_byte, value))
    return isinstance(value, str) and "\0" in value


def without_null(value: Any) -> Any:
    """A field that is null is as good as absent, as Go's encoders write it."""
    if isinstance(value, dict):
        return {key: without_null(each) for key, each in value.items() if each is not None}
    return [without_null(each) for each in value] if isinstance(value, list) else value


def _refuse(tree: Mapping[str, Any]) -> None:
    for dotted in UNSUPPORTED:
        value: Any = tree
        for name in dotted.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value in (None, "", [], {}) and value is not False:
            continue
        if dotted not in _IN_FORCE or value != _IN_FORCE[dotted]:
            raise InvalidInput(f"config.json: {dotted} is not supported", hint="leave it out")


def _check(config: Config) -> None:
    if not _VERSION.fullmatch(config.ociVersion):
        raise _wrong(f"ociVersion {config.ociVersion[:20]!r} is not 1.x")
    _check_namespaces(config)
    _check_hooks(config.hooks)
    for mount in config.mounts:
        if bool(mount.uidMappings) != bool(mount.gidMappings):
            raise _wrong("mounts.uidMappings and gidMappings go together")
        for each in (*mount.uidMappings, *mount.gidMappings):
            each.range()
    config.linux.resources.limits()
    _check_net_devices(config.linux)
    if config.process is not None:
        check_process(config.process)


def _check_net_devices(linux: Linux) -> None:
    kinds = {each.type for each in linux.namespaces}
    if linux.netDevices and "network" not in kinds:
        raise _wrong("linux.netDevices needs a network namespace of the container's")
    for name, device in linux.netDevices.items():
        for word in (name, device.name or name):
            if not 0 < len(word.encode()) < 16 or "/" in word or word in {".", ".."}:
                raise _wrong(f"linux.netDevices {word[:20]!r} is no name of an interface")


def _check_namespaces(config: Config) -> None:
    kinds: dict[str, str] = {}
    for each in config.linux.namespaces:
        if each.type in kinds:
            raise _wrong(f"linux.namespaces has {each.type} twice")
        _check_path(each)
        kinds[each.type] = each.path
    if "mount" not in kinds:
        raise _wrong("linux.namespaces without a new mount namespace is not supported")
    _check_namespaced(config, kinds)


def _check_path(request: NamespaceRequest) -> None:
    if request.path and not os.path.isabs(request.path):
        raise _wrong(f"linux.namespaces: path {request.path[:80]!r} is not absolute")


def _check_namespaced(config: Config, kinds: Mapping[str, str]) -> None:
    """What needs a namespace has one."""
    if (config.hostname or config.domainname) and "uts" not in kinds:
        raise _wrong("hostname and domainname need a uts namespace")
    linux = config.linux
    if (kinds.get("user") == "") != bool(linux.uidMappings and linux.gidMappings):
        raise _wrong("linux.uidMappings, gidMappings and a new user namespace go together")
    for each_map in (*linux.uidMappings, *linux.gidMappings):
        each_map.range()
    if linux.timeOffsets and kinds.get("time") != "":
        raise _wrong("linux.timeOffsets needs a new time namespace")
    if unknown := set(linux.timeOffsets) - {"boottime", "monotonic"}:
        raise _wrong(f"linux.timeOffsets.{min(unknown)[:40]} is not supported")


def _check_hooks(hooks: Hooks) -> None:
    for name in hooks.__struct_fields__:
        for hook in getattr(hooks, name):
            if not os.path.isabs(hook.path) or (hook.timeout is not None and hook.timeout <= 0):
                raise _wrong(f"hooks.{name}: path must be absolute, timeout above zero")


def _check_labels(process: Process) -> None:
    for module, name in LABELS.items():
        if getattr(process, name) and not is_active(module):
            what = f"config.json: process.{name} needs {module.value}, which is not active"
            raise InvalidInput(what, hint="leave it out")


def check_process(process: Process) -> None:
    """What types alone do not say."""
    if not os.path.isabs(process.cwd):
        raise _wrong("process.cwd is not an absolute path")
    if not process.args:
        raise _wrong("process.args is empty")
    if any("=" not in pair for pair in process.env):
        raise _wrong("process.env has an entry without '='")
    _check_labels(process)
    types = [limit.type for limit in process.rlimits]
    if len(set(types)) < len(types):
        raise _wrong("process.rlimits has a type twice")
    size = process.consoleSize
    if size is not None and max(size.height, size.width) > 0xFFFF:
        raise _wrong("process.consoleSize is above 65535")


def _wrong(why: str) -> InvalidInput:
    return InvalidInput(
        f"config.json: {why}", hint="config.md of the OCI runtime-spec has the rules"
    )
