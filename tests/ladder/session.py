"""Run in a nest: a kernel, started by its kernelspec, some steps, and what came of them as JSON.

Not imported by a test: its text is given to the nest's Python, which has no tests.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

PATIENCE_S = 60.0
Message = dict[str, Any]


class Session:
    """A kernel and its client; the steps are its methods."""

    def __init__(self, name: str) -> None:
        self.manager = KernelManager(kernel_name=name)
        self.manager.start_kernel(cwd=str(Path.home()))
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE_S)

    def run(
        self, code: str, line: str | None = None, interrupt_at: str | None = None
    ) -> dict[str, str]:
        """One cell; ``line`` answers its input, ``interrupt_at`` is what it prints before."""
        said = dict.fromkeys(("stdout", "stderr", "result", "error"), "")

        def hear(message: Message) -> None:
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                said[content["name"]] += content["text"]
                if interrupt_at and interrupt_at in said["stdout"]:
                    self.manager.interrupt_kernel()
            elif kind in ("execute_result", "display_data"):
                said["result"] += content["data"].get("text/plain", "")
            elif kind == "error":
                said["error"] += "\n".join(content["traceback"])

        reply = self.client.execute_interactive(
            code,
            allow_stdin=line is not None,
            timeout=PATIENCE_S,
            output_hook=hear,
            stdin_hook=lambda _: self.client.input(line or ""),
        )
        note = reply["metadata"].get("wardian", {}).get("note", "")
        return {**said, "status": reply["content"]["status"], "note": note}

    def complete(self, code: str) -> list[str]:
        """The completions at its end."""
        reply = self.client.complete(code, reply=True, timeout=PATIENCE_S)
        return list(reply["content"]["matches"])

    def banner(self) -> str:
        """As a console shows it."""
        reply = self.client.kernel_info(reply=True, timeout=PATIENCE_S)
        return str(reply["content"]["banner"])

    def status_bar(self) -> Message:
        """The first frame that JupyterLab's status bar gets."""
        send, make = self.client.shell_channel.send, self.client.session.msg
        data: Message = {"view": "resources"}
        send(make("comm_open", {"comm_id": "page", "target_name": "wardian", "data": data}))
        data = {"kind": "visible", "id": "1", "visible": True}
        send(make("comm_msg", {"comm_id": "page", "data": data}))
        while True:
            heard = self.client.get_iopub_msg(timeout=PATIENCE_S)
            for buffer in heard.get("buffers", ()):
                message: Message = json.loads(bytes(buffer))
                if message["kind"] == "full":
                    frame: Message = message["frame"]
                    return frame

    def restart(self) -> None:
        """A new kernel process."""
        self.manager.restart_kernel()
        self.client.wait_for_ready(timeout=PATIENCE_S)

    def die(self) -> None:
        """The kernel is killed."""
        self.manager.signal_kernel(signal.SIGKILL)

    def wait_for(self, program: str, *, is_there: bool) -> None:
        """Until a program is among all processes of the nest, or no more."""
        deadline = time.monotonic() + PATIENCE_S
        while (program in programs()) != is_there:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{program}: {programs()}")
            time.sleep(0.02)

    def gone(self, program: str) -> None:
        """Wait for its end."""
        self.wait_for(program, is_there=False)

    def there(self, program: str) -> None:
        """Wait for its start."""
        self.wait_for(program, is_there=True)

    def close(self) -> list[str]:
        """End the kernel; the programs that it has left."""
        self.client.stop_channels()
        self.manager.shutdown_kernel()
        return [name for name in programs() if name not in BEFORE]


def programs() -> list[str]:
    """The names of all processes."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            found.append((entry / "comm").read_text().strip())
    return found


BEFORE = programs()
session = Session(sys.argv[1])
answers: list[Any] = []
for name, *arguments in json.loads(sys.argv[2]):
    answers.append(getattr(session, name)(*arguments))
answers.append(session.close())
sys.stdout.write(json.dumps(answers))
