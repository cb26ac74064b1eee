"""The guest, booted once, beside the other tests: emulated, it takes minutes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.vm import machine
from tests.vm.debian_kernel import DebianKernel, Unavailable
from wardian.linux.process import set_parent_death_signal

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# Beside the rest the guest gets what that leaves: alone on two cores it takes 280 s.
TIMEOUT_S = 1200.0
NICE = 5
UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h


@dataclass(frozen=True, slots=True)
class Guest:
    """The process that boots and waits for the machine; ``work`` has what the guest said."""

    process: subprocess.Popen[bytes]
    work: Path

    @classmethod
    def start(cls, work: Path, tests: list[str]) -> Guest:
        """Boot in the background, to run ``tests`` (node ids)."""
        command = [sys.executable, "-m", __name__, str(work), *tests]
        with (work / "log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return cls(process, work)

    def report(self) -> str:
        """Wait for power-off; pytest's junit report, as far as it came.

        Raises `Unavailable` with the reason where there can be no guest.
        """
        code = self.process.wait()
        said = (self.work / "log").read_text(errors="replace")
        if code == UNAVAILABLE:
            raise Unavailable(said.strip())
        if code:
            raise RuntimeError(f"the guest could not be run:\n{said}")
        return self._read("report")

    @property
    def console(self) -> str:
        """What the guest wrote to its console so far."""
        return self._read("console.log")

    def _read(self, name: str) -> str:
        path = self.work / name
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self) -> None:
        """End the machine, if it still runs."""
        self.process.terminate()
        self.process.wait()


def main(work: str, *tests: str) -> int:
    """What the process does. SIGTERM, or the death of pytest, ends the machine, too."""
    set_parent_death_signal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.nice(NICE)
    try:
        kernel = DebianKernel.fetched(ROOT / "build" / "vm")
        machine.run(kernel, Path(work), HERE / "guest_tests", list(tests), TIMEOUT_S)
    except Unavailable as reason:
        sys.stderr.write(f"{reason}\n")
        return UNAVAILABLE
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
