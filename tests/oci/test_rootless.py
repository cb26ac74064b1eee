"""wardian-oci as an ordinary user: a user namespace of one's own, no cgroup, nothing of root's."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.oci.conftest import Oci
from tests.oci.ordinary_user import UID, as_user, own

Said = subprocess.CompletedProcess[str]


@pytest.fixture
def user(oci: Oci, tmp_path: Path) -> Iterator[Callable[..., Said]]:
    """The command as a user's; their state lies in their runtime directory."""
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    home = tmp_path / "home"
    home.mkdir()
    own(home, oci.bundle)
    oci.program.chmod(0o755)

    def call(*words: str, env: str = f"XDG_RUNTIME_DIR={home}", is_detached: bool = False) -> Said:
        null = subprocess.DEVNULL
        command = as_user("env", env, str(oci.program), *words)
        output = null if is_detached else subprocess.PIPE
        return subprocess.run(
            command, stdin=null, stdout=output, stderr=output, text=True, timeout=60, check=False
        )

    yield call
    for name in call("list", "--quiet").stdout.split():
        call("delete", "--force", name)
    assert not list(home.glob("wardian-oci/*"))


def configure(oci: Oci, call: Callable[..., Said], *args: str, **process: Any) -> None:
    path = oci.bundle / "config.json"
    path.unlink(missing_ok=True)
    done = call("spec", "--rootless", "--bundle", str(oci.bundle))
    assert done.returncode == 0, done.stderr
    tree = json.loads(path.read_text())
    tree["process"] |= {"args": list(args), **process}
    path.write_text(json.dumps(tree))


def test_a_user_runs_a_container_as_its_root(oci: Oci, user: Callable[..., Said]) -> None:
    script = "id -u; cat /proc/self/uid_map; echo x >/dev/null && echo $$"
    configure(oci, user, "sh", "-c", script)
    done = user("run", "--bundle", str(oci.bundle), "one")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "0", str(UID), "1", "1"]


def test_a_user_runs_what_runc_proposes(oci: Oci, user: Callable[..., Said]) -> None:
    if shutil.which("runc") is None:
        pytest.skip("runc is not installed")
    bundle = str(oci.bundle)
    subprocess.run(as_user("runc", "spec", "--rootless", "--bundle", bundle), check=True)
    path = oci.bundle / "config.json"
    tree = json.loads(path.read_text())
    # Host A lets nobody raise a limit.
    tree["process"] |= {"terminal": False, "args": ["id", "-u"], "rlimits": []}
    path.write_text(json.dumps(tree))
    done = user("run", "--bundle", str(oci.bundle), "one")
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


def test_a_users_container_is_looked_at_entered_and_ended(
    oci: Oci, user: Callable[..., Said]
) -> None:
    configure(oci, user, "sleep", "1000")
    done = user("run", "--detach", "--bundle", str(oci.bundle), "one", is_detached=True)
    assert done.returncode == 0
    state = json.loads(user("state", "one").stdout)
    assert state["status"] == "running" and state["owner"] == str(UID)
    assert json.loads(user("ps", "--format", "json", "one").stdout) == [state["pid"]]
    # While execve(2) goes on it has no command line yet (begin_new_exec closes descriptors first).
    script = "id -u; until grep sleep /proc/1/cmdline; do :; done; exit 3"
    done = user("exec", "one", "sh", "-c", script)
    assert (done.returncode, done.stdout) == (3, "0\nsleep\x001000\x00\n"), done.stderr
    assert "it has no cgroup" in user("pause", "one").stderr
    assert user("delete", "one").returncode == 1
    assert user("delete", "--force", "one").returncode == 0


def test_what_a_user_cannot_have_is_refused_by_its_name(
    oci: Oci, user: Callable[..., Said]
) -> None:
    bundle = str(oci.bundle)
    for process, said in (
        ({"user": {"uid": 1000, "gid": 0}}, "process.user.uid 1000 is not mapped"),
        ({"user": {"uid": 0, "gid": 0, "additionalGids": [0]}}, "process.user.additionalGids"),
    ):
        configure(oci, user, "sh", **process)
        done = user("run", "--bundle", bundle, "one")
        assert done.returncode == 1 and said in done.stderr, done.stderr
    configure(oci, user, "sh", "-c", "true")
    done = user("run", "--bundle", bundle, "one", env="-uXDG_RUNTIME_DIR")
    assert done.returncode == 1 and "XDG_RUNTIME_DIR is not set" in done.stderr
    path = oci.bundle / "config.json"
    tree = json.loads(path.read_text())
    tree["linux"]["resources"] = {"pids": {"limit": 9}}
    path.write_text(json.dumps(tree))
    done = user("run", "--bundle", bundle, "one")
    assert done.returncode == 1 and "cannot limit pids" in done.stderr, done.stderr
    tree["linux"]["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    path.write_text(json.dumps(tree))
    done = user("run", "--bundle", bundle, "one")
    assert done.returncode == 0 and "linux.resources.devices is not in force" in done.stderr
