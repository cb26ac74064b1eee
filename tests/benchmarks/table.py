"""One row a comparison: ours, the peer's, their ratio, and how much is allowed."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A comparison of medians. ``allowed`` is the ratio that FEATURES asks for."""

    what: str
    peer: str
    ours: float
    theirs: float
    unit: str
    allowed: float

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs

    def __str__(self) -> str:
        verdict = "ok" if self.ratio <= self.allowed else "OVER"
        return (
            f"{self.what:<38} {self.ours:>9.2f} {self.unit:<4} {self.peer:<14}"
            f" {self.theirs:>9.2f} {self.unit:<4} {self.ratio:>7.3f} x"
            f"  (<= {self.allowed:g})  {verdict}"
        )


def in_turn(
    rounds: int, ours: Callable[[], float], theirs: Callable[[], float]
) -> tuple[float, float]:
    """Medians of two measurements taken alternately, so that a slow minute hits both."""
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


@dataclass(frozen=True, slots=True)
class Figure:
    """A measurement without a peer: nothing of it can be over what is allowed."""

    what: str
    value: float
    unit: str

    @property
    def ratio(self) -> float:
        return 0.0

    @property
    def allowed(self) -> float:
        return 0.0

    def __str__(self) -> str:
        return f"{self.what:<62} {self.value:>9.2f} {self.unit}"
