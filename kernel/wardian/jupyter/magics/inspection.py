"""``%inspect`` and ``%logs``: what the runtime knows of the container."""

from __future__ import annotations

import argparse
import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from wardian.jupyter import plain
from wardian.jupyter.magics.base import Call, Magic, Parser
from wardian.runtime import logs
from wardian.runtime.messages import ContainerInfo


class Inspect(Magic):
    """The container's facts as JSON."""

    name = "inspect"
    summary = "Show the container's facts as JSON."

    def configure(self, parser: Parser) -> None:
        parser.add_argument(
            "--all", action="store_true", help="also ids, pids, paths and times, which vary"
        )

    async def run(self, call: Call, options: argparse.Namespace) -> None:
        await call.workspace.launcher()
        if (place := call.workspace.place) is not None:
            facts = plain.inspection(place, varying=options.all)
            call.print(json.dumps(facts, indent=2, ensure_ascii=False))
            return
        info = await asyncio.to_thread(lambda: call.workspace.container.info)
        facts = msgspec.to_builtins(info) if options.all else _stable(info, call.workspace.name)
        call.print(json.dumps(facts, indent=2, ensure_ascii=False, sort_keys=True))


def _stable(info: ContainerInfo, name: str) -> dict[str, Any]:
    """What is the same whenever the container is made in the same way."""
    spec = info.spec
    return {
        "name": name,
        "image": info.image,
        "status": info.status.value,
        "hostname": spec.hostname,
        "layers": len(info.lowers),
        "limits": msgspec.to_builtins(spec.limits),
        "network": spec.network.value,
        "user_namespace": spec.user_namespace.value,
        "read_only": spec.read_only,
        "seccomp": spec.seccomp,
        "cap_add": list(spec.cap_add),
        "cap_drop": list(spec.cap_drop),
        "warnings": list(info.warnings),
    }


class Logs(Magic):
    """What the container's main process printed."""

    name = "logs"
    needs_container = True
    summary = "Show what the container's main process printed."

    def configure(self, parser: Parser) -> None:
        parser.add_argument("-n", "--tail", type=int, metavar="LINES", help="only the last lines")
        parser.add_argument("-t", "--timestamps", action="store_true", help="with times")

    async def run(self, call: Call, options: argparse.Namespace) -> None:
        await call.workspace.launcher()
        info = await asyncio.to_thread(lambda: call.workspace.container.info)
        entries = await asyncio.to_thread(lambda: list(logs.read(Path(info.log_directory))))
        if options.tail is not None:
            entries = entries[-options.tail :] if options.tail > 0 else []
        for entry in entries:
            moment = datetime.fromtimestamp(entry.time, UTC).isoformat(timespec="milliseconds")
            text = f"{moment} {entry.log}" if options.timestamps else entry.log
            call.print(text, stream="stderr" if entry.stream == "stderr" else "stdout")
        if not entries:
            call.print("the container's main process has printed nothing")
