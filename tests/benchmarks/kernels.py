"""Kernels as a front end feels them: beside stock ipykernel and bash_kernel, over ipc."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from tests.benchmarks.table import Row, in_turn
from wardian.linux.proc import children

ROUNDS = 200
STARTS = 5
LINES = "for i in range(100_000): print(i)"
DISPLAY = (
    "from IPython.display import display; display({'text/plain': 'x' * 100_000_000}, raw=True)"
)
STOCK = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
PYTHON = [sys.executable, "-m", "wardian.jupyter", "--language=python", "-f", "{connection_file}"]
SHELL = [sys.executable, "-m", "wardian.jupyter", "--language=shell", "-f", "{connection_file}"]
BASH = [sys.executable, "-m", "bash_kernel", "-f", "{connection_file}"]


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="wardian-bench-") as folder:
        Path(folder).chmod(0o711)
        os.environ["WARDIAN_ROOT"] = f"{folder}/state"
        os.environ["WARDIAN_KEEPER_IDLE_S"] = "30"
        with running(PYTHON):
            pass  # the first start ever makes the base image and the toolbox
        yield from _starts()
        yield from _cells()
        yield from _shell()
        os.environ["WARDIAN_KEEPER_IDLE_S"] = "0.2"


def _starts() -> Iterator[Row]:
    ours, theirs = in_turn(STARTS, lambda: _start(PYTHON), lambda: _start(STOCK))
    yield Row("kernel start to first result", "ipykernel", ours, theirs, "ms", 1.2)


def _cells() -> Iterator[Row]:
    with running(PYTHON) as ours, running(STOCK) as theirs:
        yield from _latency("pass", ours, theirs, "ipykernel", (1.0, 0.9))
        for what, code in (("100,000 printed lines", LINES), ("100 MB of display data", DISPLAY)):
            a, b = in_turn(9, lambda c=code: _run(ours, c)[1], lambda c=code: _run(theirs, c)[1])  # type: ignore[misc]
            yield Row(what, "ipykernel", a, b, "ms", 1.0)
    # In fresh kernels: what was just printed would count.
    with running(PYTHON) as ours, running(STOCK) as theirs:
        memory = [_memory_mib(client, has_runner=client is ours) for client in (ours, theirs)]
        yield Row("memory, kernel and runner (PSS)", "ipykernel", memory[0], memory[1], "MiB", 1.35)


def _shell() -> Iterator[Row]:
    with running(SHELL) as ours, running(BASH) as theirs:
        yield from _latency(":", ours, theirs, "bash_kernel", (0.03, 0.03), rounds=20)


def _latency(
    code: str,
    ours: BlockingKernelClient,
    theirs: BlockingKernelClient,
    peer: str,
    allowed: tuple[float, float],
    rounds: int = ROUNDS,
) -> Iterator[Row]:
    for _ in range(20):
        _run(ours, code)
        _run(theirs, code)
    pairs = [(_run(ours, code), _run(theirs, code)) for _ in range(rounds)]
    for index, until in enumerate(("reply", "idle")):
        a, b = (statistics.median(pair[side][index] for pair in pairs) for side in (0, 1))
        yield Row(f"`{code}` until {until}", peer, a, b, "ms", allowed[index])


@contextmanager
def running(argv: list[str]) -> Iterator[BlockingKernelClient]:
    """A started kernel's client; its kernel ends with it."""
    manager = KernelManager(transport="ipc")
    manager._kernel_spec = KernelSpec(argv=argv, display_name="bench", language="any")
    environment = {k: v for k, v in os.environ.items() if k != "JPY_SESSION_NAME"}
    manager.start_kernel(env=environment, stderr=-3, stdout=-3)
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=120)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


def _start(argv: list[str]) -> float:
    began = time.perf_counter()
    with running(argv) as client:
        _run(client, "1 + 1")
        return (time.perf_counter() - began) * 1e3


def _run(client: BlockingKernelClient, code: str) -> tuple[float, float]:
    """Milliseconds from the request to the reply, and to the idle status."""
    began = time.perf_counter()
    request = client.execute(code, store_history=False)
    while client.get_shell_msg(timeout=120)["parent_header"].get("msg_id") != request:
        pass
    replied = time.perf_counter()
    while not _is_idle(client.get_iopub_msg(timeout=120), request):
        pass
    return (replied - began) * 1e3, (time.perf_counter() - began) * 1e3


def _is_idle(message: dict[str, Any], request: str) -> bool:
    return bool(
        message["msg_type"] == "status"
        and message["content"]["execution_state"] == "idle"
        and message["parent_header"].get("msg_id") == request
    )


def _memory_mib(client: BlockingKernelClient, *, has_runner: bool) -> float:
    """The process that runs the cells and, where that is another, the kernel's own."""
    request = "print(open('/proc/self/smaps_rollup').read())"
    inside = _pss_mib(_printed(client, request))
    return inside + (_pss_mib(_smaps_of_kernel(client)) if has_runner else 0.0)


def _smaps_of_kernel(client: BlockingKernelClient) -> str:
    """Read from outside: a `%%host` cell would load IPython into the process that it measures."""
    host_pid = next(
        child
        for child in children(os.getpid())
        if client.connection_file.encode() in Path(f"/proc/{child}/cmdline").read_bytes()
    )
    return Path(f"/proc/{host_pid}/smaps_rollup").read_text()


def _printed(client: BlockingKernelClient, code: str) -> str:
    text: list[str] = []
    hook = lambda message: text.append(message["content"].get("text", ""))  # noqa: E731
    client.execute_interactive(code, timeout=60, output_hook=hook)
    return "".join(text)


def _pss_mib(smaps_rollup: str) -> float:
    return next(
        int(line.split()[1]) / 1024 for line in smaps_rollup.splitlines() if line.startswith("Pss:")
    )
