"""The S-expression of a value that JSON can have: each name before what it names."""

from __future__ import annotations

from typing import Any

from wardian.build.tree import quoted


def expression(name: str, document: dict[str, Any]) -> str:
    """The document as ``(name (field value …) …)``, one line for each of its fields."""
    fields = [f"  ({key}{_after_blanks(value)})" for key, value in document.items()]
    return "\n".join([f"({name}", *fields]) + ")"


def _after_blanks(value: Any) -> str:
    if isinstance(value, list):
        return "".join(f" {_shown(each)}" for each in value)
    return f" {_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        inside = " ".join(f"({key}{_after_blanks(each)})" for key, each in value.items())
        return f"({inside})"
    if isinstance(value, str):
        return quoted(value)
    if value is None:
        return "nil"
    return str(value).lower() if isinstance(value, bool) else str(value)
