"""The live views of a container for a tab of JupyterLab, whether a kernel runs or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from wardian.observe.image import Exhibit
from wardian.runtime.client import Client
from wardian.runtime.paths import state_root
from wardian.widgets.feed import AnyFeed, Feed, Sight, sight
from wardian.widgets.image_feed import ImageFeed
from wardian.widgets.limiter import LimitsByName
from wardian.widgets.signaller import FreezerByName

RESOURCE = "wardian"
SLOWEST_S = 3600.0


class Socket(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """A WebSocket for whom the Jupyter server lets in."""

    auth_resource = RESOURCE

    @ws_authenticated
    @authorized
    async def get(self, *arguments: Any, **named: Any) -> None:
        await super().get(*arguments, **named)

    @property
    def period_s(self) -> float | None:
        """How often the page wants to be told; None if it does not say, or nonsense."""
        with suppress(ValueError):
            wanted = float(self.get_query_argument("period", ""))
            return wanted if 0 < wanted <= SLOWEST_S else None
        return None

    def say(self, message: bytes, *, binary: bool) -> None:
        """Send it, unless the page is gone; on the server's own thread."""
        with suppress(WebSocketClosedError):
            self.write_message(message, binary)


class FeedSocket(Socket):
    """What the page says and hears is as over a widget's comm."""

    _feed: AnyFeed | None = None

    def open(self, *arguments: str, **named: str) -> None:
        super().open(*arguments, **named)
        loop = IOLoop.current()

        def send(messages: Sequence[bytes]) -> None:
            for message in messages:
                loop.add_callback(self.say, message, binary=True)

        self._feed = self.feed(send, **named)

    def feed(self, send: Callable[[Sequence[bytes]], None], **named: str) -> AnyFeed:
        """Where its frames come from; ``named`` are the parts of the address."""
        raise NotImplementedError

    async def on_message(self, message: str | bytes) -> None:
        """To look may take a moment: others are served meanwhile."""
        if self._feed is not None:
            with suppress(msgspec.DecodeError):
                await asyncio.to_thread(self._feed.hear, msgspec.json.decode(message))

    def on_close(self) -> None:
        super().on_close()
        if self._feed is not None:
            self._feed.close()


class ViewSocket(FeedSocket):
    """``containers/NAME/views/layers``."""

    def feed(self, send: Callable[[Sequence[bytes]], None], **named: str) -> AnyFeed:
        view, name = named["view"], named["name"]
        return Feed(
            view,
            lambda: located(view, name),
            send,
            limiter=LimitsByName(name),
            freezer=FreezerByName(name),
            period_s=self.period_s or 0.0,
        )


class ImageSocket(FeedSocket):
    """``images/NAME/view``."""

    def feed(self, send: Callable[[Sequence[bytes]], None], **named: str) -> AnyFeed:
        return ImageFeed(Exhibit(state_root(), named["name"]), send)


def located(view: str, name: str) -> Sight:
    """What a view of the container of this name or id is of. Raises WardianError."""
    with Client.connect() as client:
        return sight(view, client.container(name))
