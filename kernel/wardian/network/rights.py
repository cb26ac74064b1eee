"""What this process may do to the network namespace that it is in: to be root is not enough.

A capability counts in the user namespace that a network namespace belongs to, or below one where we
have it (user_namespaces(7)). Root of a pod may lack it, or be in a network namespace of others'.
"""

from __future__ import annotations

import os

from wardian.errors import KernelRefused
from wardian.linux import capabilities, namespaces
from wardian.linux.capabilities import Capability
from wardian.network.forwarding import may_forward


def may_have_bridges() -> bool:
    """Whether bridges can stand here, and packets pass; else they do beside us (`rootless`)."""
    return _has(Capability.NET_ADMIN) and may_forward()


def may_come_back() -> bool:
    """Whether a thread that goes to another network namespace may return to ours (setns(2))."""
    return _has(Capability.SYS_ADMIN)


def _has(capability: Capability) -> bool:
    if not capabilities.effective() >> capability & 1:
        return False
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.close(namespaces.owner(own))
    except KernelRefused:  # it belongs to who is above us
        return False
    finally:
        os.close(own)
    return True
