"""The time of day jumps by hours, forth and back: nothing ends early, late or is lost.

The clock is set where it is nobody else's: in the guest of tests/vm. What a session does is tested
in tests/hub, where a library tells one user's programs another time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from tests.linux.conftest import wait_until
from tests.linux.program import Wardian, out
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.health import Health, Healthcheck, HealthStatus
from wardian.runtime.spec import ContainerSpec, ProcessSpec

pytestmark = pytest.mark.skipif(
    "WARDIAN_OWN_CLOCK" not in os.environ, reason="the clock is everybody's on this machine"
)
HOUR_S = 3600.0
Jump = Callable[[float], None]


@pytest.fixture
def jump() -> Iterator[Jump]:
    """Set the machine's clock so many hours on; it is as before when the test is over."""
    jumps_s = []

    def by(hours: float) -> None:
        jumps_s.append(hours * HOUR_S)
        time.clock_settime(time.CLOCK_REALTIME, time.time() + jumps_s[-1])

    yield by
    time.clock_settime(time.CLOCK_REALTIME, time.time() - sum(jumps_s))


def health(container: Container) -> Health:
    found = container.info.health
    assert found is not None
    return found


def test_start_periods_and_run_times_are_those_that_really_passed(
    client: Client, spec: ContainerSpec, wardian: Wardian, jump: Jump
) -> None:
    sleep = ProcessSpec(argv=("sleep", "1000"))
    fails = Healthcheck(
        test=("CMD", "false"), interval_s=0.2, start_interval_s=0.2, start_period_s=900.0, retries=1
    )
    slow = client.run(replace(spec, name="slow", process=sleep, healthcheck=fails))
    check = replace(fails, start_period_s=5.0)
    quick = client.run(replace(spec, name="quick", process=sleep, healthcheck=check))
    jump(-7)
    wait_until(lambda: health(quick).status is HealthStatus.UNHEALTHY)
    jump(12)
    seen = health(slow).log[-1]
    wait_until(lambda: seen not in health(slow).log)
    assert health(slow).status is HealthStatus.STARTING, "its start period is not over"
    told = out(wardian("ps", "--format", "{{.Names}} {{.Status}}"))
    assert "hour" not in told, told
    for container in (slow, quick):
        assert container.stop(timeout_s=1.0) in (137, 143)
        container.remove()
