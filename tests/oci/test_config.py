"""config.json: each field by its effect seen inside; what is not supported is refused by name."""

from __future__ import annotations

import json
import os
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute

from tests.disks import whole_disk
from tests.linux.conftest import wait_until
from tests.oci.conftest import Oci
from wardian.linux.security_module import SecurityModule, is_active
from wardian.oci.command import FLAGS
from wardian.oci.config import LABELS


def test_the_process_is_what_the_spec_says(oci: Oci) -> None:
    def change(tree: dict[str, Any]) -> None:
        user = {"uid": 1000, "gid": 1001, "umask": 0o077, "additionalGids": [5, 6]}
        tree["process"] |= {"user": user, "cwd": "/bin", "env": ["PATH=/bin", "WORD=a=b"]}
        tree["process"]["capabilities"] = {
            kind: ["CAP_CHOWN"]
            for kind in ("bounding", "effective", "permitted", "inheritable", "ambient")
        }
        tree["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]

    script = "id; umask; pwd; echo $WORD; ulimit -n; grep -E 'Cap|NoNew' /proc/self/status"
    said = oci.run("sh", "-c", script, change=change)
    assert "uid=1000 gid=1001" in said and "groups=5,6" in said
    assert "0077\n/bin\na=b\n100\n" in said
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert f"{name}:\t0000000000000001" in said
    assert "NoNewPrivs:\t1" in said


def test_it_is_pid_1_with_no_descriptor_of_ours(oci: Oci) -> None:
    said = oci.run("sh", "-c", "echo $$; ls /proc/1/fd; true")
    assert said.split() == ["1", "0", "1", "2"]


def test_mounts_masks_and_read_only_paths(oci: Oci, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/file").write_text("there")

    def change(tree: dict[str, Any]) -> None:
        bind = {"destination": "/mnt/x", "source": str(tmp_path / "shared")}
        tree["root"]["readonly"] = False
        tree["mounts"].append({**bind, "options": ["rbind", "ro", "nosuid", "rprivate"]})

    script = (
        "cat /mnt/x/file; touch /mnt/x/new 2>&1; cat /proc/keys; ls /sys/firmware;"
        " echo x 2>&1 >/proc/sys/kernel/hostname; hostname"
    )
    said = oci.run("sh", "-c", script, change=change)
    assert said.startswith("there") and said.count("Read-only file system") == 2
    assert said.endswith("wardian\n")
    assert not (tmp_path / "shared/new").exists()


def test_a_link_of_the_image_leads_no_mount_out(oci: Oci, tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (oci.bundle / "rootfs/mnt").symlink_to(f"../../{tmp_path.name}/victim")
    mount = {"destination": "/mnt/new", "type": "tmpfs", "source": "tmpfs"}
    oci.config("sh", change=lambda tree: tree["mounts"].append(mount))
    oci("run", "--bundle", str(oci.bundle), "one")
    assert not list((tmp_path / "victim").iterdir())
    (oci.bundle / "rootfs/proc").rmdir()
    (oci.bundle / "rootfs/proc").symlink_to("/bin")
    oci.config("sh")
    done = oci("run", "--bundle", str(oci.bundle), "one")
    assert done.returncode == 1 and "not a real directory" in done.stderr


def test_sysctls_devices_and_namespaces_by_path(oci: Oci) -> None:
    def change(tree: dict[str, Any]) -> None:
        tree["linux"]["sysctl"] = {"kernel.msgmax": "4242"}
        node = {"type": "c", "path": "/dev/mine", "major": 1, "minor": 5, "fileMode": 0o600}
        tree["linux"]["devices"] = [node]
        for each in tree["linux"]["namespaces"]:
            if each["type"] == "network":
                each["path"] = "/proc/self/ns/net"

    script = "cat /proc/sys/kernel/msgmax; ls -l /dev/mine; ls -L -i /proc/self/ns/net"
    said = oci.run("sh", "-c", script, change=change)
    assert said.startswith("4242\ncrw-------")
    assert str(os.stat("/proc/self/ns/net").st_ino) in said


def test_limits_are_in_force(oci: Oci) -> None:
    limits = {"pids": {"limit": 7}, "memory": {"limit": 64 << 20}}
    said = oci.run(
        "sh",
        "-c",
        "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max"
        " /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true",
        change=lambda tree: tree["linux"].update(resources=limits),
    )
    assert said.split() == ["7", str(64 << 20)]


def test_every_kind_of_resource_reaches_the_cgroup(oci: Oci) -> None:
    major, minor = whole_disk()
    rate = [{"major": major, "minor": minor, "rate": 1 << 20}]
    resources = {
        "cpu": {"quota": 30000, "period": 60000, "burst": 10000, "mems": "0", "shares": 512},
        "blockIO": {"throttleReadBpsDevice": rate},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}],
        "devices": [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 10}],
    }
    files = "cpu/cpu.cfs_quota_us cpu/cpu.cfs_burst_us blkio/blkio.throttle.read_bps_device"
    more = "cpu.max cpu.max.burst io.max hugetlb.2MB.max unified/hugetlb.2MB.max"
    said = oci.run(
        "sh",
        "-c",
        f"cd /sys/fs/cgroup; cat {files} {more} 2>/dev/null; : </dev/null && echo ok",
        change=lambda tree: tree["linux"].update(resources=resources),
    )
    assert {"30000", "10000", str(4 << 20), "ok"} <= set(said.split())
    assert f"{major}:{minor} " in said and str(1 << 20) in said


def test_seccomp_is_in_force(oci: Oci) -> None:
    rule = {"names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    said = oci.run(
        "sh",
        "-c",
        "grep Seccomp: /proc/self/status",
        change=lambda tree: tree["linux"].update(seccomp=profile),
    )
    assert said == "Seccomp:\t2\n"


def test_a_filter_need_not_allow_what_the_runtime_does_last(oci: Oci) -> None:
    names = ["execve", "exit_group", "arch_prctl", "set_tid_address", "prlimit64", "brk", "getuid"]
    rule = {"names": [*names, "readlink", "prctl", "mprotect"], "action": "SCMP_ACT_ALLOW"}
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}

    def change(tree: dict[str, Any]) -> None:
        tree["linux"]["seccomp"] = profile
        tree["process"]["noNewPrivileges"] = True

    assert oci.run("/bin/busybox", "true", change=change) == ""


def test_memory_is_taken_where_the_policy_says(oci: Oci) -> None:
    policy = {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}
    change = partial(_with_memory_policy, policy)
    assert "bind=static:0" in oci.run("cat", "/proc/self/numa_maps", change=change)


def _with_memory_policy(policy: dict[str, Any], tree: dict[str, Any]) -> None:
    tree["linux"]["memoryPolicy"] = policy


def test_the_programs_user_may_open_its_streams(oci: Oci) -> None:
    def change(tree: dict[str, Any]) -> None:
        tree["process"]["user"] = {"uid": 7, "gid": 7}
        tree["mounts"].append(
            {"destination": "/mnt", "type": "bind", "source": ".", "options": ["bind", "mode=755"]}
        )

    oci.config("sh", "-c", "echo fern >/proc/self/fd/1", change=change)
    said = oci("run", "--bundle", str(oci.bundle), "one")
    assert said.stdout == "fern\n", said.stderr
    assert "option 'mode=755' has no effect on a bind mount" in said.stderr


def test_sockets_of_whoever_starts_it_come_with_it(
    oci: Oci, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_FDS", "1")
    oci.config("sh", "-c", "echo $LISTEN_FDS $LISTEN_PID; cat <&3")
    said = oci("run", "--bundle", str(oci.bundle), "one")
    assert said.stdout == "\n", said.stderr  # they were for some other process
    run = f"LISTEN_PID=$$ exec {oci.program} --root {oci.root} run --bundle {oci.bundle} one"
    lost = subprocess.run(["sh", "-c", run], capture_output=True, text=True, check=False)
    assert "descriptor 3 is not open" in lost.stderr
    command = ["sh", "-c", f"{run} 3<{__file__}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[0] == "1 1", done.stderr
    assert done.stdout.partition("\n")[2] == Path(__file__).read_text()


def test_a_failing_poststart_hook_destroys_the_container(oci: Oci, tmp_path: Path) -> None:
    def change(tree: dict[str, Any]) -> None:
        told = {"path": "/bin/sh", "args": ["sh", "-c", f"cat >{tmp_path}/told"]}
        tree["hooks"] = {"poststart": [{"path": "/bin/false"}], "poststop": [told]}

    oci.config("sleep", "60", change=change)
    assert oci.detached("create", "--bundle", str(oci.bundle), "one") == 0
    said = oci("start", "one")
    assert said.returncode == 1 and "poststart hook /bin/false" in said.stderr
    assert json.loads((tmp_path / "told").read_text())["status"] == "stopped"
    assert "does not exist" in oci("state", "one").stderr


def test_a_config_of_another_name_and_help_for_each_command(oci: Oci) -> None:
    oci.config("sh", "-c", "echo $WORD")
    tree = json.loads((oci.bundle / "config.json").read_text())
    tree["process"]["env"].append("WORD=fern")
    (oci.bundle / "other.json").write_text(json.dumps(tree))
    said = oci("run", "--bundle", str(oci.bundle), "--config", "other.json", "one")
    assert said.stdout == "fern\n", said.stderr
    for command in FLAGS:
        said = oci(command, "--help")
        assert said.returncode == 0 and f"wardian-oci {command} [FLAG…]" in said.stdout
    assert "-f, --config VALUE" in oci("run", "-h").stdout


def test_an_interface_comes_with_its_address_and_goes_with_the_container(oci: Oci) -> None:
    ours = f"wdn{os.getpid()}"
    with IPRoute() as kernel:
        kernel.link("add", ifname=ours, kind="veth", peer=f"{ours}p")
        try:
            (index,) = kernel.link_lookup(ifname=ours)
            kernel.addr("add", index=index, address="192.0.2.9", prefixlen=24)
            shown = oci.run(
                *("/bin/busybox", "ip", "-o", "addr"),
                change=lambda tree: tree["linux"].update(netDevices={ours: {"name": "fern0"}}),
            )
            (line,) = [each for each in shown.splitlines() if "192.0.2.9/24" in each]
            assert "fern0" in line
            wait_until(lambda: not kernel.link_lookup(ifname=f"{ours}p"))
        finally:
            for left in kernel.link_lookup(ifname=ours):
                kernel.link("del", index=left)


def test_hooks_run_at_their_points_with_the_state(oci: Oci, tmp_path: Path) -> None:
    points = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"]
    script = 'echo "$1 $(readlink /proc/self/ns/mnt) $(cat)" >>"$2"'

    def change(tree: dict[str, Any]) -> None:
        tree["annotations"] = {"org.example.key": "value"}
        tree["hooks"] = {
            point: [
                {
                    "path": "/bin/sh",
                    "args": ["sh", "-c", script, "x", point, str(tmp_path / "told")],
                    "env": ["PATH=/usr/bin:/bin"],
                }
            ]
            for point in points
        }
        inside = {"path": "/bin/sh", "args": ["sh", "-c", "cat >/inside"]}
        tree["hooks"]["startContainer"] = [inside]
        tree["root"]["readonly"] = False

    oci.run("sh", "-c", "true", change=change)
    told = {line.split()[0]: line.split(maxsplit=2) for line in lines(tmp_path / "told")}
    assert list(told) == points
    states = {point: json.loads(words[2]) for point, words in told.items()}
    assert [states[point]["status"] for point in points] == ["creating"] * 3 + [
        "running",
        "stopped",
    ]
    assert all(state["annotations"] == {"org.example.key": "value"} for state in states.values())
    ours = os.readlink("/proc/self/ns/mnt")
    assert [told[point][1] == ours for point in points] == [True, True, False, True, True]
    assert json.loads((oci.bundle / "rootfs/inside").read_text())["id"] == "one"


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def _with_hook(hook: dict[str, Any], tree: dict[str, Any]) -> None:
    tree["hooks"] = {"prestart": [hook]}


def test_a_hook_that_fails_or_hangs_undoes_the_container(oci: Oci) -> None:
    for hook in (
        {"path": "/bin/false"},
        {"path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1},
    ):
        oci.config("sh", change=partial(_with_hook, hook))
        done = oci("create", "--bundle", str(oci.bundle), "one")
        assert done.returncode == 1 and "prestart hook" in done.stderr
        assert not list(oci.root.glob("*"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("linux.intelRdt", {"closID": "x"}),
        ("linux.resources", {"memory": {"kernel": 1 << 20}}),
        ("linux.resources", {"memory": {"useHierarchy": False}}),
        ("linux.personality.flags", {"domain": "LINUX32", "flags": ["x"]}),
        ("process.scheduler", {"policy": "SCHED_ISO"}),
    ],
)
def test_what_is_not_supported_is_refused_by_its_name(oci: Oci, path: str, value: object) -> None:
    def change(tree: dict[str, Any]) -> None:
        *folders, name = path.split(".")[:2]
        for folder in folders:
            tree = tree[folder]
        tree[name] = value

    oci.config("sh", change=change)
    done = oci("create", "--bundle", str(oci.bundle), "one")
    assert done.returncode == 1 and f"{path}" in done.stderr and "not supported" in done.stderr
    assert not list(oci.root.glob("*"))


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("linux.cgroupsPath", "/a\0b", "a string has a zero byte"),
        ("linux.sysctl", {"kernel.hostname": "moss"}, "hostname and linux.sysctl kernel.hostname"),
        ("linux.memoryPolicy", {"mode": "MPOL_BIND", "nodes": "x"}, "linux.memoryPolicy.nodes 'x'"),
        ("linux.netDevices", {"no/name": {}}, "linux.netDevices 'no/name' is no name"),
        ("linux.netDevices", {"wdn-absent": {}}, "linux.netDevices wdn-absent"),
        ("linux.resources", {"blockIO": {"leafWeight": 10}}, "linux.resources.blockIO.leafWeight"),
        ("linux.resources", {"rdma": {"mlx5_1": {"hcaHandles": 3}}}, "linux.resources.rdma"),
        ("linux.resources", {"network": {"classID": 1}}, "linux.resources.network.classID"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(
    oci: Oci, path: str, value: object, said: str
) -> None:
    folder, name = path.split(".")
    oci.config("sh", change=lambda tree: tree[folder].update({name: value}))
    done = oci("create", "--bundle", str(oci.bundle), "one")
    assert done.returncode == 1 and said in done.stderr, done.stderr
    assert not list(oci.root.glob("*"))


@pytest.mark.parametrize("module", LABELS)
def test_label_of_a_module_that_is_not_active_is_refused(oci: Oci, module: SecurityModule) -> None:
    name = LABELS[module]
    if is_active(module):
        pytest.skip(f"needs a host without {module.value}")
    oci.config("sh", change=lambda tree: tree["process"].update({name: "x"}))
    done = oci("create", "--bundle", str(oci.bundle), "one")
    assert done.returncode == 1
    assert f"process.{name} needs {module.value}, which is not active" in done.stderr
    assert not list(oci.root.glob("*"))


def test_a_tmpfs_can_begin_with_what_its_place_has(oci: Oci) -> None:
    place = oci.bundle / "rootfs/var"
    (place / "deep").mkdir(parents=True)
    (place / "deep/file").write_text("fern")
    (place / "deep/file").chmod(0o640)
    os.chown(place / "deep/file", 7, 8)
    (place / "link").symlink_to("/etc/shadow")
    options = ["tmpcopyup", "nosuid", "mode=1777"]
    mount = {"destination": "/var", "type": "tmpfs", "source": "tmpfs", "options": options}
    said = oci.run(
        "sh",
        "-c",
        "cat /var/deep/file; ls -ln /var/deep/file; ls -l /var/link; echo x >/var/deep/file",
        change=lambda tree: tree["mounts"].append(mount),
    )
    assert said.startswith("fern-rw-r-----") and said.split()[2:4] == ["7", "8"]
    assert "/var/link -> /etc/shadow" in said
    assert (place / "deep/file").read_text() == "fern"


@pytest.mark.parametrize(
    ("passwd", "home"),
    [("root:x:0:0::/srv:/bin/sh\n", "/srv"), ("fern:x:5:5::/fern:\nroot:x:0\n", "/"), ("", "/")],
)
def test_home_is_what_the_containers_passwd_says(oci: Oci, passwd: str, home: str) -> None:
    (oci.bundle / "rootfs/etc").mkdir()
    (oci.bundle / "rootfs/etc/passwd").write_text(passwd)
    assert oci.run("sh", "-c", "echo $HOME") == f"{home}\n"


def test_a_sysctl_is_also_written_with_slashes_and_leads_nowhere_else(oci: Oci) -> None:
    wish = {"net/ipv4/ip_forward": "1"}
    change = partial(_with_sysctl, wish)
    assert oci.run("cat", "/proc/sys/net/ipv4/ip_forward", change=change) == "1\n"
    oci.config("sh", change=partial(_with_sysctl, {"net/../kernel/panic": "9"}))
    done = oci("create", "--bundle", str(oci.bundle), "one")
    assert done.returncode == 1 and "is not of its namespaces" in done.stderr


def _with_sysctl(wish: dict[str, str], tree: dict[str, Any]) -> None:
    tree["linux"]["sysctl"] = wish


def test_control_files_of_cgroup_v2_are_written_as_they_are(oci: Oci) -> None:
    wish = {"unified": {"cgroup.max.depth": "5"}}
    change = partial(_with_resources, wish)
    files = "/sys/fs/cgroup/unified/cgroup.max.depth /sys/fs/cgroup/cgroup.max.depth"
    assert oci.run("sh", "-c", f"cat {files} 2>/dev/null; true", change=change) == "5\n"
    for name, said in (
        ("no.such.file", "no such file"),
        ("../cgroup.max.depth", "no control file"),
    ):
        oci.config("sh", change=partial(_with_resources, {"unified": {name: "5"}}))
        done = oci("create", "--bundle", str(oci.bundle), "one")
        assert done.returncode == 1 and "linux.resources.unified" in done.stderr
        assert said in done.stderr
    assert not list(oci.root.glob("*"))


def _with_resources(wish: dict[str, Any], tree: dict[str, Any]) -> None:
    tree["linux"]["resources"] = wish


def test_groups_on_the_way_are_removed_unless_others_are_in_them(oci: Oci) -> None:
    def change(tree: dict[str, Any]) -> None:
        tree["linux"]["cgroupsPath"] = "/wardian-test-above/deep/one"

    oci.run("sh", "-c", "true", change=change)
    assert not list(Path("/sys/fs/cgroup").glob("*/wardian-test-above"))
    oci.config("sleep", "60", change=change)
    assert oci.detached("run", "--detach", "--bundle", str(oci.bundle), "one") == 0
    record = json.loads((oci.root / "one/state.json").read_text())
    above = Path(next(iter(record["cgroups"].values()))).parent
    (above / "other").mkdir()
    assert oci("delete", "--force", "one").returncode == 0
    assert sorted(path.name for path in above.iterdir() if path.is_dir()) == ["other"]
    (above / "other").rmdir()
    above.rmdir()
    above.parent.rmdir()
    assert not list(Path("/sys/fs/cgroup").glob("*/wardian-test-above"))
