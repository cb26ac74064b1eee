"""Words and variables of a Dockerfile: ``$v``, ``${v:-x}`` and the rest, as BuildKit's shell.Lex.

Not a shell: there are quotes, the escape character, variables with modifiers, and nothing else.
https://docs.docker.com/reference/dockerfile/#environment-replacement
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from wardian.build.faults import DockerfileError
from wardian.build.globs import Glob
from wardian.build.whitespace import SPACES

MAX_NESTING = 50  # of ${a:-${b:-…}}
_SPECIAL = "@*#?-$!"  # the shell's own parameters, all of them unset here
_MODIFIERS = (
    "${v}, ${v:-x}, ${v:+x}, ${v:?x}, ${v#p}, ${v##p}, ${v%p}, ${v%%p}, ${v/p/x}, ${v//p/x}"
)
_PLAIN = re.compile(r"[^'\"$<\\`}/]+")
_PLAIN_IN_QUOTES = re.compile(r"[^\"$\\`]+")
_HEREDOC_SIGN = re.compile(r"<<[\t\r ]*")
_SPACE = re.compile(f"[{re.escape(SPACES)}]")
_Piece = tuple[str, bool]  # a text, and whether white space in it keeps a word together


class Expander(msgspec.Struct, kw_only=True):
    """Replaces variables in words.

    ``raw`` leaves quotes and escapes where they are, ``raw_quotes`` the quotes alone;
    ``keep_unset`` leaves variables that have no value. ``unset`` gathers the names that had none.
    """

    env: Mapping[str, str] = msgspec.field(default_factory=dict)
    escape: str = "\\"
    raw: bool = False
    raw_quotes: bool = False
    keep_unset: bool = False
    unset: set[str] = msgspec.field(default_factory=set)

    def word(self, text: str) -> str:
        """The text as one word. Raises DockerfileError."""
        return "".join(piece for piece, _ in _Scanner(self, text).run())

    def words(self, text: str) -> list[str]:
        """The text split where there is white space outside of quotes. Raises DockerfileError.

        Values are split too. Of a word that is empty nothing remains, even if it was quoted.
        """
        words: list[list[str]] = [[]]
        for piece, is_quoted in _Scanner(self, text).run():
            first, *others = [piece] if is_quoted else _SPACE.split(piece)
            words[-1].append(first)
            words.extend([other] for other in others)
        return [word for word in map("".join, words) if word]

    def heredoc(self, text: str) -> str:
        """A here-document's content, where quotes mean nothing. Raises DockerfileError."""
        return "".join(piece for piece, _ in _Scanner(self, text, has_quotes=False).run())


class _Scanner:
    def __init__(self, expander: Expander, text: str, *, has_quotes: bool = True) -> None:
        self._x = expander
        self._text = text
        self._at = 0
        self._nesting = 0
        self._has_quotes = has_quotes
        self._raw_quotes = expander.raw or expander.raw_quotes
        self._raw_escapes = expander.raw

    def run(self) -> list[_Piece]:
        return self._until("", raw_escapes=self._x.raw)

    # --- the text ------------------------------------------------------------------------

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        char = self._peek()
        self._at += len(char)
        return char

    def _fault(self, reason: str, start: int, hint: str = "") -> DockerfileError:
        return DockerfileError(
            reason,
            hint=hint or f"these are known: {_MODIFIERS}",
            place=self._text[start : max(self._at, start + 1)],
        )

    def _until(self, stop: str, *, raw_escapes: bool) -> list[_Piece]:
        """Everything up to ``stop``, which is taken; "" is the end."""
        before, self._raw_escapes = self._raw_escapes, raw_escapes
        pieces: list[_Piece] = []
        while char := self._peek():
            if char == stop:
                self._at += 1
                self._raw_escapes = before
                return pieces
            pieces.append(self._piece(char))
        if stop:
            where = "" if stop == "}" else " in ${}"
            raise self._fault(f"syntax error: missing '{stop}'{where}", max(0, self._at - 1))
        return pieces

    def _nested(self, stop: str, *, raw_escapes: bool) -> str:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise self._fault(
                "variables are nested too deeply", self._at, "give the inner ones a name with ARG"
            )
        pieces = self._until(stop, raw_escapes=raw_escapes)
        self._nesting -= 1
        return "".join(piece for piece, _ in pieces)

    def _piece(self, char: str) -> _Piece:
        if char == "'" and self._has_quotes:
            return self._single_quoted(), True
        if char == '"' and self._has_quotes:
            return self._double_quoted(), True
        if char == "$":
            return self._dollar(), False
        if found := _HEREDOC_SIGN.match(self._text, self._at) or _PLAIN.match(self._text, self._at):
            self._at = found.end()
            return found[0], char == "<"  # `<< E` is one word
        self._at += 1
        if char == self._x.escape:
            after = self._take()
            return (char + after if self._raw_escapes else after), True
        return char, False

    def _single_quoted(self) -> str:
        start = self._at
        end = self._text.find("'", start + 1)
        if end < 0:
            self._at = len(self._text)
            raise self._unclosed("single", start)
        self._at = end + 1
        return self._text[start : end + 1] if self._raw_quotes else self._text[start + 1 : end]

    def _double_quoted(self) -> str:
        start = self._at
        self._at += 1
        parts: list[str] = []
        while char := self._peek():
            if char == '"':
                self._at += 1
                inside = "".join(parts)
                return f'"{inside}"' if self._raw_quotes else inside
            if char == "$":
                parts.append(self._dollar())
            elif found := _PLAIN_IN_QUOTES.match(self._text, self._at):
                self._at = found.end()
                parts.append(found[0])
            else:
                self._at += 1
                parts.append(self._escaped_in_quotes() if char == self._x.escape else char)
        raise self._unclosed("double", start)

    def _escaped_in_quotes(self) -> str:
        """Only a quote, a dollar and the escape character can be escaped there."""
        escape = self._x.escape
        kept = escape if self._raw_escapes else ""
        if self._peek() in ('"', "$", escape):
            return kept + self._take()
        return kept + escape

    def _unclosed(self, kind: str, start: int) -> DockerfileError:
        return self._fault(
            f"unexpected end of statement while looking for matching {kind}-quote",
            start,
            "close the quotation, or escape the quote",
        )

    # --- variables -----------------------------------------------------------------------

    def _dollar(self) -> str:
        start = self._at
        self._at += 1
        if self._peek() != "{":
            name = self._name()
            return self._value_or(name, f"${name}") if name else "$"
        self._at += 1
        if self._peek() in ("{", "}", ":"):
            self._at += 1
            raise self._fault("syntax error: bad substitution", start)
        name = self._name()
        modifier = self._take()
        if not modifier:
            raise self._fault("syntax error: missing '}'", start, "end the variable with }")
        if modifier == "}":
            return self._value_or(name, f"${{{name}}}")
        if modifier == "/":
            return self._replaced(name)
        return self._modified(name, modifier, start)

    def _name(self) -> str:
        """Letters, digits and "_"; or a number; or one of the shell's own parameters."""
        start = self._at
        first = self._peek()
        if first and first in _SPECIAL:
            return self._take()
        is_part = str.isdecimal if first.isdecimal() else _is_name_char
        while (char := self._peek()) and is_part(char):
            self._at += 1
        return self._text[start : self._at]

    def _value_or(self, name: str, unset: str) -> str:
        value = self._x.env.get(name)
        if value is not None:
            return value
        self._x.unset.add(name)
        return unset if self._x.keep_unset else ""

    def _modified(self, name: str, modifier: str, start: int) -> str:
        shown = modifier
        null_is_unset = modifier == ":"
        if null_is_unset:
            modifier = self._take()
            shown += modifier
        is_pattern = modifier in ("#", "%")
        if (is_pattern and null_is_unset) or (shown[0] not in ":+-?#%"):
            raise self._fault(f"unsupported modifier ({shown}) in substitution", start)
        word = self._nested("}", raw_escapes=is_pattern)
        value = self._x.env.get(name)
        if value is None:
            self._x.unset.add(name)
            if self._x.keep_unset:
                return f"${{{name}{shown}{word}}}"
        if is_pattern:
            return _stripped(value or "", modifier, word)
        if modifier not in ("+", "-", "?"):
            raise self._fault(f"unsupported modifier ({shown}) in substitution", start)
        is_set = value is not None and not (null_is_unset and not value)
        return self._chosen(name, modifier, word, value if is_set else None, start)

    def _chosen(self, name: str, modifier: str, word: str, value: str | None, start: int) -> str:
        if modifier == "-":
            return word if value is None else value
        if modifier == "+":
            return "" if value is None else word
        if value is None:
            why = "empty" if name in self._x.env else "unset"
            raise self._fault(
                f"{name}: {word or f'is not allowed to be {why}'}",
                start,
                f"give it a value: --build-arg {name}=…",
            )
        return value

    def _replaced(self, name: str) -> str:
        everywhere = self._peek() == "/"
        if everywhere:
            self._at += 1
        pattern = self._nested("/", raw_escapes=True)
        replacement = self._nested("}", raw_escapes=True)
        value = self._x.env.get(name)
        if value is None:
            self._x.unset.add(name)
            if self._x.keep_unset:
                slashes = "//" if everywhere else "/"
                return f"${{{name}{slashes}{pattern}/{replacement}}}"
        return Glob(pattern).replaced(value or "", replacement, everywhere=everywhere)


def _is_name_char(char: str) -> bool:
    return char.isalpha() or char.isdecimal() or char == "_"


def _stripped(value: str, modifier: str, pattern: str) -> str:
    """``#`` from the front, ``%`` from the end; twice for the longest match."""
    longest = pattern.startswith(modifier)
    glob = Glob(pattern[1:] if longest else pattern)
    if modifier == "#":
        return glob.without_prefix(value, longest=longest)
    return glob.without_suffix(value, longest=longest)
