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
FIRST_TRY = "first try"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one test ended: passed, failed, skipped or unknown; what it said.

    ``first_try`` is how it failed before it was tried again.
    """

    kind: str
    text: str = ""
    first_try: str = ""

    def judge(self, here: pytest.Item) -> None:
        """End the test that stands here for that one as that one did.

        One that needed a second try there needs one here: the run's last lines tell of it.
        """
        if self.kind == "skipped":
            pytest.skip(self.text)
        assert self.kind == "passed", self.text
        is_first_try = getattr(here, "execution_count", 0) == 1
        assert not (is_first_try and self.first_try), f"at the first try:\n{self.first_try}"


def second_try(config: pytest.Config) -> list[str]:
    """The options with which the other pytest tries again what fails, if this one does."""
    reruns = config.getoption("reruns", 0)
    return [f"--reruns={reruns}"] if reruns else []


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
    """What a case's children say; without one that says otherwise it passed."""
    first_try = "\n".join(
        one.get("value") or "" for one in case.iter("property") if one.get("name") == FIRST_TRY
    )
    for child in case:
        text = f"{child.get('message')}\n{child.text or ''}"
        if child.tag == "skipped":
            return Outcome("skipped", child.get("message") or "")
        if child.tag in {"failure", "error"}:
            return Outcome("failed", text)
    return Outcome("passed", first_try=first_try)
