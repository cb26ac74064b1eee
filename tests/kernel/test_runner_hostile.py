"""A runner is hostile: whatever it sends, the host goes on and shows nothing it should not."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kernel.local import LocalLauncher, LocalProcess
from tests.kernel.recording_sink import RecordingSink, until
from wardian.cells import protocol
from wardian.cells.guest.frames import Frame, FrameReader, FrameTooLong, frame_parts
from wardian.cells.python import PythonRunner
from wardian.cells.runner import ExecuteRequest, Interpreter, RunnerExited, Setting
from wardian.errors import ProtocolError
from wardian.runtime.spec import ProcessSpec

pytestmark = pytest.mark.asyncio

READY = {"t": "ready", "info": {}}


def frame(message: Any, *buffers: bytes) -> bytes:
    head = message if isinstance(message, bytes) else json.dumps(message).encode()
    return b"".join(bytes(part) for part in frame_parts(head, buffers))


# Greets, waits for the cell, then sends given bytes to the pipe and the socket, and waits or ends.
PROGRAM = """
import os, struct, sys, time
def take():
    head, buffers = struct.unpack("!II", os.read(3, 8))
    left = head + buffers
    while left:
        left -= len(os.read(3, left))
def give(fd, name):
    data = open(name, "rb").read()
    while data:
        data = data[os.write(fd, data):]
os.chdir(sys.argv[1])
take(); give(3, "ready"); take(); give(1, "stdout"); give(3, "socket")
if sys.argv[2] == "stays": time.sleep(100)
"""


@dataclass
class HostileLauncher:
    """Starts `PROGRAM` in place of the runner."""

    folder: Path
    stays: bool = True

    program: str = PROGRAM

    def spawn(self, process: ProcessSpec, fds: Mapping[int, int] | None = None) -> LocalProcess:
        end = "stays" if self.stays else "ends"
        argv = (sys.executable, "-I", "-S", "-c", self.program, str(self.folder), end)
        return LocalLauncher().spawn(msgspec.structs.replace(process, argv=argv), fds)


@asynccontextmanager
async def attack(
    to_socket: bytes, *, to_stdout: bytes = b"", stays: bool = True, program: str = PROGRAM
) -> AsyncIterator[tuple[PythonRunner, RecordingSink]]:
    sink = RecordingSink()
    setting = Setting(interpreter=Interpreter.HOST, workdir="/")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, data in (("ready", frame(READY)), ("socket", to_socket), ("stdout", to_stdout)):
            (folder / file).write_bytes(data)
        launcher = HostileLauncher(folder, stays, program)
        runner = await PythonRunner.launch(launcher, sink=sink, setting=setting)
        try:
            yield runner, sink
        finally:
            await runner.close()


async def outcome(to_socket: bytes, **options: Any) -> tuple[str, RecordingSink]:
    """Run a cell against the attack: `reply`, or how the runner is said to have ended."""
    async with attack(to_socket, **options) as (runner, sink):
        request = ExecuteRequest(cell=1, count=1, code="pass", allow_stdin=True)
        try:
            await asyncio.wait_for(runner.execute(request), 20)
        except RunnerExited as error:
            return str(error.reason), sink
        return "reply", sink


def publish(kind: str, content: Any, **more: Any) -> bytes:
    return frame({"t": "publish", "cell": 1, "kind": kind, "content": content, **more})


def apart(kind: str, content: bytes) -> bytes:
    return frame({"t": "publish", "cell": 1, "kind": kind, "b": [len(content)]}, content)


LONG = b'{"data":{"text/plain":"' + b"x" * (5 << 20) + b'\xff"}}'  # checked by another thread
REPLY = frame({"t": "reply", "id": 1, "content": {"status": "ok"}})


@pytest.mark.parametrize(
    "message",
    [
        publish("status", {"execution_state": "idle"}),
        publish("shutdown_reply", {}),
        publish("stream", {"name": "stdout", "text": "x"}),
        publish("display_data", {"data": []}),
        publish("display_data", {"metadata": {}}),
        publish("execute_result", {"data": {}, "execution_count": "1"}),
        publish("error", {"ename": 1, "evalue": "", "traceback": []}),
        publish("comm_open", {"data": {}}),
        publish("display_data", {"data": {}}, b=[5]),
        publish("display_data", {"data": {}}, b=[-1, 1]),
        frame({"t": "publish", "cell": "1", "kind": "clear_output", "content": {}}),
        frame({"t": "nonsense"}),
        frame({"t": "reply", "id": 1, "content": {}}),
        frame({"t": "reply", "id": 1, "content": {"status": "perhaps"}}),
        frame({"t": "reply", "id": 1, "content": []}),
        frame({"t": "stream", "cell": 1, "name": "stdin", "text": "x"}),
        frame({"t": "input_request", "cell": 1, "prompt": "x" * (protocol.MAX_PROMPT_CHARS + 1)}),
        frame(b"[]"),
        frame(b""),
        frame(b"{" * 100_000),
        frame(b'{"t":"publish","cell":1,"kind":"clear_output","content":' + b"[" * 100_000),
        frame(
            b'{"t":"publish","cell":1,"kind":"display_data","content":{"data":{"a":"\xff\xfe"}}}'
        ),
        frame({"t": "publish", "cell": 1, "kind": "display_data"}),
        frame({"t": "publish", "cell": 1, "kind": "display_data", "b": [2]}, b"{}"),
        pytest.param(apart("display_data", LONG), id="long-display"),
        pytest.param(apart("comm_open", LONG), id="long-comm"),
        struct.pack("!II", 0xFFFFFFFF, 0),
        struct.pack("!II", 2, 0xFFFFFFFF) + b"{}",
    ],
)
async def test_breach_of_the_protocol_ends_the_runner_and_shows_nothing(message: bytes) -> None:
    how, sink = await outcome(message + REPLY)
    assert "broke the protocol" in how
    assert sink.outputs == []


async def test_runner_speaks_for_its_own_comms_only() -> None:
    foreign = publish("comm_msg", {"comm_id": "host", "data": {}}) + publish(
        "comm_close", {"comm_id": "host", "data": {}}
    )
    own = publish("comm_open", {"comm_id": "own", "target_name": "t", "data": {}}) + publish(
        "comm_msg", {"comm_id": "own", "data": {}}
    )
    how, sink = await outcome(foreign + own + REPLY)
    assert how == "reply"
    assert [(each.kind, each.content["comm_id"]) for each in sink.outputs] == [
        ("comm_open", "own"),
        ("comm_msg", "own"),
    ]


async def test_answers_to_nothing_are_ignored() -> None:
    stray = frame({"t": "reply", "id": 77, "content": {}}) + frame(READY)
    assert (await outcome(stray + REPLY))[0] == "reply"


async def test_input_request_after_the_cell_asks_nobody() -> None:
    late = frame({"t": "input_request", "cell": 1, "prompt": "word?"})
    how, sink = await outcome(REPLY + late)
    assert how == "reply"
    assert sink.prompts == []


async def test_forged_marks_hold_nothing_up() -> None:
    forged = b"\x1b]" + b"0" * 16 + b";99\x07"  # our form, another nonce
    how, sink = await outcome(REPLY, to_stdout=b"a" + forged + b"b\x1b]")
    assert how == "reply"
    assert sink.text() == "a" + forged.decode() + "b\x1b]"


async def test_mark_of_a_publication_that_never_comes_is_dropped() -> None:
    async with attack(b"", to_stdout=b"") as (runner, sink):
        stream = runner.streams[0]
        stream.pipe._items.extend([b"before", "99", b"after"])
        runner._advance(stream)
        stream.flow.flush()
        assert sink.text() == "beforeafter"


async def test_runner_that_closes_its_socket_and_stays_is_ended() -> None:
    closing = PROGRAM.replace("time.sleep", "os.close(3); time.sleep")
    how, _ = await outcome(b"", program=closing)
    assert how == "closed its socket"


async def test_runner_that_takes_nothing_does_not_make_the_host_grow_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wardian.cells.python.MAX_QUEUED_BYTES", 1 << 20)
    async with attack(b"") as (runner, _):
        for _ in range(64):
            runner.send_comm("comm_msg", {"comm_id": "x"}, {}, [b"x" * 65536], cell=1, header={})
        await until(runner.exited.done)
        assert "does not take messages" in str(runner.exited.result())


# --- anything at all ---------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
messages = st.fixed_dictionaries(
    {"t": st.sampled_from(["ready", "publish", "stream", "input_request", "reply", "x"])},
    optional={
        "id": st.integers(-1, 3) | json_values,
        "cell": st.integers() | json_values,
        "kind": st.sampled_from(["display_data", "error", "comm_msg", "status"]) | json_values,
        "content": json_values
        | st.fixed_dictionaries({"data": json_values, "comm_id": st.text(max_size=3)}),
        "name": st.sampled_from(["stdout", "stdin"]) | json_values,
        "text": json_values,
        "prompt": json_values,
        "b": st.lists(st.integers(-2, 9), max_size=3) | json_values,
    },
)


def _decodes_or_refuses(head: bytes) -> None:
    try:
        message = protocol.decode(head)
    except ProtocolError:
        return
    if isinstance(message, protocol.Publish):
        try:
            content = memoryview(message.content)
            protocol.check_content(message.kind, content)
        except ProtocolError:
            return
        json.loads(bytes(content).decode("utf-8"))  # what passes can be shown


@given(st.binary(max_size=400))
async def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    _decodes_or_refuses(data)


@given(messages)
async def test_any_message_is_decoded_or_refused(message: dict[str, Any]) -> None:
    _decodes_or_refuses(json.dumps(message).encode("utf-8", "surrogatepass"))


@given(st.lists(messages, max_size=4), st.binary(max_size=40))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_host_survives_any_sequence_of_messages(
    sequence: list[dict[str, Any]], rest: bytes
) -> None:
    failures: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    data = b"".join(frame(each) for each in sequence) + rest
    how, sink = await outcome(data, to_stdout=rest, stays=False)
    assert failures == []
    assert how == "reply" or "protocol" in how or "ended with" in how
    assert set(sink.kinds) <= set(protocol._contents) | {"stdout", "stderr"}


@given(st.lists(st.tuples(st.binary(max_size=30), st.lists(st.binary(max_size=9)))), st.data())
async def test_frames_come_out_as_they_went_in_however_they_are_cut(
    sent: list[tuple[bytes, list[bytes]]], data: st.DataObject
) -> None:
    stream = b"".join(bytes(p) for head, buffers in sent for p in frame_parts(head, buffers))
    left, right = socket.socketpair()
    reader, got = FrameReader(), list[Frame]()
    with left, right:
        while stream:
            size = data.draw(st.integers(1, max(1, len(stream))))
            left.sendall(stream[:size])
            stream = stream[size:]
            got += reader.receive(right)
    assert [(bytes(each.head), bytes(each.body)[each.head_bytes :]) for each in got] == [
        (head, b"".join(buffers)) for head, buffers in sent
    ]


async def test_frame_longer_than_allowed_is_refused_before_it_is_read() -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(struct.pack("!II", 1000, 0))
        with pytest.raises(FrameTooLong):
            list(FrameReader(max_head_bytes=999).receive(right))
