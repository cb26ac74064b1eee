"""What a container finds at its root: the image, /proc, /dev, /sys, and what is mounted for it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.conftest import shell
from wardian.errors import WardianError
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.furniture import DEVICES, MASKED, READ_ONLY
from wardian.runtime.spec import Bind, ContainerSpec, Tmpfs
from wardian.storage.changes import changes
from wardian.storage.snapshotter import Snapshot


def mounts(container: Container) -> dict[str, tuple[str, set[str]]]:
    """What is mounted where, as the container sees it: type and options by path."""
    rows = [line.split() for line in shell(container, "cat /proc/self/mounts")[1].splitlines()]
    return {path: (fstype, set(options.split(","))) for _, path, fstype, options, *_ in rows}


def changed(container: Container) -> set[str]:
    info = container.info
    snapshot = Snapshot(info.id, Path(info.upper), Path(info.work))
    return {change.path for change in changes(snapshot, [Path(lower) for lower in info.lowers])}


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A directory of the host with a file in it."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    (shared / "fern").write_text("green")
    return shared


def test_file_systems_are_the_usual_ones_with_the_usual_options(box: Container) -> None:
    found = mounts(box)
    assert found["/"][0] == "overlay"
    for path, fstype, options in (
        ("/proc", "proc", {"nosuid", "nodev", "noexec"}),
        ("/dev", "tmpfs", {"nosuid", "nodev"}),
        ("/dev/pts", "devpts", {"nosuid", "noexec", "ptmxmode=666"}),
        ("/dev/shm", "tmpfs", {"nosuid", "nodev", "noexec"}),
        ("/sys", "sysfs", {"ro", "nosuid", "nodev", "noexec"}),
    ):
        assert found[path][0] == fstype
        assert options <= found[path][1], path
    assert all("ro" in options for path, (_, options) in found.items() if path.startswith("/sys"))


def test_masked_files_read_empty_and_masked_folders_are(box: Container) -> None:
    seen = 0
    for path in MASKED:
        if os.path.isdir(f"/{path}"):
            assert shell(box, f"ls -A /{path}") == (0, ""), path
            assert shell(box, f"touch /{path}/x")[0] != 0
        elif os.path.exists(f"/{path}"):
            assert shell(box, f"cat /{path}") == (0, ""), path
        seen += os.path.exists(f"/{path}")
    assert seen >= 2


def test_write_protected_paths_of_proc_are_read_only_mounts(box: Container) -> None:
    found = mounts(box)
    for path in READ_ONLY:
        if os.path.exists(f"/{path}"):
            assert "ro" in found[f"/{path}"][1]
    for name in ("kernel/hostname", "kernel/core_pattern", "vm/swappiness", "kernel/panic"):
        code, text = shell(box, f"echo 1 > /proc/sys/{name}")
        assert code != 0
        assert "Read-only" in text or "denied" in text


def test_devices_are_the_harmless_ones(box: Container) -> None:
    text = shell(box, "cd /dev; stat -c '%n %t:%T %a' null zero full random urandom tty")[1]
    numbers = dict(line.split(" ", 1) for line in text.splitlines())
    assert numbers == {
        name: f"{os.major(device):x}:{os.minor(device):x} {mode & 0o777:o}"
        for name in DEVICES
        for device, mode in [(os.stat(f"/dev/{name}").st_rdev, os.stat(f"/dev/{name}").st_mode)]
    }
    assert shell(box, "echo x > /dev/null; head -c 3 /dev/zero | wc -c") == (0, "3\n")
    assert "No space left" in shell(box, "echo x > /dev/full")[1]
    names = "fd stdin stdout stderr ptmx"
    links = shell(box, f"cd /dev; for name in {names}; do readlink $name; done")[1].split()
    assert links == [
        *("/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1"),
        "/proc/self/fd/2",
        "pts/ptmx",
    ]
    listed = set(shell(box, "ls /dev")[1].split())
    assert listed == {
        *DEVICES,
        *("fd", "stdin", "stdout", "stderr", "ptmx", "pts", "shm", "mqueue"),
    }


def test_shared_memory_and_message_queues_are_the_containers_own(box: Container) -> None:
    assert shell(box, "echo x > /dev/shm/own && ls /dev/shm", user="1000:1000") == (0, "own\n")
    assert not Path("/dev/shm/own").exists()
    assert mounts(box)["/dev/mqueue"][0] == "mqueue"


def test_names_of_the_container_are_its_own(client: Client, spec: ContainerSpec) -> None:
    box = client.run(replace(spec, hostname="meadow"))
    assert shell(box, "hostname; cat /etc/hostname") == (0, "meadow\nmeadow\n")
    assert re.search(r"^127\.0\.1\.1\s+meadow$", shell(box, "cat /etc/hosts")[1], re.MULTILINE)
    assert os.uname().nodename != "meadow"


def test_mount_points_and_names_never_count_as_changes(
    client: Client, spec: ContainerSpec, shared: Path
) -> None:
    box = client.run(spec)
    shell(box, "cat /etc/hosts /etc/hostname; ls /proc /dev /sys; echo x > /dev/shm/x")
    assert changed(box) == set()
    shell(box, "echo x > /tmp/new; rm /etc/group; echo 127.0.0.9 thyme >> /etc/hosts")
    assert changed(box) == {"tmp", "tmp/new", "etc", "etc/group"}


def test_read_only_root_refuses_writes_but_not_to_mounts(
    client: Client, spec: ContainerSpec, shared: Path
) -> None:
    bind = Bind(source=str(shared), target="/shared", read_only=False)
    box = client.run(replace(spec, read_only=True, tmpfs=(Tmpfs(target="/run"),), binds=(bind,)))
    for path in ("/new", "/etc/passwd", "/root/x", "/bin/sh"):
        assert "Read-only" in shell(box, f"echo x > {path}")[1]
    assert shell(box, "echo x > /run/x; echo x > /shared/new; echo x > /dev/shm/x") == (0, "")
    assert (shared / "new").read_text() == "x\n"
    assert changed(box) <= {"shared", "run"}


def test_tmpfs_has_its_size_and_mode(client: Client, spec: ContainerSpec) -> None:
    scratch = Tmpfs(target="/scratch/deep", size_bytes=1 << 20, mode=0o700)
    box = client.run(replace(spec, tmpfs=(scratch,)))
    fstype, options = mounts(box)["/scratch/deep"]
    assert (fstype, {"nosuid", "nodev", "noexec", "size=1024k", "mode=700"} <= options) == (
        "tmpfs",
        True,
    )
    assert shell(box, "dd if=/dev/zero of=/scratch/deep/x bs=64k count=32")[0] != 0
    assert shell(box, "stat -c %a /scratch/deep") == (0, "700\n")


def test_bind_is_read_only_unless_asked_otherwise(
    client: Client, spec: ContainerSpec, shared: Path
) -> None:
    binds = (
        Bind(source=str(shared), target="/ro"),
        Bind(source=str(shared), target="/rw", read_only=False),
        Bind(source=str(shared / "fern"), target="/etc/fern"),
    )
    box = client.run(replace(spec, binds=binds))
    assert shell(box, "cat /ro/fern /etc/fern") == (0, "greengreen")
    assert "Read-only" in shell(box, "echo x > /ro/new")[1]
    assert "Read-only" in shell(box, "echo x > /etc/fern")[1]
    assert shell(box, "echo moss > /rw/new; cat /ro/new") == (0, "moss\n")
    found = mounts(box)
    assert {"nosuid", "nodev"} <= found["/ro"][1] & found["/rw"][1] & found["/etc/fern"][1]


def test_files_made_in_a_bind_belong_to_who_made_them_on_the_host(
    client: Client, spec: ContainerSpec, shared: Path
) -> None:
    """Id-mapped: container ids are host ids there, so volumes are shared as under docker."""
    shared.chmod(0o777)
    box = client.run(replace(spec, binds=(Bind(source=str(shared), target="/s", read_only=False),)))
    assert shell(box, "touch /s/roots")[0] == 0
    assert shell(box, "touch /s/plants", user="1000:1000")[0] == 0
    owners = {name: (shared / name).stat().st_uid for name in ("roots", "plants")}
    if os.geteuid() == 0 and box.info.first_host_id is not None:
        assert owners == {"roots": 0, "plants": 1000}
    assert shell(box, "stat -c %u /s/roots /s/plants")[1].split() == ["0", "1000"]


def test_missing_source_of_a_bind_is_said(client: Client, spec: ContainerSpec) -> None:
    with pytest.raises(WardianError, match="/nosuch"):
        client.run(replace(spec, binds=(Bind(source="/nosuch", target="/x"),)))
    assert client.list() == []


@pytest.mark.parametrize("source", ["file", "folder"])
def test_file_and_directory_are_not_confused(
    client: Client, spec: ContainerSpec, shared: Path, source: str
) -> None:
    at = {"file": (shared / "fern", "/tmp"), "folder": (shared, "/etc/passwd")}[source]
    with pytest.raises(WardianError, match="cannot mount at"):
        client.run(replace(spec, binds=(Bind(source=str(at[0]), target=at[1]),)))


def test_mounts_of_the_host_do_not_come_in_and_mounts_do_not_go_out(box: Container) -> None:
    inside = set(mounts(box))
    known = {"/", "/proc", "/dev", "/sys", "/etc/hostname", "/etc/hosts"}
    allowed = ("/proc/", "/dev/", "/sys/")
    assert not {path for path in inside - known if not path.startswith(allowed)}
    ours = Path("/proc/self/mountinfo").read_text()
    assert box.id not in ours
    assert shell(box, "ls /proc/1/root/../../../../ | sort")[1] != "\n".join(
        sorted(os.listdir("/"))
    )


def test_tmpfs_on_a_volume_is_mounted_after_it(
    client: Client, spec: ContainerSpec, tmp_path: Path
) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume/file").touch()
    volume = Bind(source=str(tmp_path / "volume"), target="/a/volume", read_only=False)
    box = client.run(replace(spec, binds=(volume,), tmpfs=(Tmpfs(target="/a/volume/scratch/x"),)))
    assert shell(box, "ls /a/volume; stat -f -c %T /a/volume/scratch/x")[1].split() == [
        *("file", "scratch", "tmpfs")
    ]
