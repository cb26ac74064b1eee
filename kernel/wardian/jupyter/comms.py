"""Comms: those of the host's own views, and those that the user's code opens in a container.

Both kinds live under their own comm_id in one table for the page. A message of the page is
handled at once, also while a cell runs, and between ``busy`` and ``idle``, on which widgets in
the page count (ipykernel 7.4 does neither for a comm whose cell runs).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import comm
import msgspec
from comm.base_comm import BaseComm, CommManager

from wardian.cells.protocol import CommContent
from wardian.cells.runner import Runner, RunnerExited

if TYPE_CHECKING:
    from wardian.jupyter.kernel import WardianKernel
    from wardian.widgets.feed import Sight

WIDGET_CONTROL = "jupyter.widget.control"
NO_TARGET = "wardian.none"
PAGE_TARGET = "wardian"  # extension/src/lab/status.ts
Interceptor = Callable[[str, memoryview, Sequence[memoryview]], None]

decode_comm = msgspec.json.Decoder(CommContent).decode


class HostComm(BaseComm):
    """A comm that code in the kernel process opened or answers."""

    kernel: WardianKernel | None = None

    def publish_msg(
        self,
        msg_type: str,
        data: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        buffers: list[Any] | None = None,
        **keys: Any,
    ) -> None:
        """Send a comm message to the page, from any thread."""
        kernel = type(self).kernel
        if kernel is None:
            return
        content = {"data": data or {}, "comm_id": self.comm_id, **keys}
        kernel.publish(msg_type, content, kernel.get_parent("shell"), metadata or {}, buffers or [])


def install(kernel: WardianKernel) -> CommManager:
    """Make the comm package, and so ipywidgets, use this kernel."""
    HostComm.kernel = kernel
    manager = CommManager()
    comm.create_comm = HostComm
    comm.get_comm_manager = lambda: manager
    manager.register_target(
        PAGE_TARGET, lambda opened, message: _answer_page(kernel, opened, message)
    )
    return manager


def _answer_page(kernel: WardianKernel, opened: BaseComm, message: dict[str, Any]) -> None:
    """Show JupyterLab's own parts the current container; imported when they first ask."""
    from wardian.widgets import page

    def locate(view: str) -> Sight:
        return kernel.workspaces.current.sight(view)

    page.answer(opened, message, locate)


class GuestComm(msgspec.Struct, frozen=True):
    """A comm whose kernel side is in a container."""

    target_name: str
    runner: Runner


class GuestComms:
    """The comms whose kernel side is in a container, by id.

    ``intercepted`` are ids whose messages the kernel wants for itself: the handler gets the
    message instead of the page.
    """

    def __init__(self) -> None:
        self.comms: dict[str, GuestComm] = {}
        self.intercepted: dict[str, Interceptor] = {}

    def see(
        self, kind: str, content: memoryview, buffers: Sequence[memoryview], runner: Runner
    ) -> bool:
        """Take note of a message to the page; False if the page shall not get it."""
        head = decode_comm(content)
        if (handler := self.intercepted.get(head.comm_id)) is not None:
            handler(kind, content, buffers)
            return False
        if kind == "comm_open":
            self.comms[head.comm_id] = GuestComm(head.target_name, runner)
        elif kind == "comm_close":
            self.comms.pop(head.comm_id, None)
        return True

    def forget_dead(self) -> None:
        """A runner is gone: nobody answers for its comms any more."""
        for comm_id in [id_ for id_, known in self.comms.items() if known.runner.exited.done()]:
            del self.comms[comm_id]

    def of_target(self, target_name: str) -> list[GuestComm]:
        """The open comms of a target, such as all widgets'."""
        return [known for known in self.comms.values() if known.target_name == target_name]


async def tell_runner(runner: Runner, kind: str, message: dict[str, Any], *, cell: int) -> None:
    """Pass a comm message of the page on; done when the runner has handled it.

    The runner does not answer comm messages, but it takes things in turn: so a question that
    costs nothing is sent after it.
    """
    runner.send_comm(
        kind,
        message["content"],
        message["metadata"],
        message["buffers"],
        cell=cell,
        header=message["header"],
    )
    with suppress(RunnerExited):
        await runner.request("comm_info", {"target_name": NO_TARGET})
