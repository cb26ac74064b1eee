"""The views without a browser: what a notebook stores, and what a hostile page can't do."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comm
import pytest
from comm.base_comm import BaseComm
from msgspec.structs import replace

from tests.unit.test_observe_processes import Members
from wardian import widgets
from wardian.cgroups.limits import Limits
from wardian.errors import FailedPrecondition, InvalidInput, NotFound
from wardian.observe.frames import LayersFrame
from wardian.observe.subject import Subject
from wardian.widgets import ContainerView, LayersView, ProcessesView, ResourcesView
from wardian.widgets import page as page_comm
from wardian.widgets.feed import PULSE, Feed
from wardian.widgets.limiter import Wish
from wardian.widgets.still import text

PATIENCE_S = 60.0
UNUSED: Any = None
VIEWS = (LayersView, ProcessesView, ResourcesView)


class RecordingComm(BaseComm):
    """Keeps what would have gone to the page."""

    sent: list[tuple[str, dict[str, Any], list[bytes]]]

    def publish_msg(
        self,
        msg_type: str,
        data: Any = None,
        metadata: Any = None,  # noqa: ARG002  # the base class's signature
        buffers: Any = None,
        **keys: Any,  # noqa: ARG002
    ) -> None:
        if not hasattr(self, "sent"):
            self.sent = []
        self.sent.append((msg_type, data or {}, [bytes(b) for b in buffers or ()]))


@pytest.fixture(autouse=True)
def page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comm, "create_comm", RecordingComm)


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    for name in ("upper", "lower"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower/base").write_text("base")
    (tmp_path / "upper/base").write_text("changed")
    (tmp_path / "upper/<script>").write_text("x")
    return Subject(
        name="web",
        init_host_pid=os.getpid(),
        lowers=(tmp_path / "lower",),
        upper=tmp_path / "upper",
        work=tmp_path / "work",
        group=Members(os.getpid()),
        digests=("sha256:0011223344556677",),
    )


@pytest.fixture(params=VIEWS, ids=lambda view: str(view.__name__))
def view(request: pytest.FixtureRequest, subject: Subject) -> Iterator[ContainerView]:
    made = request.param(lambda: subject)
    yield made
    made.close()
    assert PULSE.wait_stopped(PATIENCE_S)


def say(view: ContainerView, content: Any) -> None:
    data = {"method": "custom", "content": content}
    view.comm.handle_msg({"content": {"data": data}, "buffers": []})


def bundle(view: ContainerView) -> dict[str, Any]:
    made = view._repr_mimebundle_()
    assert made is not None
    return made[0]


def test_text_form_has_neither_addresses_nor_figures(view: ContainerView) -> None:
    assert bundle(view)["text/plain"] == f"{type(view).__name__}('web')"


def test_static_form_is_the_same_on_a_second_run(view: ContainerView, subject: Subject) -> None:
    again = type(view)(lambda: subject)
    assert bundle(view)["text/html"] == bundle(again)["text/html"]
    again.close()


def test_static_form_has_no_pids_paths_or_markup_of_the_container(
    view: ContainerView, subject: Subject
) -> None:
    html = bundle(view)["text/html"]
    assert str(os.getpid()) not in html
    assert str(subject.upper) not in html
    assert "<script>" not in html


def test_static_layers_show_what_changed(subject: Subject) -> None:
    html = bundle(LayersView(lambda: subject))["text/html"]
    assert "~ /base  (hides lower 0)" in html
    assert "+ /&lt;script&gt;" in html


def test_recorded_layers_tell_what_was_copied_up_where_they_know(subject: Subject) -> None:
    view = LayersView(lambda: subject)
    frame = view.last
    assert isinstance(frame, LayersFrame)
    told = text(replace(frame, copied_up=2, copied_up_bytes=64 << 20))
    assert told.splitlines()[-1] == "copied up: 2 files, 64 MiB at most"
    assert "copied up" not in text(frame) + bundle(view)["text/html"]
    view.close()


def test_state_holds_a_frame_before_anybody_looks(view: ContainerView) -> None:
    message = json.loads(view.frame)
    assert (message["kind"], message["view"]) == ("full", view.view)


def test_nothing_is_sampled_until_somebody_looks(view: ContainerView) -> None:
    assert PULSE.wait_stopped(0)
    say(view, {"kind": "visible", "id": "a", "visible": True})
    assert PULSE.is_beating
    say(view, {"kind": "visible", "id": "a", "visible": False})
    assert PULSE.wait_stopped(PATIENCE_S)


def test_sampling_goes_on_while_one_of_two_looks(view: ContainerView) -> None:
    for viewer in ("a", "b"):
        say(view, {"kind": "visible", "id": viewer, "visible": True})
    say(view, {"kind": "visible", "id": "a", "visible": False})
    assert PULSE.is_beating
    say(view, {"kind": "visible", "id": "b", "visible": False})
    assert PULSE.wait_stopped(PATIENCE_S)


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        "visible",
        {"kind": "visible"},
        {"kind": "visible", "id": {"$ne": 1}, "visible": True},
        {"kind": "versions"},
        {"kind": "versions", "path": ["/etc"]},
        {"kind": "versions", "path": "/../../etc/shadow"},
        {"kind": "content", "path": "/base", "layer": ["upper"], "against": {}},
        {"kind": "content", "path": "/base", "layer": "lower 7", "against": None},
        {"kind": "folder", "path": "/../..", "tree": "merged", "most": "all"},
        {"kind": "folder", "path": "/", "tree": ["merged"]},
        {"kind": "unheard of", "path": "/base"},
        {"kind": "signal"},
        {"kind": "signal", "number": 1, "signal": 9, "host_pid": [1], "start_ticks": 1},
        {"kind": "freeze", "number": 1, "freeze": "yes"},
        {"kind": "limit"},
        {"kind": "limit", "what": "memory", "value": 1 << 30},
        {"kind": "limit", "what": "devices", "value": 1, "number": 1},
        {"kind": "limit", "what": ["cpu"], "value": 1, "number": 1},
        {"kind": "limit", "what": "cpu", "value": float("nan"), "number": 1},
        {"kind": "limit", "what": "pids", "value": -1, "number": 1},
        {"kind": "words"},
        {"kind": "words", "language": ["ko"]},
        {"kind": "words", "language": "../../../etc"},
    ],
)
def test_nonsense_from_the_page_does_nothing(
    view: ContainerView, content: Any, caplog: pytest.LogCaptureFixture
) -> None:
    say(view, {"kind": "visible", "id": "a", "visible": True})
    say(view, content)
    assert isinstance(view._feed, Feed)
    assert view._feed._viewers.keys() == {"a"}
    assert caplog.text == ""


def test_a_wish_for_a_limit_leaves_the_others_and_replaces_what_says_the_same() -> None:
    limits = Limits(memory_bytes=64 << 20, pids=100, cpu_quota_usec=50_000, cpu_period_usec=50_000)
    cpu = Wish.of({"what": "cpu", "value": 25, "number": 1})
    assert cpu is not None
    assert cpu.over(limits) == Limits(memory_bytes=64 << 20, pids=100, cpus=0.25)
    nothing = Wish.of({"what": "memory", "value": None, "number": 2})
    assert nothing is not None
    assert nothing.over(limits).memory_bytes is None
    too_many = Wish.of({"what": "cpu", "value": 100_000, "number": 3})
    assert too_many is not None
    with pytest.raises(InvalidInput, match="more CPUs than this machine has"):
        too_many.over(limits)


def test_a_page_in_korean_is_told_the_words_by_a_view_and_by_a_recording(
    view: ContainerView,
) -> None:
    replayed = widgets.replay(view.freeze())
    for one in (view, replayed):
        say(one, {"kind": "words", "language": "ko"})
        ((_, _, (told,)),) = [sent for sent in one.comm.sent if b'"catalogue"' in b"".join(sent[2])]
        assert json.loads(told)["catalogue"]["Layers"] == ["레이어"]
    replayed.close()


def test_frozen_view_is_a_recording_that_replays_without_sampling(view: ContainerView) -> None:
    replayed = widgets.replay(view.freeze())
    assert repr(replayed) == f"RecordingView({view.view} of 'web')"
    made = replayed._repr_mimebundle_()
    assert made is not None
    assert "recorded" in made[0]["text/plain"]
    assert not PULSE.is_beating
    replayed.close()


def test_view_that_was_not_recorded_is_refused(subject: Subject) -> None:
    frozen = LayersView(lambda: subject).freeze()
    with pytest.raises(NotFound):
        widgets.replay(frozen, "processes")


def test_view_of_a_container_that_does_not_run_says_so() -> None:
    def gone() -> Subject:
        raise FailedPrecondition("container 'web' is not running")

    with pytest.raises(FailedPrecondition):
        LayersView(gone)


@pytest.fixture
def lab(subject: Subject) -> comm.base_comm.CommManager:
    """The kernel's comms, with ours among their targets."""
    manager = comm.get_comm_manager()
    manager.register_target(
        "wardian", lambda opened, said: page_comm.answer(opened, said, lambda _view: subject)
    )
    return manager


def open_comm(lab: comm.base_comm.CommManager, view: str) -> RecordingComm | None:
    content = {"comm_id": "c1", "target_name": "wardian", "data": {"view": view}}
    lab.comm_open(UNUSED, UNUSED, {"content": content})
    opened = lab.get_comm("c1")
    assert opened is None or isinstance(opened, RecordingComm)
    return opened


def test_lab_sees_the_container_by_a_comm_of_its_own(lab: comm.base_comm.CommManager) -> None:
    opened = open_comm(lab, "layers")
    assert opened is not None
    opened.handle_msg({"content": {"data": {"kind": "visible", "id": "a", "visible": True}}})
    assert PULSE.is_beating
    lab.comm_close(UNUSED, UNUSED, {"content": {"comm_id": "c1", "data": {}}})
    assert PULSE.wait_stopped(PATIENCE_S)


def test_lab_can_not_ask_for_what_there_is_not(lab: comm.base_comm.CommManager) -> None:
    assert open_comm(lab, "../x") is None
