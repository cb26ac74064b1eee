"""``wardian attach``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from wardian.cli.params import container_argument, follow_options
from wardian.cli.program import Command

if TYPE_CHECKING:
    from wardian.runtime.container import Container


@click.command(cls=Command)
@click.option("--no-stdin", is_flag=True, help="Do not give it our standard input.")
@follow_options
@container_argument
def attach(*, name: str, no_stdin: bool, detach_keys: str, sig_proxy: bool) -> int:
    """See what a container's main process prints from now on, and type to it.

    \b
    wardian attach web
    wardian attach --no-stdin --sig-proxy=false web     # only look: ctrl-c ends the looking

    Type ctrl-p ctrl-q to leave a container with a terminal (`run -dit`) and let it go on. Several
    can be attached at once. What it printed before is in `wardian logs`. The exit code is the
    container's.
    """  # noqa: D301
    from wardian.cli.following import Following
    from wardian.cli.words import key_sequence
    from wardian.runtime.client import Client

    keys = key_sequence(detach_keys)
    with Client.connect() as client:
        container = client.container(name)
        with Following(
            client,
            interactive=not no_stdin,
            terminal=container.info.spec.tty,
            keys=keys,
            sig_proxy=sig_proxy,
        ) as following:

            def begin() -> Container:
                container.streams = container.join()
                return container

            return following.wait(following.start(begin))
