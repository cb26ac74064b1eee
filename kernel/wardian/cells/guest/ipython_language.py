"""Requests answered by IPython's shell, as ipykernel's ``ipkernel`` answers them."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from functools import partial
from typing import Any, Dict, FrozenSet, List

from IPython.core import release
from IPython.core.interactiveshell import _asyncio_runner
from IPython.utils.tokenutil import token_at_cursor

from .interrupts import Interrupts, wake_and_call
from .ipython import make_shell
from .kernel import Kernel
from .packages import use_new_packages

EXPERIMENTAL = "_jupyter_types_experimental"


class IPythonLanguage:
    """Python, by IPython."""

    def __init__(self, kernel: Kernel, interrupts: Interrupts) -> None:
        self._kernel = kernel
        self._interrupts = interrupts
        _set_environment()
        self.shell = make_shell(kernel)
        interrupts.insist()  # IPython has a thread already: forks find one more, not a first one
        kernel.shell = self.shell
        self._comms: Any = None
        self._install_comms()
        self._internal = loaded_files()

    @property
    def has_exited(self) -> bool:
        """Whether a cell called ``exit``."""
        return bool(self.shell.exit_now)

    def info(self) -> Dict[str, Any]:
        """What the kernel info says of the language."""
        version = platform.python_version()
        return {
            "implementation": "ipython",
            "implementation_version": release.version,
            "banner": f"Python {version} -- IPython {release.version}",
            "language_info": language_info(),
            "features": ["comm", "debugger"] if _has("debugpy") else ["comm"],
            "container_pid": os.getpid(),
        }

    # --- cells -----------------------------------------------------------------------------

    async def execute(self, message: Dict[str, Any]) -> Dict[str, Any]:
        """Run a cell; the content of the execute_reply."""
        shell = self.shell
        shell.begin_cell(message["count"])
        self._kernel.allow_stdin(allow=bool(message.get("allow_stdin")))
        self._interrupts.install()
        result = await self._run(message)
        error = result.error_before_exec or result.error_in_exec
        reply: Dict[str, Any] = {"status": "ok", "execution_count": message["count"]}
        if result.success and not shell.error_during_display:
            expressions = message.get("user_expressions") or {}
            reply["user_expressions"] = shell.user_expressions(expressions)
        else:
            reply.update(status="error", user_expressions={})
            reply["ename"] = type(error).__name__
            reply["evalue"] = str(error)
            reply["traceback"] = shell.error["traceback"] if shell.error else []
        use_new_packages()
        reply["payload"] = shell.payload_manager.read_payload()
        shell.payload_manager.clear_payload()
        return reply

    async def _run(self, message: Dict[str, Any]) -> Any:
        shell = self.shell
        code = message["code"]
        options = {
            "store_history": message.get("store_history", True),
            "silent": message.get("silent", False),
        }
        if message.get("cell_id") is not None and _takes_cell_id(shell):
            options["cell_id"] = message["cell_id"]
        problem = None
        try:
            transformed = shell.transform_cell(code)
        except Exception:
            transformed, problem = code, sys.exc_info()
        is_async = shell.loop_runner is _asyncio_runner and shell.should_run_async(
            code, transformed_cell=transformed, preprocessing_exc_tuple=problem
        )
        if is_async:
            options.update(transformed_cell=transformed, preprocessing_exc_tuple=problem)
            return await self._run_async(code, options)
        self._interrupts.cell_is_running = True
        try:
            return shell.run_cell(code, **options)
        finally:
            self._interrupts.cell_is_running = False

    async def _run_async(self, code: str, options: Dict[str, Any]) -> Any:
        """An interrupt cancels the cell; other tasks, and widgets, go on meanwhile."""
        shell = self.shell
        task = asyncio.ensure_future(shell.run_cell_async(code, **options))
        loop = asyncio.get_running_loop()
        self._interrupts.on_interrupt = partial(wake_and_call, loop, task.cancel)
        self._interrupts.cell_is_running = True
        result = None
        try:
            result = await task
        finally:
            self._interrupts.cell_is_running = False
            self._interrupts.on_interrupt = None
            shell.events.trigger("post_execute")
            if not options["silent"]:
                shell.events.trigger("post_run_cell", result)
        return result

    # --- other requests --------------------------------------------------------------------

    async def answer(self, kind: str, message: Dict[str, Any]) -> Dict[str, Any]:
        """Answer a request that is no cell."""
        answer = getattr(self, "_answer_" + kind)
        content: Dict[str, Any] = answer(**message)
        return content

    def _answer_complete(self, code: str, cursor_pos: int) -> Dict[str, Any]:
        from IPython.core.completer import provisionalcompleter, rectify_completions

        with provisionalcompleter():
            raw = self.shell.Completer.completions(code, cursor_pos)
            found = list(rectify_completions(code, raw))
        return {
            "status": "ok",
            "matches": [each.text for each in found],
            "cursor_start": found[0].start if found else cursor_pos,
            "cursor_end": found[0].end if found else cursor_pos,
            "metadata": {
                EXPERIMENTAL: [
                    {
                        "start": each.start,
                        "end": each.end,
                        "text": each.text,
                        "type": each.type,
                        "signature": each.signature,
                    }
                    for each in found
                ]
            },
        }

    def _answer_inspect(
        self, code: str, cursor_pos: int, detail_level: int = 0, omit_sections: Any = ()
    ) -> Dict[str, Any]:
        name = token_at_cursor(code, cursor_pos)
        options: Dict[str, Any] = {"detail_level": detail_level}
        if release.version_info >= (8,):
            options["omit_sections"] = tuple(omit_sections)
        try:
            data = self.shell.object_inspect_mime(name, **options)
        except KeyError:
            return {"status": "ok", "found": False, "data": {}, "metadata": {}}
        if not self.shell.enable_html_pager:
            data.pop("text/html", None)
        return {"status": "ok", "found": True, "data": data, "metadata": {}}

    def _answer_is_complete(self, code: str) -> Dict[str, Any]:
        status, indent = self.shell.input_transformer_manager.check_complete(code)
        reply = {"status": status}
        if status == "incomplete":
            reply["indent"] = " " * (indent or 0)
        return reply

    def _answer_history(
        self,
        hist_access_type: str = "tail",
        output: bool = False,
        raw: bool = True,
        session: int = 0,
        start: int = 0,
        stop: Any = None,
        n: Any = None,
        pattern: Any = None,
        unique: bool = False,
        **_: Any,
    ) -> Dict[str, Any]:
        manager = self.shell.history_manager
        found: Any = ()
        if hist_access_type == "tail":
            found = manager.get_tail(n, raw=raw, output=output, include_latest=True)
        elif hist_access_type == "range":
            found = manager.get_range(session, start, stop, raw=raw, output=output)
        elif hist_access_type == "search":
            found = manager.search(pattern, raw=raw, output=output, n=n, unique=unique)
        return {"status": "ok", "history": [list(each) for each in found]}

    # --- the debugger ---------------------------------------------------------------------

    @property
    def make_debugger(self) -> Any:
        """Makes the debugger, given a way to the main thread; None without debugpy."""
        if not _has("debugpy"):
            return None
        from .debugger import Debugger

        def make(on_main_thread: Any) -> Debugger:
            return Debugger(self._kernel.link, self.shell, on_main_thread, self._internal)

        return make

    # --- comms -----------------------------------------------------------------------------

    def _install_comms(self) -> None:
        try:
            from . import comms
        except ImportError:  # an image with IPython and without the comm package
            return
        self._comms = self._kernel.comm_manager = comms.install(self._kernel.link)

    def handle_comm(self, kind: str, message: Dict[str, Any]) -> None:
        """A comm_open, comm_msg or comm_close of the page."""
        if self._comms is not None:
            getattr(self._comms, kind)(None, "", message)

    def _answer_comm_info(self, target_name: Any = None) -> Dict[str, Any]:
        comms = self._comms.comms if self._comms is not None else {}
        return {
            "status": "ok",
            "comms": {
                comm_id: {"target_name": each.target_name}
                for comm_id, each in comms.items()
                if target_name in (None, each.target_name)
            },
        }


def language_info() -> Dict[str, Any]:
    """As ipykernel's."""
    return {
        "name": "python",
        "version": platform.python_version(),
        "mimetype": "text/x-python",
        "codemirror_mode": {"name": "ipython", "version": sys.version_info[0]},
        "pygments_lexer": "ipython3",
        "nbconvert_exporter": "python",
        "file_extension": ".py",
    }


def loaded_files() -> FrozenSet[str]:
    """The files of all modules that are loaded now: ours and IPython's, not the user's."""
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return frozenset(file for file in files if file)


def _set_environment() -> None:
    os.environ.setdefault("PYDEVD_USE_FRAME_EVAL", "NO")
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")


def _has(module: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(module) is not None


_cell_id_taken: List[bool] = []


def _takes_cell_id(shell: Any) -> bool:
    """IPython has it since 8.3."""
    if not _cell_id_taken:
        import inspect

        _cell_id_taken.append("cell_id" in inspect.signature(shell.run_cell).parameters)
    return _cell_id_taken[0]
