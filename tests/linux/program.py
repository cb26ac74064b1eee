"""The real ``wardian`` program, for the tests that run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

IMAGE = "wardian/busybox"
PROGRAM = (sys.executable, "-m", "wardian.cli")
Done = subprocess.CompletedProcess[str]
Wardian = Callable[..., Done]


def program(root: Path, *, timeout_s: float = 120) -> Wardian:
    """Runs one command line on a state root; keyword arguments are its environment."""

    def run(*arguments: str, stdin: str = "", **environment: str) -> Done:
        return subprocess.run(
            [*PROGRAM, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env={**os.environ, "WARDIAN_ROOT": str(root), **environment},
        )

    return run


def out(done: Done) -> str:
    """What a command that must succeed printed."""
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def refused(done: Done, code: int) -> str:
    """The one line that a command that must fail said."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    what, *hint = done.stderr.splitlines()
    assert what.startswith("wardian: ")
    assert len(hint) <= 1
    assert not hint or hint[0].startswith("hint: ")
    return what.removeprefix("wardian: ")
