"""What the views show: immutable observations of one container at one moment.

A Frame is JSON-able (``msgspec.json.encode``), can be stored and replayed, and holds only what
the kernel said: a figure that could not be read is None, never 0. All text that the container
chose has passed through :func:`wardian.observe.label.label`.

Times are seconds since the epoch. ``source`` says how the frame came about, so that a view can
admit that it polls.
"""

from __future__ import annotations

import enum
from typing import ClassVar

import msgspec

from wardian.cgroups.pressure import Pressure
from wardian.storage.driver import Driver


class Source(enum.Enum):
    """Whether the kernel told us of the change, or we looked again after a while."""

    EVENTS = "events"
    POLLING = "polling"


class Mark(enum.Enum):
    """What the upper layer did to a path, seen from the image's layers.

    ``UNCHANGED``: a directory that is there only because something below it was changed.
    """

    UNCHANGED = "unchanged"
    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"


class Kind(enum.Enum):
    """The type of a file (inode(7)), and overlayfs' own one: the whiteout."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    DEVICE = "device"
    FIFO = "fifo"
    SOCKET = "socket"
    WHITEOUT = "whiteout"


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One directory of the stack, whose ``name`` is ``upper`` or ``lower n`` (lower 0 is the base).

    Where there is no overlay ``copy`` stands for the upper.
    """

    name: str
    host_path: str
    digest: str = ""


class UpperEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One path of the upper layer; of a copy, one that is not as it was copied.

    ``hides`` names the layer whose version of the path this entry hides (or, for a whiteout,
    deletes), ``hidden_bytes`` its size. ``is_opaque`` means that the directory shows nothing of
    the directories below it (the ``overlay.opaque`` attribute). What is gone from a copy has the
    kind that it had. ``is_copied_up``: overlayfs says that the file began as a copy of what it
    hides (the ``overlay.origin`` attribute); others were put in its place, or it does not tell.
    """

    path: str
    mark: Mark
    kind: Kind
    size_bytes: int
    mode: int
    changed_s: float
    is_opaque: bool = False
    hides: str | None = None
    hidden_bytes: int | None = None
    is_copied_up: bool = False

    @property
    def key(self) -> str:
        """What identifies the row from frame to frame."""
        return self.path

    @property
    def copied_up_bytes(self) -> int:
        """How much was copied at most: a file that was truncated is copied without its data."""
        return min(self.size_bytes, self.hidden_bytes or 0) if self.is_copied_up else 0


class LayersFrame(msgspec.Struct, frozen=True, kw_only=True):
    """The overlay of a container: its stack of layers and all that its upper layer holds.

    With the driver ``native`` there is none: the layers are what the container's root is a copy
    of, and the entries what has changed in it since.

    ``layers`` come uppermost first. ``entries`` are at most ``LayersSampler.max_entries``, the
    latest changed; ``left_out`` counts the others. The counts and ``upper_bytes`` cover all;
    ``unreadable`` counts directories that the host's user may not list. ``copied_up`` files began
    as copies of layers' files, of ``copied_up_bytes`` at most.
    """

    view: ClassVar[str] = "layers"
    rows_field: ClassVar[str | None] = "entries"

    time_s: float
    container: str
    source: Source
    layers: tuple[Layer, ...]
    work_host_path: str  # "" where there is none
    merged_host_path: str
    entries: tuple[UpperEntry, ...]
    left_out: int
    unreadable: int
    added: int
    modified: int
    deleted: int
    upper_bytes: int
    driver: str = Driver.OVERLAY.value
    copied_up: int = 0
    copied_up_bytes: int = 0


class PathVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A path as one layer has it. ``wins`` marks the version that the merged view shows."""

    layer: str
    kind: Kind
    size_bytes: int
    mode: int
    modified_s: float
    wins: bool


class PathVersions(msgspec.Struct, frozen=True, kw_only=True):
    """All versions of one path, uppermost first: the answer to "which layer wins?"."""

    path: str
    versions: tuple[PathVersion, ...]


class State(enum.Enum):
    """A process's state, by the letter of proc(5)."""

    RUNNING = "R"
    SLEEPING = "S"
    DISK_SLEEP = "D"
    STOPPED = "T"
    TRACED = "t"
    ZOMBIE = "Z"
    DEAD = "X"
    IDLE = "I"
    UNKNOWN = "?"


class ProcessRow(msgspec.Struct, frozen=True, kw_only=True):
    """One process, seen from the host and from the container.

    ``container_pids`` are its ids in the PID namespaces below the host's, outermost first (proc(5),
    NSpid); empty if it ended before they could be read. ``uid`` is the user inside the container,
    ``host_uid`` the same user outside. ``cpu_percent`` is of one core since the figure before.
    ``ended_s`` is set once it has exited: such rows stay a few seconds. ``exit_status`` is its exit
    code, or 128 + the signal's number. ``namespaces`` has the inode of each that is another than
    its container's, by kind; None where it may not be known. ``ignored`` are the signals (of
    `process_facts.SIGNALS`) that the kernel would not deliver to it.
    """

    host_pid: int
    start_ticks: int
    container_pids: tuple[int, ...]
    parent_host_pid: int | None
    state: State
    comm: str
    args: str
    uid: int | None
    host_uid: int | None
    threads: int | None
    rss_bytes: int | None
    cpu_percent: float | None
    ended_s: float | None = None
    exit_status: int | None = None
    namespaces: dict[str, int] | None = None
    ignored: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """What identifies the row from frame to frame: a pid alone can be used again."""
        return f"{self.host_pid}:{self.start_ticks}"


class Ancestor(msgspec.Struct, frozen=True, kw_only=True):
    """A process of the host that one of the container's descends from: no more than its name."""

    host_pid: int
    parent_host_pid: int
    comm: str


class ProcessesFrame(msgspec.Struct, frozen=True, kw_only=True):
    """The processes of a container; its init is ``init_host_pid``.

    Where it is no container they are plain processes of this host below that init.
    ``namespaces`` are the container's and ``host_namespaces`` those of who looks: inodes by kind.
    To an ordinary user init does not show its own: there they are those of the first process that
    does.
    ``ancestors`` are those of the rows without a parent here, as far as they may be read.
    ``is_frozen``: whether the freezer holds them all, None where there is none;
    ``freezer_host_path`` is its file.
    """

    view: ClassVar[str] = "processes"
    rows_field: ClassVar[str | None] = "rows"

    time_s: float
    container: str
    source: Source
    init_host_pid: int
    rows: tuple[ProcessRow, ...]
    left_out: int
    running: int
    is_container: bool = True
    namespaces: dict[str, int] = msgspec.field(default_factory=dict)
    host_namespaces: dict[str, int] = msgspec.field(default_factory=dict)
    ancestors: tuple[Ancestor, ...] = ()
    is_frozen: bool | None = None
    freezer_host_path: str = ""


class Limited(enum.Enum):
    """What a limit is of that was hit."""

    MEMORY = "memory"
    PIDS = "pids"


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that was hit while somebody looked, with what is known of it.

    Of memory: a process was killed, ``comm`` with ``container_pid``; "" and None where they could
    not be told. Of processes: so many forks were refused (``count``) from ``time_s`` on. ``number``
    is what the kernel had counted with the first of them; ``cell`` was running meanwhile.
    """

    what: Limited
    number: int
    time_s: float
    count: int = 1
    cell: int | None = None
    comm: str = ""
    container_pid: int | None = None


class ResourcesFrame(msgspec.Struct, frozen=True, kw_only=True):
    """What the container's cgroup says. Percentages are of one core, so 200 means two cores.

    ``throttled_percent`` is the share of the last second's CFS periods in which the group was
    stopped for having used up its quota (sched-bwc). ``memory_peak_bytes`` is the kernel's own
    high-water mark, ``memory_slab_bytes`` a part of ``memory_kernel_bytes``. ``pressure`` (PSI) is
    by resource, empty where the kernel does not tell; ``…_pressure_percent`` are its ``some_10``.
    The two rates are bytes a second, over the last second. ``hits`` are the last few.
    ``cgroup`` says which version the figures come from. Where it is no container, nothing holds
    the processes together: the figures are sums, and there are no limits to the sums.
    ``cgroup_host_paths`` are the group's directories by controller; ``unified`` is cgroup v2's.
    ``machine_memory_bytes`` and ``machine_cores`` are what a limit can take a share of.
    """

    view: ClassVar[str] = "resources"
    rows_field: ClassVar[str | None] = None

    time_s: float
    container: str
    source: Source
    cgroup: str
    memory_current_bytes: int | None
    memory_peak_bytes: int | None
    memory_limit_bytes: int | None
    memory_anon_bytes: int | None
    memory_file_bytes: int | None
    memory_kernel_bytes: int | None
    cpu_percent: float | None
    cpu_limit_percent: float | None
    throttled_percent: float | None
    pids_current: int | None
    pids_limit: int | None
    oom_kills: int | None
    io_read_bytes: int | None = None
    io_written_bytes: int | None = None
    hugetlb_bytes: int | None = None
    cpu_pressure_percent: float | None = None
    memory_pressure_percent: float | None = None
    io_pressure_percent: float | None = None
    is_container: bool = True
    cgroup_host_paths: dict[str, str] = msgspec.field(default_factory=dict)
    machine_memory_bytes: int | None = None
    machine_cores: int | None = None
    memory_slab_bytes: int | None = None
    memory_high_bytes: int | None = None
    io_read_rate: int | None = None
    io_written_rate: int | None = None
    pressure: dict[str, Pressure] = msgspec.field(default_factory=dict)
    pids_refused: int | None = None
    hits: tuple[Hit, ...] = ()
