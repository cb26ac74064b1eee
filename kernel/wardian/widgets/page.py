"""The comm ``wardian``: how JupyterLab's own parts (status bar, side panel) see the container.

The page opens the comm with ``{"view": "resources", "period_s": 1}`` and then speaks as a widget's
view does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from comm.base_comm import BaseComm

from wardian.widgets.feed import VIEWS, Feed, Sight


def answer(comm: BaseComm, message: dict[str, Any], locate: Callable[[str], Sight]) -> None:
    """Serve a comm that the page has opened; ``locate`` finds the current container's view."""
    asked = message["content"]["data"]
    view, period_s = asked.get("view"), asked.get("period_s")
    if view not in VIEWS:
        comm.close()
        return
    if not isinstance(period_s, int | float):
        period_s = 0.0
    feed = Feed(
        view, lambda: locate(view), lambda messages: _send(comm, messages), period_s=period_s
    )
    comm.on_msg(lambda said: feed.hear(said["content"]["data"]))
    comm.on_close(lambda _: feed.close())


def _send(comm: BaseComm, messages: Sequence[bytes]) -> None:
    comm.send({}, buffers=list(messages))
