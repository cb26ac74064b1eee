"""What the views have in common: a widget that shows Frames and never reads /proc.

The model's own state holds the frame that was seen last, for a page that opens later and for
notebooks that store their widgets' state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import anywidget
import msgspec
import traitlets

from wardian.errors import FailedPrecondition, InvalidInput, SetupError
from wardian.observe import wire
from wardian.observe.image import Exhibit
from wardian.observe.image_frame import ImageFrame
from wardian.observe.recording import Recording
from wardian.observe.wire import Frame
from wardian.widgets.feed import AnyFeed, Feed, Sight
from wardian.widgets.image_feed import ImageFeed
from wardian.widgets.still import still

STATIC = Path(__file__).parent / "static"


def bundle(name: str) -> str:
    """A built file of the front end. Raises SetupError where it was never built."""
    try:
        return (STATIC / name).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SetupError(
            "the views' front end has not been built",
            hint="run `npm --prefix extension ci && npm --prefix extension run build`",
        ) from error


class FrameView(anywidget.AnyWidget):
    """A view of frames that come from a feed, or the replay of a recording."""

    view: ClassVar[str]

    container = traitlets.Unicode().tag(sync=True)
    frame = traitlets.Bytes().tag(sync=True)
    recording = traitlets.Unicode().tag(sync=True)
    _feed: AnyFeed | None = None  # of one that could not be made, too

    def __init__(self, feed: AnyFeed | None, replay: Recording | None = None) -> None:
        self._esm, self._css = bundle(f"{self.view}.js"), bundle("views.css")
        self._feed = feed
        self._record = feed.record if feed else replay or Recording(self.view, "")
        text = "" if feed else msgspec.json.encode(self._record.to_json()).decode()
        super().__init__(
            container=self._record.container, frame=_full(self._record.last), recording=text
        )
        self.on_msg(self._hear)

    @classmethod
    def replay(cls, frozen: dict[str, Any]) -> Self:
        """A view of what ``freeze`` kept: needs no container and no kernel of ours."""
        recording = Recording.from_json(frozen)
        if recording.view != cls.view:
            raise InvalidInput(f"a recording of {recording.view}, not of {cls.view}")
        if recording.last is None:
            raise FailedPrecondition("nothing was recorded", hint="freeze a view that was seen")
        return cls(None, replay=recording)

    def freeze(self) -> dict[str, Any]:
        """The frames seen so far as JSON-able data; ``replay`` shows them again."""
        return self._record.to_json()

    @property
    def last(self) -> Frame | None:
        """The latest frame."""
        return self._record.last

    def __repr__(self) -> str:
        recorded = "" if self._feed is not None else ", recorded"
        return f"{type(self).__name__}({self.container!r}{recorded})"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        made = super()._repr_mimebundle_(**kwargs)
        if made is None or self.last is None:
            return made
        data, metadata = made
        return {**data, "text/html": still(self.last)}, metadata

    def close(self) -> None:
        """Stop sampling, and take the view off the page."""
        if self._feed is not None:
            self._feed.close()
        super().close()

    def _hear(self, _widget: object, content: object, _buffers: object) -> None:
        if self._feed is not None:
            self._feed.hear(content)

    def _send_bytes(self, messages: Sequence[bytes]) -> None:
        self.send({}, buffers=list(messages))


class ContainerView(FrameView):
    """A live view of one container, or the replay of a recording.

    ``locate`` finds what is looked at; ``frame`` is a first look that was taken already.
    """

    def __init__(
        self,
        locate: Callable[[], Sight] | None = None,
        *,
        frame: Frame | None = None,
        replay: Recording | None = None,
        period_s: float = 0.0,
    ) -> None:
        feed = None
        if locate is not None:
            feed = Feed(self.view, locate, self._send_bytes, self._rest, period_s=period_s)
            feed.look_once(frame)
        super().__init__(feed, replay)

    def _rest(self) -> None:
        """Nobody looks: let the model's state hold what was seen last."""
        if self.comm is not None:
            self.frame = _full(self.last)


class LayersView(ContainerView):
    """The overlay: lower n … lower 0, upper, work and merged, and what the upper layer holds."""

    view = "layers"


class ProcessesView(ContainerView):
    """The processes as a tree, each with its host pid ⇄ container pid."""

    view = "processes"


class ResourcesView(ContainerView):
    """Memory, CPU and processes against their limits, over time."""

    view = "resources"


class NetworkView(ContainerView):
    """Network namespaces, the wires between them, and what is published and connected."""

    view = "network"


class ImageView(FrameView):
    """An image: its documents, what made each layer, and the files of each."""

    view = "image"

    def __init__(
        self,
        exhibit: Exhibit | None = None,
        *,
        frame: ImageFrame | None = None,
        replay: Recording | None = None,
    ) -> None:
        feed = None if exhibit is None else ImageFeed(exhibit, self._send_bytes)
        if feed is not None:
            feed.look_once(frame)
        super().__init__(feed, replay)


def _full(frame: Frame | None) -> bytes:
    return b"" if frame is None else wire.full(frame)
