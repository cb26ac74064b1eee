"""binder/hub: the charts know its keys, Kubernetes takes its pods, each key says what it is for."""

from __future__ import annotations

import copy
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.hub.chart_keys import Keys
from tests.hub.values import HUB, PROFILES, files_of, given, values_of

KUBERNETES = "1.36"
CHARTS = ("jupyterhub", "binderhub")
KEYS = {name: Keys(Path(__file__).with_name(f"{name}.keys").read_text()) for name in CHARTS}
Pod = dict[str, Any]
each_chart = pytest.mark.parametrize("chart", CHARTS)
each_profile = pytest.mark.parametrize("profile", PROFILES)
each_pod = pytest.mark.parametrize("name", [f"{one}/{two}" for one in CHARTS for two in PROFILES])


@each_profile
def test_charts_know_every_key(profile: str) -> None:
    assert KEYS["binderhub"].complaints(given("binderhub", profile)) == []
    for chart in CHARTS:  # BinderHub's holds the hub's, whose keys are the hub's
        assert KEYS["jupyterhub"].complaints(values_of(chart, profile)) == []


def test_slip_in_a_key_or_a_value_is_found() -> None:
    keys = KEYS["jupyterhub"]
    assert keys.complaints({"singleuser": {"memory": {"limits": "2G"}}})
    assert keys.complaints({"singleuser": {"uid": "root"}})
    assert keys.complaints({"singleuser": {"storage": {"type": "persistent"}}})
    assert keys.complaints({"culling": {"enabled": True}})
    assert keys.complaints({"cull": {"enabled": None}})


@pytest.mark.parametrize(
    "path", [path for chart in CHARTS for path in files_of(chart)], ids=lambda path: str(path)[-30:]
)
def test_every_value_has_its_comment(path: Path) -> None:
    lines = path.read_text().splitlines()
    for above, line in pairwise(lines):
        has_value = re.match(r" *(- )?[\w.]+/?[\w.-]*: +[^#]", line) or line.endswith(" add:")
        is_inner = above.strip().startswith("- name") or above.strip() == "state:"
        if has_value and not is_inner:
            assert above.lstrip().startswith("#") or "# " in line, line


@each_profile
def test_both_charts_give_a_profile_the_same_rights(pods: dict[str, Pod], profile: str) -> None:
    rights = []
    for chart in CHARTS:
        spec = pods[f"{chart}/{profile}"]["spec"]
        (container,) = spec["containers"]
        names = ("hostUsers", "runtimeClassName", "nodeSelector", "automountServiceAccountToken")
        pod = {name: spec.get(name) for name in names}
        rights.append((pod, container["securityContext"], container["resources"]))
    assert rights[0] == rights[1]


@each_pod
def test_kubernetes_takes_the_pod(pods: dict[str, Pod], name: str) -> None:
    pod = copy.deepcopy(pods[name])
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    pod["spec"]["containers"][0]["securityContext"]["procmount"] = "Unmasked"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


@each_pod
def test_pod_breaks_no_rule_that_the_schema_cannot_say(pods: dict[str, Pod], name: str) -> None:
    """The API server's own: rights go together, and /proc in the open is for user namespaces."""
    spec = pods[name]["spec"]
    (container,) = spec["containers"]
    context = container["securityContext"]
    is_strong = context.get("privileged") or "SYS_ADMIN" in context.get("capabilities", {}).get(
        "add", ()
    )
    assert not (is_strong and context["allowPrivilegeEscalation"] is False)
    assert context.get("procMount") != "Unmasked" or spec["hostUsers"] is False
    assert not (context.get("runAsNonRoot") and context["runAsUser"] == 0)
    volumes = {volume["name"] for volume in spec["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    root = {one["name"]: one.get("value") for one in container["env"]}["WARDIAN_ROOT"]
    assert any(root.startswith(mount["mountPath"]) for mount in container["volumeMounts"])


@each_chart
def test_restricted_pod_meets_the_standard_of_that_name(pods: dict[str, Pod], chart: str) -> None:
    spec = pods[f"{chart}/restricted"]["spec"]
    (container,) = spec["containers"]
    context = container["securityContext"]
    assert (context["allowPrivilegeEscalation"], context["runAsNonRoot"]) == (False, True)
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"]["type"] == "RuntimeDefault"
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec)
    kinds = {kind for volume in spec["volumes"] for kind in volume} - {"name"}
    assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}


@each_profile
def test_session_has_limits_an_end_and_no_way_to_others(profile: str) -> None:
    for chart in CHARTS:
        values = values_of(chart, profile)
        session = values["singleuser"]
        assert session["memory"]["limit"] and session["cpu"]["limit"]
        assert (
            values["cull"]["enabled"] and 0 < values["cull"]["timeout"] < values["cull"]["maxAge"]
        )
        policy = session["networkPolicy"]
        allowed = policy["egressAllowRules"]
        assert policy["enabled"]
        assert (allowed["cloudMetadataServer"], allowed["privateIPs"]) == (False, False)
        assert not session["cloudMetadata"]["blockWithIptables"], "a privileged init container"


def test_runtime_class_is_the_one_that_the_profile_names(pods: dict[str, Pod]) -> None:
    text = (HUB / "runtime-class.yaml").read_text()
    runtime_class = yaml.safe_load(text)
    kubernetes_validate.validate(runtime_class, KUBERNETES, strict=True)
    named = pods["jupyterhub/user-namespaced"]["spec"]["runtimeClassName"]
    assert runtime_class["metadata"]["name"] == named
    assert f"containerd.runtimes.{runtime_class['handler']}]" in text
