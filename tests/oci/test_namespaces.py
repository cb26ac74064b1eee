"""Namespaces and the process's own attributes, seen from inside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.oci.conftest import Oci
from tests.oci.ordinary_user import own

FIRST = 200_000


def with_user_namespace(tree: dict[str, Any]) -> None:
    mapping = [{"containerID": 0, "hostID": FIRST, "size": 65536}]
    tree["linux"] |= {"uidMappings": mapping, "gidMappings": mapping}
    tree["linux"]["namespaces"].append({"type": "user"})


def test_a_user_namespace_has_its_maps_also_for_exec(oci: Oci) -> None:
    os.chown(oci.bundle / "rootfs", FIRST, FIRST)
    for path in (oci.bundle, *oci.bundle.parents):
        if path != Path("/"):
            path.chmod(path.stat().st_mode | 0o011)
    oci.config("sh", "-c", "id -u; cat /proc/self/uid_map; sleep 60", change=with_user_namespace)
    assert oci.detached("run", "--detach", "--bundle", str(oci.bundle), "one") == 0
    done = oci("exec", "one", "sh", "-c", "id -u; cat /proc/1/uid_map; echo x >/dev/null")
    assert done.stdout.split() == ["0", "0", str(FIRST), "65536"], done.stderr
    pid = json.loads(oci("state", "one").stdout)["pid"]
    assert os.stat(f"/proc/{pid}/root/proc/1").st_uid in {FIRST, 0}
    assert f"Uid:\t{FIRST}\t" in Path(f"/proc/{pid}/status").read_text()


def test_a_time_namespace_has_its_offsets(oci: Oci) -> None:
    def change(tree: dict[str, Any]) -> None:
        tree["linux"]["namespaces"].append({"type": "time"})
        tree["linux"]["timeOffsets"] = {"boottime": {"secs": 1 << 30}}

    assert float(oci.run("cat", "/proc/uptime", change=change).split()[0]) > 1 << 30


def test_the_domain_name_personality_and_priority(oci: Oci) -> None:
    def change(tree: dict[str, Any]) -> None:
        tree["domainname"] = "example.org"
        tree["linux"]["personality"] = {"domain": "LINUX32"}
        tree["process"]["scheduler"] = {"policy": "SCHED_BATCH", "nice": 7}
        tree["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE"}

    script = "cat /proc/sys/kernel/domainname /proc/self/personality; cat /proc/self/stat"
    domain, personality, stat = oci.run("sh", "-c", script, change=change).splitlines()
    words = stat.rpartition(")")[2].split()
    assert (domain, personality) == ("example.org", "00000008")
    assert (words[16], words[38]) == ("7", "3")  # nice, SCHED_BATCH (proc_pid_stat(5))


KINDS = {"mount": "mnt", "network": "net"} | {
    kind: kind for kind in ("uts", "ipc", "pid", "cgroup", "time", "user")
}


@contextmanager
def another(kind: str) -> Iterator[str]:
    """The path of a namespace that some process is in."""
    flag = {"network": "--net"}.get(kind, f"--{kind}")
    command = ["unshare", flag, *(["--map-root-user"] if kind == "user" else []), "--fork"]
    with subprocess.Popen([*command, "sleep", "60"]) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not (found := children.read_text().split()):
            assert process.poll() is None
        try:
            yield f"/proc/{found[0]}/ns/{KINDS[kind]}"
        finally:
            os.kill(int(found[0]), signal.SIGKILL)


@pytest.mark.parametrize("kind", KINDS)
def test_each_namespace_can_be_one_that_is_there(oci: Oci, kind: str) -> None:
    own(oci.bundle)
    os.chown(oci.bundle / "rootfs", 0, 0)
    link = f"/proc/self/ns/{KINDS[kind]}"

    def change(tree: dict[str, Any]) -> None:
        others = [each for each in tree["linux"]["namespaces"] if each["type"] != kind]
        tree["linux"]["namespaces"] = [*others, {"type": kind, "path": path}]

    with another(kind) as place:
        path, wanted = place, os.stat(place).st_ino
        assert str(wanted) in oci.run("ls", "-L", "-i", link, change=change)
        path = "/proc/self/ns/uts" if kind != "uts" else "/proc/self/ns/ipc"
        oci.config("sh", change=change)
        done = oci("run", "--bundle", str(oci.bundle), "one")
        assert done.returncode == 1 and f"is no {kind} namespace" in done.stderr


@pytest.mark.parametrize("word", ["private", "rslave", "shared", "unbindable"])
def test_the_roots_propagation(oci: Oci, word: str) -> None:
    said = oci.run(
        "cat",
        "/proc/self/mountinfo",
        change=lambda tree: tree["linux"].update(rootfsPropagation=word),
    )
    root = next(line for line in said.splitlines() if line.split()[4] == "/")
    assert ("shared:" in root) is (word == "shared")
    assert ("unbindable" in root) is (word == "unbindable")


def test_a_bind_mount_has_its_own_map_of_ids(oci: Oci, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/file").touch()
    os.chown(tmp_path / "shared/file", 1000, 1000)
    mapping = [{"containerID": 1000, "hostID": 4242, "size": 1}]
    mount = {"destination": "/mnt", "source": str(tmp_path / "shared"), "options": ["bind"]}
    maps = {"uidMappings": mapping, "gidMappings": mapping}
    said = oci.run(
        "ls", "-ln", "/mnt/file", change=lambda tree: tree["mounts"].append({**mount, **maps})
    )
    assert said.split()[2:4] == ["4242", "4242"]


def test_seccomp_architectures_and_flags(oci: Oci) -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [{"names": ["sethostname"], "action": "SCMP_ACT_ERRNO"}],
    }
    said = oci.run(
        "grep",
        "Seccomp:",
        "/proc/self/status",
        change=lambda tree: tree["linux"].update(seccomp=profile),
    )
    assert said == "Seccomp:\t2\n"
    profile["flags"] = ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]
    oci.config("sh", change=lambda tree: tree["linux"].update(seccomp=profile))
    assert "WAIT_KILLABLE_RECV" in oci("run", "--bundle", str(oci.bundle), "one").stderr


def test_what_the_host_cannot_give_is_said(oci: Oci) -> None:
    def change(tree: dict[str, Any]) -> None:
        tree["process"]["capabilities"]["bounding"].append("CAP_NOT_KNOWN")
        tree["process"]["capabilities"]["ambient"] = ["CAP_KILL"]  # as `runc spec` writes it

    oci.config("sh", "-c", "true", change=change)
    done = oci("run", "--bundle", str(oci.bundle), "one")
    assert done.returncode == 0 and "warning" in done.stderr and "CAP_NOT_KNOWN" in done.stderr
    assert "CAP_KILL" in done.stderr
    limit = {"type": "RLIMIT_NOT_KNOWN", "soft": 1, "hard": 1}
    oci.config("sh", change=lambda tree: tree["process"].update(rlimits=[limit]))
    done = oci("run", "--bundle", str(oci.bundle), "one")
    assert done.returncode == 1 and "rlimits" in done.stderr


def test_start_hears_that_the_program_did_not_begin(oci: Oci) -> None:
    hook = {"path": "/bin/busybox", "args": ["false"]}
    oci.config("sh", change=lambda tree: tree.update(hooks={"startContainer": [hook]}))
    assert oci.detached("create", "--bundle", str(oci.bundle), "one") == 0
    done = oci("start", "one")
    assert done.returncode == 1 and "startContainer hook" in done.stderr
    oci.wait_for("one", "stopped")


def test_a_working_directory_is_made_and_followed_inside_only(oci: Oci) -> None:
    (oci.bundle / "rootfs/way").symlink_to("/../../bin")

    def change(tree: dict[str, Any]) -> None:
        tree["process"]["cwd"] = "/way"

    assert oci.run("sh", "-c", "pwd -P", change=change) == "/bin\n"
