"""The host's handle of a Python runner: frames over a socket (see `wardian.cells.protocol`)."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from msgspec.structs import replace

from wardian.cells import protocol
from wardian.cells.guest.frames import (
    READ_BYTES,
    Frame,
    FrameReader,
    FrameTooLong,
    Marks,
    frame_parts,
    send_parts,
)
from wardian.cells.output import output_pipe
from wardian.cells.piped import DRAIN_BYTES, PipedProcess, Stream
from wardian.cells.runner import (
    ExecuteRequest,
    Interpreter,
    Launcher,
    Runner,
    RunnerExited,
    Setting,
    Sink,
    SpawnedProcess,
)
from wardian.errors import ProtocolError

SOCKET_FD = 3
SO_SNDBUFFORCE = 32  # asm-generic/socket.h, socket(7)
SOCKET_BYTES = 1 << 20
MAX_QUEUED_BYTES = 256 << 20
MAX_COMMS = 1 << 16
MUCH_BYTES = 4 << 20  # a content that takes milliseconds to check
FRAMES_PER_TURN = 64
START_TIMEOUT_S = 60.0
END_PATIENCE_S = 2.0
END_OF_INPUT = "\x04"  # what ipykernel takes for the end of input
T = TypeVar("T")
GUEST = Path(__file__).parent / "guest"
# mallopt(3) of glibc 2.35 and later: large objects in huge pages are filled five times faster. The
# runner takes it out of its environment again.
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}

PROGRAMS = {
    Interpreter.TOOLBOX: ("/.wardian/bin/python3", "/.wardian/guest/start.py"),
    Interpreter.IMAGE: ("python3", "/.wardian/guest/start.py"),
    Interpreter.HOST: (sys.executable, str(GUEST / "start.py")),
}


class PythonRunner(PipedProcess, Runner):
    """A process that runs Python cells."""

    def __init__(
        self,
        process: SpawnedProcess,
        sink: Sink,
        marks: Marks,
        out_fd: int,
        err_fd: int,
        sock: socket.socket,
    ) -> None:
        super().__init__(process, sink, marks, out_fd, err_fd)
        self.info: dict[str, Any] = {}
        self._sock = sock
        self._reader = FrameReader(
            max_head_bytes=protocol.MAX_HEAD_BYTES, max_buffers_bytes=protocol.MAX_BUFFERS_BYTES
        )
        self._ready: asyncio.Future[None] = self.loop.create_future()
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._executing: int | None = None
        self._last_id = 0
        self._published = 0
        self._is_receiving = False
        self._outgoing: deque[memoryview] = deque()
        self._outgoing_bytes = 0
        self._comms: set[str] = set()
        self._input: asyncio.Task[None] | None = None
        self.exited.add_done_callback(lambda _: self._give_up())
        self._read_on()

    @classmethod
    async def launch(cls, launcher: Launcher, *, sink: Sink, setting: Setting) -> PythonRunner:
        """Start the process and wait until it is ready."""
        ours, theirs = socket.socketpair()
        out_r, out_w = output_pipe()
        err_r, err_w = output_pipe()
        for end in (ours, theirs):
            _enlarge(end)
        ours.setblocking(False)  # noqa: FBT003  # its own form
        spec = setting.process(*PROGRAMS[setting.interpreter], str(SOCKET_FD))
        spec = replace(spec, env={**HUGE_PAGES, **spec.env})
        fds = {1: out_w, 2: err_w, SOCKET_FD: theirs.fileno()}
        try:
            process = await asyncio.to_thread(launcher.spawn, spec, fds)
        except BaseException:
            ours.close()
            os.close(out_r)
            os.close(err_r)
            raise
        finally:
            theirs.close()
            os.close(out_w)
            os.close(err_w)
        nonce = os.urandom(8).hex()
        runner = cls(process, sink, Marks(nonce), out_r, err_r, ours)
        runner._send({"t": "hello", "nonce": nonce, "options": {}})
        try:
            await runner._first(runner._ready, timeout_s=START_TIMEOUT_S)
        except BaseException:
            await runner.close()
            raise
        return runner

    # --- requests ------------------------------------------------------------------------

    async def execute(self, request: ExecuteRequest) -> dict[str, Any]:
        self._drain()  # what is still under way belongs to the cell before
        self.cell = request.cell
        number, reply = self._expect()
        self._executing = number
        self._send(
            {
                "t": "execute",
                "id": number,
                "cell": request.cell,
                "header": request.header,
                "code": request.code,
                "silent": request.silent,
                "store_history": request.store_history,
                "user_expressions": request.user_expressions,
                "allow_stdin": request.allow_stdin,
                "count": request.count,
                "cell_id": request.cell_id,
            }
        )
        try:
            return await self._first(reply)
        finally:
            self._executing = None
            self._stop_asking()

    async def request(self, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        number, reply = self._expect()
        body = {"request": content} if kind == "debug" else content
        self._send({**body, "t": kind, "id": number})
        try:
            return await self._first(reply)
        finally:
            self._replies.pop(number, None)

    def send_comm(
        self,
        kind: str,
        content: dict[str, Any],
        metadata: dict[str, Any],
        buffers: Sequence[bytes | memoryview],
        *,
        cell: int,
        header: dict[str, Any],
    ) -> None:
        comm_id = str(content.get("comm_id", ""))
        if kind == "comm_open":
            self._comms.add(comm_id)
        elif kind == "comm_close":
            self._comms.discard(comm_id)
        message = {"t": kind, "content": content, "metadata": metadata}
        self._send({**message, "cell": cell, "header": header}, buffers)

    def owns_comm(self, comm_id: str) -> bool:
        return comm_id in self._comms

    def _expect(self) -> tuple[int, asyncio.Future[dict[str, Any]]]:
        self._last_id += 1
        reply: asyncio.Future[dict[str, Any]] = self.loop.create_future()
        self._replies[self._last_id] = reply
        return self._last_id, reply

    async def _first(self, answer: asyncio.Future[T], timeout_s: float | None = None) -> T:
        """The answer, or RunnerExited when the runner is gone (or silent) before it comes."""
        await asyncio.wait(
            (answer, self.exited), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if answer.done() and not answer.cancelled():
            return answer.result()
        if not self.exited.done():
            self._fail("did not get ready in time")
        raise RunnerExited(await asyncio.shield(self.exited))

    # --- writing -------------------------------------------------------------------------

    def _send(self, message: dict[str, Any], buffers: Sequence[bytes | memoryview] = ()) -> None:
        if self.exited.done() or self._is_closed:
            return
        if buffers:
            message["b"] = [memoryview(buffer).nbytes for buffer in buffers]
        parts = frame_parts(protocol.encode(message), buffers)
        if self._outgoing:
            queued = [memoryview(part) for part in parts if len(part)]
        else:
            try:
                queued = list(send_parts(self._sock, parts))
            except OSError:  # it is dying; `exited` will tell
                return
            if queued:
                self.loop.add_writer(self._sock.fileno(), self._write_on)
        self._outgoing.extend(queued)
        self._outgoing_bytes += sum(part.nbytes for part in queued)
        if self._outgoing_bytes > MAX_QUEUED_BYTES:
            self._fail("does not take messages any more")

    def _write_on(self) -> None:
        try:
            self._outgoing = send_parts(self._sock, self._outgoing)
        except OSError:
            self._outgoing.clear()
        self._outgoing_bytes = sum(part.nbytes for part in self._outgoing)
        if not self._outgoing:
            self.loop.remove_writer(self._sock.fileno())

    # --- reading -------------------------------------------------------------------------

    def _sources(self) -> list[tuple[int, Callable[[], None]]]:
        return [*super()._sources(), (self._sock.fileno(), self._on_socket)]

    def _on_socket(self) -> None:
        self._receive(FRAMES_PER_TURN)

    def _receive(self, most: int) -> bool:
        """Handle frames; False when no more are there."""
        if self._is_receiving:
            return True
        self._is_receiving = True
        try:
            while most > 0 and not self._is_held:
                for frame in self._reader.receive(self._sock):
                    self._handle(frame)
                    most -= 1
        except BlockingIOError:
            return False
        except (EOFError, ConnectionError):
            self.loop.remove_reader(self._sock.fileno())
            self.loop.call_later(END_PATIENCE_S, self._fail, "closed its socket")
            return False
        except (ProtocolError, FrameTooLong, ValueError) as error:
            self._fail(f"broke the protocol: {error}")
            self.loop.remove_reader(self._sock.fileno())
            return False
        else:
            return True
        finally:
            self._is_receiving = False

    def _handle(self, frame: Frame) -> None:
        message = protocol.decode(frame.head)
        match message:
            case protocol.Publish():
                self._publish(message, frame)
            case protocol.Stream():
                self.sink.stream(message.cell, message.name, message.text)
            case protocol.Reply():
                self._reply(message)
            case protocol.InputRequest():
                self._ask(message)
            case protocol.Ready():
                self.info = message.info
                if not self._ready.done():
                    self._ready.set_result(None)

    def _publish(self, message: protocol.Publish, frame: Frame) -> None:
        if len(message.b) > protocol.MAX_BUFFERS:
            raise ProtocolError("too many buffers")
        buffers = frame.buffers(message.b)
        content = memoryview(message.content)
        if not content.nbytes and buffers:
            content = buffers.pop(0)
        if not content.nbytes:
            raise ProtocolError("a publication without content")
        if content.nbytes > MUCH_BYTES and not message.kind.startswith("comm_"):
            self._check_and_pass_on(message, content, buffers)
            return
        comm = protocol.check_content(message.kind, content)
        if comm is None or self._may_say(message.kind, comm.comm_id):
            self._pass_on(message, content, buffers)
        else:
            self._make_way()

    def _check_and_pass_on(
        self, message: protocol.Publish, content: memoryview, buffers: Sequence[memoryview]
    ) -> None:
        """Sign much content while another thread checks it; it is sent when both are done.

        Signing lets other threads run, checking does not: it is not to begin before that.
        """
        may_begin = Event()

        def check() -> None:
            may_begin.wait()
            protocol.check_content(message.kind, content)

        with ThreadPoolExecutor(1) as other:
            checked = other.submit(check)
            may_begin.set()
            self._pass_on(message, content, buffers, confirm=checked.result)

    def _pass_on(
        self,
        message: protocol.Publish,
        content: memoryview,
        buffers: Sequence[memoryview],
        **how: Callable[[], object],
    ) -> None:
        self._make_way()
        self.sink.publish(message.cell, message.kind, content, message.metadata, buffers, **how)

    def _make_way(self) -> None:
        """Hand on what was printed before the publication that has come."""
        for stream in self.streams:
            self._advance_to(stream, self._published + 1)
            stream.flow.flush()
        self._published += 1

    def _may_say(self, kind: str, comm_id: str) -> bool:
        """A runner speaks for its own comms only."""
        if kind == "comm_open":
            if len(self._comms) >= MAX_COMMS or not self.sink.may_open(comm_id):
                return False
            self._comms.add(comm_id)
            return True
        is_own = comm_id in self._comms
        if kind == "comm_close":
            self._comms.discard(comm_id)
        return is_own

    def _reply(self, message: protocol.Reply) -> None:
        reply = self._replies.pop(message.id, None)
        if message.id == self._executing:
            self._executing = None
            self._drain()
            if message.content.get("status") not in ("ok", "error", "aborted"):
                raise ProtocolError("a reply without a status")
        if reply is not None and not reply.done():
            reply.set_result(message.content)

    # --- the order of text and publications ------------------------------------------------

    def _advance_to(self, stream: Stream, publication: int) -> None:
        """Hand on the text that was written before this publication."""
        left_bytes = DRAIN_BYTES
        while True:
            while (item := stream.pipe.take()) is not None:
                if isinstance(item, bytes):
                    stream.flow.write(item)
                elif _number(item) >= publication:
                    stream.pipe.put_back(item)
                    return
            count = stream.pipe.fill(READ_BYTES) if left_bytes > 0 else 0
            left_bytes -= count
            if not count:
                return

    def _pass_mark(self, stream: Stream, mark: str) -> bool:
        """A mark comes after its publication: if that is nowhere, the mark is forged."""
        number = _number(mark)
        if number <= self._published:
            return True
        stream.pipe.put_back(mark)
        if self._is_receiving or self._is_held:
            return False
        has_more = self._receive(FRAMES_PER_TURN)
        if number <= self._published:
            return True
        if has_more:
            self.loop.call_soon(self._on_pipe, stream)
            return False
        stream.pipe.take()
        return True

    # --- input and the end -----------------------------------------------------------------

    def _ask(self, message: protocol.InputRequest) -> None:
        self._drain()
        self._stop_asking()
        if len(message.prompt) > protocol.MAX_PROMPT_CHARS:
            raise ProtocolError("a prompt too long")
        if self._executing is not None:
            self._input = self.loop.create_task(self._answer(message))

    async def _answer(self, message: protocol.InputRequest) -> None:
        try:
            value = await self.sink.input(message.cell, message.prompt, password=message.password)
        except EOFError:
            value = END_OF_INPUT
        self._send({"t": "input_reply", "value": value})

    def _stop_asking(self) -> None:
        if self._input is not None:
            self._input.cancel()
            self._input = None

    def _settle(self) -> None:
        self._is_held = False
        if not self._fault:
            self._receive(1 << 30)
        super()._settle()

    def _give_up(self) -> None:
        self._stop_asking()
        self._comms.clear()
        for reply in self._replies.values():
            if not reply.done():
                reply.cancel()
        self._replies.clear()

    async def close(self) -> None:
        if self._is_closed:
            return
        await super().close()
        if self._outgoing:
            self.loop.remove_writer(self._sock.fileno())
            self._outgoing.clear()
        self._sock.close()


def _enlarge(sock: socket.socket) -> None:
    """Room for a large frame: fewer turns between the two sides. Root may exceed wmem_max."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BYTES)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)


def _number(mark: str) -> int:
    return int(mark) if mark.isdecimal() and len(mark) < 20 else 0
