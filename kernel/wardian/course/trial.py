"""A trial: a student's notebook, run from top to bottom, and which exercises it has solved."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from wardian.course.lesson import Mark
from wardian.errors import InvalidInput, SetupError

if TYPE_CHECKING:
    from nbclient import NotebookClient
    from nbformat import NotebookNode

EXPECTED = "raises-exception"
CHECK_SUFFIX = "-check"  # the check of the exercise NAME is NAME-check
NOT_YET = "not yet: "  # so begins what a check says that does not hold
COLOURS = re.compile(r"\x1b\[[\d;]*m")


class Verdict(StrEnum):
    """What came of a cell."""

    RAN = "ran"  # as it should, be it that it was to fail
    BROKE = "broke"  # it failed, and was not to
    SOLVED = "solved"  # the check of an exercise, which holds
    OPEN = "open"  # one that does not hold yet


class Finding(msgspec.Struct, frozen=True):
    """``points`` are those of a check, and ``reason`` what a cell that failed has said."""

    number: int
    source: str
    verdict: Verdict
    grade_id: str = ""
    points: float = 0
    reason: str = ""

    @property
    def first_line(self) -> str:
        """By which a reader knows the cell again: a magic with what it is used for."""
        lines = [line for line in self.source.splitlines() if line.strip()]
        return " ".join(lines[: 2 if lines[0].startswith("%%") else 1])

    @property
    def exercise(self) -> str:
        """The exercise that a check is of; empty for other cells."""
        return self.grade_id.removesuffix(CHECK_SUFFIX)


class Trial(msgspec.Struct, frozen=True):
    """Of a file, in containers of its own: those of the open notebook are let alone."""

    path: Path
    cell_timeout_s: int = 300

    async def findings(self) -> AsyncGenerator[Finding]:
        """What came of each cell with code, one by one. Raises InvalidInput, SetupError."""
        client = self._client()
        code = [
            (position, cell)
            for position, cell in enumerate(client.nb.cells)
            if cell.cell_type == "code" and cell.source.strip()
        ]
        try:
            async with client.async_setup_kernel(cwd=str(self.path.parent)):
                for number, (position, cell) in enumerate(code, start=1):
                    yield await self._run(client, cell, position, number)
        except _kernel_errors() as error:
            raise SetupError(
                f"the kernel of {self.path.name} does not start, or has ended: {error}",
                hint="`wardian kernelspec list` and `wardian doctor` say what is missing",
            ) from error

    def _client(self) -> NotebookClient:
        try:
            import nbformat
            from nbclient import NotebookClient
        except ImportError as error:
            raise SetupError(
                f"{error.name} is not installed", hint="pip install 'wardian[lab]'"
            ) from error
        try:
            notebook = nbformat.read(self.path, as_version=4)
        except nbformat.reader.NotJSONError as error:
            raise InvalidInput(
                f"not a notebook: {self.path}", hint="`wardian course reset` puts the lesson back"
            ) from error
        return NotebookClient(
            notebook, allow_errors=True, timeout=self.cell_timeout_s, interrupt_on_timeout=True
        )

    async def _run(
        self, client: NotebookClient, cell: NotebookNode, position: int, number: int
    ) -> Finding:
        await client.async_execute_cell(cell, position)
        reason = _failure(cell)
        mark = _mark(cell)
        if mark is not None and mark.grade:
            verdict = Verdict.OPEN if reason else Verdict.SOLVED
            return Finding(number, cell.source, verdict, mark.grade_id, mark.points, reason)
        is_broken = bool(reason) and EXPECTED not in cell.metadata.get("tags", ())
        verdict = Verdict.BROKE if is_broken else Verdict.RAN
        return Finding(number, cell.source, verdict, reason=reason)


def _kernel_errors() -> tuple[type[Exception], ...]:
    from jupyter_client.kernelspec import NoSuchKernel

    return NoSuchKernel, RuntimeError  # nbclient's DeadKernelError, and jupyter_client's for none


def _mark(cell: NotebookNode) -> Mark | None:
    import msgspec

    try:
        return msgspec.convert(dict(cell.metadata).get("nbgrader"), Mark | None)
    except msgspec.ValidationError as error:
        raise InvalidInput(
            f"a cell's nbgrader metadata cannot be read: {error}",
            hint="`wardian course reset` puts the lesson back",
        ) from error


def _failure(cell: NotebookNode) -> str:
    """What a cell that failed says of it: its own words, else the error's; one line."""
    errors = [output for output in cell.outputs if output.output_type == "error"]
    if not errors:
        return ""
    said = [
        output.text
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr"
    ]
    evalue = errors[-1].evalue if not errors[-1].evalue.isdecimal() else ""
    words = evalue or "".join(said).strip() or f"{errors[-1].ename} {errors[-1].evalue}"
    return COLOURS.sub("", words).strip().splitlines()[-1].removeprefix(NOT_YET)
