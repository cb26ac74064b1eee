"""What the three views have in common: a widget that shows Frames and never reads /proc.

The page says when a view is on screen; only then does anything get sampled. Frames go to it as
bytes (:mod:`wardian.observe.wire`). The model's own state holds the last frame, for a page that
opens later and for notebooks that store their widgets' state.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import anywidget
import msgspec
import traitlets

from wardian.errors import FailedPrecondition, InvalidInput, SetupError, WardianError
from wardian.observe import wire
from wardian.observe.frames import Frame
from wardian.observe.pulse import Pulse, Sampler, Watch
from wardian.observe.recording import Recording
from wardian.observe.subject import Subject
from wardian.widgets.still import still

STATIC = Path(__file__).parent / "static"
PULSE = Pulse()
_SILENT_S = 60.0  # a view that is seen speaks every 15 s (extension/src/attention.ts)

F = TypeVar("F", bound=Frame)


def bundle(name: str) -> str:
    """A built file of the front end. Raises SetupError where it was never built."""
    try:
        return (STATIC / name).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SetupError(
            "the views' front end has not been built",
            hint="run `npm --prefix extension ci && npm --prefix extension run build`",
        ) from error


class ContainerView(anywidget.AnyWidget, Generic[F]):
    """A live view of one container, or the replay of a recording.

    ``locate`` finds the container anew each time that somebody begins to look, since it may have
    been restarted meanwhile.
    """

    view: ClassVar[str]

    container = traitlets.Unicode().tag(sync=True)
    frame = traitlets.Bytes().tag(sync=True)
    recording = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, locate: Callable[[], Subject] | None = None, *, replay: Recording | None = None
    ) -> None:
        self._locate = locate
        self._watch: Watch[F] | None = None
        self._sampler: Sampler[F] | None = None
        self._viewers: dict[str, float] = {}
        self._sent: Frame | None = None
        self._record = replay or Recording(self.view, "")
        state = self._replay_state() if locate is None else self._first_look(locate)
        super().__init__(**state)
        self.on_msg(self._hear)

    @classmethod
    def replay(cls, frozen: dict[str, Any]) -> ContainerView[F]:
        """A view of what ``freeze`` kept: needs no container and no kernel of ours."""
        recording = Recording.from_json(frozen)
        if recording.view != cls.view:
            raise InvalidInput(f"a recording of {recording.view}, not of {cls.view}")
        return cls(replay=recording)

    def freeze(self) -> dict[str, Any]:
        """The frames seen so far as JSON-able data; ``replay`` shows them again."""
        return self._record.to_json()

    @property
    def last(self) -> Frame | None:
        """The latest frame."""
        return self._record.last

    @abstractmethod
    def _make_sampler(self, subject: Subject) -> Sampler[F]:
        """The sampler that this view shows."""

    def __repr__(self) -> str:
        recorded = "" if self._locate is not None else ", recorded"
        return f"{type(self).__name__}({self.container!r}{recorded})"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        made = super()._repr_mimebundle_(**kwargs)
        if made is None or self.last is None:
            return made
        data, metadata = made
        return {**data, "text/html": still(self.last)}, metadata

    def close(self) -> None:
        """Stop sampling, and take the view off the page."""
        self._viewers.clear()
        self._rest()
        super().close()

    def _replay_state(self) -> dict[str, Any]:
        last = self._record.last
        if last is None:
            raise FailedPrecondition(
                "nothing was recorded", hint="freeze a view that was looked at"
            )
        text = msgspec.json.encode(self._record.to_json()).decode()
        return {"container": last.container, "frame": wire.full(last), "recording": text}

    def _first_look(self, locate: Callable[[], Subject]) -> dict[str, Any]:
        """One frame at once, so that the notebook shows something before anybody looks."""
        subject = locate()
        self._record.container = subject.name
        sampler = self._make_sampler(subject)
        sampler.open()
        try:
            frame = sampler.sample()
        finally:
            sampler.close()
        if frame is None:
            return {"container": subject.name}
        self._record.append(frame)
        return {"container": subject.name, "frame": wire.full(frame)}

    def _hear(self, _widget: object, content: object, _buffers: object) -> None:
        """What the page says. It can be anything, so nothing of it is trusted."""
        if not isinstance(content, dict):
            return
        if content.get("kind") == "visible" and isinstance(content.get("id"), str):
            self._notice_viewer(content["id"], is_visible=content.get("visible") is True)
        elif isinstance(content.get("path"), str):
            self._answer(content)

    def _answer(self, request: dict[str, Any]) -> None:
        """Reply to a question about a row. Views without details have nothing to say."""

    def _notice_viewer(self, viewer: str, *, is_visible: bool) -> None:
        if not is_visible:
            self._viewers.pop(viewer, None)
            if not self._viewers:
                self._rest()
            return
        is_new = viewer not in self._viewers
        self._viewers[viewer] = time.monotonic()
        if self._watch is None:
            self._begin()
        elif is_new and self._sent is not None:
            self._send_bytes(wire.full(self._sent), *self._history())

    def _begin(self) -> None:
        if self._locate is None:
            return
        self._sent = None
        try:
            self._sampler = self._make_sampler(self._locate())
        except WardianError as error:
            self._fail(error)
            return
        if history := self._history():
            self._send_bytes(*history)
        self._watch = PULSE.watch(self._sampler, self._publish, self._fail, self._is_wanted)

    def _history(self) -> tuple[bytes, ...]:
        """Messages that a view which has just come to look needs besides the frame."""
        return ()

    def _rest(self) -> None:
        """Nobody looks: stop, and let the model's state hold what was seen last."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
        if self._sent is not None and self.comm is not None:
            self.frame = wire.full(self._sent)

    def _is_wanted(self) -> bool:
        oldest = time.monotonic() - _SILENT_S
        for viewer, heard_s in list(self._viewers.items()):
            if heard_s < oldest:
                self._viewers.pop(viewer, None)
        if not self._viewers:
            self._rest()
        return bool(self._viewers)

    def _publish(self, frame: F) -> None:
        before, self._sent = self._sent, frame
        self._record.append(frame)
        self._send_bytes(wire.full(frame) if before is None else wire.delta(before, frame))

    def _fail(self, error: WardianError) -> None:
        self._watch = None
        self._send_json({"kind": "error", "what": error.what, "hint": error.hint})

    def _send_json(self, message: object) -> None:
        self._send_bytes(msgspec.json.encode(message))

    def _send_bytes(self, *messages: bytes) -> None:
        # A binary buffer is passed on as it is; a dict would be packed as JSON once more.
        self.send({}, buffers=list(messages))
