"""What all runners share on the host: a process, its two output pipes, its end, its interrupt."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress

from wardian.cells.guest.frames import READ_BYTES, Marks
from wardian.cells.output import PIPE_BYTES, OutputPipe, TextFlow
from wardian.cells.runner import ExitReason, Sink, SpawnedProcess

# More than a pipe can hold: what was written before a frame is read before these are used up.
DRAIN_BYTES = 8 * PIPE_BYTES
PIDFD_SIGNAL_PROCESS_GROUP = 1 << 2  # linux/pidfd.h, since Linux 6.9


class Stream:
    """One output pipe and the text on its way from it to the sink."""

    def __init__(self, name: str, pipe: OutputPipe, flow: TextFlow) -> None:
        self.name = name
        self.pipe = pipe
        self.flow = flow


class PipedProcess:
    """A process with two output pipes; the way requests reach it is the subclasses' matter."""

    exited: asyncio.Future[ExitReason]

    def __init__(
        self, process: SpawnedProcess, sink: Sink, marks: Marks, out_fd: int, err_fd: int
    ) -> None:
        self.process = process
        self.sink = sink
        self.cell = 0
        self.loop = asyncio.get_running_loop()
        self.exited = self.loop.create_future()
        self.streams = tuple(
            Stream(name, OutputPipe(fd, marks), self._flow(name))
            for name, fd in (("stdout", out_fd), ("stderr", err_fd))
        )
        self._fault = ""
        self._is_held = False
        self._is_closed = False
        self.loop.add_reader(process.pidfd, self._on_death)

    def _flow(self, name: str) -> TextFlow:
        return TextFlow(lambda text: self.sink.stream(self.cell, name, text))

    # --- reading -------------------------------------------------------------------------

    def _sources(self) -> list[tuple[int, Callable[[], None]]]:
        """Descriptors to read and what reads them."""
        return [
            (stream.pipe.fd, lambda stream=stream: self._on_pipe(stream))  # type: ignore[misc]
            for stream in self.streams
            if not stream.pipe.at_end
        ]

    def _read_on(self) -> None:
        for fd, callback in self._sources():
            self.loop.add_reader(fd, callback)

    def hold_output(self) -> None:
        """Stop reading."""
        if not self._is_held and not self._is_closed:
            self._is_held = True
            for fd, _ in self._sources():
                self.loop.remove_reader(fd)

    def release_output(self) -> None:
        """Read on."""
        if self._is_held and not self._is_closed:
            self._is_held = False
            self._read_on()
            for stream in self.streams:  # a mark may have waited for a frame
                self.loop.call_soon(self._on_pipe, stream)

    def _on_pipe(self, stream: Stream) -> None:
        if stream.pipe.fd < 0:
            return
        stream.pipe.fill(4 * READ_BYTES)
        self._advance(stream)
        if stream.pipe.at_end:
            self.loop.remove_reader(stream.pipe.fd)

    def _advance(self, stream: Stream) -> None:
        """Hand on what was read, up to a mark whose time has not come."""
        while (item := stream.pipe.take()) is not None:
            if isinstance(item, bytes):
                stream.flow.write(item)
            elif not self._pass_mark(stream, item):
                return

    def _pass_mark(self, stream: Stream, mark: str) -> bool:  # noqa: ARG002  # the subclasses' matter
        """Act on a mark; False (having put it back) if the text after it must wait."""
        return True

    def _drain(self) -> None:
        """Hand on everything that the pipes hold now."""
        for stream in self.streams:
            if stream.pipe.fd >= 0:
                stream.pipe.fill(DRAIN_BYTES)
            stream.pipe.release_tail()
            while (item := stream.pipe.take()) is not None:
                if isinstance(item, bytes):
                    stream.flow.write(item)
                else:
                    self._pass_last_mark(stream, item)
            stream.flow.finish()

    def _pass_last_mark(self, stream: Stream, mark: str) -> None:
        """Act on a mark when nothing can be waited for any more."""

    # --- signals and the end -------------------------------------------------------------

    def interrupt(self) -> None:
        """SIGINT to the process and its group."""
        if self._is_closed or self.exited.done():
            return
        try:
            signal.pidfd_send_signal(
                self.process.pidfd, signal.SIGINT, None, PIDFD_SIGNAL_PROCESS_GROUP
            )
        except ProcessLookupError:
            pass
        except OSError:  # EINVAL: an older kernel; the process leads its group
            with suppress(ProcessLookupError):
                os.killpg(self.process.host_pid, signal.SIGINT)

    def _fail(self, fault: str) -> None:
        """The runner broke the protocol: it is not to be trusted with another byte."""
        if not self._fault and not self._is_closed:
            self._fault = fault
            self.process.signal(signal.SIGKILL)

    def _on_death(self) -> None:
        self.loop.remove_reader(self.process.pidfd)
        self._settle()
        wait = self.loop.run_in_executor(None, self.process.wait)
        wait.add_done_callback(self._note_exit)

    def _settle(self) -> None:
        """Take in what the dead process left in its pipes."""
        if not self._fault:
            self._drain()

    def _note_exit(self, wait: asyncio.Future[int]) -> None:
        if self.exited.done():
            return
        code = 137 if wait.cancelled() or wait.exception() else wait.result()
        self.exited.set_result(ExitReason(code, self._fault))

    async def close(self) -> None:
        """End the process and free everything."""
        if self._is_closed:
            return
        self.process.signal(signal.SIGKILL)
        await asyncio.shield(self.exited)
        for fd, _ in self._sources():
            self.loop.remove_reader(fd)
        self._is_closed = True
        for stream in self.streams:
            stream.flow.flush()
            stream.pipe.close()
        self.process.close()
