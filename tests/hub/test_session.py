"""A Binder session of this checkout: its image, built by Wardian, with the rights of each pod."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.hub.test_profiles import played, promised
from tests.hub.values import PROFILES
from tests.ladder.nest import Nest
from tests.linux.conftest import keeper_pid, wait_until
from tests.linux.program import out, program
from tests.reports import ROOT
from wardian.images.store import Image, ImageStore

Nested = Callable[..., Nest]
HERE = Path(__file__).parent
SESSION = (HERE / "lesson_in_pod.py").read_text()
START = "/srv/jovyan/binder/start"
LESSONS = "/srv/jovyan/notebooks/en"
# What a rung with containers adds: networks and volumes in the pod; limits on the full one.
LIVE = {
    "user-namespaced": ("03-mount-namespace", "06-persistence", "07-network-namespace"),
    "dedicated-node": ("04-writable-layer", "05-dockerfile-layers", "09-limits"),
}
# What the tour's cells end with where there is no container; the others do what they do anywhere.
SAID = (
    *("needs a container, and this host allows none", "cells write only below $HOME and $TMPDIR"),
    *("LimitHit: memory limit", "No such file or directory: '/srv/letter.txt'"),
    "AssertionError: not yet: no names at all",  # an exercise that nobody has done
)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, small_host: Path) -> Image:
    """The image, for every profile: no container writes to its layers."""
    folder = tmp_path_factory.mktemp("image")
    folder.chmod(0o711)
    wardian = program(folder / "state")
    flags = ("-q", "-t", "binder", "-f", str(HERE / "binder.Dockerfile"))
    context = ("--build-context", f"host={small_host}", str(ROOT))
    out(wardian("build", *flags, *context, WARDIAN_KEEPER_IDLE_S="0.1"))
    wait_until(lambda: keeper_pid(folder / "state") is None)
    return ImageStore(folder / "state").get("binder")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("profile", PROFILES)
def test_session_runs_lessons_live_or_says_what_it_cannot(
    nested: Nested, pods: dict[str, Any], image: Image, profile: str
) -> None:
    lowers = tuple(map(str, image.layer_directories))
    pod = played(nested, pods[f"jupyterhub/{profile}"], lowers=lowers)
    path = f"{sys.prefix}/bin:{pod.environment()['PATH']}"
    pod = replace(pod, env={**pod.env, "PATH": path})
    is_bare = promised(profile) == "bare"  # which test_profiles asks the doctor
    lessons = [f"{LESSONS}/{name}.ipynb" for name in LIVE.get(profile, ())]
    tour = f"{LESSONS}/00-tour.ipynb" if is_bare else ""
    done = pod.run(START, sys.executable, "-c", SESSION, *lessons, tour, patience_s=500)
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout)
    assert told["page"]
    assert {"Wardian: Python", "Wardian: shell"} <= set(told["kernels"])
    assert told["first"].endswith("lives\n")
    if not is_bare:
        code, said = told["nbval"]
        assert code == 0, said
        assert re.search(r"\d+ passed", said)
        return
    assert told["first"].startswith("no container: this host allows none")
    refused = {code: error for code, error in told["cells"] if error}
    lines = {code.partition("\n")[0] for code in refused}
    assert {line for line in lines if line.startswith("%")} == {
        "%diff /srv",
        "%layers",
        "%%on small",
    }
    assert len(refused) == 8, list(refused)
    for code, error in refused.items():
        assert any(words in error for words in SAID), (code, error)
