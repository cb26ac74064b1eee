"""A runner, held from the host: the process in the container in which a notebook's cells run.

`Runner.start` starts one (a Python runner or a shell runner) through a `Launcher`; what its cells
put out goes to a `Sink`, on the event loop's thread. All coroutines and methods belong to that
thread. One cell runs at a time; other requests may be made meanwhile and wait for it as in
ipykernel's main shell.

``cell`` is a positive number that the caller chooses, different for every execute request and for
every comm message; the sink gets it back with each output, to find the output's Jupyter parent.
"""

from __future__ import annotations

import abc
import asyncio
import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from wardian.cells.environment import with_toolbox
from wardian.errors import WardianError
from wardian.runtime.spec import ProcessSpec


class Language(enum.Enum):
    """What a runner understands."""

    PYTHON = "python"
    SHELL = "shell"


class Interpreter(enum.Enum):
    """Whose programs a runner uses.

    ``TOOLBOX``: ours, mounted at ``/.wardian`` (a shell only where the image has none).
    ``IMAGE``: the image's own python3. ``HOST``: this process's Python, without a container.
    """

    TOOLBOX = "toolbox"
    IMAGE = "image"
    HOST = "host"


class SpawnedProcess(Protocol):
    """A started process; ``pidfd`` becomes readable when it ends."""

    host_pid: int
    pidfd: int

    def signal(self, number: int) -> None:
        """Send a signal; nothing if it has ended."""

    def wait(self, timeout_s: float | None = None) -> int:
        """The exit code, 128+n after signal n."""

    def close(self) -> None:
        """Let go of the descriptors."""


class Launcher(Protocol):
    """Starts processes: a container, or `wardian.bare.place.Place`."""

    def spawn(self, process: ProcessSpec, fds: Mapping[int, int] | None = None) -> SpawnedProcess:
        """Start a process; ``fds`` maps its descriptor numbers to ours, which stay ours."""


class Sink(Protocol):
    """Where output goes. Called on the event loop's thread; must not block."""

    def publish(
        self,
        cell: int,
        kind: str,
        content: memoryview,
        metadata: dict[str, Any],
        buffers: Sequence[memoryview],
        confirm: Callable[[], object] = lambda: None,
    ) -> None:
        """One iopub message. ``content`` is JSON text, to be passed on as it is.

        It was checked; a long one is still being checked meanwhile, so ``confirm()`` waits for that
        and must come before the content is used. Raises ProtocolError.
        """

    def stream(self, cell: int, name: str, text: str) -> None:
        """Text of stdout or stderr."""

    def may_open(self, comm_id: str) -> bool:
        """Whether a runner may open a comm of this id: nobody else (host, other runner) has it."""

    async def input(self, cell: int, prompt: str, *, password: bool) -> str:
        """Ask the user for a line; EOFError when the frontend gives none."""


class ExecuteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One cell. The fields but ``cell`` are Jupyter's; ``header`` is the request's."""

    cell: int
    code: str
    count: int
    header: dict[str, Any] = msgspec.field(default_factory=dict)
    silent: bool = False
    store_history: bool = True
    user_expressions: dict[str, Any] = msgspec.field(default_factory=dict)
    allow_stdin: bool = False
    cell_id: str | None = None


class ExitReason(msgspec.Struct, frozen=True):
    """How a runner ended: exit code (128+n after signal n), or what it did wrong before."""

    exit_code: int
    fault: str = ""

    def __str__(self) -> str:
        if self.fault:
            return self.fault
        if self.exit_code > 128:
            return f"was ended by signal {self.exit_code - 128}"
        return f"ended with status {self.exit_code}"


class RunnerExited(WardianError):
    """The runner ended before it answered. ``reason`` says how."""

    def __init__(self, reason: ExitReason) -> None:
        super().__init__(f"the process that runs the cells {reason}")
        self.reason = reason


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Where and as whom a runner works.

    ``env`` has the image's and the user's variables; the runner adds the way to the toolbox.
    """

    env: dict[str, str] = msgspec.field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    oom_score_adj: int = 0
    interpreter: Interpreter = Interpreter.TOOLBOX

    def process(self, *argv: str) -> ProcessSpec:
        """The process that has this setting."""
        env = self.env
        if self.interpreter is not Interpreter.HOST:
            env = with_toolbox(env, is_python_ours=self.interpreter is Interpreter.TOOLBOX)
        return ProcessSpec(
            argv=argv,
            env=env,
            workdir=self.workdir,
            user=self.user,
            oom_score_adj=self.oom_score_adj,
        )


class Runner(abc.ABC):
    """The host's handle of a runner."""

    info: dict[str, Any]
    """Jupyter's language_info, banner, help_links and so on, as the runner says."""

    exited: asyncio.Future[ExitReason]
    """Resolved when the process is gone."""

    process: SpawnedProcess

    @staticmethod
    async def start(
        launcher: Launcher,
        *,
        language: Language,
        sink: Sink,
        setting: Setting,
    ) -> Runner:
        """Start a runner and wait until it is ready.

        Raises CommandFailed when the program cannot be started, RunnerExited when it ends at once.
        """
        # Both modules build on this one.
        if language is Language.PYTHON:
            from wardian.cells.python import PythonRunner

            return await PythonRunner.launch(launcher, sink=sink, setting=setting)
        from wardian.cells.shell import ShellRunner

        return await ShellRunner.launch(launcher, sink=sink, setting=setting)

    @abc.abstractmethod
    async def execute(self, request: ExecuteRequest) -> dict[str, Any]:
        """Run a cell; the content of Jupyter's execute_reply. All its output came before.

        Raises RunnerExited.
        """

    @abc.abstractmethod
    async def request(self, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """complete, inspect, is_complete, history, comm_info or debug: the reply's content.

        ``content`` has the fields of the Jupyter request. Raises RunnerExited.
        """

    @abc.abstractmethod
    def send_comm(
        self,
        kind: str,
        content: dict[str, Any],
        metadata: dict[str, Any],
        buffers: Sequence[bytes | memoryview],
        *,
        cell: int,
        header: dict[str, Any],
    ) -> None:
        """Pass a comm_open, comm_msg or comm_close of the page on; it is not answered."""

    @abc.abstractmethod
    def owns_comm(self, comm_id: str) -> bool:
        """Whether this comm was opened by, or to, this runner."""

    @abc.abstractmethod
    def interrupt(self) -> None:
        """SIGINT to the runner's process group, as Ctrl-C in a terminal."""

    @abc.abstractmethod
    def hold_output(self) -> None:
        """Stop reading: the sink is full. The runner blocks when its pipes are, too."""

    @abc.abstractmethod
    def release_output(self) -> None:
        """Read on."""

    @abc.abstractmethod
    async def close(self) -> None:
        """End the process and free everything. Output that is still under way is lost."""
