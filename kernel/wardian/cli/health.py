"""Healthchecks in the words of flags, images, tables and `inspect`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from wardian.errors import InvalidInput
from wardian.runtime.health import USUAL_SHELL, Healthcheck

if TYPE_CHECKING:
    from wardian.runtime.health import Health
    from wardian.runtime.messages import ContainerInfo

F = TypeVar("F", bound=Callable[..., Any])
HEALTH_NAMES = (
    *("health_cmd", "health_interval", "health_timeout", "health_start_period"),
    *("health_start_interval", "health_retries", "no_healthcheck"),
)
# The fields that are durations: ours, and docker's in nanoseconds.
_DURATIONS = {
    "interval_s": "Interval",
    "timeout_s": "Timeout",
    "start_period_s": "StartPeriod",
    "start_interval_s": "StartInterval",
}
_NS = 10**9


def health_options(function: F) -> F:
    """``--health-…`` and ``--no-healthcheck``."""
    options = (
        click.option(
            "--health-cmd", metavar="COMMAND", help="A line for its shell; well if it exits with 0."
        ),
        click.option("--health-interval", metavar="TIME", help="How long between two (30s)."),
        click.option("--health-timeout", metavar="TIME", help="How long one may take (30s)."),
        click.option(
            "--health-start-period", metavar="TIME", help="How long failures do not count (0s)."
        ),
        click.option(
            "--health-start-interval", metavar="TIME", help="Between two in that time (5s)."
        ),
        click.option(
            "--health-retries", type=click.IntRange(min=0), help="How many failures in a row (3)."
        ),
        click.option("--no-healthcheck", is_flag=True, help="Not even the image's."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def check(flags: Mapping[str, Any], config: Mapping[str, Any]) -> Healthcheck | None:
    """What the flags ask for, and where they are silent the image. Raises InvalidInput.

    As docker has it, a number of 0 is none, and ``NONE`` in the image is no healthcheck.
    """
    from wardian.cli.words import duration_s

    asked = {
        field: seconds
        for field in _DURATIONS
        if (word := flags.get(f"health_{field.removesuffix('_s')}"))
        and (seconds := duration_s(word))
    }
    if flags.get("health_retries"):
        asked["retries"] = flags["health_retries"]
    command = flags.get("health_cmd")
    if flags.get("no_healthcheck"):
        if asked or command:
            raise InvalidInput(
                "--no-healthcheck and --health-… exclude each other", hint="leave out one of them"
            )
        return None
    usual = _of_image(config)
    test = ("CMD-SHELL", command) if command else usual.pop("test", ())
    if test in ((), ("NONE",)):
        return None
    return Healthcheck(**{**usual, **asked, "test": test, "shell": _shell(config)})


def _of_image(config: Mapping[str, Any]) -> dict[str, Any]:
    """The image may say anything; what is not as docker writes it does not count."""
    said = config.get("Healthcheck")
    if not isinstance(said, Mapping):
        return {}
    found: dict[str, Any] = {
        field: nanoseconds / _NS
        for field, name in _DURATIONS.items()
        if isinstance(nanoseconds := said.get(name), int) and nanoseconds > 0
    }
    retries = said.get("Retries")
    if isinstance(retries, int) and retries > 0:
        found["retries"] = retries
    test = said.get("Test")
    if isinstance(test, list) and all(isinstance(word, str) for word in test):
        found["test"] = tuple(test)
    return found


def _shell(config: Mapping[str, Any]) -> tuple[str, ...]:
    said = config.get("Shell")
    is_one = isinstance(said, list) and said and all(isinstance(word, str) for word in said)
    return tuple(said) if is_one and isinstance(said, list) else USUAL_SHELL


def health_of(info: ContainerInfo) -> str:
    """``starting``, ``healthy``, ``unhealthy``; ``none`` without a healthcheck."""
    return info.health.status.value if info.health else "none"


def remark(info: ContainerInfo) -> str:
    """What `ps` adds to the status of a container that runs."""
    health = health_of(info)
    return {"none": "", "starting": " (health: starting)"}.get(health, f" ({health})")


def described_check(asked: Healthcheck) -> dict[str, Any]:
    """``Config.Healthcheck`` of `inspect`."""
    times = {name: round(getattr(asked, field) * _NS) for field, name in _DURATIONS.items()}
    return {"Test": list(asked.test), **times, "Retries": asked.retries}


def described(health: Health) -> dict[str, Any]:
    """``State.Health`` of `inspect`."""
    from wardian.cli.format import timestamp

    return {
        "Status": health.status.value,
        "FailingStreak": health.failing_streak,
        "Log": [
            {
                "Start": timestamp(probe.began_at),
                "End": timestamp(probe.ended_at),
                "ExitCode": probe.exit_code,
                "Output": probe.output,
            }
            for probe in health.log
        ],
    }
