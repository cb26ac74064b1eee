"""Live views of a container for notebooks: ``layers``, ``processes``, ``resources``, ``network``.

``image`` shows an image instead, ``build`` how one is made, ``containers`` who there is;
``replay`` shows what was recorded, without any container.

A view looks at most every ``period_s``.

The classes need anywidget and ipywidgets, which take a while to import: they are imported when the
first view is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wardian.observe.network_frame import NetworkFrame
from wardian.observe.subject import Subject
from wardian.runtime.container import Container

if TYPE_CHECKING:
    from wardian.observe.image import Exhibit
    from wardian.observe.image_frame import ImageFrame
    from wardian.observe.listing import Choice
    from wardian.observe.recording import Recording
    from wardian.widgets.limiter import Limiter
    from wardian.widgets.recording_view import RecordingView
    from wardian.widgets.signaller import Freezer
    from wardian.widgets.view import (
        BuildView,
        ContainersView,
        ContainerView,
        ImageView,
        LayersView,
        NetworkView,
        ProcessesView,
        ResourcesView,
    )

Locator = Callable[[], Subject]  # for whom it is found anew each time that somebody looks
Target = Container | Subject | Locator
__all__ = [
    "BuildView",
    "ContainerView",
    "ContainersView",
    "ImageView",
    "LayersView",
    "NetworkView",
    "ProcessesView",
    "RecordingView",
    "ResourcesView",
    "build",
    "containers",
    "image",
    "layers",
    "network",
    "processes",
    "replay",
    "resources",
]


def layers(container: Target, *, period_s: float = 0.0) -> LayersView:
    """The overlay of a container, live: its layers, and what was written to the upper one."""
    from wardian.widgets.view import LayersView

    return LayersView(_locator(container), period_s=period_s)


def processes(
    container: Target, *, freezer: Freezer | None = None, period_s: float = 0.0
) -> ProcessesView:
    """The processes of a container, live, with their pids on both sides; it can signal them.

    A container can be frozen in the view; where it is none the ``freezer`` does that.
    """
    from wardian.widgets.view import ProcessesView

    if freezer is None and isinstance(container, Container):
        freezer = container
    return ProcessesView(_locator(container), freezer=freezer, period_s=period_s)


def resources(
    container: Target, *, limiter: Limiter | None = None, period_s: float = 0.0
) -> ResourcesView:
    """The memory, CPU time and processes that a container uses, live, and its limits.

    A container's limits can be changed in the view; others' are the ``limiter``'s to change.
    """
    from wardian.widgets.limiter import ContainerLimits
    from wardian.widgets.view import ResourcesView

    if limiter is None and isinstance(container, Container):
        limiter = ContainerLimits(container)
    return ResourcesView(_locator(container), limiter=limiter, period_s=period_s)


def network(
    container: Container, frame: NetworkFrame | None = None, *, period_s: float = 0.0
) -> NetworkView:
    """The networks of a container and of those beside it, live; ``frame`` if one was just taken."""
    from wardian.observe.surroundings import Surroundings
    from wardian.widgets.view import NetworkView

    return NetworkView(lambda: Surroundings.of(container), frame=frame, period_s=period_s)


def containers(choice: Choice, *, period_s: float = 0.0) -> ContainersView:
    """The containers that are chosen, live: how each is, and what it uses."""
    from wardian.widgets.view import ContainersView

    return ContainersView(lambda: choice, period_s=period_s)


def build(name: str, command: Sequence[str]) -> BuildView:
    """A build of an image of that name, to be told what the ``command`` says."""
    from wardian.widgets.view import BuildView

    return BuildView(name, command)


def image(exhibit: Exhibit, frame: ImageFrame | None = None) -> ImageView:
    """An image: documents, history, layers and files; ``frame`` if it was looked at just now."""
    from wardian.widgets.view import ImageView

    return ImageView(exhibit, frame=frame)


def replay(recording: Path | str | bytes | Recording, *views: str) -> RecordingView:
    """A recording, by its file or its content; only these views, or all that it has.

    Raises NotFound or InvalidInput.
    """
    from wardian.observe.recording import load, read
    from wardian.widgets.recording_view import RecordingView

    if isinstance(recording, bytes):
        recording = read(recording)
    elif isinstance(recording, Path | str):
        recording = load(Path(recording))
    return RecordingView(recording, views)


def _locator(container: Target) -> Locator:
    if isinstance(container, Subject):
        return lambda: container
    if isinstance(container, Container):
        return lambda: Subject.of(container.info)
    return container


def __getattr__(name: str) -> Any:
    if name in __all__:
        from wardian.widgets import recording_view, view

        return getattr(recording_view if name == "RecordingView" else view, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
