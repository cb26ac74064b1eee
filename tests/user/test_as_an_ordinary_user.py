"""Lifecycle, namespaces, root file system, cgroups and security once more, without being root."""

from __future__ import annotations

import pytest

from tests.reports import Outcome, junit_name
from tests.user.conftest import TIMEOUT_S


@pytest.mark.timeout(TIMEOUT_S + 60)
def test_passes_for_an_ordinary_user(
    request: pytest.FixtureRequest, user_test: str, user_outcomes: dict[str, Outcome]
) -> None:
    user_outcomes[junit_name(user_test)].judge(request.node)
