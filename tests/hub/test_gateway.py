"""Kernels behind a gateway: the pod's own command line, asked by another server as in class."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import kubernetes_validate
import pytest
import websocket
import yaml
from jupyter_server.services.kernels.connection.base import deserialize_binary_message

from tests.hub.test_values import KUBERNETES
from tests.hub.values import HUB
from tests.linux.conftest import keeper_pid, wait_until
from tests.ui.jupyter import JupyterServer

TEXT = (HUB / "gateway.yaml").read_text()
MANIFESTS = list(yaml.safe_load_all(TEXT))
PATIENCE_S = 60.0
Message = dict[str, Any]


def pod_of(kind: str) -> dict[str, Any]:
    """What pods a manifest makes."""
    (manifest,) = [one for one in MANIFESTS if one["kind"] == kind]
    spec: dict[str, Any] = manifest["spec"]["template"]["spec"]
    return spec


def test_kubernetes_takes_the_manifests_and_they_fit_each_other() -> None:
    for manifest in MANIFESTS:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    stateful, service, policy = (manifest["spec"] for manifest in MANIFESTS)
    labels = stateful["template"]["metadata"]["labels"]
    assert labels == stateful["selector"]["matchLabels"] == service["selector"]
    assert labels == policy["podSelector"]["matchLabels"]
    (container,) = pod_of("StatefulSet")["containers"]
    (port,) = container["ports"]
    assert service["ports"][0]["targetPort"] == port["name"]
    assert f"--ServerApp.port={port['containerPort']}" in container["args"]


def test_rights_are_those_of_the_profile(pods: dict[str, Any]) -> None:
    of_hub, of_gateway = pods["jupyterhub/user-namespaced"]["spec"], pod_of("StatefulSet")
    for name in ("hostUsers", "runtimeClassName", "automountServiceAccountToken"):
        assert of_hub[name] == of_gateway[name]
    (theirs,), (ours,) = of_hub["containers"], of_gateway["containers"]
    assert theirs["securityContext"] == ours["securityContext"]


@pytest.fixture
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """The pod's server, with another address and token, on this machine."""
    home = tmp_path_factory.mktemp("gw")
    home.chmod(0o711)
    (container,) = pod_of("StatefulSet")["containers"]
    own = ("--ServerApp.ip=", "--ServerApp.port", "--allow-root")
    program, *flags = container["args"][1:]
    flags = [flag for flag in flags if not flag.startswith(own)]
    started = JupyterServer.start(home, program=f"jupyter_{program}", flags=flags)
    yield started
    started.stop()
    wait_until(lambda: keeper_pid(home / "state") is None, timeout_s=30)


@pytest.fixture
def desk(
    tmp_path_factory: pytest.TempPathFactory, gateway: JupyterServer
) -> Iterator[JupyterServer]:
    """A user's own JupyterLab, whose kernels are the gateway's."""
    (connection,) = re.findall(r"--\S+connection_class=\S+", TEXT)
    url = f"--gateway-url=http://127.0.0.1:{gateway.port}"
    flags = (url, f"--GatewayClient.auth_token={gateway.token}", connection)
    started = JupyterServer.start(tmp_path_factory.mktemp("desk"), flags=flags)
    yield started
    started.stop()


class Channel:
    """A page's WebSocket to a kernel."""

    def __init__(self, server: JupyterServer, kernel_id: str) -> None:
        address = f"ws://127.0.0.1:{server.port}/api/kernels/{kernel_id}/channels"
        header = [f"Authorization: token {server.token}"]
        self._socket = websocket.create_connection(address, timeout=PATIENCE_S, header=header)

    def send(self, kind: str, content: Message) -> str:
        """A request on the shell channel; its id."""
        header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "session": "page", "version": "5.3"}
        parts: Message = {"header": header, "parent_header": {}, "metadata": {}}
        self._socket.send(json.dumps({**parts, "content": content, "channel": "shell"}))
        return header["msg_id"]

    def until(self, msg_id: str, kind: str, **content: str) -> list[Message]:
        """What the kernel says to a request, up to a message of a kind that says this."""
        heard: list[Message] = []
        while True:
            heard_now = self._socket.recv()
            is_text = isinstance(heard_now, str)
            decode: Callable[[Any], Message] = json.loads if is_text else deserialize_binary_message
            message = decode(heard_now)
            if message["parent_header"].get("msg_id") != msg_id:
                continue
            heard.append(message)
            if message["msg_type"] == kind and content.items() <= message["content"].items():
                return heard

    def run(self, code: str) -> list[Message]:
        """A cell, until the kernel is idle: a reply may come before what was shown."""
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        return self.until(self.send("execute_request", content), "status", execution_state="idle")

    def close(self) -> None:
        self._socket.close()


def texts(messages: list[Message]) -> str:
    """What a reader sees."""
    contents = [message["content"] for message in messages]
    return "".join(
        one.get("text", "") + one.get("data", {}).get("text/html", "") for one in contents
    )


def test_notebook_is_here_and_its_container_with_the_gateway(
    gateway: JupyterServer, desk: JupyterServer
) -> None:
    assert set(desk.ask("kernelspecs")["kernelspecs"]) == {"wardian-python", "wardian-shell"}
    kernel = desk.ask("kernels", "POST", {"name": "wardian-shell"})["id"]
    assert [one["id"] for one in gateway.ask("kernels")] == [kernel]
    channel = Channel(desk, kernel)
    assert "fern\n" in texts(channel.run("touch /srv/leaf; echo fern"))
    view = channel.run("%layers")
    assert "+ /srv/leaf" in texts(view)
    assert any(one["msg_type"] == "comm_open" and one["buffers"] for one in view)
    assert (gateway.home / "state/containers").is_dir()
    assert not (desk.home / "state").exists()
    content = {"code": "echo ready; sleep 1000", "silent": False}
    asked = channel.send("execute_request", content)
    channel.until(asked, "stream")
    desk.ask(f"kernels/{kernel}/interrupt", "POST", {})
    channel.until(asked, "execute_reply", status="error")
    channel.close()
    desk.ask(f"kernels/{kernel}", "DELETE")
    assert gateway.ask("kernels") == []
