"""The control thread: reads the socket while a cell is stopped at a breakpoint.

It starts with the first debug_request, because until then nothing must be answered during a cell.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import select
import threading
from typing import Any, Callable, Dict, List

from .debugger import Debugger
from .link import Link
from .streams import hide_from_debugger


class ControlThread:
    """Answers debug requests itself and leaves everything else to the main thread."""

    def __init__(
        self,
        link: Link,
        loop: asyncio.AbstractEventLoop,
        serve: Callable[[], None],
        make_debugger: Callable[[Callable[[Callable[[], Any]], Any]], Debugger],
    ) -> None:
        self._link = link
        self._loop = loop
        self._serve = serve
        self._debugger = make_debugger(self._on_main_thread)
        self._thread = threading.Thread(target=self._run, name="wardian-control", daemon=True)
        hide_from_debugger(self._thread)

    def start(self, first: Dict[str, Any]) -> None:
        """Take over the socket from the event loop and answer this request."""
        self._loop.remove_reader(self._link.fileno())
        self._link.has_control_thread = True
        self._link.put_back(first)
        self._thread.start()

    def _run(self) -> None:
        while True:
            for message in self._link.take("debug"):
                self._answer(message)
            if self._link.has_messages:
                self._loop.call_soon_threadsafe(self._serve)
            client = self._debugger.client
            sources: List[Any] = [self._link, client] if client is not None else [self._link]
            ready, _, _ = select.select(sources, [], [])
            if client is not None and client in ready:
                self._debugger.take_events()
            if self._link in ready:
                try:
                    self._link.read()
                except (EOFError, OSError):
                    self._loop.call_soon_threadsafe(self._loop.stop)
                    return

    def _answer(self, message: Dict[str, Any]) -> None:
        try:
            content = self._debugger.answer(message["request"])
        except Exception as error:
            request = message.get("request") or {}
            content = {
                "type": "response",
                "request_seq": request.get("seq", 0),
                "command": request.get("command", ""),
                "success": False,
                "message": f"{type(error).__name__}: {error}",
            }
        self._link.send({"t": "reply", "id": message["id"], "content": content})

    def _on_main_thread(self, function: Callable[[], Any]) -> Any:
        result: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def call() -> None:
            try:
                result.set_result(function())
            except Exception as error:
                result.set_exception(error)

        self._loop.call_soon_threadsafe(call)
        return result.result()
