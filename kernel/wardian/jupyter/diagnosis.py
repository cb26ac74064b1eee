"""Why a runner ended in the middle of a cell, what is lost, and what to do about it."""

from __future__ import annotations

import signal
from typing import Any

import msgspec

from wardian.cells.protocol import ErrorContent
from wardian.cells.runner import ExitReason
from wardian.cgroups.cgroup import Events
from wardian.cgroups.limits import Limits
from wardian.jupyter.failure import PLAIN, RED, Failure
from wardian.jupyter.wording import size

LOST = "variables are lost; files and background processes are as they were"
ALL_LOST = "variables and processes are lost; files are as they were"
CRASHES = frozenset({"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"})
AGAIN = "run the cells again that define what you need"


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when a cell has ended: events before and after it, limits, the container.

    Where cells are ``is_plain`` processes, the events are of all that is in the same group.
    """

    before: Events
    after: Events
    limits: Limits
    is_container_running: bool
    is_plain: bool = False

    @property
    def was_oom_killed(self) -> bool:
        """Whether the OOM killer took a process of the container during the cell."""
        return _grew(self.before.oom_kill, self.after.oom_kill)

    @property
    def was_fork_refused(self) -> bool:
        """Whether the process limit refused a fork during the cell."""
        return _grew(self.before.pids_max, self.after.pids_max)

    @property
    def memory(self) -> str:
        """The memory limit in words."""
        limit = self.limits.memory_bytes
        everything = "all that the session or the machine has"
        return f"its limit of {size(limit)}" if limit is not None else everything

    @property
    def way_out(self) -> str:
        """What to do about memory: a limit that there is not cannot be raised."""
        raised = f", or raise the limit: %limits --memory {_doubled(self.limits)}"
        return f"use less memory{raised if self.limits.memory_bytes is not None else ''}"


def runner_gone(what: Circumstances, reason: ExitReason) -> Failure:
    """The interpreter is gone."""
    if what.is_plain:
        return _plain_runner_gone(what, reason)
    if not what.is_container_running and not what.was_oom_killed:
        return Failure.saying(
            "ContainerDied",
            f"the container's PID 1 was killed, and every process with it; {ALL_LOST}",
            hint=f"{AGAIN}; the next cell starts the container again",
        )
    if what.was_oom_killed:
        lost = LOST if what.is_container_running else ALL_LOST
        return Failure.saying(
            "LimitHit",
            f"out of memory: the container reached {what.memory} and the interpreter was killed; "
            f"{lost}",
            hint=f"{what.way_out}; then {AGAIN}",
        )
    return Failure.saying(
        "InterpreterDied", f"the interpreter {_ended(reason)}; {LOST}", hint=AGAIN
    )


def _plain_runner_gone(what: Circumstances, reason: ExitReason) -> Failure:
    lost = LOST if what.is_container_running else ALL_LOST
    if what.was_oom_killed and reason.exit_code == 128 + signal.SIGKILL:
        return Failure.saying(
            "LimitHit",
            f"out of memory: the machine or pod that this runs in had no more, and the interpreter"
            f" was killed; {lost}",
            hint=f"use less memory; then {AGAIN}",
        )
    return Failure.saying(
        "InterpreterDied", f"the interpreter {_ended(reason)}; {lost}", hint=AGAIN
    )


def timed_out(timeout_s: float, *, is_runner_alive: bool) -> Failure:
    """The cell ran longer than it may."""
    lost = "nothing is lost" if is_runner_alive else f"the interpreter was killed; {LOST}"
    return Failure.saying(
        "LimitHit",
        f"time limit: the cell ran longer than {timeout_s:g} s and was stopped; {lost}",
        hint="do less in one cell, or raise the limit: %limits --timeout SECONDS",
    )


def fork_refused(what: Circumstances, error: ErrorContent) -> Failure:
    """An error of the cell that the process limit explains."""
    limit = what.limits.pids
    said = f"{error.ename}: {error.evalue}"
    evalue = f"process limit: the container may have at most {limit} processes; nothing is lost"
    hint = "end processes (%ps shows them), or raise the limit: %limits --pids NUMBER"
    last = Failure.saying("LimitHit", evalue, hint=hint).traceback
    return Failure("LimitHit", evalue, (*(error.traceback or [said]), "", *last))


def exit_status(reply: dict[str, Any]) -> Failure:
    """A shell cell whose last command did not end with 0."""
    evalue = str(reply.get("evalue", ""))
    line = f"exit status {evalue}"
    of_pipe = reply.get("pipe_status")
    if isinstance(of_pipe, list) and len(of_pipe) > 1:
        line += f" (in the pipe: {' | '.join(map(str, of_pipe))})"
    return Failure("ExitStatus", evalue, (f"{RED}{line}{PLAIN}",))


def is_about_forking(error: ErrorContent) -> bool:
    """Whether a refused fork would look like this."""
    said = f"{error.ename} {error.evalue}".lower()
    return (
        error.ename == "BlockingIOError"
        or "resource temporarily unavailable" in said
        or "can't start new thread" in said
        or "cannot fork" in said
        or "fork:" in said
    )


def oom_note(what: Circumstances) -> str:
    """A line for stderr when the OOM killer took a process, but not the interpreter."""
    return (
        f"wardian: out of memory: the container reached {what.memory}; "
        "the kernel killed a process of this cell\n"
    )


def _grew(before: int | None, after: int | None) -> bool:
    return before is not None and after is not None and after > before


def _ended(reason: ExitReason) -> str:
    if reason.fault:
        return f"{reason.fault} and was killed"
    if reason.exit_code <= 128:
        return f"ended with exit status {reason.exit_code}"
    try:
        name = signal.Signals(reason.exit_code - 128).name
    except ValueError:
        name = f"signal {reason.exit_code - 128}"
    return f"crashed ({name})" if name in CRASHES else f"was killed ({name})"


def _doubled(limits: Limits) -> str:
    return f"{max(2 * (limits.memory_bytes or 0) >> 20, 512)}m"
