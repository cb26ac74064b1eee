"""A real Jupyter server of the test's own, with our kernels and extension, and nothing else's."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wardian

PACKAGE = Path(wardian.__file__).parent
REPOSITORY = Path(__file__).parents[2]
START_TIMEOUT_S = 60.0


@dataclass
class JupyterServer:
    """A running server. Its notebooks, settings and containers live below ``home``."""

    home: Path
    port: int
    token: str
    process: subprocess.Popen[bytes]

    @classmethod
    def start(
        cls,
        home: Path,
        *,
        program: str = "jupyterlab",
        flags: Sequence[str] = (),
        before_exec: Callable[[], None] | None = None,
    ) -> JupyterServer:
        """Start JupyterLab and wait until it answers; ``before_exec`` makes it another host."""
        environment = _environment(home)
        port, token = _free_port(), secrets.token_hex(16)
        command = [sys.executable, "-m", program, "--no-browser", f"--port={port}", *flags]
        command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={home / 'work'}"]
        command += ["--ServerApp.port_retries=0", "--LabApp.expose_app_in_browser=True"]
        command += ["--allow-root"] if os.geteuid() == 0 else []
        with open(home / "server.log", "wb") as log:
            process = subprocess.Popen(
                command,
                env=environment,
                stdout=log,
                stderr=log,
                preexec_fn=before_exec,  # noqa: PLW1509  # it takes no lock
            )
        server = cls(home, port, token, process)
        server._wait_until_up()
        return server

    def write_notebook(self, name: str, cells: list[str], kernel: str) -> None:
        """Put a notebook where the server finds it."""
        code: dict[str, Any] = {
            "cell_type": "code",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
        }
        content = {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {"kernelspec": {"name": kernel, "display_name": kernel}},
            "cells": [
                {**code, "id": f"cell-{number}", "source": source}
                for number, source in enumerate(cells)
            ],
        }
        (self.home / "work" / name).write_text(json.dumps(content))

    def url(self, kind: str, name: str) -> str:
        """Where a notebook opens: ``lab`` is JupyterLab, ``notebook`` is Notebook 7."""
        # A workspace of its own: JupyterLab would open the notebooks of the tests before as well.
        space = name.removesuffix(".ipynb")
        path = {"lab": f"lab/workspaces/{space}/tree", "notebook": "notebooks"}[kind]
        return f"http://127.0.0.1:{self.port}/{path}/{name}?token={self.token}"

    def is_ready(self, name: str) -> bool:
        """Whether a notebook's kernel is connected with its page and idle.

        JupyterLab forgets a cell that is run before; its own indicator says "idle" from the start.
        """
        kernels = [s["kernel"] for s in self.ask("sessions") if s["path"].endswith(name)]
        return any(k["connections"] and k["execution_state"] == "idle" for k in kernels)

    def ask(self, path: str, method: str = "GET", body: object = None) -> Any:
        """The server's own API."""
        request = urllib.request.Request(  # our own server, on loopback
            f"http://127.0.0.1:{self.port}/api/{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"token {self.token}"},
        )
        with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310
            text = reply.read()
        return json.loads(text) if text else None

    def stop(self) -> None:
        """Shut the kernels and the server down."""
        with suppress(OSError):
            for kernel in self.ask("kernels"):
                self.ask(f"kernels/{kernel['id']}", "DELETE")
        self.process.terminate()
        self.process.wait(30)

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            with suppress(OSError):
                self.ask("status")
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.home / "server.log").read_text())
            time.sleep(0.05)


def _environment(home: Path) -> dict[str, str]:
    """Directories of the test's own, so that nothing of the user's is read or written."""
    for name in ("work", "share/labextensions", "share/kernels", "settings"):
        (home / name).mkdir(parents=True)
    for spec in (PACKAGE / "jupyter/kernelspecs").iterdir():
        shutil.copytree(spec, home / "share/kernels" / spec.name)
        _use_this_python(home / "share/kernels" / spec.name / "kernel.json")
    (home / "share/labextensions/wardian").symlink_to(REPOSITORY / "extension/labextension")
    directories = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "run",
        "JUPYTER_PATH": "share",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
        "WARDIAN_ROOT": "state",
    }
    paths = {name: str(home / directory) for name, directory in directories.items()}
    return {**os.environ, **paths, "WARDIAN_KEEPER_IDLE_S": "0.1"}


def _use_this_python(spec: Path) -> None:
    content = json.loads(spec.read_text())
    content["argv"][0] = sys.executable
    spec.write_text(json.dumps(content))


def set_theme(home: Path, name: str) -> None:
    """JupyterLab's theme; and no question about news on the first start."""
    package = "@jupyterlab/apputils-extension"
    write_settings(home, package, "themes", {"theme": name})
    write_settings(home, package, "notification", {"fetchNews": "false"})


def set_language(home: Path, locale: str) -> None:
    """JupyterLab's language; ``default`` is the server's."""
    write_settings(home, "@jupyterlab/translation-extension", "plugin", {"locale": locale})


def write_settings(home: Path, package: str, plugin: str, values: dict[str, Any]) -> None:
    """What a user has chosen, as JupyterLab stores it."""
    folder = home / "settings" / package
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{plugin}.jupyterlab-settings").write_text(json.dumps(values))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
