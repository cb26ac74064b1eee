"""``python -m wardian.jupyter -f connection.json``: start a kernel.

The container and the interpreter in it are started first; while they start, this process
imports the libraries that it needs to talk to the page.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from wardian.cells.runner import Language
from wardian.jupyter.connection_file import connection_file
from wardian.jupyter.deferred import defer
from wardian.jupyter.parent import ParentEnded, open_parent
from wardian.jupyter.workspaces import Workspaces
from wardian.linux.exit import leave

# While libraries are imported in one thread, the loop's thread has short but urgent work.
SWITCH_INTERVAL_S = 0.0005
FIRST_S = 0.2


async def serve(file: Path, language: Language, parent: int | None) -> None:
    """Run a kernel until it is told to end."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    workspaces = Workspaces.of_kernel(
        session_name=os.environ.get("JPY_SESSION_NAME", ""), kernel_name=file.stem
    )
    workspaces.begin(language)
    connection = await asyncio.to_thread(import_module, "wardian.jupyter.connection")
    bound = connection.Sockets.bind(connection.Connection.of(file))  # the page can connect now
    # The interpreter in the container shall not wait for our imports. A first start, which makes
    # the image, takes longer than the page should wait for an answer.
    with suppress(TimeoutError):
        await asyncio.wait_for(workspaces.main.spawned.wait(), FIRST_S)
    # ipykernel's base class wants one exception of IPython's, and gets it without all the rest.
    for package in ("IPython", "ipykernel", "jupyter_client"):
        defer(package)
    app = await asyncio.to_thread(import_module, "wardian.jupyter.app")
    sys.setswitchinterval(usual)
    gc.enable()
    gc.freeze()  # what was imported stays: no collection need look at it
    app.set_up_log()
    await app.KernelApp(file, bound, workspaces, language, parent).run()


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, which kernel.json writes."""
    try:
        parent = open_parent()
    except ParentEnded:
        return
    gc.disable()  # imports make hardly any garbage, and much to look at
    words = sys.argv[1:] if arguments is None else arguments
    language = Language.SHELL if "--language=shell" in words else Language.PYTHON
    asyncio.run(serve(connection_file(words), language, parent))
    leave()


if __name__ == "__main__":
    main()
