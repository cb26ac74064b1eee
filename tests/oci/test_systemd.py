"""--cgroup-manager: systemd, a real one that is PID 1 of namespaces of its own, and disabled."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.oci.conftest import Oci
from wardian.errors import InvalidInput
from wardian.oci.systemd import Scope

SYSTEMD = Path("/usr/lib/systemd/systemd")
UNITS = {
    "default.target": "[Unit]\nDefaultDependencies=no\nWants=dbus.socket dbus.service\n",
    "dbus.socket": "[Unit]\nDefaultDependencies=no\n[Socket]\n"
    "ListenStream=/run/dbus/system_bus_socket\n",
    "dbus.service": "[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\nAfter=dbus.socket\n"
    "[Service]\nType=notify\nExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork"
    " --nopidfile --systemd-activation\n",
}
BOOT = f"""
echo $$ >"$GROUP/cgroup.procs"
exec unshare --mount --pid --cgroup --fork --propagation private --mount-proc sh -c '
    set -e
    mount -t tmpfs none /run
    umount -R /sys/fs/cgroup
    mount -t cgroup2 none /sys/fs/cgroup
    exec {SYSTEMD} --system --log-target=null --unit=default.target'
"""


@dataclass
class Machine:
    """Where a systemd of the test's own is PID 1, on a part of cgroup v2's tree."""

    oci: Oci
    host_pid: int

    def command(self, *words: str) -> list[str]:
        return ["nsenter", "-t", str(self.host_pid), "-m", "-p", "-C", "--", *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words), capture_output=True, text=True, check=False, timeout=60
        )

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        root = ("--root", str(self.oci.root), "--systemd-cgroup")
        return self.run(str(self.oci.program), *root, *words)

    def detached(self, *words: str) -> int:
        root = ("--root", str(self.oci.root), "--cgroup-manager=systemd")
        null = subprocess.DEVNULL
        command = self.command(str(self.oci.program), *root, *words)
        done = subprocess.run(command, stdin=null, stdout=null, stderr=null, check=False)
        return done.returncode


@pytest.fixture
def machine(oci: Oci, tmp_path: Path) -> Iterator[Machine]:
    if not SYSTEMD.exists() or shutil.which("dbus-daemon") is None:
        pytest.skip("systemd or dbus is not installed")
    for name, text in UNITS.items():
        (tmp_path / name).write_text(text)
    top = Path("/sys/fs/cgroup")
    group = (top if (top / "cgroup.controllers").exists() else top / "unified") / "wardian-systemd"
    group.mkdir()
    environment = {"SYSTEMD_UNIT_PATH": str(tmp_path), "container": "wardian"}
    null = subprocess.DEVNULL
    with subprocess.Popen(
        ["sh", "-c", BOOT],
        env={**os.environ, **environment, "GROUP": str(group)},
        stdin=null,
        stdout=null,
        stderr=null,
    ) as process:
        try:
            yield Machine(oci, _booted(process))
        finally:
            # With PID 1 all end, and with them the mounts.
            for word in _children(process):
                os.kill(int(word), signal.SIGKILL)
            process.wait()
            _remove(group)


def _children(process: subprocess.Popen[bytes]) -> list[str]:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


def _booted(process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for word in _children(process):
            machine = ["nsenter", "-t", word, "-m", "-p", "--"]
            call = ["busctl", "--system", "status", "org.freedesktop.systemd1"]
            if subprocess.run([*machine, *call], capture_output=True, check=False).returncode == 0:
                return int(word)
        time.sleep(0.05)
    pytest.fail("systemd did not come up")


def _remove(group: Path) -> None:
    deadline = time.monotonic() + 10
    while group.exists():
        assert time.monotonic() < deadline
        for folder, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):
                os.rmdir(folder)


def test_systemd_makes_the_scope_and_forgets_it(machine: Machine) -> None:
    oci = machine.oci
    oci.config("sleep", "60", change=lambda tree: _in(tree, "wardian-test.slice:pre:one"))
    assert machine.detached("run", "--detach", "--bundle", str(oci.bundle), "one") == 0
    state = json.loads(machine("state", "one").stdout)
    group = machine.run("cat", f"/proc/{state['pid']}/cgroup").stdout
    assert "0::/wardian.slice/wardian-test.slice/pre-one.scope\n" in group
    shown = machine.run("systemctl", "show", "pre-one.scope", "--property", "ActiveState,Delegate")
    assert set(shown.stdout.split()) == {"ActiveState=active", "Delegate=yes"}
    assert machine("pause", "one").returncode == 0
    assert json.loads(machine("state", "one").stdout)["status"] == "paused"
    assert machine("resume", "one").returncode == 0
    done = machine("delete", "--force", "one")
    assert done.returncode == 0, done.stderr
    shown = machine.run("systemctl", "show", "pre-one.scope", "--property", "ActiveState,LoadState")
    assert set(shown.stdout.split()) == {"ActiveState=inactive", "LoadState=not-found"}
    assert not oci("list", "--quiet").stdout


def _in(tree: dict[str, Any], path: str) -> None:
    tree["linux"]["cgroupsPath"] = path


def test_a_failed_create_leaves_no_scope(machine: Machine) -> None:
    oci = machine.oci
    oci.config("nothing-of-this-name", change=lambda tree: _in(tree, ":pre:two"))
    done = machine("create", "--bundle", str(oci.bundle), "two")
    assert done.returncode == 1 and "not found in $PATH" in done.stderr
    assert "pre-two" not in machine.run("systemctl", "list-units", "--all", "--plain").stdout


def test_without_systemd_one_line_says_so(oci: Oci) -> None:
    if Path("/run/systemd/system").exists():
        pytest.skip("systemd runs here")
    oci.config("sh", change=lambda tree: _in(tree, "system.slice:pre:one"))
    done = oci("--systemd-cgroup", "run", "--bundle", str(oci.bundle), "one")
    assert done.returncode == 1 and "systemd's manager cannot be asked" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    done = oci("run", "--bundle", str(oci.bundle), "one")
    assert done.returncode == 1 and "linux.cgroupsPath 'system.slice:pre:one' is systemd's" in (
        done.stderr
    )


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("", "system.slice/wardian-oci-one.scope"),
        (":x:y", "system.slice/x-y.scope"),
        ("a-b-c.slice:x:y", "a.slice/a-b.slice/a-b-c.slice/x-y.scope"),
        ("-.slice:x:y", "x-y.scope"),
        ("a.slice::y", "a.slice/y.scope"),
    ],
)
def test_a_slice_lies_in_the_slice_that_its_name_begins_with(path: str, wanted: str) -> None:
    scope = Scope.of(path, "one")
    usual = "system.slice" if os.geteuid() == 0 else "user.slice"
    assert scope.path == wanted.replace("system.slice", usual)


@pytest.mark.parametrize("path", ["/a/b", "a:b", "a:b:c:d", "a/b:c:d", "a--b.slice:x:y", "b:x:y"])
def test_what_is_no_scope_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput, match=r"linux\.cgroupsPath"):
        assert Scope.of(path, "one").path


def test_without_a_cgroup_all_but_limits_is_there(oci: Oci) -> None:
    off = ("--cgroup-manager", "disabled")
    oci.config("sleep", "60")
    bundle = str(oci.bundle)
    assert oci.detached(*off, "run", "--detach", "--bundle", bundle, "one") == 0
    pid = json.loads(oci("state", "one").stdout)["pid"]
    assert Path(f"/proc/{pid}/cgroup").read_text() == Path("/proc/self/cgroup").read_text()
    assert json.loads(oci("ps", "--format", "json", "one").stdout) == [pid]
    assert oci("exec", "one", "sh", "-c", "exit 4").returncode == 4
    assert "it has no cgroup" in oci("pause", "one").stderr
    assert oci("delete", "--force", "one").returncode == 0
    oci.config("sh", change=lambda tree: tree["linux"].update(resources={"pids": {"limit": 5}}))
    done = oci(*off, "run", "--bundle", bundle, "one")
    assert done.returncode == 1 and "cannot limit pids (--cgroup-manager=disabled)" in done.stderr


def test_another_manager_is_refused(oci: Oci) -> None:
    done = oci("--cgroup-manager=x", "list")
    assert done.returncode == 1 and "cgroupfs, systemd or disabled" in done.stderr
