"""The recorder looks though nobody does, and knows when it has had enough."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.conftest import wait_until
from tests.unit.test_observe_processes import Members
from wardian.errors import FailedPrecondition, SetupError
from wardian.observe import recording
from wardian.observe.frames import LayersFrame
from wardian.observe.recording import Head, load
from wardian.observe.subject import Subject
from wardian.widgets.feed import PULSE
from wardian.widgets.recorder import Recorder

PATIENCE_S = 30.0


@pytest.fixture(autouse=True)
def stillness() -> Iterator[None]:
    """A recorder that has ended leaves nothing running."""
    yield
    assert PULSE.wait_stopped(PATIENCE_S)


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    for name in ("upper", "lower"):
        (tmp_path / name).mkdir()
    return Subject(
        name="web",
        init_host_pid=os.getpid(),
        lowers=(tmp_path / "lower",),
        upper=tmp_path / "upper",
        work=tmp_path / "work",
        group=Members(os.getpid()),
    )


def recorder_of(subject: Subject, path: Path, *, seconds: float = 600.0) -> Recorder:
    return Recorder(
        Head.now("web"), lambda _: subject, path / "a.wardian-recording", seconds=seconds
    )


def test_what_happened_just_before_the_end_is_recorded(subject: Subject, tmp_path: Path) -> None:
    recorder = recorder_of(subject, tmp_path)
    recorder.start(["resources", "layers"], needs_all=True)
    assert recorder.views == ("layers", "resources")
    (subject.upper / "late").write_text("x")
    recorder.stop()
    found = load(recorder.path)
    layers = found.last["layers"]
    assert isinstance(layers, LayersFrame)
    assert [entry.path for entry in layers.entries] == ["/late"]
    assert found.why == ""


def test_it_ends_by_itself_when_its_time_has_passed(subject: Subject, tmp_path: Path) -> None:
    recorder = recorder_of(subject, tmp_path, seconds=0.3)
    recorder.start(["resources"], needs_all=True)
    wait_until(recorder.path.exists, timeout_s=PATIENCE_S)
    found = load(recorder.path)
    assert (found.why, found.seconds) == ("0.3 s had passed", 0.3)
    assert not recorder.is_running
    recorder.stop()
    assert recorder.why == found.why


def test_it_ends_by_itself_when_it_is_as_large_as_can_be(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "MOST_EVENTS", 103)
    recorder = recorder_of(subject, tmp_path)
    recorder.start(["resources"], needs_all=True)
    wait_until(recorder.path.exists, timeout_s=PATIENCE_S)
    assert load(recorder.path).why == "the recording had reached its largest size"


def test_a_view_that_cannot_be_had_is_told_of_or_refused(subject: Subject, tmp_path: Path) -> None:
    def locate(view: str) -> Subject:
        if view == "layers":
            raise FailedPrecondition("no layers here")
        return subject

    recorder = Recorder(Head.now("web"), locate, tmp_path / "a", seconds=600)
    recorder.start(["layers", "resources"], needs_all=False)
    assert recorder.views == ("resources",)
    assert recorder.missing["layers"].what == "no layers here"
    recorder.discard()
    asking = Recorder(Head.now("web"), locate, tmp_path / "a", seconds=600)
    with pytest.raises(FailedPrecondition, match="no layers here"):
        asking.start(["layers", "resources"], needs_all=True)
    asking.discard()
    assert not (tmp_path / "a").exists()


def test_a_container_that_ended_is_looked_for_again_with_the_next_cell(
    subject: Subject, tmp_path: Path
) -> None:
    one, other = (subprocess.Popen(["/usr/bin/sleep", "1000"]) for _ in range(2))
    try:
        now = [replace(subject, init_host_pid=one.pid)]
        recorder = Recorder(Head.now("web"), lambda _: now[0], tmp_path / "a", seconds=600)
        recorder.start(["resources"], needs_all=True)
        one.kill()
        one.wait()
        wait_until(lambda: not recorder.sees("resources"), timeout_s=PATIENCE_S)
        recorder.mark(7, begins=True)
        wait_until(lambda: not PULSE.is_beating, timeout_s=PATIENCE_S)
        now[0] = replace(subject, init_host_pid=other.pid)
        recorder.mark(7, begins=False)
        wait_until(lambda: recorder.sees("resources"), timeout_s=PATIENCE_S)
        recorder.stop()
    finally:
        for process in (one, other):
            process.kill()
            process.wait()
    assert [cell.number for cell in load(tmp_path / "a").cells] == [7]


def test_a_file_that_cannot_be_written_is_an_error_of_stop(
    subject: Subject, tmp_path: Path
) -> None:
    recorder = Recorder(Head.now("web"), lambda _: subject, tmp_path / "no/a", seconds=600)
    recorder.start(["resources"], needs_all=True)
    with pytest.raises(SetupError, match="cannot be written"):
        recorder.stop()


def test_no_more_than_its_share_of_a_core_is_spent(subject: Subject, tmp_path: Path) -> None:
    """The pulse keeps the account: whoever spends more has to wait until it is paid for."""
    recorder = recorder_of(subject, tmp_path)
    recorder.start(["processes", "resources"], needs_all=True)
    watches = [watch for watch in recorder._watches.values() if watch is not None]
    assert len(watches) == 2
    assert all(watch.interval_s >= 0.2 for watch in watches)
    assert all(watch.spend(10.0) > 0 for watch in watches)
    recorder.discard()
    assert not recorder.path.exists()
