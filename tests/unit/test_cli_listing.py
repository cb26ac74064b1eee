from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from wardian.cli.listing import row_of, status_of
from wardian.cli.selection import select
from wardian.cli.stats import row_of as stats_row
from wardian.cli.words import Filter
from wardian.errors import WardianError
from wardian.network.definition import Attachment, Port
from wardian.runtime.health import Health, HealthStatus
from wardian.runtime.messages import ContainerInfo
from wardian.runtime.spec import Bind, ContainerSpec, ProcessSpec
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
        "started_at": 9000.0,  # by a clock that was set back since
        "ran_s": 120.0,
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
        ([("name", "^w.b$")], True),
        ([("name", "w[")], False),
        ([("name", "x"), ("name", "web")], True),
        ([("name", "web"), ("status", "exited")], False),
        ([("label", "tier=front"), ("label", "empty")], True),
        ([("label", "tier=front"), ("label", "nosuch")], False),
        ([("label", "tier=back")], False),
        ([("id", "0123")], True),
        ([("ancestor", "wardian/base:latest")], True),
        ([("ancestor", "wardian/base")], True),
        ([("ancestor", "wardian/busybox")], False),
        ([("exited", "0")], False),
        ([("status", "running")], True),
        ([("health", "none")], True),
        ([("health", "healthy")], False),
        ([("volume", "/srv")], True),
        ([("volume", "/data")], True),
        ([("volume", "/nosuch")], False),
        ([("network", "lab")], True),
        ([("network", "none")], False),
        ([("publish", "8080")], True),
        ([("publish", "80")], False),
        ([("publish", "8000-9000/tcp")], True),
        ([("expose", "80/tcp")], True),
        ([("expose", "80/udp")], False),
        ([("before", "later")], True),
        ([("before", "earlier")], False),
        ([("since", "earlier")], True),
        ([("since", "web")], False),
    ],
)
def test_filters_are_or_within_a_key_and_and_between_keys(
    *, wanted: list[tuple[str, str]], hit: bool, tmp_path: Path
) -> None:
    web = info(
        created_at=50.0,
        spec=replace(
            info().spec,
            binds=(Bind(source="/data", target="/srv"),),
            attachments=(Attachment(network="lab"),),
            ports=(Port(container_port=80, host_port=8080),),
        ),
    )
    others = [
        info(name="earlier", id="e", created_at=10.0),
        info(name="later", id="f", created_at=90.0),
    ]
    chosen = select([web, *others], [Filter(*one) for one in wanted], tmp_path)
    assert (web in chosen) is hit


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("status", "asleep", "not a status: 'asleep'"),
        ("health", "ill", "not a health: 'ill'"),
        ("exited", "x", "not an exit code: 'x'"),
        ("publish", "90-80", "not ports: '90-80'"),
        ("expose", "80/sctp", "not ports: '80/sctp'"),
        ("before", "nosuch", "no such container: nosuch"),
    ],
)
def test_wrong_value_of_a_filter_is_said(key: str, value: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(WardianError, match=said):
        select([info()], [Filter(key, value)], tmp_path)


@pytest.mark.parametrize(
    ("health", "said"),
    [
        (HealthStatus.STARTING, "Up 2 minutes (health: starting)"),
        (HealthStatus.HEALTHY, "Up 2 minutes (healthy)"),
        (HealthStatus.UNHEALTHY, "Up 2 minutes (unhealthy)"),
    ],
)
def test_health_is_told_beside_the_status(health: HealthStatus, said: str) -> None:
    assert status_of(info(health=Health(status=health)), 220.0) == said


def test_figures_of_a_container_that_does_not_run_are_unknown_not_zero() -> None:
    row = stats_row(info(host_pid=None), None)
    assert (row["CPU"], row["Memory"], row["PIDs"]) == ("- (-)", "- / - (-)", "- / -")
    assert row["memory_current_bytes"] is None
