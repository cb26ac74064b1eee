"""What a group in mounted hierarchies does alike, whichever version they are of."""

from __future__ import annotations

import abc
import errno
import os
import signal
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from wardian.cgroups import devices, settings
from wardian.cgroups.cgroup import Cgroup
from wardian.cgroups.files import Files, numbers, remove_directory, write
from wardian.cgroups.limits import Limits
from wardian.cgroups.pressure import RESOURCES, Pressure
from wardian.errors import KernelRefused, WardianError

FREEZE_PATIENCE_S = 5.0


class MountedCgroup(Cgroup):
    """A group with a directory for each controller, ``unified`` being that of cgroup v2."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = paths
        self._files = Files()

    @property
    def paths(self) -> Mapping[str, Path]:
        return self._paths

    # --- what the versions do differently ------------------------------------------------

    @abc.abstractmethod
    def _controllers(self) -> Collection[str]:
        """Those that the group has, or will have once it is made."""

    @abc.abstractmethod
    def _why_not(self, controller: str) -> str:
        """Why it has not this one, in a few words."""

    @abc.abstractmethod
    def _why_no_swap(self) -> str:
        """The same of memory and swap in a group that has been made; "" if it can be limited."""

    @abc.abstractmethod
    def _make(self, limits: Limits) -> None:
        """Make the directories, with the controllers that these limits need."""

    @abc.abstractmethod
    def _apply(self, limits: Limits) -> None:
        """Write the usual limits, or that there is none, as far as the group has controllers."""

    # --- limits --------------------------------------------------------------------------

    def unenforced(self, limits: Limits) -> list[str]:
        here = self._controllers()
        missing = [
            f"{name} ({self._why_not(name)})" for name in controllers(limits) if name not in here
        ]
        if devices.refuses(limits.device_rules) and (why := devices.why_not(self._paths)):
            missing.append(f"rules for devices ({why})")
        limits_swap = limits.memory_swap_bytes is not None and "memory" in here
        if limits_swap or any(settings.asked(limits)):
            with self._present(limits):
                if limits_swap and (why := self._why_no_swap()):
                    missing.append(f"memory+swap ({why})")
                missing += settings.missing(limits, self._paths)
        return missing

    @contextmanager
    def _present(self, limits: Limits) -> Iterator[None]:
        """The group is there meanwhile: its files alone tell what the kernel can do."""
        new = [path for path in self._paths.values() if not path.exists()]
        try:
            self._make(limits)
            yield
        finally:
            for path in new:
                remove_directory(path)

    def create(self, limits: Limits) -> None:
        try:
            self._make(limits)
            self._apply(limits)
            settings.put(limits, self._paths)
            devices.restrict(self._paths, limits.device_rules)
        except BaseException:
            with suppress(KernelRefused):
                self.remove()
            raise

    def apply(self, limits: Limits) -> None:
        self._apply(limits)
        settings.lift(limits, self._paths)
        settings.put(limits, self._paths)
        devices.restrict(self._paths, limits.device_rules)

    # --- processes -----------------------------------------------------------------------

    def clone_fd(self) -> int | None:
        if path := self._paths.get("unified"):
            return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return None

    def processes(self) -> list[int]:
        # Not from the kept descriptors: there may be more than a page of them on v2, and v1 shows
        # a descriptor the list of its first reading (cgroup_pidlist_start in
        # kernel/cgroup/cgroup-v1.c).
        for path in self._paths.values():
            return numbers(path / "cgroup.procs")
        return []

    def freeze(self) -> None:
        unified = self._paths["unified"]
        write(unified / "cgroup.freeze", 1)
        self._wait_until_frozen(unified / "cgroup.events", "frozen 1")

    def _wait_until_frozen(self, file: Path, line: str) -> None:
        """Freezing is asked for and happens later: wait for it, but not for ever."""
        deadline = time.monotonic() + FREEZE_PATIENCE_S
        while line not in (self._files.text(file) or "").splitlines():
            if time.monotonic() > deadline:
                what = "freeze: not all processes have stopped"
                raise KernelRefused("write", errno.ETIMEDOUT, what)
            time.sleep(0.001)

    def thaw(self) -> None:
        write(self._paths["unified"] / "cgroup.freeze", 0)

    def kill(self) -> None:
        if path := self._paths.get("unified"):
            with suppress(KernelRefused):
                write(path / "cgroup.kill", 1)
                return
        self._kill_each()

    def _kill_each(self) -> None:
        """On kernels without cgroup.kill (before 5.14).

        All are stopped first, so that none can fork a child that we have not seen.
        """
        with suppress(WardianError):
            self.freeze()
        for host_pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(host_pid, signal.SIGKILL)
        with suppress(KernelRefused):  # v1 lets the dead go only then; the group may be gone
            self.thaw()

    # --- what it tells -------------------------------------------------------------------

    def _pressure(self) -> dict[str, Pressure]:
        """Of the v2 half: it counts processes, whichever half limits them."""
        if (unified := self._paths.get("unified")) is None:
            return {}
        texts = {each: self._files.text(f"{unified}/{each}.pressure") for each in RESOURCES}
        found = {each: Pressure.from_text(text or "") for each, text in texts.items()}
        return {each: pressure for each, pressure in found.items() if pressure is not None}

    def event_files(self) -> list[Path]:
        wanted = ("memory.oom_control", "memory.events", "pids.events")
        paths = [folder / name for name in wanted for folder in self._paths.values()]
        return [path for path in paths if path.exists()]

    @property
    def tells_of_forks(self) -> bool:
        # Since Linux 6.11 v1's pids.events is not marked as modified (kernel/cgroup/pids.c marks
        # events_local_file, which no file of v1 is).
        return "pids" not in self._paths

    def close(self) -> None:
        self._files.close()

    def remove(self) -> None:
        self.close()
        for path in self._paths.values():
            remove_directory(path)


def controllers(limits: Limits) -> list[str]:
    """Those that the usual limits need."""
    times = (limits.cpus, limits.cpu_quota_usec, limits.cpu_period_usec)
    wanted = {
        "memory": (limits.memory_bytes, limits.memory_reservation_bytes),
        "cpu": (*times, limits.cpu_shares),
        "cpuset": (limits.cpuset_cpus,),
        "pids": (limits.pids,),
    }
    return [name for name, values in wanted.items() if any(each is not None for each in values)]
