"""The comm ``wardian``: how JupyterLab's own parts (status bar, side panel) see the container.

The page opens the comm with ``{"view": "resources"}`` and then speaks as a widget's view does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from comm.base_comm import BaseComm, CommManager

from wardian.observe.subject import Subject
from wardian.observe.wire import FRAME_TYPES
from wardian.widgets.feed import Feed

TARGET = "wardian"


def register(manager: CommManager, locate: Callable[[], Subject]) -> None:
    """Answer the page's comms; ``locate`` finds the notebook's current container."""

    def opened(comm: BaseComm, message: dict[str, Any]) -> None:
        view = message["content"]["data"].get("view")
        if view not in FRAME_TYPES:
            comm.close()
            return
        feed = Feed(view, locate, lambda messages: _send(comm, messages))
        comm.on_msg(lambda said: feed.hear(said["content"]["data"]))
        comm.on_close(lambda _: feed.close())

    manager.register_target(TARGET, opened)


def _send(comm: BaseComm, messages: Sequence[bytes]) -> None:
    comm.send({}, buffers=list(messages))
