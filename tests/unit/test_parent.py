"""A kernel knows of its parent's end, whenever it came."""

import os
import select
import subprocess
import sys

import pytest

from wardian.jupyter.parent import ParentEnded, open_parent

# A parent starts a child that opens its pidfd before or after the parent ends, and writes what it
# sees of it. A pipe that only the parent holds tells the child of that end.
SCRIPT = """
import os, select, sys
from wardian.jupyter.parent import ParentEnded, open_parent
alive, held = os.pipe()
os.environ["JPY_PARENT_PID"] = str(os.getpid())
ready, done = os.pipe()
if os.fork():
    os.close(done)
    os.read(ready, 1)  # the child has begun
    os._exit(0)
os.close(held)
def wait_for_end():
    os.write(done, b".")
    os.read(alive, 1)
    while os.getppid() == int(os.environ["JPY_PARENT_PID"]):
        pass
if sys.argv[1] == "before":
    wait_for_end()
    os.getppid = lambda: 1  # what adopts orphans here may be another process
try:
    fd = open_parent()
except ParentEnded:
    print("ended")
    sys.exit()
print("watched", bool(select.select([fd], [], [], 0)[0]))
wait_for_end()
print(bool(select.select([fd], [], [], 10)[0]))
"""


def _seen(when: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, when], stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.split()


def test_end_after_the_kernel_began_is_seen() -> None:
    assert _seen("after") == ["watched", "False", "True"]


def test_end_before_the_kernel_began_is_seen() -> None:
    assert _seen("before") == ["ended"]


def test_end_between_two_looks_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    monkeypatch.setenv("JPY_PARENT_PID", str(gone.pid))
    monkeypatch.setattr(os, "getppid", lambda: gone.pid)
    with pytest.raises(ParentEnded):
        open_parent()


def test_process_that_only_passed_the_number_on_is_not_watched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JPY_PARENT_PID", str(os.getpid()))
    assert open_parent() is None


def test_parent_that_says_nothing_is_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    assert open_parent() is None


def test_parent_that_lives_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_PARENT_PID", str(os.getppid()))
    fd = open_parent()
    assert fd is not None
    assert not select.select([fd], [], [], 0)[0]
    os.close(fd)
