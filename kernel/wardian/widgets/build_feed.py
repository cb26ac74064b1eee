"""What a view of a build is told: a frame of what the build has said so far, at most ten a second.

What a build prints is the container's: it becomes text that can be shown (`observe.label`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from wardian.build.progress import Event
from wardian.observe import wire
from wardian.observe.build_frame import BuildFrame, BuildStep
from wardian.observe.frames import Source
from wardian.observe.history import History
from wardian.observe.label import label
from wardian.observe.pulse import MIN_INTERVAL_S

MOST_LINES = 12
MOST_CHANGES = 40
_MOST_CHARS = 200


class BuildFeed:
    """Speaks to the pages as `Feed` does; the build is told by `take`, `fail` and `end`."""

    def __init__(
        self, name: str, command: Sequence[str], send: Callable[[Sequence[bytes]], None]
    ) -> None:
        self._frame = BuildFrame(
            time_s=time.time(),
            container=label(name),
            source=Source.EVENTS,
            command=tuple(label(word) for word in command),
        )
        self._steps: dict[int, BuildStep] = {}
        self._send = send
        self._sent: BuildFrame | None = None
        self._sent_s = 0.0
        self.history = History(BuildFrame.view, self._frame.container)
        self.history.append(self._frame)

    def take(self, event: Event) -> None:
        """Take in what the build says."""
        if event.kind == "warning":
            told = (event.line, label(f"{event.text} ({event.why})"))
            self._frame = replace(self._frame, warnings=(*self._frame.warnings, told))
        elif event.kind == "image":
            names = (*self._frame.names, label(event.text)) if event.text else self._frame.names
            self._frame = replace(self._frame, names=names)
        elif event.kind == "start":
            self._steps[event.number] = _begun(event)
        elif (step := self._steps.get(event.number)) is not None:
            self._steps[event.number] = _went_on(step, event)
        self._show(at_once=event.kind != "output")

    def end(self, problem: str = "") -> None:
        """It has ended; ``problem`` says why it failed."""
        if problem:
            for number, step in self._steps.items():
                if step.state == "running":
                    self._steps[number] = replace(step, state="failed")
        state = "failed" if problem else "done"
        told = tuple(label(line) for line in problem.splitlines()[:MOST_LINES])
        self._frame = replace(self._frame, state=state, problem=told)
        self._show(at_once=True)

    def hear(self, content: object) -> None:
        """Take in what the page says. It can be anything, so nothing of it is trusted."""
        told = content if isinstance(content, dict) else {}
        if told.get("kind") == "visible" and told.get("visible"):
            self._sent = self._frame
            self._send([wire.full(self._frame)])

    def close(self) -> None:
        """Nothing is held open."""

    def _show(self, *, at_once: bool) -> None:
        self._frame = replace(self._frame, time_s=time.time(), steps=tuple(self._steps.values()))
        now = time.monotonic()
        if not at_once and now - self._sent_s < MIN_INTERVAL_S:
            return  # what comes next, and something does, tells of it, too
        self._sent_s = now
        self.history.append(self._frame)
        if self._sent is not None:
            self._send([wire.delta(self._sent, self._frame)])
            self._sent = self._frame


def _begun(event: Event) -> BuildStep:
    return BuildStep(
        number=event.number,
        stage=label(event.stage),
        step=event.step,
        steps=event.steps,
        instruction=label(event.instruction, max_chars=2000),
        line=event.line,
    )


def _went_on(step: BuildStep, event: Event) -> BuildStep:
    if event.kind == "output":
        lines = [label(line, max_chars=_MOST_CHARS) for line in event.text.splitlines()]
        return replace(step, output=(*step.output, *lines)[-MOST_LINES:])
    return replace(
        step,
        state="cached" if event.cached else "done",
        why=label(event.why),
        layer=event.layer,
        size_bytes=event.size_bytes,
        seconds=round(event.seconds, 2),
        changes=tuple(
            (letter, label(path), size) for letter, path, size in event.changes[:MOST_CHANGES]
        ),
        changes_count=event.changes_count,
    )
