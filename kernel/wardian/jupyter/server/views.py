"""The live views of a container for a tab of JupyterLab, whether a kernel runs or not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from wardian.runtime.client import Client
from wardian.widgets.feed import Feed, Sight, sight

RESOURCE = "wardian"


class Socket(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """A WebSocket for whom the Jupyter server lets in."""

    auth_resource = RESOURCE

    @ws_authenticated
    @authorized
    async def get(self, *arguments: Any, **named: Any) -> None:
        await super().get(*arguments, **named)

    def say(self, message: bytes, *, binary: bool) -> None:
        """Send it, unless the page is gone; on the server's own thread."""
        with suppress(WebSocketClosedError):
            self.write_message(message, binary)


class ViewSocket(Socket):
    """``containers/NAME/views/layers``: what the page says and hears is as over a widget's comm."""

    _feed: Feed | None = None

    def open(self, name: str, view: str) -> None:
        super().open(name, view)
        loop = IOLoop.current()

        def send(messages: Sequence[bytes]) -> None:
            for message in messages:
                loop.add_callback(self.say, message, binary=True)

        self._feed = Feed(view, lambda: located(view, name), send)

    async def on_message(self, message: str | bytes) -> None:
        """Looking for the container may take a moment: others are served meanwhile."""
        if self._feed is not None:
            with suppress(msgspec.DecodeError):
                await asyncio.to_thread(self._feed.hear, msgspec.json.decode(message))

    def on_close(self) -> None:
        super().on_close()
        if self._feed is not None:
            self._feed.close()


def located(view: str, name: str) -> Sight:
    """What a view of the container of this name or id is of. Raises WardianError."""
    with Client.connect() as client:
        return sight(view, client.container(name))
