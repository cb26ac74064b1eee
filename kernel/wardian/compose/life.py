"""Where a project's containers stand: ``start``, ``stop``, ``restart``, ``kill``, ``rm``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from wardian.cli.program import Command
from wardian.compose.choice import Choice, containers_of, say, services_argument

if TYPE_CHECKING:
    from wardian.runtime.messages import ContainerInfo


def timeout_option(function: Any) -> Any:
    """``-t``."""
    return click.option(
        *("-t", "--timeout", "timeout_s"),
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help="How long to wait before SIGKILL (what the file says, or 10).",
    )(function)


@click.command(cls=Command)
@services_argument
@click.pass_obj
def start(choice: Choice, *, services: tuple[str, ...]) -> None:
    """Start services that were stopped; their files are as they were."""
    from wardian.compose.running import begin
    from wardian.runtime.client import Client

    with Client.connect() as client:
        for info in containers_of(client, choice.project_name(), services):
            if info.host_pid is None:
                begin(client.container(info.id), say)


@click.command(cls=Command)
@timeout_option
@services_argument
@click.pass_obj
def stop(choice: Choice, *, services: tuple[str, ...], timeout_s: float | None) -> None:
    """Stop services, the latest first; containers and their files stay."""
    from wardian.compose.running import stop as stop_all
    from wardian.runtime.client import Client

    with Client.connect() as client:
        infos = containers_of(client, choice.project_name(), services)
        stop_all(client, infos, say, timeout_s=timeout_s)


@click.command(cls=Command)
@timeout_option
@services_argument
@click.pass_obj
def restart(choice: Choice, *, services: tuple[str, ...], timeout_s: float | None) -> None:
    """Stop services and start them again."""
    from wardian.compose.running import begin
    from wardian.compose.running import stop as stop_all
    from wardian.runtime.client import Client

    with Client.connect() as client:
        infos = containers_of(client, choice.project_name(), services)
        stop_all(client, infos, say, timeout_s=timeout_s)
        for info in infos:
            begin(client.container(info.id), say)


@click.command(cls=Command)
@click.option("-s", "--signal", "word", default="SIGKILL", metavar="SIGNAL", show_default=True)
@services_argument
@click.pass_obj
def kill(choice: Choice, *, services: tuple[str, ...], word: str) -> None:
    """Send a signal to the main processes of services; SIGKILL ends them."""
    from wardian.linux.signal_names import signal_number
    from wardian.runtime.client import Client

    signal = signal_number(word)
    with Client.connect() as client:
        for info in containers_of(client, choice.project_name(), services, one_off=True):
            if info.host_pid is not None:
                client.container(info.id).kill(signal)
                say("Container", info.name, "Killed")


@click.command(cls=Command)
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("-s", "--stop", "stops", is_flag=True, help="Stop those that run, too.")
@click.option("-v", "--volumes", is_flag=True, help="Their anonymous volumes, too.")
@services_argument
@click.pass_obj
def rm(
    choice: Choice, *, services: tuple[str, ...], force: bool, stops: bool, volumes: bool
) -> None:
    """Remove containers of services that have stopped."""
    from wardian.compose.running import remove
    from wardian.runtime.client import Client

    with Client.connect() as client:
        infos = containers_of(client, choice.project_name(), services, one_off=True)
        going = [info for info in infos if stops or info.host_pid is None]
        if not going:
            click.echo("No stopped containers", err=True)
        elif force or _is_wanted(going):
            for info in reversed(going):
                remove(client, info, say, volumes=volumes)


def _is_wanted(infos: list[ContainerInfo]) -> bool:
    click.echo(f"Going to remove {', '.join(info.name for info in infos)}", err=True)
    return click.confirm("Are you sure?", err=True)
