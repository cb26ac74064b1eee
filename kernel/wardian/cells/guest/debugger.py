"""debug_request, answered as ipykernel's debugger does: debugpy's adapter and some extras."""

from __future__ import annotations

import ast
import os
import sys
from typing import Any, Callable, Dict, FrozenSet, List, Optional, Set, Tuple

from .dap import AdapterClient, Message
from .link import Link
from .names import SEED, cell_file_name, cell_folder
from .variables import Variables, is_shown

OnMainThread = Callable[[Callable[[], Any]], Any]


class Debugger:
    """Answers one request after another, on the control thread.

    ``on_main_thread`` runs a function on the thread that runs cells and returns what it returns.
    """

    def __init__(
        self, link: Link, shell: Any, on_main_thread: OnMainThread, internal: FrozenSet[str]
    ) -> None:
        self._link = link
        self._shell = shell
        self._on_main_thread = on_main_thread
        self._internal = internal
        self._address: Optional[Tuple[str, int]] = None
        self.client: Optional[AdapterClient] = None
        self._breakpoints: Dict[str, List[Dict[str, Any]]] = {}
        self._stopped: Set[int] = set()
        self._variables = Variables(shell.user_ns)
        self._removed_transform: Optional[Tuple[int, Any]] = None

    def answer(self, request: Message) -> Message:
        """The response to a request."""
        command = str(request.get("command", ""))
        if command == "initialize" and self.client is None:
            self._start()
        handler = getattr(self, "_do_" + command, None)
        if handler is not None:
            reply: Message = handler(request)
        elif self.client is None:
            return _response(request, success=False, message="the debugger is not started")
        else:
            reply = self.client.ask(request)
        if command == "disconnect":
            self._stop()
        self.pass_events_on()
        return reply

    def take_events(self) -> None:
        """The adapter has sent something while nobody asked."""
        if self.client is None:
            return
        try:
            self.client.read()
        except (EOFError, OSError):
            self._stop()
            return
        self.pass_events_on()

    def pass_events_on(self) -> None:
        """Publish the adapter's events, after noting which threads are stopped."""
        while self.client is not None and self.client.events:
            event = self.client.events.popleft()
            body = event.get("body") or {}
            if event["event"] == "stopped":
                self._stopped |= self._threads() if body.get("allThreadsStopped") else set()
                self._stopped.add(int(body.get("threadId") or 0))
            elif event["event"] == "continued":
                gone = self._stopped if body.get("allThreadsContinued") else {body.get("threadId")}
                self._stopped = self._stopped - gone
            self._link.publish("debug_event", event)

    def _threads(self) -> Set[int]:
        assert self.client is not None
        reply = self.client.ask_ourselves("threads", {})
        return {int(thread["id"]) for thread in reply.get("body", {}).get("threads", ())}

    # --- start and stop --------------------------------------------------------------------

    def _start(self) -> None:
        if self._address is None:
            os.makedirs(cell_folder(), mode=0o700, exist_ok=True)
            self._address = self._on_main_thread(_listen)
        self.client = AdapterClient(self._address)
        transforms = self._shell.input_transformer_manager.cleanup_transforms
        for index, transform in enumerate(transforms):
            # Lines must keep their numbers, or breakpoints would be off.
            if transform.__name__ == "leading_empty_lines":
                self._removed_transform = (index, transforms.pop(index))
                break

    def _stop(self) -> None:
        if self.client is not None:
            self.client.close()
            self.client = None
        self._breakpoints.clear()
        self._stopped.clear()
        if self._removed_transform is not None:
            transforms = self._shell.input_transformer_manager.cleanup_transforms
            transforms.insert(*self._removed_transform)
            self._removed_transform = None

    # --- requests that are not just passed on ------------------------------------------------

    def _do_debugInfo(self, request: Message) -> Message:  # noqa: N802  # the protocol's name
        return _response(
            request,
            isStarted=self.client is not None,
            hashMethod="Murmur2",
            hashSeed=SEED,
            tmpFilePrefix=cell_folder() + os.sep,
            tmpFileSuffix=".py",
            breakpoints=[
                {"source": source, "breakpoints": lines}
                for source, lines in self._breakpoints.items()
            ],
            stoppedThreads=sorted(self._stopped),
            richRendering=True,
            exceptionPaths=["Python Exceptions"],
            copyToGlobals=True,
        )

    def _do_dumpCell(self, request: Message) -> Message:  # noqa: N802
        code = request["arguments"]["code"]
        path = cell_file_name(code)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(path, "w", encoding="utf-8", errors="replace") as file:
            file.write(code)
        return _response(request, sourcePath=path)

    def _do_attach(self, request: Message) -> Message:
        assert self.client is not None
        assert self._address is not None
        arguments = request["arguments"]
        arguments["connect"] = {"host": self._address[0], "port": self._address[1]}
        arguments["rules"] = [{"path": path, "include": False} for path in sorted(self._internal)]
        number = self.client.send(request)
        if self.client.wait_for_event("initialized", request=number):
            self.client.ask_ourselves("configurationDone", {})
        return self.client.response(number)

    def _do_configurationDone(self, request: Message) -> Message:  # noqa: N802
        return _response(request)

    def _do_setBreakpoints(self, request: Message) -> Message:  # noqa: N802
        if self.client is None:
            return _response(request, success=False, message="the debugger is not started")
        reply = self.client.ask(request)
        source = request["arguments"]["source"]["path"]
        lines = request["arguments"].get("breakpoints", [])
        if reply.get("success"):  # debugpy may have moved them
            lines = [{"line": each["line"]} for each in reply["body"]["breakpoints"]]
        self._breakpoints[source] = lines
        return reply

    def _do_source(self, request: Message) -> Message:
        try:
            path = request["arguments"]["source"]["path"]
            with open(path, encoding="utf-8", errors="replace") as file:
                return _response(request, content=file.read())
        except OSError:
            return _response(request, success=False, message="source unavailable")

    def _do_inspectVariables(self, request: Message) -> Message:  # noqa: N802
        self._variables = Variables(self._shell.user_ns)
        return _response(request, variables=self._variables.top())

    def _do_variables(self, request: Message) -> Message:
        if self.client is None or not self._stopped:
            number = int(request["arguments"]["variablesReference"])
            return _response(request, variables=self._variables.children(number))
        reply = self.client.ask(request)
        body = reply.get("body") or {}
        body["variables"] = [each for each in body.get("variables", ()) if is_shown(each["name"])]
        return {**reply, "body": body}

    def _do_richInspectVariables(self, request: Message) -> Message:  # noqa: N802
        name = str(request["arguments"]["variableName"])
        data: Any = {}
        metadata: Any = {}
        if not name.isidentifier():
            is_group = name in ("special variables", "function variables")
            return _response(request, success=is_group, data={}, metadata={})
        if self.client is None or not self._stopped:
            result = self._shell.user_expressions({name: name})[name]
            data, metadata = result.get("data", {}), result.get("metadata", {})
        else:
            reply = self.client.ask_ourselves(
                "evaluate",
                {
                    "expression": f"get_ipython().display_formatter.format({name})",
                    "frameId": request["arguments"].get("frameId"),
                    "context": "clipboard",
                },
            )
            if reply.get("success"):
                data, metadata = ast.literal_eval(reply["body"]["result"])
        shown = {mime: each for mime, each in metadata.items() if mime in data}
        return _response(request, data=data, metadata=shown)

    def _do_copyToGlobals(self, request: Message) -> Message:  # noqa: N802
        arguments = request["arguments"]
        target, source = arguments["dstVariableName"], arguments["srcVariableName"]
        if self.client is None or not (target.isidentifier() and source.isidentifier()):
            return _response(request, success=False, message="both must be identifiers")
        setting = {"expression": f"globals()[{target!r}]", "value": source}
        frame = {"frameId": arguments["srcFrameId"]}
        reply = self.client.ask_ourselves("setExpression", {**setting, **frame})
        return {**reply, "request_seq": request["seq"], "command": request["command"]}

    def _do_modules(self, request: Message) -> Message:
        loaded = list(sys.modules.items())
        start = request.get("startModule", 0)
        found = [
            {"id": number, "name": name, "path": path}
            for number, (name, module) in enumerate(loaded)
            if number >= start and (path := _source_path(module))
        ]
        return _response(request, modules=found, totalModules=len(loaded))


def _source_path(module: Any) -> str:
    origin = getattr(getattr(module, "__spec__", None), "origin", None)
    return origin if isinstance(origin, str) and origin.endswith(".py") else ""


def _listen() -> Tuple[str, int]:
    """Start debugpy's adapter and trace this thread."""
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # frozen modules are no surprise
    import debugpy  # noqa: T100  # a debugger is what this is

    host, port = debugpy.listen(("127.0.0.1", 0))  # noqa: T100
    return str(host), int(port)


def _response(request: Message, *, success: bool = True, message: str = "", **body: Any) -> Message:
    reply: Message = {
        "type": "response",
        "seq": request.get("seq", 0),
        "request_seq": request.get("seq", 0),
        "command": request.get("command", ""),
        "success": success,
        "body": body,
    }
    return {**reply, "message": message} if message else reply
