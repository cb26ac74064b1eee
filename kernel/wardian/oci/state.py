"""Containers on disk: one directory each below ``--root``, written atomically, with a version."""

# Annotations are evaluated at once: as text they would cost msgspec 4 ms of each command.
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from wardian.errors import AlreadyExists, FailedPrecondition, InvalidInput, NotFound
from wardian.linux.process import start_ticks
from wardian.linux.whole import write_whole
from wardian.oci.config import Config

VERSION = 1
OCI_VERSION = "1.2.0"
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_+.-]{0,1023}")


class Record(msgspec.Struct):
    """What must be known of a container after the command line has exited."""

    id: str
    bundle: str
    created: str
    config: Config
    pid: int = 0
    started_ticks: int = 0
    cgroups: dict[str, str] = msgspec.field(default_factory=dict)
    owner: str = ""
    parents: list[str] = msgspec.field(default_factory=list)  # of the groups, made with them
    unit: str = ""  # systemd's name for the group, where it made it
    poststop_done: int = 0  # of its poststop hooks, by a `delete`
    version: int = VERSION


class Folder:
    """The state directory of one container."""

    def __init__(self, root: str, container_id: str) -> None:
        if not _ID.fullmatch(container_id) or len(container_id) > 255:
            raise InvalidInput(
                f"invalid container id {container_id[:40]!r}",
                hint="letters, digits, '_', '+', '-' and '.', not beginning with a mark",
            )
        self.id = container_id
        self.path = Path(root) / container_id
        self.fifo = self.path / "exec.fifo"
        self.outcome = self.path / "outcome.fifo"

    def make(self) -> None:
        """Take the id; AlreadyExists if somebody has it."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self.path.mkdir(mode=0o711)
        except FileExistsError:
            raise AlreadyExists(
                f"container {self.id} exists already", hint="delete it or take another id"
            ) from None
        os.mkfifo(self.fifo, 0o600)
        os.mkfifo(self.outcome, 0o600)

    def read(self) -> Record:
        """Its record; NotFound without one."""
        try:
            record = msgspec.json.decode((self.path / "state.json").read_bytes(), type=Record)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"container {self.id} does not exist") from None
        if record.version != VERSION:
            raise FailedPrecondition(f"{self.path}: written by another version of wardian-oci")
        return record

    def write(self, record: Record) -> None:
        """Replace the record in one step."""
        data = msgspec.json.encode(record)
        write_whole(self.path / "state.json", data, is_only_writer=True)

    def move(self, path: Path) -> None:
        """Give it another name; nobody finds it by its id any more."""
        self.path = self.path.rename(path)

    @contextmanager
    def held(self, *, waits: bool) -> Iterator[bool]:
        """Whether it is there and ours, for as long as this lasts."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            yield False
            return
        is_ours = False
        try:
            with suppress(BlockingIOError, FileNotFoundError):
                fcntl.flock(fd, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
                is_ours = os.path.samestat(os.fstat(fd), os.stat(self.path))
            yield is_ours
        finally:
            os.close(fd)

    def remove(self) -> None:
        """Forget it."""
        with suppress(FileNotFoundError):
            for entry in os.scandir(self.path):
                os.unlink(entry)
            os.rmdir(self.path)

    @contextmanager
    def locked(self) -> Iterator[Record]:
        """Its record, while no other command changes it."""
        record = self.read()
        with suppress(FileNotFoundError):
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                yield self.read()
            finally:
                os.close(fd)
            return
        raise NotFound(f"container {record.id} does not exist")

    def status(self, record: Record) -> str:
        """creating, created, running or stopped (runtime.md, "State"); paused is runc's word."""
        if not record.pid:
            return "creating"
        if not is_alive(record):
            return "stopped"
        if self.fifo.exists():
            return "created"
        if _is_frozen(record):
            return "paused"
        return "running"


def _is_frozen(record: Record) -> bool:
    """By version 2's file or version 1's, whichever the group was frozen with."""
    signs = (("unified", "cgroup.freeze", "1"), ("freezer", "freezer.state", "FROZEN"))
    for hierarchy, name, word in signs:
        with suppress(KeyError, OSError):
            if Path(record.cgroups[hierarchy], name).read_text().strip() == word:
                return True
    return False


def is_alive(record: Record) -> bool:
    """Whether its first process is there and no zombie: the same one, not another of its number."""
    try:
        text = Path(f"/proc/{record.pid}/stat").read_text()
    except OSError:
        return False
    if text.rpartition(")")[2].split()[0] in "ZX":
        return False
    return start_ticks(record.pid) == record.started_ticks


def document(record: Record, status: str) -> dict[str, object]:
    """The state as the spec has it; no pid when there is no process."""
    pid = {} if status == "stopped" else {"pid": record.pid}
    state = {"ociVersion": OCI_VERSION, "id": record.id, "status": status, **pid}
    return {**state, "bundle": record.bundle, "annotations": record.config.annotations}
