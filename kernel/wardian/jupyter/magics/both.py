"""``%%both``: the same command on the host and in the container, side by side."""

from __future__ import annotations

import argparse
import asyncio
import html

from wardian.cells.runner import Language
from wardian.jupyter import plain
from wardian.jupyter.magics.base import OK, Call, Magic, Parser, Reply
from wardian.jupyter.request import Capture


class Both(Magic):
    """Shows what isolation changes: each side's output under its name."""

    name = "both"
    is_cell = True
    summary = "Run this cell's shell commands on the host and in the container."
    example = "  %%both\n  hostname; ls /"

    def configure(self, parser: Parser) -> None:
        parser.add_argument("--on", metavar="NAME", help="in another container")

    async def run(self, call: Call, options: argparse.Namespace) -> Reply:
        if options.on:
            call = call.elsewhere(workspace=await call.kernel.workspaces.get(options.on))
        host, inside = await _on_host(call.body), await _in_container(call)
        name = call.workspace.name if call.workspace.place is None else plain.NAME
        sides = [("host", host), (name, inside)]
        text_form = "\n\n".join(f"── {name} ──\n{text.rstrip()}".rstrip() for name, text in sides)
        cells = "".join(
            '<td style="vertical-align: top; text-align: left">'
            f"<b>{html.escape(name)}</b><pre>{html.escape(text.rstrip())}</pre></td>"
            for name, text in sides
        )
        call.display({"text/plain": text_form, "text/html": f"<table><tr>{cells}</tr></table>"})
        return dict(OK)


async def _on_host(commands: str) -> str:
    """Both streams together, and a status that is not 0."""
    process = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        commands,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    text = output.decode(errors="replace")
    return text if process.returncode == 0 else f"{text}[exit status {process.returncode}]\n"


async def _in_container(call: Call) -> str:
    capture = call.request.capture = Capture()
    try:
        inside = call.elsewhere(language=Language.SHELL)
        # A subshell, so that `exit` ends only this, as it does on the host.
        reply = await inside.run_code(f"(\n{call.body}\n)", stores_history=False)
    finally:
        call.request.capture = None
    text = capture.of("stdout") + capture.of("stderr")
    if reply["status"] == "ok":
        return text
    status = reply.get("exit_status")
    return f"{text}[exit status {status}]\n" if status else f"{text}[{reply.get('evalue')}]\n"
