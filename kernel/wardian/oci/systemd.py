"""A scope of systemd's as the container's cgroup: StartTransientUnit over D-Bus, by busctl(1).

Wherever systemd runs busctl comes with it, so no D-Bus library is needed. Root talks to the
system's manager, a user to their own.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from wardian.cgroups.limits import Limits
from wardian.errors import InvalidInput, SetupError

_MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1")
_INTERFACE = "org.freedesktop.systemd1.Manager"
PATIENCE_S = 10.0
# A property's name, its D-Bus type and its value, as busctl takes them.
Property = tuple[str, ...]


class Scope(msgspec.Struct, frozen=True):
    """``linux.cgroupsPath`` as systemd's managers have it: ``slice:prefix:name``."""

    slice: str
    unit: str

    @classmethod
    def of(cls, path: str, container_id: str) -> Scope:
        """By runc's rules; InvalidInput for another form."""
        usual = "system.slice" if os.geteuid() == 0 else "user.slice"
        parts = path.split(":") if path else ["", "wardian-oci", container_id]
        if len(parts) != 3 or not parts[2] or "/" in path:
            raise InvalidInput(
                f"config.json: linux.cgroupsPath {path[:80]!r} is not slice:prefix:name",
                hint="--cgroup-manager=systemd wants it like system.slice:runc:name",
            )
        folder, prefix, name = parts
        return cls(folder or usual, f"{prefix}-{name}.scope" if prefix else f"{name}.scope")

    @property
    def path(self) -> str:
        """Below the hierarchy's top: ``a-b.slice`` lies in ``a.slice`` (systemd.slice(5))."""
        stem = self.slice.removesuffix(".slice")
        if stem in ("", "-"):
            return self.unit
        words = stem.split("-")
        if not self.slice.endswith(".slice") or "" in words or "/" in stem:
            raise InvalidInput(f"config.json: linux.cgroupsPath: {self.slice[:80]!r} is no slice")
        steps = ["-".join(words[:end]) + ".slice" for end in range(1, len(words) + 1)]
        return "/".join([*steps, self.unit])


def control_group() -> str:
    """The manager's own group, below which all of its slices are."""
    said = _busctl("get-property", *_MANAGER, _INTERFACE, "ControlGroup")
    path = said.strip().removeprefix("s ").strip('"')
    if not path.startswith("/") and path:
        raise _missing(f"its ControlGroup is {path[:80]!r}")
    return path.rstrip("/")


def start(scope: Scope, host_pid: int, limits: Limits, description: str) -> None:
    """Have systemd make the scope with a process in it, and wait until it has."""
    properties: list[Property] = [
        ("Description", "s", description),
        ("Slice", "s", scope.slice),
        ("Delegate", "b", "true"),
        ("DefaultDependencies", "b", "false"),
        ("PIDs", "au", "1", str(host_pid)),
        *_limits(limits),
    ]
    words = [word for each in properties for word in each]
    call = ["StartTransientUnit", "ssa(sv)a(sa(sv))", scope.unit, "replace"]
    _call(*call, str(len(properties)), *words, "0")
    deadline = time.monotonic() + PATIENCE_S
    while scope.unit not in Path(f"/proc/{host_pid}/cgroup").read_text():
        if time.monotonic() > deadline:
            raise SetupError(f"systemd did not put the container into {scope.unit}")
        time.sleep(0.002)


def update(unit: str, limits: Limits) -> None:
    """Let systemd know of other limits, so that it does not write the old ones again."""
    properties = _limits(limits)
    words = [word for each in properties for word in each]
    if properties:
        _call("SetUnitProperties", "sba(sv)", unit, "true", str(len(properties)), *words)


def stop(unit: str) -> None:
    """Have systemd forget the scope; it may have, as one without processes goes by itself."""
    for words in (("StopUnit", "ss", unit, "replace"), ("ResetFailedUnit", "s", unit)):
        try:
            _call(*words)
        except SetupError as error:
            if "not loaded" not in error.what:
                raise


def _limits(limits: Limits) -> list[Property]:
    """Those that systemd knows too; all are written by us."""
    quota, period = limits.quota_and_period_usec()
    known: dict[str, int | None] = {
        "MemoryMax": limits.memory_bytes,
        "TasksMax": limits.pids,
        "CPUQuotaPerSecUSec": quota * 1_000_000 // period if quota else None,
    }
    return [(name, "t", str(value)) for name, value in known.items() if value is not None]


def _call(method: str, *words: str) -> None:
    _busctl("call", *_MANAGER, _INTERFACE, method, *words)


def _busctl(*words: str) -> str:
    import subprocess

    manager = "--system" if os.geteuid() == 0 else "--user"
    try:
        done = subprocess.run(
            ["busctl", manager, *words], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise _missing("busctl is not installed") from None
    if done.returncode:
        raise _missing((done.stderr.strip().splitlines() or ["no answer"])[-1])
    return done.stdout


def _missing(why: str) -> SetupError:
    return SetupError(
        f"systemd's manager cannot be asked for a cgroup: {why}",
        hint="use --cgroup-manager=cgroupfs where systemd does not run",
    )
