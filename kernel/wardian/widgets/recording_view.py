"""The view of a recording: all that it has, by one clock. Of the kernel it asks words at most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anywidget
import traitlets

from wardian.observe.recording import Recording
from wardian.widgets.language import words_asked_for
from wardian.widgets.recording_still import chosen, forms
from wardian.widgets.view import bundle


class RecordingView(anywidget.AnyWidget):
    """Replays views with pause, step, speed and a slider. The page unpacks the file itself."""

    recording = traitlets.Bytes().tag(sync=True)
    views = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, recorded: Recording, views: Sequence[str] = ()) -> None:
        self._esm, self._css = bundle("recording.js"), bundle("views.css")
        self._recorded = recorded
        super().__init__(recording=recorded.data, views=chosen(recorded, views))
        self.on_msg(self._hear)

    def _hear(self, _widget: object, content: object, _buffers: object) -> None:
        if words := words_asked_for(content):
            self.send({}, buffers=[words])

    def __repr__(self) -> str:
        return f"RecordingView({', '.join(self.views)} of {self._recorded.head.container!r})"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        made = super()._repr_mimebundle_(**kwargs)
        if made is None:
            return None
        data, metadata = made
        return {**data, **forms(self._recorded, self.views)}, metadata
