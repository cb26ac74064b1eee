"""The line of a Dockerfile that a step of an image's history came from."""

from __future__ import annotations

import re

_MOST_READ = 20_000
_NOP = re.compile(r"^/bin/sh -c #\(nop\) +")
_SHELL = re.compile(r"^(/bin/sh -c|/bin/bash -c) ")


def instruction(created_by: str) -> str:
    """The Dockerfile's line of a history entry, as docker and BuildKit write them."""
    text = created_by[:_MOST_READ].strip().removesuffix("# buildkit").rstrip()
    if _NOP.match(text):
        return _NOP.sub("", text)
    if _SHELL.match(text):
        return _SHELL.sub("RUN ", text)
    return re.sub(r"^RUN (\|\d+ .*? )?/bin/sh -c ", "RUN ", text)
