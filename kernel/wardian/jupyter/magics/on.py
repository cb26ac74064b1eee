"""``%%on``, ``%%sh`` and ``%%python``: run a cell elsewhere than usual."""

from __future__ import annotations

import argparse

from wardian.cells.runner import Language
from wardian.jupyter.magics.base import OK, Call, Magic, Parser, Reply
from wardian.jupyter.magics.dispatch import run_code


async def _run_body(call: Call) -> Reply:
    return await run_code(call, call.body) if call.body.strip() else dict(OK)


class On(Magic):
    """Runs the cell in another container; the current one stays the current one."""

    name = "on"
    needs_container = True
    is_cell = True
    summary = "Run this cell in another container of the notebook."
    example = "  %%on web\n  import os; os.listdir('/')"

    def configure(self, parser: Parser) -> None:
        parser.add_argument("container", metavar="NAME", help="made by %%container new NAME")

    async def run(self, call: Call, options: argparse.Namespace) -> Reply:
        workspace = await call.kernel.workspaces.get(options.container)
        return await _run_body(call.elsewhere(workspace=workspace))

    async def arguments(self, call: Call, words: list[str]) -> list[str]:
        return [] if words else call.kernel.workspaces.names


class Shell(Magic):
    """Runs the cell in the container's shell, whose state lasts."""

    name = "sh"
    is_cell = True
    summary = "Run this cell in the container's shell. Variables, functions and cwd last."
    example = "  %%sh\n  cd /tmp; ls -la"

    def configure(self, parser: Parser) -> None:
        parser.add_argument("--on", metavar="NAME", help="in another container")

    async def run(self, call: Call, options: argparse.Namespace) -> Reply:
        return await _run_in(call, Language.SHELL, options)


class Python(Magic):
    """Runs the cell in the container's Python, whose state lasts."""

    name = "python"
    is_cell = True
    summary = "Run this cell in the container's Python. Variables and modules last."
    example = "  %%python\n  import os; os.getpid()"

    def configure(self, parser: Parser) -> None:
        parser.add_argument("--on", metavar="NAME", help="in another container")

    async def run(self, call: Call, options: argparse.Namespace) -> Reply:
        return await _run_in(call, Language.PYTHON, options)


async def _run_in(call: Call, language: Language, options: argparse.Namespace) -> Reply:
    workspace = await call.kernel.workspaces.get(options.on) if options.on else None
    return await _run_body(call.elsewhere(workspace=workspace, language=language))
