"""Following a container in the foreground until it ends."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import click
from msgspec.structs import replace

from wardian.cli import foreground
from wardian.cli.params import SHOWN
from wardian.cli.streams import Streams
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import ContainerSpec, Keep


class Following:
    """Starts a container in the foreground and stays with it; a context manager.

    From the moment that `start` is called, signals are for the container: those that come before
    it runs are kept until it does. They travel by a connection of their own, as the container's
    waits for the end.
    """

    def __init__(
        self,
        client: Client,
        *,
        interactive: bool,
        terminal: bool,
        keys: bytes = foreground.DETACH_KEYS,
        sig_proxy: bool = True,
        shown: Collection[str] = SHOWN,
    ) -> None:
        self._client = client
        self._keys = keys
        self._sig_proxy = sig_proxy
        self._shown = shown
        self._interactive = interactive
        self.terminal = terminal
        self.fds = {0: 0} if interactive and not terminal else {}
        self._stack = ExitStack()
        self._relay = foreground.SignalRelay()

    def __enter__(self) -> Self:
        foreground.check_terminal(interactive=self._interactive, terminal=self.terminal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, value, traceback)

    def sized(self, spec: ContainerSpec) -> ContainerSpec:
        """The spec, its main process's terminal as large as ours."""
        if not self.terminal or spec.process is None:
            return spec
        return replace(
            spec, process=replace(spec.process, terminal_size=foreground.terminal_size())
        )

    def start(self, begin: Callable[[], Container]) -> Container:
        """Make the container run by ``begin``, and pass signals on to it from now on."""
        foreground.flush_output()
        messenger = self._stack.enter_context(Client.connect(self._client.root))
        with ExitStack() as undone:  # signals are our own again where it does not come to be
            if self._sig_proxy:
                undone.enter_context(foreground.forwarded_signals(self._relay))
            container = begin()
            self._stack.push(undone.pop_all())
        self._relay.aim(Container(messenger, container.id).kill)
        return container

    def wait(self, container: Container) -> int:
        """Join its streams and wait; the exit code, 0 if detached from."""
        streams = Streams(
            container,
            container.streams,
            reads_input=self._interactive,
            keys=self._keys,
            shown=self._shown,
        )
        streams.follow()
        if streams.was_detached:
            container.attach(Keep.ALWAYS)
            container.note("detach")
            click.echo(f"\nwardian: detached; {container.info.name} goes on", err=True)
            return 0
        return foreground.told(container, container.wait())
