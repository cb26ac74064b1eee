"""Bombs: processes, memory, descriptors, files, output. Siblings and keeper answer meanwhile."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.conftest import keeper_pid, python, shell, wait_until
from wardian.cgroups.limits import Limits
from wardian.errors import CommandFailed, SetupError, WardianError
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.logs import MAX_FILE_BYTES
from wardian.runtime.spec import ContainerSpec, ProcessSpec, Tmpfs
from wardian.runtime.state import Status

PIDS = 40
MEMORY_BYTES = 48 << 20


@pytest.fixture
def sibling(client: Client, spec: ContainerSpec) -> Iterator[Container]:
    """A container that must not notice anything."""
    sibling = client.run(replace(spec, name="sibling"))
    yield sibling
    assert shell(sibling, "echo lives") == (0, "lives\n")


def test_fork_bomb_stays_within_its_limit_and_can_be_ended(
    client: Client, spec: ContainerSpec, sibling: Container
) -> None:
    bomb = client.run(replace(spec, limits=Limits(pids=PIDS)))
    with bomb.spawn(ProcessSpec(argv=("sh", "-c", "b() { b | b & }; b; sleep 1000"))):
        pids = Path(bomb.info.cgroups.get("pids") or bomb.info.cgroups["unified"])
        wait_until(lambda: _events(pids / "pids.events").get("max", 0) > 0)
        assert int((pids / "pids.current").read_text()) <= PIDS
        assert shell(sibling, "echo $((6 * 7))") == (0, "42\n")
        with suppress(CommandFailed), bomb.spawn(ProcessSpec(argv=("true",))) as process:
            process.wait(20)  # there may be room for one, and if not that is said
    bomb.remove(force=True)
    wait_until(lambda: not pids.exists())


def _events(path: Path) -> dict[str, int]:
    return {key: int(value) for key, value in map(str.split, path.read_text().splitlines())}


def test_memory_bomb_is_killed_and_its_container_goes_on(
    client: Client, spec: ContainerSpec, sibling: Container
) -> None:
    limits = Limits(memory_bytes=MEMORY_BYTES, memory_swap_bytes=MEMORY_BYTES)
    bomb = client.run(replace(spec, limits=limits))
    eater = ProcessSpec(argv=("sh", "-c", "tail /dev/zero"), oom_score_adj=500)
    with bomb.spawn(eater) as process:
        assert process.wait(60) == 137
    assert shell(bomb, "echo lives") == (0, "lives\n")
    assert shell(sibling, "echo lives") == (0, "lives\n")


def test_memory_cannot_be_hidden_in_the_containers_own_tmpfs(
    client: Client, spec: ContainerSpec
) -> None:
    box = client.run(replace(spec, tmpfs=(Tmpfs(target="/scratch", size_bytes=1 << 20),)))
    for folder in ("/dev/shm", "/dev", "/scratch"):
        text = shell(box, f"dd if=/dev/zero of={folder}/file bs=64k count=2000; rm {folder}/file")[
            1
        ]
        assert "No space left" in text, folder
    assert shell(box, "echo x > /sys/fs/cgroup/file")[0] != 0


def test_shared_memory_counts_against_the_limit(client: Client, spec: ContainerSpec) -> None:
    limits = Limits(memory_bytes=MEMORY_BYTES, memory_swap_bytes=MEMORY_BYTES)
    box = client.run(replace(spec, limits=limits))
    assert shell(box, "dd if=/dev/zero of=/dev/shm/file bs=1M count=60")[0] != 0
    assert box.info.status is Status.RUNNING or box.info.exit_reason == "out of memory"


def test_endless_output_of_the_main_process_is_rotated(
    client: Client, spec: ContainerSpec, sibling: Container
) -> None:
    noisy = client.run(replace(spec, process=ProcessSpec(argv=("yes", "x" * 2000))))
    folder = Path(noisy.info.log_directory)
    wait_until((folder / "log.jsonl.1").exists, timeout_s=60)
    assert shell(sibling, "echo lives") == (0, "lives\n")
    sizes = [path.stat().st_size for path in folder.glob("log.jsonl*")]
    assert all(size <= MAX_FILE_BYTES + (1 << 20) for size in sizes)
    assert len(sizes) <= 2
    noisy.remove(force=True)


def test_output_that_nobody_reads_stops_its_writer_and_no_one_else(
    box: Container, sibling: Container
) -> None:
    read_fd, write_fd = os.pipe()
    with box.spawn(ProcessSpec(argv=("yes",)), {1: write_fd}) as process:
        os.close(write_fd)
        assert shell(sibling, "echo lives") == (0, "lives\n")
        assert shell(box, "echo lives") == (0, "lives\n")
        os.close(read_fd)
        assert process.wait(20) in (1, 141)


def test_descriptors_of_a_container_are_its_own(lab: Container, sibling: Container) -> None:
    code, text = python(
        lab,
        """
        import os, socket
        kept = []
        try:
            while True:
                kept.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            print(error.strerror)
        """,
    )
    assert (code, text) == (0, "Too many open files\n")
    assert shell(lab, "echo lives") == (0, "lives\n")


def test_thousands_of_files_are_removed_with_the_container(box: Container) -> None:
    made = shell(box, "mkdir /many; cd /many; seq 1 20000 | xargs touch; ls | wc -l")
    assert made == (0, "20000\n")
    upper = Path(box.info.upper)
    box.remove(force=True)
    assert not upper.exists()


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state root on a file system of 32 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk; run the tests as root")
    disk = tmp_path / "disk"
    disk.mkdir(mode=0o711)
    monkeypatch.setenv("WARDIAN_KEEPER_IDLE_S", "0.1")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "none", str(disk)], check=True)
    root = disk / "state"
    try:
        yield root
    finally:
        with Client.connect(root) as client:
            for info in client.list():
                client.container(info.id).remove(force=True)
        wait_until(lambda: keeper_pid(root) is None)
        subprocess.run(["umount", str(disk)], check=True)


def test_full_disk_stops_who_fills_it_and_no_one_else(
    small_disk: Path, spec: ContainerSpec
) -> None:
    with Client.connect(small_disk) as client:
        keeper = keeper_pid(small_disk)
        sibling = client.run(replace(spec, name="sibling"))
        stopped = client.run(replace(spec, name="stopped"))
        filler = client.run(replace(spec, name="filler"))
        code, text = shell(filler, "echo kept > /kept; dd if=/dev/zero of=/fill bs=64k")
        assert code != 0
        assert "No space left" in text
        shell(filler, "dd if=/dev/zero of=/rest bs=1")
        assert shell(sibling, "echo lives") == (0, "lives\n")
        with suppress(WardianError):  # there may be no room to note it down
            stopped.stop(timeout_s=1)
        with pytest.raises(SetupError, match=r"No space left|cannot (store|write)"):
            client.run(replace(spec, name="late"))
        assert {info.name for info in client.list()} == {"sibling", "stopped", "filler"}
        assert shell(filler, "cat /kept; rm /fill /rest") == (0, "kept\n")
        late = client.run(replace(spec, name="late"))
        assert shell(late, "echo lives") == (0, "lives\n")
        assert client.container("stopped").info.status is Status.EXITED
        client.container("stopped").start()
        assert shell(stopped, "echo lives") == (0, "lives\n")
        assert keeper_pid(small_disk) == keeper


def test_deep_directories_are_removed_with_the_container(lab: Container) -> None:
    code, _ = python(
        lab,
        """
        import os
        for _ in range(1500):
            os.mkdir("d" * 50)
            os.chdir("d" * 50)
        """,
    )
    assert code == 0
    upper = Path(lab.info.upper)
    lab.remove(force=True)
    assert not upper.exists()


def test_thousands_of_starts_in_a_row_leave_keeper_and_init_as_they_were(box: Container) -> None:
    def descriptors(host_pid: int | None) -> int:
        return len(os.listdir(f"/proc/{host_pid}/fd"))

    shell(box, "true")
    before = descriptors(box.info.host_pid)
    for _ in range(200):
        with box.spawn(ProcessSpec(argv=("true",))) as process:
            process.wait(20)
        with pytest.raises(WardianError):
            box.spawn(ProcessSpec(argv=("/nosuch",)))
    # At either moment the last process' own may still be open.
    wait_until(lambda: descriptors(box.info.host_pid) <= before)
