"""The main loop of a runner: takes the host's requests one by one and answers them."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import socket
import sys
from collections import deque
from typing import Any, Deque, Dict, List, Optional

from .descriptors import private_descriptor
from .frames import Marks
from .interrupts import Interrupts
from .kernel import Kernel
from .link import Link, Message
from .streams import Flusher, OutStream

EXIT_DELAY_S = 0.1


class Runner:
    """Answers requests with the help of a language: IPython's shell, or the plain one."""

    def __init__(self, link: Link, loop: asyncio.AbstractEventLoop, language: Any) -> None:
        self._link = link
        self._loop = loop
        self._language = language
        self._waiting: Deque[Message] = deque()
        self._execution: Optional[asyncio.Task[None]] = None

    def serve(self) -> None:
        """Take what has arrived; called by the event loop."""
        try:
            while True:
                message = self._link.receive()
                if message is None:
                    return
                self._waiting.append(message)
                self._next()
        except (EOFError, OSError):
            self._loop.stop()

    def _next(self) -> None:
        """Start what can be started: comms at once, everything else in turn after a cell."""
        turns: List[Message] = []
        while self._waiting:
            message = self._waiting.popleft()
            if message[0]["t"] == "execute" and self._execution is not None:
                turns.append(message)
            else:
                self._take(*message)
        self._waiting.extend(turns)

    def _take(self, message: Dict[str, Any], buffers: List[memoryview]) -> None:
        kind = message["t"]
        if kind == "shutdown":
            self._loop.stop()
        elif kind == "execute":
            self._execution = self._loop.create_task(self._execute(message))
        elif kind.startswith("comm_") and kind != "comm_info":
            self._loop.create_task(self._handle_comm(message, buffers))
        elif kind == "debug":
            self._start_debugger(message)
        elif kind != "input_reply":
            self._loop.create_task(self._answer(message))

    def _start_debugger(self, message: Dict[str, Any]) -> None:
        """The first debug request; the control thread takes the others."""
        make_debugger = getattr(self._language, "make_debugger", None)
        if make_debugger is None:
            number = message["id"]
            self._link.send({"t": "reply", "id": number, "content": {"success": False}})
            return
        from .control import ControlThread

        self._control = ControlThread(self._link, self._loop, self.serve, make_debugger)
        self._control.start(message)

    async def _execute(self, message: Dict[str, Any]) -> None:
        cell, header = message["cell"], message.get("header") or {}
        self._link.running = (cell, header)
        self._link.begin(cell, header)
        try:
            content = await self._language.execute(message)
        except BaseException as error:  # an interrupt just before or after the user's code
            rest = {"execution_count": message["count"], "user_expressions": {}, "payload": []}
            content = {**broken(error), **rest}
        self._link.flush()
        self._link.send({"t": "reply", "id": message["id"], "content": content})
        self._execution = None
        if self._language.has_exited:
            self._loop.call_later(EXIT_DELAY_S, self._loop.stop)
        self._next()
        if self._link.has_messages:
            self._loop.call_soon(self.serve)

    async def _handle_comm(self, message: Dict[str, Any], buffers: List[memoryview]) -> None:
        self._link.begin(message.get("cell", 0), message.get("header") or {})
        self._language.handle_comm(
            message["t"],
            {
                "header": {**(message.get("header") or {}), "msg_type": message["t"]},
                "msg_type": message["t"],
                "content": message["content"],
                "metadata": message.get("metadata") or {},
                "buffers": buffers,
            },
        )
        self._link.flush()

    async def _answer(self, message: Dict[str, Any]) -> None:
        number, kind = message.pop("id"), message.pop("t")
        try:
            content = await self._language.answer(kind, message)
        except Exception as error:
            content = broken(error)
        self._link.send({"t": "reply", "id": number, "content": content})


def broken(error: BaseException) -> Dict[str, Any]:
    """The reply to a request on which we failed ourselves."""
    import traceback

    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return {
        "status": "error",
        "ename": type(error).__name__,
        "evalue": str(error),
        "traceback": [line.rstrip("\n") for line in lines],
    }


def run(socket_fd: int) -> None:
    """The life of the runner: greet, serve, end."""
    interrupts = Interrupts()
    interrupts.install()
    link = Link(_private_socket(socket_fd), interrupts)
    hello = link.wait_for("hello")
    _take_streams(link, hello["nonce"])
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    kernel = Kernel(link, loop)
    language = _language(kernel, interrupts)
    runner = Runner(link, loop, language)
    loop.add_reader(link.fileno(), runner.serve)
    link.send({"t": "ready", "info": language.info()})
    loop.call_soon(runner.serve)
    _run_forever(loop)
    link.flush()
    _end()


def _run_forever(loop: asyncio.AbstractEventLoop) -> None:
    """A task of the user's that raises SystemExit or KeyboardInterrupt does not end the runner."""
    pid = os.getpid()
    is_over = False
    while not is_over:
        try:
            loop.run_forever()
            is_over = True
        except (SystemExit, KeyboardInterrupt):  # noqa: PERF203  # rare
            if os.getpid() != pid:
                raise


def _end() -> None:
    """Leave as Python does at its end, but not behind threads that never do."""
    import threading

    others = [
        thread
        for thread in threading.enumerate()
        if thread is not threading.main_thread() and not thread.daemon
    ]
    if others:
        import atexit

        atexit._run_exitfuncs()  # noqa: SLF001  # what Python calls when it ends
        os._exit(0)
    sys.exit(0)


def _private_socket(fd: int) -> socket.socket:
    sock = socket.socket(fileno=private_descriptor(fd))
    os.close(fd)
    sock.setblocking(True)
    return sock


def _take_streams(link: Link, nonce: str) -> None:
    flusher = Flusher()
    out = OutStream("stdout", 1, link, flusher)
    err = OutStream("stderr", 2, link, flusher)
    for name, stream in (("stdout", out), ("stderr", err)):
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    link.use_marks(Marks(nonce), (out.mark_fd, err.mark_fd))

    def flush() -> None:
        out.flush()
        err.flush()

    link.flush = flush
    faulthandler.enable(err.mark_fd)


def _language(kernel: Kernel, interrupts: Interrupts) -> Any:
    try:
        from .ipython_language import IPythonLanguage
    except ImportError:
        from .plain_language import PlainLanguage

        return PlainLanguage(kernel, interrupts)
    return IPythonLanguage(kernel, interrupts)
