"""``%containers``: a list of containers, live."""

from __future__ import annotations

import argparse
import asyncio

from wardian.jupyter import wording
from wardian.jupyter.magics.base import Call, Magic, Parser
from wardian.jupyter.magics.view import show_made

HEADS = ("NAME", "IMAGE", "STATUS")


class Containers(Magic):
    """Those of the notebook, or all."""

    name = "containers"
    needs_container = True
    summary = "Show this notebook's containers, live: how each is, and what it uses."
    example = "  %containers --all"

    def configure(self, parser: Parser) -> None:
        parser.add_argument("--all", action="store_true", help="all containers of this machine")
        parser.add_argument("--text", action="store_true", help="text only")

    async def run(self, call: Call, options: argparse.Namespace) -> None:
        from wardian.observe.listing import Choice

        await call.workspace.launcher()
        source = call.workspace.source
        root = source.client.root
        choice = (
            Choice(root=root, name="this machine")
            if options.all
            else Choice(root=root, name="this notebook", notebook=source.label)
        )
        infos = await asyncio.to_thread(lambda: choice.of(source.client.list()))
        rows = [(choice.name_of(info), info.image, info.status.value) for info in infos]
        text = wording.table([HEADS, *rows])
        if options.text:
            call.print(text)
            return
        forms = {"text/plain": text}
        period_s = call.workspace.settings.refresh_s
        show_made(call, lambda made: made.containers(choice, period_s=period_s), forms, forms)
