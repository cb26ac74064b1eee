"""The pulse samples while somebody watches, and at no other time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from wardian.errors import FailedPrecondition, WardianError
from wardian.observe.frames import ResourcesFrame, Source
from wardian.observe.pulse import CPU_SHARE, SAVED_S, Notice, Pulse, Watch

PATIENCE_S = 60.0


def frame(number: int) -> ResourcesFrame:
    return ResourcesFrame(
        time_s=float(number),
        container="web",
        source=Source.EVENTS,
        cgroup="",
        memory_current_bytes=None,
        memory_peak_bytes=None,
        memory_limit_bytes=None,
        memory_anon_bytes=None,
        memory_file_bytes=None,
        memory_kernel_bytes=None,
        cpu_percent=None,
        cpu_limit_percent=None,
        throttled_percent=None,
        pids_current=None,
        pids_limit=None,
        oom_kills=None,
    )


class PipeSampler:
    """Shows a frame for each byte in a pipe; without a byte it would sleep for an hour."""

    period_s = 3600.0

    def __init__(self, error: Exception | None = None) -> None:
        self.read_fd, self.write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.error = error
        self.opened = self.closed = self.sampled = 0

    def open(self) -> None:
        self.opened += 1

    def close(self) -> None:
        self.closed += 1

    def sources(self) -> tuple[int, ...]:
        return (self.read_fd,)

    def notice(self) -> Notice:
        return Notice(is_news=True)

    def sample(self) -> ResourcesFrame | None:
        self.sampled += 1
        if self.error is not None:
            raise self.error
        try:
            return frame(len(os.read(self.read_fd, 64)))
        except BlockingIOError:
            return None

    def say(self) -> None:
        os.write(self.write_fd, b"x")


class Listener:
    """Keeps what it hears and lets a test wait for it."""

    def __init__(self) -> None:
        self.frames: list[ResourcesFrame] = []
        self.errors: list[WardianError] = []
        self._heard = threading.Condition()

    def publish(self, shown: ResourcesFrame) -> None:
        with self._heard:
            self.frames.append(shown)
            self._heard.notify_all()

    def fail(self, error: WardianError) -> None:
        with self._heard:
            self.errors.append(error)
            self._heard.notify_all()

    def wait(self, frames: int = 0, errors: int = 0) -> bool:
        with self._heard:
            return self._heard.wait_for(
                lambda: len(self.frames) >= frames and len(self.errors) >= errors, PATIENCE_S
            )


@pytest.fixture
def pulse() -> Pulse:
    return Pulse()


@pytest.fixture
def sampler() -> Iterator[PipeSampler]:
    made = PipeSampler()
    yield made
    os.close(made.read_fd)
    os.close(made.write_fd)


def test_an_event_makes_a_frame(pulse: Pulse, sampler: PipeSampler) -> None:
    listener = Listener()
    watch = pulse.watch(sampler, listener.publish, listener.fail)
    for number in range(1, 4):
        sampler.say()
        assert listener.wait(frames=number)
    watch.close()
    assert pulse.wait_stopped(PATIENCE_S)


def test_without_a_watch_nothing_runs(pulse: Pulse, sampler: PipeSampler) -> None:
    assert pulse.wait_stopped(0)
    listener = Listener()
    watch = pulse.watch(sampler, listener.publish, listener.fail)
    sampler.say()
    assert listener.wait(frames=1)
    assert pulse.is_beating
    watch.close()
    assert pulse.wait_stopped(PATIENCE_S)
    assert sampler.closed == sampler.opened == 1
    assert "wardian-pulse" not in {thread.name for thread in threading.enumerate()}


def test_a_watch_can_follow_another(pulse: Pulse, sampler: PipeSampler) -> None:
    for turn in range(1, 4):
        listener = Listener()
        watch = pulse.watch(sampler, listener.publish, listener.fail)
        sampler.say()
        assert listener.wait(frames=1)
        watch.close()
        assert pulse.wait_stopped(PATIENCE_S)
        assert sampler.closed == turn


def test_an_error_ends_the_watch_and_is_told(pulse: Pulse, sampler: PipeSampler) -> None:
    sampler.error = FailedPrecondition("gone")
    listener = Listener()
    pulse.watch(sampler, listener.publish, listener.fail)
    assert listener.wait(errors=1)
    assert listener.errors[0].what == "gone"
    assert pulse.wait_stopped(PATIENCE_S)
    assert sampler.closed == 1


def test_a_watch_nobody_wants_any_more_ends(pulse: Pulse, sampler: PipeSampler) -> None:
    listener = Listener()
    pulse.watch(sampler, listener.publish, listener.fail, is_wanted=lambda: False)
    assert pulse.wait_stopped(PATIENCE_S)
    assert sampler.sampled == 0


def test_a_listener_that_fails_does_not_stop_the_others(
    pulse: Pulse, sampler: PipeSampler, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: ResourcesFrame) -> None:
        raise RuntimeError("a mistake")

    listener, other = Listener(), PipeSampler()
    watches = [
        pulse.watch(sampler, broken, listener.fail),
        pulse.watch(other, listener.publish, listener.fail),
    ]
    sampler.say()
    other.say()
    assert listener.wait(frames=1)
    other.say()
    assert listener.wait(frames=2)
    for watch in watches:
        watch.close()
    assert pulse.wait_stopped(PATIENCE_S)
    assert "a mistake" in caplog.text
    os.close(other.read_fd)
    os.close(other.write_fd)


def test_questions_are_answered_in_the_thread_of_the_sampler(
    pulse: Pulse, sampler: PipeSampler
) -> None:
    listener = Listener()
    watch = pulse.watch(sampler, listener.publish, listener.fail)
    asked: list[str] = []
    answered = threading.Event()

    def question() -> None:
        asked.append(threading.current_thread().name)
        answered.set()

    watch.ask(question)
    assert answered.wait(PATIENCE_S)
    assert asked == ["wardian-pulse"]
    watch.close()
    assert pulse.wait_stopped(PATIENCE_S)


def test_time_spent_must_be_waited_off(pulse: Pulse, sampler: PipeSampler) -> None:
    watch: Watch[ResourcesFrame] = Watch(
        pulse, sampler, Listener().publish, Listener().fail, lambda: True
    )
    saved_s = CPU_SHARE * SAVED_S
    assert watch.spend(saved_s / 2) == 0.0
    assert watch.spend(saved_s) == pytest.approx(SAVED_S / 2, abs=0.1)


def test_who_wants_to_be_told_rarely_is_told_rarely_whatever_happens(
    pulse: Pulse, sampler: PipeSampler
) -> None:
    seldom, often, other = Listener(), Listener(), PipeSampler()
    watches = [
        pulse.watch(sampler, seldom.publish, seldom.fail, interval_s=3600.0),
        pulse.watch(other, often.publish, often.fail),
    ]
    for number in range(1, 4):
        sampler.say()
        other.say()
        assert often.wait(frames=number)
    assert sampler.sampled == 1
    for watch in watches:
        watch.close()
    assert pulse.wait_stopped(PATIENCE_S)
