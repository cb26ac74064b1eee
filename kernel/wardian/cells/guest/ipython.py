"""IPython's shell, speaking to the host: the parts that ipykernel's ``zmqshell`` replaces, too."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Optional

from IPython.core import page
from IPython.core.autocall import ZMQExitAutocall
from IPython.core.compilerop import CachingCompiler
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell, InteractiveShellABC
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.profiledir import ProfileDir
from traitlets import Any as AnyTrait
from traitlets import CBool, Instance, Type, default, observe
from traitlets.config import Config

from .link import Link
from .names import cell_file_name
from .system import run_on_terminal

Hook = Callable[[Dict[str, Any]], Optional[Dict[str, Any]]]


class Hooks:
    """ipykernel's chain of functions that may change or swallow a message before it is sent."""

    def __init__(self) -> None:
        self._hooks: List[Hook] = []

    def add(self, hook: Hook) -> None:
        """Append a function."""
        self._hooks.append(hook)

    def remove(self, hook: Hook) -> bool:
        """Take one out; whether it was there."""
        if hook not in self._hooks:
            return False
        self._hooks.remove(hook)
        return True

    def apply(self, link: Link, kind: str, content: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        """The content to send, None when it was swallowed."""
        if not self._hooks:
            return content
        message: Optional[Dict[str, Any]] = {
            "header": {"msg_type": kind},
            "msg_type": kind,
            "parent_header": link.header,
            "metadata": {},
            "content": content,
        }
        for hook in self._hooks:
            assert message is not None
            message = hook(message)
            if message is None:
                return None
        assert message is not None
        return dict(message["content"])


class CellDisplayHook(DisplayHook):  # type: ignore[misc]
    """Sends the value of a cell's last expression."""

    link: Link

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._chain = Hooks()
        self.content: Optional[Dict[str, Any]] = None

    def register_hook(self, hook: Hook) -> None:
        """As in ipykernel."""
        self._chain.add(hook)

    def unregister_hook(self, hook: Hook) -> bool:
        """As in ipykernel."""
        return self._chain.remove(hook)

    def start_displayhook(self) -> None:
        self.content = {"data": {}, "metadata": {}}

    def write_output_prompt(self) -> None:
        if self.content is not None:
            self.content["execution_count"] = self.prompt_count

    def write_format_data(
        self, format_dict: Dict[str, Any], md_dict: Optional[Dict[str, Any]] = None
    ) -> None:
        if self.content is not None:
            self.content["data"] = format_dict
            self.content["metadata"] = md_dict or {}

    def finish_displayhook(self) -> None:
        content, self.content = self.content, None
        if content and content["data"]:
            changed = self._chain.apply(self.link, "execute_result", content)
            if changed is not None:
                self.link.publish("execute_result", changed)


class CellDisplayPublisher(DisplayPublisher):  # type: ignore[misc]
    """Sends display_data, update_display_data and clear_output."""

    link: Link

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._chain = Hooks()

    def register_hook(self, hook: Hook) -> None:
        """As in ipykernel."""
        self._chain.add(hook)

    def unregister_hook(self, hook: Hook) -> bool:
        """As in ipykernel."""
        return self._chain.remove(hook)

    def publish(
        self,
        data: Dict[str, Any],
        metadata: Optional[Dict[str, Any]] = None,
        source: Any = None,
        *,
        transient: Optional[Dict[str, Any]] = None,
        update: bool = False,
        **_: Any,
    ) -> None:
        self._validate_data(data, metadata)
        content = {"data": data, "metadata": metadata or {}, "transient": transient or {}}
        self._send("update_display_data" if update else "display_data", content)

    def clear_output(self, wait: bool = False) -> None:
        self._send("clear_output", {"wait": bool(wait)})

    def _send(self, kind: str, content: Dict[str, Any]) -> None:
        changed = self._chain.apply(self.link, kind, content)
        if changed is not None:
            self.link.publish(kind, changed)


class CellCompiler(CachingCompiler):  # type: ignore[misc]
    """Names cells as ipykernel does, which the debugger relies on."""

    def get_code_name(self, raw_code: str, code: str, number: int) -> str:
        return cell_file_name(raw_code)


class QuietProfileDir(ProfileDir):  # type: ignore[misc]
    """``~/.ipython/profile_default``, used where it is, not made where it is not."""

    @observe("location")
    def _location_changed(self, change: Dict[str, Any]) -> None:
        for name in ("security", "log", "startup", "pid", "static"):
            folder = os.path.join(change["new"], getattr(self, name + "_dir_name"))
            self.set_trait(name + "_dir", folder)

    def check_dirs(self) -> None:
        """Nothing is made."""

    check_security_dir = check_log_dir = check_startup_dir = check_pid_dir = check_dirs


@magics_class
class CellMagics(Magics):  # type: ignore[misc]
    """Magics that need another way without a terminal."""

    @line_magic  # type: ignore[untyped-decorator]
    def clear(self, _line: str) -> None:
        """Clear the terminal."""
        self.shell.system("clear")

    @line_magic  # type: ignore[untyped-decorator]
    def less(self, line: str) -> None:
        """Show a file through the pager.

        Files ending in .py are syntax-highlighted.
        """
        if not line:
            raise UsageError("Missing filename.")
        with open(os.path.expanduser(line), encoding="utf-8", errors="replace") as file:
            text = file.read()
        page.page(self.shell.pycolorize(text) if line.endswith(".py") else text)

    more = line_magic("more")(less)

    @line_magic  # type: ignore[untyped-decorator]
    def man(self, line: str) -> None:
        """Find the man page for the given command and display in pager."""
        page.page(self.shell.getoutput(f"man {line} | col -b", split=False))


class ZMQInteractiveShell(InteractiveShell):  # type: ignore[misc]
    """The shell of a runner.

    It has the name of ipykernel's class because libraries tell a notebook from a terminal by it.
    """

    displayhook_class = Type(CellDisplayHook)
    display_pub_class = Type(CellDisplayPublisher)
    kernel = AnyTrait()
    readline_use = CBool(False)
    autoindent = CBool(False)
    exiter = Instance(ZMQExitAutocall)
    keepkernel_on_exit: Optional[bool] = None
    error: Optional[Dict[str, Any]] = None
    error_during_display = False

    @default("exiter")
    def _default_exiter(self) -> ZMQExitAutocall:
        return ZMQExitAutocall(self)

    @observe("ipython_dir")
    def _ipython_dir_changed(self, change: Dict[str, Any]) -> None:
        """It is not made."""

    def begin_cell(self, count: int) -> None:
        """The host counts; errors are those of the cell."""
        self.execution_count = count
        self.error = None
        self.error_during_display = False

    @property
    def link(self) -> Link:
        """The way to the host."""
        link: Link = self.kernel.link
        return link

    def init_display_pub(self) -> None:
        super().init_display_pub()
        self.display_pub.link = self.link

    def init_displayhook(self) -> None:
        super().init_displayhook()
        self.displayhook.link = self.link

    def init_environment(self) -> None:
        """As ipykernel: colours where a program asks, no pagers."""
        for name, value in ENVIRONMENT.items():
            os.environ[name] = value

    def init_hooks(self) -> None:
        super().init_hooks()
        self.set_hook("show_in_pager", page.as_hook(self._page), 99)

    def init_magics(self) -> None:
        super().init_magics()
        self.register_magics(CellMagics)

    def init_virtualenv(self) -> None:
        """The interpreter is the one that was chosen."""

    def _page(
        self, text: Any, start: int = 0, screen_lines: int = 0, pager_cmd: Any = None
    ) -> None:
        data = text if isinstance(text, dict) else {"text/plain": text}
        self.payload_manager.write_payload({"source": "page", "data": data, "start": max(0, start)})

    def ask_exit(self) -> None:
        """``exit`` and ``quit``: the frontend is told, the host starts a fresh interpreter."""
        self.exit_now = not self.keepkernel_on_exit
        self.payload_manager.write_payload(
            {"source": "ask_exit", "keepkernel": self.keepkernel_on_exit}
        )

    def set_next_input(self, s: str, replace: bool = False) -> None:
        self.payload_manager.write_payload(
            {"source": "set_next_input", "text": s, "replace": replace}
        )

    def enable_gui(self, gui: Any = None) -> None:
        """There is no display to draw on, and asyncio runs already."""
        if gui not in (None, "", "asyncio", "inline", "agg"):
            raise UsageError(f"GUI event loop {gui!r} is not available in a container")

    @contextmanager
    def _tee(self, channel: str) -> Iterator[None]:
        """IPython (from 9.1 on) keeps all that cells print, for ``%notebook``.

        A cell that prints 10 GB must not fill the container's memory, so we do not.
        """
        yield

    def _showtraceback(self, etype: Any, evalue: Any, stb: List[str]) -> None:
        if self.displayhook.content is not None:
            self.error_during_display = True
        name = etype.__name__ if isinstance(etype, type) else str(etype)
        self.error = {"ename": name, "evalue": str(evalue), "traceback": list(stb)}
        self.link.publish("error", self.error)

    def system(self, cmd: str) -> None:
        """``!cmd``: on a terminal of its own where there is one, so that output flows at once."""
        if cmd.rstrip().endswith("&"):
            raise OSError("Background processes not supported.")
        status = run_on_terminal(self.var_expand(cmd, depth=1))
        self.user_ns["_exit_code"] = status
        if getattr(self, "system_raise_on_error", False) and status:
            from subprocess import CalledProcessError

            raise CalledProcessError(status, cmd)

    system_piped = system


InteractiveShellABC.register(ZMQInteractiveShell)

ENVIRONMENT = {
    "TERM": "xterm-color",
    "CLICOLOR": "1",
    "FORCE_COLOR": "1",
    "CLICOLOR_FORCE": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
}


def make_shell(kernel: Any) -> ZMQInteractiveShell:
    """The one shell of this process, with the user's ``__main__``."""
    config = Config()
    config.HistoryManager.hist_file = ":memory:"
    config.IPKernelApp.tqdm = "tqdm takes a shell without this section for a terminal"
    home = os.environ.get("IPYTHONDIR") or os.path.join(os.path.expanduser("~"), ".ipython")
    profile = QuietProfileDir(location=os.path.join(home, "profile_default"))
    shell = ZMQInteractiveShell.instance(
        config=config,
        kernel=kernel,
        ipython_dir=home,
        profile_dir=profile,
        compiler_class=CellCompiler,
    )
    _put_working_directory_on_path()
    _run_startup_files(shell, profile.startup_dir)
    return shell  # type: ignore[no-any-return]


def _put_working_directory_on_path() -> None:
    """``''`` before the first site directory: modules beside the notebook, after the library."""
    for index, entry in enumerate(sys.path):
        if entry.endswith(("site-packages", "dist-packages")):
            sys.path.insert(index, "")
            return
    sys.path.append("")


def _run_startup_files(shell: ZMQInteractiveShell, folder: str) -> None:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        path = os.path.join(folder, name)
        if name.endswith(".py"):
            shell.safe_execfile(path, shell.user_ns, exit_ignore=True)
        elif name.endswith((".ipy", ".ipynb")):
            shell.safe_execfile_ipy(path)
