"""One piece of code in one runner: its time limit, its cost, and why it ended if it did badly."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from wardian.cells.protocol import ErrorContent
from wardian.cells.runner import ExecuteRequest, Runner, RunnerExited
from wardian.jupyter import diagnosis
from wardian.jupyter.cost import Cost, Gauge, Mark
from wardian.jupyter.diagnosis import Circumstances
from wardian.jupyter.failure import Failure
from wardian.jupyter.outputs import decode_error
from wardian.jupyter.request import Request

if TYPE_CHECKING:
    from wardian.jupyter.kernel import WardianKernel
    from wardian.jupyter.workspace import Workspace

INTERRUPT_GRACE_S = 3.0  # on a busy machine; then its variables are lost
EXIT_STATUS = "ExitStatus"  # a shell runner's word for a status that is not 0


class TimeLimit:
    """Interrupts a runner when its time is up, and kills it if that does not help."""

    def __init__(self, runner: Runner, timeout_s: float | None) -> None:
        self.timeout_s = timeout_s
        self.was_hit = False
        self._runner = runner
        self._timer: asyncio.TimerHandle | None = None
        if timeout_s is not None:
            self._later(timeout_s, self._interrupt)

    def _later(self, delay_s: float, act: Any) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, act)

    def _interrupt(self) -> None:
        self.was_hit = True
        self._runner.interrupt()
        self._later(INTERRUPT_GRACE_S, self._kill)

    def _kill(self) -> None:
        self._runner.process.signal(signal.SIGKILL)

    def cancel(self) -> None:
        """The cell has ended."""
        if self._timer is not None:
            self._timer.cancel()


class GuestCell:
    """Runs a piece of code in a workspace and finds the one error to be shown, if any."""

    def __init__(
        self, kernel: WardianKernel, workspace: Workspace, request: Request, gauge: Gauge
    ) -> None:
        self._kernel = kernel
        self._workspace = workspace
        self._gauge = gauge
        self._request = request
        self.cost: Cost | None = None

    async def run(
        self, runner: Runner, message: ExecuteRequest, timeout_s: float | None
    ) -> dict[str, Any]:
        """The content of the reply; the error, if any, has been published."""
        gauge = self._gauge
        limit = TimeLimit(runner, timeout_s)
        before = gauge.mark()
        self._request.interrupt = runner.interrupt
        try:
            reply = await runner.execute(message)
            failure = self._look_at(limit, before)
        except RunnerExited as gone:
            failure = await self._explain(gone, limit, before)
            reply = failure.reply
        finally:
            limit.cancel()
            self._request.interrupt = None
        self.cost = gauge.cost(before)
        if failure is None and reply.get("ename") == EXIT_STATUS:
            failure = diagnosis.exit_status(reply)
        if failure is not None:
            self._show(failure)
            return {**reply, **failure.reply}
        self._kernel.outputs.release_error(self._request)
        return reply

    def _show(self, failure: Failure) -> None:
        self._request.held_error = None
        if self._request.capture is not None:
            self._request.capture.failure = failure
        else:
            self._kernel.publish("error", failure.content, self._request.parent)

    def _look_at(self, limit: TimeLimit, before: Mark) -> Failure | None:
        """A better word than the runner's for how the cell ended; None if there is none."""
        if limit.was_hit and limit.timeout_s is not None:
            return diagnosis.timed_out(limit.timeout_s, is_runner_alive=True)
        if (place := self._workspace.place) is not None:
            from wardian.jupyter import plain

            error = self._held_error()
            return None if error is None else plain.explained(error, place)
        after = self._gauge.events()
        if after == before.events:
            return None
        what = Circumstances(
            before=before.events,
            after=after,
            limits=self._workspace.limits,
            is_container_running=True,
        )
        if what.was_oom_killed:
            self._kernel.publish(
                "stream",
                {"name": "stderr", "text": diagnosis.oom_note(what)},
                self._request.parent,
            )
        error = self._held_error() if what.was_fork_refused else None
        if error is not None and diagnosis.is_about_forking(error):
            return diagnosis.fork_refused(what, error)
        return None

    def _held_error(self) -> ErrorContent | None:
        """The error that the runner sent, if it did and it makes sense."""
        with suppress(msgspec.MsgspecError):
            if self._request.held_error is not None:
                return decode_error(self._request.held_error)
        return None

    async def _explain(self, gone: RunnerExited, limit: TimeLimit, before: Mark) -> Failure:
        after = self._gauge.events()
        is_running = await asyncio.to_thread(self._workspace.is_container_running)
        self._kernel.guest_comms.forget_dead()
        limits, is_plain = self._workspace.limits, self._workspace.place is not None
        if not is_running:
            await self._workspace.reopen()
        if limit.was_hit and limit.timeout_s is not None:
            return diagnosis.timed_out(limit.timeout_s, is_runner_alive=False)
        what = Circumstances(
            before=before.events,
            after=after,
            limits=limits,
            is_container_running=is_running,
            is_plain=is_plain,
        )
        return diagnosis.runner_gone(what, gone.reason)
