"""One shell process, driven over a command pipe; its answers come over a control pipe.

The shell is interactive, so that an interrupt or an error abandons the cell and not the shell, and
has no terminal. It reads commands from descriptor 0: the cell as the argument of ``eval`` (not in
a function, where ``declare`` would be local), then a call of ``__wardian_end``, which says over the
control pipe that the cell is over and with what status. ``guest/driver.bash`` and
``guest/driver.sh`` define what is called here. Records on the control pipe are fields that end in
NUL: a word that says which, then as many as that has (`RECORDS`).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import signal
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from wardian.cells import shell_words
from wardian.cells.family import foreground_group, interrupt_missed
from wardian.cells.guest.frames import READ_BYTES, Marks
from wardian.cells.images import Picture
from wardian.cells.output import TextFlow, output_pipe
from wardian.cells.piped import PipedProcess, Stream
from wardian.cells.runner import (
    ExecuteRequest,
    Launcher,
    RunnerExited,
    Setting,
    Sink,
    SpawnedProcess,
)
from wardian.cells.shell_input import ShellInput
from wardian.cells.shell_output import ShellFlow, display_content
from wardian.cells.shell_words import Dialect
from wardian.linux.proc import children

RECORDS = {"ready": 2, "done": 7, "list": 2, "input": 2, "place": 1}
MAX_RECORD_BYTES = 8 << 20
START_TIMEOUT_S = 20.0
INTERRUPT_PAUSES_S = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
FIRST_LOOK_S = 0.02
LONGEST_PAUSE_S = 0.5
HEREDOC = re.compile(r"<<-?\s*(['\"]?)([A-Za-z_][\w-]*)\1")
# A cell's last words, for what is lost when eval returns; not after an unfinished here-document.
# In a group of their own, so that `set -x` does not show them; after an empty line, as the cell may
# end in a backslash.
LAST_WORDS = "\n\n{ __wardian_last=$? __wardian_word=$_ __wardian_pipe=1; } 2>/dev/null"
LAST_WORDS_BASH = (
    '\n\n{ __wardian_last=$? __wardian_word=$_ __wardian_pipe=("${PIPESTATUS[@]}"); } 2>/dev/null'
)
DRIVERS = Path(__file__).parent / "guest"
DESCRIPTORS = {Dialect.BASH: (60, 61, 62), Dialect.POSIX: (7, 8, 9)}  # dash knows one digit only


class ShellProcess(PipedProcess):
    """A shell. One `execute` or `ask` at a time: its owner sees to that."""

    def __init__(
        self,
        process: SpawnedProcess,
        sink: Sink,
        marks: Marks,
        out_fd: int,
        err_fd: int,
        *,
        command_fd: int,
        control_fd: int,
        shell_input: ShellInput,
        terminal_fd: int,
        dialect: Dialect,
        workdir: str,
    ) -> None:
        self._was_interrupted = False
        self._is_quiet = True  # some shells greet before they have read the driver
        super().__init__(process, sink, marks, out_fd, err_fd)
        self.dialect = dialect
        self.workdir = workdir
        self._command_fd = command_fd
        self._commands = bytearray()
        self._control_fd = control_fd
        self._records = b""
        self._input = shell_input
        self._terminal_fd = terminal_fd
        self._number = 0
        self._answer: asyncio.Future[list[str]] | None = None
        self._status = 0
        self._options = ""
        self._older_children: list[int] = []
        self._has_interrupt_trap = self._may_trap_interrupts = False
        self._read_on()

    @classmethod
    async def launch(
        cls, launcher: Launcher, *, sink: Sink, setting: Setting, program: tuple[str, ...]
    ) -> ShellProcess:
        """Start this program and teach it the driver. CommandFailed if it cannot be started."""
        dialect = Dialect.BASH if program[0].endswith("bash") else Dialect.POSIX
        stdin, control, error = DESCRIPTORS[dialect]
        shell_input = ShellInput()
        command_r, command_w = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(command_w, False)
        ours, theirs = [], []
        for _ in range(3):
            read_fd, write_fd = output_pipe()
            ours.append(read_fd)
            theirs.append(write_fd)
        # An interactive bash restores its terminal's modes whenever a command was killed, and
        # complains where it has none: it gets one, which nobody reads, until its driver is read.
        terminal, terminal_end = os.openpty()
        fds = {0: command_r, 1: theirs[0], 2: terminal_end, error: theirs[1], control: theirs[2]}
        fds[stdin] = shell_input.read_fd
        try:
            process = await asyncio.to_thread(launcher.spawn, setting.process(*program), fds)
        except BaseException:
            shell_input.close()
            for fd in (command_w, terminal, *ours):
                os.close(fd)
            raise
        finally:
            for fd in (command_r, terminal_end, *theirs):
                os.close(fd)
        nonce = os.urandom(8).hex()
        shell = cls(
            process,
            sink,
            Marks(nonce),
            ours[0],
            ours[1],
            command_fd=command_w,
            control_fd=ours[2],
            shell_input=shell_input,
            terminal_fd=terminal,
            dialect=dialect,
            workdir=setting.workdir,
        )
        await shell._learn_driver(nonce)
        return shell

    async def _learn_driver(self, nonce: str) -> None:
        stdin, control, error = DESCRIPTORS[self.dialect]
        text = (DRIVERS / f"driver.{self.dialect.value}").read_text()
        for name, value in (
            ("STDIN", stdin),
            ("CONTROL", control),
            ("ERROR", error),
            ("NONCE", nonce),
        ):
            text = text.replace(f"@{name}@", str(value))
        try:
            _, version = await self._first(text, timeout_s=START_TIMEOUT_S)
        except BaseException:
            await self.close()
            raise
        self._drain()
        self._is_quiet = False
        name = self.dialect.value
        self.info = {
            "implementation": "wardian",
            "implementation_version": version,
            "banner": f"{name} {version}".rstrip(),
            "language_info": {
                "name": "bash" if self.dialect is Dialect.BASH else "sh",
                "version": version,
                "mimetype": "text/x-sh",
                "codemirror_mode": "shell",
                "pygments_lexer": "bash",
                "file_extension": ".sh",
            },
            "features": [],
        }

    # --- requests ------------------------------------------------------------------------

    async def execute(self, request: ExecuteRequest) -> dict[str, Any]:
        self._drain()
        self.cell = request.cell
        self._was_interrupted = False
        self._may_trap_interrupts = self._has_interrupt_trap or "trap" in request.code
        self._older_children = children(self.process.host_pid) if "m" in self._options else []

        async def ask(prompt: str, is_password: bool) -> str:  # noqa: FBT001  # a callback
            self._drain()
            return await self.sink.input(request.cell, prompt, password=is_password)

        self._input.begin(self.process.host_pid, ask if request.allow_stdin else None)
        try:
            fields = await self._first(self._cell_line(request.code))
            if self._was_interrupted:
                await self._catch_up()
        finally:
            self._input.end()
        status, pipe_status, self.workdir, self._options = (
            _small_number(fields[1]),
            [_small_number(each) for each in fields[2].split()],
            fields[3],
            fields[4],
        )
        self._status = status
        self._has_interrupt_trap = "INT" in fields[6]
        return reply(request.count, status, pipe_status)

    async def _catch_up(self) -> None:
        """Let a second interrupt that the shell has not acted on yet hit nothing of the user's."""
        self._number += 1
        await self._first(self._end_line())

    async def ask(self, command: str) -> str:
        """The output of a command of the driver, at most some seconds later."""
        self._number += 1
        line = f"{{ __wardian_list {self._number} {command}; }} </dev/null 2>/dev/null\n"
        try:
            return (await self._first(line, timeout_s=START_TIMEOUT_S))[1]
        except TimeoutError:
            self.interrupt()
            return ""

    def _cell_line(self, code: str) -> str:
        """The command that runs a cell with ``$?``, ``$_`` and ``set -x`` as they were left."""
        self._number += 1
        stdin = DESCRIPTORS[self.dialect][0]
        code = code.replace("\0", "")
        prefix = "".join(f"set -{option}\n" for option in "xv" if option in self._options)
        suffix = LAST_WORDS_BASH if self.dialect is Dialect.BASH else LAST_WORDS
        if not heredocs_end(code):
            suffix = "\n"
        restore = ': "${__wardian_word-}";'
        keeps = self._status and not shell_words.is_comment(code)  # a comment has not failed
        if keeps and "e" not in self._options:
            restore = f'__wardian_restore {self._status} "${{__wardian_word-}}" ||'
        text = shell_words.quote(prefix + code + suffix)
        return f"{restore} eval {text} <&{stdin}\n{self._end_line()}"

    def _end_line(self) -> str:
        return f"{{ __wardian_end {self._number}; }} 2>/dev/null\n"

    def interrupt(self) -> None:
        """SIGINT to the shell and to what runs in the foreground; not to background jobs.

        Without job control all are in one group, and the shell has made background jobs ignore
        the signal.
        """
        self._was_interrupted = True
        super().interrupt()
        group = foreground_group(self.process.host_pid, self._older_children)
        if group is not None:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGINT)
        for pause_s in () if self._may_trap_interrupts else INTERRUPT_PAUSES_S:
            self.loop.call_later(pause_s, self._interrupt_missed, self._number)

    def _interrupt_missed(self, number: int) -> None:
        """Reach what lost the interrupt. bash loses it, too, when a child ends at that moment.

        Not done where a trap on INT may let the cell go on: that would be hit again.
        """
        if self._answer is None or number != self._number or self.exited.done():
            return
        shell = self.process.host_pid
        group = foreground_group(shell, self._older_children)
        interrupt_missed(shell, {shell, group or shell})

    async def _first(self, line: str, timeout_s: float | None = None) -> list[str]:
        """Send a command and wait for its record: TimeoutError, RunnerExited."""
        answer: asyncio.Future[list[str]] = self.loop.create_future()
        self._answer = answer
        self._write(line)
        repeat = self.loop.create_task(self._repeat_end())
        try:
            await asyncio.wait(
                (answer, self.exited), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            self._answer = None
            repeat.cancel()
        if answer.done():
            return answer.result()
        if self.exited.done():
            raise RunnerExited(self.exited.result())
        raise TimeoutError

    async def _repeat_end(self) -> None:
        """Say once more that the cell should end when the first was taken and nothing happened.

        Some shells read ahead, and forget what they read when an error or an interrupt abandons
        a cell. One that did not forget reports twice, and the second report counts for nothing.
        """
        pause_s = FIRST_LOOK_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            if not self._commands and not _unread_bytes(self._command_fd):
                self._write(self._end_line())

    # --- the command and control pipes -----------------------------------------------------

    def _write(self, text: str) -> None:
        was_empty = not self._commands
        self._commands += text.encode("utf-8", "surrogateescape")
        if was_empty and not self._write_on():
            self.loop.add_writer(self._command_fd, self._write_rest)

    def _write_on(self) -> bool:
        """Write what goes; whether that was all."""
        try:
            while self._commands:
                del self._commands[: os.write(self._command_fd, self._commands)]
        except BlockingIOError:
            return False
        except BrokenPipeError:  # `exited` will tell
            self._commands.clear()
        return True

    def _write_rest(self) -> None:
        if self._write_on():
            self.loop.remove_writer(self._command_fd)

    def _sources(self) -> list[tuple[int, Callable[[], None]]]:
        return [*super()._sources(), (self._control_fd, self._on_control)]

    def _on_control(self) -> None:
        try:
            data = os.read(self._control_fd, READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self.loop.remove_reader(self._control_fd)
            return
        self._records += data
        while self._take_record():
            pass
        if len(self._records) > MAX_RECORD_BYTES:
            self._fail("sent a record too long")

    def _take_record(self) -> bool:
        word, _, rest = self._records.partition(b"\0")
        count = RECORDS.get(word.decode("ascii", "replace"))
        if count is None:
            if rest or len(word) > 16:
                self._records = rest  # a program wrote into our pipe: look for the next record
            return bool(rest)
        fields = rest.split(b"\0", count)
        if len(fields) <= count:
            return False
        self._records = fields.pop()
        self._heed(word.decode(), [each.decode("utf-8", "surrogateescape") for each in fields])
        return True

    def _heed(self, word: str, fields: list[str]) -> None:
        if word == "input":
            self._input.ask(fields[0], is_password=fields[1] == "1")
            return
        if word == "place":
            self.workdir = fields[0]
            return
        if word != "ready" and fields[0] != str(self._number):
            return
        if word == "done":
            self._drain()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(fields)

    def _settle(self) -> None:
        self._on_control()
        super()._settle()

    # --- output ----------------------------------------------------------------------------

    def _flow(self, name: str) -> TextFlow:
        def deliver(text: str) -> None:
            # bash ends the line that a terminal's ^C began, once for each.
            if not self._is_quiet and not (self._was_interrupted and not text.strip("\n")):
                self.sink.stream(self.cell, name, text)

        return ShellFlow(deliver, self._show) if name == "stdout" else TextFlow(deliver)

    def _show(self, picture: Picture) -> None:
        for stream in self.streams:
            stream.flow.flush()
        content = memoryview(display_content(picture))
        self.sink.publish(self.cell, "display_data", content, {}, [])

    def _pass_mark(self, stream: Stream, mark: str) -> bool:
        self._pass_last_mark(stream, mark)
        return True

    def _pass_last_mark(self, stream: Stream, mark: str) -> None:
        if isinstance(stream.flow, ShellFlow):
            if mark.startswith("<"):
                stream.flow.begin_file(mark[1:])
            elif mark == ">":
                stream.flow.end_file()

    # --- the end ---------------------------------------------------------------------------

    async def close(self) -> None:
        if self._is_closed:
            return
        await super().close()
        self._input.close()
        if self._commands:
            self.loop.remove_writer(self._command_fd)
        os.close(self._command_fd)
        os.close(self._control_fd)
        os.close(self._terminal_fd)


def heredocs_end(code: str) -> bool:
    """Whether every here-document has its last line."""
    lines = {line.strip("\t") for line in code.split("\n")}
    return all(match.group(2) in lines for match in HEREDOC.finditer(code))


def _unread_bytes(pipe_fd: int) -> int:
    """How much is written into a pipe and not read (FIONREAD, pipe(7))."""
    return int.from_bytes(fcntl.ioctl(pipe_fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def _small_number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def reply(count: int, status: int, pipe_status: list[int]) -> dict[str, Any]:
    """The execute_reply of a cell whose last command ended with this status."""
    content: dict[str, Any] = {
        "status": "error" if status else "ok",
        "execution_count": count,
        "exit_status": status,
        "pipe_status": pipe_status,
        "payload": [],
        "user_expressions": {},
    }
    if status:
        content.update(ename="ExitStatus", evalue=str(status), traceback=[])
    return content
