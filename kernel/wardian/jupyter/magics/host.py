"""``%%host``: run a cell on the host, in the kernel process."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from wardian.jupyter.magics.base import OK, Call, Magic, Parser, Reply

if TYPE_CHECKING:
    from wardian.jupyter.host_shell import HostShell


class Host(Magic):
    """Python outside the container, with all rights of the kernel's user."""

    name = "host"
    is_cell = True
    summary = "Run this cell as Python on the host, outside of every container."
    example = "  %%host\n  import os; os.uname().nodename"

    def __init__(self) -> None:
        self._shell: HostShell | None = None

    def configure(self, parser: Parser) -> None:
        """It takes no options."""

    async def run(self, call: Call, _options: argparse.Namespace) -> Reply:
        if not call.body.strip():
            return dict(OK)
        if self._shell is None:
            from wardian.jupyter.host_shell import HostShell

            self._shell = HostShell(call.kernel)
        return await self._shell.run(call.request, call.body)
