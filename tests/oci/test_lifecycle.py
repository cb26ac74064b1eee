"""runtime.md: operations, states, and what is an error in which state."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.oci.conftest import Oci


def test_a_container_is_created_then_started_then_stopped_then_gone(oci: Oci) -> None:
    oci.config("sh", "-c", "touch /started; sleep 60", change=writable)
    pid_file = oci.bundle / "pid"
    bundle = str(oci.bundle)
    assert oci.detached("create", "--bundle", bundle, "--pid-file", str(pid_file), "one") == 0
    state = json.loads(oci("state", "one").stdout)
    assert state["status"] == "created" and state["id"] == "one" and state["bundle"] == bundle
    assert state["pid"] == int(pid_file.read_text()) and state["annotations"] == {}
    assert not (oci.bundle / "rootfs/started").exists()
    assert oci("start", "one").returncode == 0
    assert oci.status("one") == "running"
    assert oci("delete", "one").returncode == 1
    assert oci("kill", "one", "KILL").returncode == 0
    oci.wait_for("one", "stopped")
    assert "pid" not in json.loads(oci("state", "one").stdout)
    assert (oci.bundle / "rootfs/started").exists()
    assert oci("delete", "one").returncode == 0
    assert oci("state", "one").returncode == 1


def writable(tree: dict[str, dict[str, object]]) -> None:
    tree["root"]["readonly"] = False


def test_wrong_states_are_errors_that_change_nothing(oci: Oci) -> None:
    for words in (["start"], ["state"], ["kill"], ["delete"], ["exec"]):
        done = oci(*words, "nobody", "KILL")
        assert done.returncode == 1 and "does not exist" in done.stderr
    oci.config("sleep", "60")
    assert oci.detached("create", "--bundle", str(oci.bundle), "one") == 0
    assert "exists already" in oci("create", "--bundle", str(oci.bundle), "one").stderr
    assert oci("delete", "one").returncode == 1
    assert oci.status("one") == "created"
    assert oci("start", "one").returncode == 0
    assert "it is running" in oci("start", "one").stderr
    assert oci("kill", "one", "KILL").returncode == 0
    oci.wait_for("one", "stopped")
    assert "it is stopped" in oci("kill", "one", "TERM").stderr
    assert "it is stopped" in oci("start", "one").stderr


@pytest.mark.parametrize("name", ["", "..", "a/b", "-", "x" * 4096])
def test_an_id_is_no_path(oci: Oci, name: str) -> None:
    oci.config("sh")
    done = oci("create", "--bundle", str(oci.bundle), "--", name)
    assert done.returncode == 1 and "invalid container id" in done.stderr


def test_run_gives_the_programs_exit_code(oci: Oci) -> None:
    oci.config("sh", "-c", "exit 7")
    assert oci("run", "--bundle", str(oci.bundle), "one").returncode == 7
    oci.config("sh", "-c", "kill -9 $$; sleep 60")
    oci.config("no-such-program")
    done = oci("run", "--bundle", str(oci.bundle), "one")
    assert done.returncode == 127 and "not found in $PATH" in done.stderr
    assert oci("list", "--quiet").stdout.split() == []


def test_exec_pause_resume_and_ps(oci: Oci) -> None:
    oci.config("sleep", "60")
    assert oci.detached("run", "--detach", "--bundle", str(oci.bundle), "one") == 0
    done = oci("exec", "--env", "WORD=here", "one", "sh", "-c", "echo $WORD $$; exit 5")
    assert done.returncode == 5 and done.stdout.startswith("here ")
    assert oci("exec", "one", "no-such-program").returncode == 127
    assert oci("pause", "one").returncode == 0
    assert oci.status("one") == "paused"
    assert oci("exec", "one", "id").returncode == 1
    assert oci("resume", "one").returncode == 0
    assert oci.status("one") == "running"
    pid = json.loads(oci("state", "one").stdout)["pid"]
    assert json.loads(oci("ps", "--format", "json", "one").stdout) == [pid]
    assert json.loads(oci("list", "--format", "json").stdout)[0]["id"] == "one"


def test_broken_bundles_leave_nothing(oci: Oci, tmp_path: Path) -> None:
    for text, said in (
        ("", "is not JSON"),
        ("[]", "expected an object"),
        ('{"ociVersion": "1.2.0"}', "root"),
        ('{"ociVersion": "9.0.0", "root": {"path": "rootfs"}}', "is not 1.x"),
    ):
        (oci.bundle / "config.json").write_text(text)
        done = oci("create", "--bundle", str(oci.bundle), "one")
        assert done.returncode == 1 and said in done.stderr, done.stderr
    assert oci("create", "--bundle", str(tmp_path / "none"), "one").returncode == 1
    assert not list(oci.root.glob("*"))


def test_errors_are_in_the_log_as_runc_writes_them(oci: Oci, tmp_path: Path) -> None:
    log = tmp_path / "log"
    oci("--log", str(log), "--log-format", "json", "state", "nobody")
    line = json.loads(log.read_text())
    assert line["level"] == "error" and line["msg"] == "container nobody does not exist"


def test_poststop_hooks_that_a_killed_delete_has_left_are_run_by_the_next(
    oci: Oci, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    os.mkfifo(tmp_path / "gate")

    def hook(number: int, script: str) -> dict[str, object]:
        line = f'{script} echo {number} "$(cat)" >>"$0"'
        args = ["sh", "-c", line, str(told)]
        return {"path": "/bin/sh", "args": args, "env": ["PATH=/usr/bin:/bin"]}

    waits = f"test -e {tmp_path}/open || exec cat {tmp_path}/gate;"
    hooks = {"poststop": [hook(0, ""), hook(1, waits), hook(2, "")]}
    oci.config("sh", "-c", "true", change=lambda tree: tree.update(hooks=hooks))
    assert oci.detached("run", "--detach", "--bundle", str(oci.bundle), "one") == 0
    oci.wait_for("one", "stopped")
    command = [str(oci.program), "--root", str(oci.root), "delete", "one"]
    with subprocess.Popen(command) as deleting, open(tmp_path / "gate", "w"):  # the second waits
        assert "does not exist" in oci("state", "one").stderr
        assert "does not exist" in oci("delete", "one").stderr  # somebody is at it
        deleting.kill()
    (tmp_path / "open").touch()
    assert oci("list", "--quiet").stdout == ""
    done = oci("delete", "one")
    assert (done.returncode, done.stderr) == (0, "")
    numbers = [line.split()[0] for line in told.read_text().splitlines()]
    assert numbers == ["0", "1", "2"]
    assert "does not exist" in oci("delete", "one").stderr
    assert os.listdir(oci.root) == []
