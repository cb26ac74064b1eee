"""Python without IPython: for images whose python3 brings nothing but the standard library."""

from __future__ import annotations

import ast
import asyncio
import builtins
import codeop
import fnmatch
import inspect
import linecache
import os
import platform
import re
import sys
import traceback
import types
from contextlib import suppress
from functools import partial
from typing import Any, Dict, List, Optional, Tuple

from .interrupts import Interrupts, wake_and_call
from .kernel import Kernel
from .mimebundle import mimebundle
from .packages import use_new_packages
from .system import run_on_terminal

TOP_LEVEL_AWAIT = getattr(ast, "PyCF_ALLOW_TOP_LEVEL_AWAIT", 0)
NO_MAGICS = "this Python has no IPython, so there are no %magics; `%pip`, `%cd` and `!cmd` work"
NAME_BEFORE_CURSOR = re.compile(r"[\w.]*$")


class Exit(SystemExit):
    """``exit()`` was called in a cell."""


class PlainLanguage:
    """Runs cells with ``exec`` and shows the value of the last expression."""

    def __init__(self, kernel: Kernel, interrupts: Interrupts) -> None:
        self._link = kernel.link
        self._kernel = kernel
        self._interrupts = interrupts
        self.has_exited = False
        self._history: List[Tuple[int, str]] = []
        self._main = types.ModuleType("__main__")
        sys.modules["__main__"] = self._main
        self._names = self._main.__dict__
        self._names.update(
            __builtins__=builtins, display=self._display, exit=self._exit, quit=self._exit
        )
        self._count = 0
        self._compile = codeop.Compile()
        self._compile.flags |= TOP_LEVEL_AWAIT
        sys.displayhook = self._show_result
        sys.path.insert(0, "")

    def info(self) -> Dict[str, Any]:
        """What the kernel info says of the language."""
        version = platform.python_version()
        return {
            "implementation": "wardian",
            "implementation_version": version,
            "banner": f"Python {version} (without IPython)",
            "language_info": {
                "name": "python",
                "version": version,
                "mimetype": "text/x-python",
                "codemirror_mode": {"name": "ipython", "version": 3},
                "pygments_lexer": "python3",
                "nbconvert_exporter": "python",
                "file_extension": ".py",
            },
            "features": [],
            "container_pid": os.getpid(),
        }

    # --- cells -----------------------------------------------------------------------------

    async def execute(self, message: Dict[str, Any]) -> Dict[str, Any]:
        """Run a cell; the content of the execute_reply."""
        self._count = message["count"]
        self._kernel.allow_stdin(allow=bool(message.get("allow_stdin")))
        use_new_packages()
        self._interrupts.install()
        if message.get("store_history", True):
            self._history.append((self._count, message["code"]))
        reply: Dict[str, Any] = {"execution_count": self._count, "payload": []}
        try:
            await self._run(message["code"], is_silent=bool(message.get("silent")))
        except Exit:
            self.has_exited = True
            reply["payload"] = [{"source": "ask_exit", "keepkernel": False}]
        except BaseException as error:
            shown = self._show_error(error)
            return {**reply, "status": "error", "user_expressions": {}, **shown}
        expressions = message.get("user_expressions") or {}
        evaluated = {name: self._evaluate(text) for name, text in expressions.items()}
        return {**reply, "status": "ok", "user_expressions": evaluated}

    async def _run(self, code: str, *, is_silent: bool) -> None:
        name = f"<cell {self._count}>"
        source = self._without_commands(code)
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        tree = ast.parse(source, name)
        steps = [("exec", ast.Module([node], [])) for node in tree.body]
        if tree.body and isinstance(tree.body[-1], ast.Expr) and not _is_muted(source):
            last: Any = ast.Interactive([tree.body[-1]])
            steps[-1] = ("single", last)
        sys.displayhook = (lambda _: None) if is_silent else self._show_result
        for mode, step in steps:
            await self._run_step(self._compile(step, name, mode))  # type: ignore[arg-type]

    async def _run_step(self, compiled: types.CodeType) -> None:
        if compiled.co_flags & inspect.CO_COROUTINE:
            task = asyncio.ensure_future(eval(compiled, self._names))
            loop = asyncio.get_event_loop()
            self._interrupts.on_interrupt = partial(wake_and_call, loop, task.cancel)
            self._interrupts.cell_is_running = True
            try:
                await task
            finally:
                self._interrupts.cell_is_running = False
                self._interrupts.on_interrupt = None
            return
        self._interrupts.cell_is_running = True
        try:
            exec(compiled, self._names)
        finally:
            self._interrupts.cell_is_running = False

    def _without_commands(self, code: str) -> str:
        """``!cmd`` and the few ``%magics`` become calls; everything else stays as it is."""
        if not re.search(r"^\s*[!%]", code, re.MULTILINE):
            return code
        self._names["__wardian_system__"] = run_on_terminal
        self._names["__wardian_magic__"] = self._magic
        lines: List[str] = []
        for raw in code.split("\n"):
            line = raw
            match = re.match(r"(\s*)([!%])(?!=)(.*)$", line)
            if match and not _continues(lines):
                call = "__wardian_system__" if match.group(2) == "!" else "__wardian_magic__"
                line = f"{match.group(1)}_ = {call}({match.group(3)!r})"
            lines.append(line)
        return "\n".join(lines)

    def _magic(self, line: str) -> None:
        name, _, rest = line.strip().partition(" ")
        if name == "pip":
            run_on_terminal(f"'{sys.executable}' -m pip {rest}")
        elif name == "cd":
            os.chdir(os.path.expanduser(rest.strip() or "~"))
            sys.stdout.write(os.getcwd() + "\n")
        else:
            raise NameError(NO_MAGICS)

    def _exit(self, *_: object) -> None:
        raise Exit

    def _show_error(self, error: BaseException) -> Dict[str, Any]:
        kind = type(error)
        if isinstance(error, SyntaxError) and str(error.filename).startswith("<cell"):
            lines = traceback.format_exception_only(kind, error)
        else:
            lines = traceback.format_exception(kind, error, _below_us(error))
        content = {
            "ename": kind.__name__,
            "evalue": str(error),
            "traceback": [line.rstrip("\n") for line in lines],
        }
        self._link.publish("error", content)
        return content

    # --- display ---------------------------------------------------------------------------

    def _show_result(self, value: Any) -> None:
        if value is None:
            return
        self._names["_"] = value
        data, metadata = mimebundle(value)
        content = {"execution_count": self._count, "data": data, "metadata": metadata}
        self._link.publish("execute_result", content)

    def _display(
        self, *values: Any, display_id: Optional[str] = None, update: bool = False
    ) -> None:
        for value in values:
            data, metadata = mimebundle(value)
            content = {"data": data, "metadata": metadata, "transient": {}}
            if display_id is not None:
                content["transient"] = {"display_id": display_id}
            self._link.publish("update_display_data" if update else "display_data", content)

    def _evaluate(self, expression: str) -> Dict[str, Any]:
        try:
            data, metadata = mimebundle(eval(expression, self._names))
        except Exception as error:
            lines = traceback.format_exception_only(type(error), error)
            name, value = type(error).__name__, str(error)
            return {"status": "error", "ename": name, "evalue": value, "traceback": lines}
        return {"status": "ok", "data": data, "metadata": metadata}

    # --- other requests --------------------------------------------------------------------

    async def answer(self, kind: str, message: Dict[str, Any]) -> Dict[str, Any]:
        """Answer a request that is no cell."""
        answer = getattr(self, "_answer_" + kind)
        content: Dict[str, Any] = answer(**message)
        return content

    def _answer_complete(self, code: str, cursor_pos: int) -> Dict[str, Any]:
        import rlcompleter

        match = NAME_BEFORE_CURSOR.search(code[:cursor_pos])
        word = match.group() if match else ""
        completer = rlcompleter.Completer(self._names)
        found: List[str] = []
        while word and len(found) < 1000:
            text = completer.complete(word, len(found))
            if text is None:
                break
            found.append(text.rstrip("( "))
        return {
            "status": "ok",
            "matches": sorted(set(found)),
            "cursor_start": cursor_pos - len(word),
            "cursor_end": cursor_pos,
            "metadata": {},
        }

    def _answer_inspect(self, code: str, cursor_pos: int, **_: Any) -> Dict[str, Any]:
        before = NAME_BEFORE_CURSOR.search(code[:cursor_pos])
        after = re.match(r"\w*", code[cursor_pos:])
        word = (before.group() if before else "") + (after.group() if after else "")
        try:
            value = eval(word, self._names)
        except Exception:
            return {"status": "ok", "found": False, "data": {}, "metadata": {}}
        text = f"Type: {type(value).__name__}\n\n{inspect.getdoc(value) or repr(value)}"
        with suppress(TypeError, ValueError):  # not everything has a signature
            text = f"{word}{inspect.signature(value)}\n{text}"
        return {"status": "ok", "found": True, "data": {"text/plain": text}, "metadata": {}}

    def _answer_is_complete(self, code: str) -> Dict[str, Any]:
        try:
            compiled = codeop.compile_command(code, symbol="exec")
        except (SyntaxError, OverflowError, ValueError):
            return {"status": "invalid"}
        if compiled is not None:
            return {"status": "complete"}
        last = code.rstrip("\n").rsplit("\n", 1)[-1]
        indent = len(last) - len(last.lstrip()) + (4 if last.rstrip().endswith(":") else 0)
        return {"status": "incomplete", "indent": " " * indent}

    def _answer_history(
        self,
        hist_access_type: str = "tail",
        n: Optional[int] = None,
        pattern: str = "*",
        start: int = 0,
        stop: Optional[int] = None,
        **_: Any,
    ) -> Dict[str, Any]:
        found: List[List[Any]] = [[0, number, code] for number, code in self._history]
        if hist_access_type == "range":
            found = [each for each in found if start <= each[1] and (not stop or each[1] < stop)]
        elif hist_access_type == "search":
            found = [each for each in found if fnmatch.fnmatch(str(each[2]), pattern)]
        return {"status": "ok", "history": found[-n:] if n else found}

    def _answer_comm_info(self, **_: Any) -> Dict[str, Any]:
        return {"status": "ok", "comms": {}}

    def handle_comm(self, kind: str, message: Dict[str, Any]) -> None:
        """There are no comms without the comm package."""


def _is_muted(source: str) -> bool:
    return source.rstrip().endswith(";")


def _continues(lines: List[str]) -> bool:
    """Whether the next line continues an unfinished statement (so its ``%`` is an operator)."""
    if not lines:
        return False
    try:
        return codeop.compile_command("\n".join(lines) + "\n", symbol="exec") is None and not (
            lines[-1].rstrip().endswith(":") or lines[-1].startswith((" ", "\t"))
        )
    except (SyntaxError, OverflowError, ValueError):
        return False


def _below_us(error: BaseException) -> Optional[types.TracebackType]:
    """The traceback from the cell's own frame on."""
    step = error.__traceback__
    while step is not None and not step.tb_frame.f_code.co_filename.startswith("<cell"):
        step = step.tb_next
    return step
