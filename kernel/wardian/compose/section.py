"""A mapping of a compose file, read key by key; what nobody has read is refused by its name."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from wardian.compose.document import Document, Key
from wardian.errors import InvalidInput

Scalar = str | int | float | bool


class Section:
    """Raises InvalidInput, with the place, for what is not as it has to be."""

    def __init__(self, document: Document, key: Key, values: object) -> None:
        self._document = document
        self.key = key
        if values is None:
            values = {}
        if not isinstance(values, Mapping):
            raise self.fault("it is no mapping", "write NAME: VALUE below it")
        self._values: dict[str, Any] = dict(values)
        self._left = {name for name in self._values if not name.startswith("x-")}

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def fault(self, what: str, hint: str = "", *more: str) -> InvalidInput:
        """What is wrong, and where."""
        return InvalidInput(f"{self._document.place((*self.key, *more))}: {what}", hint=hint)

    def take(self, name: str) -> Any:
        """The value, of whatever kind; None if there is none."""
        self._left.discard(name)
        return self._values.get(name)

    def done(self) -> None:
        """Refuse what was not taken."""
        if self._left:
            name = min(self._left, key=list(self._values).index)
            raise self.fault("this key is not supported", "take it out, or write it as x-…", name)

    def section(self, name: str) -> Section:
        """A mapping below this one."""
        return Section(self._document, (*self.key, name), self.take(name))

    def below(self, values: object, *names: str) -> Section:
        """The same of a value that was taken."""
        return Section(self._document, (*self.key, *names), values)

    def sections(self, name: str) -> Iterator[tuple[str, Section]]:
        """The mappings by name below this one."""
        whole = self.section(name)
        for one in whole.names():
            yield one, whole.section(one)

    def items_by_name(self) -> Iterator[tuple[str, Any]]:
        """The keys with their values, but for extensions."""
        return ((name, self._values[name]) for name in self.names())

    def names(self) -> list[str]:
        """The keys, but for extensions."""
        return [name for name in self._values if not name.startswith("x-")]

    def text(self, name: str, default: str = "") -> str:
        """A word or number, as text."""
        value = self.take(name)
        if value is None:
            return default
        return self._text(value, name)

    def _text(self, value: object, *name: str) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if not isinstance(value, str | int | float):
            raise self.fault("it is no text", "", *name)
        return f"{value:g}" if isinstance(value, float) else str(value)

    def switch(self, name: str) -> bool:
        """True or false."""
        value = self.take(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        if str(value).lower() in ("true", "false"):
            return str(value).lower() == "true"
        raise self.fault("it is neither true nor false", "", name)

    def number(self, name: str) -> int | None:
        """A whole number of 0 or more."""
        word = self.text(name)
        if word and not (word.isascii() and word.isdigit()):
            raise self.fault(f"it is no number: {word[:40]!r}", "", name)
        return int(word) if word else None

    def duration_s(self, name: str) -> float | None:
        """A time such as ``1m30s``, in seconds."""
        from wardian.cli.words import duration_s

        word = self.text(name)
        if not word:
            return None
        try:
            return duration_s(word)
        except InvalidInput as error:
            raise self.fault(error.what, error.hint, name) from error

    def items(self, name: str) -> list[Any]:
        """A list of anything; a single value is a list of one."""
        value = self.take(name)
        if value is None:
            return []
        return list(value) if isinstance(value, list) else [value]

    def words(self, name: str) -> list[str]:
        """A list of texts; a single one is a list of one."""
        return [self._text(one, name, str(n)) for n, one in enumerate(self.items(name))]

    def command(self, name: str) -> list[str] | None:
        """A list of words, or a line that is split as a shell would."""
        value = self.take(name)
        if value is None:
            return None
        if isinstance(value, list):
            return [self._text(one, name) for one in value]
        try:
            return shlex.split(self._text(value, name))
        except ValueError as error:
            raise self.fault(str(error).lower(), "close the quotation", name) from error

    def pairs(self, name: str) -> dict[str, str | None]:
        """A mapping, or a list of ``NAME=value``; None where there is no value."""
        value = self.take(name)
        if value is None:
            return {}
        if isinstance(value, Mapping):
            return {
                key: None if one is None else self._text(one, name, key)
                for key, one in value.items()
            }
        if not isinstance(value, list):
            raise self.fault("it is neither a mapping nor a list", "", name)
        found: dict[str, str | None] = {}
        for one in value:
            key, equals, text = self._text(one, name).partition("=")
            found[key] = text if equals else None
        return found
