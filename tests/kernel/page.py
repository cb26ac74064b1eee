"""What a notebook page does with a kernel: sends requests, collects what comes back."""

from __future__ import annotations

import os
import queue
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from jupyter_kernel_test.msgspec_v5 import validate_message

from wardian.runtime.client import Client
from wardian.runtime.container import Container

Message = dict[str, Any]
PATIENCE_S = 60.0


@dataclass(slots=True)
class Outcome:
    """One request's reply and the iopub messages that have it as their parent, busy to idle."""

    reply: Message
    messages: list[Message] = field(default_factory=list)

    @property
    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = self.reply["content"]
        return content

    @property
    def status(self) -> str:
        return str(self.content["status"])

    @property
    def figures(self) -> dict[str, Any]:
        figures: dict[str, Any] = self.reply["metadata"]["wardian"]
        return figures

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The contents of all messages of a kind."""
        return [message["content"] for message in self.messages if message["msg_type"] == kind]

    def text(self, name: str = "stdout") -> str:
        """What was written to a stream."""
        return "".join(one["text"] for one in self.of("stream") if one["name"] == name)

    @property
    def result(self) -> str | None:
        """The text/plain of the execute_result."""
        results = self.of("execute_result")
        return results[0]["data"]["text/plain"] if results else None

    @property
    def error(self) -> tuple[str, str]:
        """Name and text of the one error that was published."""
        (error,) = self.of("error")
        return error["ename"], error["evalue"]

    @property
    def kinds(self) -> list[str]:
        """The kinds of messages between busy and idle, in their order."""
        return [
            message["msg_type"]
            for message in self.messages
            if message["msg_type"] not in ("status", "execute_input")
        ]


class Page:
    """A client of one kernel that checks every message against Jupyter's specification."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client

    @classmethod
    def open(cls, kernel_name: str, **options: Any) -> Page:
        """Start a kernel and wait until it answers."""
        # An absolute path: ipc sockets lie beside the connection file, wherever the kernel runs.
        folder = Path(os.environ["JUPYTER_RUNTIME_DIR"])
        manager = KernelManager(
            kernel_name=kernel_name,
            transport="ipc",
            connection_file=str(folder / f"kernel-{uuid.uuid4().hex[:12]}.json"),
        )
        # ipykernel captures less when it believes that it is being tested itself.
        environment = options.pop("env", dict(os.environ))
        environment.pop("PYTEST_CURRENT_TEST", None)
        manager.start_kernel(env=environment, **options)
        client = manager.blocking_client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        return cls(manager, client)

    def close(self, *, now: bool = False) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=now)
        self.manager.cleanup_resources()

    def container(self, client: Client, name: str = "main") -> Container:
        """The kernel's container as the runtime knows it."""
        return client.container(f"{Path(self.manager.connection_file).stem}.{name}")

    # --- cells ---------------------------------------------------------------------------

    def run(self, code: str, *, answer: str | None = None, **options: Any) -> Outcome:
        """Run a cell and wait for its reply and its idle."""
        return self.wait(self.send(code, allow_stdin=answer is not None, **options), answer=answer)

    def send(self, code: str, *, metadata: dict[str, Any] | None = None, **options: Any) -> str:
        """Send a cell; the id to wait for."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        } | options
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def wait(
        self, message_id: str, *, answer: str | None = None, timeout_s: float = PATIENCE_S
    ) -> Outcome:
        """Wait for the reply and for the idle that ends the request."""
        messages: list[Message] = []
        deadline = time.monotonic() + timeout_s
        while True:
            if answer is not None:
                self._answer(answer)
            try:
                message = self.client.get_iopub_msg(timeout=0.05 if answer is not None else 1)
            except queue.Empty:
                assert time.monotonic() < deadline, f"no idle within {timeout_s} s"
                continue
            if message["parent_header"].get("msg_id") != message_id:
                continue
            _check(message)
            messages.append(message)
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return Outcome(self.reply(message_id), messages)

    def _answer(self, text: str) -> None:
        try:
            request = self.client.get_stdin_msg(timeout=0)
        except queue.Empty:
            return
        _check(request)
        self.client.input(text)

    def reply(self, message_id: str, *, timeout_s: float = PATIENCE_S) -> Message:
        """The reply to a request on the shell channel."""
        deadline = time.monotonic() + timeout_s
        while True:
            assert time.monotonic() < deadline, f"no reply within {timeout_s} s"
            message = self.client.get_shell_msg(timeout=timeout_s)
            if message["parent_header"].get("msg_id") == message_id:
                _check(message)
                return message

    def drain(self) -> list[Message]:
        """What iopub still holds."""
        messages = []
        try:
            while True:
                messages.append(self.client.get_iopub_msg(timeout=0.2))
        except queue.Empty:
            return messages

    # --- other requests ------------------------------------------------------------------

    def ask(self, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """A request on the shell channel; the content of the reply."""
        message = self.client.session.msg(kind, content)
        self.client.shell_channel.send(message)
        answer: dict[str, Any] = self.reply(message["header"]["msg_id"])["content"]
        return answer

    def control(self, kind: str, content: dict[str, Any] | None = None) -> dict[str, Any]:
        """A request on the control channel; the content of the reply."""
        message = self.client.session.msg(kind, content or {})
        self.client.control_channel.send(message)
        while True:
            reply = self.client.get_control_msg(timeout=PATIENCE_S)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                answer: dict[str, Any] = reply["content"]
                return answer

    def comm(self, kind: str, comm_id: str, data: dict[str, Any], **more: Any) -> str:
        """Send a comm message; its id."""
        content = {"comm_id": comm_id, "data": data, **more}
        message = self.client.session.msg(kind, content)
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def iopub(self, kind: str, *, parent: str | None = None) -> Message:
        """The next iopub message of a kind (and of a request)."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert time.monotonic() < deadline, f"no {kind} within {PATIENCE_S} s"
            try:
                message = self.client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            is_parents = parent in (None, message["parent_header"].get("msg_id"))
            if message["msg_type"] == kind and is_parents:
                return message


# The checker of jupyter_kernel_test is older than these kinds, and wants ``password`` a number.
UNCHECKED = frozenset({"update_display_data", "iopub_welcome", "debug_event", "input_request"})


def _check(message: Message) -> None:
    kind = message["msg_type"]
    if message["content"].get("status") == "aborted":  # ipykernel's word; the checker's is "abort"
        return
    if kind not in UNCHECKED and not kind.startswith("comm_"):
        validate_message(message, kind, message["parent_header"].get("msg_id"))
