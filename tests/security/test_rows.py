"""The table of attacks in `tests.security` names tests that exist, and every attack of the list."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import tests.security

HERE = Path(__file__).parent
LIST = HERE.parents[1].parent / "shared" / "SECURITY-TESTS.md"
# Rows of other parts than the runtime core.
ELSEWHERE = ("build contexts", "HTML and JavaScript", "network", "the side panel")
ROW = re.compile(
    r"^(?P<attack>\S.*): (?P<file>(?:\.\./)?[a-z_/]+)\n(?P<tests>(?:    test_\w+\n)+)", re.MULTILINE
)
ROWS = [
    (found["attack"], found["file"], found["tests"].split())
    for found in ROW.finditer(tests.security.__doc__ or "")
]


@pytest.mark.parametrize(("attack", "file", "names"), ROWS)
def test_attack_has_its_tests(attack: str, file: str, names: list[str]) -> None:
    tree = ast.parse((HERE / f"{file}.py").read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    there = {node.name for node in ast.walk(tree) if isinstance(node, functions)}
    assert set(names) <= there, attack


def test_every_attack_of_the_list_is_in_the_table() -> None:
    if not LIST.exists():
        pytest.skip("the list of attacks (shared) is not beside this checkout")
    rows = [line.split("|")[1].strip() for line in LIST.read_text().splitlines() if "|" in line][2:]
    assert len(rows) > 20
    assert len(ROWS) > 20
    said = " ".join(attack for attack, _, _ in ROWS)
    for row in rows:
        numbers = re.findall(r"\d{4}-\d{4,5}", row)
        known = (
            row.startswith(ELSEWHERE)
            or (numbers and all(number in said for number in numbers))
            or any(row.startswith(attack) for attack, _, _ in ROWS)
        )
        assert known, row
