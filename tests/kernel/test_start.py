"""The kernel always starts; what stands in the way of a container is the first cell's one error."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kernel.page import Page


@contextmanager
def _page(**environment: str) -> Iterator[Page]:
    page = Page.open("wardian-python", env={**os.environ, **environment})
    try:
        yield page
    finally:
        page.close()


def _hint(page: Page, code: str = "1") -> tuple[str, str, str]:
    outcome = page.run(code)
    lines = outcome.content["traceback"]
    assert len("\n".join(lines)) < 600
    ename, evalue = outcome.error
    return ename, evalue, lines[-1]


def test_unknown_image_is_said_by_the_first_cell_and_tried_again() -> None:
    with _page(WARDIAN_IMAGE="no/such:image") as page:
        ename, evalue, hint = _hint(page)
        assert ename == "NotFound"
        assert "no/such:image" in evalue
        assert hint.startswith("hint: ")
        assert _hint(page)[0] == "NotFound"
        assert page.run("%container reset --image wardian/base").status == "ok"
        assert page.run("1 + 1").result == "2"


@pytest.mark.parametrize(
    ("name", "value", "evalue"),
    [
        ("WARDIAN_MEMORY", "1k", "memory limit too small: 1024"),
        ("WARDIAN_MEMORY", "lots", "not a size: 'lots'"),
        ("WARDIAN_CPUS", "-3", "not a number of CPUs: '-3'"),
        ("WARDIAN_TIMEOUT", "soon", "not a time limit: soon"),
    ],
)
def test_impossible_limit_is_said_by_the_first_cell(name: str, value: str, evalue: str) -> None:
    with _page(**{name: value}) as page:
        assert _hint(page)[:2] == ("InvalidInput", evalue)


def test_state_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with _page(WARDIAN_ROOT=str(tmp_path / "file" / "state")) as page:
        ename, evalue, hint = _hint(page)
        assert ename == "SetupError"
        assert "state directory" in evalue
        assert "WARDIAN_ROOT" in hint


def _mounted(where: Path, kind: str, options: str) -> None:
    where.mkdir()
    subprocess.run(["mount", "-t", kind, kind, "-o", options, str(where)], check=True)


def test_read_only_state_directory_is_said(tmp_path: Path) -> None:
    where = tmp_path / "state"
    _mounted(where, "tmpfs", "ro,size=1m")
    try:
        with _page(WARDIAN_ROOT=str(where)) as page:
            ename, evalue, hint = _hint(page)
            assert ename == "SetupError"
            assert "Read-only file system" in evalue
            assert "WARDIAN_ROOT" in hint
    finally:
        subprocess.run(["umount", str(where)], check=True)


def test_full_state_directory_is_said(tmp_path: Path) -> None:
    where = tmp_path / "state"
    _mounted(where, "tmpfs", "size=64k")
    try:
        with _page(WARDIAN_ROOT=str(where)) as page:
            ename, evalue, _ = _hint(page)
            assert ename == "SetupError"
            assert "No space left on device" in evalue
        subprocess.run(["umount", "-l", str(where)], check=True)
    finally:
        subprocess.run(["umount", "-lq", str(where)], check=False)


def test_later_cell_tries_again_when_the_obstacle_is_gone(tmp_path: Path) -> None:
    obstacle = tmp_path / "state"
    obstacle.write_text("in the way")
    tmp_path.chmod(tmp_path.stat().st_mode | stat.S_IXOTH)
    with _page(WARDIAN_ROOT=str(obstacle), WARDIAN_KEEPER_IDLE_S="1") as page:
        assert page.run("1").status == "error"
        obstacle.unlink()
        assert page.run("1 + 1").result == "2"


def test_kernel_answers_everything_without_a_container() -> None:
    with _page(WARDIAN_IMAGE="no/such:image") as page:
        assert page.ask("kernel_info_request", {})["status"] == "ok"
        assert page.ask("complete_request", {"code": "pri", "cursor_pos": 3})["matches"] == []
        assert page.ask("is_complete_request", {"code": "1"})["status"] == "unknown"
        found = page.ask("inspect_request", {"code": "pri", "cursor_pos": 3, "detail_level": 0})
        assert found["found"] is False
        assert page.control("usage_request")["hostname"] == "main"
        assert page.run("%%host\n1 + 1").result == "2"
        assert page.run("%container list").status == "ok"
