"""What takes a while is done in another thread, and of what was asked for twice the last."""

from __future__ import annotations

import threading

import pytest

from wardian.widgets.errands import Errands

PATIENCE_S = 60.0


def test_of_errands_with_one_key_the_last_is_done_and_a_failure_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errands, done = Errands("test"), list[str]()
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        begun.set()
        go_on.wait(PATIENCE_S)
        raise ValueError("not readable after all")

    errands.run("first", first)
    assert begun.wait(PATIENCE_S)
    for name in ("old", "new"):
        errands.run("file", lambda name=name: done.append(name))  # type: ignore[misc]
    errands.run("last", ended.set)
    go_on.set()
    assert ended.wait(PATIENCE_S)
    assert done == ["new"]
    assert "what a view asked for failed" in caplog.text


def test_what_was_forgotten_is_not_done() -> None:
    errands, done = Errands("test"), list[str]()
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        begun.set()
        go_on.wait(PATIENCE_S)

    errands.run("first", first)
    assert begun.wait(PATIENCE_S)
    errands.run("file", lambda: done.append("read"))
    errands.forget()
    errands.run("last", ended.set)
    go_on.set()
    assert ended.wait(PATIENCE_S)
    assert done == []
