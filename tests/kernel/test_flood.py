"""A cell that puts out more than the page takes is slowed down; nothing of it is lost."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from tests.kernel.page import Page
from tests.linux.conftest import wait_until
from wardian.jupyter import publisher
from wardian.jupyter.publisher import Publisher

PATIENCE_MS = 60_000


class SlowReader:
    """A page that reads iopub when it is told to, with hardly a buffer of its own."""

    def __init__(self, page: Page) -> None:
        page.client.iopub_channel.stop()
        self._socket = page.client.context.socket(zmq.SUB)
        self._socket.rcvhwm = 2
        self._socket.subscribe(b"")
        self._socket.connect(page.client._make_url("iopub"))
        while not self._socket.poll(100):  # not subscribed yet
            page.client.kernel_info()
        self.page = page

    def until_idle(self, request: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Kind and content of what belongs to a request, as it comes."""
        while True:
            assert self._socket.poll(PATIENCE_MS), "nothing more comes"
            frames = self._socket.recv_multipart()
            header, parent, _, content = frames[frames.index(b"<IDS|MSG>") + 2 :][:4]
            if json.loads(parent).get("msg_id") != request:
                continue
            kind = json.loads(header)["msg_type"]
            said = json.loads(content)
            yield kind, said
            if kind == "status" and said["execution_state"] == "idle":
                return

    def displays(self, request: str) -> Iterator[str]:
        """The text of each display."""
        for kind, content in self.until_idle(request):
            if kind == "display_data":
                yield content["data"]["text/plain"]

    def close(self) -> None:
        self._socket.close(0)


@pytest.fixture
def reader(own_page: Page) -> Iterator[SlowReader]:
    made = SlowReader(own_page)
    yield made
    made.close()


def kernel_pid(reader: SlowReader) -> int:
    provisioner: Any = reader.page.manager.provisioner
    return int(provisioner.process.pid)


def figure_mib(pid: int, name: str) -> float:
    (line,) = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if name in line
    ]
    return int(line.split()[1]) / 1024


def sleeps(pid: int) -> Callable[[], bool]:
    """Whether a process has done nothing for a while: it has been slowed down, or it is done."""
    seen: list[str] = []

    def look() -> bool:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        seen.append(f"{fields[11]} {fields[12]}")
        return len(seen) > 30 and len(set(seen[-30:])) == 1

    return look


def test_flood_of_large_displays_stays_in_bounds_and_arrives_whole(reader: SlowReader) -> None:
    pid = kernel_pid(reader)
    request = reader.page.send(
        "for n in range(300): display({'text/plain': f'{n} ' + 'x' * 4_000_000}, raw=True)"
    )
    wait_until(lambda: figure_mib(pid, "VmRSS") > 200, timeout_s=60)
    wait_until(sleeps(pid), timeout_s=60)
    numbers = [int(text.partition(" ")[0]) for text in reader.displays(request)]
    assert numbers == list(range(300))
    assert figure_mib(pid, "VmHWM") < 600  # of 1,200 MB


def test_flood_of_small_displays_arrives_whole(reader: SlowReader) -> None:
    pid = kernel_pid(reader)
    request = reader.page.send(
        "for n in range(20_000): display({'text/plain': f'{n} ' + 'x' * 1000}, raw=True)"
    )
    wait_until(sleeps(pid), timeout_s=60)
    numbers = [int(text.partition(" ")[0]) for text in reader.displays(request)]
    assert numbers == list(range(20_000))


def test_flood_can_be_interrupted(reader: SlowReader) -> None:
    pid = kernel_pid(reader)
    request = reader.page.send("while True: display({'text/plain': 'x' * 100_000}, raw=True)")
    wait_until(sleeps(pid), timeout_s=60)
    reader.page.manager.interrupt_kernel()
    kinds = [kind for kind, _ in reader.until_idle(request)]
    assert kinds[-2:] == ["error", "status"]


@pytest.mark.asyncio
async def test_client_that_never_reads_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publisher, "PATIENCE_S", 0.1)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    out = context.socket(zmq.XPUB)
    out.sndhwm = 10
    port = out.bind_to_random_port("tcp://127.0.0.1")
    stuck, healthy = (context.socket(zmq.SUB) for _ in range(2))
    calls: list[str] = []
    try:
        for socket, topic in ((stuck, b"x"), (healthy, b"")):  # a new topic is told to the kernel
            socket.rcvhwm = 10
            socket.subscribe(topic)
            socket.connect(f"tcp://127.0.0.1:{port}")
        welcomed = 0

        def welcome(_: bytes) -> list[bytes]:
            nonlocal welcomed
            welcomed += 1
            return [b"welcome"]

        iopub = Publisher(out, welcome)
        iopub.hold = lambda: calls.append("hold")
        iopub.release = lambda: calls.append("release")
        iopub.start()
        await _until(lambda: welcomed == 2)
        received: list[bytes] = []
        for number in range(2000):
            while calls[-1:] == ["hold"]:  # as a runner would
                await asyncio.sleep(0.001)
                received += _read(healthy)
            iopub.send_multipart([b"x" * 100_000, str(number).encode()])
            received += _read(healthy)
        while received[-1:] != [b"1999"]:
            await asyncio.sleep(0.005)
            received += _read(healthy)
        assert [one for one in received if one.isdigit()] == [b"%d" % n for n in range(2000)]
        assert "hold" in calls
        iopub.stop()
    finally:
        # libzmq aborts (session_base.cpp:233) if a socket is closed in the middle of a message to
        # somebody: they leave first, and are seen to.
        for socket in (stuck, healthy):
            socket.close(0)
        while out.poll(1000):
            out.recv()
        out.close(0)
        context.term()


def _read(socket: zmq.Socket[bytes]) -> list[bytes]:
    found = []
    while socket.poll(0):
        found.append(socket.recv_multipart()[-1])
    return found


async def _until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
