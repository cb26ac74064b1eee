"""``%%host``: Python in the kernel process itself, outside of any container.

IPython is imported when the first such cell runs. Cells run in one thread of their own, so that
the kernel goes on answering, comm messages above all, while they run.
"""

from __future__ import annotations

import asyncio
import builtins
import ctypes
import getpass
import io
import sys
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ipykernel.zmqshell import ZMQInteractiveShell
from IPython.core.error import StdinNotImplementedError

from wardian.jupyter.failure import OK_REPLY

if TYPE_CHECKING:
    from wardian.jupyter.kernel import WardianKernel
    from wardian.jupyter.request import Request


class HostStream(io.TextIOBase):
    """What replaces ``sys.stdout`` and ``sys.stderr`` in the kernel process."""

    def __init__(self, kernel: WardianKernel, name: str) -> None:
        self._kernel = kernel
        self._name = name
        self._parent: dict[str, Any] | None = None
        self._waiting: list[str] = []
        self._lock = threading.RLock()

    def set_parent(self, parent: dict[str, Any]) -> None:
        """From now on what is written belongs to this request."""
        self.flush()
        self._parent = parent

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has it as an attribute
        return "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        with self._lock:
            self._waiting.append(text)
        if "\n" in text:
            self.flush()
        return len(text)

    def flush(self) -> None:
        with self._lock:
            text, self._waiting = "".join(self._waiting), []
            if text and self._parent is not None:
                self._kernel.publish("stream", {"name": self._name, "text": text}, self._parent)


class HostShell:
    """IPython in the kernel process."""

    def __init__(self, kernel: WardianKernel) -> None:
        self._kernel = kernel
        self._executor = ThreadPoolExecutor(1, "host-cell")
        self._thread_id: int | None = None
        self._loop = asyncio.get_running_loop()
        self._request: Request | None = None
        # Modules beside the notebook, as under ipykernel; for who asks for the host, and never
        # instead of those that are installed: containers may write there.
        sys.path.append("")
        sys.stdout = HostStream(kernel, "stdout")
        sys.stderr = HostStream(kernel, "stderr")
        builtins.input = lambda prompt="": self._ask(str(prompt), password=False)
        getpass.getpass = lambda prompt="Password: ", stream=None: self._ask(  # noqa: ARG005
            prompt, password=True
        )
        self._shell: Any = self._executor.submit(self._make_shell).result()

    def _make_shell(self) -> Any:
        shell: Any = ZMQInteractiveShell.instance(kernel=self._kernel)
        shell.history_manager.enabled = False
        shell.displayhook.session = shell.display_pub.session = self._kernel.session
        shell.displayhook.pub_socket = shell.display_pub.pub_socket = self._kernel.iopub_socket
        shell.displayhook.topic = b"execute_result"
        return shell

    async def run(self, request: Request, code: str) -> dict[str, Any]:
        """Run a cell; the content of the reply."""
        request.interrupt = self._interrupt
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, self._run, request, code)
        finally:
            request.interrupt = None

    def _run(self, request: Request, code: str) -> dict[str, Any]:
        shell = self._shell
        shell.set_parent(request.parent)
        self._kernel.set_thread_parent(request.parent)
        shell.execution_count = request.count + 1
        self._thread_id = threading.get_ident()
        self._request = request
        try:
            result = shell.run_cell(code, store_history=False, silent=request.is_silent)
        finally:
            self._thread_id = self._request = None
            sys.stdout.flush()
            sys.stderr.flush()
        payload = shell.payload_manager.read_payload()
        shell.payload_manager.clear_payload()
        if result.success:
            return {**OK_REPLY, "payload": payload}
        error = result.error_before_exec or result.error_in_exec
        return {
            "status": "error",
            "ename": type(error).__name__,
            "evalue": str(error),
            "traceback": shell._last_traceback or [],  # noqa: SLF001 (as ipykernel's own kernel reads it)
            "user_expressions": {},
            "payload": payload,
        }

    def _ask(self, prompt: str, *, password: bool) -> str:
        """What ``input`` and ``getpass`` do in a host cell."""
        request = self._request
        if request is None or not request.allows_stdin:
            raise StdinNotImplementedError("this frontend does not support input requests")
        sys.stdout.flush()
        asking = self._kernel.stdin.ask(request.parent, request.idents, prompt, password=password)
        answer = asyncio.run_coroutine_threadsafe(asking, self._loop)
        try:
            return answer.result()
        except CancelledError:
            raise KeyboardInterrupt from None

    def _interrupt(self) -> None:
        """KeyboardInterrupt in the cell's thread, at its next bytecode."""
        if self._thread_id is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._thread_id), ctypes.py_object(KeyboardInterrupt)
            )
