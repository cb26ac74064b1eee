"""What a container and a process in it are asked to be: immutable values that travel as JSON."""

from __future__ import annotations

import enum
import re

import msgspec

from wardian.cgroups.limits import Limits
from wardian.errors import InvalidInput
from wardian.network.definition import Attachment, Dns, Port
from wardian.runtime.health import Healthcheck
from wardian.runtime.logs import USUAL, LogPolicy
from wardian.runtime.restart_policy import RestartPolicy
from wardian.runtime.sharing import Sharing
from wardian.storage.volume import VolumeMount

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
CONTAINER_ID = re.compile(r"[0-9a-f]{64}")
MAX_PARENTS = 8
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Keep(enum.Enum):
    """What becomes of a container when the client that holds it goes away.

    ``ALWAYS``: it stays as it is until it is stopped or removed.
    ``STOP``: its processes are ended after a grace period; its files stay.
    ``NEVER``: it is removed at once, files and all.
    """

    ALWAYS = "always"
    STOP = "stop"
    NEVER = "never"


class Network(enum.Enum):
    """The network namespace: one of its own, or the host's.

    In one of its own there is loopback only, but for the spec's ``attachments``.
    """

    NONE = "none"
    HOST = "host"


class UserNamespace(enum.Enum):
    """``AUTO``: a range of host ids of its own. ``HOST``: no user namespace (root only)."""

    AUTO = "auto"
    HOST = "host"


class Bind(msgspec.Struct, frozen=True, kw_only=True):
    """A directory or file of the host, mounted at ``target`` in the container.

    Read-only counts for what is mounted below, too, unless ``only_top_is_read_only``. Programs in
    it are never set-id, and nodes never devices but for a single one that ``is_device``, for which
    the cgroup lets ``device_access`` pass. ``propagation`` is mount(8)'s word. ``volume`` names the
    one whose files these are: its owners must be those in the container.
    """

    source: str
    target: str
    read_only: bool = True
    recursive: bool = True
    only_top_is_read_only: bool = False
    no_exec: bool = False
    propagation: str = "rprivate"
    is_device: bool = False
    volume: str = ""
    device_access: str = "rwm"


class Tmpfs(msgspec.Struct, frozen=True, kw_only=True):
    """A tmpfs of at most ``size_bytes`` (the kernel's default if None) at ``target``."""

    target: str
    size_bytes: int | None = None
    mode: int = 0o1777
    uid: int = 0
    gid: int = 0
    inodes: int | None = None
    exec: bool = False
    read_only: bool = False


class LandlockRule(msgspec.Struct, frozen=True, kw_only=True):
    """What is allowed at ``path`` and below it: some of ``r``, ``w`` and ``x``."""

    path: str
    access: str


class Ulimit(msgspec.Struct, frozen=True, kw_only=True):
    """A resource limit of setrlimit(2) by docker's name, such as ``nofile``; -1 is unlimited."""

    name: str
    soft: int
    hard: int


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A program to run in a container.

    ``user`` is ``uid``, ``uid:gid``, ``name`` or ``name:group`` as in docker's ``--user``.
    ``groups`` are more groups, by name or number; ``ulimits`` are set just before execve(2).
    ``oom_score_adj`` (proc(5)) makes the kernel's OOM killer prefer this process.
    ``terminal_size`` is (rows, columns) of its terminal, if it gets one, from the first moment.
    """

    argv: tuple[str, ...]
    env: dict[str, str] = msgspec.field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    groups: tuple[str, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    oom_score_adj: int = 0
    new_session: bool = True
    terminal_size: tuple[int, int] | None = None


class ContainerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is decided about a container before it starts.

    ``lowers`` are the image's unpacked layers on the host, uppermost first. ``process`` is the
    main process; without one the container runs until it is stopped. ``stop_signal`` and
    ``stop_timeout_s`` are what `wardian stop` uses where it is not told otherwise.
    ``extra_hosts`` are (name, address) for its /etc/hosts. ``hides_paths``: parts of /proc and /sys
    are hidden or read-only, as docker has it. With ``landlock`` rules, only what they allow is.
    ``apparmor`` is the profile of its programs, "" for the runtime's own, which is none.
    With ``tty`` the main process has a terminal; with ``open_stdin`` it has a standard input that
    those who attach can write to.
    ``attachments`` are its bridge networks, the first of them its way out; ``ports`` are published.
    The ``healthcheck`` runs as the main process would, and only beside one. ``cgroup_parent`` is
    the group that its own is in, below the keeper's; ``annotations`` are only noted.
    """

    name: str
    image: str
    lowers: tuple[str, ...]
    process: ProcessSpec | None = None
    hostname: str = ""
    limits: Limits = msgspec.field(default_factory=Limits)
    binds: tuple[Bind, ...] = ()
    tmpfs: tuple[Tmpfs, ...] = ()
    volumes: tuple[VolumeMount, ...] = ()
    network: Network = Network.NONE
    user_namespace: UserNamespace = UserNamespace.AUTO
    read_only: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    seccomp: str = "default"
    apparmor: str = ""
    best_effort: bool = False
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    keep: Keep = Keep.ALWAYS
    remove_on_exit: bool = False
    restart: RestartPolicy = msgspec.field(default_factory=RestartPolicy)
    stop_signal: int = 15
    stop_timeout_s: float = 10.0
    extra_hosts: tuple[tuple[str, str], ...] = ()
    sharing: Sharing = msgspec.field(default_factory=Sharing)
    domainname: str = ""
    sysctls: dict[str, str] = msgspec.field(default_factory=dict)
    hides_paths: bool = True
    landlock: tuple[LandlockRule, ...] = ()
    tty: bool = False
    open_stdin: bool = False
    log: LogPolicy = USUAL
    attachments: tuple[Attachment, ...] = ()
    ports: tuple[Port, ...] = ()
    dns: Dns = msgspec.field(default_factory=Dns)
    healthcheck: Healthcheck | None = None
    cgroup_parent: str = ""
    annotations: dict[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_cgroup_parent(self.cgroup_parent)
        if not NAME.fullmatch(self.name):
            raise InvalidInput(
                f"not a container name: {self.name[:40]!r}",
                hint="use letters, digits, '_', '.' and '-', the first a letter or digit",
            )
        if self.ports and not self.attachments:
            raise InvalidInput(
                "ports are published from a bridge network only",
                hint="leave out --network none or host",
            )

    @property
    def is_plain(self) -> bool:
        """Whether it asks for nothing that a first process does before it confines itself.

        Whatever is added to this class counts, unless it is named here.
        """
        usual = ContainerSpec(
            name=self.name,
            image=self.image,
            lowers=self.lowers,
            process=self.process,
            limits=self.limits,
            best_effort=self.best_effort,
            labels=self.labels,
            keep=self.keep,
            remove_on_exit=self.remove_on_exit,
            restart=self.restart,
            stop_signal=self.stop_signal,
            stop_timeout_s=self.stop_timeout_s,
            log=self.log,
            tty=self.tty,
            open_stdin=self.open_stdin,
            healthcheck=self.healthcheck,
            annotations=self.annotations,
        )
        return self == usual


def _check_cgroup_parent(word: str) -> None:
    """A path that climbs nowhere and is in no container's own group."""
    parts = word.split("/") if word else []
    are_names = all(NAME.fullmatch(part) and not CONTAINER_ID.fullmatch(part) for part in parts)
    if not are_names or len(parts) > MAX_PARENTS:
        raise InvalidInput(
            f"not a parent for a cgroup: {word[:60]!r}",
            hint="groups are made below Wardian's own: write it like lab or lab/first",
        )
