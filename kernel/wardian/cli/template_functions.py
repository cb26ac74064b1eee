"""The functions of templates: docker's (``json``, ``join``, …) and Go's (``eq``, ``index``, …)."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wardian.errors import InvalidInput

Thunk = Callable[[], Any]
_VERB = re.compile(r"%([-+ 0#]*[0-9]*(?:\.[0-9]+)?)([a-zA-Z%])")


def plain(value: Any) -> str:
    """A value as text: what is no scalar as JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    return _json(value)


def is_true(value: Any) -> bool:
    """Go's truth: false, 0, nothing and what is empty are not."""
    return bool(value)


def _json(value: Any) -> str:
    return json.dumps(as_data(value), ensure_ascii=False)


def as_data(value: Any) -> Any:
    """Without the methods that some rows have for templates."""
    if isinstance(value, Mapping):
        return {key: as_data(one) for key, one in value.items() if not callable(one)}
    return value


def _index(value: Any, *keys: Any) -> Any:
    """Go's: a key that a map has not is its empty value, a number beyond a list an error."""
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key, "")
        elif isinstance(key, int) and 0 <= key < len(value):
            value = value[key]
        else:
            raise InvalidInput(f"no such element in the template: {plain(key)[:40]}")
    return value


def _printf(form: str, *values: Any) -> str:
    left = list(values)

    def put(verb: re.Match[str]) -> str:
        flags, letter = verb.groups()
        if letter == "%":
            return "%"
        value = left.pop(0)
        if letter in "dxXofeEgG":
            return str(f"%{flags}{letter}" % value)
        text = json.dumps(plain(value), ensure_ascii=False) if letter == "q" else plain(value)
        return f"%{flags}s" % text

    try:
        return _VERB.sub(put, form)
    except (IndexError, TypeError, ValueError):
        raise InvalidInput(f"printf has not the values for {form[:40]!r}") from None


def _print(*values: Any) -> str:
    """Go's Sprint: a blank between two of which neither is a string."""
    text = ""
    for number, value in enumerate(values):
        both = (value, values[number - 1])
        between = " " if number and not any(isinstance(one, str) for one in both) else ""
        text += between + plain(value)
    return text


def _equal(first: Any, *others: Any) -> bool:
    return any(first == other for other in others)


def _and(values: Sequence[Thunk]) -> Any:
    value: Any = None
    for thunk in values:
        if not is_true(value := thunk()):
            break
    return value


def _or(values: Sequence[Thunk]) -> Any:
    value: Any = None
    for thunk in values:
        if is_true(value := thunk()):
            break
    return value


# What does not need all its arguments.
LAZY: Mapping[str, Callable[[Sequence[Thunk]], Any]] = {"and": _and, "or": _or}

FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "json": _json,
    "join": lambda values, separator: separator.join(map(plain, values)),
    "split": lambda text, separator: text.split(separator),
    "title": lambda text: plain(text).title(),
    "lower": lambda text: plain(text).lower(),
    "upper": lambda text: plain(text).upper(),
    "pad": lambda text, before, after: f"{' ' * before}{plain(text)}{' ' * after}",
    "truncate": lambda text, length: plain(text)[:length],
    "len": lambda value: 0 if isinstance(value, int | float | None) else len(value),
    "index": _index,
    "slice": lambda value, *ends: value[slice(*ends)] if len(ends) > 1 else value[ends[0] :],
    "not": lambda value: not is_true(value),
    "eq": _equal,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "print": _print,
    "println": lambda *values: " ".join(map(plain, values)) + "\n",
    "printf": _printf,
}
