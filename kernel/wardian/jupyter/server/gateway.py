"""Views of kernels that another server runs (JupyterLab's --gateway-url).

What a view sends is binary. Jupyter Server's own connection to a gateway takes it for text: most of
it is none, then nothing of that kernel is read any more, and the notebook waits for ever.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from jupyter_server.gateway.connections import GatewayWebSocketConnection
from tornado.concurrent import Future
from tornado.websocket import WebSocketClosedError

Message = str | bytes | None


class GatewayConnection(GatewayWebSocketConnection):  # ServerApp.kernel_websocket_connection_class
    """The server's, with binary messages passed on as such in both directions."""

    def _connection_done(self, fut: Future[Any]) -> None:
        super()._connection_done(fut)  # type: ignore[no-untyped-call]  # typed in part
        if self.ws is not None:
            text_only = partial(self._next_text, self.ws.read_message)
            self.ws.read_message = text_only  # type: ignore[method-assign]  # this one's

    async def _next_text(self, read: Callable[[], Awaitable[Message]]) -> Message:
        while isinstance(message := await read(), bytes):
            with suppress(WebSocketClosedError):
                self.websocket_handler.write_message(message, binary=True)
        return message

    def _write_message(self, message: str | bytes) -> None:
        with suppress(WebSocketClosedError):
            if self.ws is not None and not self.disconnected:
                self.ws.write_message(message, binary=isinstance(message, bytes))
