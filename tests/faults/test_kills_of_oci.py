"""kill -9 of `wardian-oci` at random moments: `delete --force` then leaves nothing at all."""

from __future__ import annotations

import os
import random
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.killing import after, kill, pidfd_of, rounds
from tests.oci.conftest import Oci, groups, oci

__all__ = ["oci"]  # a fixture, for the tests here
pytestmark = pytest.mark.timeout(900)
ARGUMENT = "31536001"  # of a sleep that is nobody else's

# What is done before, and what is killed; the groups are ours, systemd's way is another program's.
LINES = {
    "create": ((), "create --bundle BUNDLE killed"),
    "run": ((), "run --detach --bundle BUNDLE killed"),
    "start": (("create --bundle BUNDLE killed",), "start killed"),
    "exec": (("run --detach --bundle BUNDLE killed",), f"exec killed sleep {ARGUMENT}"),
    "delete": (("run --detach --bundle BUNDLE killed",), "delete --force killed"),
}


def begin(oci: Oci, manager: str, line: str) -> subprocess.Popen[bytes]:
    words = line.replace("BUNDLE", str(oci.bundle)).split()
    null = subprocess.DEVNULL
    command = [str(oci.program), "--root", str(oci.root), f"--cgroup-manager={manager}", *words]
    return subprocess.Popen(command, stdin=null, stdout=null, stderr=null)


def ours(oci: Oci) -> list[int]:
    """Processes that our commands began, whatever they have become."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            if ARGUMENT.encode() in words or os.fsencode(oci.root) in words:
                found.append(int(entry.name))
    return found


def assert_nothing_is_left(oci: Oci) -> None:
    deadline = time.monotonic() + 10
    while ours(oci):
        assert time.monotonic() < deadline, [
            Path(f"/proc/{pid}/status").read_text() for pid in ours(oci)
        ]
        time.sleep(0.01)
    assert list(oci.root.glob("*")) == []
    assert groups(oci) == []
    assert str(oci.bundle) not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.parametrize("manager", ["cgroupfs", "disabled"])
@pytest.mark.parametrize("action", LINES)
def test_a_command_killed_at_any_moment_leaves_what_delete_removes(
    oci: Oci, chance: random.Random, action: str, manager: str
) -> None:
    oci.config("sleep", ARGUMENT)
    befores, line = LINES[action]
    for before in befores:
        assert begin(oci, manager, before).wait(60) == 0
    began = time.monotonic()
    whole = begin(oci, manager, line)
    with suppress(subprocess.TimeoutExpired):  # exec goes on
        whole.wait(0.5 if action == "exec" else 60)
    latest_s = time.monotonic() - began
    whole.kill()
    whole.wait()
    assert oci("delete", "--force", "killed").returncode == 0
    assert_nothing_is_left(oci)
    for _ in range(rounds(6)):
        for before in befores:
            assert begin(oci, manager, before).wait(60) == 0
        victim = begin(oci, manager, line)
        with pidfd_of(victim.pid) as pidfd, after(chance, lambda: kill(pidfd), latest_s):
            pass
        victim.wait()
        done = oci("delete", "--force", "killed")
        assert done.returncode == 0, done.stderr
        assert_nothing_is_left(oci)
