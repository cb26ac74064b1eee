"""``wardian ps``."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from wardian.cli.health import health_of, remark
from wardian.cli.networking import networks_of, ports_of
from wardian.cli.params import format_option
from wardian.cli.program import Command

if TYPE_CHECKING:
    from wardian.cli.words import Filter
    from wardian.runtime.messages import ContainerInfo

SHORT_ID = 12
COMMAND_CHARS = 20
COLUMNS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "Ports": "PORTS",
    "Names": "NAMES",
}


@click.command(cls=Command)
@click.option("-a", "--all", "show_all", is_flag=True, help="Also those that do not run.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option(
    *("-f", "--filter", "filter_words"),
    multiple=True,
    metavar="KEY=VALUE",
    help="name=, id=, status=, label=, ancestor= (an image), exited= (a code).",
)
@click.option("--no-trunc", is_flag=True, help="Whole ids and commands.")
@click.option("-n", "--last", type=click.IntRange(min=1), metavar="N", help="The N latest, all.")
@format_option
def ps(
    *,
    show_all: bool,
    quiet: bool,
    filter_words: tuple[str, ...],
    no_trunc: bool,
    last: int | None,
    style: str | None,
) -> None:
    """List containers, the latest first.

    \b
    wardian ps -a --filter status=exited -q
    wardian ps --format '{{.Names}}: {{.Status}}'
    """  # noqa: D301
    from wardian.cli.format import emit
    from wardian.cli.words import filters
    from wardian.runtime.client import Client

    wanted = filters(filter_words, TESTS)
    is_status_asked = any(one.key in ("status", "exited") for one in wanted)
    with Client.connect() as client:
        found = client.list()[::-1]
    if not (show_all or last or is_status_asked):
        found = [info for info in found if info.host_pid is not None]
    chosen = [info for info in found if matches(info, wanted)][:last]
    now_s = time.time()
    rows = [row_of(info, now_s, is_whole=no_trunc) for info in chosen]
    emit(rows, COLUMNS, style=style, quiet_field="ID" if quiet else None)


def row_of(info: ContainerInfo, now_s: float, *, is_whole: bool = False) -> dict[str, Any]:
    """A container in docker's fields."""
    from wardian.cli.format import duration, timestamp
    from wardian.observe.label import label

    main = info.spec.process
    command = label(" ".join(main.argv)) if main else ""
    if not is_whole and len(command) > COMMAND_CHARS:
        command = command[: COMMAND_CHARS - 1] + "…"
    return {
        "ID": info.id if is_whole else info.id[:SHORT_ID],
        "Image": label(info.image),
        "Command": f'"{command}"' if main else "",
        "CreatedAt": timestamp(info.created_at),
        "RunningFor": f"{duration(now_s - info.created_at)} ago",
        "State": info.status.value,
        "Health": health_of(info),
        "Status": status_of(info, now_s),
        "Names": info.name,
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(info.spec.labels.items())),
        "Mounts": ",".join(bind.source for bind in info.spec.binds),
        "Networks": ",".join(networks_of(info)),
        "Ports": ports_of(info),
        "Keep": info.spec.keep.value,
    }


def status_of(info: ContainerInfo, now_s: float) -> str:
    """``Up 3 minutes``, ``Exited (0) 5 seconds ago``, as docker says it."""
    from wardian.cli.format import duration
    from wardian.runtime.state import Status

    match info.status:
        case Status.CREATED:
            return "Created"
        case Status.EXITED:
            ago = duration(now_s - (info.finished_at or now_s))
            return f"Exited ({info.exit_code}) {ago} ago"
        case Status.PAUSED | Status.RUNNING:
            up = f"Up {duration(now_s - (info.started_at or now_s))}"
            return f"{up} (Paused)" if info.status is Status.PAUSED else f"{up}{remark(info)}"


def _has_label(info: ContainerInfo, value: str) -> bool:
    key, equals, wanted = value.partition("=")
    return key in info.spec.labels and (not equals or info.spec.labels[key] == wanted)


TESTS: dict[str, Callable[[Any, str], bool]] = {
    "name": lambda info, value: value in info.name,
    "id": lambda info, value: info.id.startswith(value),
    "status": lambda info, value: info.status.value == value,
    "label": _has_label,
    "ancestor": lambda info, value: info.image in (value, f"{value}:latest"),
    "health": lambda info, value: health_of(info) == value,
    "exited": lambda info, value: info.finished_at is not None and str(info.exit_code) == value,
}


def matches(info: ContainerInfo, wanted: Sequence[Filter]) -> bool:
    """Docker's rule: one of the values given for a key must match, for labels every one."""
    by_key: dict[str, list[bool]] = defaultdict(list)
    for one in wanted:
        by_key[one.key].append(TESTS[one.key](info, one.value))
    return all(all(hits) if key == "label" else any(hits) for key, hits in by_key.items())
