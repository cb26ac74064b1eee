from __future__ import annotations

from typing import Any

import pytest

from wardian.cli.listing import matches, row_of, status_of
from wardian.cli.stats import row_of as stats_row
from wardian.cli.words import Filter
from wardian.runtime.messages import ContainerInfo
from wardian.runtime.spec import ContainerSpec, ProcessSpec
from wardian.runtime.state import Status


def info(**changes: Any) -> ContainerInfo:
    """A container of which most is plain."""
    spec = ContainerSpec(
        name="web",
        image="wardian/base",
        lowers=("/l",),
        process=ProcessSpec(argv=("python3", "-m", "http.server", "8000")),
        labels={"tier": "front", "empty": ""},
    )
    facts: dict[str, Any] = {
        "id": "0123456789abcdef",
        "name": "web",
        "image": "wardian/base",
        "status": Status.RUNNING,
        "created_at": 0.0,
        "started_at": 100.0,
        "host_pid": 7,
        "spec": spec,
        "lowers": ("/l",),
        "upper": "/u",
        "work": "/w",
    }
    return ContainerInfo(**{**facts, **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Up 2 minutes"),
        ({"status": Status.PAUSED}, "Up 2 minutes (Paused)"),
        ({"status": Status.CREATED}, "Created"),
        (
            {"status": Status.EXITED, "exit_code": 137, "finished_at": 215.0},
            "Exited (137) 5 seconds ago",
        ),
    ],
)
def test_status_is_in_dockers_words(changes: dict[str, Any], said: str) -> None:
    assert status_of(info(**changes), 220.0) == said


def test_row_cuts_id_and_command_unless_told_not_to() -> None:
    row = row_of(info(), 220.0)
    assert (row["ID"], row["Command"]) == ("0123456789ab", '"python3 -m http.ser…"')
    whole = row_of(info(), 220.0, is_whole=True)
    assert whole["ID"] == "0123456789abcdef"
    assert whole["Command"] == '"python3 -m http.server 8000"'


@pytest.mark.parametrize(
    ("wanted", "hit"),
    [
        ([], True),
        ([("name", "we")], True),
        ([("name", "x"), ("name", "web")], True),
        ([("name", "web"), ("status", "exited")], False),
        ([("label", "tier=front"), ("label", "empty")], True),
        ([("label", "tier=front"), ("label", "nosuch")], False),
        ([("label", "tier=back")], False),
        ([("id", "0123")], True),
        ([("ancestor", "wardian/base:latest")], False),
        ([("ancestor", "wardian/base")], True),
        ([("exited", "0")], False),
    ],
)
def test_filters_are_or_within_a_key_and_and_between_keys(
    *, wanted: list[tuple[str, str]], hit: bool
) -> None:
    assert matches(info(), [Filter(*one) for one in wanted]) is hit


def test_figures_of_a_container_that_does_not_run_are_unknown_not_zero() -> None:
    row = stats_row(info(host_pid=None), None)
    assert (row["CPU"], row["Memory"], row["PIDs"]) == ("- (-)", "- / - (-)", "- / -")
    assert row["memory_current_bytes"] is None
