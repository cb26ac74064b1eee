"""Variables in compose files: ``$NAME``, ``${NAME:-default}`` and their kin (compose-spec, 12)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from wardian.errors import InvalidInput

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")
MAX_DEPTH = 16


def interpolated(text: str, variables: Mapping[str, str], *, depth: int = 0) -> str:
    """The text with its variables filled in; ``$$`` is a dollar. Raises InvalidInput."""
    if depth > MAX_DEPTH:
        raise InvalidInput("variables are nested too deeply")
    found: list[str] = []
    at = 0
    while (dollar := text.find("$", at)) >= 0:
        found.append(text[at:dollar])
        if text.startswith("$$", dollar):
            found.append("$")
            at = dollar + 2
        elif text.startswith("${", dollar):
            end = _end(text, dollar + 2)
            found.append(_value(text[dollar + 2 : end], variables, depth))
            at = end + 1
        elif name := _NAME.match(text, dollar + 1):
            found.append(variables.get(name[0], ""))
            at = name.end()
        else:
            raise _strange(text)
    return "".join([*found, text[at:]])


def _end(text: str, at: int) -> int:
    """Where the brace closes that was opened before."""
    depth = 1
    while at < len(text):
        if text.startswith("${", at):
            depth += 1
            at += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    raise _strange(text)


def _value(inside: str, variables: Mapping[str, str], depth: int) -> str:
    name = _NAME.match(inside)
    if name is None:
        raise _strange(inside)
    rest = inside[name.end() :]
    value = variables.get(name[0])
    if not rest:
        return value or ""
    operator = next((one for one in _OPERATORS if rest.startswith(one)), None)
    if operator is None:
        raise _strange(inside)
    is_there = bool(value) if operator[0] == ":" else value is not None
    if operator[-1] == "+":
        is_there = not is_there
    if is_there:
        return (value or "") if operator[-1] != "+" else ""
    word = interpolated(rest[len(operator) :], variables, depth=depth + 1)
    if operator[-1] == "?":
        raise InvalidInput(
            f"the variable {name[0]} is not set{': ' if word else ''}{word[:200]}",
            hint=f"set {name[0]} in the environment or in .env",
        )
    return word


def _strange(text: str) -> InvalidInput:
    return InvalidInput(
        f"not a variable: {text[:80]!r}", hint="write ${NAME}, ${NAME:-default}, or $$ for a dollar"
    )
