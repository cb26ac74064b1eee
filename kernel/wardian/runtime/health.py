"""Healthchecks: what is asked of a container from time to time, and what its answers come to."""

from __future__ import annotations

import enum

import msgspec
from msgspec.structs import replace

from wardian.errors import InvalidInput

# Docker's.
REMEMBERED_PROBES = 5
MAX_OUTPUT_BYTES = 4096
TIMED_OUT = -1
SHORTEST_INTERVAL_S = 0.001
USUAL_SHELL = ("/bin/sh", "-c")


class HealthStatus(enum.Enum):
    """Docker's words."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class Healthcheck(msgspec.Struct, frozen=True, kw_only=True):
    """A program that exits with 0 in a container that is well.

    ``test`` is docker's: ``CMD`` and the program's words, or ``CMD-SHELL`` and a line for the
    ``shell``. Within ``start_period_s`` of the start failures do not count, and it is asked every
    ``start_interval_s``. After ``retries`` failures in a row the container is unhealthy.
    """

    test: tuple[str, ...]
    shell: tuple[str, ...] = USUAL_SHELL
    interval_s: float = 30.0
    timeout_s: float = 30.0
    start_period_s: float = 0.0
    start_interval_s: float = 5.0
    retries: int = 3

    def __post_init__(self) -> None:
        kind, *words = self.test or ("",)
        if kind not in ("CMD", "CMD-SHELL") or not words:
            raise InvalidInput(
                f"not a healthcheck: {' '.join(self.test)[:80]!r}",
                hint="give a program after CMD, or a line for the shell after CMD-SHELL",
            )
        for name in ("interval", "timeout", "start_interval"):
            if getattr(self, f"{name}_s") < SHORTEST_INTERVAL_S:
                word = name.replace("_", "-")
                raise InvalidInput(f"the healthcheck's {word} is too short", hint="at least 1ms")
        if self.start_period_s < 0 or self.retries < 1:
            raise InvalidInput("a healthcheck's start period and retries cannot be negative")

    @property
    def argv(self) -> tuple[str, ...]:
        """What is run."""
        kind, *words = self.test
        return tuple(words) if kind == "CMD" else (*self.shell, *words)

    def delay_s(self, health: Health, ran_s: float) -> float:
        """How long to wait for the next probe of a container that has run so long."""
        is_starting = health.status is HealthStatus.STARTING and ran_s < self.start_period_s
        return self.start_interval_s if is_starting else self.interval_s


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. Times are seconds since the epoch; -1 is the exit code of one cut short."""

    began_at: float
    ended_at: float
    exit_code: int
    output: str


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How a container is, by its latest answers; the latest is last."""

    status: HealthStatus = HealthStatus.STARTING
    failing_streak: int = 0
    log: tuple[Probe, ...] = ()

    def after(self, probe: Probe, check: Healthcheck, *, ran_s: float) -> Health:
        """How it is with one answer more, asked for when the container had run so long.

        Docker's rule (moby, daemon/health.go).
        """
        log = (*self.log, probe)[-REMEMBERED_PROBES:]
        if probe.exit_code == 0:
            return Health(status=HealthStatus.HEALTHY, log=log)
        status, streak = self.status, self.failing_streak
        is_excused = ran_s < check.start_period_s
        if status is not HealthStatus.STARTING or not is_excused:
            streak += 1
        if streak >= check.retries:
            status = HealthStatus.UNHEALTHY
        return Health(status=status, failing_streak=streak, log=log)

    def started(self) -> Health:
        """The container starts (again); what was answered before is still told."""
        return Health(log=self.log)

    def ended(self) -> Health:
        """The container has ended, which docker calls unhealthy."""
        return replace(self, status=HealthStatus.UNHEALTHY)

    def in_brief(self) -> Health:
        """Without the answers."""
        return replace(self, log=())
