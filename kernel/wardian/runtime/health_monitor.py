"""Healthchecks carried out: each container that has one is asked from time to time.

A probe is a process of the container like any that `exec` starts. Its key is negative, so that the
keeper after this one knows it for what it is, and ends it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from msgspec.structs import replace

from wardian.errors import WardianError
from wardian.runtime import messages as m
from wardian.runtime.health import MAX_OUTPUT_BYTES, TIMED_OUT, Health, HealthStatus, Probe
from wardian.runtime.history import Execution, History
from wardian.runtime.ledger import Ledger
from wardian.runtime.live import Live
from wardian.runtime.loop import Loop, Timer
from wardian.runtime.spec import ProcessSpec
from wardian.runtime.state import Record, Status

CHUNK_BYTES = 1 << 16
Told = Callable[[HealthStatus | None], None]


class HealthMonitors:
    """The monitors of all containers that run and have a healthcheck."""

    def __init__(self, loop: Loop, ledger: Ledger, history: History) -> None:
        self._loop = loop
        self._ledger = ledger
        self._history = history
        self._monitors: dict[str, _Monitor] = {}
        self._waiting: dict[str, list[Told]] = {}

    def watch(self, live: Live) -> None:
        """Ask this container from now on, if it has a healthcheck and is not paused."""
        container_id, spec = live.record.id, live.record.spec
        self.stop(container_id)
        if spec.healthcheck and spec.process and live.record.status is Status.RUNNING:
            monitor = _Monitor(self._loop, self._ledger, live, self._history, self._heard)
            self._monitors[container_id] = monitor
            monitor.wait()

    def stop(self, container_id: str) -> None:
        """Ask it no more, and end the probe that is under way."""
        if monitor := self._monitors.pop(container_id, None):
            monitor.stop()

    def ended(self, container_id: str) -> None:
        """The container has ended: whoever waits for its health hears None."""
        self.stop(container_id)
        self._tell(container_id, None)

    def wait(self, record: Record, told: Told) -> None:
        """Call ``told`` once, as soon as it is healthy or unhealthy; None if it ends before."""
        health = record.health or Health()
        if health.status is not HealthStatus.STARTING:
            told(health.status)
        else:
            self._waiting.setdefault(record.id, []).append(told)

    def leave(self, container_id: str, told: Told) -> None:
        """Call it no more."""
        with suppress(KeyError, ValueError):
            self._waiting[container_id].remove(told)

    def _tell(self, container_id: str, status: HealthStatus | None) -> None:
        for told in self._waiting.pop(container_id, ()):
            told(status)

    def _heard(self, record: Record, probe: Probe, ran_s: float) -> None:
        assert record.spec.healthcheck is not None
        before = record.health or Health()
        health = before.after(probe, record.spec.healthcheck, ran_s=ran_s)
        record = self._ledger.note(record, health=health)
        if health.status is not before.status:
            self._history.note(f"health_status: {health.status.value}", record)
            self._tell(record.id, health.status)


class _Monitor:
    """Asks one container, again and again. One probe at a time."""

    def __init__(
        self,
        loop: Loop,
        ledger: Ledger,
        live: Live,
        history: History,
        heard: Callable[[Record, Probe, float], None],
    ) -> None:
        self._loop = loop
        self._ledger = ledger
        self._live = live
        self._history = history
        self._heard = heard
        self._timer: Timer | None = None
        self._ran_s = 0.0  # when it was asked last
        self._inquiry: _Inquiry | None = None

    def wait(self) -> None:
        """Ask when the time has come."""
        record = self._record()
        if record is None or record.spec.healthcheck is None:
            return
        delay_s = record.spec.healthcheck.delay_s(record.health or Health(), record.ran_s())
        self._timer = self._loop.later(delay_s, self._ask)

    def stop(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._inquiry is not None:
            self._inquiry.abandon()

    def _record(self) -> Record | None:
        return self._ledger.get(self._live.record.id)

    def _ask(self) -> None:
        record = self._record()
        if record is None or (check := record.spec.healthcheck) is None:
            return
        self._ran_s = record.ran_s()
        main = record.spec.process
        assert main is not None
        spec = replace(main, argv=check.argv, terminal_size=None)
        self._inquiry = _Inquiry(self._loop, self._live, spec, self._history, self._note, self._go)
        self._inquiry.begin(check.timeout_s)

    def _note(self, probe: Probe) -> None:
        if record := self._record():
            self._heard(record, probe, self._ran_s)

    def _go(self) -> None:
        """The probe is over."""
        self._inquiry = None
        self.wait()


class _Inquiry:
    """One probe under way. ``note`` hears its answer, ``over`` that its process has ended."""

    def __init__(
        self,
        loop: Loop,
        live: Live,
        spec: ProcessSpec,
        history: History,
        note: Callable[[Probe], None],
        over: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._live = live
        self._spec = spec
        self._execution = Execution(history, live.record, spec.argv)
        self._note = note
        self._over = over
        self._output = bytearray()
        self._is_cut = False
        self._is_abandoned = False
        self._has_answered = False
        self._began_at = time.time()
        self._fd = -1
        self._key: int | None = None
        self._timer: Timer | None = None

    def begin(self, timeout_s: float) -> None:
        """Start it; its output is ours."""
        self._fd, write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._fd, False)
        self._loop.watch(self._fd, self._read)
        self._timer = self._loop.later(timeout_s, lambda: self._expire(timeout_s))
        self._execution.was_asked_for()
        try:
            self._key = self._live.spawn_probe(self._spec, write_end, self._spawned)
        except WardianError as error:
            self._answer(TIMED_OUT, error.what)
            self._over()
        finally:
            os.close(write_end)

    def abandon(self) -> None:
        """Nobody wants the answer any more."""
        self._is_abandoned = True
        self._has_answered = True
        self._kill()
        self._close()

    def _spawned(self, result: m.SpawnedProcess | WardianError, _fds: tuple[int, ...]) -> None:
        if not isinstance(result, WardianError):
            self._execution.has_started()
            self._live.wait(result.key, self._ended)
        elif not self._is_abandoned:
            self._answer(TIMED_OUT, result.what)
            self._over()

    def _ended(self, exit_code: int) -> None:
        if self._is_abandoned:
            return
        self._execution.has_ended(exit_code)
        self._read()
        self._answer(exit_code, "")
        self._over()

    def _expire(self, timeout_s: float) -> None:
        self._kill()
        self._answer(TIMED_OUT, f"Health check exceeded timeout ({timeout_s:g}s)")

    def _kill(self) -> None:
        if self._key is not None:
            self._live.signal(signal.SIGKILL, self._key, group=True)

    def _read(self) -> None:
        """Keep the beginning of what it says; the rest is read lest it wait for us."""
        if self._fd < 0:
            return
        with suppress(BlockingIOError):
            while data := os.read(self._fd, CHUNK_BYTES):
                room = MAX_OUTPUT_BYTES - len(self._output)
                self._output += data[:room]
                self._is_cut |= len(data) > room
                if not room:
                    return  # others are served between
            self._close_pipe()

    def _answer(self, exit_code: int, why: str) -> None:
        """What it comes to, unless it has been told: an answer after the time is none."""
        if self._has_answered:
            return
        self._has_answered = True
        said = self._output.decode(errors="replace") + ("..." if self._is_cut else "")
        self._close()
        self._note(
            Probe(
                began_at=self._began_at,
                ended_at=time.time(),
                exit_code=exit_code,
                output=": ".join(filter(None, (why, said))),
            )
        )

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._close_pipe()

    def _close_pipe(self) -> None:
        if self._fd >= 0:
            self._loop.unwatch(self._fd)
            os.close(self._fd)
            self._fd = -1
