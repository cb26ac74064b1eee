"""``wardian ps``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from wardian.cli.health import health_of, remark
from wardian.cli.mounted import mounts_in_brief
from wardian.cli.networking import networks_of, ports_of
from wardian.cli.params import format_option
from wardian.cli.program import Command

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from wardian.runtime.messages import ContainerInfo

    Everybody = Sequence[ContainerInfo]

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
SIZE_COLUMN = {"Size": "SIZE"}


@click.command(cls=Command)
@click.option("-a", "--all", "show_all", is_flag=True, help="Also those that do not run.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option(
    *("-f", "--filter", "filter_words"),
    multiple=True,
    metavar="KEY=VALUE",
    help="id, name, label, status, health, exited, ancestor (an image), before, since,"
    " volume, network, publish, expose.",
)
@click.option("--no-trunc", is_flag=True, help="Whole ids and commands.")
@click.option("-n", "--last", type=click.IntRange(min=-1), metavar="N", help="The N latest, all.")
@click.option("-l", "--latest", is_flag=True, help="The latest, also if it does not run.")
@click.option("-s", "--size", is_flag=True, help="What its files take: its own, and all layers'.")
@format_option
def ps(
    *,
    show_all: bool,
    quiet: bool,
    filter_words: tuple[str, ...],
    no_trunc: bool,
    last: int | None,
    latest: bool,
    size: bool,
    style: str | None,
) -> None:
    """List containers, the latest first.

    \b
    wardian ps -a --filter status=exited -q
    wardian ps --filter health=unhealthy --filter publish=8000-8080
    wardian ps --format '{{.Names}}: {{.Status}}'
    """  # noqa: D301
    from wardian.cli.disk import container_sizer
    from wardian.cli.format import emit, is_asked
    from wardian.runtime.client import Client

    pick = _picker(filter_words)
    last = 1 if latest else last if last and last > 0 else None
    asks_ended = any(word.partition("=")[0] in ("status", "exited") for word in filter_words)
    shows_ended = show_all or last or asks_ended
    with Client.connect() as client:
        everybody = client.list()[::-1]
    chosen = [
        info for info in pick(everybody, client.root) if shows_ended or info.host_pid is not None
    ][:last]
    now_s = time.time()
    sizer = container_sizer() if size or is_asked("Size", style) else None
    rows = [row_of(info, now_s, is_whole=no_trunc, sizer=sizer) for info in chosen]
    columns = {**COLUMNS, **(SIZE_COLUMN if size else {})}
    emit(rows, columns, style=style, quiet_field="ID" if quiet else None)


def _picker(filter_words: tuple[str, ...]) -> Callable[[Everybody, Path], Everybody]:
    """What passes the filters; whoever has none does not wait for their import."""
    if not filter_words:
        return lambda everybody, _root: everybody
    from wardian.cli.selection import TESTS, select
    from wardian.cli.words import filters

    wanted = filters(filter_words, TESTS)
    return lambda everybody, root: select(everybody, wanted, root)


def row_of(
    info: ContainerInfo,
    now_s: float,
    *,
    is_whole: bool = False,
    sizer: Callable[[ContainerInfo], tuple[int, int]] | None = None,
) -> dict[str, Any]:
    """A container in docker's fields; what its files take if there is a ``sizer``."""
    from wardian.cli.format import duration, labels_in_brief, timestamp
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
        "Labels": labels_in_brief(info.spec.labels),
        "Label": lambda key: info.spec.labels.get(key, ""),
        "Mounts": mounts_in_brief(info.spec),
        "Networks": ",".join(networks_of(info)),
        "Ports": ports_of(info),
        "Keep": info.spec.keep.value,
        "Size": _sizes(*sizer(info)) if sizer else "",
    }


def _sizes(own_bytes: int, all_bytes: int) -> str:
    from wardian.observe.quantities import decimal_size

    return f"{decimal_size(own_bytes)} (virtual {decimal_size(all_bytes)})"


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
            up = f"Up {duration(info.ran_s)}"
            return f"{up} (Paused)" if info.status is Status.PAUSED else f"{up}{remark(info)}"
