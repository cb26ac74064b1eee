"""The stdin channel: a cell asks the page for a line of text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from jupyter_client.session import Session

from wardian.jupyter.channel import Frames

END_OF_FILE = "\x04"


class Stdin:
    """At most one question at a time, as only one cell runs."""

    def __init__(self, session: Session, send: Callable[..., None]) -> None:
        self._session = session
        self.send_multipart = send
        self._answer: asyncio.Future[str] | None = None

    async def ask(
        self, parent: dict[str, Any], idents: list[bytes], prompt: str, *, password: bool
    ) -> str:
        """The page's answer. Raises EOFError if the user closed the input with Ctrl-D."""
        self._answer = asyncio.get_running_loop().create_future()
        content = {"prompt": prompt, "password": password}
        self._session.send(self, "input_request", content, parent=parent, ident=idents)  # type: ignore[arg-type]  # anything with send_multipart will do
        try:
            value = await self._answer
        finally:
            self._answer = None
        if value == END_OF_FILE:
            raise EOFError
        return value

    def cancel(self) -> None:
        """Wait no longer: the cell that asked has ended."""
        if self._answer is not None and not self._answer.done():
            self._answer.cancel()

    def receive(self, frames: Frames) -> None:
        """Take a message from the channel; an answer that nobody waits for is dropped."""
        try:
            _, parts = self._session.feed_identities(frames)
            message = self._session.deserialize(parts)
            value = message["content"]["value"]
        except (ValueError, TypeError, KeyError):
            return
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(str(value))
