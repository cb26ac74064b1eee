"""What a failed cell says: the content of Jupyter's ``error`` message and error reply."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import msgspec

from wardian.errors import WardianError

RED, PLAIN = "\x1b[31m", "\x1b[39m"


class Failure(msgspec.Struct, frozen=True):
    """Why a cell failed: an exception's name, its text, and what the page shows.

    See https://jupyter-client.readthedocs.io/en/stable/messaging.html#execution-errors
    """

    ename: str
    evalue: str
    traceback: tuple[str, ...]

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """An error of our own in two lines; a bug with its whole traceback."""
        if isinstance(error, asyncio.CancelledError):
            return cls.saying("KeyboardInterrupt", "interrupted")
        if isinstance(error, WardianError):
            return cls.saying(type(error).__name__, error.what, hint=error.hint)
        name, text = type(error).__name__, str(error)
        return cls(name, text, tuple(traceback.format_exception(error)))

    def without(self, words: str) -> Failure:
        """The same with some words left out, such as a name that only this host has use for."""
        lines = tuple(line.replace(words, "") for line in self.traceback)
        return Failure(self.ename, self.evalue.replace(words, ""), lines)

    @classmethod
    def saying(cls, ename: str, evalue: str, *, hint: str = "") -> Failure:
        """A failure that is fully said by its text and a hint."""
        lines = [f"{RED}{ename}{PLAIN}: {evalue}"]
        if hint:
            lines += ["", f"hint: {hint}"]
        return cls(ename, evalue, tuple(lines))

    @property
    def content(self) -> dict[str, Any]:
        """The content of the ``error`` message on iopub."""
        return {"ename": self.ename, "evalue": self.evalue, "traceback": list(self.traceback)}

    @property
    def reply(self) -> dict[str, Any]:
        """The content of the execute_reply, its execution count aside."""
        return {"status": "error", **self.content, "user_expressions": {}, "payload": []}


OK_REPLY: dict[str, Any] = {"status": "ok", "user_expressions": {}, "payload": []}
