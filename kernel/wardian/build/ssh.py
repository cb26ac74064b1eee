"""An ssh-agent for RUN: a socket in the container that lets keys be listed and used, no more.

The container is hostile: what goes through to the agent are requests for identities and for
signatures (draft-ietf-sshm-ssh-agent, 3), of bounded size. Keys can be neither added nor removed,
nor the agent locked, as with BuildKit.
"""

from __future__ import annotations

import os
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from wardian.errors import InvalidInput, NotFound, SetupError

REQUEST_IDENTITIES, SIGN_REQUEST = 11, 13  # SSH_AGENTC_…
REFUSAL = b"\x00\x00\x00\x01\x05"  # SSH_AGENT_FAILURE
MAX_MESSAGE_BYTES = 256 << 10  # OpenSSH's AGENT_MAX_LEN
MAX_CONNECTIONS = 32
AGENT_START_S = 10.0
SOCKET = "agent"


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, address: str, agent: Path) -> None:
        self.agent = agent
        self.places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, _Handler)

    def verify_request(self, request: object, client_address: object) -> bool:
        """Whether there is room for one more; else it is hung up."""
        del request, client_address
        return self.places.acquire(blocking=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """A line that is cut is no event."""


class _Handler(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        """Pass on what may pass, one request and its answer after another."""
        try:
            with socket.socket(socket.AF_UNIX) as agent, suppress(OSError, EOFError):
                agent.connect(str(self.server.agent))
                while True:
                    message = _message(self.request)
                    if message[4] in (REQUEST_IDENTITIES, SIGN_REQUEST):
                        agent.sendall(message)
                        self.request.sendall(_message(agent))
                    else:
                        self.request.sendall(REFUSAL)
        finally:
            self.server.places.release()


def _message(stream: socket.socket) -> bytes:
    """The next message with its length before it. Raises EOFError, also for an impossible one."""
    head = _exactly(stream, 4)
    size = int.from_bytes(head, "big")
    if not 1 <= size <= MAX_MESSAGE_BYTES:
        raise EOFError
    return head + _exactly(stream, size)


def _exactly(stream: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (more := stream.recv(size - len(data))):
            raise EOFError
        data += more
    return data


@contextmanager
def forwarded(agent: Path, directory: Path, *, mode: int, uid: int, gid: int) -> Iterator[Path]:
    """The socket in ``directory`` (a new one), for as long as it is needed."""
    directory.mkdir(mode=0o755)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # By descriptor: an address of a socket has 108 bytes at most (unix(7)).
        server = _Server(f"/proc/self/fd/{fd}/{SOCKET}", agent)
        path = directory / SOCKET
        path.chmod(mode)
        if os.geteuid() == 0:
            os.chown(path, uid, gid)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield path
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
    finally:
        os.close(fd)


@contextmanager
def agents(words: Sequence[str], directory: Path) -> Iterator[dict[str, Path]]:
    """The sockets of ``--ssh ID[=SOCKET|KEY[,KEY…]]``; for keys an agent is started meanwhile.

    Raises InvalidInput, NotFound, SetupError.
    """
    found: dict[str, Path] = {}
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number, word in enumerate(words):
            name, _, value = word.partition("=")
            paths = [Path(path) for path in value.split(",") if path]
            if not paths:
                usual = os.environ.get("SSH_AUTH_SOCK", "")
                if not usual:
                    raise InvalidInput(
                        f"no ssh-agent for --ssh {word[:80]}",
                        hint="set SSH_AUTH_SOCK, or name a socket or a key: ID=PATH",
                    )
                paths = [Path(usual)]
            if missing := next((path for path in paths if not path.exists()), None):
                raise NotFound(f"no such file for --ssh: {missing}")
            if len(paths) == 1 and paths[0].is_socket():
                found[name] = paths[0]
                continue
            found[name] = directory / f"agent{number}"
            started.append(_start(found[name], paths))
        yield found
    finally:
        for process in started:
            process.terminate()
            process.wait()


def _start(address: Path, keys: Sequence[Path]) -> subprocess.Popen[bytes]:
    """An ssh-agent of our own that knows these keys."""
    quiet = subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            ["ssh-agent", "-D", "-a", str(address)], stdin=quiet, stdout=quiet, stderr=quiet
        )
    except FileNotFoundError:
        raise SetupError("this host has no ssh-agent", hint="install openssh-client") from None
    try:
        _wait_until_it_listens(address, process)
        _add(address, keys)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    return process


def _wait_until_it_listens(address: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + AGENT_START_S
    while not address.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SetupError("ssh-agent does not start here")
        time.sleep(0.005)


def _add(address: Path, keys: Sequence[Path]) -> None:
    added = subprocess.run(
        ["ssh-add", "-q", *map(str, keys)],
        env={"PATH": os.environ.get("PATH", ""), "SSH_AUTH_SOCK": str(address)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if added.returncode:
        said = added.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise InvalidInput(
            f"cannot use the key {keys[0]}: {said[-1][:200]}",
            hint="a key with a passphrase goes to your ssh-agent: ssh-add KEY",
        )
