"""From a Dockerfile's text to its tree, line by line, as BuildKit's parser does it.

Continuation lines, comments, parser directives and here-documents are dealt with here; what the
arguments of an instruction look like is in `forms`. An unknown instruction is no error yet.
https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import re

import msgspec
from msgspec.structs import replace

from wardian.build import forms
from wardian.build.faults import DockerfileError
from wardian.build.flags import split_command
from wardian.build.heredocs import heredocs_in
from wardian.build.tree import Heredoc, Node
from wardian.build.whitespace import SPACES

MAX_DOCKERFILE_BYTES = 2 << 20  # BuildKit's own limit
DIRECTIVES = ("check", "escape", "syntax")
MAX_LINE_BYTES = 64 * 1024  # with its line end; BuildKit's scanner takes no more
MAX_ONBUILD_DEPTH = 8  # how deep such nonsense is still shown as a tree
_DIRECTIVE = re.compile(r"#\s*([a-z][a-z0-9]*)\s*=\s*(\S.*)", re.ASCII | re.IGNORECASE | re.DOTALL)
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


class LintWarning(msgspec.Struct, frozen=True):
    """A lint warning: the rule's name, what it says, and the line it is about."""

    rule: str
    text: str
    line: int


class Dockerfile(msgspec.Struct):
    """The parsed file: a root node with a child for each instruction."""

    root: Node
    escape: str
    directives: dict[str, str]
    warnings: list[LintWarning] = msgspec.field(default_factory=list)


def parse(data: bytes | str) -> Dockerfile:
    """Parse a Dockerfile. Raises DockerfileError with the line."""
    if len(data) > MAX_DOCKERFILE_BYTES:
        raise DockerfileError(
            "the Dockerfile is larger than 2 MB",
            hint="COPY big files instead of writing them into it",
        )
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
            line = self._take().rstrip("\r\n").lstrip(SPACES)
            start = self._at
            if self._direct(line, start):
                continue
            if line.startswith("#"):
                comments.append(line[1:].strip(SPACES))
                if not comments[-1]:
                    comments.clear()
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
        line = self._lines[self._at]
        self._at += 1
        if len(line) * 4 > MAX_LINE_BYTES and len(_encoded(line)) > MAX_LINE_BYTES:
            raise DockerfileError(
                f"dockerfile line greater than max allowed size of {MAX_LINE_BYTES - 1}",
                line=self._at,
                hint="break it with a continuation character, or COPY a file instead",
            )
        return line

    def _direct(self, line: str, number: int) -> bool:
        """Whether it is a parser directive: those count only above everything else."""
        found = _DIRECTIVE.match(line) if self._may_be_directive else None
        name = found[1].lower() if found else ""
        if found is None or name not in DIRECTIVES:
            self._may_be_directive = False
            return False
        value = found[2].rstrip(" \t\r\f")
        if name in self._file.directives:
            raise DockerfileError(
                f"only one {name} parser directive can be used",
                line=number,
                text=line,
                hint="remove this one",
            )
        if name == "escape" and value not in ("\\", "`"):
            raise DockerfileError(
                f"invalid escape token '{value[:20]}' does not match ` or \\",
                line=number,
                text=line,
                place=value,
                hint="write # escape=` or # escape=\\",
            )
        self._file.directives[name] = value
        self._file.escape = value if name == "escape" else self._file.escape
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
            if line.lstrip(SPACES).startswith("#"):
                continue
            if not line.strip(SPACES):
                has_empty_line = True
                continue
            part, is_whole = self._continued(line)
            parts.append(part)
        whole = "".join(parts)
        if has_empty_line:
            self._file.warnings.append(
                LintWarning("NoEmptyContinuation", "Empty continuation line", start)
            )
        return whole

    def _add(self, text: str, start: int, comments: list[str]) -> None:
        source = "".join(self._lines[start - 1 : self._at]).rstrip("\r\n")
        try:
            node = self._node(text)
            node.heredocs = [self._read(one) for one in _announced(node, text)]
        except DockerfileError as error:
            raise error.at(start, source) from error
        node.comments = comments
        node.source = "".join(self._lines[start - 1 : self._at]).rstrip("\r\n")
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
            "unterminated heredoc",
            hint=f"end it with a line that says {heredoc.name[:60]} and nothing else",
            place=heredoc.name,
        )

    def _node(self, text: str, depth: int = 0) -> Node:
        name, flags, rest = split_command(text, self._file.escape)
        if name.lower() == "onbuild":
            return self._onbuild(name, flags, rest, text, depth)
        form = FORMS.get(name.lower(), forms.nothing)
        following, attributes = form(rest, self._file.escape)
        return Node(value=name, original=text, flags=flags, next=following, attributes=attributes)

    def _onbuild(self, name: str, flags: list[str], rest: str, text: str, depth: int) -> Node:
        if depth > MAX_ONBUILD_DEPTH:
            raise DockerfileError(
                "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
                place="ONBUILD",
                hint="write it once",
            )
        node = Node(value=name, original=text, flags=flags)
        if rest:
            node.next = Node(children=[self._node(rest, depth + 1)])
        return node


def _announced(node: Node, text: str) -> list[Heredoc]:
    """The here-documents that an instruction announces, or the one after its ONBUILD."""
    if node.value.lower() == "onbuild" and node.next and node.next.children:
        node = node.next.children[0]
    if node.value.lower() not in _WITH_HEREDOCS or node.is_json or "<<" not in text:
        return []
    return heredocs_in(text)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
