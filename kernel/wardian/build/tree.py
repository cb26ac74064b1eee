"""The parsed Dockerfile: a tree of nodes as BuildKit's parser has it, and its two text forms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


class Heredoc(msgspec.Struct, frozen=True):
    """A here-document; ``expand`` is false if its name was quoted, ``chomp`` true for ``<<-``."""

    name: str
    content: str
    file_descriptor: int
    expand: bool
    chomp: bool

    @property
    def text(self) -> str:
        """What is in it, leading tabs gone where ``<<-`` asked for that."""
        if not self.chomp:
            return self.content
        return "".join(line.lstrip("\t") for line in self.content.splitlines(keepends=True))


@dataclass(slots=True, kw_only=True, eq=False, repr=False)  # chains are longer than recursion
class Node:
    """One word of an instruction and, in ``next``, the word after it; or a list of children.

    ``original`` is the instruction on one line, ``source`` as it stands in the file, with its
    here-documents; lines count from 1.
    """

    value: str = ""
    next: Node | None = None
    children: list[Node] = field(default_factory=list)
    heredocs: list[Heredoc] = field(default_factory=list)
    attributes: dict[str, bool] = field(default_factory=dict)
    original: str = ""
    source: str = ""
    flags: list[str] = field(default_factory=list)
    start_line: int = 0
    end_line: int = 0
    comments: list[str] = field(default_factory=list)

    def following(self) -> Iterator[Node]:
        """The nodes after this one."""
        node = self.next
        while node is not None:
            yield node
            node = node.next

    @property
    def words(self) -> list[str]:
        """The values after this one."""
        return [node.value for node in self.following()]

    @property
    def is_json(self) -> bool:
        """Whether the arguments were a JSON list."""
        return self.attributes.get("json", False)

    def dump(self) -> str:
        """The S-expression, as ``Node.Dump`` of BuildKit's parser writes it."""
        text = self.value.lower()
        if self.flags:
            text += f" [{' '.join(map(quoted, self.flags))}]"
        text += "".join(f"({child.dump()})\n" for child in self.children)
        for node in self.following():
            text += f" {node.dump() if node.children else quoted(node.value)}"
        return text.strip()

    def document(self) -> dict[str, Any]:
        """The same as a value for JSON; what is empty is left out."""
        words = [node for node in self.following() if not node.children]
        nested = [child for node in self.following() for child in node.children]
        fields: dict[str, Any] = {
            "instruction": self.value,
            "flags": self.flags,
            "arguments": [node.value for node in words],
            "attributes": self.attributes,
            "heredocs": [_heredoc(one) for one in self.heredocs],
            "children": [child.document() for child in [*self.children, *nested]],
            "comments": self.comments,
            "original": self.original,
            "start_line": self.start_line,
            "end_line": self.end_line,
        }
        return {name: value for name, value in fields.items() if value}


def _heredoc(one: Heredoc) -> dict[str, Any]:
    return {
        "name": one.name,
        "content": one.content,
        "file_descriptor": one.file_descriptor,
        "expand": one.expand,
        "chomp": one.chomp,
    }


def chain(words: list[str]) -> Node | None:
    """Nodes of these values, one after another."""
    first: Node | None = None
    for word in reversed(words):
        first = Node(value=word, next=first)
    return first


def quoted(text: str) -> str:
    """As Go's strconv.Quote writes it."""
    return f'"{"".join(map(_quoted_char, text))}"'


def _quoted_char(char: str) -> str:
    code = ord(char)
    if char in _ESCAPES:
        return _ESCAPES[char]
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8 (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    if char == " " or (char.isprintable() and not char.isspace()):
        return char
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
