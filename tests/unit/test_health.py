"""What answers of healthchecks come to, and how flags and images ask for them."""

from __future__ import annotations

from typing import Any

import pytest

from wardian.cli import health as flags
from wardian.errors import InvalidInput
from wardian.runtime.health import Health, Healthcheck, HealthStatus, Probe

STARTING, HEALTHY, UNHEALTHY = HealthStatus
CHECK = Healthcheck(test=("CMD", "true"), retries=2, start_period_s=10.0)


def after(*answers: tuple[float, int], check: Healthcheck = CHECK) -> Health:
    """The health of a container that started at 100, by (seconds after, exit code)."""
    health = Health()
    for when, code in answers:
        probe = Probe(began_at=100 + when, ended_at=101 + when, exit_code=code, output="")
        health = health.after(probe, check, ran_s=when)
    return health


@pytest.mark.parametrize(
    ("answers", "status", "streak"),
    [
        ([], STARTING, 0),
        ([(20, 0)], HEALTHY, 0),
        ([(20, 1)], STARTING, 1),
        ([(20, 1), (21, 1)], UNHEALTHY, 2),
        ([(20, 1), (21, 1), (22, 0)], HEALTHY, 0),
        ([(20, 0), (21, 1)], HEALTHY, 1),
        ([(20, 0), (21, -1), (22, 7)], UNHEALTHY, 2),
        ([(1, 1), (2, 1), (3, 1)], STARTING, 0),  # within the start period
        ([(1, 0), (2, 1), (3, 1)], UNHEALTHY, 2),  # which a success ends
    ],
)
def test_answers_come_to_what_docker_makes_of_them(
    answers: list[tuple[float, int]], status: HealthStatus, streak: int
) -> None:
    health = after(*answers)
    assert (health.status, health.failing_streak) == (status, streak)


def test_last_five_answers_are_remembered() -> None:
    health = after(*((20.0 + number, number) for number in range(8)))
    assert [probe.exit_code for probe in health.log] == [3, 4, 5, 6, 7]


def test_next_start_forgets_the_status_and_keeps_the_log() -> None:
    again = after((20, 1), (21, 1)).started()
    assert (again.status, again.failing_streak, len(again.log)) == (STARTING, 0, 2)


def test_probes_come_faster_while_a_container_starts() -> None:
    check = Healthcheck(test=("CMD", "true"), start_period_s=10.0, start_interval_s=0.5)
    assert check.delay_s(Health(), 1.0) == 0.5
    assert check.delay_s(Health(), 11.0) == 30.0
    assert check.delay_s(Health(status=HEALTHY), 1.0) == 30.0


IMAGE = {
    "Healthcheck": {
        "Test": ["CMD", "probe", "--fast"],
        "Interval": 2_000_000_000,
        "Timeout": 500_000_000,
        "Retries": 7,
    },
    "Shell": ["/bin/ash", "-ec"],
}


def test_images_healthcheck_is_taken_and_flags_go_before_it() -> None:
    usual = flags.check({}, IMAGE)
    assert usual is not None
    assert (usual.argv, usual.interval_s, usual.timeout_s) == (("probe", "--fast"), 2.0, 0.5)
    assert (usual.retries, usual.start_period_s, usual.start_interval_s) == (7, 0.0, 5.0)
    ours = flags.check({"health_cmd": "mine", "health_interval": "1m30s"}, IMAGE)
    assert ours is not None
    assert (ours.test, ours.argv) == (("CMD-SHELL", "mine"), ("/bin/ash", "-ec", "mine"))
    assert (ours.interval_s, ours.timeout_s) == (90.0, 0.5)


@pytest.mark.parametrize(
    ("given", "config"),
    [
        ({}, {}),
        ({"no_healthcheck": True}, IMAGE),
        ({}, {"Healthcheck": {"Test": ["NONE"]}}),
        ({}, {"Healthcheck": {"Test": []}}),
        ({"health_interval": "3s"}, {}),
        ({}, {"Healthcheck": ["CMD", "true"]}),
        ({}, {"Healthcheck": {"Test": ["CMD", 7]}}),
    ],
)
def test_there_is_no_healthcheck(given: dict[str, Any], config: dict[str, Any]) -> None:
    assert flags.check(given, config) is None


def test_number_of_zero_is_none() -> None:
    asked = {"health_cmd": "x", "health_interval": "0", "health_retries": 0}
    check = flags.check(asked, {})
    assert check == Healthcheck(test=("CMD-SHELL", "x"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"health_cmd": "x", "no_healthcheck": True}, "exclude each other"),
        ({"health_cmd": "x", "health_interval": "often"}, "not a duration: 'often'"),
        ({"health_cmd": "x", "health_interval": "-3s"}, "not a duration: '-3s'"),
        ({"health_cmd": "x", "health_timeout": "3us"}, "the healthcheck's timeout is too short"),
    ],
)
def test_wrong_words_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        flags.check(given, {})
