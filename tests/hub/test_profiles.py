"""The pods of binder/hub, played by containers: each is on the rung that its values promise."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from tests.hub.values import HUB, PROFILES
from tests.ladder.nest import Nest
from tests.ladder.test_ladder import DELEGATE, IMAGE, POD, UNMASK, said
from wardian.runtime.spec import UserNamespace

Nested = Callable[..., Nest]
SECCOMP = {"RuntimeDefault": "default", "Unconfined": "unconfined"}


def played(nested: Nested, pod: dict[str, Any], **more: object) -> Nest:
    """A container with the rights of the pod's; ``more`` are other fields of its spec."""
    spec = pod["spec"]
    (container,) = spec["containers"]
    context = container["securityContext"]
    uid = context["runAsUser"]
    if context.get("privileged"):
        host = UserNamespace.HOST
        assert spec.get("hostUsers", True)
        nest = nested(
            *(UNMASK, DELEGATE), user_namespace=host, cap_add=("ALL",), seccomp="unconfined", **more
        )
    else:
        capabilities = context["capabilities"]
        nest = nested(
            cap_drop=tuple(capabilities["drop"]),
            cap_add=tuple(capabilities.get("add", ())),
            seccomp=SECCOMP[context["seccompProfile"]["type"]],
            hides_paths=context.get("procMount") != "Unmasked",
            **more,
        )
    return replace(nest, uid=uid, env=POD)


def promised(profile: str) -> str:
    """The rung that the values name."""
    text = (HUB / "jupyterhub" / f"{profile}.yaml").read_text()
    (rung,) = re.findall(r"^# Rung: (\w+)\.", text, re.MULTILINE)
    return str(rung)


@pytest.mark.parametrize("profile", PROFILES)
def test_profile_is_on_its_rung(nested: Nested, pods: dict[str, Any], profile: str) -> None:
    nest = played(nested, pods[f"jupyterhub/{profile}"])
    rung = nest.doctor()["rung"]
    assert rung == promised(profile)
    readme = (HUB / "README.md").read_text()
    assert re.search(rf"^\| \[{profile}\][^|]*\| \*{rung}\* ", readme, re.MULTILINE)
    if rung == "bare":
        return
    script = "touch /leaf; chown 5:5 /leaf; stat -c %u /leaf; ip -o addr show eth0"
    owner, address, *_ = said(
        nest.wardian("run", "--rm", "--network", "bridge", IMAGE, "sh", "-c", script)
    )
    assert (owner, "inet " in address) == ("5", True)
