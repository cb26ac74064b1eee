"""The two languages of cells, as Jupyter describes them before their runner has spoken."""

from __future__ import annotations

import platform
from importlib.util import find_spec
from typing import Any

from wardian.cells.runner import Language


def language_info(language: Language) -> dict[str, Any]:
    """The ``language_info`` of kernel_info_reply. The toolbox's Python is the host's."""
    if language is Language.PYTHON:
        return {
            "name": "python",
            "version": platform.python_version(),
            "mimetype": "text/x-python",
            "codemirror_mode": {"name": "ipython", "version": 3},
            "pygments_lexer": "ipython3",
            "nbconvert_exporter": "python",
            "file_extension": ".py",
        }
    return {
        "name": "bash",
        "version": "",
        "mimetype": "text/x-sh",
        "codemirror_mode": "shell",
        "pygments_lexer": "bash",
        "file_extension": ".sh",
    }


def features(language: Language) -> frozenset[str]:
    """What kernel_info may promise (JEP 92). The toolbox has the host's debugpy."""
    is_debuggable = language is Language.PYTHON and find_spec("debugpy") is not None
    return frozenset({"debugger"}) if is_debuggable else frozenset()
