"""``%%dockerfile``: build an image from the cell, and tell of each instruction as it is done."""

from __future__ import annotations

import argparse
import asyncio
import sys
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from wardian.build.progress import Event, listed
from wardian.errors import InvalidInput
from wardian.jupyter.magics.base import Call, Magic, Parser
from wardian.observe.quantities import decimal_size

if TYPE_CHECKING:
    from wardian.widgets.view import BuildView

MAX_EVENT_BYTES = 8 << 20


class DockerfileMagic(Magic):
    """Builds in a process of its own, as the command does; an interrupt ends that."""

    name = "dockerfile"
    needs_container = True
    is_cell = True
    summary = "Build an image from this cell's Dockerfile."
    example = "  %%dockerfile -t web\n  FROM wardian/base\n  CMD echo hello"

    def configure(self, parser: Parser) -> None:
        parser.add_argument("-t", "--tag", action="append", default=[], metavar="NAME")
        parser.add_argument("--target", metavar="STAGE", help="build up to this stage")
        parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
        parser.add_argument("--no-cache", action="store_true", help="run everything again")
        parser.add_argument(
            "--files", type=int, default=6, metavar="COUNT", help="how many files to list a layer"
        )
        parser.add_argument(
            "--details", action="store_true", help="with times and layers, which differ every time"
        )
        parser.add_argument(
            "--view", action="store_true", help="to look into while it goes on, instead of as text"
        )
        parser.add_argument("context", nargs="?", default=".", help="the directory COPY sees")

    async def run(self, call: Call, options: argparse.Namespace) -> None:
        process = await asyncio.create_subprocess_exec(
            # One stage after another: the same notebook gives the same outputs.
            *[sys.executable, "-P", "-m", "wardian.cli", "build", "--progress=rawjson", "--jobs=1"],
            *["-f", "-"],
            *_flags(options),
            "--",
            options.context,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=MAX_EVENT_BYTES,
        )
        shown, problem = _Shown.under(call, options), "the build was interrupted"
        try:
            assert process.stdin is not None
            assert process.stderr is not None
            process.stdin.write(call.body.encode())
            process.stdin.close()
            said = await _follow(call, process.stderr, options, shown)
            code = await process.wait()
            problem = _refusal(said).what if code else ""
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
            if shown is not None:
                shown.end(problem)
        if code:
            raise _refusal(said)


class _Shown:
    """The view of a build under its cell. In the end it is displayed anew, with its last state."""

    def __init__(self, call: Call, view: BuildView) -> None:
        self.view = view
        self._call = call
        self._display_id = uuid.uuid4().hex
        self._display(again=False)

    @classmethod
    def under(cls, call: Call, options: argparse.Namespace) -> _Shown | None:
        """One, if it is wanted and can be had: the views need anywidget."""
        if not options.view:
            return None
        name = options.tag[0] if options.tag else "image"
        command = ["wardian", "build", *_flags(options), "-f", "-", options.context]
        with suppress(ImportError):
            from wardian import widgets

            return cls(call, widgets.build(name, command))
        return None

    def end(self, problem: str) -> None:
        """What is saved with the notebook is how it ended."""
        self.view.end(problem)
        self._display(again=True)

    def _display(self, *, again: bool) -> None:
        bundle: Any = self.view._repr_mimebundle_()
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        self._call.display(data, metadata, display_id=self._display_id, again=again)


def _flags(options: argparse.Namespace) -> list[str]:
    flags = [part for tag in options.tag for part in ("-t", tag)]
    flags += [part for pair in options.build_arg for part in ("--build-arg", pair)]
    flags += ["--target", options.target] if options.target else []
    return [*flags, "--no-cache"] if options.no_cache else flags


async def _follow(
    call: Call,
    stream: asyncio.StreamReader,
    options: argparse.Namespace,
    shown: _Shown | None,
) -> list[str]:
    """Show the events; what else was said."""
    said: list[str] = []
    async for line in stream:
        if not line.startswith(b"{"):
            said.append(line.decode(errors="replace").rstrip("\n"))
        elif shown is not None:
            shown.view.take(Event.from_json(line))
        elif text := told(Event.from_json(line), options.files, with_details=options.details):
            call.print(text)
    return said


def _refusal(said: list[str]) -> InvalidInput:
    hints = [line.removeprefix("hint: ") for line in said if line.startswith("hint: ")]
    lines = [line for line in said if not line.startswith("hint: ")]
    what = "\n".join(lines).removeprefix("wardian: ") or "the build ended before its time"
    return InvalidInput(what, hint=" ".join(hints))


def told(event: Event, files: int, *, with_details: bool = False) -> str:
    """An event as text: instruction, hit or why not, files and their size.

    Without ``with_details``, which adds time and layer, it is the same on every run.
    """
    if event.kind == "start":
        stage = f"{event.stage} " if event.stage else ""
        return f"[{stage}{event.step}/{event.steps}] {event.instruction}"
    if event.kind == "output":
        return "\n".join(f"    | {line}" for line in event.text.splitlines())
    if event.kind == "warning":
        return f"warning, line {event.line}: {event.text} ({event.why})"
    if event.kind == "image":
        return f"image {event.text}"
    return _done(event, files, with_details=with_details)


def _done(event: Event, files: int, *, with_details: bool) -> str:
    parts = ["cached"]
    if not event.cached:
        parts = [f"not cached: {event.why}", _layer(event) if event.layer else "no layer"]
    if with_details:
        parts.append(f"{event.seconds:.2f} s")
        parts += [event.layer[7:19]] if event.layer else []
    lines = [f"    {' · '.join(parts)}", *(f"      {line}" for line in listed(event, files))]
    return "\n".join(lines)


def _layer(event: Event) -> str:
    """What its files come to; the archive's size depends on the precision of their times."""
    if event.changes_count > len(event.changes):
        return f"layer of {decimal_size(event.size_bytes)}"
    return f"layer of {decimal_size(sum(size for _, _, size in event.changes))}"
