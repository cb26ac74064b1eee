"""``wardian run`` and ``wardian create``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

from wardian.cli.health import HEALTH_NAMES, health_options
from wardian.cli.mounted import mount_options
from wardian.cli.networking import complete_network, network_options
from wardian.cli.params import (
    LIMIT_NAMES,
    SHOWN,
    attach_option,
    complete_image,
    follow_options,
    limit_options,
    process_options,
    refused_options,
    stream_options,
)
from wardian.cli.program import RuntimeCommand, complain
from wardian.cli.pulling import PULL_NAMES, pull_options
from wardian.cli.security import SECURITY_NAMES, security_options
from wardian.cli.sharing import SHARING_NAMES, sharing_options
from wardian.errors import AlreadyExists, CommandFailed, InvalidInput, NotFound, WardianError

if TYPE_CHECKING:
    from wardian.cli.request import Request
    from wardian.runtime.client import Client
    from wardian.runtime.container import Container
    from wardian.runtime.spec import ContainerSpec

F = TypeVar("F", bound=Callable[..., Any])
NAME_ATTEMPTS = 5


def container_options(function: F) -> F:
    """The flags that describe a container."""
    options = (
        click.option("--name", help="The container's name; made up if left out."),
        click.option("-h", "--hostname", default="", help="Its host name (default: its id)."),
        click.option("--entrypoint", metavar="PROGRAM", help="Instead of the image's entrypoint."),
        *mount_options(),
        click.option("--read-only", is_flag=True, help="Make the root read-only."),
        click.option(
            *("--network", "--net"),
            multiple=True,
            metavar="NAME",
            shell_complete=complete_network,
            help="none, host, container:NAME, bridge, or networks of yours.",
        ),
        click.option(
            *("-p", "--publish"),
            multiple=True,
            metavar="[[IP:]HOST:]PORT[/udp]",
            help="Let the host's port lead to the container's.",
        ),
        click.option("--userns", default="", metavar="host", help="`host`: no user namespace."),
        click.option("--cap-add", multiple=True, metavar="CAP", help="Give a capability more."),
        click.option("--cap-drop", multiple=True, metavar="CAP", help="Take a capability away."),
        click.option(
            "--security-opt",
            multiple=True,
            metavar="OPTION",
            help="seccomp=FILE|unconfined, systempaths=unconfined, landlock=PATH:rwx.",
        ),
        click.option(
            "--restart",
            default="no",
            metavar="POLICY",
            help="When it has ended: no, always, unless-stopped, on-failure[:MOST].",
        ),
        click.option("-l", "--label", multiple=True, metavar="KEY=VALUE", help="Note something."),
        click.option(
            "--best-effort",
            is_flag=True,
            help="Go without limits that this machine cannot enforce, with a warning.",
        ),
        click.argument("image", shell_complete=complete_image),
        click.argument("command", nargs=-1, type=click.UNPROCESSED),
    )
    for option in reversed(options):
        function = option(function)
    function = sharing_options(health_options(refused_options(_rarer_options(function))))
    function = security_options(function)
    return limit_options(process_options(pull_options(function)))


def _rarer_options(function: F) -> F:
    options = (
        click.option("--label-file", multiple=True, metavar="FILE", help="Read labels."),
        click.option(
            "--ulimit", multiple=True, metavar="NAME=SOFT[:HARD]", help="Like nofile=1024:4096."
        ),
        click.option(
            "--add-host", multiple=True, metavar="NAME:IP", help="A line more in /etc/hosts."
        ),
        click.option(
            "--log-driver",
            default="json-file",
            metavar="json-file|local|none",
            help="Whether what it prints is kept (json-file and local are the same).",
        ),
        click.option(
            "--log-opt",
            multiple=True,
            metavar="KEY=VALUE",
            help="max-size=16m of a file, max-file=2 of them: the oldest goes first.",
        ),
        click.option("--shm-size", metavar="BYTES", help="The size of /dev/shm (64m)."),
        click.option("--group-add", multiple=True, metavar="GROUP", help="Be in a group more."),
        click.option(
            "--oom-score-adj",
            type=click.IntRange(-1000, 1000),
            default=0,
            metavar="NUMBER",
            help="Whom to end first when memory runs out (-1000 to 1000).",
        ),
        click.option("--stop-signal", metavar="SIGNAL", help="What `wardian stop` sends first."),
        click.option(
            "--stop-timeout",
            type=click.FloatRange(min=0),
            metavar="SECONDS",
            help="How long `wardian stop` waits before SIGKILL (10).",
        ),
        click.option(
            "--annotation", multiple=True, metavar="KEY=VALUE", help="Note something for tools."
        ),
        click.option(
            "--cgroup-parent", default="", metavar="PATH", help="A group of Wardian's for its own."
        ),
        click.option("--cidfile", metavar="FILE", help="Write the container's id to a new file."),
        *network_options(),
        click.option("--init", is_flag=True, help="As always: an init reaps what is left behind."),
    )
    for option in reversed(options):
        function = option(function)
    return function


# Flags end at the image's name: what follows is the program's.
SETTINGS = {"allow_interspersed_args": False}


@click.command(cls=RuntimeCommand, context_settings=SETTINGS)
@stream_options
@attach_option
@follow_options
@click.option("--rm", "remove", is_flag=True, help="Remove the container when it has ended.")
@container_options
def run(
    *,
    detach: bool,
    interactive: bool,
    tty: bool,
    attach: tuple[str, ...],
    remove: bool,
    detach_keys: str,
    sig_proxy: bool,
    **flags: Any,
) -> int:
    """Create and start a container, and follow it.

    \b
    wardian run --rm -it wardian/base bash
    wardian run -d --name web -m 256m -v ./site:/srv:ro wardian/base python3 -m http.server

    The exit code is the program's own; 125 if the container could not be made, 126 if the program
    could not be started, 127 if it does not exist, 128+n if signal n ended it.

    Type ctrl-p ctrl-q to leave a terminal and let the container go on; `wardian attach` comes back.
    """  # noqa: D301  # \b is click's, not Python's
    from wardian.cli.request import keep_of
    from wardian.cli.words import key_sequence
    from wardian.runtime.client import Client

    keys = key_sequence(detach_keys)
    request = _request({**flags, "interactive": interactive, "tty": tty})
    life = keep_of(detach=detach, remove=remove)
    if detach and attach:
        raise InvalidInput("--detach and --attach exclude each other", hint="leave out one of them")
    with Client.connect() as client:
        if detach:
            container = _make(client, request, life, client.run)
            _warn(container)
            click.echo(container.id)
            return 0
        return _follow(client, request, life, keys=keys, sig_proxy=sig_proxy, attach=attach)


@click.command(cls=RuntimeCommand, context_settings=SETTINGS)
@click.option("-i", "--interactive", is_flag=True, help="Keep its standard input open.")
@click.option("-t", "--tty", is_flag=True, help="Give it a terminal.")
@click.option("--rm", "remove", is_flag=True, help="Remove the container when it has ended.")
@container_options
def create(*, remove: bool, **flags: Any) -> None:
    """Create a container without starting it, and print its id.

    \b
    wardian create --name web wardian/base python3 -m http.server
    wardian start web
    """  # noqa: D301
    from wardian.cli.request import keep_of
    from wardian.runtime.client import Client

    life = keep_of(detach=True, remove=remove)
    with Client.connect() as client:
        click.echo(_make(client, _request(flags), life, client.create).id)


def _request(flags: dict[str, Any]) -> Request:
    from wardian.cli.request import Request

    limits = {name: flags.pop(name) for name in LIMIT_NAMES}
    sharing = {name: flags.pop(name) for name in SHARING_NAMES}
    security = {name: flags.pop(name) for name in SECURITY_NAMES}
    pulling = {name: flags.pop(name) for name in PULL_NAMES}
    health = {name: flags.pop(name) for name in HEALTH_NAMES}
    return Request(
        limits=limits, sharing=sharing, security=security, pulling=pulling, health=health, **flags
    )


def _make(
    client: Client,
    request: Request,
    life: dict[str, Any],
    make: Callable[[ContainerSpec], Container],
) -> Container:
    """Make the container from its image; a made-up name that is taken is made up again."""
    from wardian.cli import images, names

    if request.cidfile is not None:
        return _noted(request, lambda plain: _make(client, plain, life, make))
    if request.volumes_from:
        request = _with_borrowed(client, request)
    image, lowers = images.obtain(client.root, request.image, **request.pulling)
    if request.name is not None:
        return make(request.spec(image, lowers, request.name, **life))
    spec = request.spec(image, lowers, names.new_name(), **life)
    for _ in range(NAME_ATTEMPTS):
        with suppress(AlreadyExists):
            return make(spec)
        spec = request.spec(image, lowers, names.new_longer_name(), **life)
    return make(spec)


def _with_borrowed(client: Client, request: Request) -> Request:
    from msgspec.structs import replace

    from wardian.cli.mounts import borrowed

    return replace(request, borrowed=borrowed(client, request.volumes_from))


def _noted(request: Request, make: Callable[[Request], Container]) -> Container:
    """Make it, and write its id to a file that nobody had; no file stays if there is none."""
    import os

    from msgspec.structs import replace

    path = str(request.cidfile)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise InvalidInput(
            f"cannot make the container id file {path}: {error.strerror}",
            hint="remove the file, or name another with --cidfile",
        ) from error
    try:
        with open(fd, "w", encoding="ascii") as file:
            container = make(replace(request, cidfile=None))
            file.write(container.id)
    except BaseException:
        os.unlink(path)
        raise
    return container


def _follow(
    client: Client,
    request: Request,
    life: dict[str, Any],
    *,
    keys: bytes,
    sig_proxy: bool,
    attach: tuple[str, ...],
) -> int:
    """Run in the foreground; the program's exit code."""
    from wardian.cli.following import Following

    with Following(
        client,
        interactive=request.interactive and (not attach or "stdin" in attach),
        terminal=request.tty,
        keys=keys,
        sig_proxy=sig_proxy,
        shown=attach or SHOWN,
    ) as following:

        def start(spec: ContainerSpec) -> Container:
            with removed_if_refused(client, spec):
                return following.start(
                    lambda: client.run(following.sized(spec), fds=following.fds, attach=True)
                )

        container = _make(client, request, life, start)
        with removed_afterwards(container):
            _warn(container)
            return following.wait(container)


@contextmanager
def removed_if_refused(client: Client, spec: ContainerSpec) -> Iterator[None]:
    """With ``--rm`` a container whose program could not be started goes, too."""
    from wardian.runtime.spec import Keep

    try:
        yield
    except CommandFailed:
        if spec.keep is Keep.NEVER:
            with suppress(WardianError):
                client.container(spec.name).remove(force=True)
        raise


@contextmanager
def removed_afterwards(container: Container) -> Iterator[None]:
    """With ``--rm`` it goes when we are done; should we be killed, the keeper sees to it."""
    from wardian.runtime.spec import Keep

    try:
        yield
    finally:
        if container.info.spec.keep is Keep.NEVER:
            container.remove(force=True)


def _warn(container: Container) -> None:
    with suppress(NotFound):  # one that is removed at its end may have ended
        for warning in container.info.warnings:
            complain(f"not in force: {warning}")
