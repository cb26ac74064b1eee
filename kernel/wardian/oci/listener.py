"""The seccomp listener: whoever answers SCMP_ACT_NOTIFY gets its descriptor (config-linux.md).

The message is the runtime-spec's "container process state", with one descriptor by SCM_RIGHTS.
"""

from __future__ import annotations

import os
import socket

import msgspec

from wardian.errors import InvalidInput, SetupError
from wardian.oci.config import Config
from wardian.oci.state import OCI_VERSION


class Listener(msgspec.Struct, frozen=True):
    """A connection to ``linux.seccomp.listenerPath``, and what is said on it."""

    connection: socket.socket
    metadata: str

    def tell(self, notify_fd: int, state: dict[str, object], host_pid: int) -> None:
        """Hand the filter's descriptor over; it is closed here."""
        message = {
            "ociVersion": OCI_VERSION,
            "fds": ["seccompFd"],
            "pid": host_pid,
            "metadata": self.metadata,
            "state": state,
        }
        try:
            socket.send_fds(self.connection, [msgspec.json.encode(message)], [notify_fd])
        except OSError as error:
            raise SetupError(f"linux.seccomp.listenerPath: {error.strerror}") from error
        finally:
            os.close(notify_fd)
            self.connection.close()


def connect(config: Config) -> Listener | None:
    """To the profile's listener; None if no rule asks for one."""
    profile = config.linux.seccomp or {}
    actions = [rule.get("action") for rule in profile.get("syscalls") or ()]
    if "SCMP_ACT_NOTIFY" not in actions:
        return None
    path = profile.get("listenerPath") or ""
    if not os.path.isabs(path):
        raise InvalidInput(
            "config.json: linux.seccomp: SCMP_ACT_NOTIFY needs an absolute listenerPath",
            hint="give the socket of the program that answers",
        )
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except OSError as error:
        connection.close()
        raise InvalidInput(
            f"config.json: linux.seccomp.listenerPath {path[:200]}: {error.strerror}"
        ) from error
    return Listener(connection, profile.get("listenerMetadata") or "")
