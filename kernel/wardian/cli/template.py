"""Go's templates as docker's ``--format`` takes them: fields, pipelines, if, range, with.

The language is that of text/template (pkg.go.dev/text/template), the functions docker's and Go's.
Values are what JSON knows; a field that does not exist is an error that names those that do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from wardian.cli.template_functions import FUNCTIONS, LAZY, Thunk, is_true, plain
from wardian.errors import InvalidInput

_ACTION = re.compile(r"""\{\{((?:"(?:\\.|[^"\\])*"|`[^`]*`|(?!\}\})[^"`])*)\}\}""", re.DOTALL)
_TOKEN = re.compile(
    r"""(?P<space>\s*)(?:
        (?P<string>"(?:\\.|[^"\\])*"|`[^`]*`)
      | (?P<number>-?[0-9]+(?:\.[0-9]+)?)
      | (?P<field>(?:\.[A-Za-z_][A-Za-z0-9_]*)+)
      | (?P<dot>\.)
      | (?P<variable>\$[A-Za-z0-9_]*)
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<sign>:=|[=|(),])
    )""",
    re.VERBOSE,
)
_ESCAPES = {"\\t": "\t", "\\n": "\n", '\\"': '"', "\\\\": "\\"}
_CONSTANTS = {"true": True, "false": False, "nil": None}
_BLOCKS = ("if", "range", "with")
_ENDS = ("else", "end")


class _Scope(msgspec.Struct, frozen=True):
    """Where an expression is evaluated: the dot, and variables (as cells, to be set from below)."""

    dot: Any
    names: Mapping[str, list[Any]]

    def at(self, dot: Any, **names: Any) -> _Scope:
        return _Scope(dot, {**self.names, **{name: [value] for name, value in names.items()}})


Expression = Callable[[_Scope], Any]


class _Node(msgspec.Struct, frozen=True):
    """A text, or one action: ``kind`` is its first word, or ``show`` or ``set``."""

    kind: str
    text: str = ""
    value: Expression = lambda scope: scope.dot
    names: tuple[str, ...] = ()
    is_new: bool = True
    body: tuple[_Node, ...] = ()
    otherwise: tuple[_Node, ...] = ()


class Template:
    """``{{.Name}}``, ``{{json .Config}}``, ``{{range .Mounts}}{{.Source}} {{end}}`` in plain text.

    Raises InvalidInput for what is no template and, when it is filled in, for a field that does
    not exist.
    """

    def __init__(self, text: str) -> None:
        self.fields: list[str] = []
        self._parts = _parts(text)
        self._nodes, last = self._block()
        if last:
            raise _not_understood(last)

    def fill(self, value: Any) -> str:
        """The text with the fields of ``value`` filled in."""
        written: list[str] = []
        _render(self._nodes, _Scope(value, {"$": [value]}), written)
        return "".join(written)

    def _block(self) -> tuple[tuple[_Node, ...], str]:
        """Nodes up to ``end`` or ``else``, which is the second value; "" at the text's end."""
        nodes: list[_Node] = []
        while self._parts:
            is_action, text = self._parts.pop(0)
            word, _, rest = text.partition(" ")
            if not is_action:
                nodes.append(_Node("text", text=text))
            elif word in _ENDS:
                return tuple(nodes), text
            elif word in _BLOCKS:
                nodes.append(self._construct(word, rest, text))
            elif not text.startswith("/*"):
                nodes.append(self._read(text).statement())
        return tuple(nodes), ""

    def _construct(self, kind: str, rest: str, whole: str) -> _Node:
        head = self._read(rest, whole).statement(for_block=True)
        body, last = self._block()
        otherwise: tuple[_Node, ...] = ()
        if last == "else":
            otherwise, last = self._block()
        elif last.startswith("else "):
            word, _, rest = last.removeprefix("else ").partition(" ")
            if word not in ("if", "with"):
                raise _not_understood(last)
            otherwise, last = (self._construct(word, rest, last),), "end"
        if last != "end":
            raise _not_understood(whole, "close it with {{end}}")
        return replace(head, kind=kind, body=body, otherwise=otherwise)

    def _read(self, text: str, whole: str = "") -> _Reader:
        reader = _Reader(text, whole or text)
        self.fields += reader.fields
        return reader


def _parts(text: str) -> list[tuple[bool, str]]:
    """Plain text and actions in turn; ``{{-`` and ``-}}`` eat the blanks beside them."""
    found: list[tuple[bool, str]] = []
    position, eats = 0, False

    def add(plain_text: str, *, before_eats: bool) -> None:
        plain_text = plain_text.lstrip() if eats else plain_text
        plain_text = plain_text.rstrip() if before_eats else plain_text
        if "{{" in plain_text:
            raise _not_understood(plain_text.partition("{{")[2], "close it with }}")
        if plain_text:
            found.append((False, _unescaped(plain_text)))

    for action in _ACTION.finditer(text):
        body = action[1]
        add(text[position : action.start()], before_eats=body.startswith("- "))
        eats, position = body.endswith(" -"), action.end()
        found.append((True, body.removeprefix("- ").removesuffix(" -").strip()))
    add(text[position:], before_eats=False)
    return found


def _unescaped(text: str) -> str:
    return re.sub(r'\\[tn"\\]', lambda found: _ESCAPES[found[0]], text)


class _Reader(msgspec.Struct):
    """The words of one action, read from left to right."""

    text: str
    whole: str
    fields: list[str] = msgspec.field(default_factory=list)
    _tokens: list[tuple[str, str, bool]] = msgspec.field(default_factory=list)

    def __post_init__(self) -> None:
        position = 0
        text = self.text.rstrip()
        while position < len(text):
            token = _TOKEN.match(text, position)
            if token is None or token.lastgroup is None:
                raise _not_understood(self.whole)
            kind, position = token.lastgroup, token.end()
            self._tokens.append((kind, token[kind], bool(token["space"])))
            if kind == "field":
                self.fields.append(token[kind].split(".")[1])

    def statement(self, *, for_block: bool = False) -> _Node:
        """A pipeline to show, or one whose value gets a name."""
        names, is_new = self._targets()
        value = self._pipeline()
        if self._tokens or len(names) > (2 if for_block else 1):
            raise _not_understood(self.whole)
        kind = "set" if names and not for_block else "show"
        return _Node(kind, value=value, names=names, is_new=is_new)

    def _targets(self) -> tuple[tuple[str, ...], bool]:
        words = [text for _, text, _ in self._tokens]
        sign = next((word for word in words if word in (":=", "=")), None)
        if sign is None:
            return (), True
        at = words.index(sign)
        names = [word for word in words[:at] if word != ","]
        del self._tokens[: at + 1]
        if not all(name.startswith("$") and len(name) > 1 for name in names):
            raise _not_understood(self.whole)
        return tuple(names), sign == ":="

    def _pipeline(self) -> Expression:
        value = self._command(None)
        while self._next_is("|"):
            self._tokens.pop(0)
            value = self._command(value)
        return value

    def _next_is(self, *signs: str) -> bool:
        return bool(self._tokens) and self._tokens[0][:2] in {("sign", sign) for sign in signs}

    def _command(self, piped: Expression | None) -> Expression:
        """A function or a field's method with its arguments, or one operand."""
        if not self._tokens:
            raise _not_understood(self.whole)
        kind, word, _ = self._tokens[0]
        if kind == "word" and word not in _CONSTANTS:
            self._tokens.pop(0)
            return self._called(word, self._arguments(piped))
        value = self._operand()
        arguments = self._arguments(piped)
        if not arguments:
            return value
        return lambda scope: _method(value(scope), [one(scope) for one in arguments], self.whole)

    def _arguments(self, piped: Expression | None) -> list[Expression]:
        found = []
        while self._tokens and not self._next_is("|", ")"):
            found.append(self._operand())
        return [*found, *(() if piped is None else (piped,))]

    def _called(self, name: str, arguments: list[Expression]) -> Expression:
        def thunks(scope: _Scope) -> list[Thunk]:
            return [lambda one=one: one(scope) for one in arguments]  # type: ignore[misc]

        if name in LAZY:
            return lambda scope: LAZY[name](thunks(scope))
        if name not in FUNCTIONS:
            raise _not_understood(self.whole)
        function = FUNCTIONS[name]

        def call(scope: _Scope) -> Any:
            try:
                return function(*(one(scope) for one in arguments))
            except (TypeError, ValueError, AttributeError):
                raise _not_understood(self.whole, f"{name} cannot take this") from None

        return call

    def _operand(self) -> Expression:
        kind, word, _ = self._tokens.pop(0)
        value = self._simple(kind, word)
        while self._tokens and self._tokens[0][0] == "field" and not self._tokens[0][2]:
            if kind not in ("variable", "sign"):
                break
            value = _field_of(value, self._tokens.pop(0)[1])
        return value

    def _simple(self, kind: str, word: str) -> Expression:
        match kind:
            case "dot":
                return lambda scope: scope.dot
            case "field":
                return _field_of(lambda scope: scope.dot, word)
            case "variable":
                return lambda scope: _cell(scope, word)[0]
            case "number":
                number = float(word) if "." in word else int(word)
                return lambda _: number
            case "string":
                text = word[1:-1] if word[0] == "`" else self._string(word)
                return lambda _: text
            case "word" if word in _CONSTANTS:
                return lambda _: _CONSTANTS[word]
            case "sign" if word == "(":
                inner = self._pipeline()
                if self._next_is(")"):
                    self._tokens.pop(0)
                    return inner
        raise _not_understood(self.whole)

    def _string(self, word: str) -> str:
        try:
            return str(json.loads(word))
        except ValueError:
            raise _not_understood(self.whole) from None


def _render(nodes: Sequence[_Node], scope: _Scope, written: list[str]) -> None:
    for node in nodes:
        if node.kind == "text":
            written.append(node.text)
            continue
        value = node.value(scope)
        if node.kind == "show":
            written.append(plain(value))
        elif node.kind == "set" and node.is_new:
            scope = scope.at(scope.dot, **{node.names[0]: value})
        elif node.kind == "set":
            _cell(scope, node.names[0])[0] = value
        elif node.kind == "range":
            _render_each(node, value, scope, written)
        elif not is_true(value):
            _render(node.otherwise, scope, written)
        else:
            dot = value if node.kind == "with" else scope.dot
            named = dict.fromkeys(node.names[:1], value)
            _render(node.body, scope.at(dot, **named), written)


def _render_each(node: _Node, value: Any, scope: _Scope, written: list[str]) -> None:
    """Go's ``range``: a map by its keys in order, a list by its numbers."""
    if isinstance(value, Mapping):
        pairs: list[tuple[Any, Any]] = sorted(value.items())
    elif isinstance(value, int) and not isinstance(value, bool):
        pairs = [(number, number) for number in range(value)]
    elif value is None or (isinstance(value, Sequence) and not isinstance(value, str)):
        pairs = list(enumerate(value or ()))
    else:
        raise InvalidInput(f"not a list or a map, for range: {plain(value)[:40]!r}")
    for key, one in pairs:
        named = dict(zip(reversed(node.names), (one, key), strict=False))
        _render(node.body, scope.at(one, **named), written)
    if not pairs:
        _render(node.otherwise, scope, written)


def _cell(scope: _Scope, name: str) -> list[Any]:
    if name not in scope.names:
        raise InvalidInput(f"no such variable in the template: {name}")
    return scope.names[name]


def _field_of(value: Expression, path: str) -> Expression:
    names = path.split(".")[1:]
    return lambda scope: _dig(value(scope), names)


def _dig(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            known = sorted(value) if isinstance(value, Mapping) else []
            raise InvalidInput(
                f"no such field: .{'.'.join(path)}",
                hint=f"the fields there are {', '.join(known)}" if known else "",
            )
        value = value[name]
    return value


def _method(value: Any, arguments: Sequence[Any], whole: str) -> Any:
    if not callable(value):
        raise _not_understood(whole, "a field takes no arguments")
    return value(*arguments)


def _not_understood(action: str, hint: str = "") -> InvalidInput:
    return InvalidInput(
        f"not understood in a template: {{{{{action[:40]}}}}}",
        hint=hint or "use fields such as {{.Name}}, {{json .Config}}, or {{range .Mounts}}…{{end}}",
    )
