"""``%layers`` and ``%diff``: what the container's files are made of."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from wardian.jupyter.magics.base import Call, Magic, Parser
from wardian.jupyter.magics.view import show_view

if TYPE_CHECKING:
    from wardian.runtime.messages import ContainerInfo


class Layers(Magic):
    """The overlay's stack, live."""

    name = "layers"
    needs_container = True
    view = "layers"
    summary = "Show the container's layers, live: lower …, upper, work, merged."

    def configure(self, parser: Parser) -> None:
        parser.add_argument("--text", action="store_true", help="text only")

    async def run(self, call: Call, options: argparse.Namespace) -> None:
        await call.workspace.launcher()
        container = call.workspace.container
        info = await asyncio.to_thread(lambda: container.info)
        lowers = [f"lower {len(info.lowers) - 1 - number}" for number in range(len(info.lowers))]
        text = "\n".join(["merged", "upper", *lowers])
        if options.text:
            call.print(text)
        else:
            show_view(call, "layers", text)


class Diff(Magic):
    """What differs from the image, as ``docker diff`` says it."""

    name = "diff"
    needs_container = True
    summary = "List what was added (A), changed (C) and deleted (D) since the image."
    example = "  %diff /etc"

    def configure(self, parser: Parser) -> None:
        parser.add_argument("path", nargs="?", default="/", help="only below this directory")

    async def run(self, call: Call, options: argparse.Namespace) -> None:
        await call.workspace.launcher()
        container = call.workspace.container
        info = await asyncio.to_thread(lambda: container.info)
        lines = await asyncio.to_thread(diff_lines, info, options.path)
        call.print("\n".join(lines) if lines else "nothing has changed")


def diff_lines(info: ContainerInfo, below: str) -> list[str]:
    """``A /path``, ``C /path``, ``D /path``, by path, of what lies at or below a directory."""
    from wardian.runtime.changed import changes_of

    top = "/" + below.strip("/")
    found = {
        f"/{change.path.lstrip('/')}": change.kind.docker_letter for change in changes_of(info)
    }
    return [
        f"{letter} {path}"
        for path, letter in sorted(found.items())
        if top in ("/", path) or path.startswith(f"{top}/")
    ]
