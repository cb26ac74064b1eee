"""All magics by name; each module is imported when its magic is first used."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from wardian.jupyter.magics import CELL_MAGICS, LINE_MAGICS
from wardian.jupyter.magics.base import Magic

_WHERE = {
    "both": ("both", "Both"),
    "container": ("container", "ContainerMagic"),
    "containers": ("containers", "Containers"),
    "debug": ("debug", "Debug"),
    "diff": ("files", "Diff"),
    "dockerfile": ("dockerfile", "DockerfileMagic"),
    "host": ("host", "Host"),
    "image": ("image", "ImageMagic"),
    "inspect": ("inspection", "Inspect"),
    "layers": ("files", "Layers"),
    "limits": ("limits", "LimitsMagic"),
    "logs": ("inspection", "Logs"),
    "net": ("network", "Net"),
    "on": ("on", "On"),
    "ps": ("processes", "Ps"),
    "python": ("on", "Python"),
    "record": ("record", "Record"),
    "sh": ("on", "Shell"),
    "stats": ("resources", "Stats"),
}


@cache
def magic(name: str) -> Magic:
    """The magic of this name, which must be one of ours."""
    module, kind = _WHERE[name]
    made = getattr(import_module(f"wardian.jupyter.magics.{module}"), kind)()
    assert isinstance(made, Magic)
    return made


def all_magics() -> list[Magic]:
    """Every magic, by name."""
    return [magic(name) for name in sorted(LINE_MAGICS + CELL_MAGICS)]
