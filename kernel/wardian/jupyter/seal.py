"""The signature of a message that is still arriving."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jupyter_client.session import DELIM, Session

PART_BYTES = 8 << 20  # signed at once: each part costs the other thread a change of hands


class Seal:
    """A message whose header is made, and whose content is signed by a thread while it comes.

    The signature is an HMAC of header, parent header, metadata and content, in this order
    (Jupyter's messaging specification, "The wire protocol").
    """

    def __init__(
        self, session: Session, kind: str, parent: dict[str, Any], metadata: dict[str, Any]
    ) -> None:
        self._heads = [
            session.pack(session.msg_header(kind)),
            session.pack(parent.get("header", {})),
            session.pack(metadata),
        ]
        self._signature = session.auth.copy() if session.auth else None
        self._signed_bytes = 0
        self._thread = ThreadPoolExecutor(1, "seal")
        for head in self._heads:
            self._sign(memoryview(head))

    def grow(self, content: memoryview) -> None:
        """All that has come so far, from its first byte on."""
        if content.nbytes - self._signed_bytes >= PART_BYTES:
            self._sign_up_to_the_end(content)

    def parts(self, content: memoryview, buffers: Sequence[memoryview]) -> list[Any]:
        """The whole message as it goes over the wire, without a topic."""
        self._sign_up_to_the_end(content)
        self._thread.shutdown()
        signature = self._signature.hexdigest().encode() if self._signature else b""
        return [DELIM, signature, *self._heads, content, *buffers]

    def _sign_up_to_the_end(self, content: memoryview) -> None:
        self._sign(content[self._signed_bytes :])
        self._signed_bytes = content.nbytes

    def _sign(self, part: memoryview) -> None:
        if self._signature is not None and part.nbytes:
            self._thread.submit(self._signature.update, part)
