"""The host side of the kernel: it answers the page and routes cells to where they run.

A subclass of ipykernel's ``Kernel``, which runs on one thread: sockets are read on the asyncio
loop and replies are written at once, where ipykernel passes each message through a shell thread
and an iopub thread. Cells wait for one another in a queue; what must not wait for a cell (comm
messages, kernel_info, comm_info) is answered at once.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ipykernel.kernelbase import Kernel
from traitlets import Any as AnyTrait

from wardian import __version__
from wardian.cells.runner import Language, Runner
from wardian.errors import WardianError
from wardian.jupyter import comms, languages
from wardian.jupyter.channel import Frames
from wardian.jupyter.comms import WIDGET_CONTROL, GuestComm, GuestComms
from wardian.jupyter.execution import Execution
from wardian.jupyter.outputs import Outputs
from wardian.jupyter.publisher import Confirmed
from wardian.jupyter.stdin import Stdin
from wardian.jupyter.usage import CpuMeter, usage_content
from wardian.jupyter.widget_control import WidgetControl
from wardian.jupyter.workspaces import Workspaces
from wardian.observe.cells import Cells

if TYPE_CHECKING:
    from wardian.widgets.recorder import Recorder

Message = dict[str, Any]
Sender = Any  # whatever has send_multipart: a Channel

COMM_KINDS = frozenset({"comm_open", "comm_msg", "comm_close"})
AT_ONCE = frozenset({"kernel_info_request", "comm_info_request", "connect_request"})


class WardianKernel(Kernel):  # type: ignore[misc]  # ipykernel has no types to speak of
    """One notebook's kernel; ``language`` is that of a cell without a magic."""

    implementation = "wardian"
    implementation_version = __version__
    # The base class names a class of IPython's here, which we have no use for on the host.
    profile_dir = AnyTrait(None, allow_none=True)
    execution_count: int = 0
    shell_socket = AnyTrait()
    control_socket = AnyTrait()
    help_links: ClassVar[list[dict[str, str]]] = []

    def __init__(self, *, language: Language, workspaces: Workspaces, **traits: Any) -> None:
        super().__init__(**traits)
        self.language = language
        self.workspaces = workspaces
        self.stdin: Stdin = Stdin(self.session, self.stdin_socket.send_multipart)
        self.outputs = Outputs(self)
        self.guest_comms = GuestComms()
        self.comm_manager = comms.install(self)
        self.execution = Execution(self)
        self.recorder: Recorder | None = None
        self.cells = Cells()
        self._meter = CpuMeter()
        self.on_shutdown: Callable[[], None] = lambda: None
        self._controls: dict[str, WidgetControl] = {}
        self._waiting: deque[tuple[list[bytes], Message]] = deque()
        self._arrived = asyncio.Event()
        self._current: Message | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        workspaces.bind(self)

    @property
    def language_info(self) -> dict[str, Any]:
        """The language of this kernel's cells, as far as it is known by now."""
        return self.workspaces.language_info(self.language)

    @property
    def banner(self) -> str:
        """What a console prints at its start."""
        return f"Wardian {__version__}: {self.workspaces.main.whereabouts}"

    @property
    def kernel_info(self) -> dict[str, Any]:
        """The kernel_info_reply. Subshells are not offered, so they are not listed."""
        return {
            "protocol_version": "5.5",
            "implementation": self.implementation,
            "implementation_version": self.implementation_version,
            "language_info": self.language_info,
            "banner": self.banner,
            "help_links": self.help_links,
            "supported_features": sorted(languages.features(self.language)),
        }

    # --- messages in ---------------------------------------------------------------------

    def start(self) -> None:
        """Begin to serve; called on the running loop, once the sockets are read."""
        self._control_lock = asyncio.Lock()
        self._publish_status("starting", "shell")
        self._start_task(self._serve_queue())

    def on_shell(self, frames: Frames) -> None:
        """A message on the shell channel."""
        received = self._receive(frames)
        if received is None:
            return
        idents, message = received
        kind = message["msg_type"]
        if kind in COMM_KINDS:
            self._start_task(self._handle_comm(kind, idents, message))
        elif kind in AT_ONCE and self._current is not None:
            self._start_task(self._handle(self.shell_socket, idents, message))
        else:
            self._waiting.append(received)
            self._arrived.set()

    def on_control(self, frames: Frames) -> None:
        """A message on the control channel; it never waits for a cell."""
        received = self._receive(frames)
        if received is not None:
            self._start_task(self._handle_control(*received))

    def _receive(self, frames: Frames) -> tuple[list[bytes], Message] | None:
        try:
            idents, parts = self.session.feed_identities(frames)
            message = self.session.deserialize(parts)
            message["msg_type"] = str(message["msg_type"])
        except (ValueError, TypeError, KeyError) as error:
            self.log.warning("invalid message: %s", error)
            return None
        return idents, message

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_queue(self) -> None:
        while True:
            while self._waiting:
                idents, message = self._waiting.popleft()
                self._current = message
                await self._handle(self.shell_socket, idents, message)
                self._current = None
            self._arrived.clear()
            await self._arrived.wait()

    async def _handle(self, stream: Sender, idents: list[bytes], message: Message) -> None:
        """One shell request from busy to idle."""
        is_running = message is self._current
        if is_running:
            self.set_parent(idents, message, "shell")
        self._publish_status("busy", "shell", parent=message)
        handler = self.shell_handlers.get(message["msg_type"])
        if handler is None:
            self.log.warning("unknown message type: %r", message["msg_type"])
        else:
            await self._call(handler, stream, idents, message)
        self._publish_status("idle", "shell", parent=message)
        if not is_running:
            self._say_busy_again()

    async def _call(
        self, handler: Callable[..., Any], stream: Sender, idents: list[bytes], message: Message
    ) -> None:
        try:
            result = handler(stream, idents, message)
            if inspect.isawaitable(result):
                await result
        except Exception:
            self.log.exception("error in the handler of %s", message["msg_type"])

    def _say_busy_again(self) -> None:
        """The page shows the last status it got: while a cell runs that must be ``busy``."""
        if self._current is not None:
            self._publish_status("busy", "shell", parent=self._current)

    async def _handle_control(self, idents: list[bytes], message: Message) -> None:
        async with self._control_lock:
            self.set_parent(idents, message, "control")
            self._publish_status("busy", "control", parent=message)
            handler = self.control_handlers.get(message["msg_type"])
            if handler is None:
                self.log.error("unknown control message type: %r", message["msg_type"])
            else:
                await self._call(handler, self.control_socket, idents, message)
            self._publish_status("idle", "control", parent=message)
            self._say_busy_again()

    def set_thread_parent(self, parent: Message) -> None:
        """What this thread publishes from now on belongs to this message."""
        self._shell_parent.set(parent)

    # --- messages out --------------------------------------------------------------------

    def publish(
        self,
        kind: str,
        content: dict[str, Any] | bytes,
        parent: Message,
        metadata: dict[str, Any] | None = None,
        buffers: list[Any] | None = None,
    ) -> None:
        """One message on iopub. Any thread may call."""
        self.session.send(
            self.iopub_socket,
            kind,
            content,
            parent=parent,
            ident=self._topic(kind),
            buffers=buffers,
            metadata=metadata,
        )

    def pass_on(
        self,
        kind: str,
        content: memoryview,
        parent: Message,
        metadata: dict[str, Any],
        buffers: Sequence[memoryview],
        confirm: Callable[[], object] = lambda: None,
    ) -> None:
        """One message on iopub whose content is JSON already: it is signed and sent as it is.

        ``confirm`` is called in between.
        """
        session = self.session
        parts = [
            session.pack(session.msg_header(kind)),
            session.pack(parent.get("header", {})),
            session.pack(metadata),
            content,
            *buffers,
        ]
        is_small = content.nbytes < session.copy_threshold and not buffers
        sender = Confirmed(self.iopub_socket, confirm)
        session.send_raw(sender, parts, copy=is_small, ident=self._topic(kind))

    # --- cells ---------------------------------------------------------------------------

    async def execute_request(self, stream: Sender, idents: list[bytes], parent: Message) -> None:
        """Run a cell and answer; the count of executions is the host's."""
        if parent.get("is_aborted"):
            self._send_abort_reply(stream, parent, idents)
            return
        content = parent["content"]
        is_silent = bool(content.get("silent", False))
        stores_history = bool(content.get("store_history", not is_silent)) and not is_silent
        request = self.outputs.begin(
            parent,
            idents=idents,
            count=self.execution_count + (not is_silent),
            is_silent=is_silent,
            stores_history=stores_history,
            allows_stdin=bool(content.get("allow_stdin", False)),
        )
        metadata = self.init_metadata(parent)
        if not is_silent:
            self._publish_execute_input(content["code"], parent, request.count)
        reply, figures = await self.execution.run(request, content)
        if stores_history:
            self.execution_count = request.count
        self.stdin.cancel()
        self.outputs.end(request)
        metadata |= {"status": reply["status"], "wardian": figures}
        reply = {**reply, "execution_count": request.count}
        self.session.send(stream, "execute_reply", reply, parent, metadata=metadata, ident=idents)
        if reply["status"] == "error" and not is_silent and content.get("stop_on_error", True):
            self._abort_waiting()

    async def do_execute(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Unused: `execute_request` does it all."""
        raise NotImplementedError

    def _abort_waiting(self) -> None:
        """After an error the cells that already wait are not run: each is told so in its turn."""
        self.shell_socket.drain()
        for _, message in self._waiting:
            if message["msg_type"] == "execute_request":
                message["is_aborted"] = True

    async def interrupt_request(self, stream: Sender, idents: list[bytes], parent: Message) -> None:
        """Interrupt the running cell, wherever it runs."""
        self.execution.interrupt()
        self.session.send(stream, "interrupt_reply", {"status": "ok"}, parent, ident=idents)

    # --- questions about code ------------------------------------------------------------

    async def do_complete(self, code: str, cursor_pos: int) -> dict[str, Any]:
        """Completions: our magics', and those of the runner that would run the cell."""
        return await self.execution.complete(code, cursor_pos)

    async def do_inspect(
        self, code: str, cursor_pos: int, detail_level: int = 0, omit_sections: Any = ()
    ) -> dict[str, Any]:
        """Help on our magics or on what the runner knows."""
        return await self.execution.inspect(code, cursor_pos, detail_level, omit_sections)

    async def do_is_complete(self, code: str) -> dict[str, Any]:
        """Whether a console should run the code or ask for another line."""
        return await self.execution.is_complete(code)

    async def do_history(self, hist_access_type: str, **arguments: Any) -> dict[str, Any]:
        """The runner's history."""
        return await self.execution.history({"hist_access_type": hist_access_type, **arguments})

    async def do_debug_request(self, msg: dict[str, Any]) -> dict[str, Any]:
        """Relay to the debugger beside the cells."""
        return await self.execution.debug(msg)

    async def usage_request(self, stream: Sender, idents: list[bytes], parent: Message) -> None:
        """The container's figures, in the words of jupyter-resource-usage."""
        content = await asyncio.to_thread(usage_content, self.workspaces.main, self._meter)
        self.session.send(stream, "usage_reply", content, parent, ident=idents)

    # --- comms ---------------------------------------------------------------------------

    async def comm_info_request(self, stream: Sender, idents: list[bytes], parent: Message) -> None:
        """The open comms of the host and of the containers."""
        wanted = parent["content"].get("target_name")
        known: dict[str, Any] = {**self.comm_manager.comms, **self.guest_comms.comms}
        content = {
            "status": "ok",
            "comms": {
                id_: {"target_name": one.target_name}
                for id_, one in known.items()
                if wanted in (None, one.target_name)
            },
        }
        self.session.send(stream, "comm_info_reply", content, parent, ident=idents)

    async def _handle_comm(self, kind: str, idents: list[bytes], message: Message) -> None:
        self._shell_parent.set(message)
        self._shell_parent_ident.set(idents)
        self._publish_status("busy", "shell", parent=message)
        try:
            await self._route_comm(kind, message)
        except Exception:
            self.log.exception("error in the handler of %s", kind)
        self._publish_status("idle", "shell", parent=message)
        self._say_busy_again()

    async def _route_comm(self, kind: str, message: Message) -> None:
        content = message["content"]
        comm_id = content["comm_id"]
        if kind == "comm_open":
            await self._open_comm(comm_id, content.get("target_name", ""), message)
        elif (control := self._controls.get(comm_id)) is not None:
            if kind == "comm_close":
                del self._controls[comm_id]
                await control.close(message)
            else:
                await control.receive(message)
        elif comm_id in self.comm_manager.comms:
            getattr(self.comm_manager, kind)(self.shell_socket, "", message)
        elif (guest := self.guest_comms.comms.get(comm_id)) is not None:
            if kind == "comm_close":
                del self.guest_comms.comms[comm_id]
            await self._tell_guest(guest.runner, kind, message)

    async def _open_comm(self, comm_id: str, target_name: str, message: Message) -> None:
        if target_name == WIDGET_CONTROL:
            self._controls[comm_id] = WidgetControl(self, comm_id)
            await self._controls[comm_id].open(message)
        elif target_name in self.comm_manager.targets:
            self.comm_manager.comm_open(self.shell_socket, "", message)
        else:
            runner = await self.workspaces.current.runner(self.language)
            self.guest_comms.comms[comm_id] = GuestComm(target_name, runner)
            await self._tell_guest(runner, "comm_open", message)

    async def _tell_guest(self, runner: Runner, kind: str, message: Message) -> None:
        """Done when the container has handled it: then the page may send the next one."""
        request = self.outputs.begin(message)
        await comms.tell_runner(runner, kind, message, cell=request.number)
        self.outputs.release_error(request)
        self.outputs.end(request)

    # --- the end -------------------------------------------------------------------------

    async def leave(self) -> None:
        """Nothing more goes to the page: what runs is given up, and views stop sampling."""
        await self._keep_recording()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        comms.HostComm.kernel = None
        if (ipywidgets := sys.modules.get("ipywidgets")) is not None:
            ipywidgets.Widget.close_all()

    async def _keep_recording(self) -> None:
        """What is being recorded is kept as it is by now."""
        recorder, self.recorder = self.recorder, None
        if recorder is not None:
            try:
                await asyncio.to_thread(recorder.stop)
            except WardianError as error:
                self.log.warning("%s", error.what)

    async def shutdown_request(self, stream: Sender, idents: list[bytes], parent: Message) -> None:
        """End; on a restart everything in the container goes on but the interpreters."""
        restart = bool(parent["content"].get("restart", False))
        await self._keep_recording()
        await self.workspaces.close(restart=restart)
        content = {"status": "ok", "restart": restart}
        self.session.send(stream, "shutdown_reply", content, parent, ident=idents)
        self.publish("shutdown_reply", content, parent)
        self.on_shutdown()
