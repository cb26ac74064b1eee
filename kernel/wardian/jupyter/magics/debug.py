"""``%%debug``: look into a container with this machine's programs, whatever its image has."""

from __future__ import annotations

import argparse
import asyncio
import codecs
import os
import selectors
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from wardian.errors import CommandFailed, WardianError
from wardian.jupyter.magics.base import Call, Magic, Parser
from wardian.runtime import debugging
from wardian.runtime.client import Client
from wardian.runtime.state import new_id

if TYPE_CHECKING:
    from wardian.runtime.messages import ContainerInfo

_CHUNK_BYTES = 1 << 16
Say = Callable[[str, str], None]


class Debug(Magic):
    """A shell in the container's namespaces that needs nothing of its image."""

    name = "debug"
    needs_container = True
    is_cell = True
    summary = "Run this cell's shell beside the container, with this machine's programs."
    example = f"  %%debug\n  ip addr; ss -tlnp; ls {debugging.TARGET}"

    def configure(self, parser: Parser) -> None:
        parser.add_argument("--on", metavar="NAME", help="beside another container")
        parser.add_argument(
            "--cap-add", action="append", default=[], metavar="CAP", help="one capability more"
        )

    async def run(self, call: Call, options: argparse.Namespace) -> None:
        workspaces = call.kernel.workspaces
        workspace = await workspaces.get(options.on) if options.on else call.workspace
        await workspace.launcher()
        info = await asyncio.to_thread(lambda: workspace.container.info)
        root = workspace.container.client.root
        loop = asyncio.get_running_loop()

        def say(name: str, text: str) -> None:
            content = {"name": name, "text": text}
            loop.call_soon_threadsafe(call.kernel.publish, "stream", content, call.request.parent)

        def work() -> int:
            with Client.connect(root) as client:
                return _run(client, info, call.body, options.cap_add, say)

        code = await asyncio.to_thread(work)
        if code:
            raise CommandFailed(f"%%debug: the commands ended with {code}", exit_code=code)


def _run(
    client: Client, target: ContainerInfo, script: str, capabilities: Sequence[str], say: Say
) -> int:
    """Blocks until the script has ended; the exit code. The client's end ends it, too."""
    from wardian.images.resolve import resolve
    from wardian.images.store import ImageStore

    image = resolve(ImageStore(client.root), debugging.IMAGE)
    spec = debugging.beside(
        target,
        tuple(map(str, image.layer_directories)),
        ("bash", "-c", script),
        name=f"debug-{new_id()[:12]}",
        capabilities=capabilities,
    )
    container = client.run(spec, attach=True)
    try:
        _relay(container.streams, say)
        return container.wait()
    finally:
        with suppress(WardianError):
            container.remove(force=True)


def _relay(streams: Sequence[int], say: Say) -> None:
    """Stdout and stderr, as they come, until both have ended."""
    decoders = [codecs.getincrementaldecoder("utf-8")("replace") for _ in streams]
    with selectors.DefaultSelector() as selector:
        for number, fd in enumerate(streams):
            selector.register(fd, selectors.EVENT_READ, number)
        while selector.get_map():
            for key, _ in selector.select():
                data = os.read(key.fd, _CHUNK_BYTES)
                if text := decoders[key.data].decode(data, not data):
                    say(("stdout", "stderr")[key.data], text)
                if not data:
                    selector.unregister(key.fd)
                    os.close(key.fd)
