"""Which connection file a command line names; without imports, for the start-up path."""

from __future__ import annotations

import os
from pathlib import Path


def connection_file(words: list[str]) -> Path:
    """The file after ``-f`` or ``--f=``; without it one of our own in Jupyter's runtime directory.

    A name without a directory is looked for in the runtime directory too, as ipykernel does.
    """
    named = ""
    for number, word in enumerate(words):
        if word == "-f" and number + 1 < len(words):
            named = words[number + 1]
        elif word.startswith(("-f=", "--f=")):
            named = word.partition("=")[2]
    path = Path(named or f"kernel-{os.getpid()}.json")
    if path.is_absolute() or (named and path.exists()):
        return path
    from jupyter_core.paths import jupyter_runtime_dir

    return Path(jupyter_runtime_dir()) / path
