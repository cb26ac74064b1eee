"""cgroup v1, hybrid and v2 read from folders of files, as the kernel writes them."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import pytest

from wardian.cgroups.absent import AbsentCgroup
from wardian.cgroups.cgroup import Events, Usage
from wardian.cgroups.devices import DeviceRule
from wardian.cgroups.files import Files, write
from wardian.cgroups.hierarchy import Hierarchy, Version, own_group
from wardian.cgroups.limits import Limits
from wardian.cgroups.pressure import Pressure
from wardian.cgroups.v1 import V1Cgroup
from wardian.cgroups.v2 import V2Cgroup, weight_of_shares
from wardian.errors import KernelRefused, SetupError

PAGE = os.sysconf("SC_PAGESIZE")
V1_FILES = {
    "memory/box": {
        "memory.usage_in_bytes": "5242880\n",
        "memory.max_usage_in_bytes": "6291456\n",
        "memory.limit_in_bytes": "67108864\n",
        "memory.kmem.usage_in_bytes": "131072\n",
        "memory.kmem.slabinfo": "slabinfo - version: 2.1\n"
        "# name <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables\n"
        "dentry    10  42  192   21    1 : tunables    0    0    0 : slabdata    2    2    0\n"
        "inode      1  30  544   30    4 : tunables    0    0    0 : slabdata    1    1    0\n",
        "memory.failcnt": "17\n",
        "memory.stat": "cache 4096\nrss 8192\ntotal_cache 12288\ntotal_rss 16384\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    },
    "cpu/box": {
        "cpu.cfs_quota_us": "50000\n",
        "cpu.cfs_period_us": "100000\n",
        "cpu.stat": "nr_periods 100\nnr_throttled 40\nthrottled_time 2000000000\n",
    },
    "cpuacct/box": {"cpuacct.usage": "3500000000\n", "cpuacct.stat": "user 250\nsystem 100\n"},
    "pids/box": {
        "pids.current": "4\n",
        "pids.peak": "9\n",
        "pids.max": "100\n",
        "pids.events": "max 2\n",
        "cgroup.procs": "10\n20\n",
    },
    "blkio/box": {
        "blkio.throttle.io_service_bytes": "8:0 Read 4096\n8:0 Write 8192\n8:0 Sync 1\n"
        "8:16 Read 100\n8:16 Write 0\n8:16 Total 100\nTotal 12388\n"
    },
}
V2_FILES = {
    "box": {
        "cgroup.controllers": "cpu io memory pids\n",
        "memory.current": "5242880\n",
        "memory.peak": "6291456\n",
        "memory.max": "67108864\n",
        "memory.stat": f"anon 16384\nfile 12288\nkernel 131072\nslab {6 * PAGE}\n",
        "memory.events": "low 0\nhigh 0\nmax 17\noom 5\noom_kill 3\noom_group_kill 0\n",
        "cpu.stat": "usage_usec 3500000\nuser_usec 2500000\nsystem_usec 1000000\n"
        "nr_periods 100\nnr_throttled 40\nthrottled_usec 2000000\n",
        "cpu.max": "50000 100000\n",
        "pids.current": "4\n",
        "pids.peak": "9\n",
        "pids.max": "100\n",
        "pids.events": "max 2\n",
        "io.stat": "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=100\n",
        "cgroup.procs": "10\n20\n",
    }
}
USAGE = Usage(
    memory_current_bytes=5242880,
    memory_peak_bytes=6291456,
    memory_limit_bytes=67108864,
    memory_anon_bytes=16384,
    memory_file_bytes=12288,
    memory_kernel_bytes=131072,
    memory_slab_bytes=6 * PAGE,
    cpu_usage_usec=3500000,
    cpu_user_usec=2500000,
    cpu_system_usec=1000000,
    cpu_quota_cores=0.5,
    nr_periods=100,
    nr_throttled=40,
    throttled_usec=2000000,
    pids_current=4,
    pids_peak=9,
    pids_limit=100,
    pids_refused=2,
    io_read_bytes=4196,
    io_written_bytes=8192,
    oom_kill=3,
)


def make(top: Path, files: dict[str, dict[str, str]]) -> Path:
    for folder, contents in files.items():
        (top / folder).mkdir(parents=True)
        for name, text in contents.items():
            (top / folder / name).write_text(text)
    return top


def v1(top: Path, controllers: list[str]) -> V1Cgroup:
    return V1Cgroup({name: top / name for name in controllers}, "box")


# --- reading ---------------------------------------------------------------------------------


def test_v1_and_v2_tell_the_same_in_their_own_files(tmp_path: Path) -> None:
    assert os.sysconf("SC_CLK_TCK") == 100  # the ticks of cpuacct.stat above
    one = v1(make(tmp_path / "v1", V1_FILES), ["memory", "cpu", "cpuacct", "pids", "blkio"])
    two = V2Cgroup(make(tmp_path / "v2", V2_FILES), "box")
    assert one.usage() == USAGE
    assert two.usage() == USAGE


def test_pressure_and_huge_pages_are_read_in_both(tmp_path: Path) -> None:
    files = {
        "cpu.pressure": "some avg10=12.50 avg60=1.00 avg300=0.00 total=99\n",
        "memory.pressure": "some avg10=0.25 avg60=0.00 avg300=0.00 total=1\nfull avg10=9.00 x\n",
        "io.pressure": "full avg10=9.00 avg60=0.00 avg300=0.00 total=1\n",
        "hugetlb.2MB.current": "4194304\n",
        "hugetlb.1GB.current": "0\n",
    }
    top = make(tmp_path, {"box": files})
    for group in (V2Cgroup(top, "box"), V1Cgroup({"unified": top}, "box")):
        usage = group.usage()
        assert usage.pressure == {
            "cpu": Pressure(some_10=12.5, some_60=1.0),
            "memory": Pressure(some_10=0.25, some_60=0.0),
            "io": Pressure(full_10=9.0, full_60=0.0),
        }
        if Path("/sys/kernel/mm/hugepages/hugepages-2048kB").exists():
            assert usage.hugetlb_bytes == 4194304


def test_events_are_counted_where_the_kernel_counts_them(tmp_path: Path) -> None:
    one = v1(make(tmp_path / "v1", V1_FILES), ["memory", "pids"])
    two = V2Cgroup(make(tmp_path / "v2", V2_FILES), "box")
    assert one.events() == Events(oom=None, oom_kill=3, pids_max=2)
    assert two.events() == Events(oom=5, oom_kill=3, pids_max=2)


def test_what_the_kernel_does_not_tell_is_none_and_never_zero(tmp_path: Path) -> None:
    (tmp_path / "box").mkdir()
    assert V2Cgroup(tmp_path, "box").usage() == Usage()
    assert V2Cgroup(tmp_path, "box").events() == Events()
    assert v1(tmp_path, ["memory", "cpu", "cpuacct", "pids", "blkio"]).usage() == Usage()
    assert v1(tmp_path, []).events() == Events()
    assert AbsentCgroup("none here").usage() == Usage()


def test_bytes_that_v1_does_not_count_are_unknown(tmp_path: Path) -> None:
    make(tmp_path, {"blkio/box": {"blkio.throttle.io_service_bytes": "Total 0\n"}})
    usage = v1(tmp_path, ["blkio"]).usage()
    assert (usage.io_read_bytes, usage.io_written_bytes) == (None, None)


def test_slabs_that_v1_does_not_list_are_unknown(tmp_path: Path) -> None:
    make(tmp_path, {"memory/box": {"memory.kmem.slabinfo": ""}})
    assert v1(tmp_path, ["memory"]).usage().memory_slab_bytes is None


def test_high_memory_is_no_limit_until_it_is_set(tmp_path: Path) -> None:
    group = V2Cgroup(make(tmp_path, {"box": {"memory.high": "max\n"}}), "box")
    assert group.usage().memory_high_bytes is None
    (tmp_path / "box/memory.high").write_text("50331648\n")
    assert group.usage().memory_high_bytes == 48 << 20


def test_no_limit_is_none(tmp_path: Path) -> None:
    make(
        tmp_path / "v1",
        {
            "memory/box": {"memory.limit_in_bytes": "9223372036854771712\n"},
            "pids/box": {"pids.max": "max\n"},
            "cpu/box": {"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"},
        },
    )
    make(tmp_path / "v2", {"box": dict.fromkeys(["memory.max", "pids.max", "cpu.max"], "max\n")})
    (tmp_path / "v2/box/cpu.max").write_text("max 100000\n")
    for group in (v1(tmp_path / "v1", ["memory", "pids", "cpu"]), V2Cgroup(tmp_path / "v2", "box")):
        usage = group.usage()
        limits = (usage.memory_limit_bytes, usage.pids_limit, usage.cpu_quota_cores)
        assert limits == (None, None, None)


def test_processes_are_those_of_the_group(tmp_path: Path) -> None:
    assert v1(make(tmp_path / "v1", V1_FILES), ["pids"]).processes() == [10, 20]
    assert V2Cgroup(make(tmp_path / "v2", V2_FILES), "box").processes() == [10, 20]


def test_second_reading_sees_the_new_figures(tmp_path: Path) -> None:
    group = V2Cgroup(make(tmp_path, V2_FILES), "box")
    group.usage()
    (tmp_path / "box/memory.current").write_text("7\n")
    assert group.usage().memory_current_bytes == 7


def test_descriptors_are_kept_between_readings_and_given_back(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    group = V2Cgroup(make(tmp_path, V2_FILES), "box")
    group.usage()
    opened = len(os.listdir("/proc/self/fd"))
    group.usage()
    assert len(os.listdir("/proc/self/fd")) == opened > before
    del group
    assert len(os.listdir("/proc/self/fd")) == before


def test_files_of_a_group_that_is_gone_read_as_none(tmp_path: Path) -> None:
    files = Files()
    assert files.text(tmp_path / "memory.current") is None
    assert files.number(tmp_path / "memory.current") is None
    assert files.table(tmp_path / "memory.stat") == {}


def test_words_that_are_no_number_read_as_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("max\n")
    (tmp_path / "table").write_text("anon 5\nfile five\nslab\n\nthree words here\n")
    files = Files()
    assert files.number(tmp_path / "file") is None
    assert files.table(tmp_path / "table") == {"anon": 5}


# --- writing ---------------------------------------------------------------------------------


def empty_v2(top: Path, *names: str) -> V2Cgroup:
    make(top, {"box": {"cgroup.controllers": "cpu memory pids\n", **dict.fromkeys(names, "")}})
    return V2Cgroup(top, "box")


def test_v2_limits_are_written_in_v2s_words(tmp_path: Path) -> None:
    names = ["memory.max", "memory.low", "memory.swap.max", "cpu.max", "cpu.weight", "pids.max"]
    group = empty_v2(tmp_path, *names)
    group.apply(
        Limits(
            memory_bytes=64 << 20,
            memory_swap_bytes=96 << 20,
            memory_reservation_bytes=32 << 20,
            cpus=1.5,
            cpu_shares=2,
            pids=100,
        )
    )
    found = {name: (tmp_path / "box" / name).read_text() for name in names}
    assert found == {
        "memory.max": str(64 << 20),
        "memory.low": str(32 << 20),
        "memory.swap.max": str(32 << 20),  # v2 counts swap alone
        "cpu.max": "150000 100000",
        "cpu.weight": "1",
        "pids.max": "100",
    }


def test_v2_cpuset_goes_back_to_the_parents_when_it_is_lifted(tmp_path: Path) -> None:
    make(tmp_path, {"box": {"cgroup.controllers": "cpuset\n", "cpuset.cpus": ""}})
    cpus, group = tmp_path / "box/cpuset.cpus", V2Cgroup(tmp_path, "box")
    group.apply(Limits(cpuset_cpus="0-1"))
    assert cpus.read_text() == "0-1"
    cpus.write_text("0-1\n")
    group.apply(Limits())
    assert cpus.read_bytes()[:1] == b"\n"


def test_a_refused_write_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(KernelRefused, match=r"^write 100 to pids\.max: No such file"):
        write(tmp_path / "box" / "pids.max", 100)


@pytest.mark.parametrize(
    ("shares", "weight"), [(None, 100), (2, 1), (1024, 39), (262144, 10000), (512, 20)]
)
def test_shares_become_weights_by_runcs_formula(shares: int | None, weight: int) -> None:
    assert weight_of_shares(shares) == weight


def test_limits_without_their_controller_are_said_to_be_missing(tmp_path: Path) -> None:
    make(tmp_path, {"box": {"cgroup.controllers": "pids\n"}})
    limits = Limits(memory_bytes=64 << 20, cpus=1.0, cpuset_cpus="0", pids=10)
    missing = V2Cgroup(tmp_path, "box").unenforced(limits)
    assert [line.split()[0] for line in missing] == ["memory", "cpu", "cpuset"]
    missing = v1(tmp_path, ["pids", "memory"]).unenforced(limits)
    assert [line.split()[0] for line in missing] == ["cpu", "cpuset"]
    missing = AbsentCgroup("none here").unenforced(limits)
    assert [line.split()[0] for line in missing] == ["memory", "cpus", "cpuset", "pids"]
    assert AbsentCgroup("none here").unenforced(Limits()) == []


# --- which hierarchy -------------------------------------------------------------------------


def detect(top: Path, ours: str = "0::/\n") -> Hierarchy:
    (top / "proc/self").mkdir(parents=True, exist_ok=True)
    (top / "proc/self/cgroup").write_text(ours)
    (top / "cgroup").mkdir(exist_ok=True)
    return Hierarchy.detect(str(top / "cgroup"), str(top / "proc"))


def test_v2_is_known_by_its_controllers_file_at_the_top(tmp_path: Path) -> None:
    make(tmp_path, {"cgroup": {"cgroup.controllers": "cpu memory pids\n", "cgroup.procs": "1\n"}})
    found = detect(tmp_path)
    assert (found.version, found.parents) == (Version.V2, {"unified": tmp_path / "cgroup"})
    assert found.cgroup("wardian/x").paths == {"unified": tmp_path / "cgroup/wardian/x"}


def test_v1_has_a_parent_for_each_mounted_controller(tmp_path: Path) -> None:
    make(
        tmp_path / "cgroup",
        {name: {"cgroup.procs": ""} for name in ("memory", "pids", "net_cls", "systemd")},
    )
    (tmp_path / "cgroup/cpu").mkdir()  # the directory is there, nothing is mounted on it
    found = detect(tmp_path, "5:memory:/\n4:pids:/\n1:name=systemd:/\n")
    assert found.version is Version.V1
    assert found.parents == {name: tmp_path / "cgroup" / name for name in ("memory", "pids")}


def test_hybrid_is_v1_with_a_unified_half(tmp_path: Path) -> None:
    make(
        tmp_path / "cgroup",
        {"memory": {"cgroup.procs": ""}, "unified": {"cgroup.controllers": "hugetlb\n"}},
    )
    found = detect(tmp_path, "5:memory:/\n0::/\n")
    assert found.version is Version.HYBRID
    assert set(found.parents) == {"memory", "unified"}


def test_no_hierarchy_is_said_with_the_reason(tmp_path: Path) -> None:
    found = detect(tmp_path)
    assert (found.version, found.parents) == (Version.NONE, {})
    assert found.why_not == "no cgroups are mounted"
    group = found.cgroup("wardian/x")
    group.create(Limits())
    group.remove()
    with pytest.raises(SetupError, match="no cgroups are mounted"):
        group.freeze()


def test_a_user_gets_the_group_that_is_delegated_to_it(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can look as another user; run the tests as root")
    for folder in [tmp_path, *tmp_path.parents][:-2]:
        folder.chmod(folder.stat().st_mode | 0o011)
    session = tmp_path / "cgroup/user.slice/session"
    make(session, {"app": {"cgroup.procs": ""}})
    (tmp_path / "cgroup/cgroup.controllers").write_text("memory\n")
    (session / "cgroup.procs").write_text("")
    for path in (session, session / "cgroup.procs"):
        os.chown(path, 1000, 1000)
    detect(tmp_path, "0::/user.slice/session/app\n")
    assert _detect_as_user(tmp_path) == f"v2 {session} "
    os.chown(session, 0, 0)
    assert _detect_as_user(tmp_path) == "v2 None no cgroup is delegated to this user"


def _detect_as_user(top: Path) -> str:
    """What a child with uid 1000 says; forked, as that user may not be able to run our Python."""
    read_fd, write_fd = os.pipe()
    host_pid = os.fork()
    if host_pid == 0:
        os.setgroups([])
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)
        found = Hierarchy.detect(str(top / "cgroup"), str(top / "proc"))
        parent = found.parents.get("unified")
        os.write(write_fd, f"{found.version.value} {parent} {found.why_not}".encode())
        os._exit(0)
    os.close(write_fd)
    with open(read_fd) as said:
        text = said.read()
    os.waitpid(host_pid, 0)
    return text


def test_uppermost_group_that_can_be_divided_is_taken(tmp_path: Path) -> None:
    """As under systemd: the slice is ours and empty, our own scope below it is full of us."""
    busy = {"cgroup.type": "domain\n", "cgroup.procs": "1\n2\n"}
    empty = {"cgroup.type": "domain\n", "cgroup.procs": ""}
    make(
        tmp_path,
        {
            "cgroup": {**busy, "cgroup.controllers": "memory\n"},  # no real root: a container's top
            "cgroup/user": busy,
            "cgroup/user/app.slice": empty,
            "cgroup/user/app.slice/lab.scope": busy,
        },
    )
    found = detect(tmp_path, "0::/user/app.slice/lab.scope\n")
    assert found.parents == {"unified": tmp_path / "cgroup/user/app.slice"}


def test_group_outside_of_our_cgroup_namespace_is_not_looked_for(tmp_path: Path) -> None:
    make(tmp_path, {"cgroup": {"cgroup.controllers": "memory\n", "cgroup.procs": ""}})
    make(tmp_path, {"outside": {"cgroup.procs": ""}})
    found = detect(tmp_path, "0::/../../outside\n")
    assert found.parents == {"unified": tmp_path / "cgroup"}


def test_controllers_that_our_own_processes_hold_back_are_said(tmp_path: Path) -> None:
    files = {
        "cgroup.type": "domain\n",
        "cgroup.procs": "0\n",  # of another PID namespace, so not ours
        "cgroup.controllers": "memory pids\n",
        "cgroup.subtree_control": "pids\n",
    }
    make(tmp_path, {"ours": files})
    group = V2Cgroup(tmp_path / "ours", "wardian/box")
    limits = Limits(memory_bytes=64 << 20, cpus=1.0, pids=10)
    assert group.unenforced(limits) == [
        "memory (others' processes in our own group hold the controller back)",
        "cpu (the cpu controller is not delegated to us)",
    ]
    (tmp_path / "ours/cgroup.procs").write_text("")
    missing = V2Cgroup(tmp_path / "ours", "wardian/box").unenforced(limits)
    assert [line.split()[0] for line in missing] == ["cpu"]


def test_sweep_takes_empty_groups_of_the_dead_only(tmp_path: Path) -> None:
    for name in ("live", "dead", "dead/child", "busy"):
        (tmp_path / "wardian/key" / name).mkdir(parents=True)
    (tmp_path / "wardian/key/busy/process").touch()  # rmdir(2) refuses, as for a group in use
    (tmp_path / "wardian/other/new").mkdir(parents=True)
    hierarchy = Hierarchy(Version.V2, {"unified": tmp_path})
    hierarchy.sweep({"live"}, below="wardian/other", with_folder=False)
    (tmp_path / "wardian/other/new").mkdir()
    hierarchy.sweep({"live"}, below="wardian/key")
    assert sorted(os.listdir(tmp_path / "wardian/key")) == ["busy", "live"]
    assert (tmp_path / "wardian/other/new").exists()
    (tmp_path / "wardian/key/busy/process").unlink()
    hierarchy.sweep(set(), below="wardian/key")
    assert os.listdir(tmp_path / "wardian") == ["other"]
    hierarchy.sweep(set(), below="wardian/key")  # nothing there: nothing to do


def test_folders_that_nobody_holds_are_swept_and_no_others(tmp_path: Path) -> None:
    for name in ("a-1/dead", "b-2/new", "c-3/busy", "somebody/else"):
        (tmp_path / "memory/wardian" / name).mkdir(parents=True)
        (tmp_path / "pids/wardian" / name).mkdir(parents=True)
    (tmp_path / "pids/wardian/d-4/dead").mkdir(parents=True)  # half of it is gone already
    (tmp_path / "memory/wardian/c-3/busy/process").touch()
    parents = {name: tmp_path / name for name in ("memory", "pids")}
    hierarchy = Hierarchy(Version.V1, parents)
    held = hierarchy.claim("wardian/b-2")
    assert held is not None
    hierarchy.sweep_unclaimed("wardian", named=re.compile("[a-z]-[0-9]"))
    assert sorted(os.listdir(tmp_path / "memory/wardian")) == ["b-2", "c-3", "somebody"]
    assert sorted(os.listdir(tmp_path / "pids/wardian")) == ["b-2", "somebody"]
    os.close(held)
    hierarchy.sweep_unclaimed("wardian", named=re.compile("[a-z]-[0-9]"))
    assert sorted(os.listdir(tmp_path / "memory/wardian")) == ["c-3", "somebody"]


def test_folder_is_claimed_also_when_it_is_swept_at_that_moment(tmp_path: Path) -> None:
    """Whoever claims waits for the sweeper, and makes anew what that took away."""
    hierarchy = Hierarchy(Version.V2, {"unified": tmp_path})
    pattern = re.compile("[a-z]-[0-9]")
    sweeper = os.fork()
    if sweeper == 0:
        with suppress(BaseException):
            while not (tmp_path / "enough").exists():
                hierarchy.sweep_unclaimed("wardian", named=pattern)
        os._exit(0)
    try:
        for _ in range(300):
            held = hierarchy.claim("wardian/a-1")
            assert held is not None
            assert os.path.samestat(os.fstat(held), os.stat(tmp_path / "wardian/a-1"))
            os.close(held)
    finally:
        (tmp_path / "enough").touch()
        os.waitpid(sweeper, 0)


def test_without_cgroups_only_rules_that_keep_devices_back_are_missed() -> None:
    absent = AbsentCgroup("no cgroups are mounted")
    assert absent.unenforced(Limits(device_rules=(DeviceRule.parse("c 10:200 rwm"),))) == []
    missed = absent.unenforced(Limits(device_rules=(DeviceRule(allow=False),), cpu_burst_usec=0))
    assert missed == [f"{what} (no cgroups are mounted)" for what in ("cpu burst", "device rules")]


@pytest.mark.parametrize("group", ["/", "/pods/box", "/../box"])
def test_own_group_is_the_nearest_that_is_seen(tmp_path: Path, group: str) -> None:
    """A container whose cgroup namespace is the host's has only its own group's files mounted."""
    top, proc = tmp_path / "cgroup", tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(f"0::{group}\n")
    top.mkdir()
    (top / "cgroup.controllers").write_text("memory\n")
    (top / "memory.current").write_text("4096\n")
    assert own_group(str(top), str(proc)).usage().memory_current_bytes == 4096


def test_own_group_of_v1_is_read_by_controller(tmp_path: Path) -> None:
    top, proc = tmp_path / "cgroup", tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text("3:memory:/box\n2:pids:/box\n")
    (top / "memory" / "box").mkdir(parents=True)
    (top / "memory" / "cgroup.procs").write_text("")
    (top / "memory" / "box" / "memory.usage_in_bytes").write_text("8192\n")
    usage = own_group(str(top), str(proc)).usage()
    assert (usage.memory_current_bytes, usage.pids_current) == (8192, None)


def test_without_cgroups_nothing_is_known_of_our_own(tmp_path: Path) -> None:
    assert own_group(str(tmp_path), str(tmp_path)).usage() == Usage()
