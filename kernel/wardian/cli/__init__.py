"""The ``wardian`` command: docker's words and flags, over the runtime's client."""

from __future__ import annotations

import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line of this process and exit with its code."""
    import gc

    # What is imported stays: to look for garbage in it meanwhile takes a tenth of a short command.
    gc.set_threshold(200_000)
    from wardian.cli.program import run
    from wardian.linux.exit import leave

    leave(run(sys.argv[1:]))
