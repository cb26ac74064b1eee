"""A live view under a cell, or its text where there is none to be had."""

from __future__ import annotations

from wardian.jupyter.magics.base import Call


def show_view(call: Call, kind: str, text: str) -> None:
    """Display a view of ``wardian.widgets`` (``layers``, ``processes``, ``resources``).

    The views need anywidget, which is imported when the first one is shown. ``text`` is shown
    where it cannot be.
    """
    try:
        from wardian import widgets

        made = getattr(widgets, kind)(call.workspace.subject)
    except ImportError:
        call.display({"text/plain": text})
        return
    bundle = made._repr_mimebundle_()
    data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
    call.display(data, metadata)
