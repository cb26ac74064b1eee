"""/proc as a folder of files, with what containers may write into it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wardian.linux.proc import (
    PAGE_BYTES,
    MountPoint,
    Stat,
    Status,
    children,
    mount_points,
)

STAT = (
    b"7 (%s) S 3 7 7 0 -1 4194560 100 0 2 0 11 5 6 7 20 0 4 0 98765 1000000 250"
    b" 18446744073709551615 1 2 3 0 0 0 0 4096 0 0 0 0 17 0 0 0 0 0 0 0 0 0 111 222 0 0 0\n"
)
STATUS = b"""Name:\tcat
Umask:\t0022
State:\tS (sleeping)
Tgid:\t4242
Pid:\t4242
PPid:\t3
Uid:\t1000\t1001\t1002\t1003
Gid:\t5\t6\t7\t8
NSpid:\t4242\t17\t1
VmRSS:\t    1024 kB
Threads:\t3
SigQ:\t0/96000
SigIgn:\t0000000000001000
CapEff:\t00000000a80425fb
NoNewPrivs:\t1
Seccomp:\t2
"""


def process(top: Path, **files: bytes) -> str:
    (top / "7").mkdir(exist_ok=True)
    for name, data in files.items():
        (top / "7" / name).write_bytes(data)
    return str(top)


@pytest.mark.parametrize("comm", [b"cat", b"a b", b") S 1 (", b"((", b"", b"\xff\n\t"])
def test_stat_is_read_whatever_the_name_is(tmp_path: Path, comm: bytes) -> None:
    stat = Stat.from_proc(7, proc=process(tmp_path, stat=STAT % comm))
    assert stat == Stat(
        comm=os.fsdecode(comm),
        state="S",
        parent_host_pid=3,
        user_ticks=11,
        system_ticks=5,
        reaped_ticks=13,
        threads=4,
        start_ticks=98765,
        rss_bytes=250 * PAGE_BYTES,
        argument_start=111,
        argument_end=222,
    )


def test_status_tells_ids_namespaces_and_walls(tmp_path: Path) -> None:
    status = Status.from_proc(7, proc=process(tmp_path, status=STATUS))
    assert status == Status(
        name="cat",
        state="S",
        parent_host_pid=3,
        ns_pids=(4242, 17, 1),
        uids=(1000, 1001, 1002, 1003),
        gids=(5, 6, 7, 8),
        threads=3,
        vm_rss_bytes=1 << 20,
        has_no_new_privs=True,
        seccomp_mode=2,
        masks={"SigIgn": 0x1000, "CapEff": 0xA80425FB},
    )


def test_name_with_an_escaped_line_end_adds_no_field(tmp_path: Path) -> None:
    hostile = STATUS.replace(b"cat", b"x\\nUid:\\t0")
    status = Status.from_proc(7, proc=process(tmp_path, status=hostile))
    assert status is not None
    assert (status.name, status.uids) == ("x\\nUid:\\t0", (1000, 1001, 1002, 1003))


def test_zombie_has_no_memory_rather_than_none_of_it(tmp_path: Path) -> None:
    lines = [line for line in STATUS.splitlines(keepends=True) if not line.startswith(b"Vm")]
    status = Status.from_proc(7, proc=process(tmp_path, status=b"".join(lines)))
    assert status is not None and status.vm_rss_bytes is None


def test_process_that_is_gone_is_none(tmp_path: Path) -> None:
    proc = str(tmp_path)
    assert Stat.from_proc(7, proc=proc) is None
    assert Status.from_proc(7, proc=proc) is None
    assert mount_points(7, proc=proc) == []
    assert children(7, proc=proc) == []


def test_mounts_are_read_with_and_without_optional_fields(tmp_path: Path) -> None:
    text = (
        rb"36 35 98:0 /mnt1 /mnt2 rw,noatime shared:3 master:1 - ext4 /dev/root rw,errors=remount"
        b"\n"
        rb"37 36 0:41 / /with\040blank\134 ro - tmpfs  rw"
        b"\n"
    )
    first, second = mount_points(7, proc=process(tmp_path, mountinfo=text))
    assert first == MountPoint(
        mount_id=36,
        parent_id=35,
        device="98:0",
        root="/mnt1",
        path="/mnt2",
        options=("rw", "noatime"),
        fstype="ext4",
        source="/dev/root",
        super_options=("rw", "errors=remount"),
        peer_group=3,
        master=1,
    )
    assert (second.path, second.source, second.super_options) == ("/with blank\\", "", ("rw",))
    assert (second.peer_group, second.master) == (None, None)


def test_children_of_every_thread_are_found(tmp_path: Path) -> None:
    for thread, text in {"7": b"10 11 ", "8": b"12 "}.items():
        (tmp_path / "7/task" / thread).mkdir(parents=True)
        (tmp_path / "7/task" / thread / "children").write_bytes(text)
    assert sorted(children(7, proc=str(tmp_path))) == [10, 11, 12]


# --- the real one ----------------------------------------------------------------------------


def test_own_process_is_read_from_the_real_proc() -> None:
    stat, status = Stat.from_proc(os.getpid()), Status.from_proc("self")
    assert stat is not None and status is not None
    assert stat.parent_host_pid == status.parent_host_pid == os.getppid()
    assert status.uids[:3] == os.getresuid()
    assert status.ns_pids[-1] == os.getpid()
    assert (stat.state, status.state) == ("R", "R")
    assert stat.comm == status.name == Path("/proc/self/comm").read_text().rstrip("\n")


def test_own_mounts_are_read_from_the_real_proc() -> None:
    by_path = {point.path: point for point in mount_points()}
    assert by_path["/proc"].fstype == "proc"
    assert len(mount_points()) == len(Path("/proc/self/mountinfo").read_text().splitlines())


def test_own_children_are_read_from_the_real_proc() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert child in children(os.getpid())  # a zombie until we wait for it
    os.waitpid(child, 0)
    assert child not in children(os.getpid())
