"""What every version of cgroups must do for a container, tried on the kernel of this host.

One suite for all: on a hybrid host for the whole, for its v1 half and for its v2 half alone; in the
machine of tests/vm for v2 with all its controllers.
"""

from __future__ import annotations

import errno
import mmap
import os
import re
import secrets
import select
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import fields

from tests.disks import whole_disk
from tests.linux.child import in_child, running
from tests.linux.conftest import wait_until
from wardian.cgroups import devices
from wardian.cgroups.absent import AbsentCgroup
from wardian.cgroups.alarm import Alarm
from wardian.cgroups.cgroup import Cgroup, Events, Usage
from wardian.cgroups.delegation import LEAF, close_ranks
from wardian.cgroups.devices import DeviceRule
from wardian.cgroups.files import numbers, words, write
from wardian.cgroups.hierarchy import Hierarchy, Version
from wardian.cgroups.limits import DeviceRate, HugePages, Limits
from wardian.cgroups.v2 import V2Cgroup
from wardian.errors import KernelRefused

HERE = Hierarchy.detect()
MIB = 1 << 20
NO_LIMITS = Limits()
with_controllers = pytest.mark.parametrize("hierarchy", ["whole", "v1 half"], indirect=True)
without_v1 = pytest.mark.parametrize(
    "hierarchy", ["whole" if HERE.version is Version.V2 else "v2 half"], indirect=True
)
without_controllers = pytest.mark.parametrize("hierarchy", ["v2 half"], indirect=True)


@pytest.fixture(params=["whole", "v1 half", "v2 half"])
def hierarchy(request: pytest.FixtureRequest) -> Hierarchy:
    """What this host has, and each half of a hybrid one as if it were all."""
    if not HERE.parents and os.geteuid() != 0:
        pytest.skip("no cgroup is ours; run the tests as root")
    assert HERE.parents, f"no cgroups here: {HERE.why_not}"
    if request.param == "whole":
        return HERE
    if HERE.version is not Version.HYBRID:
        pytest.skip("needs cgroup v1 and v2 at once")
    v1 = {name: path for name, path in HERE.parents.items() if name != "unified"}
    if request.param == "v1 half":
        return Hierarchy(Version.V1, v1)
    return Hierarchy(Version.V2, {"unified": HERE.parents["unified"]})


@pytest.fixture
def folder(hierarchy: Hierarchy) -> Iterator[str]:
    """A folder for this test's groups, removed with all that it holds."""
    name = f"wardian/test-{secrets.token_hex(4)}"
    yield name

    def is_gone() -> bool:
        hierarchy.sweep(set(), below=name)
        return not any((parent / name).exists() for parent in hierarchy.parents.values())

    wait_until(is_gone)


@pytest.fixture
def group(hierarchy: Hierarchy, folder: str) -> Cgroup:
    """A group without limits."""
    group = hierarchy.cgroup(f"{folder}/box")
    group.create(NO_LIMITS)
    return group


def members(group: Cgroup) -> dict[str, list[int]]:
    """The processes in each of the group's directories."""
    return {
        name: [int(word) for word in (path / "cgroup.procs").read_text().split()]
        for name, path in group.paths.items()
    }


@contextmanager
def entry(group: Cgroup) -> Iterator[tuple[int | None, Callable[[], None]]]:
    """How the runtime brings a child in: born in one half, it lets itself into the other."""
    cgroup_fd, admission = group.clone_fd(), group.admission_fds()

    def enter() -> None:
        for fd in admission:
            os.write(fd, b"0")

    try:
        yield cgroup_fd, enter
    finally:
        for fd in (*admission, *([] if cgroup_fd is None else [cgroup_fd])):
            os.close(fd)


# --- being in it -----------------------------------------------------------------------------


def test_group_is_made_in_every_hierarchy_and_removed_from_all(
    hierarchy: Hierarchy, group: Cgroup
) -> None:
    assert set(group.paths) == set(hierarchy.parents)
    assert all(path.is_dir() for path in group.paths.values())
    assert group.processes() == []
    group.remove()
    assert not any(path.exists() for path in group.paths.values())
    group.remove()  # it is gone: nothing to do


def test_added_process_is_in_every_hierarchy(group: Cgroup) -> None:
    with running() as host_pid:
        group.add(host_pid)
        assert group.processes() == [host_pid]
        assert set(map(tuple, members(group).values())) == {(host_pid,)}
        group.add(host_pid)  # it is there already


def test_child_is_born_in_the_group_and_lets_itself_into_the_rest(group: Cgroup) -> None:
    with entry(group) as (cgroup_fd, enter):
        deed = lambda: [enter(), members(group), os.getpid()]  # noqa: E731  # one line says it
        _, found, host_pid = in_child(deed, cgroup_fd=cgroup_fd)
    assert found == {name: [host_pid] for name in group.paths}


def test_children_of_a_member_are_members(group: Cgroup) -> None:
    with entry(group) as (cgroup_fd, enter):

        def have_a_child() -> list[bool]:
            enter()
            child = os.fork()
            if child == 0:
                signal.pause()
            found = [child in numbers for numbers in members(group).values()]
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return found

        assert in_child(have_a_child, cgroup_fd=cgroup_fd) == [True] * len(group.paths)


def test_group_in_use_is_not_removed(group: Cgroup) -> None:
    with running() as host_pid:
        group.add(host_pid)
        with pytest.raises(KernelRefused) as refused:
            group.remove()
        assert refused.value.errno == errno.EBUSY
        assert group.processes() == [host_pid]


def test_sweep_takes_the_empty_and_forgotten_only(
    hierarchy: Hierarchy, folder: str, group: Cgroup
) -> None:
    stale, live = hierarchy.cgroup(f"{folder}/stale"), hierarchy.cgroup(f"{folder}/live")
    for one in (stale, live):
        one.create(NO_LIMITS)
    (next(iter(stale.paths.values())) / "inner").mkdir()  # made by what ran in it
    with running() as host_pid:
        group.add(host_pid)
        hierarchy.sweep({"live"}, below=folder)
        assert not any(path.exists() for path in stale.paths.values())
        assert all(path.exists() for path in (*live.paths.values(), *group.paths.values()))


# --- a group that was given to us with ourselves in it ---------------------------------------


@pytest.fixture
def given(hierarchy: Hierarchy, folder: str) -> Path:
    """A group of v2 that is ours to divide, with a controller to hand down."""
    if set(hierarchy.parents) != {"unified"}:
        pytest.skip("needs cgroup v2 alone")
    top = hierarchy.cgroup(f"{folder}/given")
    top.create(NO_LIMITS)
    path = top.paths["unified"]
    if not words(path / "cgroup.controllers"):
        pytest.skip("needs a controller that cgroup v2 has")
    return path


@without_v1
def test_our_processes_make_room_for_groups_with_controllers(given: Path) -> None:
    box = V2Cgroup(given, "box")
    with running() as host_pid, running() as other:
        for each in (host_pid, other):
            write(given / "cgroup.procs", each)
        before = box.unenforced(NO_LIMITS)
        box.create(NO_LIMITS)
        assert numbers(given / "cgroup.procs") == []
        assert sorted(numbers(given / LEAF / "cgroup.procs")) == sorted([host_pid, other])
        assert words(box.paths["unified"] / "cgroup.controllers")
        assert box.unenforced(NO_LIMITS) == before
        box.add(host_pid)
        assert box.processes() == [host_pid]
        write(given / LEAF / "cgroup.procs", host_pid)
        box.remove()
        for controller in words(given / "cgroup.subtree_control"):
            write(given / "cgroup.subtree_control", f"-{controller}")
        close_ranks(given)
        assert sorted(numbers(given / "cgroup.procs")) == sorted([host_pid, other])
        assert not (given / LEAF).exists()


@without_v1
def test_others_processes_are_left_where_they_are(given: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has others' processes; run the tests as root")
    box = V2Cgroup(given, "box")

    def become_somebody() -> None:
        os.setresuid(1000, 1000, 1000)
        signal.pause()

    with running(become_somebody) as host_pid:
        write(given / "cgroup.procs", host_pid)
        wait_until(lambda: os.stat(f"/proc/{host_pid}").st_uid == 1000)
        box.create(NO_LIMITS)
        assert numbers(given / "cgroup.procs") == [host_pid]
        assert not words(box.paths["unified"] / "cgroup.controllers")
        (missing,) = box.unenforced(Limits(hugetlb=(HugePages(page_size="2MB", limit_bytes=0),)))
        assert missing.startswith("--hugetlb 2MB (")
        box.remove()


# --- limits ----------------------------------------------------------------------------------


def hold(size_bytes: int) -> None:
    """Take memory and keep it."""
    with mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        for offset in range(0, size_bytes, mmap.PAGESIZE):
            memory[offset] = 1
        signal.pause()


@with_controllers
def test_limits_given_are_limits_in_force(hierarchy: Hierarchy, folder: str) -> None:
    group = hierarchy.cgroup(f"{folder}/box")
    limits = Limits(
        memory_bytes=64 * MIB,
        memory_reservation_bytes=32 * MIB,
        cpus=0.5,
        cpu_shares=512,
        cpuset_cpus="0",
        pids=32,
    )
    group.create(limits)
    usage = group.usage()
    assert usage.memory_limit_bytes == 64 * MIB
    assert usage.cpu_quota_cores == 0.5
    assert usage.pids_limit == 32
    with running() as host_pid:
        group.add(host_pid)
        assert os.sched_getaffinity(host_pid) == {0}


@with_controllers
def test_limits_can_be_raised_lowered_and_lifted(group: Cgroup) -> None:
    for step in (64, 256, 32):
        group.apply(Limits(memory_bytes=step * MIB))
        assert group.usage().memory_limit_bytes == step * MIB
    for step in (64, 256, 32):
        with_swap = Limits(memory_bytes=step * MIB, memory_swap_bytes=(step + 8) * MIB)
        if group.unenforced(with_swap):
            break  # the kernel does not count swap
        group.apply(with_swap)
        assert group.usage().memory_limit_bytes == step * MIB
    group.apply(Limits(memory_bytes=64 * MIB, cpus=1.5, cpuset_cpus="0", pids=9))
    assert (group.usage().cpu_quota_cores, group.usage().pids_limit) == (1.5, 9)
    group.apply(NO_LIMITS)
    usage = group.usage()
    limits_read = (usage.memory_limit_bytes, usage.cpu_quota_cores, usage.pids_limit)
    assert limits_read == (None, None, None)
    with running() as host_pid:
        group.add(host_pid)
        assert os.sched_getaffinity(host_pid) == os.sched_getaffinity(0)


@with_controllers
def test_process_that_needs_more_memory_is_killed_and_counted(group: Cgroup) -> None:
    group.apply(Limits(memory_bytes=16 * MIB))
    assert group.events().oom_kill == 0
    with entry(group) as (cgroup_fd, enter):

        def grow() -> None:
            enter()
            hold(64 * MIB)

        with running(grow, cgroup_fd=cgroup_fd):
            wait_until(lambda: group.events().oom_kill == 1)
    usage = group.usage()
    assert usage.oom_kill == 1
    assert usage.memory_peak_bytes is None or 8 * MIB < usage.memory_peak_bytes <= 16 * MIB
    assert group.events().oom in (1, None)


@with_controllers
def test_memory_in_use_cannot_be_limited_away_unnoticed(group: Cgroup) -> None:
    with entry(group) as (cgroup_fd, enter):

        def deed() -> None:
            enter()
            hold(24 * MIB)

        with running(deed, cgroup_fd=cgroup_fd):
            wait_until(lambda: (group.usage().memory_anon_bytes or 0) >= 24 * MIB)
            assert (group.usage().memory_current_bytes or 0) >= 24 * MIB
            if "memory" in group.paths:  # v1 refuses; v2 makes room by its OOM killer
                with pytest.raises(KernelRefused) as refused:
                    group.apply(Limits(memory_bytes=8 * MIB))
                assert refused.value.hint == "more memory than that is in use and cannot be freed"
                assert group.usage().memory_limit_bytes is None
            else:
                group.apply(Limits(memory_bytes=8 * MIB))
                wait_until(lambda: (group.events().oom_kill or 0) > 0)


@with_controllers
def test_forks_above_the_limit_fail_and_are_counted(group: Cgroup) -> None:
    group.apply(Limits(pids=8))
    with entry(group) as (cgroup_fd, enter):

        def fork_until_refused() -> list[int]:
            enter()
            children: list[int] = []
            try:
                while len(children) < 100:
                    child = os.fork()
                    if child == 0:
                        signal.pause()
                    children.append(child)
            except OSError as error:
                return [len(children), error.errno or 0]
            finally:
                for child in children:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
            return [len(children), 0]

        assert in_child(fork_until_refused, cgroup_fd=cgroup_fd) == [7, errno.EAGAIN]
    assert (group.events().pids_max or 0) >= 1
    wait_until(lambda: group.usage().pids_current == 0)
    assert group.usage().pids_peak in (8, None)


# --- being told of limits that were hit ------------------------------------------------------


def is_ringing(alarm: Alarm[str], timeout_s: float = 60.0) -> bool:
    return bool(select.select([alarm], [], [], timeout_s)[0])


@with_controllers
def test_alarm_rings_for_who_ran_out_of_memory(
    hierarchy: Hierarchy, folder: str, group: Cgroup
) -> None:
    other = hierarchy.cgroup(f"{folder}/other")
    other.create(Limits(memory_bytes=16 * MIB))
    group.apply(Limits(memory_bytes=16 * MIB))
    with Alarm[str]() as alarm, entry(group) as (cgroup_fd, enter):
        alarm.watch("group", group)
        alarm.watch("other", other)
        assert not is_ringing(alarm, 0)

        def deed(size_bytes: int) -> None:
            enter()
            hold(size_bytes)

        with running(lambda: deed(4 * MIB), cgroup_fd=cgroup_fd):
            wait_until(lambda: (group.usage().memory_anon_bytes or 0) >= 4 * MIB)
            assert not is_ringing(alarm, 0)
            assert alarm.rung() == set()
        for times in (1, 2):
            with running(lambda: deed(64 * MIB), cgroup_fd=cgroup_fd):
                assert is_ringing(alarm)
                assert "group" in alarm.rung()
                wait_until(lambda times=times: group.events().oom_kill == times)  # type: ignore[misc]
        wait_until(lambda: not (alarm.rung() or is_ringing(alarm, 0.05)))  # v2 tells it twice, late
    assert (group.events().oom_kill, other.events().oom_kill) == (2, 0)
    assert not group.events().is_under_oom


@with_controllers
def test_alarm_rings_for_whom_a_fork_was_refused(
    hierarchy: Hierarchy, folder: str, group: Cgroup
) -> None:
    other = hierarchy.cgroup(f"{folder}/other")
    other.create(NO_LIMITS)
    group.apply(Limits(pids=1))
    with Alarm[str]() as alarm, entry(group) as (cgroup_fd, enter):
        alarm.watch("group", group)
        alarm.watch("other", other)

        def fork() -> int:
            enter()
            try:
                os.fork()
            except OSError as error:
                return error.errno or 0
            os._exit(0)

        assert in_child(fork, cgroup_fd=cgroup_fd) == errno.EAGAIN
        assert group.events().pids_max == 1
        if group.tells_of_forks:
            assert is_ringing(alarm)
            assert alarm.rung() == {"group"}
        alarm.forget("group")
        assert alarm.rung() == set()
        in_child(fork, cgroup_fd=cgroup_fd)
        assert group.events().pids_max == 2
        assert not is_ringing(alarm, 0.05)
    assert other.events().pids_max == 0


@with_controllers
def test_process_that_waits_for_memory_is_told_of(hierarchy: Hierarchy, folder: str) -> None:
    limits = Limits(memory_bytes=16 * MIB, oom_kill_disable=True)
    group = hierarchy.cgroup(f"{folder}/box")
    if group.unenforced(limits):
        assert "memory" not in group.paths  # v2 has no such switch
        return
    group.create(limits)
    with Alarm[str]() as alarm, entry(group) as (cgroup_fd, enter):
        alarm.watch("group", group)

        def grow() -> None:
            enter()
            hold(64 * MIB)

        with running(grow, cgroup_fd=cgroup_fd):
            assert is_ringing(alarm)
            wait_until(lambda: group.events().is_under_oom)
            assert group.events().oom_kill == 0


def test_alarm_has_three_descriptors_for_any_number_of_groups(
    hierarchy: Hierarchy, folder: str
) -> None:
    def taken() -> int:
        """How many descriptors are no files (inotify, eventfd, epoll)."""
        links = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
        names = (os.readlink(link) for link in links if os.path.lexists(link))
        return sum(name.startswith("anon_inode:") for name in names)

    before = taken()
    groups = [hierarchy.cgroup(f"{folder}/{number}") for number in range(20)]
    with Alarm[int]() as alarm:
        for number, group in enumerate(groups):
            group.create(NO_LIMITS)
            alarm.watch(number, group)
        assert taken() == before + 3
        for number, group in enumerate(groups):
            alarm.forget(number)
            group.remove()
        alarm.rung()
        assert taken() == before + 3
    assert taken() == before


def burn() -> None:
    while True:
        pass


@with_controllers
def test_group_without_a_quota_is_never_throttled(group: Cgroup) -> None:
    with running(burn) as host_pid:
        group.add(host_pid)
        wait_until(lambda: (group.usage().cpu_usage_usec or 0) > 200_000)
    assert group.usage().nr_throttled == 0


@with_controllers
def test_busy_process_is_throttled_and_its_time_is_told(group: Cgroup) -> None:
    group.apply(Limits(cpus=0.1))
    before = group.usage().cpu_usage_usec
    assert before is not None
    with running(burn) as host_pid:
        group.add(host_pid)
        wait_until(lambda: (group.usage().nr_throttled or 0) > 1)
        wait_until(lambda: (group.usage().cpu_usage_usec or 0) > before)
    usage = group.usage()
    assert usage.nr_periods is not None and usage.nr_throttled is not None
    assert usage.nr_periods >= usage.nr_throttled
    assert usage.throttled_usec


@with_controllers
def test_impossible_limit_leaves_no_group_behind(hierarchy: Hierarchy, folder: str) -> None:
    group = hierarchy.cgroup(f"{folder}/box")
    with pytest.raises(KernelRefused, match=r"^write 99999 to cpuset\.cpus"):
        group.create(Limits(cpuset_cpus="99999"))
    assert not any(path.exists() for path in group.paths.values())


def test_limit_that_cannot_be_enforced_is_said(hierarchy: Hierarchy, folder: str) -> None:
    group = hierarchy.cgroup(f"{folder}/box")
    limits = Limits(memory_bytes=64 * MIB, cpus=1.0, cpuset_cpus="0", pids=10)
    before = group.unenforced(limits)
    group.create(limits)
    assert group.unenforced(limits) == before  # making the group changes nothing about it
    usage = group.usage()
    said = {line.split()[0] for line in before}
    in_force = {
        "memory": usage.memory_limit_bytes,
        "cpu": usage.cpu_quota_cores,
        "pids": usage.pids_limit,
    }
    assert {name for name, value in in_force.items() if value is None} == said - {"cpuset"}


@without_controllers
def test_group_without_controllers_tells_nothing_rather_than_zero(group: Cgroup) -> None:
    usage = group.usage()
    assert usage.cpu_usage_usec is not None  # a figure that v2 has without its controller
    assert usage == Usage(
        cpu_usage_usec=usage.cpu_usage_usec,
        cpu_user_usec=usage.cpu_user_usec,
        cpu_system_usec=usage.cpu_system_usec,
        hugetlb_bytes=usage.hugetlb_bytes,  # that controller may be in the v2 half
        pressure=usage.pressure,  # PSI needs no controller
    )
    assert group.events() == Events()


@with_controllers
def test_bytes_to_and_from_disk_are_counted_or_unknown(group: Cgroup, tmp_path: Path) -> None:
    with entry(group) as (cgroup_fd, enter):

        def write_and_read() -> None:
            enter()
            with mmap.mmap(-1, MIB) as block:  # page-aligned, as O_DIRECT wants it
                file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
                os.write(file, block)
                os.preadv(file, [block], 0)

        in_child(write_and_read, cgroup_fd=cgroup_fd)
    usage = group.usage()
    if usage.io_written_bytes is None:
        assert HERE.version is not Version.V2  # newer kernels do not count for v1
    else:
        assert usage.io_written_bytes >= MIB
        assert usage.io_read_bytes is not None and usage.io_read_bytes >= MIB


# --- freezing and killing --------------------------------------------------------------------


def test_frozen_processes_stand_still_until_thawed(group: Cgroup) -> None:
    counter = mmap.mmap(-1, mmap.PAGESIZE)

    def count() -> None:
        while True:
            counter[:8] = (int.from_bytes(counter[:8], "little") + 1).to_bytes(8, "little")

    def counted() -> int:
        return int.from_bytes(counter[:8], "little")

    with running(count) as host_pid:
        group.add(host_pid)
        wait_until(lambda: counted() > 0)
        group.freeze()
        stopped_at = counted()
        in_child(lambda: sum(range(10**5)))  # another process has run meanwhile
        assert counted() == stopped_at
        group.freeze()  # it is frozen already
        group.thaw()
        wait_until(lambda: counted() > stopped_at)


def test_kill_ends_all_also_those_that_fork_without_end(group: Cgroup) -> None:
    if not group.unenforced(Limits(pids=64)):
        group.apply(Limits(pids=64))

    def multiply() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        for _ in range(200_000):  # ends by itself, should the test fail
            try:
                if os.fork() == 0:
                    os._exit(0)
            except BlockingIOError:
                pass
        signal.pause()

    with running(multiply) as host_pid:
        group.add(host_pid)
        wait_until(lambda: len(group.processes()) > 0)
        group.kill()
        wait_until(lambda: not group.processes())
    group.remove()


def test_kill_ends_nobody_outside_the_group(
    hierarchy: Hierarchy, folder: str, group: Cgroup
) -> None:
    other = hierarchy.cgroup(f"{folder}/other")
    other.create(NO_LIMITS)
    with running() as member, running() as bystander:
        group.add(member)
        other.add(bystander)
        group.kill()
        wait_until(lambda: not group.processes())
        assert other.processes() == [bystander]


def test_group_that_is_gone_can_be_killed_and_read(group: Cgroup) -> None:
    group.remove()
    group.kill()
    assert (group.processes(), group.usage(), group.events()) == ([], Usage(), Events())


def test_frozen_group_can_be_killed(group: Cgroup) -> None:
    with running() as host_pid:
        group.add(host_pid)
        group.freeze()
        group.kill()
        if group.processes():  # v1 and v2 before 5.14 let the dead go when they are thawed
            group.thaw()
        wait_until(lambda: not group.processes())


# --- reading ---------------------------------------------------------------------------------


def test_reading_keeps_no_more_descriptors_than_files(group: Cgroup) -> None:
    tops = [str(path) for path in group.paths.values()]

    def descriptors() -> list[str]:
        links = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
        ours = (os.readlink(link) for link in links if os.path.lexists(link))
        return [path for path in ours if any(path.startswith(top) for top in tops)]

    group.usage()
    group.events()
    opened = descriptors()
    assert opened
    for _ in range(20):
        group.usage()
        group.events()
    assert descriptors() == opened
    group.remove()
    assert descriptors() == []


# --- each limit ------------------------------------------------------------------------------

DISK = whole_disk()
RATE = (DeviceRate(major=DISK[0], minor=DISK[1], per_second=3 * MIB),)
SIZE = str(3 * MIB)
# What is asked for, and what the files of v1 and of v2 must tell then.
EACH: dict[str, tuple[Limits, dict[str, str]]] = {
    "memory_bytes": (
        Limits(memory_bytes=64 * MIB),
        {"memory.limit_in_bytes": str(64 * MIB), "memory.max": str(64 * MIB)},
    ),
    "memory_swap_bytes": (
        Limits(memory_bytes=64 * MIB, memory_swap_bytes=96 * MIB),
        {"memory.memsw.limit_in_bytes": str(96 * MIB), "memory.swap.max": str(32 * MIB)},
    ),
    "memory_reservation_bytes": (
        Limits(memory_reservation_bytes=32 * MIB),
        {"memory.soft_limit_in_bytes": str(32 * MIB), "memory.low": str(32 * MIB)},
    ),
    "memory_high_bytes": (Limits(memory_high_bytes=32 * MIB), {"memory.high": str(32 * MIB)}),
    "memory_swappiness": (Limits(memory_swappiness=7), {"memory.swappiness": "7"}),
    "oom_kill_disable": (
        Limits(oom_kill_disable=True),
        {"memory.oom_control": "oom_kill_disable 1"},
    ),
    "oom_group": (Limits(oom_group=True), {"memory.oom.group": "1"}),
    "cpus": (Limits(cpus=0.2), {"cpu.cfs_quota_us": "20000", "cpu.max": "20000 100000"}),
    "cpu_quota_usec": (
        Limits(cpu_quota_usec=20_000),
        {"cpu.cfs_quota_us": "20000", "cpu.max": "20000 100000"},
    ),
    "cpu_period_usec": (
        Limits(cpu_period_usec=50_000),
        {"cpu.cfs_period_us": "50000", "cpu.max": "max 50000"},
    ),
    "cpu_burst_usec": (
        Limits(cpu_quota_usec=20_000, cpu_burst_usec=5_000),
        {"cpu.cfs_burst_us": "5000", "cpu.max.burst": "5000"},
    ),
    "cpu_rt_period_usec": (Limits(cpu_rt_period_usec=500_000), {"cpu.rt_period_us": "500000"}),
    "cpu_rt_runtime_usec": (Limits(cpu_rt_runtime_usec=10_000), {"cpu.rt_runtime_us": "10000"}),
    "cpu_shares": (Limits(cpu_shares=512), {"cpu.shares": "512", "cpu.weight": "20"}),
    "cpuset_cpus": (Limits(cpuset_cpus="0"), {"cpuset.cpus": "0"}),
    "cpuset_mems": (Limits(cpuset_mems="0"), {"cpuset.mems": "0"}),
    "pids": (Limits(pids=32), {"pids.max": "32"}),
    "blkio_weight": (
        Limits(blkio_weight=300),
        # Without the BFQ scheduler v2 has another's, on another scale.
        {"blkio.bfq.weight": "300", "io.bfq.weight": "300", "io.weight": "default 2930"},
    ),
    "device_read_bps": (
        Limits(device_read_bps=RATE),
        {"blkio.throttle.read_bps_device": SIZE, "io.max": f"rbps={SIZE}"},
    ),
    "device_write_bps": (
        Limits(device_write_bps=RATE),
        {"blkio.throttle.write_bps_device": SIZE, "io.max": f"wbps={SIZE}"},
    ),
    "device_read_iops": (
        Limits(device_read_iops=RATE),
        {"blkio.throttle.read_iops_device": SIZE, "io.max": f"riops={SIZE}"},
    ),
    "device_write_iops": (
        Limits(device_write_iops=RATE),
        {"blkio.throttle.write_iops_device": SIZE, "io.max": f"wiops={SIZE}"},
    ),
    "hugetlb": (
        Limits(hugetlb=(HugePages(page_size="2MB", limit_bytes=4 * MIB),)),
        {"hugetlb.2MB.limit_in_bytes": str(4 * MIB), "hugetlb.2MB.max": str(4 * MIB)},
    ),
}
# Lifted, they are as the group above has them, which may be the same.
INHERITED = ("cpuset_cpus", "cpuset_mems")


def told(group: Cgroup, *names: str) -> str:
    """The text of the first of these files that the group has; "" without one."""
    files = [path / name for name in names for path in group.paths.values()]
    return next((file.read_text() for file in files if file.exists()), "")


def is_told(group: Cgroup, texts: dict[str, str]) -> bool:
    """Whether the first of these files that the group has tells what it must."""
    return any(text in told(group, name) for name, text in texts.items() if told(group, name))


def test_each_limit_that_there_is_is_tried() -> None:
    assert {*EACH, "device_rules"} == {field.name for field in fields(Limits)}


@pytest.mark.parametrize("what", EACH)
def test_limit_is_in_force_or_what_is_missing_is_said(
    hierarchy: Hierarchy, folder: str, what: str
) -> None:
    limits, texts = EACH[what]
    if what.startswith("device_") and not DISK[0]:
        pytest.skip("needs a disk")
    group = hierarchy.cgroup(f"{folder}/box")
    missing = group.unenforced(limits)
    assert not any(path.exists() for path in group.paths.values())  # asking leaves nothing behind
    group.create(limits)
    assert group.unenforced(limits) == missing
    if missing:
        assert all(re.fullmatch(r"[-+a-z0-9 ]+ \(.+\)", each, re.IGNORECASE) for each in missing)
        assert not is_told(group, texts)
        return
    assert is_told(group, texts)
    group.apply(NO_LIMITS)
    assert not is_told(group, texts) or what in INHERITED
    group.apply(limits)
    assert is_told(group, texts)


@pytest.mark.parametrize("what", EACH)
def test_without_cgroups_each_limit_is_said_to_be_missing(what: str) -> None:
    limits, _ = EACH[what]
    missing = AbsentCgroup("none is ours").unenforced(limits)
    words_of = what.removesuffix("_bytes").removesuffix("_usec").replace("_", " ")
    assert any(each.startswith(f"{words_of} (") for each in missing)
    assert all(each.endswith(" (none is ours)") for each in missing)


@with_controllers
def test_burst_and_quota_can_change_in_any_order(group: Cgroup) -> None:
    steps = [
        Limits(cpu_quota_usec=50_000, cpu_burst_usec=50_000),
        Limits(cpu_quota_usec=10_000, cpu_burst_usec=10_000),
        Limits(cpu_quota_usec=900_000, cpu_period_usec=1_000_000, cpu_burst_usec=100_000),
        Limits(cpus=0.02),
        Limits(cpu_quota_usec=5_000, cpu_period_usec=5_000),
    ]
    for step in (*steps, *reversed(steps)):
        group.apply(step)
        quota, period = step.quota_and_period_usec()
        assert quota is not None
        assert group.usage().cpu_quota_cores == quota / period
        burst = told(group, "cpu.cfs_burst_us", "cpu.max.burst")
        assert int(burst) == (step.cpu_burst_usec or 0)


def test_last_folder_of_ours_takes_the_one_above_with_it(hierarchy: Hierarchy) -> None:
    top = f"wardian-test-{secrets.token_hex(4)}"
    hierarchy.cgroup(f"{top}/one/box").create(NO_LIMITS)
    hierarchy.cgroup(f"{top}/two/box").create(NO_LIMITS)
    hierarchy.sweep(set(), below=f"{top}/one")
    assert all((parent / top / "two").exists() for parent in hierarchy.parents.values())
    hierarchy.sweep(set(), below=f"{top}/two")
    assert not any((parent / top).exists() for parent in hierarchy.parents.values())


def test_pressure_is_told_where_the_kernel_counts_it(group: Cgroup) -> None:
    usage = group.usage()
    has_psi = bool(told(group, "cpu.pressure"))
    assert set(usage.pressure) == ({"cpu", "memory", "io"} if has_psi else set())
    for pressure in usage.pressure.values():
        assert pressure.some_10 is not None and 0 <= pressure.some_10 <= 100


# --- devices ---------------------------------------------------------------------------------


def opened(group: Cgroup, major: int, minor: int) -> int:
    """The errno of opening a character device from within the group; 0 for none."""

    def deed() -> int:
        path = f"/dev/shm/wardian-node-{os.getpid()}"
        try:
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(major, minor))
            os.close(os.open(path, os.O_RDWR))
        except OSError as error:
            return error.errno or -1
        finally:
            Path(path).unlink(missing_ok=True)
        return 0

    with entry(group) as (cgroup_fd, enter):
        return int(in_child(lambda: [enter(), deed()], cgroup_fd=cgroup_fd)[1])


def test_devices_are_dockers_list_and_those_of_the_rules(group: Cgroup) -> None:
    if os.geteuid() != 0:
        (missing,) = group.unenforced(Limits(device_rules=(DeviceRule(allow=False),)))
        assert missing.startswith("rules for devices (")
        return
    assert not devices.why_not(group.paths)
    mem, null, tun = (1, 1), (1, 3), (10, 200)
    assert opened(group, *mem) == errno.EPERM
    assert opened(group, *null) == 0
    assert opened(group, *tun) == errno.EPERM
    group.apply(Limits(device_rules=(DeviceRule.parse("c 10:200 rwm"),)))
    assert opened(group, *tun) != errno.EPERM
    assert opened(group, *mem) == errno.EPERM
    group.apply(Limits(device_rules=(DeviceRule(),)))
    assert opened(group, *tun) != errno.EPERM
    group.apply(Limits(device_rules=(DeviceRule(allow=False),)))
    assert opened(group, *null) == errno.EPERM
    group.apply(NO_LIMITS)
    assert opened(group, *tun) == errno.EPERM
    assert opened(group, *null) == 0
