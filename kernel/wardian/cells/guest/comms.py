"""Comms (Jupyter widgets and the like) that the user's code opens, over the link to the host."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import comm
from comm.base_comm import BaseComm, CommManager

from .link import Link


def install(link: Link) -> CommManager:
    """Make the `comm` package's comms go over this link."""

    class LinkComm(BaseComm):
        """A comm whose other end is the page."""

        def publish_msg(
            self,
            msg_type: str,
            data: Optional[Dict[str, Any]] = None,
            metadata: Optional[Dict[str, Any]] = None,
            buffers: Optional[List[Any]] = None,
            **keys: Any,
        ) -> None:
            content = dict(data=data or {}, comm_id=self.comm_id, **keys)
            link.publish(msg_type, content, metadata, buffers or ())

    manager = CommManager()
    comm.create_comm = LinkComm
    comm.get_comm_manager = lambda: manager
    return manager


def handle(manager: CommManager, kind: str, message: Dict[str, Any]) -> None:
    """Hand a message of the page to the comm that it is for."""
    getattr(manager, kind)(None, "", message)
