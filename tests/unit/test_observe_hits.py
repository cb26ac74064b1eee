"""Limits that were hit: who was killed and in which cell is said where it is known, else not."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.unit.test_observe_processes import FixtureProc, Members
from wardian.cgroups.cgroup import Usage
from wardian.linux.proc_connector import ProcEvent, What
from wardian.observe.cells import Cells
from wardian.observe.frames import Hit, Limited
from wardian.observe.hits import Hits, Reading
from wardian.observe.subject import Subject
from wardian.observe.victims import Victims

SHELL, CHILD = 4001, 4002


class Box:
    """A group with a shell in it, and what the kernel says of it."""

    def __init__(self, proc: FixtureProc) -> None:
        self.proc = proc
        subject = Subject(
            name="box",
            init_host_pid=1,
            lowers=(),
            upper=proc.root,
            work=proc.root,
            group=Members(SHELL),
        )
        self.cells = Cells()
        self._victims = Victims(subject, proc=str(proc.root))
        self._hits = Hits(self._victims, self.cells)
        self._before = Reading(time.monotonic(), Usage(oom_kill=0, pids_refused=0))
        proc.put(SHELL, comm="sh", ns_pids=(7,))
        self._victims.list_members()

    def begin(self, host_pid: int, comm: str, container_pid: int) -> None:
        """The shell starts a program."""
        self._victims.take(ProcEvent(What.FORK, host_pid, SHELL))
        self.proc.put(host_pid, comm=comm, ns_pids=(container_pid,))
        self.exec(host_pid)

    def exec(self, host_pid: int) -> None:
        self._victims.take(ProcEvent(What.EXEC, host_pid))

    def end(self, host_pid: int, status: int = signal.SIGKILL) -> None:
        self._victims.take(ProcEvent(What.EXIT, host_pid, wait_status=status))

    def look(self, *, kills: int = 0, refused: int = 0) -> list[Hit]:
        """What has been hit, now that the kernel has counted so many."""
        now = Reading(time.monotonic(), Usage(oom_kill=kills, pids_refused=refused))
        self._hits.take(self._before, now)
        self._before = now
        return list(self._hits.all)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(FixtureProc(tmp_path))


def test_victim_and_the_cell_that_ran_are_told(box: Box) -> None:
    box.cells.note(4, begins=True)
    box.begin(CHILD, "dd", 12)
    box.end(CHILD)
    (hit,) = box.look(kills=1)
    assert (hit.what, hit.number, hit.cell) == (Limited.MEMORY, 1, 4)
    assert (hit.comm, hit.container_pid) == ("dd", 12)


def test_victim_that_ends_after_it_was_counted_is_named_then(box: Box) -> None:
    (hit,) = box.look(kills=1)
    assert (hit.comm, hit.container_pid, hit.cell) == ("", None, None)
    box.end(SHELL)
    (named,) = box.look(kills=1)
    assert (named.comm, named.container_pid, named.time_s) == ("sh", 7, hit.time_s)


def test_nobody_is_named_where_it_may_have_been_another(box: Box) -> None:
    box.begin(CHILD, "dd", 12)
    box.end(CHILD)
    box.end(SHELL)
    (hit,) = box.look(kills=1)
    assert (hit.comm, hit.container_pid) == ("", None)
    assert box.look(kills=1) == [hit]


def test_who_ended_otherwise_is_no_victim(box: Box) -> None:
    box.begin(CHILD, "dd", 12)
    box.end(CHILD, signal.SIGTERM)
    (hit,) = box.look(kills=1)
    assert hit.comm == ""


def test_program_that_ended_before_it_could_be_read_has_no_name(box: Box) -> None:
    box.begin(CHILD, "dd", 12)
    box.proc.drop(CHILD)
    box.exec(CHILD)
    box.end(CHILD)
    (hit,) = box.look(kills=1)
    assert (hit.comm, hit.container_pid) == ("", 12)


def test_two_cells_at_the_time_are_none(box: Box) -> None:
    for cell in (4, 5):
        box.cells.note(cell, begins=True)
        box.cells.note(cell, begins=False)
    assert box.look(kills=1)[0].cell is None
    box.cells.note(6, begins=True)
    assert box.look(kills=2)[1].cell == 6


def test_forks_that_are_refused_one_after_another_are_one_hit(box: Box) -> None:
    box.look(refused=3)
    (hit,) = box.look(refused=10)
    assert (hit.what, hit.number, hit.count) == (Limited.PIDS, 1, 10)


def test_only_the_latest_of_many_are_kept(box: Box) -> None:
    numbers = [hit.number for hit in box.look(kills=1000)]
    assert numbers == list(range(993, 1001))
