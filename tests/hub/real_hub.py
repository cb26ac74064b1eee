"""A real JupyterHub with its real proxy on this machine, and users of it who exist there alone.

The hub and all that it starts see an /etc with the users' accounts (a mount namespace of the hub's
own): nothing is written to the machine's, and nothing has to be taken back.
"""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.hub.values import HUB
from tests.reports import ROOT
from tests.user.login import open_ways

CONFIG = HUB / "one-machine/jupyterhub_config.py"
PROXY = ROOT / "extension/node_modules/.bin/configurable-http-proxy"
SHARED = "/var/lib/wardian-shared"
FIRST_UID, FIRST_ID, IDS = 61_000, 900_000_000, 65_536
PASSWORD = secrets.token_hex(8)
PATIENCE_S = 60.0
RUNNING = "JupyterHub is now running"

SETTINGS = """
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.command = ["{proxy}"]
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = "{password}"
c.Authenticator.allow_all = True
c.JupyterHub.services = [{{"name": "teacher", "api_token": "{token}"}}]
c.JupyterHub.load_roles = [
    {{"name": "teacher", "scopes": ["admin:servers", "list:users"], "services": ["teacher"]}}
]
"""


@dataclass(frozen=True, slots=True)
class User:
    """An account; ``name`` is also its password's."""

    name: str
    uid: int
    home: Path

    @property
    def state(self) -> Path:
        return self.home / ".local/share/wardian"


@dataclass(slots=True)
class RealHub:
    """The hub's process, which can be ended and started again, and its users."""

    folder: Path
    users: list[User]
    port: int
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "hub.log").read_text(errors="replace")

    def start(self) -> None:
        """Start it and wait until it answers."""
        etc, hold = self.folder / "etc", self.folder / "hold"
        lines = [
            "set -e",
            *(f"mount --bind {etc}/{name} /etc/{name}" for name in os.listdir(etc)),
            *open_ways(hold),
            f"cd {self.folder}",
            f"exec {shlex.join([sys.executable, '-m', 'jupyterhub', '-f', 'config.py'])}",
        ]
        environment = {
            "PATH": f"{sys.prefix}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.folder),
            "WARDIAN_KEEPER_IDLE_S": "0.1",
        }
        said_before = self.log.count(RUNNING)
        with open(self.folder / "hub.log", "ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c", "\n".join(lines)],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE_S
        while self.log.count(RUNNING) == said_before:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(self.log)
            time.sleep(0.05)

    def stop(self) -> None:
        """End the hub and its proxy; with the config's word sessions go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_S)


@contextmanager
def opened(count: int, more: str = "") -> Iterator[RealHub]:
    """A hub with so many users, and ``more`` in its configuration; nothing stays."""
    folder = Path(tempfile.mkdtemp(prefix="wh-", dir="/tmp"))  # sockets' names have to be short
    folder.chmod(0o711)
    port, hub_port, api_port = _free_ports(3)
    hub = RealHub(folder, _lay_out(folder, count), port)
    settings = SETTINGS.format(
        port=hub.port,
        hub_port=hub_port,
        api_port=api_port,
        proxy=PROXY,
        password=PASSWORD,
        token=hub.token,
    )
    text = CONFIG.read_text().replace(SHARED, str(folder / "shared"))
    (folder / "config.py").write_text(f"{text}{settings}{more}")
    (folder / "config.py").chmod(0o600)
    try:
        hub.start()
        yield hub
    finally:
        if hub.process is not None and hub.process.poll() is None:
            hub.stop()
        _end(hub.users)
        with suppress(FileNotFoundError, ProcessLookupError):  # of a hub that did not come up
            os.kill(int((folder / "jupyterhub-proxy.pid").read_text()), signal.SIGTERM)
        shutil.rmtree(folder)


def _end(users: Sequence[User]) -> None:
    """What a test that failed has left: sessions outlive their hub."""
    deadline = time.monotonic() + PATIENCE_S
    while left := list(processes_of(users)):
        for host_pid in left:
            with suppress(ProcessLookupError):
                os.kill(host_pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise AssertionError(f"{len(left)} processes do not end")
        time.sleep(0.05)
    while any(Path("/sys/fs/cgroup").glob("*/wardian-hub")) and time.monotonic() < deadline:
        time.sleep(0.05)  # their lodges take the groups away


def processes_of(users: Sequence[User]) -> Iterator[int]:
    """Every process of these users and of their containers' ids, by its owner."""
    own = {user.uid for user in users}
    numbers = {user.uid - FIRST_UID for user in users}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError, ValueError):
                # Not the directory's owner: that is root where a process is not dumpable.
                words = (entry / "status").read_text().partition("\nUid:")[2].split()
                uid = int(words[0])
                if uid in own or (uid - FIRST_ID) // IDS in numbers:
                    yield int(entry.name)


def _lay_out(folder: Path, count: int) -> list[User]:
    """The users' homes, and the files of /etc that know them."""
    (folder / "hold").mkdir()
    (folder / "hub.log").touch()
    (folder / "etc").mkdir()
    (folder / "home").mkdir(mode=0o711)
    names = [f"u{number:03}" for number in range(count)]
    users = [
        User(name, FIRST_UID + number, folder / "home" / name) for number, name in enumerate(names)
    ]
    for user in users:
        user.home.mkdir(mode=0o700)
        os.chown(user.home, user.uid, user.uid)
    ids = [f"{u.name}:{FIRST_ID + n * IDS}:{IDS}" for n, u in enumerate(users)]
    added = {
        "passwd": [f"{u.name}:x:{u.uid}:{u.uid}::{u.home}:/bin/bash" for u in users],
        "group": [f"{u.name}:x:{u.uid}:" for u in users],
        "subuid": ids,
        "subgid": ids,
    }
    for name, lines in added.items():
        known = Path("/etc", name).read_text() if Path("/etc", name).exists() else ""
        Path("/etc", name).touch()
        (folder / "etc" / name).write_text("".join((known, *(f"{line}\n" for line in lines))))
    return users


def _free_ports(count: int) -> list[int]:
    """So many different ones, below those that the kernel gives to whoever connects (ip(7))."""
    found: list[int] = []
    while len(found) < count:
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found += [port] if port not in found else []
    return found
