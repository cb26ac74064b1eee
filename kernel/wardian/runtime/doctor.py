"""What this host allows, found out by trying, and the line that lifts what it does not.

The ladder has four rungs. ``full``: containers have ids of their own and share layers by id maps.
``rootless``: containers by a user without privileges. ``pod``: containers that borrow this
machine's /proc, as the kernel refuses a fresh one. ``bare``: no containers.
"""

from __future__ import annotations

import enum
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from wardian.errors import SetupError
from wardian.runtime.probes.finding import Area, Finding, Host, Outcome, Report, Weight
from wardian.runtime.probes.remedies import REMEDIES

PATIENCE_S = 120.0
# What decides between full and rootless, or can be had by another state directory.
NOT_OF_THE_HOST = (
    "state directory",
    "layers on the state directory",
    "id-mapped layers",
    "id maps",
)


class Rung(enum.Enum):
    """How much of a container this host allows; the highest first."""

    FULL = "full"
    ROOTLESS = "rootless"
    POD = "pod"
    BARE = "bare"


MEANING = {
    Rung.FULL: "containers with ids of their own, layers shared by id maps",
    Rung.ROOTLESS: "containers by a user without privileges",
    Rung.POD: "containers, but no fresh /proc: they see this machine's, read-only",
    Rung.BARE: "no containers: cells run as plain processes on this host",
}


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One finding with its meaning: what is lost (``loss``) and the line that lifts it.

    ``needs`` names the probe that failed before, so that this was not tried.
    """

    name: str
    area: Area
    weight: Weight
    outcome: Outcome
    detail: str
    loss: str = ""
    lift: str = ""
    needs: str = ""

    @property
    def is_blocking(self) -> bool:
        """Whether no container can be started because of it."""
        return self.outcome is Outcome.MISSING and self.weight is Weight.ESSENTIAL


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """The rung, why it is no higher, and every probe."""

    rung: Rung
    meaning: str
    host: Host
    probes: tuple[Probe, ...]

    @property
    def blocking(self) -> tuple[Probe, ...]:
        """What keeps every container from starting, the first to be lifted first."""
        return tuple(probe for probe in self.probes if probe.is_blocking)

    @property
    def not_isolated(self) -> tuple[str, ...]:
        """What cells share with this host, if it is on the bare rung."""
        if self.rung is not Rung.BARE:
            return ()
        has_landlock = any(probe.name == "Landlock" and not probe.loss for probe in self.probes)
        files = "they write to their own directories alone, and read no home (Landlock)"
        return (
            f"files: {files if has_landlock else 'all that this user may read and write'}",
            "processes: they see this host's",
            "network: this host's",
            "not there: root, images, layers, limits of CPU and processes",
        )

    def lift_to(self, rung: Rung) -> str:
        """The first line that is in the way of a rung which this host is not on."""
        lifts = [probe.lift for probe in self.blocking]
        named = ("fresh /proc", *(("id maps", "id-mapped layers") if rung is Rung.FULL else ()))
        lifts += [probe.lift for name in named for probe in self.probes if probe.name == name]
        return next(filter(None, lifts), "start Jupyter as root")

    @property
    def not_in_force(self) -> tuple[Probe, ...]:
        """Promises that are not kept here, though containers can be started."""
        return tuple(
            probe
            for probe in self.probes
            if probe.outcome is not Outcome.WORKS
            and probe.weight is not Weight.EXTRA
            and not probe.is_blocking
        )


def diagnose(root: Path) -> Diagnosis:
    """Try everything for the state directory ``root``; half a second, and nothing is left behind.

    May be called from a process with threads: the trying is done by another one. Raises
    SetupError if that cannot be run.
    """
    report = _probe(root)
    by_name = {finding.name: finding for finding in report.findings}
    found = [_interpret(finding, by_name, report.host) for finding in report.findings]
    order = list(Area)
    probes = tuple(sorted(found, key=lambda probe: order.index(probe.area)))
    rung = rung_of(report.findings, report.host)
    return Diagnosis(rung=rung, meaning=MEANING[rung], host=report.host, probes=probes)


def _probe(root: Path) -> Report:
    command = [sys.executable, "-P", "-m", "wardian.runtime.probes", os.path.abspath(root)]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE_S)
        return msgspec.json.decode(done.stdout, type=Report)
    except (OSError, subprocess.TimeoutExpired, msgspec.MsgspecError) as error:
        raise SetupError(
            "the probes cannot be run",
            hint=f"try `{sys.executable} -m wardian.runtime.probes /tmp`",
        ) from error


def _interpret(finding: Finding, by_name: Mapping[str, Finding], host: Host) -> Probe:
    """What was not tried is lifted by lifting what it needs."""
    remedy = REMEDIES[finding.name]
    is_whole = finding.outcome is Outcome.WORKS
    cause = by_name[finding.needs] if finding.needs else finding
    return Probe(
        name=finding.name,
        area=remedy.area,
        weight=remedy.weight,
        outcome=finding.outcome,
        detail=finding.detail,
        loss="" if is_whole else remedy.loss,
        lift="" if is_whole else REMEDIES[cause.name].lift(cause, host),
        needs=finding.needs,
    )


def rung_of(findings: tuple[Finding, ...], host: Host) -> Rung:
    """The rung by what works. The state directory is not a matter of the host: it can be moved."""
    works = {finding.name: finding.outcome for finding in findings}
    needed = [
        name
        for name, remedy in REMEDIES.items()
        if remedy.weight is Weight.ESSENTIAL and name not in NOT_OF_THE_HOST
    ]
    if any(works[name] is Outcome.MISSING for name in needed):
        return Rung.BARE
    if works["fresh /proc"] is Outcome.MISSING:
        return Rung.POD
    if works["overlay"] is Outcome.MISSING:
        return Rung.ROOTLESS  # nothing is shared
    # Where the state directory carries no layers at all, it says nothing of id maps.
    is_untold = works["layers on the state directory"] is Outcome.MISSING
    shares_layers = works["id-mapped layers"] is Outcome.WORKS or is_untold
    is_full = host.owns_ids and works["id maps"] is Outcome.WORKS and shares_layers
    return Rung.FULL if is_full else Rung.ROOTLESS


def short_reason(diagnosis: Diagnosis) -> str:
    """Why no container starts here and the line that lifts it, for one message; "" if one can."""
    if not diagnosis.blocking:
        return ""
    first = diagnosis.blocking[0]
    detail = f" ({first.detail})" if first.detail else ""
    return f"{first.name}: {first.loss}{detail}\nhint: {first.lift}"
