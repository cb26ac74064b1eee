"""From a Dockerfile's text to its tree, line by line, as BuildKit's parser does it.

Continuation lines, comments, parser directives and here-documents are dealt with here; what the
arguments of an instruction look like is in `forms`. An unknown instruction is no error yet.
https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from wardian.build import forms
from wardian.build.expansion import Expander
from wardian.build.faults import DockerfileError
from wardian.build.tree import Heredoc, Node

MAX_DOCKERFILE_BYTES = 2 << 20  # BuildKit's own limit
DIRECTIVES = ("check", "escape", "syntax")
_DIRECTIVE = re.compile(r"^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$")
_HEREDOC = re.compile(r"(\d*)<<(-?)\s*([^<]*)")
_WITH_HEREDOCS = frozenset({"add", "copy", "run"})
FORMS: dict[str, forms.Form] = {
    "add": forms.json_or_strings,
    "arg": forms.names,
    "cmd": forms.json_or_string,
    "copy": forms.json_or_strings,
    "entrypoint": forms.json_or_string,
    "env": forms.pairs("ENV"),
    "expose": forms.strings,
    "from": forms.strings,
    "healthcheck": forms.health,
    "label": forms.pairs("LABEL"),
    "maintainer": forms.string,
    "run": forms.json_or_string,
    "shell": forms.json_or_string,
    "stopsignal": forms.string,
    "user": forms.string,
    "volume": forms.json_or_strings,
    "workdir": forms.string,
}


@dataclass(frozen=True, slots=True)
class LintWarning:
    """A lint warning: the rule's name, what it says, and the line it is about."""

    rule: str
    text: str
    line: int


@dataclass(slots=True)
class Dockerfile:
    """The parsed file: a root node with a child for each instruction."""

    root: Node
    escape: str
    directives: dict[str, str]
    warnings: list[LintWarning] = field(default_factory=list)


def parse(data: bytes | str) -> Dockerfile:
    """Parse a Dockerfile. Raises DockerfileError with the line."""
    if len(data) > MAX_DOCKERFILE_BYTES:
        raise DockerfileError("the Dockerfile is larger than 2 MB", hint="COPY big files instead")
    text = data.decode("utf-8", "surrogateescape") if isinstance(data, bytes) else data
    return _Parser(text.removeprefix("\ufeff")).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self._lines: list[str] = re.findall(r"[^\n]*\n|[^\n]+", text)
        self._at = 0  # lines taken
        self._file = Dockerfile(Node(start_line=-1), "\\", {})
        self._may_be_directive = True

    def parse(self) -> Dockerfile:
        comments: list[str] = []
        while self._at < len(self._lines):
            line = self._take().rstrip("\r\n").lstrip()
            start = self._at
            if self._direct(line, start):
                continue
            if line.startswith("#"):
                comment = line[1:].strip()
                comments = [*comments, comment] if comment else []
                continue
            text, is_whole = self._continued(line)
            if is_whole and not text:
                continue
            if not is_whole:
                text = self._gather(text, start)
            self._add(text, start, comments)
            comments = []
        if not self._file.root.children:
            raise DockerfileError("file with no instructions", hint="begin it with FROM IMAGE")
        return self._file

    def _take(self) -> str:
        self._at += 1
        return self._lines[self._at - 1]

    def _direct(self, line: str, number: int) -> bool:
        """Whether it is a parser directive: those count only above everything else."""
        found = _DIRECTIVE.match(line) if self._may_be_directive else None
        name = found[1].lower() if found else ""
        if found is None or name not in DIRECTIVES:
            self._may_be_directive = False
            return False
        if name in self._file.directives:
            raise DockerfileError(
                f"only one {name} parser directive can be used",
                line=number,
                text=line,
                hint="remove this one",
            )
        self._file.directives[name] = found[2]
        if name == "escape":
            if found[2] not in ("\\", "`"):
                raise DockerfileError(
                    f"invalid ESCAPE {found[2][:20]!r} does not match ` or \\",
                    line=number,
                    text=line,
                    hint="write # escape=` or # escape=\\",
                )
            self._file.escape = found[2]
        return True

    def _continued(self, line: str) -> tuple[str, bool]:
        """The line without its continuation character, and whether it had none."""
        bare = line.rstrip(" \t")
        escape = self._file.escape
        if bare.endswith(escape) and not bare[:-1].endswith(escape):
            return bare[:-1], False
        return line, True

    def _gather(self, text: str, start: int) -> str:
        parts = [text]
        is_whole = has_empty_line = False
        while not is_whole and self._at < len(self._lines):
            line = self._take().rstrip("\r\n")
            if line.lstrip().startswith("#"):
                continue
            if not line.strip():
                has_empty_line = True
                continue
            part, is_whole = self._continued(line)
            parts.append(part)
        whole = "".join(parts)
        if has_empty_line:
            self._file.warnings.append(
                LintWarning(
                    "NoEmptyContinuation", f"Empty continuation line found in: {whole}", start
                )
            )
        return whole

    def _add(self, text: str, start: int, comments: list[str]) -> None:
        try:
            node = self._node(text)
            node.comments = comments
            inner = node
            if node.value.lower() == "onbuild" and node.next and node.next.children:
                inner = node.next.children[0]
            if inner.value.lower() in _WITH_HEREDOCS and not inner.is_json and "<<" in text:
                node.heredocs = [self._read(one) for one in heredocs_in(text)]
        except DockerfileError as error:
            raise error.at(start, text) from error
        node.start_line, node.end_line = start, self._at
        root = self._file.root
        if root.start_line < 0:
            root.start_line = start
        root.end_line = self._at
        root.children.append(node)

    def _read(self, heredoc: Heredoc) -> Heredoc:
        """Take the lines up to the one that ends it."""
        content: list[str] = []
        while self._at < len(self._lines):
            line = self._take()
            bare = line.rstrip("\r\n")
            if (bare.lstrip("\t") if heredoc.chomp else bare) == heredoc.name:
                return replace(heredoc, content="".join(content))
            content.append(line)
        raise DockerfileError(
            "unterminated heredoc", hint=f"end it with a line that says {heredoc.name}"
        )

    def _node(self, text: str, depth: int = 0) -> Node:
        name, flags, rest = split_command(text, self._file.escape)
        if name.lower() == "onbuild":
            return self._onbuild(name, flags, rest, text, depth)
        form = FORMS.get(name.lower(), forms.nothing)
        following, attributes = form(rest, self._file.escape)
        return Node(value=name, original=text, flags=flags, next=following, attributes=attributes)

    def _onbuild(self, name: str, flags: list[str], rest: str, text: str, depth: int) -> Node:
        if depth:
            raise DockerfileError(
                "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", hint="write it once"
            )
        node = Node(value=name, original=text, flags=flags)
        if rest:
            node.next = Node(children=[self._node(rest, depth + 1)])
        return node


def split_command(line: str, escape: str) -> tuple[str, list[str], str]:
    """An instruction's name, its flags, and the rest."""
    name, *rest = forms.WHITESPACE.split(line.strip(), maxsplit=1)
    if not rest:
        return name, [], ""
    flags, arguments = _flags(rest[0], escape)
    return name, flags, arguments.strip()


def _flags(line: str, escape: str) -> tuple[list[str], str]:
    """Words that begin with ``--``, up to one that does not or is only that."""
    flags: list[str] = []
    at = 0
    while True:
        while at < len(line) and line[at].isspace():
            at += 1
        if not line.startswith("--", at):
            return flags, line[at:]
        word, at = _flag(line, at, escape)
        if word == "--":
            return flags, line[at:]
        flags.append(word)


def _flag(line: str, at: int, escape: str) -> tuple[str, int]:
    word, quote = "", ""
    while at < len(line):
        char = line[at]
        if not quote and char.isspace():
            break
        at += 1
        if char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        elif char == escape:
            word += line[at : at + 1]
            at += 1
        else:
            word += char
    return word, at


def heredocs_in(line: str) -> list[Heredoc]:
    """The here-documents that a line announces, still without content."""
    try:
        words = Expander(raw=True, keep_unset=True).words(line)
    except DockerfileError:  # a shell's own syntax, which is none of ours
        return []
    return [found for word in words if (found := parse_heredoc(word)) is not None]


def parse_heredoc(word: str) -> Heredoc | None:
    """The here-document that one word announces; None if it is none."""
    found = _HEREDOC.fullmatch(word)
    if found is None or not found[3]:
        return None
    try:
        raw = Expander(raw=True, keep_unset=True).words(found[3])
        plain = Expander(keep_unset=True).words(found[3])
    except DockerfileError:
        return None
    if len(raw) != 1 or len(plain) != 1 or not plain[0]:
        return None
    descriptor = int(found[1]) if found[1] and len(found[1]) < 6 else 0
    return Heredoc(
        plain[0], "", descriptor, expand=_quotes(raw[0]) == _quotes(plain[0]), chomp=bool(found[2])
    )


def _quotes(word: str) -> int:
    return word.count("'") + word.count('"')
