"""Lifecycle and cgroup tests on a host with cgroup v2, as every current distribution has it."""

from __future__ import annotations

import pytest

from tests.reports import Outcome, junit_name
from tests.vm.guest import TIMEOUT_S


@pytest.mark.timeout(TIMEOUT_S + 60)
def test_passes_on_a_cgroup_v2_host(
    request: pytest.FixtureRequest, guest_test: str, guest_outcomes: dict[str, Outcome]
) -> None:
    guest_outcomes[junit_name(guest_test)].judge(request.node)
