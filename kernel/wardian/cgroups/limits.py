"""What a container may use at most, and docker's words for it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from wardian.cgroups.devices import DeviceRule
from wardian.errors import InvalidInput

_SIZE = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,19})?)([bkmgtp]?)(?:i?b)?", re.IGNORECASE)
_CPUSET = re.compile(r"[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*")
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
# Docker's lower bound; less, and not even the first process starts.
MIN_MEMORY_BYTES = 6 << 20
MAX_BYTES = 1 << 60  # from a little above, cgroup v1 takes it for no limit
MAX_CPUS = 1e6
MAX_PIDS = 1 << 22  # the most processes that a kernel can have (proc(5), pid_max)
MAX_USEC = 1 << 40
PERIOD_USEC = 100_000
USUAL_RT_PERIOD = 1_000_000
_PAGE_SIZE = re.compile(r"[0-9]{1,6}[KMGT]B")
T = TypeVar("T")
# A flag's word; several for one that can be repeated; a bool for one without a word.
Words = str | Sequence[str] | bool | None


class DeviceRate(msgspec.Struct, frozen=True, kw_only=True):
    """At most so many bytes or operations a second on one disk, by its numbers (st_rdev)."""

    major: int
    minor: int
    per_second: int

    def __post_init__(self) -> None:
        _within("device number", self.major, 0, 0xFFF)
        _within("device number", self.minor, 0, 0xFFFFF)
        _within("rate", self.per_second, 1, MAX_BYTES)


class HugePages(msgspec.Struct, frozen=True, kw_only=True):
    """At most so many bytes in huge pages of one size, by the kernel's name for it (2MB, 1GB)."""

    page_size: str
    limit_bytes: int

    def __post_init__(self) -> None:
        if not _PAGE_SIZE.fullmatch(self.page_size):
            raise InvalidInput(
                f"not a size of huge pages: {self.page_size[:40]!r}", hint="write it like 2MB"
            )
        _within("huge page limit", self.limit_bytes, 0, MAX_BYTES)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Upper bounds; None means unlimited, or the kernel's usual.

    ``memory_swap_bytes`` is memory and swap together, as docker's ``--memory-swap``; -1 is no limit
    of swap, None twice the memory. ``cpus`` is a number of cores, the same as a quota by period;
    ``cpu_shares`` docker's relative weight (2 to 262144, 1024 being usual), ``blkio_weight`` that
    for disks (10 to 1000). ``device_rules`` come after docker's default list.
    """

    memory_bytes: int | None = None
    memory_swap_bytes: int | None = None
    memory_reservation_bytes: int | None = None
    memory_high_bytes: int | None = None
    memory_swappiness: int | None = None
    oom_kill_disable: bool | None = None
    oom_group: bool | None = None
    cpus: float | None = None
    cpu_period_usec: int | None = None
    cpu_quota_usec: int | None = None
    cpu_burst_usec: int | None = None
    cpu_rt_period_usec: int | None = None
    cpu_rt_runtime_usec: int | None = None
    cpu_shares: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    pids: int | None = None
    blkio_weight: int | None = None
    device_read_bps: tuple[DeviceRate, ...] = ()
    device_write_bps: tuple[DeviceRate, ...] = ()
    device_read_iops: tuple[DeviceRate, ...] = ()
    device_write_iops: tuple[DeviceRate, ...] = ()
    hugetlb: tuple[HugePages, ...] = ()
    device_rules: tuple[DeviceRule, ...] = ()

    def __post_init__(self) -> None:
        self._check_memory()
        self._check_cpu()
        _within("process limit", self.pids, 1, MAX_PIDS)
        _within("block IO weight", self.blkio_weight, 10, 1000)

    def _check_memory(self) -> None:
        _within("memory limit", self.memory_bytes, MIN_MEMORY_BYTES, MAX_BYTES, least="6m")
        _within("memory reservation", self.memory_reservation_bytes, 0, MAX_BYTES)
        _within("memory high", self.memory_high_bytes, MIN_MEMORY_BYTES, MAX_BYTES, least="6m")
        _within("memory swappiness", self.memory_swappiness, 0, 100)
        memory, swap = self.memory_bytes, self.memory_swap_bytes
        if swap not in (None, -1) and (memory is None or not memory <= swap <= MAX_BYTES):
            raise InvalidInput(
                "the memory+swap limit is below the memory limit",
                hint="give --memory too, and --memory-swap at least as large",
            )
        if memory is not None and (self.memory_reservation_bytes or 0) > memory:
            raise InvalidInput(
                "the memory reservation is above the memory limit",
                hint="give a smaller --memory-reservation or a larger --memory",
            )

    def _check_cpu(self) -> None:
        _within("CPU limit", self.cpus, 0.01, MAX_CPUS)
        _within("CPU shares", self.cpu_shares, 2, 262144)
        _within("CPU period", self.cpu_period_usec, 1000, 1_000_000)
        _within("CPU quota", self.cpu_quota_usec, 1000, MAX_USEC)
        _within("CPU burst", self.cpu_burst_usec, 0, MAX_USEC)
        _within("real-time period", self.cpu_rt_period_usec, 1, MAX_USEC)
        _within("real-time runtime", self.cpu_rt_runtime_usec, 1, MAX_USEC)
        quota, _ = self.quota_and_period_usec()
        if self.cpus is not None and (self.cpu_quota_usec or self.cpu_period_usec):
            raise InvalidInput(
                "--cpus is a CPU quota and period already", hint="give --cpus or the two, not both"
            )
        if self.cpu_burst_usec and (quota is None or self.cpu_burst_usec > quota):
            raise InvalidInput(
                "the CPU burst is above the quota", hint="give --cpu-quota (or --cpus) too, larger"
            )
        runtime, rt_period = self.cpu_rt_runtime_usec, self.cpu_rt_period_usec or USUAL_RT_PERIOD
        if runtime is not None and runtime > rt_period:
            raise InvalidInput(
                "the real-time runtime is above its period", hint="give a larger --cpu-rt-period"
            )
        for word, what in ((self.cpuset_cpus, "CPUs"), (self.cpuset_mems, "memory nodes")):
            if word is not None and not _CPUSET.fullmatch(word):
                raise InvalidInput(
                    f"not a set of {what}: {word[:40]!r}", hint="write it like 0-2,4"
                )

    def quota_and_period_usec(self) -> tuple[int | None, int]:
        """CPU time a period, in microseconds; None is as much as there is."""
        if self.cpus is not None:
            return round(self.cpus * PERIOD_USEC), PERIOD_USEC
        return self.cpu_quota_usec, self.cpu_period_usec or PERIOD_USEC

    @classmethod
    def parse(cls, **words: Words) -> Limits:
        """From docker's words: ``512m``, ``1.5``, ``100``; 0 and -1 mean unlimited.

        The names are those of the flags, with ``pids`` for ``--pids-limit``. Raises InvalidInput.
        """
        return cls(**changes(words))


def changes(words: Mapping[str, Words]) -> dict[str, Any]:
    """The fields of Limits that these flags set, those that are None left out."""
    given = ((name, word) for name, word in words.items() if word is not None)
    return {_FLAGS[name][0]: _FLAGS[name][1](word) for name, word in given}


def parse_size(word: str) -> int:
    """Bytes from docker's size words: ``b``, ``k``, ``m``, ``g``, ``t``, powers of 1024."""
    found = _SIZE.fullmatch(word.strip())
    if not found:
        raise InvalidInput(f"not a size: {word[:40]!r}", hint="write it like 512m or 2g")
    return int(float(found[1]) * _UNITS[found[2].lower()])


def _optional(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    return lambda word: None if word.strip() in ("", "0", "-1") else parse(word)


def _swap(word: str) -> int | None:
    return -1 if word.strip() == "-1" else _optional(parse_size)(word)


def _swappiness(word: str) -> int | None:
    return None if word.strip() in ("", "-1") else _whole(word, "memory swappiness")


def _number(what: str) -> Callable[[str], int | None]:
    return _optional(lambda word: _whole(word, what))


def _rates(parse: Callable[[str], int]) -> Callable[[Iterable[str]], tuple[DeviceRate, ...]]:
    """``/dev/sda:1mb``; a rate of 0 is none."""

    def read(words: Iterable[str]) -> tuple[DeviceRate, ...]:
        pairs = [(_disk(word), parse(word.rpartition(":")[2])) for word in words]
        return tuple(
            DeviceRate(major=os.major(number), minor=os.minor(number), per_second=rate)
            for number, rate in pairs
            if rate
        )

    return read


def _disk(word: str) -> int:
    """The number of the disk in ``PATH:RATE``."""
    path = word.rpartition(":")[0]
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        found = None
    if found is None or not stat.S_ISBLK(found.st_mode):
        raise InvalidInput(
            f"not a disk and its rate: {word[:80]!r}",
            hint="write the path of a block device and a number, like /dev/sda:1mb",
        )
    return found.st_rdev


def _huge_pages(words: Iterable[str]) -> tuple[HugePages, ...]:
    """``2MB=64m``; -1 is no limit."""
    pairs = [word.partition("=")[::2] for word in words]
    return tuple(
        HugePages(page_size=size, limit_bytes=parse_size(limit))
        for size, limit in pairs
        if limit != "-1"
    )


def _cores(word: str) -> float:
    if not re.fullmatch(r"[0-9]{0,7}\.?[0-9]{1,9}", word.strip()):
        raise InvalidInput(f"not a number of CPUs: {word[:40]!r}", hint="write it like 1.5")
    return float(word)


def _whole(word: str, what: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", word.strip()):
        raise InvalidInput(f"not a {what}: {word[:40]!r}", hint="write a whole number")
    return int(word)


def _within(
    what: str, value: float | None, minimum: float, maximum: float, *, least: str = ""
) -> None:
    """Raise InvalidInput unless the value is in the range, which NaN never is."""
    if value is None or minimum <= value <= maximum:
        return
    if value > maximum:
        raise InvalidInput(f"{what} too large: {value:.15g}", hint=f"{maximum:.15g} is the most")
    raise InvalidInput(f"{what} too small: {value:.15g}", hint=f"{least or minimum} is the least")


# What each flag sets, and how its word is read.
_FLAGS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "memory": ("memory_bytes", _optional(parse_size)),
    "memory_swap": ("memory_swap_bytes", _swap),
    "memory_reservation": ("memory_reservation_bytes", _optional(parse_size)),
    "memory_high": ("memory_high_bytes", _optional(parse_size)),
    "memory_swappiness": ("memory_swappiness", _swappiness),
    "oom_kill_disable": ("oom_kill_disable", bool),
    "oom_group": ("oom_group", bool),
    "cpus": ("cpus", _optional(_cores)),
    "cpu_period": ("cpu_period_usec", _number("CPU period")),
    "cpu_quota": ("cpu_quota_usec", _number("CPU quota")),
    "cpu_burst": ("cpu_burst_usec", _number("CPU burst")),
    "cpu_rt_period": ("cpu_rt_period_usec", _number("real-time period")),
    "cpu_rt_runtime": ("cpu_rt_runtime_usec", _number("real-time runtime")),
    "cpu_shares": ("cpu_shares", _number("CPU shares")),
    "cpuset_cpus": ("cpuset_cpus", lambda word: word or None),
    "cpuset_mems": ("cpuset_mems", lambda word: word or None),
    "pids": ("pids", _number("process limit")),
    "blkio_weight": ("blkio_weight", _number("block IO weight")),
    "device_read_bps": ("device_read_bps", _rates(parse_size)),
    "device_write_bps": ("device_write_bps", _rates(parse_size)),
    "device_read_iops": ("device_read_iops", _rates(lambda word: _whole(word, "rate"))),
    "device_write_iops": ("device_write_iops", _rates(lambda word: _whole(word, "rate"))),
    "hugetlb": ("hugetlb", _huge_pages),
}
