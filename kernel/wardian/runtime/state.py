"""What is known of each container on disk: one directory a container, replaced atomically.

<root>/containers/<id>/container.json   the record below, version and all
                      /init.sock        where init listens
                      /log.jsonl        what the main process printed
                      /hostname, hosts  mounted into the container's /etc
"""

from __future__ import annotations

import enum
import functools
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from wardian.cgroups.cgroup import Events
from wardian.errors import AlreadyExists, NotFound, SetupError, WardianError, not_ours
from wardian.linux.clock import boot_id, since_boot_s
from wardian.linux.whole import write_whole
from wardian.network.definition import Endpoint, Port
from wardian.runtime.health import Health
from wardian.runtime.spec import ContainerSpec

T = TypeVar("T")
VERSION = 1
Hosts = Sequence[tuple[str, str]]
_NOWHERE = "127.0.1.1"  # Debian's, for a host name without an address
_LOCALHOST = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n"
FILE = "container.json"
NO_HITS = Events()


class Status(enum.Enum):
    """Docker's words for where a container stands."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    EXITED = "exited"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One container. Times are seconds since the epoch, ``started_boot_s`` since ``boot_id``.

    ``first_host_id`` is the host id that the container's root is (None without a user namespace
    of its own range). ``host_pid``, ``started_ticks`` (proc(5) field 22) and ``boot_id`` together
    name init's process beyond doubt. ``warnings`` are limits that are not in force.
    ``endpoints`` and ``published`` (with the host's ports) are there while it runs in a network.
    ``restart_count`` counts restarts by policy in a row, which ends with ``was_stopped``.
    ``health`` is there if it has a healthcheck and was started.
    ``hits`` are the hits of its limits, since it was started, that were told.
    """

    version: int
    id: str
    spec: ContainerSpec
    status: Status
    created_at: float
    first_host_id: int | None = None
    host_pid: int | None = None
    started_ticks: int | None = None
    boot_id: str = ""
    started_at: float | None = None
    finished_at: float | None = None
    exit_code: int | None = None
    exit_reason: str = ""
    warnings: tuple[str, ...] = ()
    started_boot_s: float | None = None
    restart_count: int = 0
    was_stopped: bool = False
    endpoints: tuple[Endpoint, ...] = ()
    published: tuple[Port, ...] = ()
    health: Health | None = None
    hits: Events = NO_HITS

    @property
    def is_running(self) -> bool:
        """Whether it has processes (a paused container has)."""
        return self.status in (Status.RUNNING, Status.PAUSED)

    def ran_s(self) -> float:
        """How long ago it was started, whatever became of the time of day; 0 if nobody knows."""
        if self.started_boot_s is None:
            return 0.0
        return max(0.0, since_boot_s() - self.started_boot_s)


class _Versioned(msgspec.Struct):
    """What every record says, whoever wrote it."""

    version: int


_encode = msgspec.json.Encoder().encode


@functools.cache
def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """Made when it is needed: what only talks to a keeper needs none."""
    return msgspec.json.Decoder(kind)


class Records:
    """The records below one state root."""

    def __init__(self, root: Path) -> None:
        self.directory = root / "containers"
        try:
            self.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(
                f"cannot write the state directory: {error.strerror}",
                hint="set WARDIAN_ROOT to a directory that you can write",
            ) from error

    def home(self, container_id: str) -> Path:
        """The container's own directory."""
        return self.directory / container_id

    def reserve(self, container_id: str) -> None:
        """Make a container's directory. Until it has a record (`create`) it is nobody's."""
        home = self.home(container_id)
        try:
            home.mkdir(mode=0o711, exist_ok=True)
            _write_names(home, usual_hostname(container_id), ())
        except OSError as error:
            _sweep(home)
            raise _cannot_store(error) from error

    def create(self, record: Record, *, is_known: bool = True) -> None:
        """Write the first record of a reserved container: from now on it exists.

        Unless ``is_known`` it does so only with its first `update`.
        """
        home = self.home(record.id)
        if record.spec.hostname != usual_hostname(record.id) or record.spec.extra_hosts:
            try:
                _write_names(home, record.spec.hostname, record.spec.extra_hosts)
            except OSError as error:
                raise _cannot_store(error) from error
        if is_known:
            self._write(home, record)

    def update(self, record: Record, **changes: object) -> Record:
        """Store and return the record with some fields changed."""
        changed = replace(record, **changes)  # names checked by replace
        self._write(self.home(record.id), changed)
        return changed

    def _write(self, home: Path, record: Record) -> None:
        try:
            write_whole(home / FILE, _encode(record), is_only_writer=True)
        except OSError as error:
            raise _cannot_store(error) from error

    def remove(self, container_id: str) -> None:
        """Forget a container: its record goes first, so that half a removal is no container."""
        home = self.home(container_id)
        with suppress(FileNotFoundError):
            (home / FILE).unlink()
        _sweep(home)

    def load(self) -> Iterator[Record]:
        """Every record; a directory without one, or whose record is none, is swept away.

        Raises SetupError for one that another version of Wardian wrote: it is somebody's.
        """
        for entry in sorted(os.scandir(self.directory), key=lambda entry: entry.name):
            path = Path(entry.path) / FILE
            try:
                data = path.read_bytes()
                version = _decoder(_Versioned).decode(data).version
            except (FileNotFoundError, msgspec.MsgspecError):
                _sweep(Path(entry.path))
                continue
            except OSError as error:  # out of descriptors, a bad disk: no reason to remove it
                raise SetupError(f"cannot read a container's state: {error.strerror}") from error
            try:
                if version != VERSION:
                    raise not_ours(path, f"its version is {version}, not {VERSION}")
                yield _decoder(Record).decode(data)
            except (msgspec.MsgspecError, WardianError) as error:
                raise not_ours(path, str(error).partition("\n")[0]) from error


def _write_names(home: Path, hostname: str, extra_hosts: Hosts) -> None:
    (home / "hostname").write_text(hostname + "\n")
    write_hosts(home, (hostname,), extra_hosts)


def write_hosts(
    home: Path,
    names: Sequence[str],
    extra_hosts: Hosts,
    addresses: Sequence[str] = (),
) -> None:
    """The container's /etc/hosts: its own names at its addresses, then others. Raises OSError."""
    lines = [(address, " ".join(names)) for address in addresses or (_NOWHERE,)]
    lines += [(address, name) for name, address in extra_hosts]
    (home / "hosts").write_text(
        _LOCALHOST + "".join(f"{address}\t{name}\n" for address, name in lines)
    )


def _cannot_store(error: OSError) -> SetupError:
    return SetupError(
        f"cannot store the container's state: {error.strerror}",
        hint="free some space, or set WARDIAN_ROOT to another file system",
    )


def usual_hostname(container_id: str) -> str:
    """A container's hostname if none is asked for: the start of its id, as docker's."""
    return container_id[:12]


def new_id() -> str:
    """A container id: 64 hex digits, as docker's."""
    return os.urandom(32).hex()


def find(records: dict[str, Record], name: str) -> Record:
    """The container of this name, id or unambiguous start of an id (docker's rule)."""
    for record in records.values():
        if name in (record.id, record.spec.name):
            return record
    matches = [record for record in records.values() if name and record.id.startswith(name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise NotFound(f"ambiguous container id: {name}", hint="give more digits, or the name")
    raise NotFound(f"no such container: {name[:128]}", hint="`wardian ps -a` lists all containers")


def ensure_free(records: dict[str, Record], name: str) -> None:
    """Raise AlreadyExists if a container has this name."""
    if any(record.spec.name == name for record in records.values()):
        raise AlreadyExists(
            f"the container name {name} is in use",
            hint=f"remove it with `wardian rm {name}`, or choose another name",
        )


@functools.cache
def beginning() -> dict[str, float | str]:
    """What a record says of a start that is now: the time of day, and which time of which boot."""
    return {"started_at": time.time(), "started_boot_s": since_boot_s(), "boot_id": boot_id()}


def _sweep(home: Path) -> None:
    import shutil  # with the archives that it knows 3 ms of imports, which a client does without

    shutil.rmtree(home, ignore_errors=True)
