"""CVE-2022-0492 and its kin: release_agent, cgroup mounts, and getting out of one's limits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec import Raw
from msgspec.structs import replace

from tests.linux.conftest import python, shell, wait_until
from tests.linux.program import IMAGE, Wardian, refused
from wardian.cgroups.limits import Limits
from wardian.errors import InvalidInput, WardianError
from wardian.runtime import messages as m
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import ContainerSpec, ProcessSpec

pytestmark = pytest.mark.usefixtures("untouched")


def test_container_sees_its_own_group_as_the_top(box: Container) -> None:
    groups = shell(box, "cat /proc/self/cgroup")[1].splitlines()
    assert groups
    ours = [line for line in groups if _is_a_wardian_group(box, line)]
    assert ours == []


def _is_a_wardian_group(box: Container, line: str) -> bool:
    return box.id in line or "wardian" in line


def test_nothing_below_sys_fs_cgroup_can_be_written(box: Container) -> None:
    shell(
        box, "find /sys/fs/cgroup -type f > /tmp/files; find /sys/fs/cgroup -type d > /tmp/folders"
    )
    tried = shell(box, "for f in $(cat /tmp/files); do (echo 0 > $f) 2>/dev/null && echo $f; done")
    assert tried[1] == ""
    made = shell(box, "for d in $(cat /tmp/folders); do mkdir $d/own 2>/dev/null && echo $d; done")
    assert made[1] == ""
    assert int(shell(box, "wc -l < /tmp/files")[1]) > 0


def test_release_agent_is_out_of_reach(box: Container) -> None:
    before = {path: path.read_text() for path in Path("/sys/fs/cgroup").glob("*/release_agent")}
    for command in (
        "find / -name release_agent 2>/dev/null | while read f; do echo /evil > $f; done; false",
        "unshare -UrmC true",
        "unshare -r true",
        "mkdir -p /m && mount -t cgroup -o rdma cgroup /m",
        "mkdir -p /m && mount -t cgroup2 none /m",
        "mount -o remount,rw /sys/fs/cgroup",
        "mount -o remount,bind,rw /sys/fs/cgroup/memory",
        "umount /sys/fs/cgroup",
        "umount -l /proc/sys",
        "mount -t proc proc /m",
        "mount -t tmpfs none /m",
        "mount --bind / /m",
    ):
        assert shell(box, command)[0] != 0, command
    after = {path: path.read_text() for path in Path("/sys/fs/cgroup").glob("*/release_agent")}
    assert after == before


def test_all_capabilities_but_sys_admin_do_not_open_the_way(
    client: Client, spec: ContainerSpec
) -> None:
    box = client.run(replace(spec, cap_add=("ALL",), cap_drop=("SYS_ADMIN",)))
    for command in ("mount -t tmpfs none /mnt", "unshare -m true", "mount -o remount,rw /sys"):
        assert shell(box, command)[0] != 0, command


def test_limit_holds_for_who_moves_and_for_who_is_born_elsewhere(
    client: Client, spec: ContainerSpec
) -> None:
    box = client.run(replace(spec, limits=Limits(pids=20)))
    groups = set(box.info.cgroups.values())
    assert groups
    with box.spawn(ProcessSpec(argv=("sh", "-c", "setsid setsid sleep 1000 & wait"))) as process:
        shell(box, "for f in $(find / -name cgroup.procs 2>/dev/null); do echo 1 > $f; done")
        listed = {
            host_pid
            for path in groups
            for host_pid in (Path(path) / "cgroup.procs").read_text().split()
        }
        for path in groups:
            assert set((Path(path) / "cgroup.procs").read_text().split()) == listed
        process.signal(9)


# What is tried is counted, so that it cannot go unnoticed when nothing could be tried.
RELEASE_AGENT = """
cat > /evil <<END
#!/bin/sh
touch /tmp/escaped
END
chmod 755 /evil
tried=0
for way in /sys/fs/cgroup/* memory cpu cpuset devices freezer pids rdma blkio unified; do
    at=$way
    case $way in
    /*) ;;
    unified) at=/m/$way; mkdir -p $at; mount -t cgroup2 none $at 2>/dev/null || continue ;;
    *) at=/m/$way; mkdir -p $at; mount -t cgroup -o $way cgroup $at 2>/dev/null || continue ;;
    esac
    mount -o remount,bind,rw $at 2>/dev/null
    tried=$((tried + 1))
    for f in release_agent notify_on_release memory.limit_in_bytes memory.max pids.max \\
        cpu.shares devices.allow; do
        [ ! -e $at/$f ] || (cat $at/$f > $at/$f) 2>/dev/null && [ -e $at/$f ] && echo wrote $at/$f
    done
    (echo /evil > $at/release_agent) 2>/dev/null && echo wrote $at/release_agent
    (echo 1 > $at/../cgroup.procs) 2>/dev/null && [ $at/.. -ef $at ] && echo moved $at
    (mkdir $at/child && echo 1 > $at/child/notify_on_release) 2>/dev/null && echo made $at/child
done
echo tried $tried
"""


@pytest.mark.parametrize("caps", [(), ("SYS_ADMIN",)])
@pytest.mark.parametrize("inside", ["bash", "unshare -UrmC bash"])
def test_release_agent_is_out_of_reach_without_the_filter_too(
    client: Client,
    spec: ContainerSpec,
    base_layers: tuple[str, ...],
    caps: tuple[str, ...],
    inside: str,
) -> None:
    """The filter forbids the mounts that this attack begins with; here nothing forbids them."""
    if os.geteuid() != 0:
        pytest.skip("only root has groups that no container owns; run the tests as root")
    agents = sorted(Path("/sys/fs/cgroup").glob("*/release_agent"))
    before = [path.read_text() for path in agents]
    box = client.run(replace(spec, lowers=base_layers, seccomp="unconfined", cap_add=caps))
    flags = [Path(path) / "notify_on_release" for path in box.info.cgroups.values()]
    notify = [path.read_text() for path in flags if path.exists()]
    code, text = shell(box, f"{inside} -c '{RELEASE_AGENT}'")
    *done, tried = text.splitlines()
    assert (code, done) == (0, []), text
    assert int(tried.removeprefix("tried ")) > 0
    assert [path.read_text() for path in agents] == before
    assert [path.read_text() for path in flags if path.exists()] == notify
    assert not Path("/tmp/escaped").exists()


@pytest.mark.parametrize(
    "name",
    ["../x", "..", "a/../../b", "/abs", "a/b", ".", "wardian/../x", "", "x" * 4096, "a\nb", "a\0b"],
)
def test_name_cannot_lead_out_of_the_folder_of_groups(
    client: Client, spec: ContainerSpec, name: str
) -> None:
    with pytest.raises(InvalidInput):
        replace(spec, name=name)


def test_namespaces_of_init_cannot_be_joined_from_inside(lab: Container) -> None:
    code, text = python(
        lab,
        """
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        for kind in ("cgroup", "mnt", "pid", "user", "net"):
            for pid in ("1", "self"):
                try:
                    fd = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY)
                except OSError:
                    continue
                if libc.setns(fd, 0) == 0:
                    print("joined", pid, kind)
        print("done")
        """,
    )
    assert (code, text) == (0, "done\n")


def test_own_group_is_where_the_limits_are(client: Client, spec: ContainerSpec) -> None:
    box = client.run(replace(spec, limits=Limits(memory_bytes=64 << 20)))
    with box.spawn(ProcessSpec(argv=("sleep", "1000"))) as process:
        own = Path(f"/proc/{process.host_pid}/cgroup").read_text()
        folders = {line.rsplit(":", 1)[1] for line in own.splitlines() if box.id in line}
        assert len(folders) == 1
        process.signal(9)
    assert os.path.basename(folders.pop()) == box.id


CLIMBING = (
    *("../../x", "/../x", "..", "a/../../x", "a/..", "./x", "/", "/x", "a//x", "a/", "x\n", "a b"),
    *("/sys/fs/cgroup/x", "../" * 20 + "x", "x" * 4096, "a/" * 8 + "x"),
)


def groups_called(name: str) -> set[Path]:
    """Also while others' groups come and go."""
    walked = os.walk("/sys/fs/cgroup")
    return {Path(folder, name) for folder, folders, _ in walked if name in folders}


@pytest.mark.parametrize("parent", CLIMBING)
def test_parent_group_that_climbs_is_refused(
    wardian: Wardian, client: Client, spec: ContainerSpec, parent: str
) -> None:
    before = groups_called("x")
    flag = f"--cgroup-parent={parent}"
    said = refused(wardian("run", "--rm", flag, IMAGE, "true"), 125)
    assert "not a parent for a cgroup" in said
    with pytest.raises(InvalidInput):
        replace(spec, cgroup_parent=parent)
    # A client that checks nothing asks the keeper itself.
    body = m.encode(m.RunCall(spec)).replace(b'"cgroup_parent":""', b'"cgroup_parent":"CLIMBING"')
    body = body.replace(b"CLIMBING", m.encode(parent)[1:-1])
    with pytest.raises(WardianError, match="not a parent for a cgroup"):
        client.call("run", Raw(body), type(None))
    assert client.list() == []
    assert groups_called("x") == before


def test_parent_group_is_no_containers_own(
    wardian: Wardian, client: Client, spec: ContainerSpec
) -> None:
    box = client.run(spec)
    flag = f"--cgroup-parent={box.id}"
    assert "not a parent for a cgroup" in refused(wardian("run", "--rm", flag, IMAGE, "true"), 125)


def test_limit_of_the_parent_group_holds_for_all_in_it(client: Client, spec: ContainerSpec) -> None:
    boxes = [client.run(replace(spec, name=name, cgroup_parent="lab/first")) for name in ("a", "b")]
    parents = {
        Path(path).parent
        for box in boxes
        for name, path in box.info.cgroups.items()
        if (Path(path).parent / "pids.max").exists()
    }
    assert len(parents) == 1
    parent = parents.pop()
    assert parent.parts[-2:] == ("lab", "first")
    assert parent.parent.parent.parent.name == "wardian"
    (parent / "pids.max").write_text("8")
    for box in boxes:
        script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; wait"
        with box.spawn(ProcessSpec(argv=("sh", "-c", script))) as process:
            assert process.wait(30) == 2  # a fork was refused, which a shell does not survive
    wait_until(lambda: int((parent / "pids.current").read_text()) == 7)
    for box in boxes:
        box.remove(force=True)
