"""The commands that a view shows for a frame, told by the front end itself, and run by sh."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from wardian.observe.wire import Frame

EXTENSION = Path(__file__).parents[2] / "extension"
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Shown:
    """The front end's part that knows the commands, bundled for Node."""

    program: Path

    @classmethod
    def bundled(cls, directory: Path) -> Shown:
        """Bundle it, as the views are."""
        program = directory / "tell-commands.mjs"
        bundler = EXTENSION / "node_modules/.bin/esbuild"
        run(
            [
                *(bundler, "tests/tell-commands.ts", "--bundle", "--log-level=warning"),
                *("--platform=node", "--format=esm", f"--outfile={program}"),
            ]
        )
        return cls(program)

    def lines(self, frame: Frame, chosen: str | int | None = None) -> list[str]:
        """The lines that are shown while this is chosen."""
        asked = {"view": frame.view, "frame": frame, "chosen": chosen}
        told = run(["node", self.program], msgspec.json.encode(asked).decode())
        return [str(line) for line in json.loads(told)]


def say(lines: list[str], start: str, *, end: str = "", code: int = 0) -> str:
    """What the one line says that starts, and ends, so: run by a shell, as its reader would."""
    (line,) = [one for one in lines if one.startswith(start) and one.endswith(end)]
    return run(["/bin/sh", "-c", line], code=code)


def run(argv: Sequence[str | Path], stdin: str = "", *, code: int = 0) -> str:
    """What a program prints that must end so, and complain of nothing."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # `wardian` is there
    done = subprocess.run(
        argv,
        input=stdin,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=PATIENCE_S,
        check=False,
        cwd=EXTENSION,
        env={**os.environ, "PATH": path, "LC_ALL": "C.UTF-8"},
    )
    assert (done.returncode, done.stderr) == (code, ""), (argv, done.stderr)
    return done.stdout
