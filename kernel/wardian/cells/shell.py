"""Shell cells: one shell that lives on, replaced by a fresh one when a cell ends it."""

from __future__ import annotations

import asyncio
import fnmatch
from collections.abc import Sequence
from typing import Any

import msgspec

from wardian.cells import shell_words
from wardian.cells.runner import (
    ExecuteRequest,
    ExitReason,
    Interpreter,
    Launcher,
    Runner,
    RunnerExited,
    Setting,
    Sink,
    SpawnedProcess,
)
from wardian.cells.shell_process import ShellProcess, heredocs_end, reply
from wardian.errors import CommandFailed

BASH_OPTIONS = ("--norc", "--noprofile", "--noediting", "-i")
PROGRAMS: tuple[tuple[str, ...], ...] = (
    ("bash", *BASH_OPTIONS),
    ("sh", "-i"),
    ("/.wardian/bin/bash", *BASH_OPTIONS),
    ("/.wardian/box/sh", "-i"),
)
LAST_RESORT = PROGRAMS[:2]  # what a host without a toolbox may have


class ShellRunner(Runner):
    """Answers requests with a `ShellProcess`, or with its successor."""

    def __init__(
        self, launcher: Launcher, sink: Sink, setting: Setting, shell: ShellProcess
    ) -> None:
        self._launcher = launcher
        self._sink = sink
        self._setting = setting
        self._shell = shell
        self._turn = asyncio.Lock()
        self._history: list[tuple[int, str]] = []
        self.exited = asyncio.get_running_loop().create_future()
        self._watch(shell)

    @classmethod
    async def launch(cls, launcher: Launcher, *, sink: Sink, setting: Setting) -> ShellRunner:
        """Start the best shell that the container has."""
        return cls(launcher, sink, setting, await _start_shell(launcher, sink, setting))

    @property
    def process(self) -> SpawnedProcess:  # type: ignore[override]  # it changes
        return self._shell.process

    @property
    def info(self) -> dict[str, Any]:  # type: ignore[override]
        return self._shell.info

    # --- requests ------------------------------------------------------------------------

    async def execute(self, request: ExecuteRequest) -> dict[str, Any]:
        async with self._turn:
            if request.store_history:
                self._history.append((request.count, request.code))
            if self._shell.exited.done():
                await self._replace(request.cell)
            try:
                return await self._shell.execute(request)
            except RunnerExited as error:
                if not ended_by_itself(error.reason):
                    raise
                await self._replace(request.cell)
                return reply(request.count, error.reason.exit_code, [error.reason.exit_code])

    async def request(self, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        if kind == "history":
            return {"status": "ok", "history": self._remembered(content)}
        if kind == "comm_info":
            return {"status": "ok", "comms": {}}
        if kind == "complete":
            return await self._complete(content["code"], content["cursor_pos"])
        if kind == "inspect":
            return await self._inspect(content["code"], content["cursor_pos"])
        if kind == "is_complete":
            return await self._is_complete(content["code"])
        return {"status": "error", "ename": "NotSupported", "evalue": kind, "traceback": []}

    async def _complete(self, code: str, cursor: int) -> dict[str, Any]:
        word = shell_words.word_before(code, cursor)
        matches: list[str] = []
        if word.text or word.kind is not shell_words.Kind.COMMAND:
            command = self._shell.dialect.completion(word)
            matches = shell_words.matches(word, await self._ask(command))
        return {
            "status": "ok",
            "matches": matches,
            "cursor_start": word.start,
            "cursor_end": cursor,
            "metadata": {},
        }

    async def _inspect(self, code: str, cursor: int) -> dict[str, Any]:
        word = shell_words.word_around(code, cursor)
        text = await self._ask(f"__wardian_about {shell_words.quote(word)}") if word else ""
        data = {"text/plain": text.rstrip()} if text.strip() else {}
        return {"status": "ok", "found": bool(data), "data": data, "metadata": {}}

    async def _is_complete(self, code: str) -> dict[str, Any]:
        if code.rstrip(" \t\n").endswith("\\") or not heredocs_end(code):
            return {"status": "incomplete", "indent": ""}
        complaint = await self._ask(f"__wardian_check {shell_words.quote(code)}")
        if not complaint.strip():
            return {"status": "complete"}
        if shell_words.says_unfinished(complaint):
            return {"status": "incomplete", "indent": ""}
        return {"status": "invalid"}

    async def _ask(self, command: str) -> str:
        async with self._turn:
            if self._shell.exited.done():
                return ""
            return await self._shell.ask(command)

    def _remembered(self, content: dict[str, Any]) -> list[list[Any]]:
        found: list[list[Any]] = [[0, count, code] for count, code in self._history]
        if content.get("hist_access_type") == "search":
            pattern = content.get("pattern") or "*"
            found = [each for each in found if fnmatch.fnmatchcase(each[2], pattern)]
        elif content.get("hist_access_type") == "range":
            start, stop = content.get("start") or 0, content.get("stop")
            found = [each for each in found if start <= each[1] and (not stop or each[1] < stop)]
        last = content.get("n")
        return found[-last:] if last else found

    # --- what a shell does not have ------------------------------------------------------

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
        """A shell has no comms."""

    def owns_comm(self, comm_id: str) -> bool:  # noqa: ARG002  # it has none
        return False

    # --- the life of shells --------------------------------------------------------------

    def interrupt(self) -> None:
        self._shell.interrupt()

    def hold_output(self) -> None:
        self._shell.hold_output()

    def release_output(self) -> None:
        self._shell.release_output()

    async def _replace(self, cell: int) -> None:
        """A fresh shell in the directory where the last one was, and a note that says so."""
        code = self._shell.exited.result().exit_code
        workdir = self._shell.workdir
        await self._shell.close()
        setting = msgspec.structs.replace(self._setting, workdir=workdir)
        is_kept = True
        try:
            self._shell = await _start_shell(self._launcher, self._sink, setting)
        except (CommandFailed, RunnerExited):  # the directory is gone
            is_kept = False
            self._shell = await _start_shell(self._launcher, self._sink, self._setting)
        self._watch(self._shell)
        self._sink.stream(cell, "stderr", _note(code, is_kept=is_kept))

    def _watch(self, shell: ShellProcess) -> None:
        def note(exited: asyncio.Future[ExitReason]) -> None:
            if not ended_by_itself(exited.result()) and not self.exited.done():
                self.exited.set_result(exited.result())

        shell.exited.add_done_callback(note)

    async def close(self) -> None:
        await self._shell.close()
        if not self.exited.done():
            self.exited.set_result(await self._shell.exited)


def ended_by_itself(reason: ExitReason) -> bool:
    """By ``exit``, ``exec`` or ``set -e``, not by a signal."""
    return not reason.fault and reason.exit_code <= 128


def _note(code: int, *, is_kept: bool) -> str:
    place = "the working directory is kept" if is_kept else "the working directory is gone"
    return (
        f"the shell ended with status {code}; a fresh one starts:"
        f" variables and functions are lost, {place}\n"
    )


async def _start_shell(launcher: Launcher, sink: Sink, setting: Setting) -> ShellProcess:
    programs = LAST_RESORT if setting.interpreter is Interpreter.HOST else PROGRAMS
    for program in programs[:-1]:
        try:
            return await ShellProcess.launch(launcher, sink=sink, setting=setting, program=program)
        except CommandFailed as error:
            if error.exit_code != 127:
                raise
    return await ShellProcess.launch(launcher, sink=sink, setting=setting, program=programs[-1])
