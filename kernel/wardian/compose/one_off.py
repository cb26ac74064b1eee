"""A program in a project: in a service's container (``exec``), or in one made for it (``run``)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec.structs import replace

from wardian.cli.program import Command, complain
from wardian.compose.choice import one_of, say

if TYPE_CHECKING:
    from wardian.cli.request import Request
    from wardian.compose.project import Project, Service
    from wardian.compose.running import Application
    from wardian.runtime.client import Client
    from wardian.runtime.container import Container
    from wardian.runtime.spec import ContainerSpec

SETTINGS = {"allow_interspersed_args": False}


def _has_terminal(*, no_tty: bool) -> bool:
    """Docker's rule: where we have one, so has the program."""
    return not no_tty and os.isatty(0) and os.isatty(1)


def _own_options(function: Any) -> Any:
    """What ``exec`` and ``run`` share."""
    options = (
        click.option("-d", "--detach", is_flag=True, help="Do not follow it."),
        click.option("-T", "--no-tty", "--no-TTY", "no_tty", is_flag=True, help="No terminal."),
        click.option("-i", "--interactive/--no-interactive", default=True, help="Our input."),
        click.option(
            "-t", "--tty", is_flag=True, help="As always where there is one.", hidden=True
        ),
        click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="Set a variable."),
        click.option("-w", "--workdir", metavar="PATH", help="Working directory."),
        click.option("-u", "--user", metavar="USER[:GROUP]", help="Name or number to run as."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.command("exec", cls=Command, context_settings=SETTINGS)
@_own_options
@click.option("--index", type=click.IntRange(min=1), metavar="N", help="In which container.")
@click.option("--privileged", is_flag=True, hidden=True)
@click.argument("service")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def execute(
    context: click.Context, /, *, service: str, no_tty: bool, index: int | None, **flags: Any
) -> int:
    """Run a program in a service's container, with our terminal if we have one."""
    from wardian.cli.execute import execute as run_there
    from wardian.runtime.client import Client

    with Client.connect() as client:
        info = one_of(client, context.obj.project_name(), service, index)
    flags["tty"] = flags["tty"] or _has_terminal(no_tty=no_tty)
    usual = {"env_file": (), "detach_keys": "ctrl-p,ctrl-q"}
    return int(context.invoke(run_there, name=info.id, **usual, **flags))


class _Errand(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done by a container made for it, and how."""

    command: tuple[str, ...]
    flags: dict[str, Any]
    name: str
    detach: bool
    remove: bool
    service_ports: bool
    use_aliases: bool

    def request(self, usual: Request) -> Request:
        """The service's own words, with those of the command line instead or besides."""
        flags = self.flags
        changes: dict[str, Any] = {
            key: flags[key] for key in ("user", "workdir") if flags[key] is not None
        }
        for key in ("env", "volume", "label", "cap_add", "cap_drop"):
            changes[key] = (*getattr(usual, key), *flags[key])
        if self.command or flags["entrypoint"] is not None:
            changes["command"] = self.command
        if flags["entrypoint"] is not None:
            changes["entrypoint"] = flags["entrypoint"]
        if not self.service_ports:
            changes["publish"] = ()
        changes["publish"] = (*changes.get("publish", usual.publish), *flags["publish"])
        streams = {"tty": flags["tty"], "interactive": flags["interactive"]}
        return replace(usual, restart="no", **streams, **changes)

    def spec(self, client: Client, project: Project, service: Service) -> ContainerSpec:
        """The container to be. Raises WardianError."""
        from wardian.cli import images
        from wardian.cli.request import keep_of
        from wardian.compose import specs

        request = self.request(specs.request_of(client, project, service))
        image, lowers = images.obtain(client.root, service.image, **request.pulling)
        name = self.name or f"{project.name}-{service.name}-run-{os.urandom(6).hex()}"
        life = keep_of(detach=self.detach, remove=self.remove)
        spec = request.spec(image, lowers, name, **life)
        spec = specs.described(spec, project, service, image.digest)
        attachments = spec.attachments
        if not self.use_aliases:  # who asks for the service is not to be led here
            attachments = tuple(replace(one, aliases=()) for one in attachments)
        labels = {**spec.labels, specs.ONE_OFF: "True"}
        return replace(spec, attachments=attachments, labels=labels)


@click.command("run", cls=Command, context_settings=SETTINGS)
@_own_options
@click.option("--rm", "remove", is_flag=True, help="Remove the container when it has ended.")
@click.option("--no-deps", is_flag=True, help="Without what the service depends on.")
@click.option("--build", is_flag=True, help="Build its image again.")
@click.option("--name", default="", metavar="NAME", help="What the container is called.")
@click.option("--entrypoint", metavar="WORD", help="Instead of the service's.")
@click.option("-v", "--volume", multiple=True, metavar="SOURCE:TARGET", help="Mount something.")
@click.option("-p", "--publish", multiple=True, metavar="HOST:PORT", help="Publish a port.")
@click.option("-P", "--service-ports", is_flag=True, help="Publish the service's own ports.")
@click.option("--use-aliases", is_flag=True, help="Be found by the service's names.")
@click.option("-l", "--label", multiple=True, metavar="KEY=VALUE", help="Note something.")
@click.option("--cap-add", multiple=True, metavar="CAP", help="Give a capability more.")
@click.option("--cap-drop", multiple=True, metavar="CAP", help="Take a capability away.")
@click.argument("service")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run(
    context: click.Context,
    /,
    *,
    service: str,
    command: tuple[str, ...],
    no_tty: bool,
    no_deps: bool,
    build: bool,
    **flags: Any,
) -> int:
    """Run one program in a new container of a service, after what that depends on.

    \b
    wardian compose run --rm web python3 -m unittest

    The service's ports are not published, unless -P is given.
    """  # noqa: D301
    from wardian.compose.ordering import wanted
    from wardian.compose.running import Application
    from wardian.runtime.client import Client

    project, _ = context.obj.load()
    detach = flags["detach"]
    flags["tty"] = not detach and (flags["tty"] or _has_terminal(no_tty=no_tty))
    names = ("name", "detach", "remove", "service_ports", "use_aliases")
    own = {name: flags.pop(name) for name in names}
    errand = _Errand(command=command, flags=flags, **own)
    one = project.service(service)
    with Client.connect() as client:
        application = Application(client, project, say)
        before = wanted(project, [service], context.obj.profiles_chosen())[:-1]
        if not no_deps:
            application.up([each for each in before if each.scale])
        application.ensure_image(one, build=build)
        application.ensure_networks_and_volumes([one])
        if not no_deps:
            application.wait_for_dependencies(one)
        return _carry_out(application, errand, errand.spec(client, project, one))


def _carry_out(application: Application, errand: _Errand, spec: ContainerSpec) -> int:
    """In the foreground the program's exit code."""
    from wardian.cli.following import Following
    from wardian.cli.run import removed_afterwards, removed_if_refused

    client = application.client
    if errand.detach:
        click.echo(client.run(spec).info.name)
        return 0
    with Following(client, interactive=spec.open_stdin, terminal=spec.tty) as following:

        def begin() -> Container:
            with removed_if_refused(client, spec):
                return client.run(following.sized(spec), fds=following.fds, attach=True)

        container = following.start(begin)
        with removed_afterwards(container):
            for warning in container.info.warnings:
                complain(f"{spec.name}: not in force: {warning}")
            return following.wait(container)
