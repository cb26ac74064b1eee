"""A stage as far as it is built, and what one more instruction comes to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from wardian.build.draft import Draft
from wardian.build.expansion import Expander
from wardian.images.ingest import NewLayer
from wardian.storage.changes import Change

COMMENT = "wardian build"


class Made(msgspec.Struct, frozen=True):
    """What an instruction came to: a layer, unless nothing changed, and the changes in it."""

    layer: NewLayer | None
    changes: tuple[Change, ...]


class State(msgspec.Struct):
    """``layers`` and ``lowers`` (their directories) are lowest first.

    ``key`` is what the next step's cache record goes by; ``was_missed`` whether a step was run.
    """

    draft: Draft
    layers: list[NewLayer]
    lowers: list[Path]
    key: str
    arguments: dict[str, str] = msgspec.field(default_factory=dict)
    was_missed: bool = False
    created: str = ""

    def successor(self) -> State:
        """A stage that goes on from here; ARGs end with their stage."""
        return State(
            Draft(self.draft.whole),
            list(self.layers),
            list(self.lowers),
            self.key,
            created=self.created,
        )

    def expander(self, escape: str) -> Expander:
        """With the variables that are in force."""
        return Expander(env={**self.arguments, **self.draft.env}, escape=escape)

    def add(self, layer: NewLayer, directory: Path) -> None:
        """One more layer on top."""
        self.layers.append(layer)
        self.lowers.append(directory)

    def note(self, text: str, created: str, *, is_empty: bool) -> None:
        """An entry of the history (image-spec, config.md)."""
        self.created = created
        entry: dict[str, Any] = {"created": created, "created_by": text, "comment": COMMENT}
        if is_empty:
            entry["empty_layer"] = True
        self.draft.whole["history"] = [*(self.draft.whole.get("history") or []), entry]
