"""The debugger of JupyterLab, relayed to the container: a breakpoint in a cell, its variables."""

from __future__ import annotations

from typing import Any

from tests.kernel.page import Page

CODE = "def add(a, b):\n    total = a + b\n    return total\nadd(2, 3)"


class Debugger:
    """Debug requests, numbered."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._last = 0

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        self._last += 1
        content = {
            "type": "request",
            "seq": self._last,
            "command": command,
            "arguments": arguments,
        }
        reply = self.page.control("debug_request", content)
        assert reply["success"], reply
        return reply

    def event(self, name: str) -> dict[str, Any]:
        while True:
            event: dict[str, Any] = self.page.iopub("debug_event")["content"]
            if event["event"] == name:
                return event


def test_cell_stops_at_a_breakpoint_and_goes_on(own_page: Page) -> None:
    own_page.run("1")
    debugger = Debugger(own_page)
    assert debugger.ask("debugInfo")["body"]["isStarted"] is False
    debugger.ask("initialize", clientID="test", adapterID="", pathFormat="path", linesStartAt1=True)
    debugger.ask("attach")
    path = debugger.ask("dumpCell", code=CODE)["body"]["sourcePath"]
    debugger.ask("setBreakpoints", source={"path": path}, breakpoints=[{"line": 3}])
    debugger.ask("configurationDone")
    sent = own_page.send(CODE)
    thread = debugger.event("stopped")["body"]["threadId"]
    frame = debugger.ask("stackTrace", threadId=thread)["body"]["stackFrames"][0]
    assert frame["name"] == "add"
    scope = debugger.ask("scopes", frameId=frame["id"])["body"]["scopes"][0]
    variables = debugger.ask("variables", variablesReference=scope["variablesReference"])
    values = {one["name"]: one["value"] for one in variables["body"]["variables"]}
    assert values["total"] == "5"
    debugger.ask("continue", threadId=thread)
    assert own_page.wait(sent).result == "5"
    debugger.ask("disconnect", restart=False, terminateDebuggee=False)
    assert own_page.run("1 + 1").result == "2"


def test_debugger_is_promised_by_the_python_kernel_only(page: Page, shell_page: Page) -> None:
    assert "debugger" in page.ask("kernel_info_request", {})["supported_features"]
    assert shell_page.ask("kernel_info_request", {})["supported_features"] == []
