"""Debian's ``docker-registry`` on a free port of the loopback."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

CONFIG = """
version: 0.1
log: {{accesslog: {{disabled: false}}, level: warn, formatter: text}}
storage: {{filesystem: {{rootdirectory: {directory}/data}}, delete: {{enabled: true}}}}
http:
  addr: 127.0.0.1:{port}
  secret: leaf
{more}
"""


@dataclass(frozen=True)
class Server:
    """A registry that runs. ``name`` is its host and port."""

    name: str
    log: Path

    def requests(self) -> list[str]:
        """The lines of the requests so far, such as ``GET /v2/ HTTP/1.1 401``."""
        lines = self.log.read_text().splitlines()
        quoted = (line.split('"') for line in lines if '"' in line and "HTTP/1.1" in line)
        return [f"{parts[1]} {parts[2].split()[0]}" for parts in quoted if parts[1][:1].isupper()]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def docker_registry(directory: Path, more: str = "") -> Iterator[Server]:
    """Run one, its files below a directory; ``more`` is more of its config.yml."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("no docker-registry; apt-get install docker-registry")
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = directory / "config.yml"
    config.write_text(CONFIG.format(directory=directory, port=port, more=more))
    log = directory / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "serve", str(config)], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait_until_it_listens(port, process, log)
        yield Server(f"127.0.0.1:{port}", log)
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(log.read_text())
