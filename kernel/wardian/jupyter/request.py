"""A request of the page that produces output: a cell, or a comm message with its callbacks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from wardian.jupyter.failure import Failure


class Request(msgspec.Struct):
    """What is known of it while it is served; ``number`` names it to the runners.

    ``parent`` is the page's message, to which all output belongs. ``capture``, if set, takes
    the output instead of the page. ``held_error`` is the ``error`` message that a runner sent:
    it is published when the reply has come and it is known whether the host has a better word,
    or when more follows: then it was not what ended the cell.
    """

    number: int
    parent: dict[str, Any]
    idents: list[bytes] = msgspec.field(default_factory=list)
    count: int = 0
    is_silent: bool = False
    stores_history: bool = False
    allows_stdin: bool = False
    capture: Capture | None = None
    held_error: bytes | None = None
    interrupt: Callable[[], None] | None = None
    started_s: float = msgspec.field(default_factory=time.perf_counter)

    @property
    def message_id(self) -> str:
        """The id of the page's message."""
        return str(self.parent["header"]["msg_id"])


class Capture(msgspec.Struct):
    """Output that is kept instead of shown: the text of each stream, and an error if any."""

    text: dict[str, list[str]] = msgspec.field(default_factory=lambda: {"stdout": [], "stderr": []})
    failure: Failure | None = None

    def of(self, name: str) -> str:
        """All text of ``stdout`` or ``stderr``."""
        return "".join(self.text.get(name, ()))
