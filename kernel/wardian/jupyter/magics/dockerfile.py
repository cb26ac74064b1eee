"""``%%dockerfile``: build an image from the cell, and tell of each instruction as it is done."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

from wardian.errors import InvalidInput, ProtocolError
from wardian.jupyter.magics.base import Call, Magic, Parser

MAX_EVENT_BYTES = 8 << 20
_UNITS = ("B", "kB", "MB", "GB", "TB")


class DockerfileMagic(Magic):
    """Builds in a process of its own, as the command does; an interrupt ends that."""

    name = "dockerfile"
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
        parser.add_argument("context", nargs="?", default=".", help="the directory COPY sees")

    async def run(self, call: Call, options: argparse.Namespace) -> None:
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "wardian.cli", "build", "--progress=rawjson", "-f", "-"],
            *_flags(options),
            "--",
            options.context,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=MAX_EVENT_BYTES,
        )
        try:
            assert process.stdin is not None
            assert process.stderr is not None
            process.stdin.write(call.body.encode())
            process.stdin.close()
            said = await _follow(call, process.stderr, options.files)
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
        if code:
            raise _refusal(said)


def _flags(options: argparse.Namespace) -> list[str]:
    flags = [part for tag in options.tag for part in ("-t", tag)]
    flags += [part for pair in options.build_arg for part in ("--build-arg", pair)]
    flags += ["--target", options.target] if options.target else []
    return [*flags, "--no-cache"] if options.no_cache else flags


async def _follow(call: Call, stream: asyncio.StreamReader, files: int) -> list[str]:
    """Show the events; what else was said."""
    said: list[str] = []
    async for line in stream:
        try:
            event = json.loads(line) if line.startswith(b"{") else None
        except ValueError as error:
            raise ProtocolError("the build said something impossible") from error
        if isinstance(event, dict):
            if text := told(event, files):
                call.print(text)
        else:
            said.append(line.decode(errors="replace").rstrip("\n"))
    return said


def _refusal(said: list[str]) -> InvalidInput:
    hints = [line.removeprefix("hint: ") for line in said if line.startswith("hint: ")]
    lines = [line for line in said if not line.startswith("hint: ")]
    what = "\n".join(lines).removeprefix("wardian: ") or "the build ended before its time"
    return InvalidInput(what, hint=" ".join(hints))


def told(event: dict[str, Any], files: int) -> str:
    """An event as text: instruction, layer, files, time and size, hit or why not."""
    kind = event["kind"]
    if kind == "start":
        return f"[{event['step']}/{event['steps']}] {event['instruction']}"
    if kind == "output":
        return "".join(f"    | {line}\n" for line in event["text"].splitlines()).rstrip("\n")
    if kind == "warning":
        return f"warning, line {event['line']}: {event['text']} ({event['why']})"
    return f"image {event['text']}" if kind == "image" else _done(event, files)


def _done(event: dict[str, Any], files: int) -> str:
    parts = ["cached" if event.get("cached") else f"{event.get('seconds', 0.0):.2f} s"]
    if layer := event.get("layer"):
        parts += [f"layer {layer[7:19]}", size(event.get("size_bytes", 0))]
    else:
        parts.append("no layer")
    if why := event.get("why"):
        parts.append(f"not cached: {why}")
    lines = [f"    {' · '.join(parts)}"]
    changes = event.get("changes", [])
    lines += [f"      {letter} /{ascii(path)[1:-1]}" for letter, path, _ in changes[:files]]
    if (left := event.get("changes_count", 0) - min(files, len(changes))) > 0:
        lines.append(f"      … {left} more")
    return "\n".join(lines)


def size(number: float) -> str:
    """Bytes in docker's decimal units."""
    for unit in _UNITS:
        if number < 1000 or unit == _UNITS[-1]:
            return f"{number:.4g}{unit}"
        number /= 1000
    raise AssertionError
