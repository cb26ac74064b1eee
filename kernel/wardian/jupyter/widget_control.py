"""The widgets of a reloaded page: one answer for those of the host and those of the container.

The page opens a comm ``jupyter.widget.control`` and asks ``request_states``; it takes the first
answer for the whole. So the host's ipywidgets and the container's are both asked, and the two
answers are made one. See ipywidgets' ``packages/schema/messages.md``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec

from wardian.cells.runner import Runner
from wardian.jupyter.comms import WIDGET_CONTROL

if TYPE_CHECKING:
    from comm.base_comm import BaseComm

    from wardian.jupyter.kernel import WardianKernel

WIDGET = "jupyter.widget"
GUEST_ANSWER_S = 3.0


class States(msgspec.Struct):
    """An ``update_states`` message: every widget's state, its binary parts aside."""

    states: dict[str, Any] = msgspec.field(default_factory=dict)
    buffer_paths: list[Any] = msgspec.field(default_factory=list)
    buffers: list[Any] = msgspec.field(default_factory=list)

    def add(self, data: dict[str, Any], buffers: list[Any]) -> None:
        """Take in one side's answer."""
        paths = data.get("buffer_paths")
        states = data.get("states")
        if isinstance(states, dict) and isinstance(paths, list) and len(paths) == len(buffers):
            self.states.update(states)
            self.buffer_paths += paths
            self.buffers += buffers


class _HostEnd:
    """What the host's ipywidgets takes for the control comm."""

    def __init__(self) -> None:
        self.states = States()
        self._callback: Callable[[dict[str, Any]], None] | None = None

    def on_msg(self, callback: Callable[[dict[str, Any]], None]) -> None:
        self._callback = callback

    def send(self, data: dict[str, Any], buffers: list[Any] | None = None) -> None:
        self.states.add(data, buffers or [])

    def ask(self, message: dict[str, Any]) -> States:
        self.states = States()
        if self._callback is not None:
            self._callback(message)
        return self.states


class WidgetControl:
    """One control comm of the page."""

    def __init__(self, kernel: WardianKernel, comm_id: str) -> None:
        self._kernel = kernel
        self._comm_id = comm_id
        self._host = _HostEnd()
        self._guests: list[Runner] = []
        self._answers: asyncio.Queue[States | None] = asyncio.Queue()

    async def open(self, message: dict[str, Any]) -> None:
        """The page opened it: so it is opened with every side that has widgets."""
        if (target := self._kernel.comm_manager.targets.get(WIDGET_CONTROL)) is not None:
            target(cast("BaseComm", self._host), message)
        guests = self._kernel.guest_comms
        self._guests = list(
            {id(known.runner): known.runner for known in guests.of_target(WIDGET)}.values()
        )
        if self._guests:
            guests.intercepted[self._comm_id] = self._guest_said
        await self._tell_guests("comm_open", message)

    async def receive(self, message: dict[str, Any]) -> None:
        """The page asks for all states.

        A busy container's are late: then there is no answer, and the page asks for each widget by
        itself, which it waits for.
        """
        merged = self._host.ask(message)
        await self._tell_guests("comm_msg", message)
        for _ in self._guests:
            try:
                answer = await asyncio.wait_for(self._answers.get(), GUEST_ANSWER_S)
            except TimeoutError:
                return
            if answer is not None:
                merged.states.update(answer.states)
                merged.buffer_paths += answer.buffer_paths
                merged.buffers += answer.buffers
        data = {
            "method": "update_states",
            "states": merged.states,
            "buffer_paths": merged.buffer_paths,
        }
        content = {"comm_id": self._comm_id, "data": data}
        self._kernel.publish("comm_msg", content, message, {}, merged.buffers)

    async def close(self, message: dict[str, Any]) -> None:
        """The page has what it wanted."""
        self._kernel.guest_comms.intercepted.pop(self._comm_id, None)
        await self._tell_guests("comm_close", message)

    async def _tell_guests(self, kind: str, message: dict[str, Any]) -> None:
        for runner in self._guests:
            request = self._kernel.outputs.begin(message)
            self._kernel.outputs.end(request)
            runner.send_comm(
                kind,
                message["content"],
                message["metadata"],
                message["buffers"],
                cell=request.number,
                header=message["header"],
            )

    def _guest_said(self, kind: str, content: memoryview, buffers: Sequence[memoryview]) -> None:
        """A message of a container on this comm: its states, or a refusal."""
        if kind == "comm_close":
            self._answers.put_nowait(None)
            return
        data = msgspec.json.decode(content).get("data")
        if isinstance(data, dict) and data.get("method") == "update_states":
            states = States()
            states.add(data, list(buffers))
            self._answers.put_nowait(states)
