"""The values of binder/hub, and the pods that a hub would make of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.hub.values import PROFILES, values_of
from tests.ladder.conftest import nested, small_host
from tests.linux.conftest import client, state  # fixtures, for the tests here

__all__ = ["client", "nested", "small_host", "state"]
SPAWN = Path(__file__).with_name("spawn.py")
# KubeSpawner wants to know of a cluster; to make a pod it asks it nothing.
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:9"}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "current-context": "none",
    "users": [{"name": "none", "user": {}}],
}


@pytest.fixture(scope="session")
def pods(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The pod of each chart and profile, by `chart/profile`."""
    config = tmp_path_factory.mktemp("kube") / "config"
    config.write_text(json.dumps(KUBECONFIG))
    named = {
        f"{chart}/{profile}": values_of(chart, profile)
        for chart in ("jupyterhub", "binderhub")
        for profile in PROFILES
    }
    done = subprocess.run(
        [sys.executable, SPAWN],
        env={**os.environ, "KUBECONFIG": str(config)},
        input=json.dumps(named),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made
