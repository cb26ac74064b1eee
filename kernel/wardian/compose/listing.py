"""What there is of a project, and what it prints: ``ps``, ``logs``, ``top``, ``port``."""

from __future__ import annotations

import select
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from wardian.cli.params import format_option
from wardian.cli.program import Command
from wardian.compose.choice import Choice, containers_of, one_of, services_argument
from wardian.errors import NotFound

if TYPE_CHECKING:
    from wardian.runtime.client import Client
    from wardian.runtime.messages import ContainerInfo

_POLL_S = 0.1
COLUMNS = {
    "Name": "NAME",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "Service": "SERVICE",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "Ports": "PORTS",
}


@click.command(cls=Command)
@click.option("-a", "--all", "show_all", is_flag=True, help="Also those that do not run.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("--services", "only_services", is_flag=True, help="Only the services' names.")
@format_option
@services_argument
@click.pass_obj
def ps(
    choice: Choice,
    *,
    services: tuple[str, ...],
    show_all: bool,
    quiet: bool,
    only_services: bool,
    style: str | None,
) -> None:
    """List the project's containers."""
    import time

    from wardian.cli.format import emit
    from wardian.cli.listing import row_of
    from wardian.compose.specs import PROJECT, SERVICE
    from wardian.runtime.client import Client

    with Client.connect() as client:
        infos = containers_of(client, choice.project_name(), services, one_off=show_all)
    now_s = time.time()
    rows = [
        {
            **row_of(info, now_s),
            "ID": info.id,
            "Name": info.name,
            "Service": info.spec.labels.get(SERVICE, ""),
            "Project": info.spec.labels.get(PROJECT, ""),
            "ExitCode": info.exit_code or 0,
        }
        for info in infos
        if show_all or info.host_pid is not None
    ]
    only = "Service" if only_services else "ID" if quiet else None
    emit(rows, COLUMNS, style=style, quiet_field=only)


@click.command(cls=Command)
@click.option("-f", "--follow", is_flag=True, help="Go on until they end.")
@click.option("-n", "--tail", default="all", metavar="N", help="Only the last N lines of each.")
@click.option("-t", "--timestamps", is_flag=True, help="Print when each line was printed.")
@click.option("--no-log-prefix", is_flag=True, help="Do not begin lines with who printed them.")
@services_argument
@click.pass_obj
def logs(
    choice: Choice,
    *,
    services: tuple[str, ...],
    follow: bool,
    tail: str,
    timestamps: bool,
    no_log_prefix: bool,
) -> None:
    """Print what services have printed, each line after the name of its container."""
    from wardian.cli.logs import count
    from wardian.runtime.client import Client

    last = count(tail)
    with Client.connect() as client, suppress(KeyboardInterrupt):
        infos = containers_of(client, choice.project_name(), services)
        print_logs(
            client,
            infos,
            follow=follow,
            last=last,
            timestamps=timestamps,
            has_prefix=not no_log_prefix,
        )


def print_logs(
    client: Client,
    infos: Sequence[ContainerInfo],
    *,
    follow: bool,
    last: int | None,
    timestamps: bool = False,
    has_prefix: bool = True,
    until_first: bool = False,
) -> None:
    """Print what was printed and, following, what comes: until all end, or the first does."""
    from wardian.cli.logs import LogReader
    from wardian.compose.running import number_of, service_of

    names = [f"{service_of(info)}-{number_of(info)}" for info in infos]
    width = max(map(len, names), default=0)
    readers = []
    for info, name in zip(infos, names, strict=True):
        prefix = f"{name.ljust(width)}  | " if has_prefix else ""
        reader = LogReader(client.container(info.id), timestamps=timestamps, prefix=prefix)
        reader.print_kept(last=last)
        readers.append(reader)
    while follow and readers:
        left = [reader for reader in readers if not reader.step()]
        if until_first and len(left) < len(readers):
            return
        readers = left
        select.select([], [], [], _POLL_S)


@click.command(cls=Command)
@services_argument
@click.pass_obj
def top(choice: Choice, *, services: tuple[str, ...]) -> None:
    """List the processes of services, container by container."""
    from wardian.cli.format import emit
    from wardian.cli.top import COLUMNS as PROCESS_COLUMNS
    from wardian.cli.top import rows_of
    from wardian.runtime.client import Client

    with Client.connect() as client:
        infos = containers_of(client, choice.project_name(), services)
    for info in infos:
        if info.host_pid is not None:
            click.echo(info.name)
            emit(rows_of(info), PROCESS_COLUMNS, style=None)
            click.echo()


@click.command(cls=Command)
@click.option("--protocol", default="tcp", type=click.Choice(["tcp", "udp"]), help="tcp or udp.")
@click.option("--index", type=click.IntRange(min=1), metavar="N", help="Of which container.")
@click.argument("service")
@click.argument("private_port", metavar="PRIVATE_PORT")
@click.pass_obj
def port(
    choice: Choice, *, service: str, private_port: str, protocol: str, index: int | None
) -> None:
    """Print where on the host a service's port is published: 0.0.0.0:8080."""
    from wardian.cli.networking import hosts_of
    from wardian.runtime.client import Client

    with Client.connect() as client:
        info = one_of(client, choice.project_name(), service, index)
    wanted = f"{private_port}/{protocol}"
    found = [one for one in info.published if one.name == wanted]
    if not found:
        raise NotFound(
            f"container {info.name} has not published {wanted[:60]}",
            hint="`wardian compose ps` lists the ports",
        )
    click.echo(f"{next(hosts_of(found[0]))}:{found[0].host_port}")
