"""Which stages of a build need which, and that they are built in that order, several at once."""

from __future__ import annotations

import threading

import pytest

from wardian.build.faults import DockerfileError
from wardian.build.parser import parse
from wardian.build.plan import Plan
from wardian.build.schedule import in_order
from wardian.build.stages import recipe

DIAMOND = {0: frozenset[int](), 1: frozenset({0}), 2: frozenset({0}), 3: frozenset({1, 2})}


def plan(text: str, target: str = "", contexts: tuple[str, ...] = ()) -> Plan:
    return Plan.of(recipe(parse(text.encode())), target, {}, contexts)


def test_only_what_the_target_is_made_from_is_needed() -> None:
    text = (
        "ARG base=make\nFROM a AS make\nFROM b AS unused\nFROM c AS tools\nFROM $base\n"
        "COPY --from=0 /x /\nRUN --mount=target=/t,from=tools,type=bind true\n"
    )
    assert plan(text).needs == {0: set(), 2: set(), 3: {0, 2}}
    assert plan(text, "unused").needs == {1: set()}
    assert [stage.label for stage in plan(text).stages] == ["make", "tools", "stage-3"]


def test_named_context_stands_for_a_stage_that_is_then_not_built() -> None:
    text = "FROM a AS make\nFROM b\nCOPY --from=make /x /\n"
    assert plan(text).needs == {0: set(), 1: {0}}
    assert plan(text, contexts=("make",)).needs == {1: set()}


def test_circle_of_stages_is_a_fault_at_its_line() -> None:
    with pytest.raises(DockerfileError, match="Dockerfile:2: circular dependency"):
        plan("FROM x AS a\nCOPY --from=b / /\nFROM a AS b\n")


@pytest.mark.parametrize("at_once", [1, 2, 8])
def test_each_is_done_after_what_it_needs(at_once: int) -> None:
    done: list[int] = []

    def work(number: int) -> None:
        assert DIAMOND[number] <= set(done)
        done.append(number)

    in_order(DIAMOND, work, at_once=at_once, stop=lambda: None)
    assert sorted(done) == [0, 1, 2, 3]
    assert (done[0], done[-1]) == (0, 3)


def test_independent_ones_are_done_at_the_same_time() -> None:
    meeting = threading.Barrier(2)

    def work(number: int) -> None:
        if number in (1, 2):
            meeting.wait(10)  # broken if the other does not come

    in_order(DIAMOND, work, at_once=2, stop=lambda: None)


def test_no_more_than_allowed_are_done_at_once() -> None:
    lock, running, most = threading.Lock(), [0], [0]

    def work(_: int) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        with lock:
            running[0] -= 1

    in_order({number: frozenset() for number in range(50)}, work, at_once=3, stop=lambda: None)
    assert 1 <= most[0] <= 3


def test_first_error_stops_the_others_and_is_raised() -> None:
    stop, did = threading.Event(), []

    def work(number: int) -> None:
        if number == 0:
            raise ValueError("first")
        assert stop.wait(10)
        did.append(number)
        raise ValueError("stopped")

    alone = {0: frozenset[int](), 1: frozenset[int](), 2: frozenset({1})}
    with pytest.raises(ValueError, match="first"):
        in_order(alone, work, at_once=2, stop=stop.set)
    assert did == [1]
