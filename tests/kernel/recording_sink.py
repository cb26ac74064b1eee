"""A sink that keeps what a runner puts out, and runners without a container to go with it."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kernel.local import LocalLauncher
from wardian.cells.runner import (
    ExecuteRequest,
    Interpreter,
    Language,
    Launcher,
    Runner,
    Setting,
)
from wardian.linux.proc import children

PATIENCE_S = 60.0


@dataclass
class Output:
    """One thing that was put out: a stream's text, or a message's content."""

    cell: int
    kind: str
    content: Any
    buffers: list[bytes] = field(default_factory=list)


@dataclass
class RecordingSink:
    """Keeps everything; answers input requests from a list."""

    outputs: list[Output] = field(default_factory=list)
    answers: list[str | type[BaseException]] = field(default_factory=list)
    prompts: list[tuple[str, bool]] = field(default_factory=list)
    forbidden_comms: set[str] = field(default_factory=set)

    def publish(
        self,
        cell: int,
        kind: str,
        content: memoryview,
        metadata: dict[str, Any],  # noqa: ARG002  # the sink's form
        buffers: Sequence[memoryview],
        confirm: Callable[[], object] = lambda: None,
    ) -> None:
        confirm()
        parsed = json.loads(bytes(content))
        self.outputs.append(Output(cell, kind, parsed, [bytes(each) for each in buffers]))

    def stream(self, cell: int, name: str, text: str) -> None:
        last = self.outputs[-1] if self.outputs else None
        if last is not None and (last.cell, last.kind) == (cell, name):
            last.content += text
        else:
            self.outputs.append(Output(cell, name, text))

    def may_open(self, comm_id: str) -> bool:
        return comm_id not in self.forbidden_comms

    async def input(self, cell: int, prompt: str, *, password: bool) -> str:  # noqa: ARG002
        self.prompts.append((prompt, password))
        if not self.answers:
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, str):
            return answer
        raise answer

    def text(self, name: str = "stdout") -> str:
        """All of a stream so far."""
        return "".join(each.content for each in self.outputs if each.kind == name)

    def contents(self, *kinds: str) -> list[Any]:
        """The contents of all messages of these kinds."""
        return [each.content for each in self.outputs if each.kind in kinds]

    @property
    def kinds(self) -> list[str]:
        return [each.kind for each in self.outputs]


@dataclass
class Bench:
    """A runner and its sink; cells and counts are numbered as a kernel would."""

    runner: Runner
    sink: RecordingSink
    count: int = 0

    async def run(self, code: str, **options: Any) -> dict[str, Any]:
        """Run a cell to its end; the sink then has its output alone."""
        self.sink.outputs.clear()
        return await asyncio.wait_for(self.begin(code, **options), PATIENCE_S)

    def begin(self, code: str, **options: Any) -> asyncio.Task[dict[str, Any]]:
        """Start a cell."""
        self.count += 1
        header = {"msg_id": f"message-{self.count}", "session": "test"}
        request = ExecuteRequest(
            cell=self.count, count=self.count, code=code, header=header, **options
        )
        return asyncio.ensure_future(self.runner.execute(request))

    async def ask(self, kind: str, **content: Any) -> dict[str, Any]:
        """Any other request."""
        return await asyncio.wait_for(self.runner.request(kind, content), PATIENCE_S)

    async def interrupted(self, code: str, **options: Any) -> dict[str, Any]:
        """Run a cell that prints `ready`, and interrupt it then, once what it waits for runs."""
        self.sink.outputs.clear()
        task = self.begin(code, **options)
        await until(lambda: "ready" in self.sink.text())
        programs = {"sleep 100": "sleep", "| cat": "cat"}
        names = {name for text, name in programs.items() if text in code}
        await until(lambda: names <= programs_below(self.runner.process.host_pid))
        self.runner.interrupt()
        return await asyncio.wait_for(task, PATIENCE_S)


def programs_below(host_pid: int) -> set[str]:
    """The names of the programs that a process has started, directly or not."""
    names, waiting = set(), children(host_pid)
    while waiting:
        pid = waiting.pop()
        waiting += children(pid)
        with suppress(OSError):
            names.add(Path(f"/proc/{pid}/comm").read_text().strip())
    return names


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition while the event loop goes on; fail when it does not come true."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def bench(
    language: Language,
    workdir: Path,
    *,
    launcher: Launcher | None = None,
    interpreter: Interpreter = Interpreter.HOST,
    **env: str,
) -> AsyncIterator[Bench]:
    """A runner that is closed in the end."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    base = {"LANG": "C.UTF-8", "IPYTHONDIR": str(workdir / "no-profile"), **kept, **env}
    sink = RecordingSink()
    runner = await Runner.start(
        launcher or LocalLauncher(),
        language=language,
        sink=sink,
        setting=Setting(env=base, workdir=str(workdir), interpreter=interpreter),
    )
    try:
        yield Bench(runner, sink)
    finally:
        await runner.close()
