"""A container beside another one, to find out what is wrong with it: docker's debug.

It is in the other's PID, network, IPC and UTS namespaces, and so in its user namespace: nothing is
reached that is not reached from there. Its files are an image's of its own, with the host's
programs in layers that it cannot write to; those of the other are at /target.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from wardian.errors import FailedPrecondition
from wardian.images.base import PATH
from wardian.runtime.sharing import CONTAINER, Sharing
from wardian.runtime.spec import ContainerSpec, Keep, Network, ProcessSpec

if TYPE_CHECKING:
    from wardian.runtime.messages import ContainerInfo

IMAGE = "wardian/debug"
LABEL = "org.wardian.debug"
TARGET = "/target"
# Of the processes that are seen, the first that has files of its own and lets itself be looked at.
_BEGIN = f"""
own=$(readlink /proc/self/ns/mnt)
for one in $(ls /proc | grep '^[0-9]' | sort -n); do
    theirs=$(readlink /proc/$one/ns/mnt 2>/dev/null) || continue
    [ "$theirs" = "$own" ] || {{ ln -s /proc/$one/root {TARGET}; break; }}
done
exec "$@"
"""


def beside(
    target: ContainerInfo,
    lowers: Sequence[str],
    command: Sequence[str],
    *,
    name: str,
    capabilities: Sequence[str] = (),
    interactive: bool = False,
    terminal: bool = False,
) -> ContainerSpec:
    """The container to run. ``capabilities`` are more than the target has.

    Raises FailedPrecondition if the target does not run.
    """
    if target.host_pid is None:
        raise FailedPrecondition(
            f"container {target.name} is not running", hint=f"wardian start {target.name}"
        )
    whose = f"{CONTAINER}{target.id}"
    is_hosts = target.spec.network is Network.HOST
    process = ProcessSpec(
        argv=("/bin/sh", "-c", _BEGIN, "debug", *command),
        env={"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/root", "PS1": f"{target.name}# "},
    )
    return replace(
        ContainerSpec(name=name, image=IMAGE, lowers=tuple(lowers), process=process),
        sharing=Sharing(pid=whose, ipc=whose, uts=whose, network="private" if is_hosts else whose),
        network=target.spec.network,
        user_namespace=target.spec.user_namespace,
        cap_add=(*target.spec.cap_add, *capabilities),
        cap_drop=target.spec.cap_drop,
        seccomp=target.spec.seccomp,
        labels={LABEL: target.id},
        keep=Keep.NEVER,
        open_stdin=interactive,
        tty=terminal,
    )
