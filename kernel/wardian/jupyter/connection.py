"""The connection file, and the ZeroMQ sockets that it describes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import zmq
from msgspec.structs import replace

PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
LINGER_MS = 1000


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection file says: where to listen and how messages are signed.

    A port of 0 is chosen when its socket is bound. ``curve_keys`` are the public and the secret
    key of CurveZMQ, if the kernel's manager wants the transport encrypted.
    See https://jupyter-client.readthedocs.io/en/stable/kernels.html#connection-files
    """

    transport: str = "tcp"
    ip: str = "127.0.0.1"
    key: bytes = b""
    signature_scheme: str = "hmac-sha256"
    shell_port: int = 0
    iopub_port: int = 0
    stdin_port: int = 0
    control_port: int = 0
    hb_port: int = 0
    curve_keys: tuple[bytes, bytes] | None = None
    session_name: str = ""

    @classmethod
    def from_file(cls, path: Path) -> Connection:
        """Read a connection file."""
        facts = json.loads(path.read_bytes())
        public, secret = facts.get("curve_publickey"), facts.get("curve_secretkey")
        return cls(
            transport=facts.get("transport", "tcp"),
            ip=facts.get("ip", "127.0.0.1"),
            key=facts.get("key", "").encode(),
            signature_scheme=facts.get("signature_scheme") or "hmac-sha256",
            curve_keys=(public.encode(), secret.encode()) if public and secret else None,
            session_name=facts.get("jupyter_session", ""),
            **{port: int(facts.get(port, 0)) for port in PORTS},
        )

    @classmethod
    def of(cls, path: Path) -> Connection:
        """Read a file; where there is none, one of our own on loopback, for a start by hand."""
        return cls.from_file(path) if path.exists() else cls(key=os.urandom(16).hex().encode())

    def write(self, path: Path) -> None:
        """Write it for clients to read, if it says what the file does not; only our user may."""
        if path.exists() and Connection.from_file(path) == self:
            return
        facts = {port: getattr(self, port) for port in PORTS} | {
            "transport": self.transport,
            "ip": self.ip,
            "key": self.key.decode(),
            "signature_scheme": self.signature_scheme,
        }
        if path.exists():
            facts = json.loads(path.read_bytes()) | facts
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            json.dump(facts, file, indent=2)

    def address(self, port: int) -> str:
        """The ZeroMQ endpoint of one of the ports."""
        return f"{self.transport}://{self.ip}{':' if self.transport == 'tcp' else '-'}{port}"


class Sockets(msgspec.Struct, frozen=True):
    """The bound sockets of a kernel, all but the heartbeat's, which lives in its own thread."""

    context: zmq.Context[zmq.Socket[bytes]]
    shell: zmq.Socket[bytes]
    control: zmq.Socket[bytes]
    stdin: zmq.Socket[bytes]
    iopub: zmq.Socket[bytes]

    @classmethod
    def bind(cls, connection: Connection) -> tuple[Sockets, Connection]:
        """Bind them; also returns the connection with the ports that were chosen."""
        context: zmq.Context[Any] = zmq.Context()
        bound: dict[str, Any] = {}
        ports: dict[str, Any] = {}
        kinds = {"shell": zmq.ROUTER, "control": zmq.ROUTER, "stdin": zmq.ROUTER, "iopub": zmq.XPUB}
        for name, kind in kinds.items():
            socket = _open(context, kind, connection)
            port = _bind(socket, connection, getattr(connection, f"{name}_port"))
            ports[f"{name}_port"] = port
            bound[name] = socket
        return cls(context, **bound), replace(connection, **ports)

    def close(self) -> None:
        """Close them all; what was sent has a second to leave."""
        for socket in (self.shell, self.control, self.stdin, self.iopub):
            socket.close()
        self.context.term()


def _open(context: zmq.Context[Any], kind: int, connection: Connection) -> zmq.Socket[Any]:
    socket: zmq.Socket[Any] = context.socket(kind)
    socket.linger = LINGER_MS
    if kind == zmq.ROUTER:
        # A client that reconnects with its identity takes over (ipython/ipykernel#270).
        socket.router_handover = 1
    if connection.curve_keys:
        socket.curve_publickey, socket.curve_secretkey = connection.curve_keys
        socket.curve_server = True
    return socket


def _bind(socket: zmq.Socket[Any], connection: Connection, port: int) -> int:
    if port:
        socket.bind(connection.address(port))
        return port
    if connection.transport == "tcp":
        return int(socket.bind_to_random_port(f"tcp://{connection.ip}"))
    port = 1
    while Path(f"{connection.ip}-{port}").exists():
        port += 1
    socket.bind(connection.address(port))
    return port
