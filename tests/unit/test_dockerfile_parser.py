"""The Dockerfile's parser: modifiers, here-documents, faults, and whatever bytes it is given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardian.build.expansion import Expander
from wardian.build.faults import DockerfileError
from wardian.build.parser import parse
from wardian.build.stages import outline, recipe
from wardian.cli.program import run


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("${v#*.}", "b.c"),
        ("${v##*.}", "c"),
        ("${v%.*}", "a.b"),
        ("${v%%.*}", "a"),
        ("${v/./-}", "a-b.c"),
        ("${v//./-}", "a-b-c"),
        ("${v/b*/x}", "a.x"),
        ("${none-x}${none+y}", "x"),
    ],
)
def test_modifier_of_a_variable(word: str, expected: str) -> None:
    assert Expander(env={"v": "a.b.c"}).word(word) == expected


def test_heredocs_are_read_and_keep_their_terms() -> None:
    text = "FROM a\nRUN <<-E 3<<'F' cat\n\tx $y\n\tE\nz\nF\nCOPY <<G /d\nG\nONBUILD RUN <<H\nh\nH\n"
    instructions = parse(text).root.children[1:]
    first, second = instructions[0].heredocs
    assert (first.text, first.expand, first.chomp) == ("x $y\n", True, True)
    assert (second.content, second.expand, second.file_descriptor) == ("z\n", False, 3)
    assert [node.heredocs[0].content for node in instructions[1:]] == ["", "h\n"]
    assert (instructions[0].start_line, instructions[0].end_line) == (2, 6)


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("FROM a\nENV x\n", 2, "ENV must have two arguments"),
        ("FROM a\n\nRUN <<E\nx\n", 3, "unterminated heredoc"),
        ('FROM a\nCMD ["a", 1]\n', 2, "strings only"),
        ("FROM a\nLABEL a=b c\n", 2, "can't find = in"),
        ("FROM a\nRUNN x\n", 2, "unknown instruction: RUNN"),
        ("# escape=x\nFROM a\n", 1, "does not match"),
        ("# escape=\\\n# escape=`\nFROM a\n", 2, "only one escape"),
        ("RUN x\n", 1, "no build stage"),
        ("FROM a b\n", 1, "either one or three arguments"),
        ("FROM a AS 1x\n", 1, "invalid name for build stage"),
        ("FROM a\nONBUILD ONBUILD RUN x\n", 2, "ONBUILD ONBUILD"),
        ("", 0, "file with no instructions"),
    ],
)
def test_fault_has_its_line_and_a_remedy(text: str, line: int, part: str) -> None:
    with pytest.raises(DockerfileError, match=part) as caught:
        recipe(parse(text))
    assert caught.value.line == line
    assert caught.value.hint


def test_outline_lists_arguments_with_their_comments() -> None:
    text = (
        "ARG base=a\nFROM $base AS one\nFROM one\n# speed is how fast\nARG speed=3\n"
        "RUN --mount=type=secret,id=key,required --mount=type=ssh true\n"
    )
    shown = outline(recipe(parse(text)))
    assert [(one["name"], one["value"]) for one in shown["args"]] == [("base", "a"), ("speed", "3")]
    assert shown["args"][1]["description"] == "is how fast"
    assert shown["secrets"] == [{"name": "key", "required": True, "line": 6}]
    assert [stage["base"] for stage in shown["stages"]] == ["$base", "one"]


PIECES = st.sampled_from(
    [
        *"\n\\`\"'$ #<{}=-[]:,/\t",
        "RUN",
        "FROM",
        "ENV",
        "<<EOF",
        "ONBUILD ",
        "# escape=`",
        "${x:-",
        "a",
    ]
)


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
def test_no_text_makes_the_parser_fail_otherwise(text: str) -> None:
    try:
        file = parse(text)
        file.root.dump()
        recipe(file)
    except DockerfileError as error:
        assert error.what  # noqa: PT017


@given(st.binary())
def test_no_bytes_make_the_parser_fail_otherwise(data: bytes) -> None:
    try:
        parse(data).root.document()
    except DockerfileError as error:
        assert error.what  # noqa: PT017


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
def test_no_word_makes_the_expansion_fail_otherwise(text: str) -> None:
    for raw in (True, False):
        try:
            Expander(env={"x": "y*"}, raw=raw).words(text)
        except DockerfileError as error:
            assert error.hint  # noqa: PT017


def test_variables_nested_without_end_are_refused() -> None:
    with pytest.raises(DockerfileError, match="too deeply"):
        Expander().word("${x:-" * 10_000)


@pytest.mark.parametrize("form", ["ast", "ast,format=sexpr", "outline"])
def test_command_prints_how_a_file_is_understood(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM wardian/base\nCMD python /app/app.py\n")
    assert run(["build", f"--print={form}", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    if form.endswith("sexpr"):
        assert shown == '(from "wardian/base")\n(cmd "python /app/app.py")\n'
    else:
        assert "wardian/base" in json.dumps(json.loads(shown))
