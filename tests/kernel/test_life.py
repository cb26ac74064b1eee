"""What outlives what: kernels, restarts, shutdowns, kill -9, and the containers of a notebook."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kernel.page import Page
from wardian.jupyter.notebook import Notebook
from wardian.runtime.client import Client
from wardian.runtime.messages import ContainerInfo


def _until(condition: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "not true in time"
        time.sleep(0.02)


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "lesson.ipynb"
    document = {
        "cells": [],
        "metadata": {"wardian": {"memory": "200m", "pids": 64, "timeout": 30}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def client() -> Iterator[Client]:
    with Client.connect() as client:
        yield client


def _open(notebook: Path, kernel: str = "wardian-python") -> Page:
    return Page.open(
        kernel, env={**os.environ, "JPY_SESSION_NAME": str(notebook)}, cwd=str(notebook.parent)
    )


def _info(client: Client, notebook: Path, name: str = "main") -> ContainerInfo | None:
    wanted = f"{Notebook(notebook.resolve()).key}.{name}"
    return next((info for info in client.list() if info.name == wanted), None)


def _status(client: Client, notebook: Path, name: str = "main") -> str:
    info = _info(client, notebook, name)
    return info.status.value if info else "absent"


def test_limits_come_from_the_notebooks_metadata(notebook: Path, client: Client) -> None:
    page = _open(notebook)
    assert page.run("%limits").text() == (
        "memory   200 MiB\ncpus     unlimited\npids     64\ntimeout  30 s\n"
    )
    page.close()
    client.container(f"{Notebook(notebook.resolve()).key}.main").remove()


def test_files_outlive_the_kernel_and_processes_do_not(notebook: Path, client: Client) -> None:
    page = _open(notebook)
    page.run("open('/root/kept', 'w').close()")
    page.run("%%sh\nsleep 1000 &")
    page.close()
    assert _status(client, notebook) == "exited"
    page = _open(notebook)
    assert page.run("import os; os.path.exists('/root/kept')").result == "True"
    assert page.run("'page' in globals()").result == "False"
    assert "sleep" not in page.run("%ps --text").text()
    page.run("%container rm")
    page.close()
    assert _status(client, notebook) == "absent"


def test_restart_keeps_processes_and_files_but_not_the_interpreter(
    notebook: Path, client: Client
) -> None:
    page = _open(notebook)
    page.run("x = 1; open('/root/kept', 'w').close()")
    page.run("%%sh\nsleep 1000 &")
    page.manager.restart_kernel()
    page.client.wait_for_ready(timeout=60)
    assert page.run("'x' in globals()").result == "False"
    assert page.run("import os; os.path.exists('/root/kept')").result == "True"
    assert "sleep" in page.run("%ps --text").text()
    page.run("%container rm")
    page.close()


def test_restart_of_a_kernel_without_a_notebook_keeps_its_container(own_page: Page) -> None:
    own_page.run("open('/root/kept', 'w').close()")
    own_page.manager.restart_kernel()
    own_page.client.wait_for_ready(timeout=60)
    assert own_page.run("import os; os.path.exists('/root/kept')").result == "True"


def test_reset_may_be_the_very_first_cell(own_page: Page) -> None:
    assert own_page.run("%container reset").text() == "main: new from wardian/base\n"
    assert own_page.run("1 + 1").result == "2"


def test_container_of_a_kernel_without_a_notebook_goes_with_it(client: Client) -> None:
    page = Page.open("wardian-python")
    page.run("1")
    name = page.container(client).info.name
    page.close()
    assert name not in [info.name for info in client.list()]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_kernel_leaves_what_is_meant_to_stay(
    notebook: Path, client: Client, number: signal.Signals
) -> None:
    nameless, named = Page.open("wardian-python"), _open(notebook)
    for page in (nameless, named):
        page.run("open('/root/kept', 'w').close()")
    name = nameless.container(client).info.name
    for page in (nameless, named):
        page.manager.signal_kernel(number)
    _until(lambda: name not in [info.name for info in client.list()])
    _until(lambda: _status(client, notebook) == "exited")
    for page in (nameless, named):
        page.close(now=True)
    page = _open(notebook)
    assert page.run("import os; os.path.exists('/root/kept')").result == "True"
    page.run("%container rm")
    page.close()


def test_container_that_is_kept_runs_on_after_shutdown(notebook: Path, client: Client) -> None:
    page = _open(notebook)
    page.run("%%sh\nsleep 1000 &")
    assert page.run("%container keep").status == "ok"
    page.close()
    assert _status(client, notebook) == "running"
    page = _open(notebook)
    assert "sleep" in page.run("%ps --text").text()
    page.close()
    assert _status(client, notebook) == "running"
    client.container(f"{Notebook(notebook.resolve()).key}.main").remove(force=True)


def test_python_and_shell_kernel_of_a_notebook_have_the_same_container(notebook: Path) -> None:
    page = _open(notebook)
    page.run("open('/root/from-python', 'w').close()")
    page.close()
    page = _open(notebook, "wardian-shell")
    assert page.run("ls /root").text() == "from-python\n"
    page.run("%container rm")
    page.close()


def test_second_container_of_a_notebook_is_found_again(notebook: Path, client: Client) -> None:
    page = _open(notebook)
    page.run("%container new web --memory 64m")
    page.run("%%on web\nopen('/root/kept', 'w').close()")
    page.close()
    assert _status(client, notebook, "web") == "exited"
    page = _open(notebook)
    assert "web" in page.run("%container list").text()
    assert page.run("%%on web\nimport os; os.path.exists('/root/kept')").result == "True"
    page.run("%container rm web")
    page.run("%container rm")
    page.close()


def test_kernel_ends_when_its_parent_does(tmp_path: Path, client: Client) -> None:
    file = tmp_path / "kernel-orphan.json"
    script = (
        "import os, subprocess, sys\n"
        "os.environ['JPY_PARENT_PID'] = str(os.getpid())\n"
        f"command = [sys.executable, '-m', 'wardian.jupyter', '-f', {str(file)!r}]\n"
        "print(subprocess.Popen(command).pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        host_pid = int(parent.stdout.readline())
        pidfd = os.pidfd_open(host_pid)
        _until(file.exists)
        _until(lambda: "kernel-orphan.main" in [info.name for info in client.list()])
        parent.kill()
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(60_000)
    os.close(pidfd)
    _until(lambda: "kernel-orphan.main" not in [info.name for info in client.list()])


def test_session_without_a_file_belongs_to_no_notebook() -> None:
    assert Notebook.of_session("", Path.cwd()) is None
    assert Notebook.of_session("console-1-abcdef", Path("/")) is None


def test_notebook_is_found_by_absolute_and_by_server_path(notebook: Path) -> None:
    found = Notebook.of_session(str(notebook), Path("/"))
    assert found == Notebook.of_session(f"some/folder/{notebook.name}", notebook.parent)
    assert found is not None
    assert found.key.startswith("lesson-")
