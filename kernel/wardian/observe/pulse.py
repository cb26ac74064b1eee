"""The pulse: one thread that wakes the samplers of all open views, and only theirs.

A sampler has file descriptors that become readable when there is something to see, and a period
after which it wants to look anyway. The first event after a quiet time is looked at within
milliseconds, then at most every ``MIN_INTERVAL_S``. However much happens in a container, a sampler
never gets more than ``CPU_SHARE`` of a core (three views: less than 2 %), or what its own
``cpu_share`` says: it may save up the share of a few seconds, and what it spends beyond that is
waited off. Without a watch there is no thread.
"""

from __future__ import annotations

import logging
import os
import selectors
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import msgspec

from wardian.errors import WardianError

if TYPE_CHECKING:
    from wardian.observe.wire import Frame

MIN_INTERVAL_S = 0.1
CPU_SHARE = 0.006
SAVED_S = 3.0
_SETTLE_S = 0.01
_MAX_SLEEP_S = 3600.0

F_co = TypeVar("F_co", bound="Frame", covariant=True)
F = TypeVar("F", bound="Frame")
_log = logging.getLogger(__name__)


class Notice(msgspec.Struct, frozen=True):
    """What came of a readable source.

    ``is_news`` asks for a sample soon. The sources are left alone for ``rest_s``, or, if that is
    None, until the sample, which reads them.
    """

    is_news: bool
    rest_s: float | None = None


class Sampler(Protocol[F_co]):
    """Makes frames of one kind of one container. All calls come from the pulse's thread.

    ``sample`` is called when a frame is due and returns None when there is nothing new to show.
    ``notice`` is called at once when a source is readable, for what can't wait for the sample.
    """

    @property
    def period_s(self) -> float:
        """How long to wait at most between two looks."""

    def open(self) -> None:
        """Take hold of files and watches."""

    def close(self) -> None:
        """Let go of them. May be called twice."""

    def sources(self) -> tuple[int, ...]:
        """The file descriptors to wait on."""

    def notice(self) -> Notice:
        """Take in what can't wait."""

    def sample(self) -> F_co | None:
        """The frame of this moment, or None."""


class Watch(Generic[F]):
    """A sampler that is being run for somebody.

    ``publish`` gets each frame, ``fail`` the error that ended the watch. Before each look
    ``is_wanted`` is asked whether anybody still cares. All are called from the pulse's thread.
    Between two looks at least ``interval_s`` pass, whatever happens.
    """

    def __init__(
        self,
        pulse: Pulse,
        sampler: Sampler[F],
        publish: Callable[[F], None],
        fail: Callable[[WardianError], None],
        is_wanted: Callable[[], bool],
        interval_s: float = 0.0,
    ) -> None:
        self._pulse = pulse
        self.sampler = sampler
        self.publish = publish
        self.fail = fail
        self.is_wanted = is_wanted
        self.interval_s = max(MIN_INTERVAL_S, interval_s)
        self.sources: tuple[int, ...] = ()
        self.is_armed = False
        self.arm_s = 0.0  # when to listen to the sources again, if not armed
        self.due_s = 0.0
        self.not_before_s = 0.0
        self._share: float = getattr(sampler, "cpu_share", CPU_SHARE)
        self.credit_s = self._share * SAVED_S
        self.credited_s = time.monotonic()
        self._has_begun = False

    def spend(self, cpu_s: float) -> float:
        """Book CPU time; returns how long to wait until it has been paid for.

        What the first look takes beyond the credit is not: five thousand processes that are listed
        once would leave the view standing still for a minute.
        """
        now = time.monotonic()
        earned_s = (now - self.credited_s) * self._share
        self.credit_s = min(self._share * SAVED_S, self.credit_s + earned_s) - cpu_s
        self.credited_s = now
        if not self._has_begun:
            self._has_begun, self.credit_s = True, max(0.0, self.credit_s)
        return max(0.0, -self.credit_s / self._share)

    def close(self) -> None:
        """Stop sampling; no frame is published after the look that may be under way."""
        self._pulse.forget(self)

    def ask(self, question: Callable[[], None]) -> None:
        """Run ``question`` in the pulse's thread, where the sampler may be used."""
        self._pulse.call(question)


class Pulse:
    """Runs watches in a thread of its own, which lives as long as there is one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: set[Watch[Any]] = set()
        self._calls: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.cpu_s = 0.0

    @property
    def is_beating(self) -> bool:
        """Whether anything is sampled."""
        return self._thread is not None

    def watch(
        self,
        sampler: Sampler[F],
        publish: Callable[[F], None],
        fail: Callable[[WardianError], None],
        is_wanted: Callable[[], bool] = lambda: True,
        *,
        interval_s: float = 0.0,
    ) -> Watch[F]:
        """Sample until the watch is closed, fails or is no longer wanted."""
        watch = Watch(self, sampler, publish, fail, is_wanted, interval_s)
        with self._lock:
            self._wanted.add(watch)
            self._ensure_thread()
        return watch

    def forget(self, watch: Watch[Any]) -> None:
        """Stop a watch. Its sampler is closed by the thread, soon."""
        with self._lock:
            self._wanted.discard(watch)
        self._wake()

    def call(self, question: Callable[[], None]) -> None:
        """Run ``question`` in the thread."""
        with self._lock:
            self._calls.append(question)
            self._ensure_thread()

    def wait_stopped(self, timeout_s: float) -> bool:
        """Wait until nothing is sampled any more."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        return not self.is_beating

    def _ensure_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="wardian-pulse", daemon=True)
            self._thread.start()
        self._wake()

    def _wake(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_write(self._wake_fd, 1)

    def _run(self) -> None:
        beat = _Beat(self._wake_fd, self.forget)
        while True:
            with self._lock:
                wanted = set(self._wanted)
                calls, self._calls = self._calls, []
                if not wanted and not calls:
                    self._thread = None
                    break
            beat.adopt(wanted)
            for call in calls:
                _guarded(call)
            if wanted:
                beat.wait()
            self.cpu_s = time.thread_time()
        beat.adopt(set())
        beat.close()


class _Beat:
    """The thread's own state: which watches are open, and when each is due."""

    def __init__(self, wake_fd: int, forget: Callable[[Watch[Any]], None]) -> None:
        self._watches: set[Watch[Any]] = set()
        self._wake_fd = wake_fd
        self._forget = forget
        self._selector = selectors.DefaultSelector()
        self._selector.register(wake_fd, selectors.EVENT_READ)
        self._charged_s = time.thread_time()

    def adopt(self, wanted: set[Watch[Any]]) -> None:
        """Open what is newly wanted, close what no longer is."""
        for watch in self._watches - wanted:
            self._disarm(watch)
            watch.sampler.close()
            self._watches.discard(watch)
        for watch in wanted - self._watches:
            self._watches.add(watch)
            self._attempt(watch, watch.sampler.open)
            if watch in self._watches:
                watch.sources = watch.sampler.sources()
                self._sample(watch)

    def wait(self) -> None:
        """Sleep until something is due, then do it."""
        now = time.monotonic()
        times = [w.due_s for w in self._watches]
        times += [w.arm_s for w in self._watches if not w.is_armed and w.sources]
        timeout = max(0.0, min(min(times) - now, _MAX_SLEEP_S)) if times else None
        for key, _ in self._selector.select(timeout):
            if key.fd == self._wake_fd:
                with suppress(BlockingIOError):
                    os.eventfd_read(self._wake_fd)
            elif key.data.is_armed:
                self._notice(key.data)
        now = time.monotonic()
        for watch in list(self._watches):
            if watch.due_s <= now:
                self._sample(watch)
            elif not watch.is_armed and watch.arm_s <= now:
                self._arm(watch)

    def close(self) -> None:
        self._selector.close()

    def _notice(self, watch: Watch[Any]) -> None:
        self._disarm(watch)
        notice: Notice | None = self._attempt(watch, watch.sampler.notice)
        if notice is None:
            return
        now = time.monotonic()
        if notice.is_news:
            watch.due_s = min(watch.due_s, max(now + _SETTLE_S, watch.not_before_s))
        cost_s = self._charge(watch)
        is_for_sample = notice.rest_s is None
        watch.arm_s = watch.due_s if is_for_sample else now + max(notice.rest_s or 0.0, cost_s)

    def _sample(self, watch: Watch[Any]) -> None:
        if not watch.is_wanted():
            self._forget(watch)
            watch.due_s = float("inf")
            return
        begun = time.monotonic()
        frame = self._attempt(watch, watch.sampler.sample)
        if watch not in self._watches:
            return
        if frame is not None:
            _guarded(lambda: watch.publish(frame))
        rest_s = self._charge(watch)
        watch.not_before_s = begun + max(watch.interval_s, rest_s)
        watch.due_s = max(begun + watch.sampler.period_s, watch.not_before_s)
        if not watch.is_armed:
            self._arm(watch)

    def _charge(self, watch: Watch[Any]) -> float:
        """Book all that the thread has used since the last time, its own waking included."""
        before, self._charged_s = self._charged_s, time.thread_time()
        return watch.spend(self._charged_s - before)

    def _attempt(self, watch: Watch[Any], step: Callable[[], Any]) -> Any:
        """Run a step of a sampler; an error ends its watch."""
        try:
            return step()
        except (WardianError, OSError) as error:
            self._disarm(watch)
            self._watches.discard(watch)
            self._forget(watch)
            watch.sampler.close()
            failure = error if isinstance(error, WardianError) else WardianError(str(error))
            _guarded(lambda: watch.fail(failure))
            return None

    def _arm(self, watch: Watch[Any]) -> None:
        for fd in watch.sources:
            self._selector.register(fd, selectors.EVENT_READ, watch)
        watch.is_armed = True

    def _disarm(self, watch: Watch[Any]) -> None:
        if watch.is_armed:
            for fd in watch.sources:
                self._selector.unregister(fd)
        watch.is_armed = False


def _guarded(step: Callable[[], Any]) -> None:
    """A listener's mistake must not end everybody's sampling."""
    try:
        step()
    except Exception:  # noqa: BLE001  # logged; the thread serves other views too
        _log.exception("a view's listener failed")
