"""``wardian debug``."""

from __future__ import annotations

import os
from contextlib import suppress

import click

from wardian.cli.params import container_argument
from wardian.cli.program import RuntimeCommand

SETTINGS = {"allow_interspersed_args": False}


@click.command(cls=RuntimeCommand, context_settings=SETTINGS)
@click.option("-c", "--command", "script", metavar="SCRIPT", help="What its shell runs.")
@click.option("--cap-add", multiple=True, metavar="CAP", help="A capability more than it has.")
@container_argument
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def debug(
    *, name: str, script: str | None, cap_add: tuple[str, ...], command: tuple[str, ...]
) -> int:
    """Look into a running container with this machine's programs, whatever its image has.

    \b
    wardian debug web
    wardian debug web ss -tlnp
    wardian debug --cap-add NET_ADMIN web tcpdump -ni eth0

    What it runs sees the container's processes, network and host name, has its capabilities and
    those that are asked for, and is root in its user namespace; the container's files are at
    /target. Files of its own are of the image wardian/debug: ip, ss, ping, ps, and tcpdump,
    strace, dig, curl … as far as this machine has them. All of it is gone afterwards.
    """  # noqa: D301
    from wardian.cli import images, names
    from wardian.cli.following import Following
    from wardian.errors import WardianError
    from wardian.runtime import debugging
    from wardian.runtime.client import Client

    has_terminal = os.isatty(0) and os.isatty(1)
    argv = ("bash", "-c", script, "bash", *command) if script is not None else command or ("bash",)
    with Client.connect() as client:
        target = client.container(name).info
        _, lowers = images.obtain(client.root, debugging.IMAGE)
        spec = debugging.beside(
            target,
            lowers,
            argv,
            name=names.new_longer_name(),
            capabilities=cap_add,
            interactive=True,
            terminal=has_terminal,
        )
        with Following(client, interactive=True, terminal=has_terminal) as following:
            container = following.start(
                lambda: client.run(following.sized(spec), fds=following.fds, attach=True)
            )
            try:
                return following.wait(container)
            finally:
                with suppress(WardianError):
                    container.remove(force=True)
