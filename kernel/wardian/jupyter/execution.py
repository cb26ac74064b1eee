"""Where a cell goes: most to a runner in the current container, our magics to the host side."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from wardian.cells.runner import ExecuteRequest, Language, Runner
from wardian.errors import InvalidInput, WardianError
from wardian.jupyter.failure import OK_REPLY, Failure
from wardian.jupyter.guest_cell import GuestCell
from wardian.jupyter.magics import mentions_magic
from wardian.jupyter.request import Request
from wardian.jupyter.settings import Settings

if TYPE_CHECKING:
    from wardian.jupyter.kernel import WardianKernel
    from wardian.jupyter.workspace import Workspace

T = TypeVar("T")
Content = dict[str, Any]


class Execution:
    """Runs one cell at a time, and asks the runners what the page wants to know about code."""

    def __init__(self, kernel: WardianKernel) -> None:
        self._kernel = kernel
        self._request: Request | None = None
        self._task: asyncio.Task[Any] | None = None
        self._cost: Content = {}

    # --- a cell --------------------------------------------------------------------------

    async def run(self, request: Request, content: Content) -> tuple[Content, Content]:
        """Run a cell; returns the reply's content and what the cell cost. Never raises."""
        self._request = request
        self._cost.clear()
        self._mark(request, begins=True)
        code = content["code"]
        try:
            if mentions_magic(code):
                reply = await self.interruptible(self._run_pieces(request, code, content))
            elif not code.strip():
                reply = dict(OK_REPLY)
            else:
                workspace = self._kernel.workspaces.current
                reply = await self.run_in(
                    workspace, self._kernel.language, code, request, content=content
                )
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise  # not this cell's work was cancelled, but the kernel ends
            reply = self._fail(Failure.of(error), request)
        except Exception as error:
            if not isinstance(error, WardianError):
                self._kernel.log.exception("error while a cell was run")
            reply = self._fail(Failure.of(error), request)
        finally:
            self._request = None
            self._mark(request, begins=False)
        return reply, dict(self._cost)

    def _mark(self, request: Request, *, begins: bool) -> None:
        """Let the views and a recording know which cell runs."""
        if request.is_silent:
            return
        self._kernel.cells.note(request.count, begins=begins)
        if self._kernel.recorder is not None:
            self._kernel.recorder.mark(request.count, begins=begins)

    def _fail(self, failure: Failure, request: Request) -> Content:
        failure = failure.without(self._kernel.workspaces.source.host_name(""))
        self._kernel.publish("error", failure.content, request.parent)
        return failure.reply

    async def _run_pieces(self, request: Request, code: str, content: Content) -> Content:
        from wardian.jupyter.magics.dispatch import run_cell

        return await run_cell(self._kernel, request, code, content)

    async def run_in(
        self,
        workspace: Workspace,
        language: Language,
        code: str,
        request: Request,
        *,
        content: Content,
        stores_history: bool | None = None,
    ) -> Content:
        """Run code in a workspace; the reply's content. Raises WardianError if it has no runner."""
        runner = workspace.running(language)
        if runner is None:
            runner = await self.interruptible(workspace.runner(language))
        stores = request.stores_history if stores_history is None else stores_history
        message = ExecuteRequest(
            cell=request.number,
            code=code,
            header=request.parent["header"],
            silent=request.is_silent,
            store_history=stores,
            user_expressions=content.get("user_expressions") or {},
            allow_stdin=request.allows_stdin,
            count=request.count,
            cell_id=request.parent.get("metadata", {}).get("cellId"),
        )
        self._warn(workspace, request)
        assert workspace.gauge is not None  # made with the first runner
        cell = GuestCell(self._kernel, workspace, request, workspace.gauge)
        said = request.parent.get("metadata", {}).get("wardian")
        if not said:
            reply = await cell.run(runner, message, workspace.timeout_s)
        else:
            reply = await self._run_limited(cell, runner, message, workspace, said)
        if cell.cost is not None:
            self._cost |= cell.cost.metadata
        return reply

    def _warn(self, workspace: Workspace, request: Request) -> None:
        """What this host does not keep is said by the first cell that it would be kept for."""
        warnings, workspace.warnings = workspace.warnings, []
        if warnings:
            content = {"name": "stderr", "text": "".join(f"{line}\n" for line in warnings)}
            self._kernel.publish("stream", content, request.parent)

    async def _run_limited(
        self,
        cell: GuestCell,
        runner: Runner,
        message: ExecuteRequest,
        workspace: Workspace,
        said: object,
    ) -> Content:
        """Run a cell whose own metadata asks for other limits, for the time it runs."""
        settings = Settings(image=workspace.settings.image).with_words(said)
        if settings.image != workspace.settings.image or settings.volumes or settings.require:
            raise InvalidInput(
                "a cell's metadata cannot choose another image, volumes or a rung",
                hint="use %container new NAME --image IMAGE --volume … and %%on NAME",
            )
        timeout_s = settings.timeout_s or workspace.timeout_s
        if not (settings.memory or settings.cpus or settings.pids):
            return await cell.run(runner, message, timeout_s)
        usual = await asyncio.to_thread(lambda: workspace.limits)
        await asyncio.to_thread(workspace.limit, settings.limits_over(usual))
        try:
            return await cell.run(runner, message, timeout_s)
        finally:
            if workspace.is_open:
                await asyncio.to_thread(workspace.limit, usual)

    async def interruptible(self, work: Coroutine[Any, Any, T]) -> T:
        """Host-side work that an interrupt ends."""
        if self._task is not None:
            return await work
        self._task = asyncio.create_task(work)
        try:
            result: T = await self._task
            return result
        finally:
            self._task = None

    def interrupt(self) -> None:
        """Interrupt the running cell: its runner, or what the host does for it."""
        self._kernel.stdin.cancel()
        if self._request is not None and self._request.interrupt is not None:
            self._request.interrupt()
        elif self._task is not None:
            self._task.cancel()

    # --- questions about code ------------------------------------------------------------

    async def complete(self, code: str, cursor_pos: int) -> Content:
        """Completions of our magics first, then the runner's."""
        ours = None
        if mentions_magic(code, partial=True):
            from wardian.jupyter.magics.completion import complete

            ours = await complete(self._kernel, code, cursor_pos)
            if ours is not None and ours.is_whole:
                return ours.content
        content = {"code": code, "cursor_pos": cursor_pos}
        nothing = {
            "status": "ok",
            "matches": [],
            "cursor_start": cursor_pos,
            "cursor_end": cursor_pos,
            "metadata": {},
        }
        theirs = await self._ask("complete", content, nothing)
        return ours.with_more(theirs) if ours is not None else theirs

    async def inspect(
        self, code: str, cursor_pos: int, detail_level: int, omit_sections: Any
    ) -> Content:
        """Help on one of our magics, else what the runner knows."""
        if mentions_magic(code):
            from wardian.jupyter.magics.completion import describe_at

            if (text := describe_at(code, cursor_pos)) is not None:
                return {"status": "ok", "found": True, "data": {"text/plain": text}, "metadata": {}}
        content = {
            "code": code,
            "cursor_pos": cursor_pos,
            "detail_level": detail_level,
            "omit_sections": sorted(omit_sections),
        }
        return await self._ask(
            "inspect", content, {"status": "ok", "found": False, "data": {}, "metadata": {}}
        )

    async def is_complete(self, code: str) -> Content:
        """A cell magic is complete when it ends with an empty line, as in IPython."""
        if mentions_magic(code):
            is_done = not code.startswith("%%") or code.endswith("\n\n") or "\n" not in code
            return {"status": "complete"} if is_done else {"status": "incomplete", "indent": ""}
        return await self._ask("is_complete", {"code": code}, {"status": "unknown"})

    async def history(self, content: Content) -> Content:
        """The history of the current container's runner."""
        reply = await self._ask("history", content, {"status": "ok", "history": []})
        if content["hist_access_type"] == "range" and content.get("session", 0) > 0:
            # IPython calls the session that goes on 0, whatever number one asks by.
            session = content["session"]
            reply["history"] = [[one[0] or session, *one[1:]] for one in reply["history"]]
        return reply

    async def debug(self, content: Content) -> Content:
        """A debug_request, answered by the debugger beside the Python cells."""
        return await self._ask("debug", content, {}, language=Language.PYTHON)

    async def _ask(
        self, kind: str, content: Content, otherwise: Content, *, language: Language | None = None
    ) -> Content:
        """Ask the runner; where there is none to be had the answer is ``otherwise``."""
        try:
            workspace = self._kernel.workspaces.current
            runner = await workspace.runner(language or self._kernel.language)
            return await runner.request(kind, content)
        except WardianError as error:
            self._kernel.log.info("%s not answered: %s", kind, error.what)
            return otherwise
