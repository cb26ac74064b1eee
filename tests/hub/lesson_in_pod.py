"""Run in a pod, behind binder/start: JupyterLab, a kernel through it, lessons; told as JSON.

Not imported by a test: its text is given to the pod's Python. Its arguments are what nbval is to
run, and after that a notebook to run cell by cell, whatever its cells say.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from typing import Any

import nbformat
import websocket
from nbclient import NotebookClient

PORT, TOKEN, PATIENCE_S = 8888, "binder", 90.0
HEADERS = {"Authorization": f"token {TOKEN}"}


def ask(path: str, method: str = "GET", body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    address = f"http://127.0.0.1:{PORT}/{path}"
    request = urllib.request.Request(address, data, HEADERS, method=method)  # our own
    with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310
        text = reply.read()
    return json.loads(text) if text.startswith((b"{", b"[")) else text.decode()


def start_lab() -> subprocess.Popen[bytes]:
    """As Binder does, until it answers."""
    flags = ("--no-browser", f"--port={PORT}", f"--IdentityProvider.token={TOKEN}")
    root = ("--allow-root",) if os.geteuid() == 0 else ()
    with open("lab.log", "wb") as log:
        command = [sys.executable, "-m", "jupyterlab", *flags, *root]
        lab = subprocess.Popen(command, stdout=log, stderr=log)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and lab.poll() is None:
        with suppress(OSError):
            ask("api/status")
            return lab
        time.sleep(0.1)
    with open("lab.log") as log:
        raise TimeoutError(f"JupyterLab does not answer: {log.read()}")


def first_cell(code: str) -> str:
    """What a shell cell prints, run through JupyterLab as a page does."""
    kernel = ask("api/kernels", "POST", {"name": "wardian-shell"})["id"]
    address = f"ws://127.0.0.1:{PORT}/api/kernels/{kernel}/channels?token={TOKEN}"
    page = websocket.create_connection(address, timeout=PATIENCE_S)
    header = {"msg_id": "1", "msg_type": "execute_request", "session": "page", "version": "5.3"}
    message = {"header": header, "parent_header": {}, "metadata": {}, "channel": "shell"}
    page.send(json.dumps({**message, "content": {"code": code, "silent": False}}))
    printed: str = ""
    while True:
        heard = json.loads(page.recv())
        if heard["parent_header"].get("msg_id") == "1":
            content = heard["content"]
            printed += str(content.get("text", ""))
            if content.get("execution_state") == "idle":
                break
    page.close()
    ask(f"api/kernels/{kernel}", "DELETE")
    return printed


def outcomes(path: str) -> list[tuple[str, str]]:
    """Each cell's code, and the error that it ended in or "" (without colours)."""
    notebook = nbformat.read(path, 4)
    NotebookClient(notebook, allow_errors=True, timeout=PATIENCE_S).execute()
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            errors = [one for one in cell.outputs if one.output_type == "error"]
            text = "\n".join(line for one in errors for line in one.traceback)
            found.append((cell.source, re.sub(r"\x1b\[[\d;]*m", "", text)))
    return found


os.chdir(os.environ["HOME"])
*lessons, by_cells = sys.argv[1:]
lab = start_lab()
try:
    page = ask("lab")
    told: dict[str, Any] = {
        "page": "jupyter-config-data" in page,
        "kernels": sorted(
            spec["spec"]["display_name"] for spec in ask("api/kernelspecs")["kernelspecs"].values()
        ),
        "first": first_cell("echo lives"),
        "root": os.environ["WARDIAN_ROOT"],
    }
finally:
    lab.terminate()
    lab.wait()
if lessons:
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", "-q", "-p", "no:cacheprovider"]
    command += ["-p", "nbval.plugin", "--nbval", *lessons]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # 1.8 s of each run
    done = subprocess.run(command, env=alone, capture_output=True, text=True, check=False)
    told["nbval"] = [done.returncode, done.stdout[-4000:]]
if by_cells:
    told["cells"] = outcomes(by_cells)
sys.stdout.write(json.dumps(told))
