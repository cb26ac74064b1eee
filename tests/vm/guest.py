"""The guest, booted once, beside the other tests: emulated, it takes minutes.

A pytest plugin. Where workers share the tests (pytest-xdist), the process that leads them boots it,
and the one that comes to its tests waits for it.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.reports import ROOT, second_try
from tests.vm import machine
from tests.vm.debian_kernel import DebianKernel, Unavailable
from wardian.linux.process import set_parent_death_signal

HERE = Path(__file__).parent
OURS = re.compile(r"^tests/vm/test_cgroup_v2_machine\.py::\w+\[(tests/.+)\](@.*)?$")
# Emulated, it takes some 900 s of a core, and beside the rest it has no core for itself.
TIMEOUT_S = 2400.0
UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h


@dataclass(frozen=True, slots=True)
class Guest:
    """What is told of the machine in the folder ``work``, which its process keeps locked."""

    work: Path

    @classmethod
    def of(cls, config: pytest.Config) -> Guest:
        """That of this run of pytest."""
        return cls._numbered(getattr(config, "workerinput", {}).get("testrunuid", os.getpid()))

    @classmethod
    def _numbered(cls, number: object) -> Guest:
        return cls(Path(tempfile.gettempdir(), f"wardian-guest-{number}"))

    @classmethod
    def start(cls, config: pytest.Config, number: object, node_ids: Sequence[str]) -> None:
        """Boot it in the background, if one of these tests is the guest's; end it with pytest."""
        wanted = [found[1] for node_id in node_ids if (found := OURS.match(node_id))]
        guest = cls._numbered(number)
        if not wanted or guest.work.exists():
            return
        guest.work.mkdir(mode=0o700)
        lock = os.open(guest.work / "lock", os.O_CREAT | os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (guest.work / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(guest.work), *second_try(config), *wanted],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[lock],
            )
        os.close(lock)

        def end() -> None:
            process.terminate()
            process.wait()
            shutil.rmtree(guest.work)

        config.add_cleanup(end)

    def report(self) -> str:
        """Wait for power-off; pytest's junit report, as far as it came.

        Raises `Unavailable` with the reason where there can be no guest.
        """
        with (self.work / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
        if reason := self._read("unavailable"):
            raise Unavailable(reason)
        if not (self.work / "ended").exists():
            raise RuntimeError(f"the guest could not be run:\n{self._read('log')}")
        return self._read("report")

    @property
    def console(self) -> str:
        """What the guest wrote to its console so far."""
        return self._read("console.log")

    def _read(self, name: str) -> str:
        path = self.work / name
        return path.read_text(errors="replace") if path.exists() else ""


def pytest_collection_finish(session: pytest.Session) -> None:
    """Boot now what is looked at last."""
    is_worker = hasattr(session.config, "workerinput")
    if not is_worker and not session.config.option.collectonly:
        Guest.start(session.config, os.getpid(), [item.nodeid for item in session.items])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    """The same where workers collect; all have the same tests, and the first counts."""
    Guest.start(node.config, node.workerinput["testrunuid"], ids)


def main(work: Path, *tests: str) -> None:
    """What the process does. SIGTERM, or the death of pytest, ends the machine, too."""
    set_parent_death_signal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        kernel = DebianKernel.fetched(ROOT / "build" / "vm")
        machine.run(kernel, work, HERE / "guest_tests", list(tests), TIMEOUT_S)
        (work / "ended").touch()
    except Unavailable as reason:
        (work / "unavailable").write_text(str(reason))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
