"""Images and toolboxes that a machine's users share: made once by its administrator, never changed.

``WARDIAN_SHARED`` names a state directory of root's, which is only read: layers in it are lower
layers, which no container can write. What is in it need not be in a user's own. It has to be
shown with the user's ids (an id-mapped mount, as `wardian.jupyter.hub` makes): a container's root
is the user, and a file of nobody's could not be copied up.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SHARED = "WARDIAN_SHARED"
_OTHERS_MAY_WRITE = 0o022


def shared_root(own: Path) -> Path | None:
    """The shared state directory, if there is one beside our own that nobody else could write."""
    word = os.environ.get(SHARED)
    if not word or Path(word) == own:
        return None
    with suppress(OSError):
        status = os.stat(word)
        if status.st_uid in (0, os.geteuid()) and not status.st_mode & _OTHERS_MAY_WRITE:
            return Path(word)
    return None
