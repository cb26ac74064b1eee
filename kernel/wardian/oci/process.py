"""The last steps before execve(2): a process of config.json, from root to what it may be."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import stat
from collections.abc import Iterable
from typing import TYPE_CHECKING, NoReturn

import msgspec

from wardian.errors import CommandFailed, InvalidInput, KernelRefused
from wardian.linux import capabilities, process
from wardian.linux.capabilities import Capability
from wardian.linux.security_module import set_exec_label
from wardian.linux.syscall import check, libc
from wardian.oci import scheduling
from wardian.oci.config import LABELS, Process
from wardian.runtime import rootfs

if TYPE_CHECKING:
    from wardian.oci.listener import Listener

_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_PASSWD_BYTES = 1 << 20


class Filter(msgspec.Struct, frozen=True):
    """A compiled filter and the flags to load it with; who gets its listener, and what is said."""

    program: bytes
    flags: int
    listener: Listener | None = None
    host_pid: int = 0
    state: dict[str, object] = msgspec.field(default_factory=dict)

    def of(self, host_pid: int, state: dict[str, object]) -> Filter:
        """The same, of a certain process in a container of this state."""
        return msgspec.structs.replace(self, host_pid=host_pid, state=state)

    def load(self) -> None:
        """Put it on us, for good."""
        from wardian.linux import seccomp  # a container without a filter does without

        notify_fd = seccomp.load(self.program, self.flags)
        if self.listener is not None:
            self.listener.tell(notify_fd, self.state, self.host_pid)


def environment(spec: Process) -> dict[str, str]:
    """Its variables; the last of a name counts. HOME is what the container's /etc/passwd says."""
    env = dict(pair.partition("=")[::2] for pair in spec.env)
    if "HOME" not in env:
        env["HOME"] = _home(spec.user.uid)
    return env


def _home(uid: int) -> str:
    """A user's directory by the container's own passwd(5), which may be anything; ``/`` if none."""
    try:
        fd = os.open("/etc/passwd", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            text = os.read(fd, _PASSWD_BYTES) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
        finally:
            os.close(fd)
    except OSError:
        return "/"
    rows = (line.split(b":") for line in text.splitlines())
    found = (os.fsdecode(row[5]) for row in rows if len(row) == 7 and row[2] == b"%d" % uid)
    return next(found, "") or "/"


def find(spec: Process) -> str:
    """The program's path; CommandFailed if there is none, before anybody is told of success."""
    name = spec.args[0]
    env = environment(spec)
    folders = env.get("PATH", "").split(":")
    paths = [name] if "/" in name else [f"{folder or '.'}/{name}" for folder in folders]
    found = [path for path in paths if os.path.exists(path)]
    for path in found:
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    if found:
        raise CommandFailed(f"{name}: permission denied: not executable", exit_code=126)
    raise CommandFailed(f"{name}: executable file not found in $PATH", exit_code=127)


def adjust(spec: Process) -> None:
    """What needs the host's /proc and rights: OOM score and rlimits."""
    if spec.oomScoreAdj is not None:
        set_oom_score(spec.oomScoreAdj)
    scheduling.apply(spec)
    _label(spec)
    for limit in spec.rlimits:
        number = getattr(resource, limit.type, None)
        if number is None or not limit.type.startswith("RLIMIT_"):
            raise InvalidInput(f"config.json: process.rlimits {limit.type[:40]!r} is unknown")
        pair = (_signed(limit.soft), _signed(limit.hard))
        try:
            resource.setrlimit(number, pair)
        except ValueError as error:
            raise InvalidInput(f"config.json: process.rlimits {limit.type}: {error}") from error


def _label(spec: Process) -> None:
    """What the program will run under; through the host's /proc, which no image can redirect."""
    for module, name in LABELS.items():
        if label := getattr(spec, name):
            try:
                set_exec_label(module, label)
            except KernelRefused as error:
                what = f"config.json: process.{name} {label[:80]!r}: {os.strerror(error.errno)}"
                raise InvalidInput(what, hint=f"name one that {module.value} has loaded") from error


def _signed(value: int) -> int:
    """RLIM_INFINITY as Python knows it."""
    return -1 if value == (1 << 64) - 1 else value


def set_oom_score(value: int) -> None:
    """proc(5): lowering it needs CAP_SYS_RESOURCE."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(value))
    except OSError as error:
        what = f"config.json: process.oomScoreAdj {value}: {error.strerror}"
        raise InvalidInput(what, hint="give one that is not below the runtime's own") from error


def enter(spec: Process) -> None:
    """Go to its working directory, which must be inside (CVE-2024-21626)."""
    root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = rootfs.target(root_fd, spec.cwd, directory=True)
        os.fchdir(fd)
        os.close(fd)
    except (InvalidInput, OSError) as error:
        why = getattr(error, "strerror", "") or "it is no directory that can be made or entered"
        raise CommandFailed(f"cannot enter {spec.cwd}: {why}", exit_code=126) from error
    finally:
        os.close(root_fd)
    if not os.getcwd().startswith("/"):
        raise CommandFailed(f"{spec.cwd} is outside the container", exit_code=126)


def confine(spec: Process, program: Filter | None, own: int) -> None:
    """Give up everything that the spec does not grant, for good; ``own`` is what we may give."""
    sets = {kind: _parse(names, own) for kind, names in spec.capabilities.items()}
    nothing: frozenset[Capability] = frozenset()
    if program is not None and not spec.noNewPrivileges:
        program.load()  # needs CAP_SYS_ADMIN, which goes next
    capabilities.drop_bounding(sets.get("bounding", nothing))
    process.set_keep_capabilities(True)
    os.umask(spec.user.umask)
    _set_groups(spec.user.additionalGids)
    os.setresgid(spec.user.gid, spec.user.gid, spec.user.gid)
    os.setresuid(spec.user.uid, spec.user.uid, spec.user.uid)
    process.set_keep_capabilities(False)
    capabilities.clear_ambient()
    capabilities.set_capabilities(
        effective=sets.get("effective", nothing),
        permitted=sets.get("permitted", nothing),
        inheritable=sets.get("inheritable", nothing),
    )
    # An ambient one must be permitted and inheritable (capabilities(7)); others were warned of.
    may_be_ambient = sets.get("permitted", nothing) & sets.get("inheritable", nothing)
    for capability in sets.get("ambient", nothing) & may_be_ambient:
        raise_, value, zero = map(ctypes.c_ulong, (_PR_CAP_AMBIENT_RAISE, capability, 0))
        check(libc.prctl(_PR_CAP_AMBIENT, raise_, value, zero, zero), "prctl(PR_CAP_AMBIENT_RAISE)")
    process.set_dumpable(False)  # a change of ids made it so again
    if spec.noNewPrivileges:
        process.set_no_new_privs()
        if program is not None:
            program.load()


def _set_groups(gids: tuple[int, ...]) -> None:
    try:
        os.setgroups(gids)
    except PermissionError as error:  # a map of one id has setgroups=deny (user_namespaces(7))
        if gids:
            what = "config.json: process.user.additionalGids: this user namespace allows no groups"
            raise InvalidInput(what, hint="leave it out, or map groups with newgidmap") from error


def _parse(names: Iterable[str], own: int) -> frozenset[Capability]:
    """Those that this host can give: root of a machine may lack some."""
    known = [Capability[name[4:]] for name in names if name[4:] in Capability.__members__]
    return frozenset(capability for capability in known if own >> capability & 1)


def unavailable(spec: Process, own: int) -> list[str]:
    """Capabilities asked for that cannot be had: a warning (config.md, "capabilities")."""
    names = {name for kind in spec.capabilities.values() for name in kind}
    held = {f"CAP_{capability.name}" for capability in Capability if own >> capability & 1}
    both = [set(spec.capabilities.get(kind, ())) for kind in ("permitted", "inheritable")]
    lonely = set(spec.capabilities.get("ambient", ())) - (both[0] & both[1])
    return sorted((names - held) | lonely)


def become(spec: Process, path: str, env: dict[str, str]) -> NoReturn:
    """execve(2); CommandFailed if the kernel refuses."""
    try:
        os.execve(path, list(spec.args), env)
    except OSError as error:
        code = 127 if error.errno == errno.ENOENT else 126
        what = f"{spec.args[0]}: {error.strerror}"
        raise CommandFailed(what, exit_code=code) from error
