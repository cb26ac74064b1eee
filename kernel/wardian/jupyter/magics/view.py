"""A live view under a cell, or its text where there is none to be had."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from wardian.jupyter.magics.base import Call


def show_view(call: Call, kind: str, text: str, **options: Any) -> None:
    """Display a view of ``wardian.widgets`` (``layers``, ``processes``, ``resources``).

    ``text`` is shown where there is none to be had. ``options`` are the view's own.
    """
    workspace = call.workspace
    options["period_s"] = workspace.settings.refresh_s

    def make(widgets: Any) -> Any:
        return getattr(widgets, kind)(workspace.subject, **options)

    show_made(call, make, {"text/plain": text})


def show_made(
    call: Call,
    make: Callable[[Any], Any],
    instead: Mapping[str, str],
    forms: Mapping[str, str] | None = None,
) -> None:
    """Display what ``make`` makes of the module ``wardian.widgets``; ``forms`` replace some of its.

    The views need anywidget, which is imported when the first one is shown. ``instead`` is shown
    where it cannot be.
    """
    try:
        from wardian import widgets

        made = make(widgets)
    except ImportError:
        call.display(dict(instead))
        return
    bundle = made._repr_mimebundle_()
    data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
    call.display({**data, **(forms or {})}, metadata)
