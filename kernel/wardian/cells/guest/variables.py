"""The user's variables as the debug protocol shows them, while nothing is stopped."""

from __future__ import annotations

import re
import reprlib
from typing import Any, Dict, Iterable, List, Tuple

HIDDEN = frozenset(
    {
        *("__name__", "__doc__", "__package__", "__loader__", "__spec__", "__annotations__"),
        *("__builtins__", "__builtin__", "__display__", "get_ipython", "debugpy"),
        *("exit", "quit", "open", "In", "Out", "_oh", "_dh", "_", "__", "___"),
    }
)
NUMBERED = re.compile(r"_\d|_i")
MAX_CHILDREN = 500


def is_shown(name: str) -> bool:
    """Whether a variable is the user's own and not IPython's."""
    return name not in HIDDEN and not NUMBERED.match(name)


class Variables:
    """Answers what a variable is made of; a number stands for each that has parts."""

    def __init__(self, names: Dict[str, Any]) -> None:
        self._values: List[Any] = []
        self._names = names

    def top(self) -> List[Dict[str, Any]]:
        """The user's variables."""
        shown = [(name, value) for name, value in self._names.items() if is_shown(name)]
        return [self._described(name, value, name) for name, value in shown]

    def children(self, number: int) -> List[Dict[str, Any]]:
        """The parts of the value that this number stands for."""
        if not 0 < number <= len(self._values):
            return []
        value, path = self._values[number - 1]
        return [self._described(name, part, path + where) for name, part, where in parts(value)]

    def _described(self, name: str, value: Any, path: str) -> Dict[str, Any]:
        number = 0
        if next(iter(parts(value)), None) is not None:
            self._values.append((value, path))
            number = len(self._values)
        return {
            "name": name,
            "value": short(value),
            "type": type(value).__name__,
            "evaluateName": path,
            "variablesReference": number,
        }


def parts(value: Any) -> Iterable[Tuple[str, Any, str]]:
    """Name, value and way to each part of a container or of an object with attributes."""
    if isinstance(value, dict):
        items = list(value.items())[:MAX_CHILDREN]
        return [(short(key), part, f"[{key!r}]") for key, part in items]
    if isinstance(value, (list, tuple)):
        return [(str(n), part, f"[{n}]") for n, part in enumerate(value[:MAX_CHILDREN])]
    if isinstance(value, (set, frozenset)):
        return [(str(n), part, "") for n, part in enumerate(list(value)[:MAX_CHILDREN])]
    attributes = getattr(value, "__dict__", None)
    if isinstance(value, type) or not isinstance(attributes, dict):
        return []
    return [(name, part, "." + name) for name, part in list(attributes.items())[:MAX_CHILDREN]]


def short(value: Any) -> str:
    """A repr that is not long and does not fail."""
    try:
        return reprlib.repr(value)
    except Exception as error:
        return f"<{type(value).__name__} has no repr: {type(error).__name__}>"
