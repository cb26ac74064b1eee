"""How a process is scheduled, and as what: sched_setattr, ioprio_set, affinity, personality."""

from __future__ import annotations

import ctypes
import os
import struct

from wardian.errors import InvalidInput, KernelRefused
from wardian.linux.syscall import check, libc, syscall
from wardian.oci.config import IoPriority, MemoryPolicy, Personality, Process, Scheduler

# <linux/sched.h>
_POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
}
# size, policy, flags, nice, priority, runtime, deadline, period (sched_setattr(2), version 0)
_ATTR = struct.Struct("=IIQiIQQQ")
_IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
_IOPRIO_WHO_PROCESS = 1
_IOPRIO_CLASS_SHIFT = 13
_PERSONALITIES = {"LINUX": 0x0000, "LINUX32": 0x0008}
MAX_CPU = 8191
MAX_NODE = 1023
# <linux/mempolicy.h>
_MEMORY_POLICIES = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
_MEMORY_FLAGS = {
    "MPOL_F_STATIC_NODES": 1 << 15,
    "MPOL_F_RELATIVE_NODES": 1 << 14,
    "MPOL_F_NUMA_BALANCING": 1 << 13,
}


def apply(spec: Process) -> None:
    """Put the process's scheduler and ioPriority in force for us."""
    if spec.scheduler is not None:
        _set_scheduler(spec.scheduler)
    if spec.ioPriority is not None:
        _set_io_priority(spec.ioPriority)


def _set_scheduler(scheduler: Scheduler) -> None:
    if scheduler.policy not in _POLICIES:
        raise _unsupported(f"scheduler.policy {scheduler.policy}")
    flags = 0
    for name in scheduler.flags:
        if name not in _FLAGS:
            raise _unsupported(f"scheduler.flags {name}")
        flags |= _FLAGS[name]
    times = (scheduler.runtime, scheduler.deadline, scheduler.period)
    if not (-20 <= scheduler.nice <= 19 and 0 <= scheduler.priority <= 99):
        raise InvalidInput("config.json: process.scheduler: nice or priority is out of range")
    policy, nice = _POLICIES[scheduler.policy], scheduler.nice
    attr = _ATTR.pack(_ATTR.size, policy, flags, nice, scheduler.priority, *times)
    syscall("sched_setattr", 0, attr, 0, what="process.scheduler")


def _set_io_priority(wish: IoPriority) -> None:
    if not 0 <= wish.priority <= 7:
        raise InvalidInput("config.json: process.ioPriority.priority is not 0 to 7")
    value = _IO_CLASSES[wish.kind] << _IOPRIO_CLASS_SHIFT | wish.priority
    syscall("ioprio_set", _IOPRIO_WHO_PROCESS, 0, value, what="process.ioPriority")


def set_personality(wish: Personality) -> None:
    """personality(2): what uname(2) says the machine is."""
    if wish.flags:
        raise InvalidInput("config.json: linux.personality.flags is not supported")
    domain = ctypes.c_ulong(_PERSONALITIES[wish.domain])
    check(libc.personality(domain), "personality", wish.domain)


def set_memory_policy(wish: MemoryPolicy) -> None:
    """set_mempolicy(2), which what is executed keeps; nodes are words like ``0-1,3``."""
    field = "config.json: linux.memoryPolicy"
    if wish.mode not in _MEMORY_POLICIES:
        raise InvalidInput(f"{field}.mode {wish.mode[:40]!r} is none", hint="name one: MPOL_…")
    mode = _MEMORY_POLICIES[wish.mode]
    for name in wish.flags:
        if name not in _MEMORY_FLAGS:
            raise InvalidInput(f"{field}.flags {name[:40]!r} is none", hint="name one: MPOL_F_…")
        mode |= _MEMORY_FLAGS[name]
    try:
        nodes = _numbers(wish.nodes, MAX_NODE) if wish.nodes.strip() else set()
    except ValueError as error:
        raise InvalidInput(f"{field}.nodes {wish.nodes[:40]!r} is no list of nodes") from error
    mask = sum(1 << node for node in nodes).to_bytes(MAX_NODE // 8 + 1, "little")
    try:
        # The kernel takes one bit less than it is told of (mm/mempolicy.c, get_nodes).
        syscall("set_mempolicy", mode, mask if nodes else 0, len(mask) * 8 + 1 if nodes else 0)
    except KernelRefused as error:
        words = " ".join((wish.mode, *wish.flags, wish.nodes)).strip()
        raise InvalidInput(f"{field} {words[:80]}: {os.strerror(error.errno)}") from error


def set_affinity(cpus: str) -> None:
    """sched_setaffinity(2) from words like ``0-3,7``; nothing for none."""
    if not cpus:
        return
    try:
        os.sched_setaffinity(0, _numbers(cpus, MAX_CPU))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a list of CPUs"
        raise InvalidInput(f"config.json: process.execCPUAffinity {cpus[:40]!r}: {why}") from error


def _numbers(text: str, most: int) -> set[int]:
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        low = int(first)
        high = int(last) if dash else low
        if not low <= high <= most:
            raise ValueError(text)
        found |= set(range(low, high + 1))
    return found


def _unsupported(what: str) -> InvalidInput:
    return InvalidInput(f"config.json: process.{what} is not supported", hint="leave it out")
