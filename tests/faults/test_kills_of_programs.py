"""kill -9 of the command line and of a notebook's kernel, at random moments of what they do."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.faults.killing import after, kill, pidfd_of, rounds
from tests.linux.conftest import shell, wait_until
from tests.linux.program import IMAGE, PROGRAM
from wardian.images.resolve import resolve
from wardian.images.store import ImageStore
from wardian.jupyter.notebook import Notebook
from wardian.runtime.client import Client
from wardian.runtime.spec import ContainerSpec
from wardian.runtime.state import Status

pytestmark = pytest.mark.timeout(400)
LATEST_PROGRAM_S = 0.4  # from exec to exit where nothing else runs
LATEST_KERNEL_S = 1.2  # until its container runs and its runner is being started


def end(victim: subprocess.Popen[bytes], chance: random.Random, latest_s: float) -> None:
    """Kill it at a random moment, if it has not ended by then."""
    try:
        with pidfd_of(victim.pid) as pidfd, after(chance, lambda: kill(pidfd), latest_s):
            pass
    finally:
        victim.kill()
        victim.wait()


# --- the command line ------------------------------------------------------------------------

# The lines, of which the last is killed; {} is the container's name.
LINES = {
    "create": ("create --name {} IMAGE",),
    "run": ("run -d --name {} IMAGE sleep 1000",),
    "run --rm": ("run --rm --name {} IMAGE sleep 1000",),
    "start": ("create --name {} IMAGE sleep 1000", "start {}"),
    "exec": ("run -d --name {} IMAGE sleep 1000", "exec {} sleep 1000"),
    "stop": ("run -d --name {} IMAGE sleep 1000", "stop -t 1 {}"),
    "rm": ("run -d --name {} IMAGE sleep 1000", "rm -f {}"),
}


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("action", LINES)
def test_program_killed_at_any_moment_leaves_a_whole_container_or_none(
    state: Path, spec: ContainerSpec, chance: random.Random, action: str
) -> None:
    resolve(ImageStore(state), IMAGE)
    environment = {**os.environ, "WARDIAN_ROOT": str(state)}

    def begin(line: str, name: str) -> subprocess.Popen[bytes]:
        words = [word.format(name).replace("IMAGE", IMAGE) for word in line.split()]
        return subprocess.Popen(
            [*PROGRAM, *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    with Client.connect(state) as watcher:
        bystander = watcher.run(replace(spec, name="bystander"))
        for number in range(rounds(6)):
            name = f"box{number}"
            *before, last = LINES[action]
            for line in before:
                assert begin(line, name).wait(60) == 0
            end(begin(last, name), chance, LATEST_PROGRAM_S)
            if action == "run --rm":
                wait_until(lambda: [info.name for info in watcher.list()] == ["bystander"])
                continue
            box = next((info for info in watcher.list() if info.name == name), None)
            if action in ("start", "exec", "stop"):
                assert box is not None
            if box is not None and action in ("exec", "run"):
                assert box.status is Status.RUNNING
                assert shell(watcher.container(name), "echo lives") == (0, "lives\n")
            # Its name is free, or the container is whole enough to be removed.
            assert begin("rm -f {}", name).wait(60) == 0
            assert [info.name for info in watcher.list()] == ["bystander"]
        assert shell(bystander, "echo lives") == (0, "lives\n")


# --- a notebook's kernel ---------------------------------------------------------------------


def kernel(file: Path, notebook: Path | None) -> subprocess.Popen[bytes]:
    """A kernel as a server starts it, of a notebook or of none."""
    session = {"JPY_SESSION_NAME": str(notebook)} if notebook else {}
    return subprocess.Popen(
        [sys.executable, "-m", "wardian.jupyter", "-f", str(file)],
        env={**os.environ, **session},
        cwd=file.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A notebook, whose container ends soon after nobody holds it."""
    monkeypatch.setenv("WARDIAN_ORPHAN_GRACE_S", "0.1")
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    path = tmp_path / "lesson.ipynb"
    path.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    return path


def assert_only_the_notebooks_is_left(watcher: Client, notebook: Path) -> None:
    """A nameless kernel's container is gone, a notebook's has ended, the bystander runs."""
    main = f"{Notebook(notebook.resolve()).key}.main"

    def is_so() -> bool:
        found = {info.name: info.status for info in watcher.list()}
        return found.pop("bystander") is Status.RUNNING and found in (
            {},
            {main: Status.CREATED},
            {main: Status.EXITED},
        )

    wait_until(is_so)


@pytest.mark.usefixtures("host")
def test_kernel_killed_while_it_starts_leaves_its_notebooks_container_only(
    state: Path, spec: ContainerSpec, notebook: Path, chance: random.Random
) -> None:
    resolve(ImageStore(state), "wardian/base")
    with Client.connect(state) as watcher:
        watcher.run(replace(spec, name="bystander"))
        for number in range(rounds(10)):
            victim = kernel(
                notebook.parent / f"kernel-{number}.json", chance.choice([notebook, None])
            )
            end(victim, chance, LATEST_KERNEL_S)
            assert_only_the_notebooks_is_left(watcher, notebook)


@pytest.mark.usefixtures("host")
def test_kernel_killed_in_a_cell_leaves_its_notebooks_container_with_its_files(
    state: Path, spec: ContainerSpec, notebook: Path, chance: random.Random
) -> None:
    resolve(ImageStore(state), "wardian/base")
    with Client.connect(state) as watcher:
        watcher.run(replace(spec, name="bystander"))
        for number in range(rounds(6)):
            file = notebook.parent / f"kernel-{number}.json"
            victim = kernel(file, notebook if number % 2 == 0 else None)
            try:
                _run_for_ever(file, f"open('/root/kept', 'a').write('{number} ')")
            finally:
                end(victim, chance, LATEST_KERNEL_S / 4)
            assert_only_the_notebooks_is_left(watcher, notebook)
        box = watcher.container(f"{Notebook(notebook.resolve()).key}.main")
        box.start()
        written = shell(box, "cat /root/kept")[1].split()
        assert written == [str(number) for number in range(0, rounds(6), 2)]


CLIENT = """
import sys
from jupyter_client.blocking.client import BlockingKernelClient
client = BlockingKernelClient(connection_file=sys.argv[1])
client.load_connection_file()
client.start_channels()
client.wait_for_ready(timeout=60)
assert client.execute_interactive(sys.argv[2], timeout=60)["content"]["status"] == "ok"
client.execute("while True:\\n    print('x' * 1000)")
client.get_iopub_msg(timeout=60)
"""


def _run_for_ever(file: Path, code: str) -> None:
    """Wait for a kernel, run one cell and begin another that prints without end."""
    wait_until(lambda: file.exists() and file.read_text().endswith("}"), timeout_s=60)
    subprocess.run([sys.executable, "-c", CLIENT, str(file), code], check=True, timeout=90)
