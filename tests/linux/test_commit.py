"""``wardian commit`` by the real program."""

from __future__ import annotations

import json
import os

import pytest

from tests.linux.program import IMAGE, Wardian, out, refused
from wardian.storage import foreign


@pytest.mark.parametrize("running", [True, False])
def test_container_becomes_an_image(wardian: Wardian, running: bool) -> None:  # noqa: FBT001
    last = "exec sleep 1000" if running else "exit 0"
    theirs = "mkdir -m 700 /own && echo own > /own/leaf && chown -R 5:6 /kept /own && chmod 0 /kept"
    script = f"echo kept > /kept; {theirs}; rm /bin/vi; touch /ready; {last}"
    out(wardian("run", "-d", "--name", "old", IMAGE, "sh", "-c", script))
    if running:
        wait = "while ! [ -e /ready ]; do sleep 0.01; done"
        out(wardian("exec", "old", "sh", "-c", wait))
    else:
        out(wardian("wait", "old"))
    out(wardian("commit", "-m", "why", "--change", 'CMD ["cat", "/kept"]', "-c", "ENV A=b",
                "old", "new:1"))  # fmt: skip
    changed = out(wardian("diff", "old")).splitlines()
    assert {"A /kept", "A /own", "A /own/leaf", "D /bin/vi"} <= set(changed)
    assert out(wardian("run", "--rm", "new:1")) == "kept\n"
    listed = out(wardian("run", "--rm", "new:1", "ls", "-ln", "/own/leaf")).split()
    # Who has but one id owns all files of the store: they are root's.
    has_ids = os.geteuid() == 0 or foreign.has_own_ids()
    assert listed[2:4] == (["5", "6"] if has_ids else ["0", "0"])
    assert "vi" not in out(wardian("run", "--rm", "new:1", "ls", "/bin")).split()
    newest = json.loads(out(wardian("history", "--format", "json", "new:1")).splitlines()[0])
    assert newest["Comment"] == "why"
    if running:
        assert out(wardian("inspect", "-f", "{{.State.Status}}", "old")) == "running\n"


def test_change_that_is_none_is_refused(wardian: Wardian) -> None:
    out(wardian("run", "--name", "old", IMAGE, "true"))
    done = wardian("commit", "--change", "RUN true", "old", "new")
    assert done.returncode == 1
    assert "RUN is not a valid change command" in done.stderr
    refused(wardian("history", "new"), 1)
