"""The command line, by getopt: its words and exit codes are runc's."""

from __future__ import annotations

import getopt
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from wardian.errors import CommandFailed, FailedPrecondition, InvalidInput, NotFound, WardianError
from wardian.linux.exit import leave
from wardian.linux.process import start_ticks
from wardian.oci import group, listing
from wardian.oci.group import Manager
from wardian.oci.log import LOG
from wardian.oci.state import OCI_VERSION, Folder, Record

if TYPE_CHECKING:
    from wardian.oci.console import Console

USAGE = """usage: wardian-oci [--root DIR] [--log FILE] [--log-format text|json] [--debug]
                   [--cgroup-manager cgroupfs|systemd|disabled] [--systemd-cgroup]
                   COMMAND …

commands: create start state kill delete run exec list ps pause resume update
          events features spec"""
GLOBALS = ["root=", "log=", "log-format=", "cgroup-manager=", "systemd-cgroup", "debug", "version"]
GLOBALS += ["rootless="]
BUNDLE = [
    "bundle=",
    "config=",
    "pid-file=",
    "console-socket=",
    "preserve-fds=",
    "no-pivot",
    "no-new-keyring",
]
EXEC = [
    "process=",
    "cgroup=",
    "pid-file=",
    "console-socket=",
    "preserve-fds=",
    "cwd=",
    "env=",
    "user=",
    "additional-gids=",
    "cap=",
    "process-label=",
    "apparmor=",
    "no-new-privs",
    "ignore-paused",
    "tty",
    "detach",
]
UPDATES = (
    "memory",
    "memory-swap",
    "memory-reservation",
    "cpu-quota",
    "cpu-period",
    "cpu-burst",
    "cpu-share",
    "cpu-rt-period",
    "cpu-rt-runtime",
    "cpuset-cpus",
    "cpuset-mems",
    "blkio-weight",
    "pids-limit",
)
FLAGS: dict[str, tuple[str, list[str]]] = {
    "create": ("b:f:", BUNDLE),
    "run": ("b:df:", [*BUNDLE, "detach", "keep", "no-subreaper"]),
    "start": ("", []),
    "state": ("", []),
    "kill": ("a", ["all"]),
    "delete": ("f", ["force"]),
    "exec": ("p:e:tdu:g:c:", EXEC),
    "list": ("f:q", ["format=", "quiet"]),
    "ps": ("f:", ["format="]),
    "pause": ("", []),
    "resume": ("", []),
    "update": ("r:", ["resources=", *(f"{name}=" for name in UPDATES)]),
    "events": ("", ["stats", "interval="]),
    "features": ("", []),
    "spec": ("b:", ["bundle=", "rootless"]),
}
# What follows the flags, where it is more or less than the container's id.
OPERANDS = {"list": "", "features": "", "spec": "", "kill": "ID [SIGNAL]"}
OPERANDS |= {"exec": "ID [COMMAND ARG…]", "ps": "ID [PS-OPTION…]"}
SHORT = {"-b": "bundle", "-d": "detach", "-a": "all", "-p": "process", "-e": "env"}
SHORT |= {"-r": "resources", "-t": "tty", "-q": "quiet", "-u": "user", "-c": "cap"}
SHORT |= {"-g": "additional-gids"}


class Invocation(msgspec.Struct):
    """What was typed."""

    root: str = ""
    manager: Manager = Manager.CGROUPFS
    command: str = ""
    flags: dict[str, str] = msgspec.field(default_factory=dict)
    repeated: dict[str, list[str]] = msgspec.field(default_factory=dict)
    words: list[str] = msgspec.field(default_factory=list)

    def folder(self) -> Folder:
        """The container named first."""
        if not self.words:
            raise InvalidInput(f"{self.command}: the container's id is missing")
        return Folder(self.root, self.words[0])

    def list(self, flag: str) -> tuple[str, ...]:
        """All words of a flag that can be given more than once."""
        return tuple(self.repeated.get(flag, ()))


def main() -> NoReturn:
    """Entry of `wardian-oci`."""
    leave(_tried(Invocation(), sys.argv[1:]))


def _tried(invocation: Invocation, argv: list[str]) -> int:
    try:
        return _run(invocation, argv)
    except getopt.GetoptError as error:
        LOG.error(f"{error.msg}\n{USAGE}")
    except CommandFailed as error:
        LOG.error(error.what)
        return error.exit_code if invocation.command in {"run", "exec"} else 1
    except WardianError as error:
        LOG.error(error.what)
    except OSError as error:
        LOG.error(f"{error.filename or invocation.command}: {error.strerror}")
    return 1


def _run(invocation: Invocation, argv: list[str]) -> int:
    pairs, rest = getopt.getopt(argv, "hv", [*GLOBALS, "help"])
    given = {name.lstrip("-"): value for name, value in pairs}
    invocation.root = given.get("root") or _usual_root()
    LOG.path, LOG.is_debug = given.get("log", ""), "debug" in given
    LOG.format = given.get("log-format", "text")
    if LOG.format not in {"text", "json"}:
        raise InvalidInput(f"--log-format {LOG.format[:20]!r}: text or json")
    if "version" in given or "v" in given:
        _print(f"wardian-oci version 0.1.0\nspec: {OCI_VERSION}")
        return 0
    if "help" in given or "h" in given:
        _print(USAGE)
        return 0
    if given.get("rootless", "auto") not in {"auto", "true", "false"}:
        raise InvalidInput(f"--rootless {given['rootless'][:20]!r}: true, false or auto")
    word = "systemd" if "systemd-cgroup" in given else given.get("cgroup-manager", "cgroupfs")
    if word not in {each.value for each in Manager}:
        raise InvalidInput(f"--cgroup-manager {word[:20]!r}: cgroupfs, systemd or disabled")
    invocation.manager = Manager(word)
    if not rest or rest[0] not in FLAGS:
        raise getopt.GetoptError(f"unknown command {rest[0]!r}" if rest else "no command")
    invocation.command = rest[0]
    letters, words = FLAGS[rest[0]]
    pairs, invocation.words = getopt.getopt(rest[1:], f"{letters}h", [*words, "help"])
    if any(name in {"-h", "--help"} for name, _ in pairs):
        _print(_usage_of(rest[0]))
        return 0
    short = _short_flags(rest[0])
    for name, value in pairs:
        flag = short.get(name, name.lstrip("-"))
        invocation.flags[flag] = value
        invocation.repeated.setdefault(flag, []).append(value)
    LOG.debug(f"{invocation.command} {' '.join(invocation.words)}")
    return COMMANDS[rest[0]](invocation)


def _short_flags(command: str) -> dict[str, str]:
    """What letters stand for; -f for --force, --format or --config, whichever there is."""
    names = {word.rstrip("=") for word in FLAGS[command][1]}
    return SHORT | {"-f": next(iter(names & {"force", "format", "config"}), "")}


def _usage_of(command: str) -> str:
    """Its flags, one a line; of those with a value what that is follows from the name."""
    letters_of, words = FLAGS[command]
    short = _short_flags(command)
    lines = [f"usage: wardian-oci {command} [FLAG…] {OPERANDS.get(command, 'ID')}".rstrip(), ""]
    for word in [*words, "help"]:
        name, takes_value, _ = word.partition("=")
        letters = [one for one, each in short.items() if each == name and one[1] in letters_of]
        lines.append("  " + ", ".join([*letters, f"--{name}"]) + (" VALUE" if takes_value else ""))
    return "\n".join(lines)


def _usual_root() -> str:
    """Where containers are noted, by runc's rule: a user's lie in their runtime directory."""
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.geteuid() == 0 and not (folder and _is_in_user_namespace()):
        return "/run/wardian-oci"
    if not os.path.isabs(folder):
        raise InvalidInput("XDG_RUNTIME_DIR is not set", hint="give --root DIR")
    return os.path.join(folder, "wardian-oci")


def _is_in_user_namespace() -> bool:
    return Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]


def _print(text: str) -> None:
    print(text)  # noqa: T201


def _json(value: object) -> None:
    _print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _count(flag: str, text: str) -> int:
    if not text.isdecimal() or int(text) > 200:
        raise InvalidInput(f"{flag} {text[:20]!r} is not a number from 0 to 200")
    for fd in range(3, 3 + int(text)):
        try:
            os.fstat(fd)
        except OSError:
            raise InvalidInput(f"{flag} {text}: descriptor {fd} is not open") from None
    return int(text)


def _create(invocation: Invocation) -> int:
    with _made(invocation, is_detached=True):
        return 0


@contextmanager
def _made(invocation: Invocation, *, is_detached: bool) -> Iterator[tuple[Record, Console]]:
    from wardian.oci import create
    from wardian.oci.console import Console

    flags, folder = invocation.flags, invocation.folder()
    bundle = os.path.realpath(flags.get("bundle", "."))
    # sd_listen_fds(3): sockets that whoever started us gives to the program, if they are for us.
    is_for_us = os.environ.get("LISTEN_PID") == str(os.getpid())
    listening = _count("LISTEN_FDS", os.environ.get("LISTEN_FDS", "0")) if is_for_us else 0
    options = create.Options(
        bundle=bundle,
        manager=invocation.manager,
        pid_file=flags.get("pid-file", ""),
        preserve_fds=_count("--preserve-fds", flags.get("preserve-fds", "0")) + listening,
        no_pivot="no-pivot" in flags,
        new_keyring="no-new-keyring" not in flags,
    )
    file = os.path.join(bundle, flags.get("config") or "config.json")
    config = create.read_config(bundle, file, listening)
    is_wanted = config.process is not None and config.process.terminal
    path = flags.get("console-socket", "")
    with Console.open(path, is_wanted=is_wanted, is_detached=is_detached) as console:
        yield create.create(folder, config, options, console), console


def _start(invocation: Invocation) -> int:
    from wardian.oci import create

    create.start(invocation.folder())
    return 0


def _run_command(invocation: Invocation) -> int:
    from wardian.oci import create, deletion

    is_detached = "detach" in invocation.flags
    folder = invocation.folder()
    with _made(invocation, is_detached=is_detached) as (record, console):
        try:
            create.start(folder)
        except BaseException:
            if folder.path.exists():
                deletion.remove(folder, record)
            raise
        if is_detached:
            return 0
        code = console.wait(record.pid)
    if "keep" not in invocation.flags:
        deletion.remove(folder, folder.read())
    return code


def _exec(invocation: Invocation) -> int:
    from wardian.oci import execute

    flags = invocation.flags
    options = execute.Options(
        process=flags.get("process", ""),
        cgroups=invocation.list("cgroup"),
        pid_file=flags.get("pid-file", ""),
        console_socket=flags.get("console-socket", ""),
        preserve_fds=_count("--preserve-fds", flags.get("preserve-fds", "0")),
        cwd=flags.get("cwd", ""),
        env=invocation.list("env"),
        apparmor=flags.get("apparmor", ""),
        process_label=flags.get("process-label", ""),
        user=flags.get("user", ""),
        groups=invocation.list("additional-gids"),
        capabilities=invocation.list("cap"),
        no_new_privs="no-new-privs" in flags,
        tty="tty" in flags,
        detach="detach" in flags,
        ignore_paused="ignore-paused" in flags,
    )
    return execute.execute(invocation.folder(), invocation.words[1:], options)


def _state(invocation: Invocation) -> int:
    folder = invocation.folder()
    record = folder.read()
    _json(listing.described(record, folder.status(record)))
    return 0


def _kill(invocation: Invocation) -> int:
    folder = invocation.folder()
    number = _signal(invocation.words[1] if len(invocation.words) > 1 else "TERM")
    record = folder.read()
    status = folder.status(record)
    cgroup = group.recorded(record.cgroups)
    if "all" in invocation.flags and cgroup is not None:
        for host_pid in cgroup.processes():
            with suppress(ProcessLookupError):
                os.kill(host_pid, number)
        return 0
    if status not in {"created", "running", "paused"}:
        raise FailedPrecondition(f"cannot kill container {folder.id}: it is {status}")
    _send(record, number)
    if number == signal.SIGKILL and status == "paused" and cgroup is not None:
        cgroup.thaw()  # v1 lets the frozen die only then
    return 0


def _send(record: Record, number: int) -> None:
    """By a descriptor, so that no other process of the same number is hit."""
    if not record.pid:
        return  # its creation was killed: the group is all that there is
    try:
        pidfd = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return
    try:
        if start_ticks(record.pid) == record.started_ticks:
            signal.pidfd_send_signal(pidfd, number)
    finally:
        os.close(pidfd)


def _signal(word: str) -> int:
    name = word.upper()
    if word.isdecimal() and int(word) < signal.NSIG:
        return int(word)
    found = getattr(signal, name if name.startswith("SIG") else f"SIG{name}", None)
    if not isinstance(found, signal.Signals):
        raise InvalidInput(f"unknown signal {word[:20]!r}")
    return int(found)


def _delete(invocation: Invocation) -> int:
    from wardian.oci import deletion

    folder = invocation.folder()
    was_unfinished = deletion.finish(invocation.root, folder.id)
    force = "force" in invocation.flags
    if (force or was_unfinished) and not folder.path.exists():
        return 0
    try:
        record = folder.read()
    except NotFound:
        if not force:
            raise
        folder.remove()  # whoever was to make it was killed before there was anything else
        return 0
    status = folder.status(record)
    if status != "stopped":
        if not force:
            raise FailedPrecondition(f"cannot delete container {folder.id}: it is {status}")
        _send(record, signal.SIGKILL)
    deletion.remove(folder, record)
    return 0


def _list(invocation: Invocation) -> int:
    rows: list[dict[str, object]] = []
    with suppress(FileNotFoundError):
        for name in sorted(os.listdir(invocation.root)):
            with suppress(WardianError):
                folder = Folder(invocation.root, name)
                record = folder.read()
                row = listing.described(record, folder.status(record))
                rows.append({**row, "pid": row.get("pid", 0)})
    if "quiet" in invocation.flags:
        for row in rows:
            _print(str(row["id"]))
    elif _format(invocation) == "json":
        _print(msgspec.json.encode(rows).decode())
    else:
        _print(listing.table(rows))
    return 0


def _format(invocation: Invocation) -> str:
    word = invocation.flags.get("format") or "table"
    if word not in {"table", "json"}:
        raise InvalidInput(f"--format {word[:20]!r}: table or json")
    return word


def _ps(invocation: Invocation) -> int:
    record = invocation.folder().read()
    cgroup = group.recorded(record.cgroups)
    host_pids = cgroup.processes() if cgroup else listing.in_pid_namespace_of(record)
    if _format(invocation) == "json":
        _print(msgspec.json.encode(host_pids).decode())
        return 0
    _print(listing.processes(host_pids, invocation.words[1:] or ["-ef"]))
    return 0


def _pause(invocation: Invocation) -> int:
    return _freeze(invocation, wanted=("created", "running"))


def _resume(invocation: Invocation) -> int:
    return _freeze(invocation, wanted=("paused",))


def _freeze(invocation: Invocation, *, wanted: tuple[str, ...]) -> int:
    folder = invocation.folder()
    with folder.locked() as record:
        status = folder.status(record)
        cgroup = group.recorded(record.cgroups)
        if status not in wanted or cgroup is None:
            why = f"it is {status}" if status not in wanted else "it has no cgroup"
            raise FailedPrecondition(f"cannot {invocation.command} container {folder.id}: {why}")
        if invocation.command == "pause":
            cgroup.freeze()
        else:
            cgroup.thaw()
    return 0


def _update(invocation: Invocation) -> int:
    from wardian.oci import update

    update.update(invocation.folder(), invocation.flags)
    return 0


def _events(invocation: Invocation) -> int:
    from wardian.oci import events

    interval_s = events.seconds(invocation.flags.get("interval", "5s"))
    once = "stats" in invocation.flags
    events.events(invocation.folder(), interval_s=interval_s, once=once)
    return 0


def _features(_: Invocation) -> int:
    from wardian.oci import description

    _json(description.features())
    return 0


def _spec(invocation: Invocation) -> int:
    from wardian.oci import description

    path = Path(invocation.flags.get("bundle", ".")) / "config.json"
    example = description.example(rootless="rootless" in invocation.flags)
    data = msgspec.json.format(msgspec.json.encode(example), indent=4)
    with path.open("xb") as file:
        file.write(data)
    return 0


COMMANDS: dict[str, Callable[[Invocation], int]] = {
    "create": _create,
    "run": _run_command,
    "start": _start,
    "state": _state,
    "kill": _kill,
    "delete": _delete,
    "exec": _exec,
    "list": _list,
    "ps": _ps,
    "pause": _pause,
    "resume": _resume,
    "update": _update,
    "events": _events,
    "features": _features,
    "spec": _spec,
}
