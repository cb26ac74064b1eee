"""The words of ``wardian compose``; those that bring a project up, down and to its images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import click
from msgspec.structs import replace

from wardian.cli.program import Command, Entry, LazyGroup, Sections, complain
from wardian.compose.choice import Choice, containers_of, say, services_argument
from wardian.compose.life import timeout_option
from wardian.errors import InvalidInput, WardianError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wardian.compose.project import Project, Service
    from wardian.compose.running import Application
    from wardian.runtime.client import Client


def _entry(target: str, summary: str) -> Entry:
    return Entry(f"wardian.compose.{target}", summary)


class ComposeGroup(LazyGroup):
    """Docker compose's commands."""

    sections: ClassVar[Sections] = {
        "Commands": {
            "up": _entry("command:up", "Build, create and start what the file describes."),
            "down": _entry("command:down", "Stop and remove containers and networks."),
            "ps": _entry("listing:ps", "List the project's containers."),
            "logs": _entry("listing:logs", "Print what services have printed."),
            "top": _entry("listing:top", "List the processes of services."),
            "port": _entry("listing:port", "Print where a port is published."),
            "exec": _entry("one_off:execute", "Run a program in a service's container."),
            "run": _entry("one_off:run", "Run a program in a new container of a service."),
            "build": _entry("command:build", "Build the images of services."),
            "pull": _entry("command:pull", "Get the images of services from their registries."),
            "config": _entry("config:config", "Show the file as it is understood."),
            "start": _entry("life:start", "Start services that were stopped."),
            "stop": _entry("life:stop", "Stop services; containers stay."),
            "restart": _entry("life:restart", "Stop services and start them again."),
            "kill": _entry("life:kill", "Send a signal to services."),
            "rm": _entry("life:rm", "Remove containers that have stopped."),
        }
    }


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


@click.command(cls=Command)
@click.option("-d", "--detach", is_flag=True, help="Do not follow it.")
@click.option("--build", is_flag=True, help="Build images again.")
@click.option("--no-build", is_flag=True, help="Build none, even one that is not here.")
@click.option("--force-recreate", is_flag=True, help="Make containers anew that are as described.")
@click.option("--no-recreate", is_flag=True, help="Leave containers that are there as they are.")
@click.option("--no-deps", is_flag=True, help="Without what these services depend on.")
@click.option("--no-start", is_flag=True, help="Only make them.")
@click.option("--remove-orphans", is_flag=True, help="Remove containers of no service.")
@click.option("--scale", "scales", multiple=True, metavar="SERVICE=N", help="How many of it.")
@click.option("--wait", is_flag=True, help="Until all are healthy; with -d.")
@click.option("--wait-timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="At most.")
@click.option("--abort-on-container-exit", is_flag=True, help="Stop all when one has ended.")
@click.option("--exit-code-from", metavar="SERVICE", help="Exit as it does; likewise.")
@click.option("--no-log-prefix", is_flag=True, help="Do not begin lines with who printed them.")
@timeout_option
@services_argument
@click.pass_obj
def up(choice: Choice, /, *, services: tuple[str, ...], detach: bool, **flags: Any) -> int:
    """Build, create and start what the file describes, and print what it prints.

    What runs as it is described is left alone. In the foreground ctrl-c stops all.

    \b
    wardian compose up -d --scale worker=3
    wardian compose -f app.yaml -p test up --build web
    """  # noqa: D301
    from wardian.compose.ordering import wanted
    from wardian.compose.running import Application, Wish
    from wardian.runtime.client import Client

    _check(detach=detach, flags=flags)
    project = _scaled(choice.load()[0], flags["scales"])
    chosen = wanted(project, services, choice.profiles_chosen(), alone=flags["no_deps"])
    wish = Wish(
        build=flags["build"],
        may_build=not flags["no_build"],
        recreate=flags["force_recreate"],
        may_recreate=not flags["no_recreate"],
        start=not flags["no_start"],
        timeout_s=flags["timeout_s"],
    )
    with Client.connect() as client:
        application = Application(client, project, say, wish)
        _orphans(client, project, remove_them=flags["remove_orphans"])
        application.up(chosen)
        if flags["wait"]:
            _wait(application, chosen, flags["wait_timeout"])
        if detach or flags["wait"] or flags["no_start"]:
            return 0
        return _follow(application, chosen, flags)


def _check(*, detach: bool, flags: dict[str, Any]) -> None:
    follows = flags["abort_on_container_exit"] or flags["exit_code_from"]
    for is_odd, what in (
        (flags["force_recreate"] and flags["no_recreate"], "--force-recreate and --no-recreate"),
        (flags["build"] and flags["no_build"], "--build and --no-build"),
        (detach and follows, "--detach and --abort-on-container-exit"),
    ):
        if is_odd:
            raise InvalidInput(f"{what} exclude each other", hint="leave out one of them")


def _scaled(project: Project, words: Sequence[str]) -> Project:
    """The project with other numbers of containers. InvalidInput, NotFound."""
    from wardian.compose.reading import MAX_SCALE

    services = dict(project.services)
    for word in words:
        name, _, digits = word.partition("=")
        service = project.service(name)
        is_number = digits.isascii() and digits.isdigit() and len(digits) < 9
        if not is_number or int(digits) > MAX_SCALE:
            raise InvalidInput(f"not a scale: {word[:60]!r}", hint=f"like {name[:40]}=3")
        if service.container_name and int(digits) > 1:
            what = f"service {name}: {digits} containers cannot have one name"
            raise InvalidInput(what, hint="take container_name out")
        services[name] = replace(service, scale=int(digits))
    return replace(project, services=services)


def _wait(application: Application, chosen: Sequence[Service], timeout_s: float | None) -> None:
    for service in chosen:
        for container in application.containers(service.name) if service.scale else ():
            if container.info.spec.healthcheck is not None:
                application.wait_healthy(service.name, container, timeout_s=timeout_s)


def _follow(application: Application, chosen: Sequence[Service], flags: dict[str, Any]) -> int:
    """Print what they print until all have ended; with a flag, until one has."""
    from wardian.compose.listing import print_logs
    from wardian.compose.running import service_of, stop

    client, whose = application.client, flags["exit_code_from"]
    names = [service.name for service in chosen if service.scale]
    infos = containers_of(client, application.project.name, names) if names else []
    if whose:
        application.containers(whose)  # NotFound, before anything is waited for
    aborts = bool(flags["abort_on_container_exit"] or whose)
    try:
        print_logs(
            client,
            infos,
            follow=True,
            last=None,
            has_prefix=not flags["no_log_prefix"],
            until_first=aborts,
        )
    except KeyboardInterrupt:
        stop(client, infos, say, timeout_s=flags["timeout_s"])
        return 130
    if not aborts:
        return 0
    ended = [info for info in infos if client.container(info.id).info.host_pid is None]
    stop(client, infos, say, timeout_s=flags["timeout_s"])
    counted = [info for info in infos if service_of(info) == whose] if whose else ended
    codes = [client.container(info.id).info.exit_code or 0 for info in counted]
    return max(codes, default=0)


def _orphans(client: Client, project: Project, *, remove_them: bool) -> None:
    from wardian.compose.running import containers, remove, service_of

    for info in containers(client, project.name, one_off=remove_them):
        if service_of(info) in project.services:
            continue
        if remove_them:
            remove(client, info, say)
        else:
            what = f"container {info.name} is of no service in the file"
            complain(what, "--remove-orphans removes it")


@click.command(cls=Command)
@click.option(
    "-v", "--volumes", is_flag=True, help="Remove its volumes, too: their files are lost."
)
@click.option("--remove-orphans", is_flag=True, help="As always: containers of no service, too.")
@timeout_option
@click.pass_obj
def down(
    choice: Choice,
    *,
    volumes: bool,
    remove_orphans: bool,  # noqa: ARG001  # docker's word for what is done anyway
    timeout_s: float | None,
) -> None:
    """Stop and remove the project's containers and networks. Volumes stay unless -v is given."""
    from wardian.compose.running import down as take_down
    from wardian.runtime.client import Client

    name = choice.project_name()
    with Client.connect() as client:
        take_down(client, name, say, volumes=volumes, timeout_s=timeout_s)


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
@click.option("-q", "--quiet", is_flag=True, help="Say nothing of how it goes.")
@click.option("--policy", type=click.Choice(["always", "missing"]), help="When (always).")
@click.option("--include-deps", is_flag=True, help="Also of what these services depend on.")
@click.option("--ignore-buildable", is_flag=True, help="Not of services that have a build.")
@click.option("--ignore-pull-failures", is_flag=True, help="Go on where one cannot be got.")
@services_argument
@click.pass_obj
def pull(
    choice: Choice,
    *,
    services: tuple[str, ...],
    quiet: bool,
    policy: str | None,
    include_deps: bool,
    ignore_buildable: bool,
    ignore_pull_failures: bool,
) -> None:
    """Get the images of services from their registries."""
    from wardian.cli.images import image_store
    from wardian.cli.pulling import ensure
    from wardian.compose.ordering import wanted

    project, _ = choice.load()
    chosen = wanted(project, services, choice.profiles_chosen(), alone=not include_deps)
    store = image_store()
    for service in chosen:
        is_own = service.build is not None and service.image == f"{project.name}-{service.name}"
        if is_own or (service.build is not None and ignore_buildable):
            say("Image", service.image, "Skipped: it is built")
            continue
        try:
            ensure(store, service.image, pull=policy or "always", quiet=quiet)
        except WardianError as error:
            if not ignore_pull_failures:
                raise
            complain(error.what, error.hint)
        else:
            say("Image", service.image, "Pulled")
