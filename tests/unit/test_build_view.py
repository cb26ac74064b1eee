"""A view of a build is told what the build says, as text that can be shown."""

from __future__ import annotations

import msgspec
import pytest

from wardian.build.progress import Event
from wardian.observe.build_frame import BuildFrame
from wardian.observe.recording import of_frames, read
from wardian.observe.replica import Replica
from wardian.widgets.build_feed import MOST_LINES, BuildFeed
from wardian.widgets.still import still

EVIL = "<script>alert(1)</script>\x1b[2J"


@pytest.fixture
def sent() -> list[bytes]:
    return []


@pytest.fixture
def feed(sent: list[bytes]) -> BuildFeed:
    made = BuildFeed("shop", ["wardian", "build", "."], sent.extend)
    made.hear({"kind": "visible", "id": "a", "visible": True})
    return made


def events(*, fails: bool = False) -> list[Event]:
    told = [
        Event(kind="start", number=1, step=1, steps=2, instruction="FROM wardian/base", line=1),
        Event(kind="done", number=1, cached=True),
        Event(kind="start", number=2, step=2, steps=2, instruction=f"RUN echo {EVIL}", line=2),
        Event(kind="output", number=2, text="".join(f"{n} {EVIL}\n" for n in range(50))),
    ]
    if fails:
        return told
    changes = [("A", f"srv/{EVIL}", 5)]
    layer = "sha256:" + "0" * 64
    done = Event(kind="done", number=2, why="first build", layer=layer, seconds=1.234)
    return [
        *told,
        msgspec.structs.replace(done, changes=changes, changes_count=1),
        Event(kind="image", text="docker.io/library/shop:latest"),
    ]


def seen(sent: list[bytes]) -> BuildFrame:
    """What a page holds; a replica refuses what may not be shown."""
    replica = Replica("build")
    for message in sent:
        replica.take(msgspec.json.decode(message))
    assert isinstance(replica.frame, BuildFrame)
    return replica.frame


def test_a_page_holds_what_the_build_came_to(feed: BuildFeed, sent: list[bytes]) -> None:
    for event in events():
        feed.take(event)
    feed.end()
    frame = seen(sent)
    assert frame == feed.history.last
    assert [step.state for step in frame.steps] == ["cached", "done"]
    assert frame.steps[1].changes == (("A", r"srv/<script>alert(1)</script>\x1b[2J", 5),)
    assert len(frame.steps[1].output) == MOST_LINES
    assert frame.steps[1].output[-1].startswith("49 ")
    assert (frame.state, frame.names) == ("done", ("docker.io/library/shop:latest",))


def test_a_step_that_failed_is_the_one_that_ran(feed: BuildFeed, sent: list[bytes]) -> None:
    for event in events(fails=True):
        feed.take(event)
    feed.end("exit code: 3\nDockerfile:2")
    frame = seen(sent)
    assert [step.state for step in frame.steps] == ["cached", "failed"]
    assert (frame.state, frame.problem) == ("failed", ("exit code: 3", "Dockerfile:2"))


def test_the_static_form_is_the_same_on_every_run_and_has_no_markup(feed: BuildFeed) -> None:
    for event in events():
        feed.take(event)
    feed.end()
    assert feed.history.last is not None
    text = still(feed.history.last)
    assert "<script>" not in text
    assert "not cached: first build · layer of 1 changes" in text
    assert "1.23" not in text
    assert "000000" not in text


def test_a_build_can_be_kept_as_a_recording(feed: BuildFeed) -> None:
    for event in events():
        feed.take(event)
    feed.end()
    last = read(of_frames(feed.history)).last["build"]
    assert last == feed.history.last
