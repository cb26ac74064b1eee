"""Words and variables of a Dockerfile: ``$v``, ``${v:-x}`` and the rest, as BuildKit's shell.Lex.

Not a shell: there are quotes, the escape character, variables with modifiers, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from wardian.build.faults import DockerfileError

_SPECIAL = "@*#?-$!0123456789"
_Change = Callable[[str], str]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MODIFIERS = "`${v}`, `${v:-x}`, `${v:+x}`, `${v:?x}`, `${v#p}`, `${v%p}` and `${v/a/b}`"


@dataclass(slots=True, kw_only=True)
class Expander:
    """Replaces variables in words.

    ``raw`` leaves quotes and escapes where they are; ``keep_unset`` leaves variables that have
    no value. ``unset`` gathers the names that had none.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    escape: str = "\\"
    raw: bool = False
    keep_unset: bool = False
    unset: set[str] = field(default_factory=set)

    def word(self, text: str) -> str:
        """The text as one word. Raises DockerfileError."""
        return _Scanner(self, text).run()[0]

    def words(self, text: str) -> list[str]:
        """The text split where there is white space outside of quotes. Raises DockerfileError."""
        return _Scanner(self, text).run()[1]

    def heredoc(self, text: str) -> str:
        """A here-document's text: quotes mean nothing in it. Raises DockerfileError."""
        result, at = "", 0
        while at < len(text):
            char = text[at]
            if char == self.escape and text[at + 1 : at + 2] in ("$", self.escape):
                result, at = result + text[at + 1], at + 2
            elif char == "$":
                scanner = _Scanner(self, text, at)
                result, at = result + scanner.dollar(), scanner.at
            else:
                result, at = result + char, at + 1
        return result


class _Scanner:
    def __init__(self, expander: Expander, text: str, at: int = 0) -> None:
        self._x = expander
        self._text = text
        self.at = at
        self._words: list[str] = []
        self._word = ""
        self._in_word = False

    def run(self) -> tuple[str, list[str]]:
        try:
            whole = self._until("", raw=self._x.raw)
        except RecursionError:
            raise DockerfileError(
                "variables are nested too deeply", hint="give the inner ones a name with ARG"
            ) from None
        if self._in_word:
            self._words.append(self._word)
        return whole, self._words

    # --- the text ------------------------------------------------------------------------

    def _peek(self) -> str:
        return self._text[self.at : self.at + 1]

    def _take(self) -> str:
        char = self._peek()
        self.at += 1
        return char

    def _until(self, stop: str, *, raw: bool) -> str:
        """Everything up to ``stop``, which is taken; "" is the end. Words only count there."""
        result = ""
        while char := self._peek():
            if stop and char == stop:
                self.at += 1
                return result
            piece, is_quoted = self._piece(char, raw=raw)
            result += piece
            if not stop:
                for part in [piece] if is_quoted else piece:  # a value is split, too
                    self._add(part, is_quoted=is_quoted)
        if stop:
            what = "'}'" if stop == "}" else f"{stop!r}"
            raise DockerfileError(f"syntax error: missing {what}", hint=f"of these: {_MODIFIERS}")
        return result

    def _add(self, piece: str, *, is_quoted: bool) -> None:
        if piece.isspace() and not is_quoted:
            if self._in_word:
                self._words.append(self._word)
            self._word, self._in_word = "", False
        else:
            self._word += piece
            self._in_word = True

    def _piece(self, char: str, *, raw: bool) -> tuple[str, bool]:
        if char == "'":
            return self._single_quoted(raw=raw), True
        if char == '"':
            return self._double_quoted(raw=raw), True
        if char == "$":
            return self.dollar(), False
        self.at += 1
        if char == self._x.escape:
            after = self._take()
            return (char + after if raw else after), True
        return char, False

    def _single_quoted(self, *, raw: bool) -> str:
        self.at += 1
        end = self._text.find("'", self.at)
        if end < 0:
            raise _unclosed("'")
        inside, self.at = self._text[self.at : end], end + 1
        return f"'{inside}'" if raw else inside

    def _double_quoted(self, *, raw: bool) -> str:
        self.at += 1
        result = ""
        while char := self._peek():
            if char == '"':
                self.at += 1
                return f'"{result}"' if raw else result
            if char == "$":
                result += self.dollar()
                continue
            self.at += 1
            if char != self._x.escape:
                result += char
                continue
            after = self._take()
            is_special = after in ('"', "$", self._x.escape) and after != ""
            result += after if is_special and not raw else char + after
        raise _unclosed('"')

    # --- variables -----------------------------------------------------------------------

    def dollar(self) -> str:
        start = self.at
        self.at += 1
        if self._peek() != "{":
            name = self._name()
            return self._value_or(name, f"${name}") if name else "$"
        self.at += 1
        name = self._name()
        if not name:
            raise DockerfileError("syntax error: bad substitution", hint=f"of these: {_MODIFIERS}")
        modifier = self._take()
        if modifier == "}":
            return self._value_or(name, f"${{{name}}}")
        value = self._modified(name, modifier)
        if value is None:  # not set, and such are to be left alone
            return self._text[start : self.at]
        return value

    def _name(self) -> str:
        if found := _NAME.match(self._text, self.at):
            self.at = found.end()
            return found[0]
        char = self._peek()
        if char.isdigit():
            return self._digits()
        if char and char in _SPECIAL:
            self.at += 1
            return char
        return ""

    def _digits(self) -> str:
        start = self.at
        while self._peek().isdigit():
            self.at += 1
        return self._text[start : self.at]

    def _value_or(self, name: str, unset: str) -> str:
        value = self._x.env.get(name)
        if value is not None:
            return value
        self._x.unset.add(name)
        return unset if self._x.keep_unset else ""

    def _modified(self, name: str, modifier: str) -> str | None:
        null_is_unset = modifier == ":"
        if null_is_unset:
            modifier = self._take()
        value = self._x.env.get(name)
        if modifier and modifier in "+-?":
            word = self._until("}", raw=False)
            is_set = value is not None and not (null_is_unset and not value)
            return self._chosen(name, modifier, word, value if is_set else None)
        if modifier and modifier in "#%" and not null_is_unset:
            pattern = self._until("}", raw=True)
            return self._or_unset(name, value, lambda text: _strip(text, modifier, pattern))
        if modifier == "/" and not null_is_unset:
            return self._replaced(name, value)
        shown = f":{modifier}" if null_is_unset else modifier
        if not shown:
            raise DockerfileError("syntax error: missing '}'", hint=f"of these: {_MODIFIERS}")
        raise DockerfileError(
            f"unsupported modifier ({shown}) in substitution", hint=f"of these: {_MODIFIERS}"
        )

    def _replaced(self, name: str, value: str | None) -> str | None:
        everywhere = self._peek() == "/"
        if everywhere:
            self.at += 1
        pattern = self._until("/", raw=True)
        replacement = self._until("}", raw=False)
        matcher = pattern_of(pattern, greedy=True, escape=self._x.escape)
        count = 0 if everywhere else 1
        return self._or_unset(
            name, value, lambda text: matcher.sub(lambda _: replacement, text, count=count)
        )

    def _or_unset(self, name: str, value: str | None, change: _Change) -> str | None:
        if value is None:
            self._x.unset.add(name)
            return None if self._x.keep_unset else ""
        return change(value)

    def _chosen(self, name: str, modifier: str, word: str, value: str | None) -> str:
        if modifier == "-":
            return word if value is None else value
        if modifier == "+":
            return "" if value is None else word
        if value is None:
            why = "empty" if name in self._x.env else "unset"
            raise DockerfileError(
                f"{name}: {word or f'is not allowed to be {why}'}",
                hint=f"give it a value: --build-arg {name}=…",
            )
        return value


def _unclosed(quote: str) -> DockerfileError:
    return DockerfileError(
        "unexpected end of statement while looking for matching "
        f"{'double' if quote == chr(34) else 'single'}-quote",
        hint="close the quotation, or escape the quote",
    )


def _strip(value: str, modifier: str, pattern: str) -> str:
    """``#`` from the front, ``%`` from the end; twice for the longest match."""
    greedy = pattern.startswith(modifier)
    body = pattern[1:] if greedy else pattern
    matcher = pattern_of(body, greedy=greedy)
    if modifier == "#":
        found = matcher.match(value)
        return value[found.end() :] if found else value
    starts = range(len(value) + 1) if greedy else range(len(value), -1, -1)
    start = next((at for at in starts if matcher.fullmatch(value, at)), None)
    return value if start is None else value[:start]


def pattern_of(glob: str, *, greedy: bool, escape: str = "\\") -> re.Pattern[str]:
    """A shell's pattern of ``*`` and ``?`` as a regular expression."""
    result = ""
    chars = iter(glob)
    for char in chars:
        if char == "*":
            result += ".*" if greedy else ".*?"
        elif char == "?":
            result += "."
        elif char == escape:
            result += re.escape(next(chars, escape))
        else:
            result += re.escape(char)
    return re.compile(result, re.DOTALL)
