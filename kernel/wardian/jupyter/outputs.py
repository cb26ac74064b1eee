"""Where the runners' output goes: to iopub, under the message of the page that asked for it."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from wardian.cells.protocol import ErrorContent
from wardian.jupyter.failure import Failure
from wardian.jupyter.request import Capture, Request

if TYPE_CHECKING:
    from wardian.cells.runner import Runner
    from wardian.jupyter.kernel import WardianKernel
    from wardian.jupyter.workspace import Workspace

log = logging.getLogger("wardian.kernel")

REMEMBERED_PARENTS = 512


decode_error = msgspec.json.Decoder(ErrorContent).decode


class Outputs:
    """The requests that are being served, and the parents of those that were.

    A thread or a background process may write long after its cell has ended: what it says still
    belongs to that cell, as long as the cell is among the last ``REMEMBERED_PARENTS``.
    """

    def __init__(self, kernel: WardianKernel) -> None:
        self._kernel = kernel
        self._running: dict[int, Request] = {}
        self._parents: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._last_number = 0

    def begin(self, parent: dict[str, Any], **facts: Any) -> Request:
        """A new request under a number of its own."""
        self._last_number += 1
        request = Request(self._last_number, parent, **facts)
        self._running[request.number] = request
        self._parents[request.number] = parent
        if len(self._parents) > REMEMBERED_PARENTS:
            self._parents.popitem(last=False)
        return request

    def end(self, request: Request) -> None:
        """It has been answered."""
        self._running.pop(request.number, None)

    def running(self, number: int) -> Request | None:
        """The request with this number, if it is being served."""
        return self._running.get(number)

    def parent(self, number: int) -> dict[str, Any]:
        """The page's message behind a number; the last cell's if it was too long ago."""
        return self._parents.get(number) or self._kernel.get_parent("shell")

    def release_error(self, request: Request) -> None:
        """Publish the error that was held back."""
        if request.held_error is not None:
            self._kernel.publish("error", request.held_error, request.parent)
            request.held_error = None


class RunnerOutput:
    """The sink of one runner (`wardian.cells.runner.Sink`)."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.runner: Runner | None = None

    @property
    def _kernel(self) -> WardianKernel:
        kernel = self._workspace.kernel
        assert kernel is not None  # a cell was run, so there is one
        return kernel

    def publish(
        self,
        cell: int,
        kind: str,
        content: memoryview,
        metadata: dict[str, Any],
        buffers: Sequence[memoryview],
        confirm: Callable[[], object] = lambda: None,
    ) -> None:
        """One iopub message of the runner; ``content`` is JSON and goes on as it is."""
        kernel = self._kernel
        request = kernel.outputs.running(cell)
        if request is not None:
            kernel.outputs.release_error(request)
        if request is not None and request.capture is not None:
            confirm()
            _keep(request.capture, kind, content)
        elif request is not None and kind == "error":
            confirm()
            request.held_error = bytes(content)
        elif not kind.startswith("comm_") or self._passes(kind, content, buffers):
            parent = kernel.outputs.parent(cell)
            kernel.pass_on(kind, content, parent, metadata, buffers, confirm)

    def _passes(self, kind: str, content: memoryview, buffers: Sequence[memoryview]) -> bool:
        runner = self.runner
        return runner is not None and self._kernel.guest_comms.see(kind, content, buffers, runner)

    def may_open(self, comm_id: str) -> bool:
        """Whether nobody else has a comm of this id."""
        kernel = self._kernel
        return comm_id not in kernel.comm_manager.comms and comm_id not in kernel.guest_comms.comms

    def stream(self, cell: int, name: str, text: str) -> None:
        """Text that a cell wrote."""
        if self._workspace.kernel is None:
            log.warning("%s", text.rstrip())  # of a runner that has trouble to start
            return
        kernel = self._kernel
        request = kernel.outputs.running(cell)
        if request is not None:
            kernel.outputs.release_error(request)
        if request is not None and request.capture is not None:
            request.capture.text.setdefault(name, []).append(text)
        else:
            kernel.publish("stream", {"name": name, "text": text}, kernel.outputs.parent(cell))

    async def input(self, cell: int, prompt: str, *, password: bool) -> str:
        """A line of text from the page. Raises EOFError."""
        request = self._kernel.outputs.running(cell)
        if request is None or not request.allows_stdin:
            raise EOFError
        return await self._kernel.stdin.ask(
            request.parent, request.idents, prompt, password=password
        )


class _Result(msgspec.Struct):
    data: dict[str, Any]


def _keep(capture: Capture, kind: str, content: memoryview) -> None:
    """Keep what has a text form; the rest of captured output is dropped."""
    if kind == "error":
        error = decode_error(content)
        capture.failure = Failure(error.ename, error.evalue, tuple(error.traceback))
    elif kind in ("execute_result", "display_data"):
        text = msgspec.json.decode(content, type=_Result).data.get("text/plain", "")
        capture.text["stdout"].append(f"{text}\n")
