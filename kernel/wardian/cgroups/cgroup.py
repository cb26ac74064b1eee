"""The interface that all versions share, and what it tells."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from pathlib import Path

import msgspec

from wardian.cgroups.limits import Limits
from wardian.cgroups.pressure import Pressure


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a group uses now. None is unknown on this host (never 0), or, for limits, unlimited.

    ``memory_slab_bytes`` is a part of ``memory_kernel_bytes``. ``pids_refused`` counts the forks
    that ``pids_limit`` refused. ``pressure`` is by resource (`pressure.RESOURCES`), empty without
    PSI.
    """

    memory_current_bytes: int | None = None
    memory_peak_bytes: int | None = None
    memory_limit_bytes: int | None = None
    memory_anon_bytes: int | None = None
    memory_file_bytes: int | None = None
    memory_kernel_bytes: int | None = None
    memory_slab_bytes: int | None = None
    memory_high_bytes: int | None = None
    cpu_usage_usec: int | None = None
    cpu_user_usec: int | None = None
    cpu_system_usec: int | None = None
    cpu_quota_cores: float | None = None
    nr_periods: int | None = None
    nr_throttled: int | None = None
    throttled_usec: int | None = None
    pids_current: int | None = None
    pids_peak: int | None = None
    pids_limit: int | None = None
    pids_refused: int | None = None
    io_read_bytes: int | None = None
    io_written_bytes: int | None = None
    oom_kill: int | None = None
    hugetlb_bytes: int | None = None
    pressure: Mapping[str, Pressure] = msgspec.field(default_factory=dict)


class Load(msgspec.Struct, frozen=True):
    """The two figures that are read of many groups at once; None where the kernel keeps none."""

    memory_bytes: int | None = None
    cpu_usec: int | None = None


class Events(msgspec.Struct, frozen=True, kw_only=True):
    """How often a limit was hit since the group was made; None where the kernel does not say.

    ``is_under_oom``: whether processes wait for memory, as no one is to be killed for it.
    """

    oom: int | None = None
    oom_kill: int | None = None
    pids_max: int | None = None
    is_under_oom: bool = False


class Cgroup(abc.ABC):
    """A group of processes under one set of limits, in however many hierarchies that takes."""

    @property
    @abc.abstractmethod
    def paths(self) -> Mapping[str, Path]:
        """Its directories by controller; ``unified`` is the cgroup v2 one."""

    @abc.abstractmethod
    def unenforced(self, limits: Limits) -> list[str]:
        """Which of these limits cannot be put in force here, and what is missing."""

    @abc.abstractmethod
    def create(self, limits: Limits) -> None:
        """Make the group; nothing half-made stays on failure."""

    @abc.abstractmethod
    def apply(self, limits: Limits) -> None:
        """Put other limits in force; those that cannot be are skipped (see `unenforced`)."""

    @abc.abstractmethod
    def add(self, host_pid: int) -> None:
        """Move a process in."""

    @abc.abstractmethod
    def admission_fds(self) -> list[int]:
        """Descriptors for a process born by `clone_fd` to move *itself* into the rest of the group.

        It writes ``0`` to each. The kernel checks the rights of who opened them (us), and the wait
        for an RCU grace period that a move costs (10 ms) is the process's own, not ours.
        """

    @abc.abstractmethod
    def clone_fd(self) -> int | None:
        """A descriptor for CLONE_INTO_CGROUP (clone(2)), the caller's to close; None without v2."""

    @abc.abstractmethod
    def processes(self) -> list[int]:
        """Host PIDs of the group's processes."""

    @abc.abstractmethod
    def usage(self) -> Usage:
        """What it uses now; cheap enough for ten times a second."""

    @abc.abstractmethod
    def load(self) -> Load:
        """Its memory and CPU time alone; no file is kept open for it, as there may be hundreds."""

    @abc.abstractmethod
    def events(self) -> Events:
        """How often limits were hit."""

    @abc.abstractmethod
    def event_files(self) -> list[Path]:
        """Those that tell of hit limits, of a group that has been made (see `alarm.Alarm`)."""

    @property
    @abc.abstractmethod
    def tells_of_forks(self) -> bool:
        """Whether one of those also tells of refused forks."""

    @abc.abstractmethod
    def close(self) -> None:
        """Give back the descriptors that reading keeps; the next reading opens them anew."""

    @abc.abstractmethod
    def freeze(self) -> None:
        """Stop every process where it is; returns when all have stopped."""

    @abc.abstractmethod
    def thaw(self) -> None:
        """Let them go on."""

    @abc.abstractmethod
    def kill(self) -> None:
        """SIGKILL every process."""

    @abc.abstractmethod
    def remove(self) -> None:
        """Remove the empty group; KernelRefused (EBUSY) while processes are in it."""
