"""The forms that an instruction's arguments have, one function each, as in BuildKit's parser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import NoReturn

from wardian.build.faults import DockerfileError
from wardian.build.tree import Node, chain, quoted
from wardian.build.whitespace import SPACES

Attributes = dict[str, bool]
Form = Callable[[str, str], tuple[Node | None, Attributes]]
WHITESPACE = re.compile(r"[\t\v\f\r ]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(r"\s+", re.ASCII)
_JSON_HINT = 'write ["program", "argument"], each in double quotes'


class _NotJson(ValueError):
    """It is not a JSON list at all: then it is the other form."""


def nothing(_rest: str, _escape: str) -> tuple[Node | None, Attributes]:
    """An unknown instruction: found when it is to be run."""
    return Node(), {}


def string(rest: str, _escape: str) -> tuple[Node | None, Attributes]:
    """All of it is one value."""
    return (Node(value=rest) if rest else None), {}


def strings(rest: str, _escape: str) -> tuple[Node | None, Attributes]:
    """Values with white space between."""
    return (chain(WHITESPACE.split(rest)) if rest else None), {}


def json_or_string(rest: str, escape: str) -> tuple[Node | None, Attributes]:
    """A JSON list, or one value."""
    return _json_or(string, rest, escape)


def json_or_strings(rest: str, escape: str) -> tuple[Node | None, Attributes]:
    """A JSON list, or values with white space between."""
    return _json_or(strings, rest, escape)


def _json_or(other: Form, rest: str, escape: str) -> tuple[Node | None, Attributes]:
    if not rest:
        return None, {}
    try:
        return chain(_json_list(rest)), {"json": True}
    except _NotJson:
        return other(rest, escape)


def _refuse(name: str) -> NoReturn:
    raise _NotJson(name)


def _json_list(rest: str) -> list[str]:
    text = _valid(rest.lstrip(SPACES))
    if not text.startswith("["):
        raise _NotJson
    try:
        words = _JSON.decode(text)
    except (ValueError, RecursionError) as error:
        raise _NotJson from error
    if not all(isinstance(word, str) for word in words):
        raise DockerfileError(
            "when using JSON array syntax, arrays must be comprised of strings only",
            hint=_JSON_HINT,
            place=rest,
        )
    return [_valid(word) for word in words]


def _valid(text: str) -> str:
    """What is no Unicode becomes U+FFFD, as Go's decoders have it."""
    return _SURROGATE.sub("\ufffd", text)


# A number is refused whatever its value: reading a long one takes time.
_JSON = json.JSONDecoder(parse_constant=_refuse, parse_int=len, parse_float=len)


def names(rest: str, escape: str) -> tuple[Node | None, Attributes]:
    """NAME or NAME=VALUE, several of them (ARG)."""
    return chain(split_words(rest, escape)), {}


def pairs(name: str) -> Form:
    """NAME=VALUE, several of them; or the old form NAME VALUE (ENV, LABEL)."""

    def parse(rest: str, escape: str) -> tuple[Node | None, Attributes]:
        words = split_words(rest, escape)
        if not words:
            return None, {}
        if "=" not in words[0]:
            key, *value = WHITESPACE.split(rest, maxsplit=1)
            if not value:
                raise DockerfileError(
                    f"{name} must have two arguments",
                    hint=f"write {name} {key[:60]}=VALUE",
                    place=key,
                )
            return chain([key, *value, ""]), {}
        return chain([part for word in words for part in _pair(word, name)]), {}

    return parse


def _pair(word: str, name: str) -> tuple[str, str, str]:
    key, equals, value = word.partition("=")
    if not equals:
        raise DockerfileError(
            f"Syntax error - can't find = in {quoted(word[:60])}. Must be of the form: name=value",
            hint=f"quote a value with blanks: {name} NAME='first second'",
            place=word,
        )
    return key, value, equals


def health(rest: str, escape: str) -> tuple[Node | None, Attributes]:
    """CMD or NONE, and then a command (HEALTHCHECK)."""
    if not rest:
        return None, {}
    kind, *command = _SPACE.split(rest, maxsplit=1)
    node, attributes = json_or_string("".join(command), escape)
    return Node(value=kind, next=node), attributes


def split_words(rest: str, escape: str) -> list[str]:
    """Words with white space between; quotes hold one together and stay in it."""
    words: list[str] = []
    word: list[str] = []
    quote = ""
    chars = iter(_valid(rest))
    for char in chars:
        if not quote and char in SPACES:
            if word:
                words.append("".join(word))
            word = []
            continue
        if char == escape and quote != "'":
            after = next(chars, None)
            if after is None:  # at the end it escapes nothing
                break
            word += (char, after)
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        word.append(char)
    return [*words, "".join(word)] if word else words
