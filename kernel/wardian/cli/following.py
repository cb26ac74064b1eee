"""Following a container in the foreground until it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from wardian.cli import foreground
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import Keep


def follow(container: Container, *, interactive: bool) -> int:
    """Join its terminal, if it was given one, and wait; the exit code, 0 if detached from."""
    with _signalled(container):
        if container.terminal_fd is not None:
            terminal = foreground.Terminal(container.terminal_fd, interactive=interactive)
            terminal.join()
            if terminal.was_detached:
                container.attach(Keep.ALWAYS)
                click.echo(f"\nwardian: detached; {container.info.name} goes on", err=True)
                return 0
        return container.wait()


@contextmanager
def _signalled(container: Container) -> Iterator[None]:
    """Pass signals on, by a connection of their own: the container's waits for the end."""
    with Client.connect(container.client.root) as messenger:
        handle = Container(messenger, container.id)
        with foreground.forwarded_signals(handle.kill):
            yield
