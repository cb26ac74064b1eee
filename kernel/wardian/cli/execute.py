"""``wardian exec``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from wardian.cli.params import (
    container_argument,
    detach_keys_option,
    process_options,
    stream_options,
)
from wardian.cli.program import Command
from wardian.errors import InvalidInput

if TYPE_CHECKING:
    from wardian.runtime.container import ContainerProcess
    from wardian.runtime.spec import ProcessSpec


@click.command("exec", cls=Command, context_settings={"allow_interspersed_args": False})
@stream_options
@detach_keys_option
@click.option("--privileged", is_flag=True, hidden=True)
@process_options
@container_argument
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(
    *,
    name: str,
    command: tuple[str, ...],
    detach: bool,
    interactive: bool,
    tty: bool,
    detach_keys: str,
    env: tuple[str, ...],
    env_file: tuple[str, ...],
    workdir: str | None,
    user: str | None,
    privileged: bool,
) -> int:
    """Run a program in a running container.

    \b
    wardian exec web ps
    wardian exec -it -u nobody -w /tmp web sh

    It starts with the container's own environment, working directory and user. The exit code is
    the program's; 126 if it cannot be started, 127 if it does not exist.
    """  # noqa: D301
    from wardian.cli import foreground, words
    from wardian.runtime.client import Client

    if privileged:
        raise InvalidInput(
            "--privileged is not supported: a program has at most what its container has",
            hint="create the container with --privileged, or --cap-add",
        )
    keys = words.key_sequence(detach_keys)
    added = words.environment(env, env_file)
    with Client.connect() as client:
        container = client.container(name)
        spec = _process(container.info.spec.process, command, added, workdir, user)
        if detach:
            container.spawn(spec).close()
            return 0
        foreground.check_terminal(interactive=interactive, terminal=tty)
        fds = {} if tty else foreground.standard_fds(interactive=interactive)
        spec = replace(spec, terminal_size=foreground.terminal_size() if tty else None)
        foreground.flush_output()
        relay = foreground.SignalRelay()
        with (
            foreground.forwarded_signals(relay),
            container.spawn(spec, fds, terminal=tty) as process,
        ):
            relay.aim(process.signal)
            return _follow(process, interactive=interactive, keys=keys)


def _process(
    main: ProcessSpec | None,
    argv: tuple[str, ...],
    env: dict[str, str],
    workdir: str | None,
    user: str | None,
) -> ProcessSpec:
    """The program, with what the container's main process has where nothing else is said."""
    from wardian.runtime.spec import ProcessSpec

    usual = main or ProcessSpec(argv=argv)
    if workdir is not None and not workdir.startswith("/"):
        raise InvalidInput(f"the working directory is not absolute: {workdir[:80]}")
    return ProcessSpec(
        argv=argv,
        env={**usual.env, **env},
        workdir=workdir or usual.workdir,
        user=user if user is not None else usual.user,
        groups=usual.groups,
        ulimits=usual.ulimits,
        oom_score_adj=usual.oom_score_adj,
    )


def _follow(process: ContainerProcess, *, interactive: bool, keys: bytes) -> int:
    from wardian.cli import foreground

    if process.terminal_fd is not None:
        terminal = foreground.Terminal(process.terminal_fd, interactive=interactive, keys=keys)
        terminal.join()
        if terminal.was_detached:
            return 0
    return foreground.told(process.container, process.wait())
