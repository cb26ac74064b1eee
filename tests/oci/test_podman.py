"""podman with `--runtime wardian-oci`, by way of conmon."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.oci.conftest import Oci

Podman = Callable[..., "subprocess.CompletedProcess[str]"]
RUN = ("run", "--network", "none", "--ulimit", "nofile=1024:2048", "--ulimit", "nproc=1000:1000")


@pytest.fixture
def podman(oci: Oci, tmp_path: Path) -> Iterator[Podman]:
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed")
    store = Path(tempfile.mkdtemp(prefix="wo-", dir="/tmp"))  # podman takes 50 characters at most

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        places = [
            "--root",
            f"{store}/root",
            "--runroot",
            f"{store}/run",
            "--tmpdir",
            f"{store}/tmp",
        ]
        runtime = ["--cgroup-manager=cgroupfs", "--runtime", str(oci.program)]
        command = ["podman", *places, "--storage-driver", "vfs", *runtime, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    tar = tmp_path / "image.tar"
    subprocess.run(["tar", "-C", str(oci.bundle / "rootfs"), "-cf", str(tar), "."], check=True)
    assert call("import", str(tar), "busybox").returncode == 0
    yield call
    call("rm", "--all", "--force", "--time", "0")
    # podman binds its store onto itself and leaves that mount behind.
    for path in (store / "root/vfs", store / "root"):
        subprocess.run(["umount", str(path)], capture_output=True, check=False)
    shutil.rmtree(store)
    # podman leaves its empty groups, too.
    for top in Path("/sys/fs/cgroup").glob("*/libpod_parent"):
        for folder, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):
                os.rmdir(folder)


def test_podman_runs_executes_in_stops_and_removes(podman: Podman) -> None:
    done = podman(*RUN, "--rm", "localhost/busybox", "sh", "-c", "echo here; exit 7")
    assert (done.returncode, done.stdout) == (7, "here\n"), done.stderr
    done = podman(*RUN, "--detach", "--name", "one", "localhost/busybox", "sleep", "60")
    assert done.returncode == 0, done.stderr
    done = podman("exec", "one", "sh", "-c", "echo there; exit 3")
    assert (done.returncode, done.stdout) == (3, "there\n"), done.stderr
    assert podman("stop", "--time", "0", "one").returncode == 0
    assert podman("rm", "one").returncode == 0
    done = podman(*RUN, "--rm", "--tty", "localhost/busybox", "sh", "-c", "test -t 1 && echo tty")
    assert done.stdout.strip() == "tty", done.stderr


def test_podman_pauses_tells_of_and_ends_what_runs(podman: Podman) -> None:
    words = ("--detach", "--name", "one", "localhost/busybox", "sh", "-c", "echo said; sleep 60")
    assert podman(*RUN, *words).returncode == 0
    assert podman("logs", "one").stdout == "said\n"
    done = podman("pause", "one")
    assert done.returncode == 0, done.stderr
    assert podman("inspect", "--format", "{{.State.Status}}", "one").stdout.strip() == "paused"
    assert podman("unpause", "one").returncode == 0
    done = podman("stats", "--no-stream", "--format", "{{.PIDs}}", "one")
    assert done.returncode == 0 and int(done.stdout) >= 1, done.stderr
    assert podman("kill", "one").returncode == 0
    assert podman("wait", "one").stdout.strip() == "137"
    assert podman("rm", "one").returncode == 0


def test_podman_mounts_tmpfs_and_volumes_on_a_read_only_root(
    podman: Podman, tmp_path: Path
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/file").write_text("there")
    mounts = ("--tmpfs", "/var:size=1m", "--volume", f"{tmp_path}/shared:/shared:ro", "--read-only")
    more = ("--env", "WORD=here", "--user", "5:6", "--workdir", "/shared", "--hostname", "fern")
    script = "cat file; touch new 2>&1; echo $WORD $(hostname); id -u; grep ' /var ' /proc/mounts"
    done = podman(*RUN, "--rm", *mounts, *more, "localhost/busybox", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("there") and "Read-only file system" in done.stdout
    assert "here fern\n5\n" in done.stdout and "size=1024k" in done.stdout


def test_podman_shares_the_namespaces_of_a_pod(podman: Podman) -> None:
    """Each namespace of a container that is there, by path."""
    words = ("--detach", "--name", "one", "localhost/busybox", "sleep", "60")
    assert podman(*RUN, *words).returncode == 0
    shared = ("--pid", "container:one", "--ipc", "container:one", "--uts", "container:one")
    rest = RUN[3:]  # its network, too
    last = ("--network", "container:one", "localhost/busybox", "cat", "/proc/1/cmdline")
    done = podman("run", *rest, "--rm", *shared, *last)
    assert (done.returncode, done.stdout) == (0, "sleep\x0060\x00"), done.stderr


def test_podman_gives_a_terminal_to_exec(podman: Podman) -> None:
    words = ("--detach", "--pids-limit", "50", "--name", "one", "localhost/busybox", "sleep", "60")
    assert podman(*RUN, *words).returncode == 0
    done = podman("exec", "--tty", "--user", "7", "--env", "A=b", "one", "sh", "-c", "id -u; tty")
    assert done.stdout.split() == ["7", "/dev/pts/0"], done.stderr
    assert podman("top", "one", "pid").returncode == 0


def test_podman_gives_devices_privileges_and_what_systemd_wants(podman: Podman) -> None:
    image = ("localhost/busybox", "sh", "-c")
    script = "ls -l /dev/full2 | cut -c1-10"
    done = podman(*RUN, "--rm", "--device", "/dev/full:/dev/full2", *image, script)
    assert done.stdout == "crw-rw-rw-\n", done.stderr
    script = "test -w /proc/sys/kernel/panic && test -c /dev/fuse && echo privileged"
    done = podman(*RUN, "--rm", "--privileged", *image, script)
    assert done.stdout == "privileged\n", done.stderr
    done = podman(*RUN, "--rm", "--systemd=always", *image, "test -d /sys/fs/cgroup && id -u")
    assert done.stdout == "0\n", done.stderr
