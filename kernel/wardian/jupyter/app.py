"""The kernel process: its sockets, its signals, its parent, from the first line to the last."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import zmq
from ipykernel.heartbeat import Heartbeat
from jupyter_client.session import Session

from wardian.cells.runner import Language
from wardian.jupyter.channel import Channel, Frames
from wardian.jupyter.connection import Connection, Sockets
from wardian.jupyter.kernel import WardianKernel
from wardian.jupyter.publisher import Publisher
from wardian.jupyter.workspaces import Workspaces

log = logging.getLogger("wardian.kernel")


class KernelApp:
    """One kernel on its sockets.

    ipykernel's own app is not used: it is built around IPython, three threads and configuration
    files, none of which this side of the glass needs.
    """

    def __init__(
        self,
        file: Path,
        bound: tuple[Sockets, Connection],
        workspaces: Workspaces,
        language: Language,
        parent: int | None,
    ) -> None:
        """``parent`` is a pidfd: the kernel ends when that process does."""
        self._parent = parent
        self._ended = asyncio.Event()
        self._workspaces = workspaces
        self._sockets, connection = bound
        self._heartbeat, connection = _beat(connection)
        connection.write(file)
        self._session = Session(
            key=connection.key, signature_scheme=connection.signature_scheme, username="kernel"
        )
        self._iopub = Publisher(self._sockets.iopub, self._welcome)
        self._iopub.hold, self._iopub.release = workspaces.hold_output, workspaces.release_output
        self._shell = Channel(self._sockets.shell)
        self._control = Channel(self._sockets.control)
        self._stdin = Channel(self._sockets.stdin)
        self._kernel = WardianKernel.instance(
            language=language,
            workspaces=workspaces,
            session=self._session,
            iopub_socket=self._iopub,
            shell_socket=self._shell,
            control_socket=self._control,
            stdin_socket=self._stdin,
            log=log,
        )
        self._kernel.on_shutdown = self._ended.set
        self._kernel.record_ports(
            {
                "shell_port": connection.shell_port,
                "iopub_port": connection.iopub_port,
                "stdin_port": connection.stdin_port,
                "control_port": connection.control_port,
                "hb_port": connection.hb_port,
            }
        )

    async def run(self) -> None:
        """Serve until a shutdown request, SIGTERM, or the parent's end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._ended.set)
        loop.add_signal_handler(signal.SIGINT, self._kernel.execution.interrupt)
        if self._parent is not None:
            loop.add_reader(self._parent, self._parent_ended, loop, self._parent)
        self._iopub.start()
        self._stdin.start(self._kernel.stdin.receive)
        self._control.start(self._kernel.on_control)
        self._kernel.start()
        self._shell.start(self._kernel.on_shell)
        await self._ended.wait()
        await self._kernel.leave()
        await self._workspaces.close(restart=False)
        for channel in (self._shell, self._control, self._stdin, self._iopub):
            channel.stop()
        self._sockets.close()
        self._heartbeat.context.term()

    def _welcome(self, topic: bytes) -> Frames:
        content = {"subscription": topic.decode("utf-8", "replace")}
        message = self._session.msg("iopub_welcome", content)
        return self._session.serialize(message)

    def _parent_ended(self, loop: asyncio.AbstractEventLoop, fd: int) -> None:
        loop.remove_reader(fd)
        os.close(fd)
        self._ended.set()


def _beat(connection: Connection) -> tuple[Heartbeat, Connection]:
    """The heartbeat of ipykernel, in its thread: it answers even while this process is busy."""
    from msgspec.structs import replace

    public, secret = connection.curve_keys or (None, None)
    heartbeat = Heartbeat(
        zmq.Context(),
        (connection.transport, connection.ip, connection.hb_port),
        curve_publickey=public,
        curve_secretkey=secret,
    )
    heartbeat.start()
    return heartbeat, replace(connection, hb_port=heartbeat.port)


def set_up_log() -> None:
    """Warnings and worse go to the server's log by stderr."""
    level = logging.getLevelNamesMapping().get(os.environ.get("WARDIAN_LOG", "").upper())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("[wardian] %(levelname)s %(message)s"))
    logging.basicConfig(level=level or logging.WARNING, handlers=[handler])
