"""The commands that change where containers stand, from ``start`` to ``rm``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from wardian.cli.params import (
    LIMIT_NAMES,
    container_argument,
    containers_argument,
    follow_options,
    limit_options,
)
from wardian.cli.program import Command, Gone, Say, complain, each_name, say_name

if TYPE_CHECKING:
    from wardian.cgroups.limits import Limits, Words
    from wardian.runtime.container import Container

Act = Callable[["Container"], Any]


def for_each(
    names: Sequence[str], act: Act, *, say: Say = say_name, is_gone: Gone | None = None
) -> int:
    """`each_name`, of containers."""
    from wardian.runtime.client import Client

    with Client.connect() as client:
        return each_name(names, lambda name: act(client.container(name)), say=say, is_gone=is_gone)


@click.command(cls=Command)
@click.option("-a", "--attach", is_flag=True, help="Follow it, and exit as it does.")
@click.option("-i", "--interactive", is_flag=True, help="Follow it and give it our input.")
@follow_options
@containers_argument
def start(
    *, names: tuple[str, ...], attach: bool, interactive: bool, detach_keys: str, sig_proxy: bool
) -> int:
    """Start containers that have ended or were only created; their files are as they were.

    \b
    wardian start web
    wardian start -ai web     # and follow it, with its terminal if it was made with one
    """  # noqa: D301
    if not (attach or interactive):
        return for_each(names, lambda container: container.start())
    from wardian.errors import InvalidInput

    if len(names) > 1:
        raise InvalidInput("only one container can be followed", hint="start the others before")
    from wardian.cli.words import key_sequence

    keys = key_sequence(detach_keys)
    return _start_attached(names[0], interactive=interactive, keys=keys, sig_proxy=sig_proxy)


def _start_attached(name: str, *, interactive: bool, keys: bytes, sig_proxy: bool) -> int:
    """Start one in the foreground and exit as it does."""
    from wardian.cli.following import Following
    from wardian.runtime.client import Client

    with Client.connect() as client:
        container = client.container(name)
        spec = container.info.spec
        with Following(
            client,
            interactive=interactive and spec.open_stdin,
            terminal=spec.tty,
            keys=keys,
            sig_proxy=sig_proxy,
        ) as following:

            def begin() -> Container:
                container.start(following.fds, attach=True)
                return container

            return following.wait(following.start(begin))


def stop_options(function: Any) -> Any:
    """``-t`` and ``-s``."""
    function = click.option(
        *("-s", "--signal", "word"),
        metavar="SIGNAL",
        help="What to send first (default: the container's --stop-signal).",
    )(function)
    return click.option(
        *("-t", "--time", "--timeout", "timeout_s"),
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help="How long to wait before SIGKILL (default: the container's --stop-timeout).",
    )(function)


@click.command(cls=Command)
@stop_options
@containers_argument
def stop(*, names: tuple[str, ...], timeout_s: float | None, word: str | None) -> int:
    """End containers: a signal to every process, SIGKILL to what is left after a while.

    Files stay: `wardian start` goes on with them.
    """
    return for_each(names, lambda each: _stop(each, timeout_s, word))


def _stop(container: Container, timeout_s: float | None, word: str | None) -> None:
    from wardian.linux.signal_names import signal_number

    spec = container.info.spec
    container.stop(
        timeout_s=spec.stop_timeout_s if timeout_s is None else timeout_s,
        signal=spec.stop_signal if word is None else signal_number(word),
    )


@click.command(cls=Command)
@click.option("-s", "--signal", "word", default="SIGKILL", metavar="SIGNAL", show_default=True)
@containers_argument
def kill(*, names: tuple[str, ...], word: str) -> int:
    """Send a signal to containers' main processes; SIGKILL ends the container."""
    from wardian.linux.signal_names import signal_number

    signal = signal_number(word)
    return for_each(names, lambda container: container.kill(signal))


@click.command(cls=Command)
@stop_options
@containers_argument
def restart(*, names: tuple[str, ...], timeout_s: float | None, word: str | None) -> int:
    """Stop containers and start them again, their files as they were."""

    def again(container: Container) -> None:
        _stop(container, timeout_s, word)
        container.start()

    return for_each(names, again)


@click.command(cls=Command)
@containers_argument
def pause(names: tuple[str, ...]) -> int:
    """Freeze every process of containers; memory and files stay."""
    return for_each(names, lambda container: container.pause())


@click.command(cls=Command)
@containers_argument
def unpause(names: tuple[str, ...]) -> int:
    """Let frozen containers go on."""
    return for_each(names, lambda container: container.unpause())


@click.command(cls=Command)
@containers_argument
def wait(names: tuple[str, ...]) -> int:
    """Wait until containers end and print their exit codes, one a line."""
    return for_each(names, lambda container: container.wait(), say=lambda _, code: click.echo(code))


@click.command(cls=Command)
@container_argument
@click.argument("new_name", metavar="NEW_NAME")
def rename(*, name: str, new_name: str) -> None:
    """Give a container another name; its id and all else stay."""
    from wardian.runtime.client import Client

    with Client.connect() as client:
        client.container(name).rename(new_name)


@click.command("rm", cls=Command)
@click.option("-f", "--force", is_flag=True, help="Also if it runs; no error if there is none.")
@click.option("-v", "--volumes", is_flag=True, help="Its anonymous volumes, too.")
@containers_argument
def rm(*, names: tuple[str, ...], force: bool, volumes: bool) -> int:
    """Remove containers and their writable layers. Images stay, and so do volumes."""
    return for_each(
        names,
        lambda container: container.remove(force=force, volumes=volumes),
        is_gone=complain if force else None,  # what is to be gone is gone: not a failure
    )


@click.command(cls=Command)
@click.option("--restart", metavar="POLICY", help="When it has ended: as in `run`.")
@limit_options
@containers_argument
def update(*, names: tuple[str, ...], restart: str | None, **flags: Words) -> int:
    """Change the limits of containers, at once; what is not named stays. 0 lifts a limit.

    \b
    wardian update --memory 1g --cpus 2 web
    wardian update --restart unless-stopped web
    """  # noqa: D301
    from wardian.errors import InvalidInput
    from wardian.runtime.restart_policy import RestartPolicy

    policy = None if restart is None else RestartPolicy.parse(restart)
    has_limits = any(flags[name] not in (None, ()) for name in LIMIT_NAMES)
    if not has_limits and policy is None:
        raise InvalidInput("no limit was named", hint="name one, like --memory 512m")

    def change(container: Container) -> None:
        limits = _merged(container.info.spec.limits, flags) if has_limits else None
        container.update(limits, restart=policy)

    return for_each(names, change)


def _merged(usual: Limits, flags: dict[str, Words]) -> Limits:
    """The limits with those on top that were named; a named one of 0 or -1 is lifted."""
    from msgspec.structs import replace

    from wardian.cgroups.machine import ensure_possible
    from wardian.cli.request import limit_changes

    changed = limit_changes(flags)
    limits = replace(usual, **changed)
    ensure_possible(limits, changed)
    return limits
