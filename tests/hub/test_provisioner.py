"""Kernels of pods of their own, by gateway_provisioners: what starts in the pod is started here."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import jinja2
import kubernetes_validate
import pytest
import yaml

from tests.hub.test_gateway import Channel, texts
from tests.hub.test_values import KUBERNETES
from tests.hub.values import HUB
from tests.linux.conftest import keeper_pid, wait_until
from tests.ui.jupyter import JupyterServer

FOLDER = HUB / "provisioner"
SPECS = sorted(FOLDER.glob("*/kernel.json"))
FACTS = {  # what launch_kubernetes.py knows of a kernel
    "kernel_pod_name": "fern-1",
    "kernel_namespace": "class",
    "kernel_id": "1",
    "kernel_service_account_name": "default",
    "kernel_image": "registry.example/wardian:0.1.0",
    "kernel_language": "shell",
}


def test_pod_is_one_that_kubernetes_takes_with_the_rights_of_the_profile(
    pods: dict[str, Any],
) -> None:
    text = (FOLDER / "kernel-pod.yaml.j2").read_text()
    pod = yaml.safe_load(jinja2.Template(text, undefined=jinja2.StrictUndefined).render(FACTS))
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    theirs, ours = pods["jupyterhub/user-namespaced"]["spec"], pod["spec"]
    for name in ("hostUsers", "runtimeClassName", "automountServiceAccountToken"):
        assert theirs[name] == ours[name]
    assert theirs["containers"][0]["securityContext"] == ours["containers"][0]["securityContext"]


@pytest.fixture
def gateway(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[JupyterServer]:
    """A gateway whose kernels' host is this machine: it starts what a pod would."""
    home = tmp_path_factory.mktemp("gp")
    monkeypatch.setenv("KERNEL_USERNAME", "fern")  # it starts none for root
    monkeypatch.setenv("GP_KERNEL_LOG_DIR", str(home))
    home.chmod(0o711)
    for path in SPECS:
        spec = json.loads(path.read_text())
        python, _, *options = spec["argv"]
        language = f"--language={spec['env']['KERNEL_LANGUAGE']}"
        assert python == "python"
        spec["argv"] = [sys.executable, "-P", "-m", "wardian.jupyter.launcher", language, *options]
        provisioner = spec["metadata"]["kernel_provisioner"]
        provisioner["provisioner_name"] = "distributed-provisioner"
        del provisioner["config"]["image_name"]
        place = home / "data/kernels" / path.parent.name / "kernel.json"
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps(spec))
    started = JupyterServer.start(home, program="jupyter_server")
    yield started
    started.stop()
    wait_until(lambda: keeper_pid(home / "state") is None, timeout_s=30)


def test_kernel_tells_the_gateway_where_it_is_and_serves_it_to_its_end(
    gateway: JupyterServer,
) -> None:
    kernel = gateway.ask("kernels", "POST", {"name": "wardian-shell-pod"})["id"]
    channel = Channel(gateway, kernel)
    assert "fern\n" in texts(channel.run("touch /srv/leaf; echo fern"))
    asked = channel.send("execute_request", {"code": "echo ready; sleep 1000", "silent": False})
    channel.until(asked, "stream")
    gateway.ask(f"kernels/{kernel}/interrupt", "POST", {})
    channel.until(asked, "execute_reply", status="error")
    assert "leaf\n" in texts(channel.run("ls /srv"))
    channel.close()
    gateway.ask(f"kernels/{kernel}", "DELETE")
    assert gateway.ask("kernels") == []
