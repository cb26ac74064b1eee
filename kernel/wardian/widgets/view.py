"""What the views have in common: a widget that shows Frames and never reads /proc.

The model's own state holds the frame that was seen last, for a page that opens later and for
notebooks that store their widgets' state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import traitlets

from wardian.build.progress import Event
from wardian.errors import SetupError
from wardian.observe import recording, wire
from wardian.observe.image import Exhibit
from wardian.observe.image_frame import ImageFrame
from wardian.observe.wire import Frame
from wardian.widgets.build_feed import BuildFeed
from wardian.widgets.feed import AnyFeed, Feed, Sight
from wardian.widgets.image_feed import ImageFeed
from wardian.widgets.language import words_asked_for
from wardian.widgets.limiter import Limiter
from wardian.widgets.signaller import Freezer
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
    """A view of frames that come from a feed."""

    view: ClassVar[str]

    container = traitlets.Unicode().tag(sync=True)
    frame = traitlets.Bytes().tag(sync=True)
    _feed: AnyFeed | None = None  # of one that could not be made, too

    def __init__(self, feed: AnyFeed) -> None:
        self._esm, self._css = bundle(f"{self.view}.js"), bundle("views.css")
        self._feed = feed
        super().__init__(container=feed.history.container, frame=_full(feed.history.last))
        self.on_msg(self._hear)

    def freeze(self) -> bytes:
        """The frames seen so far as a recording; ``wardian.widgets.replay`` shows them again."""
        return recording.of_frames(() if self._feed is None else self._feed.history)

    @property
    def last(self) -> Frame | None:
        """The latest frame."""
        return None if self._feed is None else self._feed.history.last

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.container!r})"

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
        if words := words_asked_for(content):
            self._send_bytes([words])
        elif self._feed is not None:
            self._feed.hear(content)

    def _send_bytes(self, messages: Sequence[bytes]) -> None:
        self.send({}, buffers=list(messages))


class ContainerView(FrameView):
    """A live view of one container.

    ``locate`` finds what is looked at; ``frame`` is a first look that was taken already.
    ``limiter`` puts limits in force that are changed in the view, ``freezer`` freezes.
    """

    def __init__(
        self,
        locate: Callable[[], Sight],
        *,
        frame: Frame | None = None,
        limiter: Limiter | None = None,
        freezer: Freezer | None = None,
        period_s: float = 0.0,
    ) -> None:
        feed = Feed(
            self.view,
            locate,
            self._send_bytes,
            self._rest,
            limiter=limiter,
            freezer=freezer,
            period_s=period_s,
        )
        feed.look_once(frame)
        super().__init__(feed)

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


class ContainersView(ContainerView):
    """The containers of a notebook, or of this machine: how each is, and what it uses."""

    view = "containers"


class BuildView(FrameView):
    """A build, step by step. Whoever builds tells `take` what is said, and at last `end`."""

    view = "build"

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self._build = feed = BuildFeed(name, command, self._send_bytes)
        super().__init__(feed)

    def take(self, event: Event) -> None:
        """Show what the build says."""
        self._build.take(event)

    def end(self, problem: str = "") -> None:
        """The build has ended; ``problem`` says why it failed. This is the state that is saved."""
        self._build.end(problem)
        self.frame = _full(self.last)


class ImageView(FrameView):
    """An image: its documents, what made each layer, and the files of each."""

    view = "image"

    def __init__(self, exhibit: Exhibit, *, frame: ImageFrame | None = None) -> None:
        feed = ImageFeed(exhibit, self._send_bytes)
        feed.look_once(frame)
        super().__init__(feed)


def _full(frame: Frame | None) -> bytes:
    return b"" if frame is None else wire.full(frame)
