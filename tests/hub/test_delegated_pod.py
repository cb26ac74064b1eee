"""A user-namespaced pod with a cgroup of its own, as runtime-class.yaml has containerd give it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hub.test_profiles import played
from tests.hub.values import given
from tests.ladder.nest import Nest
from tests.ladder.test_ladder import DELEGATE, IMAGE, assert_nothing_is_left, said
from wardian.cgroups.hierarchy import Hierarchy

pytestmark = pytest.mark.skipif(
    set(Hierarchy.detect().parents) != {"unified"},
    reason="needs cgroup v2 alone: containerd gives away no other",
)
# What cgroup-v2's "Delegation Containment" says is given away with a group.
GIVEN = ("", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control")
LIMITS = ("--memory", "64m", "--pids-limit", "20", "--cpus", "0.5")


def test_limits_of_its_containers_are_in_force(nested: Callable[..., Nest]) -> None:
    values = given("jupyterhub", "user-namespaced")
    context = values["hub"]["config"]["KubeSpawner"]["container_security_context"]
    container = {"securityContext": {**context, "runAsUser": values["singleuser"]["uid"]}}
    extra = values["singleuser"]["extraPodConfig"]
    pod = played(nested, {"spec": {**extra, "containers": [container]}})
    info = pod.container.info
    assert info.first_host_id is not None
    (group,) = info.cgroups.values()
    for name in GIVEN:
        os.chown(Path(group, name), info.first_host_id, info.first_host_id)
    mounted = pod.run("/bin/sh", "-ec", DELEGATE)
    assert (mounted.returncode, mounted.stderr) == (0, "")
    found = pod.doctor()
    assert (found["rung"], found["not_in_force"]) == ("rootless", [])
    script = "cd /sys/fs/cgroup; cat memory.max pids.max cpu.max"
    run = pod.wardian("run", "--rm", *LIMITS, IMAGE, "sh", "-c", script)
    assert said(run) == [str(64 << 20), "20", "50000 100000"]
    assert_nothing_is_left(pod)
