"""Tests that run elsewhere, by another pytest: which there are, and how each has ended."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one test ended: passed, failed, skipped or unknown; what it said."""

    kind: str
    text: str = ""


def collected(places: Sequence[str], *options: str) -> list[object]:
    """The node ids of the tests in these files, by asking pytest to collect them."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "--color=no",
        "-p",
        "no:nbval",
    ]
    said = subprocess.run(
        [*command, *options, *places],
        cwd=ROOT,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    tests: list[object] = [line for line in said.stdout.splitlines() if "::" in line]
    if said.returncode or not tests:
        raise pytest.UsageError(f"cannot collect {places[0]} and others:\n{said.stdout[-2000:]}")
    return tests


def junit_name(node_id: str) -> str:
    """A node id as junit names it: dotted module, dot, function with its parameters."""
    path, _, name = node_id.partition("::")
    return f"{path.removesuffix('.py').replace('/', '.')}.{name}"


def seen_on(console: str) -> Iterator[tuple[str, Outcome]]:
    """The tests that passed before a machine ran out of time or broke down, by its console."""
    for found in re.finditer(r"^(tests/\S+::.+?) PASSED", console, re.MULTILINE):
        yield junit_name(found[1]), Outcome("passed")


def outcomes(report: str) -> dict[str, Outcome]:
    """A junit report by test, named as junit does: dotted module, dot, function."""
    found = {}
    for case in ET.fromstring(report).iter("testcase"):  # noqa: S314 - pytest's own report
        found[f"{case.get('classname')}.{case.get('name')}"] = outcome(case)
    return found


def outcome(case: ET.Element) -> Outcome:
    """A case has a child only if it did not simply pass."""
    for child in case:
        text = f"{child.get('message')}\n{child.text or ''}"
        if child.tag == "skipped":
            return Outcome("skipped", child.get("message") or "")
        if child.tag in {"failure", "error"}:
            return Outcome("failed", text)
    return Outcome("passed")
