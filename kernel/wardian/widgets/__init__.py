"""Live views of a container for notebooks: ``layers``, ``processes``, ``resources``."""

from __future__ import annotations

from collections.abc import Callable

from wardian.observe.subject import Subject
from wardian.runtime.container import Container
from wardian.widgets.view import ContainerView, LayersView, ProcessesView, ResourcesView

__all__ = [
    "ContainerView",
    "LayersView",
    "ProcessesView",
    "ResourcesView",
    "layers",
    "processes",
    "resources",
]


def layers(container: Container | Subject) -> LayersView:
    """The overlay of a container, live: its layers, and what was written to the upper one."""
    return LayersView(_locator(container))


def processes(container: Container | Subject) -> ProcessesView:
    """The processes of a container, live, with their pids on both sides."""
    return ProcessesView(_locator(container))


def resources(container: Container | Subject) -> ResourcesView:
    """The memory, CPU time and processes that a container uses, live, and its limits."""
    return ResourcesView(_locator(container))


def _locator(container: Container | Subject) -> Callable[[], Subject]:
    if isinstance(container, Subject):
        return lambda: container
    return lambda: Subject.of(container.info)
