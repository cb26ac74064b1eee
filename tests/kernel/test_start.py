"""The kernel always starts; what stands in the way of a container is the first cell's one error."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.page import Page
from wardian.linux import seccomp

CLONE_NEWUSER = 0x10000000
UNAME26 = 0x0020000  # personality(2): uname(2) tells of a Linux 2.6
X86_64_ONLY = pytest.mark.skipif(
    os.uname().machine != "x86_64", reason="the filter has the numbers of x86-64's calls"
)
NEW_CALLS = {  # arch/x86/entry/syscalls/syscall_64.tbl
    "5.10": (442,),  # mount_setattr
    "5.4": (442, 437, 436),  # and openat2, close_range
    "4.19": (442, 437, 436, 435, 434, 424, *range(428, 434)),  # and the mount API, clone3, pidfds
}


@contextmanager
def _page(before_exec: Callable[[], None] | None = None, **environment: str) -> Iterator[Page]:
    options: dict[str, Any] = {"preexec_fn": before_exec} if before_exec else {}
    page = Page.open("wardian-python", env={**os.environ, **environment}, **options)
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
    with _page(None, **{name: value}) as page:
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


def _filter(*denied: tuple[int, int, int]) -> Callable[[], None]:
    """Refuses calls: number, errno, and a flag that the first argument must have, if any."""

    def step(code: int, if_true: int, if_false: int, value: int) -> bytes:
        return struct.pack("=HBBI", code, if_true, if_false, value)  # struct sock_filter

    program = b""
    for number, refusal, flag in denied:
        answer = step(0x06, 0, 0, 0x00050000 | refusal)
        looks_at_flag = step(0x20, 0, 0, 16) + step(0x45, 0, 1, flag) if flag else b""
        skip = 3 if flag else 1
        program += step(0x20, 0, 0, 0) + step(0x15, 0, skip, number) + looks_at_flag + answer
    program += step(0x06, 0, 0, 0x7FFF0000)

    def load() -> None:
        seccomp.load(program)

    return load


@X86_64_ONLY
def test_host_without_user_namespaces_is_said(tmp_path: Path) -> None:
    calls = [(56, CLONE_NEWUSER), (272, CLONE_NEWUSER)]  # clone, unshare
    refused = [(435, errno.ENOSYS, 0), *((number, errno.EPERM, flag) for number, flag in calls)]
    before_exec = _filter(*refused)
    with _page(before_exec, WARDIAN_ROOT=str(tmp_path / "state")) as page:
        outcome = page.run("1 + 1")
        assert outcome.result == "2"
        said = outcome.text("stderr")
        assert said.startswith("no container: this host allows none (user namespace: unshare")
        assert "seccomp" in said
        assert page.run("%%host\n1 + 1").result == "2"
    with _page(before_exec, WARDIAN_ROOT=str(tmp_path / "state"), WARDIAN_REQUIRE="pod") as page:
        ename, evalue, hint = _hint(page)
        assert (ename, "requires the rung pod" in evalue) == ("SetupError", True)
        assert "seccomp" in hint
    found = _doctor(tmp_path / "state", before_exec)
    assert re.search(r"user namespace +missing +unshare", found)


@X86_64_ONLY
@pytest.mark.parametrize("kernel", NEW_CALLS)
def test_old_kernel_is_said(tmp_path: Path, kernel: str) -> None:
    has_no = _filter(*((number, errno.ENOSYS, 0) for number in NEW_CALLS[kernel]))

    def before_exec() -> None:
        ctypes.CDLL(None).personality(UNAME26)
        has_no()

    with _page(before_exec, WARDIAN_ROOT=str(tmp_path / "state")) as page:
        if kernel == "5.10":  # it has what plain processes need
            assert "allows none (kernel: 2.6." in page.run("1").text("stderr")
        else:
            ename, evalue, hint = _hint(page)
            assert ename == "SetupError"
            assert "no container can be started here: kernel: 2.6." in evalue
            assert "boot a newer kernel" in hint
        assert page.run("%%host\n1 + 1").result == "2"
    assert "mount_setattr" in _doctor(tmp_path / "state", before_exec)


def test_state_directory_on_an_overlay_is_used_by_copying(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("lower", "upper", "work", "merged")]
    for folder in folders:
        folder.mkdir()
    options = ",".join(f"{folder.name}dir={folder}" for folder in folders[:3])
    merged = folders[3]
    subprocess.run(["mount", "-t", "overlay", "none", "-o", options, merged], check=True)
    try:
        with _page(WARDIAN_ROOT=str(merged / "state")) as page:
            assert page.run("1 + 1").result == "2"
        with _page(WARDIAN_ROOT=str(merged / "other"), WARDIAN_STORAGE_DRIVER="overlay") as page:
            ename, evalue, hint = _hint(page)
            assert (ename, "overlayfs" in evalue) == ("SetupError", True)
            assert "WARDIAN_ROOT" in hint
    finally:
        subprocess.run(["umount", "-l", merged], check=True)


def _doctor(root: Path, before_exec: Callable[[], None] | None = None) -> str:
    """What the doctor says: that no container can be started here."""
    done = subprocess.run(
        [sys.executable, "-m", "wardian.cli", "doctor"],
        env={**os.environ, "WARDIAN_ROOT": str(root), "COLUMNS": "200"},
        preexec_fn=before_exec,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    return done.stdout


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
