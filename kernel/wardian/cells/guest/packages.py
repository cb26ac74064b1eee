"""Packages that a cell installed can be imported at once."""

from __future__ import annotations

import importlib
import os
import site
import sys


def use_new_packages() -> None:
    """Put pip's directory on ``sys.path`` once it is there.

    Python does so at its start only, and then before the site directories; so do we.
    """
    folder = site.getusersitepackages()
    if not site.ENABLE_USER_SITE or folder in sys.path or not os.path.isdir(folder):
        return
    before = list(sys.path)
    site.addsitedir(folder)
    added = [entry for entry in sys.path if entry not in before]
    at = next((n for n, entry in enumerate(before) if entry.endswith("-packages")), len(before))
    sys.path[:] = before[:at] + added + before[at:]
    importlib.invalidate_caches()
