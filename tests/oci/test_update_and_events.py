"""update and events on a container that runs, and what a killed create leaves."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.oci.conftest import Oci, groups


@pytest.fixture
def running(oci: Oci) -> Oci:
    oci.config("sleep", "60")
    assert oci.detached("run", "--detach", "--bundle", str(oci.bundle), "one") == 0
    return oci


def limit(oci: Oci) -> str:
    record = json.loads((oci.root / "one/state.json").read_text())
    directory = record["cgroups"].get("pids") or record["cgroups"]["unified"]
    return (Path(directory) / "pids.max").read_text().strip()


def test_limits_change_while_it_runs_and_others_stay(running: Oci, tmp_path: Path) -> None:
    assert running("update", "--pids-limit", "9", "one").returncode == 0
    assert limit(running) == "9"
    (tmp_path / "wish").write_text('{"memory": {"limit": 67108864}}')
    done = running("update", "--resources", str(tmp_path / "wish"), "one")
    assert done.returncode == 0, done.stderr
    stats = json.loads(running("events", "--stats", "one").stdout)
    assert (stats["type"], stats["id"]) == ("stats", "one")
    assert stats["data"]["memory"]["usage"]["limit"] == 64 << 20
    assert stats["data"]["pids"] == {"current": 1, "limit": 9}
    assert stats["data"]["cpu"]["usage"]["total"] > 0
    assert limit(running) == "9"


def test_wrong_updates_change_nothing(running: Oci, tmp_path: Path) -> None:
    (tmp_path / "wish").write_text('{"rdma": {"x": {"hcaHandles": 1}}}')
    for words, said in (
        ([], "nothing to change"),
        (["--pids-limit", "x"], "not a whole number"),
        (["--resources", str(tmp_path / "none")], "cannot read"),
        (["--resources", str(tmp_path / "wish")], "linux.resources.rdma"),
    ):
        done = running("update", *words, "one")
        assert done.returncode == 1 and said in done.stderr, done.stderr
    assert limit(running) == "max"
    assert "does not exist" in running("update", "--pids-limit", "1", "nobody").stderr


def test_events_end_with_the_container(running: Oci) -> None:
    command = [str(running.program), "--root", str(running.root), "events", "--interval", "50ms"]
    with subprocess.Popen([*command, "one"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["type"] == "stats"
        assert running("kill", "one", "KILL").returncode == 0
        assert process.wait(timeout=60) == 0


def test_events_tell_that_memory_ran_out_and_only_then(oci: Oci) -> None:
    eat = "x=x; while :; do x=$x$x; done"
    script = f"until test -e /go; do sleep 0.05; done; sh -c '{eat}'; exec sleep 60"
    limits = {"memory": {"limit": 64 << 20}}
    oci.config("sh", "-c", script, change=lambda tree: tree["linux"].update(resources=limits))
    assert oci.detached("run", "--detach", "--bundle", str(oci.bundle), "one") == 0
    command = [str(oci.program), "--root", str(oci.root), "events", "--interval", "50ms"]
    with subprocess.Popen([*command, "one"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        kinds = [json.loads(process.stdout.readline())["type"] for _ in range(3)]
        (oci.bundle / "rootfs/go").touch()
        while kinds.count("oom") < 1:
            kinds.append(json.loads(process.stdout.readline())["type"])
        kinds += [json.loads(process.stdout.readline())["type"] for _ in range(5)]
        assert oci("kill", "one", "KILL").returncode == 0
        kinds += [json.loads(line)["type"] for line in process.stdout]
        assert process.wait(timeout=60) == 0
    assert kinds[:3] == ["stats"] * 3
    assert kinds.count("oom") == 1


@pytest.mark.parametrize("delay_s", [0.05, 0.15, 0.2, 0.25, 0.3, 0.4])
def test_a_create_that_is_killed_is_deleted_with_force(oci: Oci, delay_s: float) -> None:
    oci.config("sleep", "60")
    command = [str(oci.program), "--root", str(oci.root), "create", "--bundle", str(oci.bundle)]
    null = subprocess.DEVNULL
    process = subprocess.Popen([*command, "one"], stdin=null, stdout=null, stderr=null)
    try:
        process.wait(timeout=delay_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert oci("delete", "--force", "one").returncode == 0
    assert not list(oci.root.glob("*"))
    assert not groups(oci)
    assert str(oci.bundle) not in Path("/proc/self/mountinfo").read_text()
