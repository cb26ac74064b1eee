"""Limits of size and words that keep the code readable."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "kernel" / "wardian"
MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 60
MAX_MEDIAN_FUNCTION_LINES = 12
VAGUE_NAMES = {"common", "helper", "helpers", "manager", "misc", "util", "utils"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, Function))


def length_lines(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_and_its_functions_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) < MAX_MODULE_LINES
    long = [one.name for one in functions(path) if length_lines(one) >= MAX_FUNCTION_LINES]
    assert not long


def test_median_function_is_short() -> None:
    lengths = [length_lines(one) for path in modules() for one in functions(path)]
    assert statistics.median(lengths) <= MAX_MEDIAN_FUNCTION_LINES


def test_no_module_has_a_vague_name() -> None:
    assert not {str(path) for path in modules() if path.stem in VAGUE_NAMES}


def test_no_name_is_a_bare_pid() -> None:
    """Where host and container each have a number for it, a name says whose it is."""
    for path in modules():
        for function in functions(path):
            arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            bare = [one.arg for one in arguments if one.arg == "pid"]
            assert not bare, f"{path.relative_to(ROOT)}: {function.name}(pid)"


def test_tests_do_not_sleep_where_they_could_wait() -> None:
    """A sleep is allowed only inside a loop that watches a condition.

    Benchmarks may: what they compare must not meet what the round before left to do.
    """
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if path.parent.name == "benchmarks":
            continue
        tree = ast.parse(path.read_text())
        loops = [node for node in ast.walk(tree) if isinstance(node, ast.While | ast.For)]
        inside = {id(node) for loop in loops for node in ast.walk(loop)}
        bare = [
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and ast.unparse(node.func) in ("time.sleep", "asyncio.sleep", "sleep")
            and id(node) not in inside
            and node.args
            and ast.unparse(node.args[0]) != "0"
        ]
        assert not bare, f"{path.relative_to(ROOT)} sleeps in line(s) {bare}"


# Here the time of day is what is asked for: moments that people or other machines name.
OF_THE_CALENDAR = {
    "cli",  # how long ago something was, and --since and --until
    "compose/listing.py",
    "runtime/calls.py",  # events until a moment
    "images/registry/transport.py",  # Retry-After as a date (RFC 9110)
    "images/registry/download.py",  # files of a day ago: they outlive the machine's boot
}


def test_no_deadline_and_no_age_is_of_a_clock_that_people_set() -> None:
    """It jumps; `time.monotonic` and `linux.clock` do not. The tests of a jump are the guest's."""
    for path in modules():
        place = path.relative_to(PACKAGE)
        if {str(place), place.parts[0]} & OF_THE_CALENDAR:
            continue
        reckoned = [
            node.lineno
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.BinOp | ast.Compare)
            for part in ast.iter_child_nodes(node)
            if ast.unparse(part) in ("time.time()", "time.time_ns()")
        ]
        assert not reckoned, f"{place} reckons with the time of day in line(s) {reckoned}"
