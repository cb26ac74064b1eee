"""The words of ``wardian compose``."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from wardian.cli.params import format_option, stream_options
from wardian.cli.program import Command, Entry, LazyGroup, Sections
from wardian.errors import NotFound

if TYPE_CHECKING:
    from wardian.compose.document import Document
    from wardian.compose.project import Project
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


def _entry(name: str, summary: str) -> Entry:
    return Entry(f"wardian.compose.command:{name}", summary)


class ComposeGroup(LazyGroup):
    """Docker compose's commands."""

    sections: ClassVar[Sections] = {
        "Commands": {
            "up": _entry("up", "Build, create and start what the file describes."),
            "down": _entry("down", "Stop and remove containers and networks."),
            "ps": _entry("ps", "List the project's containers."),
            "logs": _entry("logs", "Print what services have printed."),
            "exec": _entry("execute", "Run a program in a service's container."),
            "build": _entry("build", "Build the images of services."),
            "config": _entry("config", "Show the file as it is understood."),
            "start": _entry("start", "Start services that were stopped."),
            "stop": _entry("stop", "Stop services; containers stay."),
            "restart": _entry("restart", "Stop services and start them again."),
        }
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which project is meant."""

    files: tuple[str, ...]
    name: str
    directory: str
    env_files: tuple[str, ...]
    profiles: tuple[str, ...]

    def variables(self, directory: Path) -> dict[str, str]:
        """The environment over ``.env``."""
        from wardian.compose.environment import read

        paths = [Path(word) for word in self.env_files]
        if not paths and (directory / ".env").is_file():
            paths = [directory / ".env"]
        found: dict[str, str] = {}
        for path in paths:
            found.update(read(path, {**found, **os.environ}))
        return {**found, **os.environ}

    def load(self) -> tuple[Project, Document]:
        """The project and its tree. Raises WardianError."""
        from wardian.compose import document, reading
        from wardian.compose.project import project_name, usual_name

        words = self.files or tuple(filter(None, os.environ.get("COMPOSE_FILE", "").split(":")))
        paths = [Path(word).absolute() for word in words]
        paths = paths or document.find(Path(self.directory or os.curdir).absolute())
        directory = Path(self.directory).absolute() if self.directory else paths[0].parent
        variables = self.variables(directory)
        found = document.read(paths, variables)
        chosen = self.name or variables.get("COMPOSE_PROJECT_NAME") or found.tree.get("name")
        name = project_name(str(chosen)) if chosen else usual_name(directory)
        project = reading.project(
            found, name=name, directory=directory, files=paths, variables=variables
        )
        return project, found

    def project_name(self) -> str:
        """The name alone: a file is not needed for it."""
        if self.name:
            from wardian.compose.project import project_name

            return project_name(self.name)
        return self.load()[0].name

    def profiles_chosen(self) -> list[str]:
        """Those of the flags, or of the environment."""
        return [*self.profiles] or os.environ.get("COMPOSE_PROFILES", "").split(",")


@click.command(cls=ComposeGroup)
@click.option("-f", "--file", "files", multiple=True, metavar="FILE", help="The compose file(s).")
@click.option("-p", "--project-name", "name", default="", help="The project's name.")
@click.option(
    "--project-directory",
    "directory",
    default="",
    metavar="DIRECTORY",
    help="Where relative paths begin (where the first file is).",
)
@click.option("--env-file", "env_files", multiple=True, metavar="FILE", help="Instead of .env.")
@click.option("--profile", "profiles", multiple=True, metavar="NAME", help="Choose a profile.")
@click.pass_context
def compose(context: click.Context, /, **flags: Any) -> None:
    """Bring up applications of several containers, from ordinary compose files."""  # fmt: skip
    context.obj = Choice(**flags)


def services_argument(function: Any) -> Any:
    """``[SERVICE...]``."""
    return click.argument("services", metavar="[SERVICE...]", nargs=-1)(function)


def say(kind: str, name: str, state: str) -> None:
    """Tell what became of something, on stderr as docker does."""
    click.echo(f" {kind} {name}  {state}", err=True)


@click.command(cls=Command)
@click.option("-d", "--detach", is_flag=True, help="Do not follow it.")
@click.option("--build", is_flag=True, help="Build images again.")
@click.option("--force-recreate", is_flag=True, help="Make containers anew that are as described.")
@click.option("--no-deps", is_flag=True, help="Without what these services depend on.")
@click.option("--no-start", is_flag=True, help="Only make them.")
@click.option("--remove-orphans", is_flag=True, help="Remove containers of no service.")
@click.option("--wait", is_flag=True, help="Until all are healthy; with -d.")
@services_argument
@click.pass_obj
def up(choice: Choice, /, *, services: tuple[str, ...], detach: bool, **flags: bool) -> int:
    """Build, create and start what the file describes, and print what it prints.

    What runs as it is described is left alone. In the foreground ctrl-c stops all.

    \b
    wardian compose up -d
    wardian compose -f app.yaml -p test up --build web
    """  # noqa: D301
    from wardian.compose.ordering import wanted
    from wardian.compose.running import Application, stop
    from wardian.runtime.client import Client

    project, _ = choice.load()
    chosen = wanted(project, services, choice.profiles_chosen(), alone=flags["no_deps"])
    with Client.connect() as client:
        application = Application(client, project, say)
        _orphans(client, project, remove=flags["remove_orphans"])
        application.up(
            chosen,
            build=flags["build"],
            recreate=flags["force_recreate"],
            start=not flags["no_start"],
        )
        if flags["wait"]:
            for service in chosen:
                container = application.container(service.name)
                if container.info.spec.healthcheck is not None:
                    container.wait_healthy()
        if detach or flags["wait"] or flags["no_start"]:
            return 0
        names = [service.name for service in chosen]
        try:
            _print_logs(client, _of(client, project.name, names), follow=True, last=None)
        except KeyboardInterrupt:
            stop(client, _of(client, project.name, names), say)
            return 130
    return 0


def _orphans(client: Client, project: Project, *, remove: bool) -> None:
    from wardian.compose.running import containers, stop
    from wardian.compose.specs import SERVICE

    for info in containers(client, project.name):
        if info.spec.labels.get(SERVICE) in project.services:
            continue
        if remove:
            stop(client, [info], say)
            client.container(info.id).remove(force=True)
            say("Container", info.name, "Removed")
        else:
            what = f"container {info.name} is of no service in the file"
            click.echo(f"wardian: {what}\nhint: --remove-orphans removes it", err=True)


@click.command(cls=Command)
@click.option(
    "-v", "--volumes", is_flag=True, help="Remove its volumes, too: their files are lost."
)
@click.option("--remove-orphans", is_flag=True, help="As always: containers of no service, too.")
@click.pass_obj
def down(choice: Choice, *, volumes: bool, remove_orphans: bool) -> None:  # noqa: ARG001
    """Stop and remove the project's containers and networks. Volumes stay unless -v is given."""
    from wardian.compose.running import down as take_down
    from wardian.runtime.client import Client

    name = choice.project_name()
    with Client.connect() as client:
        take_down(client, name, say, volumes=volumes)


def _of(client: Client, project_name: str, services: Sequence[str]) -> list[ContainerInfo]:
    """The containers of these services, or of all. NotFound for a service without one."""
    from wardian.compose.running import containers
    from wardian.compose.specs import SERVICE

    infos = containers(client, project_name)
    for service in services:
        if not any(info.spec.labels.get(SERVICE) == service for info in infos):
            raise NotFound(
                f"no such service: {service[:128]}", hint="`wardian compose ps -a` lists them"
            )
    return [info for info in infos if not services or info.spec.labels.get(SERVICE) in services]


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
        infos = _of(client, choice.project_name(), services)
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
        infos = _of(client, choice.project_name(), services)
        _print_logs(
            client,
            infos,
            follow=follow,
            last=last,
            timestamps=timestamps,
            has_prefix=not no_log_prefix,
        )


def _print_logs(
    client: Client,
    infos: Sequence[ContainerInfo],
    *,
    follow: bool,
    last: int | None,
    timestamps: bool = False,
    has_prefix: bool = True,
) -> None:
    from wardian.cli.logs import LogReader
    from wardian.compose.specs import NUMBER, SERVICE

    names = [f"{i.spec.labels[SERVICE]}-{i.spec.labels.get(NUMBER, '1')}" for i in infos]
    width = max(map(len, names), default=0)
    readers = []
    for info, name in zip(infos, names, strict=True):
        prefix = f"{name.ljust(width)}  | " if has_prefix else ""
        reader = LogReader(client.container(info.id), timestamps=timestamps, prefix=prefix)
        reader.print_kept(last=last)
        readers.append(reader)
    while follow and readers:
        readers = [reader for reader in readers if not reader.step()]
        select.select([], [], [], _POLL_S)


@click.command("exec", cls=Command, context_settings={"allow_interspersed_args": False})
@stream_options
@click.option("-T", "--no-tty", is_flag=True, help="As always without -t: no terminal.")
@click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="Set a variable.")
@click.option("-w", "--workdir", metavar="PATH", help="Working directory in the container.")
@click.option("-u", "--user", metavar="USER[:GROUP]", help="Name or number to run as.")
@click.argument("service")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def execute(context: click.Context, /, *, service: str, no_tty: bool, **flags: Any) -> int:
    """Run a program in a service's container."""
    from wardian.cli.execute import execute as run
    from wardian.runtime.client import Client

    with Client.connect() as client:
        [info, *_] = _of(client, context.obj.project_name(), [service])
    flags["tty"] = flags["tty"] and not no_tty
    code = context.invoke(run, name=info.id, env_file=(), detach_keys="ctrl-p,ctrl-q", **flags)
    return int(code)


@click.command(cls=Command)
@services_argument
@click.pass_obj
def build(choice: Choice, *, services: tuple[str, ...]) -> None:
    """Build the images of services that have a build."""
    from wardian.compose.running import Application
    from wardian.runtime.client import Client

    project, _ = choice.load()
    names = services or tuple(project.services)
    with Client.connect() as client:
        for name in names:
            Application(client, project, say).ensure_image(project.service(name), build=True)


@click.command(cls=Command)
@click.option("-q", "--quiet", is_flag=True, help="Only say what is wrong.")
@click.option("--services", "only_services", is_flag=True, help="Only the services' names.")
@click.option("--volumes", "only_volumes", is_flag=True, help="Only the volumes' names.")
@click.option("--images", "only_images", is_flag=True, help="Only the images' names.")
@click.pass_obj
def config(
    choice: Choice, *, quiet: bool, only_services: bool, only_volumes: bool, only_images: bool
) -> None:
    """Show the file as it is understood: variables filled in, files put on one another."""
    import yaml

    project, document = choice.load()
    if quiet:
        return
    lists = (
        (only_services, list(project.services)),
        (only_volumes, list(project.volumes)),
        (only_images, [one.image for one in project.services.values()]),
    )
    for is_wanted, names in lists:
        if is_wanted:
            click.echo("\n".join(names))
            return
    tree = {"name": project.name, **document.tree}
    yaml.safe_dump(tree, sys.stdout, sort_keys=False, allow_unicode=True)


@click.command(cls=Command)
@services_argument
@click.pass_obj
def start(choice: Choice, *, services: tuple[str, ...]) -> None:
    """Start services that were stopped; their files are as they were."""
    from wardian.runtime.client import Client

    with Client.connect() as client:
        for info in _of(client, choice.project_name(), services):
            if info.host_pid is None:
                client.container(info.id).start()
                say("Container", info.name, "Started")


@click.command("stop", cls=Command)
@services_argument
@click.pass_obj
def stop(choice: Choice, *, services: tuple[str, ...]) -> None:
    """Stop services, the latest first; containers and their files stay."""
    from wardian.compose.running import stop as stop_all
    from wardian.runtime.client import Client

    with Client.connect() as client:
        stop_all(client, _of(client, choice.project_name(), services), say)


@click.command(cls=Command)
@services_argument
@click.pass_obj
def restart(choice: Choice, *, services: tuple[str, ...]) -> None:
    """Stop services and start them again."""
    from wardian.compose.running import stop as stop_all
    from wardian.runtime.client import Client

    with Client.connect() as client:
        infos = _of(client, choice.project_name(), services)
        stop_all(client, infos, say)
        for info in infos:
            client.container(info.id).start()
            say("Container", info.name, "Started")
