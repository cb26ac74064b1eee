"""A debug session with Python cells: breakpoints, steps, variables, as JupyterLab asks for them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.kernel.recording_sink import Bench, bench, until
from wardian.cells.runner import Language

pytest.importorskip("debugpy")
pytestmark = pytest.mark.asyncio

CELL = "def grow(n):\n    height = n * 2\n    return height\n\nprint(grow(21))"


class Session:
    """Sends debug requests with numbers of their own."""

    def __init__(self, python: Bench) -> None:
        self.python = python
        self._numbers = itertools.count(1)

    async def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        number = next(self._numbers)
        request = {"type": "request", "seq": number, "command": command, "arguments": arguments}
        reply = await self.python.ask("debug", **request)
        assert reply["request_seq"] == number
        return reply

    def events(self, name: str) -> list[dict[str, Any]]:
        return [e for e in self.python.sink.contents("debug_event") if e["event"] == name]

    async def attach(self) -> None:
        assert (await self.ask("initialize", clientID="test", adapterID=""))["success"]
        assert (await self.ask("attach"))["success"]

    async def stop_in(self, code: str, line: int) -> tuple[Any, int]:
        """Run a cell with a breakpoint until it is stopped there: its task, the thread."""
        path = (await self.ask("dumpCell", code=code))["body"]["sourcePath"]
        reply = await self.ask(
            "setBreakpoints", source={"path": path}, breakpoints=[{"line": line}]
        )
        assert reply["body"]["breakpoints"][0]["verified"]
        assert (await self.ask("configurationDone"))["success"]
        self.python.sink.outputs.clear()
        task = self.python.begin(code)
        await until(lambda: bool(self.events("stopped")))
        return task, self.events("stopped")[0]["body"]["threadId"]


@pytest_asyncio.fixture
async def session(tmp_path: Path) -> AsyncIterator[Session]:
    async with bench(Language.PYTHON, tmp_path) as python:
        yield Session(python)


async def test_info_before_anything_is_started(session: Session) -> None:
    body = (await session.ask("debugInfo"))["body"]
    assert body["isStarted"] is False
    assert (body["hashMethod"], body["tmpFileSuffix"]) == ("Murmur2", ".py")
    assert "debugger" in session.python.runner.info["features"]


async def test_cell_stops_at_its_breakpoint_shows_variables_and_goes_on(session: Session) -> None:
    await session.attach()
    task, thread = await session.stop_in(CELL, 3)
    frames = (await session.ask("stackTrace", threadId=thread))["body"]["stackFrames"]
    assert (frames[0]["name"], frames[0]["line"]) == ("grow", 3)
    scopes = (await session.ask("scopes", frameId=frames[0]["id"]))["body"]["scopes"]
    reference = scopes[0]["variablesReference"]
    found = (await session.ask("variables", variablesReference=reference))["body"]["variables"]
    assert {each["name"]: each["value"] for each in found} == {"height": "42", "n": "21"}
    rich = await session.ask("richInspectVariables", variableName="height", frameId=frames[0]["id"])
    assert rich["body"]["data"] == {"text/plain": "42"}
    assert (await session.ask("debugInfo"))["body"]["stoppedThreads"]
    assert (await session.ask("continue", threadId=thread))["success"]
    assert (await task)["status"] == "ok"
    assert session.python.sink.text() == "42\n"


async def test_steps_lead_from_line_to_line(session: Session) -> None:
    await session.attach()
    task, thread = await session.stop_in(CELL, 2)
    await session.ask("next", threadId=thread)
    await until(lambda: len(session.events("stopped")) == 2)
    frames = (await session.ask("stackTrace", threadId=thread))["body"]["stackFrames"]
    assert frames[0]["line"] == 3
    await session.ask("continue", threadId=thread)
    assert (await task)["status"] == "ok"


async def test_variables_can_be_inspected_without_stopping(session: Session) -> None:
    await session.python.run("herbs = {'sage': [1, 2]}; _hidden = 1; leaf = 'green'")
    found = (await session.ask("inspectVariables"))["body"]["variables"]
    assert [each["name"] for each in found] == ["herbs", "_hidden", "leaf"]
    reference = found[0]["variablesReference"]
    parts = (await session.ask("variables", variablesReference=reference))["body"]["variables"]
    assert [(each["name"], each["value"]) for each in parts] == [("'sage'", "[1, 2]")]
    rich = await session.ask("richInspectVariables", variableName="leaf")
    assert rich["body"]["data"] == {"text/plain": "'green'"}


async def test_session_ends_and_another_begins(session: Session) -> None:
    await session.attach()
    assert (await session.ask("disconnect", restart=False))["success"]
    assert (await session.ask("debugInfo"))["body"]["isStarted"] is False
    assert (await session.python.run(CELL))["status"] == "ok"
    await session.attach()
    task, thread = await session.stop_in(CELL.replace("21", "4"), 3)
    await session.ask("continue", threadId=thread)
    await task
    assert session.python.sink.text() == "8\n"


async def test_cells_input_and_comms_work_while_the_control_thread_reads(session: Session) -> None:
    await session.ask("debugInfo")
    session.python.sink.answers = ["fern"]
    await session.python.run("print(input('? '))", allow_stdin=True)
    assert session.python.sink.text() == "fern\n"
    reply = await session.python.interrupted("import time; print('ready'); time.sleep(100)")
    assert reply["ename"] == "KeyboardInterrupt"
    assert (await session.python.ask("is_complete", code="1"))["status"] == "complete"
