"""Homes that are read-only, full or without programs: the session says so, or goes on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from tests.ladder.nest import HOME, Nest
from tests.ladder.test_bare import SESSION
from tests.ladder.test_ladder import IMAGE, ONCE, SUBIDS, ordinary, refused, said

Nested = Callable[..., Nest]
READ_ONLY = f"mount -o remount,bind,ro {HOME}"
SMALL = f"mount -t tmpfs -o size=96m,mode=1777 tmpfs {HOME}"
WITHOUT_PROGRAMS = "mkdir /scratch; mount -t tmpfs -o noexec,mode=1777 tmpfs /scratch"
FILE = f"{HOME}/fill"
FILL = f"head -c 200m /dev/zero > {FILE}"
# On the host's side of the notebook; Python, as the notebook is.
FILL_CELL = (
    f"%%host\nwith open({FILE!r}, 'wb', buffering=0) as file:\n    file.write(bytes(200 << 20))"
)
FREE_CELL = f"%%host\nimport os; os.unlink({FILE!r})"
FULL = "No space left on device"


def cells(nest: Nest, *codes: str) -> list[dict[str, str]]:
    """What came of each, in a Python notebook."""
    steps = [("run", code) for code in codes]
    done = nest.run(sys.executable, "-c", SESSION, "wardian-python", json.dumps(steps))
    assert done.returncode == 0, done
    answers: list[Any] = json.loads(done.stdout)
    return answers[: len(codes)]


def test_read_only_home_is_named_with_what_to_do(nested: Nested) -> None:
    user = ordinary(nested, SUBIDS, READ_ONLY)
    what, hint = refused(user.wardian(*ONCE, "true"))
    assert what == f"cannot write the state directory {HOME}/wardian: Read-only file system"
    assert "set WARDIAN_ROOT" in hint
    (first,) = cells(user, "6 * 7")
    assert what in first["error"] and hint in first["error"]


def test_home_that_fills_up_fails_the_write_and_keeps_the_session(nested: Nested) -> None:
    """Its temporary files' place runs no programs, which nothing needs."""
    host = ordinary(nested, SUBIDS, SMALL, WITHOUT_PROGRAMS)
    user = replace(host, env={"WARDIAN_IMAGE": IMAGE, "TMPDIR": "/scratch"})
    write = "open('/root/new', 'wb', buffering=0).write(bytes(1 << 20))"
    _, kept, _, failed, lives, freed, written, read = cells(
        user,
        "leaf = 6",
        "open('/root/kept', 'w').write('fern')",
        FILL_CELL,
        write,
        "leaf * 7",
        FREE_CELL,
        write,
        "open('/root/kept').read()",
    )
    assert kept["status"] == freed["status"] == written["status"] == "ok"
    assert FULL in failed["error"]
    assert (lives["result"], read["result"]) == ("42", "'fern'")


def test_home_that_is_full_from_the_start_is_named_with_what_to_do(nested: Nested) -> None:
    user = ordinary(nested, SUBIDS, SMALL)
    user.run("/bin/sh", "-c", FILL)
    what, hint = refused(user.wardian(*ONCE, "true"))
    assert what.endswith(FULL)
    assert "free some space" in hint
    (first,) = cells(replace(user, env={"WARDIAN_IMAGE": IMAGE}), "6 * 7")
    assert FULL in first["error"]
    assert "WARDIAN_ROOT" in first["error"]
    user.run("/bin/rm", FILE)
    assert said(user.wardian(*ONCE, "echo", "lives")) == ["lives"]


def test_state_where_no_programs_run_is_named_with_what_to_do(nested: Nested) -> None:
    for_state = {"WARDIAN_ROOT": "/scratch/wardian", "WARDIAN_IMAGE": IMAGE}
    user = replace(ordinary(nested, SUBIDS, WITHOUT_PROGRAMS), env=for_state)
    (refusal,) = cells(user, "6 * 7")
    assert "mounted noexec" in refusal["error"]
    assert "set WARDIAN_ROOT" in refusal["error"]
