"""What a cell cost: time, memory and files, from the container's cgroup and upper directory."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from wardian.cgroups.cgroup import Cgroup, Events
from wardian.cgroups.files import Files, write
from wardian.errors import WardianError

if TYPE_CHECKING:
    from wardian.observe.upper import UpperTree


class Mark(msgspec.Struct, frozen=True):
    """The figures when a cell began."""

    wall_s: float
    cpu_usec: int | None
    peak_bytes: int | None
    events: Events


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a cell cost; None is unknown on this host, never 0.

    ``cpu_s`` is that of the whole container. ``memory_peak_bytes`` is the most that the container
    held during the cell; where the kernel cannot start the count anew (cgroup v1 without swap
    accounting, v2 before Linux 6.12) it is known only if it was a new record.
    ``written_bytes`` is what files in the upper directory grew by.
    """

    wall_s: float
    cpu_s: float | None = None
    memory_peak_bytes: int | None = None
    written_bytes: int | None = None
    files_changed: int | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """The known figures, by name, and a line for people."""
        known: dict[str, Any] = {"wall_s": round(self.wall_s, 6)}
        for name in ("cpu_s", "memory_peak_bytes", "written_bytes", "files_changed"):
            if (value := getattr(self, name)) is not None:
                known[name] = value
        return {**known, "note": self.note}

    @property
    def note(self) -> str:
        """One line beside the prompt, such as ``0.21 s, CPU 0.18 s, peak 34.0 MiB, 2 files``."""
        words = [f"{self.wall_s:.2f} s"]
        if self.cpu_s is not None:
            words.append(f"CPU {self.cpu_s:.2f} s")
        if self.memory_peak_bytes is not None:
            words.append(f"peak {self.memory_peak_bytes / 2**20:.1f} MiB")
        if self.files_changed:
            files = "file" if self.files_changed == 1 else "files"
            words.append(f"{self.files_changed} {files} changed")
        return ", ".join(words)


class Gauge:
    """Reads a container's figures before and after each cell; a dozen preads in all."""

    def __init__(self, cgroup: Cgroup | None) -> None:
        self._cgroup = cgroup
        self._files = Files()
        self._peak, self._peak_is_ours = _peak_file(cgroup.paths if cgroup else {})
        self._upper: UpperTree | None = None
        self._sizes: dict[str, int] = {}

    def watch(self, upper: Path) -> None:
        """Begin to follow the files of the upper directory; walks it once."""
        from wardian.observe.upper import UpperTree

        with suppress(OSError, WardianError):
            tree = UpperTree(upper)
            tree.refresh()
            self._sizes = {
                path: facts.st_size
                for path, facts in tree.facts.items()
                if stat.S_ISREG(facts.st_mode)
            }
            self._upper = tree

    def mark(self) -> Mark:
        """A cell begins."""
        if self._peak is not None and self._peak_is_ours:
            with suppress(WardianError):
                write(self._peak, 0)
        if self._upper is not None:
            self._changes(self._upper)
        return Mark(time.perf_counter(), self._cpu_usec(), self._peak_bytes(), self.events())

    def cost(self, since: Mark) -> Cost:
        """A cell has ended."""
        wall_s = time.perf_counter() - since.wall_s
        cpu_usec, peak = self._cpu_usec(), self._peak_bytes()
        is_new = self._peak_is_ours or peak != since.peak_bytes
        cpu_s = None
        if cpu_usec is not None and since.cpu_usec is not None:
            cpu_s = (cpu_usec - since.cpu_usec) / 1e6
        written, changed = self._changes(self._upper) if self._upper else (None, None)
        return Cost(
            wall_s=wall_s,
            cpu_s=cpu_s,
            memory_peak_bytes=peak if is_new else None,
            written_bytes=written,
            files_changed=changed,
        )

    def events(self) -> Events:
        """How often limits were hit until now."""
        return self._cgroup.events() if self._cgroup else Events()

    def close(self) -> None:
        """Let go of the watches."""
        if self._upper is not None:
            self._upper.close()
            self._upper = None

    def _cpu_usec(self) -> int | None:
        paths = self._cgroup.paths if self._cgroup else {}
        if path := paths.get("cpuacct"):
            nanoseconds = self._files.number(path / "cpuacct.usage")
            return None if nanoseconds is None else nanoseconds // 1000
        if path := paths.get("unified"):
            return self._files.table(path / "cpu.stat").get("usage_usec")
        return None

    def _peak_bytes(self) -> int | None:
        return self._files.number(self._peak) if self._peak else None

    def _changes(self, tree: UpperTree) -> tuple[int, int]:
        """Bytes that regular files grew by, and how many changed, since the last look."""
        grown = changed = 0
        for path in tree.refresh():
            facts = tree.facts.get(path)
            if facts is None:
                changed += self._sizes.pop(path, None) is not None
            elif stat.S_ISREG(facts.st_mode):
                grown += max(0, facts.st_size - self._sizes.get(path, 0))
                self._sizes[path] = facts.st_size
                changed += 1
            elif stat.S_ISCHR(facts.st_mode) and facts.st_rdev == os.makedev(0, 0):
                changed += 1  # a whiteout: a lower file was deleted
        return grown, changed


def _peak_file(paths: Mapping[str, Path]) -> tuple[Path | None, bool]:
    """The file with the memory peak, and whether we may start its count anew.

    v1 counts memory and memory+swap apart. The latter's peak is nobody else's business, and
    equals the former's as long as nothing is swapped: it is ours to reset. v2's ``memory.peak``
    is shared with whoever looks at the container: it is left as it is.
    """
    if path := paths.get("memory"):
        ours = path / "memory.memsw.max_usage_in_bytes"
        return (ours, True) if ours.exists() else (path / "memory.max_usage_in_bytes", False)
    if path := paths.get("unified"):
        return path / "memory.peak", False
    return None, False
