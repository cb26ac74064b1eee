"""Process facts from fixture trees, and the sampler without the proc connector."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from wardian.cgroups.cgroup import Usage
from wardian.observe.frames import ProcessesFrame, ProcessRow, Source, State
from wardian.observe.process_facts import SAME_USERS, UserMap, read_activity, read_identity
from wardian.observe.processes import ProcessesSampler
from wardian.observe.subject import Subject
from wardian.widgets.still import text

STAT = (
    "{pid} ({comm}) {state} {parent} {pid} {pid} 0 -1 4194560 100 0 0 0 {utime} 3 0 0 20 0 "
    "4 0 {start} 10000000 250 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 "
    "0 0 0 0 0 0 0 0\n"
)
STATUS = """Name:	{comm}
State:	{state} (as it were)
Pid:	{pid}
PPid:	{parent}
Uid:	{uid}	{uid}	{uid}	{uid}
Gid:	{uid}	{uid}	{uid}	{uid}
NSpid:	{pids}
Threads:	4
"""


class Members:
    """A group whose members the test names."""

    def __init__(self, *host_pids: int) -> None:
        self.host_pids = list(host_pids)

    def usage(self) -> Usage:
        return Usage()

    def processes(self) -> list[int]:
        return self.host_pids


class FixtureProc:
    """A folder that looks like /proc."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(
        self,
        host_pid: int,
        *,
        comm: str = "sleep",
        state: str = "S",
        parent: int = 1,
        ns_pids: tuple[int, ...] = (),
        uid: int = 100_000,
        args: bytes = b"sleep\x00100\x00",
        start: int = 500,
        utime: int = 0,
    ) -> None:
        home = self.root / str(host_pid)
        home.mkdir(exist_ok=True)
        facts = {"pid": host_pid, "comm": comm, "state": state, "parent": parent}
        (home / "stat").write_text(STAT.format(**facts, start=start, utime=utime))
        pids = "\t".join(map(str, (host_pid, *ns_pids)))
        (home / "status").write_text(
            STATUS.format(**facts | {"comm": comm.replace("\n", "\\n")}, uid=uid, pids=pids)
        )
        (home / "cmdline").write_bytes(args)
        (home / "uid_map").write_text("         0     100000      65536\n")

    def drop(self, host_pid: int) -> None:
        for file in (self.root / str(host_pid)).iterdir():
            file.unlink()
        (self.root / str(host_pid)).rmdir()


@pytest.fixture
def proc(tmp_path: Path) -> FixtureProc:
    return FixtureProc(tmp_path)


def test_stat_of_a_name_with_parentheses_and_line_ends(proc: FixtureProc) -> None:
    proc.put(7, comm="a) R 1 1 (b\n")
    stat = read_activity(str(proc.root), 7)
    assert stat is not None
    assert stat.comm == "a) R 1 1 (b\\x0a"
    assert (stat.state, stat.parent_host_pid, stat.threads) == (State.SLEEPING, 1, 4)
    assert stat.rss_bytes == 250 * os.sysconf("SC_PAGE_SIZE")


def test_identity_has_all_levels_of_pids(proc: FixtureProc) -> None:
    proc.put(700, ns_pids=(12, 1))
    identity = read_identity(str(proc.root), 700)
    assert identity is not None
    assert identity.ns_pids == (700, 12, 1)
    assert identity.args == "sleep 100"


def test_process_that_is_gone_is_none(proc: FixtureProc) -> None:
    assert read_activity(str(proc.root), 9) is None
    assert read_identity(str(proc.root), 9) is None


def test_long_command_line_is_cut(proc: FixtureProc) -> None:
    proc.put(7, args=b"x" * 100_000)
    identity = read_identity(str(proc.root), 7)
    assert identity is not None
    assert len(identity.args) == 300


def test_process_in_no_container_has_the_user_that_it_has() -> None:
    assert [SAME_USERS.inside(uid) for uid in (0, 1000, (1 << 32) - 2)] == [0, 1000, (1 << 32) - 2]


def test_user_map_translates_host_ids() -> None:
    users = UserMap(((0, 100_000, 1000), (1000, 5, 1)))
    assert users.inside(100_033) == 33
    assert users.inside(5) == 1000
    assert users.inside(4) is None


def sampler_of(proc: FixtureProc, members: Members) -> ProcessesSampler:
    nowhere = Path("/nowhere")
    subject = Subject(
        name="web", init_host_pid=500, lowers=(), upper=nowhere, work=nowhere, group=members
    )
    sampler = ProcessesSampler(subject, proc=str(proc.root), use_connector=False)
    sampler.open()
    return sampler


def rows(frame: ProcessesFrame | None) -> dict[int, ProcessRow]:
    assert frame is not None
    return {row.host_pid: row for row in frame.rows}


def test_rows_show_both_pids_and_both_users(proc: FixtureProc) -> None:
    proc.put(500, comm="init", ns_pids=(1,))
    proc.put(501, parent=500, ns_pids=(2,), uid=100_033)
    frame = sampler_of(proc, Members(500, 501)).sample()
    row = rows(frame)[501]
    assert (row.host_pid, row.container_pids, row.parent_host_pid) == (501, (2,), 500)
    assert (row.uid, row.host_uid) == (33, 100_033)
    assert frame is not None
    assert frame.source is Source.POLLING


def test_what_is_ignored_is_read_from_the_masks(proc: FixtureProc) -> None:
    """Of PID 1 also what it has no handler for: it has one for SIGHUP, and ignores SIGTERM."""
    for host_pid, pids in ((500, (1,)), (501, (2,)), (502, (9, 1))):
        proc.put(host_pid, ns_pids=pids)
        status = proc.root / str(host_pid) / "status"
        status.write_text(f"{status.read_text()}SigIgn:\t{1 << 14:016x}\nSigCgt:\t{1:016x}\n")
    ignored = {
        pid: row.ignored
        for pid, row in rows(sampler_of(proc, Members(500, 501, 502)).sample()).items()
    }
    assert ignored[501] == (15,)
    assert ignored[500] == ignored[502] == (15, 2, 3, 10, 12)


def test_namespaces_are_held_against_inits(proc: FixtureProc) -> None:
    for host_pid, net in (("self", 1), (500, 2), (501, 2), (502, 3)):
        (proc.root / str(host_pid)).mkdir()
        if host_pid != "self":
            proc.put(int(host_pid))
        (proc.root / str(host_pid) / "ns").mkdir()
        for kind, inode in (("net", net), ("uts", 9)):
            (proc.root / str(host_pid) / "ns" / kind).symlink_to(f"{kind}:[{inode}]")
    frame = sampler_of(proc, Members(500, 501, 502)).sample()
    assert frame is not None
    assert (frame.namespaces, frame.host_namespaces["net"]) == ({"net": 2, "uts": 9}, 1)
    told = {pid: row.namespaces for pid, row in rows(frame).items()}
    assert told == {500: {}, 501: {}, 502: {"net": 3}}
    static = text(frame).splitlines()
    assert static[0] == "namespaces of its own: net"
    assert [line.endswith("  [net]") for line in static[1:]] == [False, False, True]


def test_ancestors_end_where_they_may_not_be_read(proc: FixtureProc) -> None:
    proc.put(500, parent=400)
    proc.put(400, comm="keeper", parent=300)
    frame = sampler_of(proc, Members(500)).sample()
    assert frame is not None
    assert [(one.host_pid, one.comm) for one in frame.ancestors] == [(400, "keeper")]


def test_ended_process_stays_as_a_ghost(proc: FixtureProc) -> None:
    proc.put(500, ns_pids=(1,))
    proc.put(501, ns_pids=(2,))
    members = Members(500, 501)
    sampler = sampler_of(proc, members)
    sampler.sample()
    proc.drop(501)
    members.host_pids.remove(501)
    frame = sampler.sample()
    assert frame is not None
    assert rows(frame)[501].state is State.DEAD
    assert rows(frame)[501].ended_s is not None
    assert frame.running == 1


def test_reused_pid_is_another_row(proc: FixtureProc) -> None:
    proc.put(500, ns_pids=(1,))
    proc.put(501, comm="first", start=600)
    members = Members(500, 501)
    sampler = sampler_of(proc, members)
    sampler.sample()
    proc.drop(501)
    members.host_pids.remove(501)
    sampler.sample()
    proc.put(501, comm="second", start=700)
    members.host_pids.append(501)
    frame = sampler.sample()
    assert frame is not None
    assert [row.comm for row in frame.rows if row.host_pid == 501] == ["second", "first"]
    assert len({row.key for row in frame.rows}) == len(frame.rows)


def test_zombie_stays_until_it_is_reaped(proc: FixtureProc) -> None:
    proc.put(500, ns_pids=(1,))
    proc.put(501, state="Z", args=b"")
    assert rows(sampler_of(proc, Members(500, 501)).sample())[501].state is State.ZOMBIE


def test_no_frame_while_nothing_changes(proc: FixtureProc) -> None:
    proc.put(500, ns_pids=(1,))
    sampler = sampler_of(proc, Members(500))
    assert sampler.sample() is not None
    assert sampler.sample() is None


def test_frame_is_capped_and_says_so(proc: FixtureProc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProcessesSampler, "max_rows", 3)
    for host_pid in range(500, 510):
        proc.put(host_pid)
    frame = sampler_of(proc, Members(*range(500, 510))).sample()
    assert frame is not None
    assert (len(frame.rows), frame.left_out, frame.running) == (3, 7, 10)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["/bin/sleep", "1000"])
    yield process
    process.kill()
    process.wait()


def test_figures_are_those_of_the_real_proc(child: subprocess.Popen[bytes]) -> None:
    stat = read_activity("/proc", child.pid)
    assert stat is not None
    status = Path(f"/proc/{child.pid}/status").read_text()
    assert f"PPid:\t{stat.parent_host_pid}\n" in status
    assert f"Threads:\t{stat.threads}\n" in status
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    stopped = read_activity("/proc", child.pid)
    assert stopped is not None
    assert stopped.state is State.STOPPED
    assert stopped.start_ticks == stat.start_ticks
