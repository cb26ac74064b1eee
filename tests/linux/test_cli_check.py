"""``wardian system check``, by the real program."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.linux.program import IMAGE, Wardian, out
from wardian.images.store import ImageStore


def test_sound_store_is_said_to_be(wardian: Wardian) -> None:
    out(wardian("create", "--name", "box", IMAGE))
    assert out(wardian("system", "check")) == (
        "Looked at 1 images, 3 blobs, 1 layers and 1 snapshots: nothing is wrong\n"
    )
    assert out(wardian("system", "check", "--format", "json")) == ""


def test_changed_layer_is_told_and_repaired(wardian: Wardian, state: Path) -> None:
    layer = ImageStore(state).get(IMAGE).layer_directories[0]
    (layer / "etc/passwd").write_text("evil::0:0::/:/bin/sh\n")
    done = wardian("system", "check", "--format", "json")
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout) == {
        "Part": "layer",
        "Subject": f"sha256:{layer.name}",
        "Problem": "was changed after it was unpacked",
        "Repaired": False,
    }
    assert wardian("system", "check", "--quick").returncode == 0
    assert "1 problems, 1 repaired" in out(wardian("system", "check", "--repair"))
    assert "nothing is wrong" in out(wardian("system", "check"))
    assert "evil" not in out(wardian("run", "--rm", IMAGE, "cat", "/etc/passwd"))


@pytest.mark.usefixtures("client")
def test_snapshots_are_looked_at(wardian: Wardian, state: Path) -> None:
    """A keeper that stays: one that starts would sweep the stray snapshot itself."""
    container = out(wardian("create", "--name", "box", IMAGE)).strip()
    (state / "snapshots/stray/data").mkdir(parents=True)
    shutil.rmtree(next((state / "snapshots").glob(f"{container}*")) / "data/work")
    done = wardian("system", "check", "--format", "{{.Part}} {{.Subject}} {{.Problem}}")
    assert (done.returncode, done.stdout.splitlines()) == (
        1,
        ["snapshot box lacks its work directory", "snapshot stray belongs to no container"],
    )
