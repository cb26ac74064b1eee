"""``%limits``: what the container may use, seen and changed."""

from __future__ import annotations

import argparse
import asyncio

from wardian.jupyter import plain, wording
from wardian.jupyter.magics.base import Call, Magic, Parser, add_limit_options, chosen_limits
from wardian.jupyter.settings import Settings


class LimitsMagic(Magic):
    """Shows the limits; with options changes them, in force at once."""

    name = "limits"
    summary = "Show or change what the container may use."
    example = "  %limits --memory 256m --cpus 0.5 --pids 64 --timeout 30"

    def configure(self, parser: Parser) -> None:
        add_limit_options(parser)
        parser.add_argument("--timeout", metavar="SECONDS", help="time for one cell; 0: unlimited")

    async def run(self, call: Call, options: argparse.Namespace) -> None:
        workspace = call.workspace
        await workspace.launcher()
        chosen = chosen_limits(options)
        settings = workspace.settings.with_words(chosen)
        limits = await asyncio.to_thread(lambda: workspace.limits)
        if chosen.keys() & {"memory", "cpus", "pids"}:
            limits = Settings().with_words(chosen).limits_over(limits)
            for warning in await asyncio.to_thread(workspace.limit, limits):
                call.print(f"warning: {warning}", stream="stderr")
        if "timeout" in chosen:
            workspace.timeout_s = settings.timeout_s
        rows = wording.limits(limits, timeout_s=workspace.timeout_s)
        if workspace.place is not None:
            rows = plain.limits(workspace.place, workspace.timeout_s)
        call.print(wording.table(rows))
