"""What a container's processes are not allowed: capabilities and system calls, by its spec."""

from __future__ import annotations

import msgspec

from wardian.linux import capabilities, seccomp
from wardian.linux.capabilities import Capability
from wardian.runtime.spec import ContainerSpec, UserNamespace


def allowed_capabilities(spec: ContainerSpec) -> frozenset[Capability]:
    """Docker's default capabilities, plus ``--cap-add``, minus ``--cap-drop`` (ALL is a word)."""
    allowed = set(capabilities.DEFAULT)
    if "ALL" in map(str.upper, spec.cap_add):
        allowed = _everything(spec)
    if "ALL" in map(str.upper, spec.cap_drop):
        allowed.clear()
    allowed |= {capabilities.parse(name) for name in spec.cap_add if name.upper() != "ALL"}
    allowed -= {capabilities.parse(name) for name in spec.cap_drop if name.upper() != "ALL"}
    return frozenset(allowed)


def _everything(spec: ContainerSpec) -> set[Capability]:
    """All there is to give: root of a machine may lack some, root of a namespace lacks none."""
    if spec.user_namespace is not UserNamespace.HOST:
        return set(Capability)
    own = capabilities.Capabilities.from_proc()
    return {capability for capability in Capability if own.bounding >> capability & 1}


def has_usual_seccomp(spec: ContainerSpec) -> bool:
    """Whether its filter is the one for most containers, which need not be sent around."""
    return spec.seccomp == "default" and not spec.cap_add and not spec.cap_drop


def usual_seccomp() -> bytes:
    """The default filter for the default capabilities; who is forked after a first call has it."""
    return seccomp.compile_default(capabilities.DEFAULT)


def seccomp_program(spec: ContainerSpec) -> bytes | None:
    """The container's filter as BPF; None for ``unconfined``. Compiled once, kept in memory."""
    if spec.seccomp == "unconfined":
        return None
    allowed = allowed_capabilities(spec)
    if spec.seccomp == "default":
        return seccomp.compile_default(allowed)
    return seccomp.compile_profile(msgspec.json.decode(spec.seccomp), allowed)
