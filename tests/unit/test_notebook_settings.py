"""Settings of a notebook: who says what, and which of two rungs counts."""

from __future__ import annotations

import pytest

from wardian.errors import InvalidInput
from wardian.jupyter.settings import RUNGS, Settings
from wardian.runtime.doctor import Rung


def test_rungs_are_those_of_the_doctor() -> None:
    assert tuple(rung.value for rung in Rung) == RUNGS


@pytest.mark.parametrize(
    ("hub", "notebook", "counts"),
    [
        (None, None, None),
        (None, "rootless", "rootless"),
        ("pod", None, "pod"),
        ("pod", "bare", "pod"),
        ("pod", "full", "full"),
    ],
)
def test_stricter_rung_wins(hub: str | None, notebook: str | None, counts: str | None) -> None:
    settings = Settings.from_environment({"WARDIAN_REQUIRE": hub} if hub else {})
    assert settings.with_words({"require": notebook} if notebook else None).require == counts


def test_unknown_rung_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not a rung: best"):
        Settings().with_words({"require": "best"})
