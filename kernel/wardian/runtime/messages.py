"""What keeper, init and clients say to each other, as typed values.

msgspec checks every field while it decodes, so a message from inside a container that is not
exactly one of these is refused before any code looks at it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct

from wardian.cgroups.limits import Limits
from wardian.network.definition import Attachment, Endpoint, Network, NetworkRequest, Port
from wardian.runtime.health import Health, HealthStatus
from wardian.runtime.restart_policy import RestartPolicy
from wardian.runtime.spec import Bind, ContainerSpec, Keep, ProcessSpec
from wardian.runtime.state import Status
from wardian.storage.driver import Driver

if TYPE_CHECKING:
    from wardian.storage.snapshotter import Snapshot

ShortText = Annotated[str, Meta(max_length=4096)]
MAIN_KEY = 0
NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
READY = "ready"  # the child, set up; a line follows for each thing that it had to borrow

# --- keeper → init ---------------------------------------------------------------------------


class Spawn(Struct, frozen=True, tag=True):
    """Start a process; the message's descriptors become the numbers in ``targets``.

    Descriptors beyond those are kept by init for the next keeper, as long as the process runs.
    Keys of probes (healthchecks) are below `MAIN_KEY`.
    """

    key: int
    process: ProcessSpec
    targets: tuple[int, ...]
    terminal: bool = False


class SendSignal(Struct, frozen=True, tag=True):
    """Send a signal to the process with this key, or to every process but init."""

    signal: int
    key: int | None = None
    group: bool = False


class Hello(Struct, frozen=True, tag=True):
    """A (new) keeper is here: answer with the table of processes."""


class Shutdown(Struct, frozen=True, tag=True):
    """SIGTERM everything, SIGKILL what is left after ``timeout_s``, then exit."""

    timeout_s: float = 10.0
    signal: int = 15


class ShowNamespaces(Struct, frozen=True, tag=True):
    """Show the namespaces that init is in."""


ToInit = Spawn | SendSignal | Hello | Shutdown | ShowNamespaces

# --- init → keeper (hostile) -----------------------------------------------------------------


class Spawned(Struct, frozen=True, tag=True):
    """The program runs. Descriptors: its pidfd and, if asked for, its terminal's master."""

    key: int
    container_pid: Annotated[int, Meta(ge=1, le=1 << 22)]


class SpawnFailed(Struct, frozen=True, tag=True):
    """The program could not be executed; ``exit_code`` as docker's (125, 126, 127)."""

    key: int
    what: ShortText
    exit_code: Annotated[int, Meta(ge=0, le=255)]
    hint: ShortText = ""


class Exited(Struct, frozen=True, tag=True):
    """A process that was spawned has ended; 128+n if by signal n."""

    key: int
    exit_code: Annotated[int, Meta(ge=0, le=255)]


class Table(Struct, frozen=True, tag=True):
    """The answer to Hello: (key, container pid) of what runs, (key, exit code) of what ran.

    Descriptors: a pidfd for each running process, then those kept for the main process.
    """

    running: Annotated[tuple[tuple[int, int], ...], Meta(max_length=60)]
    exited: Annotated[tuple[tuple[int, int], ...], Meta(max_length=512)]


class Namespaces(Struct, frozen=True, tag=True):
    """Descriptors: those of `NAMESPACES`."""


FromInit = Spawned | SpawnFailed | Exited | Table | Namespaces

# --- keeper ↔ zygote -------------------------------------------------------------------------


class Clone(Struct, frozen=True):
    """Clone a process with these flags. Descriptors: its socket, namespaces, its cgroup (if any).

    It is born in the ``joins`` namespaces; its clocks (monotonic, boottime) are ahead by seconds.
    For one that ``takes_errand`` the last descriptor is a socket on which the errand answers.
    """

    flags: int
    joins: int = 0
    clocks: tuple[int, int] = (0, 0)

    @property
    def takes_errand(self) -> bool:
        """Whether a process has to go somewhere first to clone it there."""
        return bool(self.joins) or any(self.clocks)


class Cloned(Struct, frozen=True):
    """Its PID, with its pidfd; or why not. Also the answer about an errand, without a pidfd."""

    host_pid: int
    errno: int = 0


# --- keeper → the child that becomes init ----------------------------------------------------


class Furnish(Struct, frozen=True):
    """The first order to the child.

    Descriptors: files of its cgroup to write to; at the end the cgroup namespace that it
    ``joins_cgroup_root`` of, if it does.
    """

    own_network: bool
    in_user_namespace: bool
    has_tty_group: bool
    cgroup_mounts: tuple[tuple[str, str], ...]
    own_cgroup_root: bool = True
    joins_cgroup_root: bool = False
    owns_pids: bool = True
    has_loan: bool = False
    hides_paths: bool = True
    sysctls: dict[str, str] = {}


class Lay(Struct, frozen=True):
    """The second order: put the root together from its layers.

    With ``plain_hostname`` the spec will add nothing to it (`ContainerSpec.is_plain`), so
    the child confines itself at once. With the native driver ``upper`` is the root; the child is to
    fill it if it gets no descriptors. Descriptors: the listening socket; with fuse-overlayfs the
    root; then the trees of `wardian.runtime.trees`, unless the child is to make them from these
    paths.
    """

    lowers: tuple[str, ...]
    snapshot: str
    upper: str
    work: str
    binds: tuple[Bind, ...]
    plain_hostname: str = ""
    driver: Driver = Driver.OVERLAY

    @property
    def tree(self) -> str:
        """What is to be mounted of the snapshot."""
        is_native = self.driver is Driver.NATIVE
        return f"{self.snapshot}/{self.upper}" if is_native else self.snapshot


# If the keeper asks: the child sends its user namespace before it is laid, its network's after.
NETWORK, USER = b"net", b"user"


class Enter(Struct, frozen=True):
    """The third order: what the spec adds. Descriptors: the binds' trees, as with `Lay`.

    ``seccomp`` is the filter; with ``has_usual_seccomp`` it is the one that both sides know.
    """

    spec: ContainerSpec
    binds: tuple[Bind, ...]
    bind_is_directory: tuple[bool, ...]
    seccomp: bytes | None
    has_usual_seccomp: bool = False


# --- client → keeper -------------------------------------------------------------------------


class Request(Struct, frozen=True):
    """One call of a client: ``call`` names it, ``body`` is its value as JSON."""

    id: int
    call: str
    body: msgspec.Raw = msgspec.Raw(b"null")


class Failure(Struct, frozen=True):
    """An error of the tree in wardian.errors, by class name."""

    kind: str
    what: str
    hint: str = ""
    exit_code: int | None = None


class Answer(Struct, frozen=True):
    """The answer to the request with the same id; for ``events`` there are many."""

    id: int
    body: msgspec.Raw = msgspec.Raw(b"null")
    failure: Failure | None = None


class CreateCall(Struct, frozen=True):
    """``create``: a container that does not run yet."""

    spec: ContainerSpec


class RunCall(Struct, frozen=True):
    """Create and start; ``targets`` number the main process's descriptors (none: the log).

    With ``attach`` the answer has the descriptors of `JoinCall`, from the first byte on.
    A container that is kept ``NEVER`` or ``STOP`` is attached to the calling connection at once.
    """

    spec: ContainerSpec
    targets: tuple[int, ...] = ()
    terminal: bool = False
    attach: bool = False


class NameCall(Struct, frozen=True):
    """A call that needs nothing but which container (name, id or start of an id)."""

    name: str


class StartCall(Struct, frozen=True):
    """Start a container that exists; all else as in `RunCall`."""

    name: str
    targets: tuple[int, ...] = ()
    terminal: bool = False
    attach: bool = False


class JoinCall(Struct, frozen=True):
    """``join``: see what the main process prints from now on, and be able to write to it.

    The answer's descriptors: pipes of its stdout and stderr, and the writing end of its stdin if
    that is kept open; of a terminal, a pipe of what it shows and its master.
    """

    name: str


class StopCall(Struct, frozen=True):
    """``stop``: a signal, and SIGKILL after the timeout."""

    name: str
    timeout_s: float = 10.0
    signal: int = 15


class KillCall(Struct, frozen=True):
    """``kill``: a signal to one process or to the main one."""

    name: str
    signal: int = 9
    key: int | None = None


class RemoveCall(Struct, frozen=True):
    """``rm``; with ``volumes`` its anonymous volumes go, too."""

    name: str
    force: bool = False
    volumes: bool = False


class SpawnCall(Struct, frozen=True):
    """``exec``: the message's descriptors become the numbers in ``targets``."""

    name: str
    process: ProcessSpec
    targets: tuple[int, ...]
    terminal: bool = False


class RenameCall(Struct, frozen=True):
    """``rename``."""

    name: str
    new_name: str


class WaitCall(Struct, frozen=True):
    """``wait``: for one process, or for the container."""

    name: str
    key: int | None = None


class HealthCall(Struct, frozen=True):
    """``wait_healthy``: until it is healthy or unhealthy, has ended, or the time is up."""

    name: str
    timeout_s: float | None = None


class HealthAnswer(Struct, frozen=True):
    """How it is; ``starting`` when the time is up, None if it has ended."""

    status: HealthStatus | None


class AttachCall(Struct, frozen=True):
    """``attach``: hold the container with this connection."""

    name: str
    keep: Keep


class UpdateCall(Struct, frozen=True):
    """``update``: what is None stays."""

    name: str
    limits: Limits | None = None
    restart: RestartPolicy | None = None


class ConnectCall(Struct, frozen=True):
    """``network connect``."""

    name: str
    attachment: Attachment


class DisconnectCall(Struct, frozen=True):
    """``network disconnect``."""

    name: str
    network: str


class CreateNetworkCall(Struct, frozen=True):
    """``network create``."""

    request: NetworkRequest


class NetworkInfo(Struct, frozen=True):
    """A network that was made or removed."""

    network: Network


class ContainerInfo(Struct, frozen=True, kw_only=True):
    """A container as clients see it. Paths are the host's; times are seconds since the epoch.

    ``lowers`` are uppermost first. ``cgroups`` maps a controller (``unified`` for v2) to its
    directory. ``host_pid`` is init's.
    """

    id: str
    name: str
    image: str
    status: Status
    created_at: float
    spec: ContainerSpec
    lowers: tuple[str, ...]
    upper: str
    work: str
    driver: Driver = Driver.OVERLAY
    host_pid: int | None = None
    started_at: float | None = None
    finished_at: float | None = None
    exit_code: int | None = None
    exit_reason: str = ""
    first_host_id: int | None = None
    cgroups: dict[str, str] = {}
    warnings: tuple[str, ...] = ()
    log_directory: str = ""
    restart_count: int = 0
    endpoints: tuple[Endpoint, ...] = ()
    published: tuple[Port, ...] = ()
    health: Health | None = None
    was_oom_killed: bool = False
    ran_s: float = 0.0

    @property
    def merged(self) -> str | None:
        """The container's root as its processes see it, by way of init; None if not running."""
        return f"/proc/{self.host_pid}/root" if self.host_pid else None

    @property
    def snapshot(self) -> Snapshot:
        """What it writes to."""
        from wardian.storage.snapshotter import Snapshot  # hardly any command needs it

        upper, work = Path(self.upper), Path(self.work)
        return Snapshot(self.id, upper, work, self.driver, self.first_host_id)


class SpawnedProcess(Struct, frozen=True):
    """What a client learns of a process that it had started; ``host_pid`` 0: it has ended."""

    key: int
    container_pid: int
    host_pid: int


encode = msgspec.json.Encoder().encode


@functools.cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode(data: bytes | msgspec.Raw, kind: Any) -> Any:
    """A value of ``kind`` from JSON. A decoder takes half a millisecond to make: each is kept."""
    return _decoder(kind).decode(data)


def warm_up() -> None:
    """Make the decoders of a start before the first one, and before a child is forked."""
    for kind in (
        Clone,
        Cloned,
        Furnish,
        Lay,
        Enter,
        Failure,
        RunCall,
        NameCall,
        SpawnCall,
        WaitCall,
        AttachCall,
        ToInit,
        FromInit,
        Request,
        Answer,
    ):
        _decoder(kind)


decode_to_init: Callable[[bytes], ToInit] = functools.partial(decode, kind=ToInit)
decode_from_init: Callable[[bytes], FromInit] = functools.partial(decode, kind=FromInit)
decode_request: Callable[[bytes], Request] = functools.partial(decode, kind=Request)
decode_answer: Callable[[bytes], Answer] = functools.partial(decode, kind=Answer)
