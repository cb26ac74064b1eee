"""``wardian stats``: what containers use, against their limits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from wardian.cli.params import complete_container, format_option
from wardian.cli.program import Command
from wardian.errors import WardianError

if TYPE_CHECKING:
    from wardian.observe.frames import ResourcesFrame
    from wardian.observe.resources import ResourcesSampler
    from wardian.runtime.client import Client
    from wardian.runtime.messages import ContainerInfo

PERIOD_S = 0.5  # a rate is over the last second at most
FIRST_WINDOW_S = 0.25  # no rate is known before the second reading
COLUMNS = {
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPU": "CPU % OF ONE CORE (THROTTLED %)",
    "Memory": "MEMORY CURRENT / LIMIT (PEAK)",
    "MemPerc": "MEM %",
    "PIDs": "PIDS / LIMIT",
}


# What only --format shows.
RARER = (
    *("io_read_bytes", "io_written_bytes", "hugetlb_bytes"),
    *("cpu_pressure_percent", "memory_pressure_percent", "io_pressure_percent"),
)


@click.command(cls=Command)
@click.option("-a", "--all", "show_all", is_flag=True, help="Also those that do not run.")
@click.option("--no-stream", is_flag=True, help="Print once and leave.")
@click.option("--no-trunc", is_flag=True, help="Whole ids.")
@format_option
@click.argument("names", metavar="[CONTAINER]...", nargs=-1, shell_complete=complete_container)
def stats(
    *,
    names: tuple[str, ...],
    show_all: bool,
    no_stream: bool,
    no_trunc: bool,
    style: str | None,
) -> None:
    """Watch memory, CPU and processes of containers against their limits.

    Figures come from the containers' cgroups; what this machine does not tell is `-`, never 0.
    """
    from wardian.runtime.client import Client

    with Client.connect() as client:
        _check(client, names)
        watch = Watch(client, names, show_all=show_all, is_whole=no_trunc)
        watch.read()
        time.sleep(FIRST_WINDOW_S)
        if no_stream:
            _print(watch.read(), style)
        else:
            _stream(watch, style)


def _check(client: Client, names: tuple[str, ...]) -> None:
    for name in names:
        client.container(name)


def _print(rows: list[dict[str, Any]], style: str | None) -> None:
    from wardian.cli.format import emit

    emit(rows, COLUMNS, style=style)


def _stream(watch: Watch, style: str | None) -> None:
    import sys

    if style not in (None, "table") or not sys.stdout.isatty():
        while True:
            _print(watch.read(), style)
            sys.stdout.flush()
            time.sleep(PERIOD_S)
    from rich.live import Live

    from wardian.cli.format import rich_table

    with Live(auto_refresh=False, screen=True) as live:
        while True:
            rows = watch.read()
            cells = [[str(row[field]) for field in COLUMNS] for row in rows]
            live.update(rich_table(cells, list(COLUMNS.values())), refresh=True)
            time.sleep(PERIOD_S)


class _Gauge(msgspec.Struct):
    info: ContainerInfo
    sampler: ResourcesSampler


class Watch:
    """Reads the figures of the containers that are asked for, again and again."""

    def __init__(
        self, client: Client, names: tuple[str, ...], *, show_all: bool, is_whole: bool
    ) -> None:
        self._client = client
        self._names = names
        self._show_all = show_all
        self._is_whole = is_whole
        self._gauges: dict[tuple[str, int], _Gauge] = {}

    def read(self) -> list[dict[str, Any]]:
        """A row for each container."""
        return list(self._rows())

    def _rows(self) -> Iterator[dict[str, Any]]:
        from wardian.observe.resources import ResourcesSampler
        from wardian.observe.subject import Subject

        wanted = self._wanted()
        running = {(info.id, info.host_pid): info for info in wanted if info.host_pid}
        self._gauges = {key: gauge for key, gauge in self._gauges.items() if key in running}
        for info in wanted:
            frame = None
            if info.host_pid is not None:
                key = (info.id, info.host_pid)
                if key not in self._gauges:
                    self._gauges[key] = _Gauge(info, ResourcesSampler(Subject.of(info)))
                try:
                    frame = self._gauges[key].sampler.sample()
                except WardianError:  # it ended between the two questions
                    frame = None
            yield row_of(info, frame, is_whole=self._is_whole)

    def _wanted(self) -> list[ContainerInfo]:
        infos = self._client.list()
        if self._names:
            return [
                info
                for info in infos
                if any(name == info.name or info.id.startswith(name) for name in self._names)
            ]
        return [info for info in infos if self._show_all or info.host_pid is not None]


def row_of(
    info: ContainerInfo, frame: ResourcesFrame | None, *, is_whole: bool = False
) -> dict[str, Any]:
    """A container's figures in docker's fields, and as numbers."""
    from wardian.observe.quantities import binary_size

    current = frame.memory_current_bytes if frame else None
    limit = frame.memory_limit_bytes if frame else None
    peak = frame.memory_peak_bytes if frame else None
    usage = f"{binary_size(current)} / {_or_unlimited(frame, binary_size(limit), limit)}"
    cpu = _percent(frame.cpu_percent if frame else None)
    throttled = _percent(frame.throttled_percent if frame else None)
    pids, most = (frame.pids_current, frame.pids_limit) if frame else (None, None)
    memory_percent = None if current is None or not limit else 100 * current / limit
    return {
        "ID": info.id if is_whole else info.id[:12],
        "Name": info.name,
        "Container": info.id if is_whole else info.id[:12],
        "CPUPerc": cpu,
        "CPU": f"{cpu} ({throttled})",
        "MemUsage": usage,
        "Memory": f"{usage} ({binary_size(peak)})",
        "MemPerc": _percent(memory_percent),
        "NetIO": _both(*(_network_bytes(info) if frame else (None, None))),
        "BlockIO": _both(
            frame.io_read_bytes if frame else None, frame.io_written_bytes if frame else None
        ),
        "PIDs": f"{_or_dash(pids)} / {_or_unlimited(frame, str(most), most)}",
        "memory_current_bytes": current,
        "memory_limit_bytes": limit,
        "memory_peak_bytes": peak,
        "cpu_percent": frame.cpu_percent if frame else None,
        "throttled_percent": frame.throttled_percent if frame else None,
        "pids_current": pids,
        "pids_limit": most,
        "oom_kills": frame.oom_kills if frame else None,
        **{field: getattr(frame, field, None) for field in RARER},
    }


def _network_bytes(info: ContainerInfo) -> tuple[int | None, int | None]:
    """Received and sent over all links but the loopback (proc(5), net/dev); None on the host's."""
    from wardian.runtime.spec import Network

    if info.spec.network is Network.HOST:
        return None, None
    try:
        lines = Path(f"/proc/{info.host_pid}/net/dev").read_text().splitlines()[2:]
    except OSError:  # it has ended
        return None, None
    links = [line.partition(":") for line in lines]
    counts = [numbers.split() for name, _, numbers in links if name.strip() != "lo"]
    return sum(int(count[0]) for count in counts), sum(int(count[8]) for count in counts)


def _both(first: int | None, second: int | None) -> str:
    from wardian.observe.quantities import decimal_size

    return f"{decimal_size(first)} / {decimal_size(second)}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}%"


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)


def _or_unlimited(frame: ResourcesFrame | None, text: str, limit: int | None) -> str:
    if limit is not None:
        return text
    return "-" if frame is None else "unlimited"
