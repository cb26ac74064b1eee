"""The three views: layers, processes, resources."""

from __future__ import annotations

from typing import Any

import msgspec

from wardian.errors import WardianError
from wardian.observe.frames import Frame, LayersFrame, ProcessesFrame, ResourcesFrame
from wardian.observe.layers import LayersSampler
from wardian.observe.processes import ProcessesSampler
from wardian.observe.pulse import Sampler
from wardian.observe.resources import ResourcesSampler
from wardian.observe.subject import Subject
from wardian.widgets.view import ContainerView, bundle

_HISTORY_FIELDS = (
    "time_s",
    "memory_current_bytes",
    "memory_limit_bytes",
    "cpu_percent",
    "cpu_limit_percent",
    "throttled_percent",
    "pids_current",
    "pids_limit",
    "oom_kills",
)
_HISTORY_FRAMES = 600


class LayersView(ContainerView[LayersFrame]):
    """The overlay: lower n … lower 0, upper, work and merged, and what the upper layer holds."""

    view = "layers"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._esm, self._css = bundle("layers.js"), bundle("views.css")
        super().__init__(*args, **kwargs)

    def _make_sampler(self, subject: Subject) -> Sampler[LayersFrame]:
        return LayersSampler(subject)

    def _answer(self, request: dict[str, Any]) -> None:
        sampler, watch, path = self._sampler, self._watch, request["path"]
        if request.get("kind") != "versions" or watch is None:
            return
        if isinstance(sampler, LayersSampler):
            watch.ask(lambda: self._send_versions(sampler, path))

    def _send_versions(self, sampler: LayersSampler, path: str) -> None:
        try:
            versions = sampler.versions(path)
        except WardianError:
            return  # it went while the question was on its way: the next frame says so
        self._send_json({"kind": "versions", **msgspec.to_builtins(versions)})


class ProcessesView(ContainerView[ProcessesFrame]):
    """The processes as a tree, each with its host pid ⇄ container pid."""

    view = "processes"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._esm, self._css = bundle("processes.js"), bundle("views.css")
        super().__init__(*args, **kwargs)

    def _make_sampler(self, subject: Subject) -> Sampler[ProcessesFrame]:
        return ProcessesSampler(subject)


class ResourcesView(ContainerView[ResourcesFrame]):
    """Memory, CPU and processes against their limits, over time."""

    view = "resources"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._esm, self._css = bundle("resources.js"), bundle("views.css")
        super().__init__(*args, **kwargs)

    def _make_sampler(self, subject: Subject) -> Sampler[ResourcesFrame]:
        return ResourcesSampler(subject)

    def _history(self) -> tuple[bytes, ...]:
        frames: list[Frame] = list(self._record)[-_HISTORY_FRAMES:]
        columns = {name: [getattr(frame, name) for frame in frames] for name in _HISTORY_FIELDS}
        return (msgspec.json.encode({"kind": "history", "columns": columns}),)
