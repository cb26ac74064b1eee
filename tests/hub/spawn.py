"""Run as a program: the pods that KubeSpawner makes of values, without a cluster.

It reads {name: values of the JupyterHub chart} and writes {name: pod}. What the chart's own
configuration does with `singleuser` and `hub.config` in the hub is done here for the keys that
binder/hub has; a key without a place is an error.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from kubernetes_asyncio.client import ApiClient
from kubespawner import KubeSpawner
from traitlets.config import Config

Values = dict[str, Any]
# singleuser's keys and the spawner's, as the chart has them.
TRAITS = {
    "allowPrivilegeEscalation": "allow_privilege_escalation",
    "cpu.guarantee": "cpu_guarantee",
    "cpu.limit": "cpu_limit",
    "defaultUrl": "default_url",
    "extraEnv": "environment",
    "extraPodConfig": "extra_pod_config",
    "fsGid": "fs_gid",
    "memory.guarantee": "mem_guarantee",
    "memory.limit": "mem_limit",
    "nodeSelector": "node_selector",
    "storage.extraVolumeMounts": "volume_mounts",
    "storage.extraVolumes": "volumes",
    "startTimeout": "start_timeout",
    "storage.capacity": "storage_capacity",
    "storage.dynamic.storageAccessModes": "storage_access_modes",
    "uid": "uid",
}
# These are the chart's own affair: templates, or put together below.
OTHERS = {"cloudMetadata", "cmd", "image", "networkPolicy", "storage.homeMountPath", "storage.type"}


def traits_of(singleuser: Values, above: str = "") -> Values:
    """The spawner's traits that are set by single keys."""
    found: Values = {}
    for key, value in singleuser.items():
        path = f"{above}{key}"
        if path in TRAITS:
            found[TRAITS[path]] = value
        elif path not in OTHERS:
            if not isinstance(value, dict):
                raise KeyError(f"singleuser.{path} goes nowhere")
            found |= traits_of(value, f"{path}.")
    return found


def configuration(values: Values) -> Config:
    """What the hub's configuration comes to."""
    singleuser = values["singleuser"]
    traits = traits_of(singleuser)
    image = singleuser.get("image")
    if image:
        traits["image"] = f"{image['name']}:{image['tag']}"
    if singleuser["storage"]["type"] == "dynamic":
        traits["storage_pvc_ensure"] = True
        claim = {"claimName": "claim"}
        traits["volumes"] = [{"name": "home", "persistentVolumeClaim": claim}]
        mount = {"name": "home", "mountPath": singleuser["storage"]["homeMountPath"]}
        traits["volume_mounts"] = [mount]
    traits |= values["hub"]["config"]["KubeSpawner"]
    unknown = set(traits) - set(KubeSpawner.class_trait_names(config=True))
    if unknown:
        raise KeyError(f"KubeSpawner knows none of {sorted(unknown)}")
    return Config({"KubeSpawner": traits})


async def pods(named: dict[str, Values]) -> dict[str, Any]:
    """A pod for each."""
    made = {}
    async with ApiClient() as client:
        for name, values in named.items():
            spawner = KubeSpawner(config=configuration(values), _mock=True)
            made[name] = client.sanitize_for_serialization(await spawner.get_pod_manifest())
    return made


if __name__ == "__main__":
    json.dump(asyncio.run(pods(json.load(sys.stdin))), sys.stdout)
