"""What a Dockerfile's text becomes: the tree in the form of BuildKit's parser dump.

The expected trees were compared with those that BuildKit's own parser prints for the same texts.
"""

# ruff: noqa: E501  # one row, one case

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wardian.build.faults import DockerfileError
from wardian.build.parser import MAX_LINE_BYTES, parse
from wardian.build.stages import recipe
from wardian.cli.program import run

EVERY_INSTRUCTION = r"""
ARG release=12 mirror quoted="a b"
FROM --platform=linux/amd64 debian:${release} AS tools
MAINTAINER The Lecturer <lecturer@example.org>
LABEL course="operating systems" term=winter\ 2026
LABEL motto one two  three
ENV EDITOR=vi GREETING='good day'
ENV OLD an old form
WORKDIR /srv/my app
USER 1000:1000
ADD --checksum=sha256:ab --unpack=true https://example.org/a.tar /opt/
COPY --from=tools --chown=0:0 a b   c /dst/
COPY ["with blank", "/dst/"]
RUN --mount=type=cache,target=/root/.cache --network=none make  all && echo "done"
RUN ["make", "install"]
CMD python app.py
ENTRYPOINT ["/init", "--", "sh"]
EXPOSE 80/tcp 53/udp
VOLUME /data /log
VOLUME ["/data"]
STOPSIGNAL SIGINT
SHELL ["/bin/bash", "-c"]
HEALTHCHECK --interval=5s --retries=3 CMD curl -f http://localhost/ || exit 1
HEALTHCHECK NONE
ONBUILD RUN --network=none ldconfig
ONBUILD COPY . /app
"""

THEIR_TREE = r"""
(arg "release=12" "mirror" "quoted=\"a b\"")
(from ["--platform=linux/amd64"] "debian:${release}" "AS" "tools")
(maintainer "The Lecturer <lecturer@example.org>")
(label "course" "\"operating systems\"" "=" "term" "winter\\ 2026" "=")
(label "motto" "one two  three" "")
(env "EDITOR" "vi" "=" "GREETING" "'good day'" "=")
(env "OLD" "an old form" "")
(workdir "/srv/my app")
(user "1000:1000")
(add ["--checksum=sha256:ab" "--unpack=true"] "https://example.org/a.tar" "/opt/")
(copy ["--from=tools" "--chown=0:0"] "a" "b" "c" "/dst/")
(copy "with blank" "/dst/")
(run ["--mount=type=cache,target=/root/.cache" "--network=none"] "make  all && echo \"done\"")
(run "make" "install")
(cmd "python app.py")
(entrypoint "/init" "--" "sh")
(expose "80/tcp" "53/udp")
(volume "/data" "/log")
(volume "/data")
(stopsignal "SIGINT")
(shell "/bin/bash" "-c")
(healthcheck ["--interval=5s" "--retries=3"] "CMD" "curl -f http://localhost/ || exit 1")
(healthcheck "NONE")
(onbuild (run ["--network=none"] "ldconfig"))
(onbuild (copy "." "/app"))
"""

TREES = [
    pytest.param(EVERY_INSTRUCTION, THEIR_TREE.strip(), id="every instruction"),
    pytest.param("from a\nRuN b\n", '(from "a")\n(run "b")', id="names in any case"),
    pytest.param("FROM a\r\nRUN b \\\r\n  c\r\n", '(from "a")\n(run "b   c")', id="CRLF"),
    pytest.param("\ufeffFROM a", '(from "a")', id="byte order mark"),
    pytest.param("FROM a\nRUN b \\\n# no part\n  c \\ \t\n d\n", '(from "a")\n(run "b   c  d")', id="comment in between"),
    pytest.param("FROM a\nRUN b \\\n\n  c", '(from "a")\n(run "b   c")', id="empty line in between"),
    pytest.param("FROM a\nRUN b \\", '(from "a")\n(run "b")', id="nothing to continue with"),
    pytest.param("FROM a\nRUN b \\\\\nRUN c\n", '(from "a")\n(run "b \\\\\\\\")\n(run "c")', id="escaped escape"),
    pytest.param("# escape=`\nFROM a\nRUN b `\n c:\\\n", '(from "a")\n(run "b  c:\\\\")', id="escape directive"),
    pytest.param("#\n# escape=`\nFROM a\nRUN b \\\n c\n", '(from "a")\n(run "b  c")', id="directive after a comment"),
    pytest.param("# escape=`\nFROM a\nENV x=1` 2\n", '(from "a")\n(env "x" "1` 2" "=")', id="escaped blank"),
    pytest.param("FROM a\n  # indented\n\tRUN b # kept\n", '(from "a")\n(run "b # kept")', id="comments"),
    pytest.param("FROM a\nCMD ['b']\n", '(from "a")\n(cmd "[\'b\']")', id="single quotes are no JSON"),
    pytest.param('FROM a\nCMD ["b"] c\n', '(from "a")\n(cmd "[\\"b\\"] c")', id="JSON and more is no JSON"),
    pytest.param('FROM a\nCMD ["b",]\nCMD []\n', '(from "a")\n(cmd "[\\"b\\",]")\n(cmd)', id="comma at the end"),
    pytest.param('FROM a\nCMD ["\\u00e9\\t\\ud800"]\n', '(from "a")\n(cmd "é\\t\ufffd")', id="JSON's escapes"),
    pytest.param("FROM a\nCOPY --link --exclude='a b' -- --c d\n", '(from "a")\n(copy ["--link" "--exclude=a b"] "--c" "d")', id="end of flags"),
    pytest.param('FROM a\nRUN --x=\\"y -z\n', '(from "a")\n(run ["--x=\\"y"] "-z")', id="escaped quote in a flag"),
    pytest.param("FROM a\nRUN\nONBUILD\nENV\n", '(from "a")\n(run)\n(onbuild)\n(env)', id="no arguments"),
    pytest.param("FROM a\nNONSENSE b c\n", '(from "a")\n(nonsense "")', id="unknown instruction"),
    pytest.param("FROM a\nENV a=\"b\\\"c d\" e='\\' f=\n", '(from "a")\n(env "a" "\\"b\\\\\\"c d\\"" "=" "e" "\'\\\\\'" "=" "f" "" "=")', id="quotes"),
    pytest.param("FROM a\nRUN <<E cat\nFROM b\nE\nRUN c\n", '(from "a")\n(run "<<E cat")\n(run "c")', id="heredoc"),
    pytest.param('FROM a\nRUN ["<<E"]\nCMD <<E\n', '(from "a")\n(run "<<E")\n(cmd "<<E")', id="no heredoc"),
    pytest.param("FROM a\nUSER a\x01\x7f\u200b\\\n", '(from "a")\n(user "a\\x01\\x7f\\u200b")', id="control characters"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "tree"), TREES)
def test_tree_has_the_form_of_buildkits_dump(text: str, tree: str) -> None:
    assert parse(text).root.dump() == tree


def test_bytes_that_are_no_utf8_are_shown_as_such() -> None:
    assert parse(b"FROM a\nUSER \xff\n").root.dump() == '(from "a")\n(user "\\xff")'


def test_directives_are_told() -> None:
    file = parse(
        "# Syntax = docker/dockerfile:1\n#check=skip=all;error=true \n# escape = `\nFROM a\n"
    )
    assert file.directives == {
        "syntax": "docker/dockerfile:1",
        "check": "skip=all;error=true",
        "escape": "`",
    }
    assert file.escape == "`"
    assert file.root.children[0].comments == []


def test_instruction_knows_its_lines_and_the_comments_above() -> None:
    file = parse("# gone\n#\n# first\n\n# second\nFROM a\nRUN b \\\n c <<E\nE\nCMD d")
    lines = [(node.start_line, node.end_line) for node in file.root.children]
    assert lines == [(6, 6), (7, 9), (10, 10)]
    assert [node.comments for node in file.root.children] == [["first", "second"], [], []]


def test_empty_continuation_line_is_warned_of() -> None:
    (warning,) = parse("FROM a\nRUN b \\\n\n c\n").warnings
    assert (warning.rule, warning.line) == ("NoEmptyContinuation", 2)


@pytest.mark.parametrize(
    ("line", "name", "expand", "chomp", "descriptor"),
    [
        ("RUN <<EOF", "EOF", True, False, 0),
        ("RUN cat <<-'EOF' | sh", "EOF", False, True, 0),
        ('COPY << "END OF" /a', "END OF", False, False, 0),
        ("ADD 7<<E\\F /a", "EF", True, False, 7),
        ("ONBUILD RUN <<$x", "$x", True, False, 0),
        ("RUN echo ${y:0:3} <<EOF", "EOF", True, False, 0),
    ],
)
def test_heredoc_has_its_terms(
    line: str, name: str, *, expand: bool, chomp: bool, descriptor: int
) -> None:
    file = parse(f"FROM a\n{line}\n\t$text \\\n# kept\n{name}\n")
    (found,) = file.root.children[1].heredocs
    assert (found.name, found.expand, found.chomp) == (name, expand, chomp)
    assert found.file_descriptor == descriptor
    assert found.content == "\t$text \\\n# kept\n"
    assert found.text == ("$text \\\n# kept\n" if chomp else found.content)


@pytest.mark.parametrize(
    "line", ["RUN $((1<<2))", "RUN a <<<b", "RUN '<<E'", 'RUN "<<E', "CMD <<E"]
)
def test_what_only_looks_like_a_heredoc_is_none(line: str) -> None:
    assert not any(node.heredocs for node in parse(f"FROM a\n{line}\nCMD b\n").root.children)


def test_document_is_json_and_has_all_of_the_tree() -> None:
    file = parse("FROM a\n# why\nONBUILD RUN --x=y <<E\nz\nE\n")
    shown = json.loads(json.dumps(file.root.children[1].document()))
    assert shown["instruction"] == "ONBUILD" and shown["comments"] == ["why"]
    assert shown["children"][0]["flags"] == ["--x=y"]
    assert shown["heredocs"][0]["content"] == "z\n"
    assert (shown["start_line"], shown["end_line"]) == (3, 5)


FAULTS = [
    ("FROM a\nLABEL x=1 \\\n   y z=2\n", (3, 4), 'can\'t find = in "y"'),
    ("FROM a\n  RNU make\n", (2, 3), "unknown instruction: RNU"),
    ("# escape=?\nFROM a\n", (1, 10), "invalid escape token '?'"),
    ("# escape=`\n#escape=`\n", (2, 0), "only one escape parser directive"),
    ("FROM a\nENV   x\n", (2, 7), "ENV must have two arguments"),
    ('FROM a\nCMD ["b", 1]\n', (2, 5), "arrays must be comprised of strings only"),
    ("FROM a\nRUN cat <<END\nx\n", (2, 11), "unterminated heredoc"),
    ("FROM a\nONBUILD ONBUILD RUN b\n", (2, 1), "Chaining ONBUILD"),
    ("FROM a\nONBUILD FROM b\n", (2, 9), "FROM isn't allowed as an ONBUILD trigger"),
    ("FROM a\nONBUILD\n", (2, 0), "ONBUILD requires at least one argument"),
    ("FROM a\nRUN " + "x" * MAX_LINE_BYTES, (2, 0), "line greater than max allowed size"),
    ("RUN a\n", (1, 0), "no build stage"),
]


@pytest.mark.parametrize(("text", "place", "reason"), FAULTS)
def test_fault_names_line_place_and_remedy(text: str, place: tuple[int, int], reason: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        recipe(parse(text))
    error = caught.value
    assert (error.line, error.column) == place
    column = f":{place[1]}" if place[1] else ""
    assert error.what.startswith(f"Dockerfile:{place[0]}{column}: ")
    assert reason in error.reason
    assert error.hint


def test_fault_points_at_the_place() -> None:
    with pytest.raises(DockerfileError) as caught:
        parse("FROM a\nENV x=1 \\\n\tyes z=2\n")
    assert caught.value.what.splitlines()[1:] == ["     3 |  yes z=2", "       |  ^^^"]


def test_fault_brings_no_control_characters_to_a_terminal() -> None:
    with pytest.raises(DockerfileError) as caught:
        recipe(parse("FROM a\n\x1b[31mRUN\x9b b\n"))
    assert "\x1b" not in str(caught.value) and "\x9b" not in str(caught.value)


OUTLINE = """\
(outline
  (target "app")
  (args ((name "v") (value nil) (line 5) (description "which one")))
  (stages ((index 0) (name "app") (base "a") (description "what runs") (line 2) \
(instructions "ARG v" "RUN \\"b\\"") (onbuild)))
  (secrets)
  (ssh))
"""


def test_outline_can_be_an_s_expression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = '# app what runs\nFROM a AS app\n# about it\n# v which one\nARG v\nRUN "b"\n'
    (tmp_path / "Dockerfile").write_text(text)
    assert run(["build", "--print=outline,format=sexpr", str(tmp_path)]) == 0
    assert capsys.readouterr().out == OUTLINE


def test_command_refuses_a_wrong_file_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").write_text("FROM a\nENV x\n")
    assert run(["build", "--print=ast", "-f", str(tmp_path / "other"), str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    place = f"{tmp_path / 'other'}:2:5"
    assert printed.err.splitlines()[0] == f"wardian: {place}: ENV must have two arguments"
    assert printed.err.splitlines()[-1] == "hint: write ENV x=VALUE"


def test_fault_shows_its_whole_instruction_with_its_here_document() -> None:
    node = parse("FROM a\nRUN x && \\\n  <<E cat\nb\nE\nUSER c").root.children[1]
    fault = DockerfileError("failed", line=node.start_line, text=node.source)
    assert fault.what.splitlines()[1:] == [
        "     2 | RUN x && \\",
        "     3 |   <<E cat",
        "     4 | b",
        "     5 | E",
    ]
    long = DockerfileError("failed", line=9, text="\n".join("abcdefghij"))
    assert long.what.splitlines()[-2:] == ["    15 | g", "       | … 3 more lines"]
