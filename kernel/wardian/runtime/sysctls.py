"""Kernel parameters of a container: only those that its own namespaces have (sysctl(8))."""

from __future__ import annotations

import os
from collections.abc import Mapping

from wardian.errors import InvalidInput, SetupError
from wardian.runtime.sharing import PRIVATE
from wardian.runtime.spec import ContainerSpec, Network

# ipc_namespaces(7); docker's opts/opts.go has the same list.
OF_IPC = frozenset(
    f"kernel.{name}"
    for name in (
        *("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni"),
        "shm_rmid_forced",
    )
)
FILES_OF_IPC = "fs.mqueue."
OF_NETWORK = "net."


def check(spec: ContainerSpec) -> None:
    """InvalidInput for a parameter that is this machine's, or another container's."""
    for given in spec.sysctls:
        name = given.replace("/", ".")
        if not all(part.replace("_", "").replace("-", "").isalnum() for part in name.split(".")):
            raise InvalidInput(f"not a kernel parameter: {given[:80]!r}", hint="see sysctl(8)")
        if name in OF_IPC or name.startswith(FILES_OF_IPC):
            namespace, is_own = "IPC", spec.sharing.ipc == PRIVATE
        elif name.startswith(OF_NETWORK):
            is_own = spec.network is not Network.HOST and spec.sharing.network == PRIVATE
            namespace = "network"
        else:
            raise InvalidInput(
                f"sysctl {name[:80]} is not in a separate kernel namespace",
                hint="set it for the whole machine, as root: sysctl -w",
            )
        if not is_own:
            raise InvalidInput(
                f"sysctl {name[:80]} would change the {namespace} namespace that it shares",
                hint="leave it out, or give the container a namespace of its own",
            )


def write(root: str, values: Mapping[str, str]) -> None:
    """Set them below ``root``, the container's own /proc/sys while it is still writable."""
    for name, value in values.items():
        path = f"{root}/{name.replace('.', '/')}"
        try:
            with open(path, "wb", buffering=0) as file:
                file.write(os.fsencode(value))
        except OSError as error:
            raise SetupError(
                f"cannot set the sysctl {name} to {value[:80]!r}: {error.strerror}",
                hint="see sysctl(8) for what the kernel takes, and its name",
            ) from error
