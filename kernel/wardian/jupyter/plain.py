"""Cells as plain processes: what is different to a user, and how that is said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wardian.bare.directory import Directory
from wardian.bare.figures import SOURCE
from wardian.bare.place import Place
from wardian.bare.walls import Walls
from wardian.cells.protocol import ErrorContent
from wardian.cgroups.cgroup import Cgroup, Events
from wardian.cgroups.hierarchy import own_group
from wardian.errors import SetupError
from wardian.jupyter import wording
from wardian.jupyter.cost import Gauge
from wardian.jupyter.failure import Failure
from wardian.jupyter.settings import DEFAULT_IMAGE
from wardian.linux.process import set_dumpable
from wardian.observe.subject import Group, Subject
from wardian.runtime.paths import state_root

if TYPE_CHECKING:
    from wardian.jupyter.settings import Settings
    from wardian.jupyter.source import ContainerSource, NoContainers

NAME = "no container"
NOT_THERE = "a root of their own, images, layers, networks, limits of CPU and processes"


def open_place(source: ContainerSource) -> Place:
    """The place of a notebook's cells, with its files as they were left. Raises SetupError."""
    directory = Directory(state_root(), source.owner)
    try:
        directory.make(is_transient=not source.is_notebook)
    except OSError as error:
        raise SetupError(
            f"the state directory {directory.root}: {error.strerror}",
            hint="set WARDIAN_ROOT to a directory that you can write",
        ) from error
    place = Place.open(directory)
    if not place.walls.has_files:  # what this process knows is at least not read by way of /proc
        set_dumpable(False)
    return place


def first_words(place: Place, refused: NoContainers) -> list[str]:
    """What the first cell says before anything else."""
    return [
        f"no container: this host allows none ({refused.what}).",
        f"Cells run as plain processes of user {os.geteuid()} on this host:",
        *(f"  held: {line}" for line in held(place)),
        *(f"  not held: {line}" for line in not_held(place.walls)),
        f"  not there: {NOT_THERE}",
        f"to have containers: {refused.hint} (`wardian doctor` says more)",
    ]


def not_in_force(settings: Settings) -> list[str]:
    """Wishes that only a container could fulfil; those about limits are `Place.limit`'s to say."""
    missing = []
    if settings.image != DEFAULT_IMAGE:
        missing.append(f"not in force: image {settings.image}: programs are this host's")
    if settings.volumes:
        missing.append("not in force: volumes: there is nothing to mount them into")
    return missing


def held(place: Place) -> list[str]:
    """What the walls that stand are good for."""
    walls = place.walls
    yes = ["no new privileges, no capabilities, no secrets of ours in their environment"]
    if walls.has_files:
        more = " and /dev/shm" if place.directory.may_share_memory else ""
        yes.append(f"they write only to their own directories ($HOME, $TMPDIR){more}")
        yes.append("they read this machine's programs and settings, not your home directory")
    if walls.has_signals:
        yes.append("they can signal and trace no process but their own")
    if walls.has_filter:
        yes.append("system calls that containers are refused are refused")
    return yes


def not_held(walls: Walls) -> list[str]:
    """What a container would keep apart, and nothing does here."""
    no = []
    if not walls.has_files:
        no.append(f"all files of this user, keys and tokens too ({walls.missing['files']})")
    if not walls.has_sizes:
        no.append(f"files of this user can be emptied ({walls.missing['sizes']})")
    if not walls.has_signals:
        no.append(f"signals to processes of this user ({walls.missing['signals']})")
    if not walls.has_filter:
        no.append(f"system calls ({walls.missing['system calls']})")
    return [*no, "they see this machine's processes and use its network as you do"]


def facts(place: Place, timeout_s: float | None) -> list[tuple[str, str]]:
    """Name and value, for ``%container``."""
    return [
        ("status", "plain processes on this host, no container"),
        ("files", str(place.directory.home)),
        *limits(place, timeout_s),
    ]


def limits(place: Place, timeout_s: float | None) -> list[tuple[str, str]]:
    """The limits as they are in force: an rlimit, or none."""
    rows = dict(wording.limits(place.limits, timeout_s=timeout_s))
    memory = rows["memory"]
    if place.limits.memory_bytes is not None:
        memory += " of data in each process (RLIMIT_DATA)"
    none = "unlimited: without a cgroup there is no such limit"
    return [("memory", memory), ("cpus", none), ("pids", none), ("timeout", rows["timeout"])]


def inspection(place: Place, *, varying: bool) -> dict[str, Any]:
    """For ``%inspect``; what differs from start to start only if asked for."""
    walls = place.walls
    stable: dict[str, Any] = {
        "container": None,
        "status": "plain processes on this host",
        "user": os.geteuid(),
        "landlock": walls.landlock,
        "seccomp": "default" if walls.has_filter else "unconfined",
        "no_new_privs": True,
        "missing": walls.missing,
        "held": held(place),
        "not_held": not_held(walls),
        "not_there": NOT_THERE,
        "memory_limit_bytes": place.limits.memory_bytes,
    }
    if varying:
        stable |= {"directory": str(place.directory.path), "init_host_pid": place.init_host_pid}
    return stable


def figures(place: Place) -> str:
    """What the cells' processes use now; below it what all use that are in our own cgroup."""
    ours, shared = place.group.usage(), own_group().usage()
    assert ours.memory_current_bytes is not None
    assert ours.cpu_usage_usec is not None
    rows = [
        ("memory", wording.size(ours.memory_current_bytes), "the sum of the resident sets"),
        ("pids", str(ours.pids_current), ""),
        ("cpu", f"{ours.cpu_usage_usec / 1e6:.2f} s", ""),
    ]
    if shared.memory_current_bytes is not None:
        limit = shared.memory_limit_bytes
        most = "" if limit is None else f" of {wording.size(limit)}"
        used = wording.size(shared.memory_current_bytes)
        rows.append(("cgroup", f"{used}{most}", "all that is in it, Jupyter too"))
    return wording.table(rows)


def subject(place: Place) -> Subject:
    """What the live views look at; they call it by what it is."""
    home = place.directory.home
    return Subject(
        name=NAME,
        init_host_pid=place.init_host_pid,
        lowers=(),
        upper=home,
        work=home,
        group=place.group,
        cgroup_version=SOURCE,
        is_container=False,
    )


def explained(error: ErrorContent, place: Place) -> Failure | None:
    """An error of a cell that the limit or the walls explain; None if it is the cell's own."""
    limit = place.limits.memory_bytes
    said = error.traceback or [f"{error.ename}: {error.evalue}"]
    if error.ename == "MemoryError" and limit is not None:
        evalue = (
            f"memory limit: a process may have at most {wording.size(limit)} of data; "
            "nothing is lost"
        )
        hint = "use less memory, or raise the limit: %limits --memory SIZE"
        last = Failure.saying("LimitHit", evalue, hint=hint).traceback
        return Failure("LimitHit", evalue, (*said, "", *last))
    if error.ename == "PermissionError" and place.walls.has_files:
        hint = "hint: without a container cells write only below $HOME and $TMPDIR (%inspect)"
        return Failure(error.ename, error.evalue, (*said, "", hint))
    return None


class PlainGauge(Gauge):
    """Of plain cells: the CPU time of their processes, and the hits of the group that we are in."""

    def __init__(self, group: Group, shared: Cgroup) -> None:
        super().__init__(None)
        self._group = group
        self._shared = shared

    def events(self) -> Events:
        return self._shared.events()

    def _cpu_usec(self) -> int | None:
        return self._group.usage().cpu_usage_usec


def gauge(place: Place) -> PlainGauge:
    """Figures of a place's cells; the files that are counted are those of its home."""
    made = PlainGauge(place.group, own_group())
    made.watch(Path(place.directory.home))
    return made
