"""Whatever the bytes, the parser answers a tree or an error, with work in proportion to them."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardian.build.expansion import Expander
from wardian.build.faults import DockerfileError
from wardian.build.parser import MAX_DOCKERFILE_BYTES, parse
from wardian.build.stages import recipe
from wardian.errors import InvalidInput

PIECES = st.sampled_from(
    [
        *"\n\n\n\\`\"'$ #<{}=-[]:,/%\t\r",
        *("RUN ", "ENV ", "COPY ", "ARG ", "ONBUILD ", "HEALTHCHECK CMD ", "FROM a\n"),
        *("# escape=`\n", "\\\n", "<<EOF", "<<-'E' ", "\nEOF\n", "--flag="),
        *("${x:-", "${x//", '["a"', '"b"]', "é", "\udcff"),
    ]
)
TEXTS = st.lists(PIECES, max_size=30).map("".join)


def read(data: bytes | str) -> None:
    """All that is done with a Dockerfile before anything is built."""
    file = parse(data)
    file.root.dump()
    for node in file.root.children:
        node.document()
    recipe(file)


@given(
    st.one_of(
        st.binary(max_size=200), TEXTS.map(lambda text: text.encode("utf-8", "surrogateescape"))
    )
)
@settings(max_examples=400)
def test_any_bytes_are_a_tree_or_invalid_input(data: bytes) -> None:
    try:
        read(data)
    except InvalidInput as error:
        assert error.hint  # noqa: PT017  # an error is one of two right answers
        assert all(line.isprintable() for line in str(error).splitlines())  # noqa: PT017


@given(TEXTS, st.text("ab*?\\\n/", max_size=8))
@settings(max_examples=400)
def test_any_word_is_a_text_or_invalid_input(text: str, value: str) -> None:
    for expander in (Expander(env={"x": value}), Expander(raw=True, keep_unset=True)):
        for expand in (expander.word, expander.words, expander.heredoc):
            with suppress(InvalidInput):
                expand(text)


def steps_of(text: str) -> int:
    """How many calls, Python's and C's, it takes to read."""
    count = 0

    def note(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        with suppress(DockerfileError):
            read(text)
    finally:
        sys.setprofile(before)
    return count


@given(TEXTS, TEXTS, TEXTS)
@settings(max_examples=60, deadline=None)
def test_twice_the_text_takes_at_most_twice_the_steps(head: str, part: str, tail: str) -> None:
    once, twice = (steps_of(f"FROM a\n{head}{part * times}{tail}") for times in (64, 128))
    assert twice <= 2 * once + 2_000


def filled(part: str, size_bytes: int, head: str = "", tail: str = "") -> str:
    return head + part * (size_bytes // len(part)) + tail


# What would grow with the square of the size does not end within a test's time at these sizes.
LARGEST = MAX_DOCKERFILE_BYTES - 100
LARGE = LARGEST // 16  # where every few bytes are a node of the tree
LARGE_FILES = {
    "comments": filled("# a\n", LARGEST),
    "empty lines": filled("\n", LARGEST, "RUN \\\n"),
    "brackets": filled("[ \\\n", LARGEST, "CMD "),
    "numbers": filled("1 \\\n", LARGEST, "CMD ["),
    "quotes": filled("'a \\\n", LARGEST, "RUN \\\n"),
    "escapes": filled("`\\\n", LARGEST, "LABEL "),
    "ONBUILD": filled("ONBUILD \\\n", LARGEST),
    "flags": filled("--a \\\n", LARGE, "COPY "),
    "pairs": filled("a=b \\\n", LARGE, "ENV "),
    "instructions": filled("RUN a\n", LARGE),
    "variables": filled("${x:-a} \\\n", LARGE, "RUN <<E \\\n", "\nE"),
    "heredocs": filled("E\n", LARGE, "RUN " + "<<E " * 1000 + "\n"),
    "heredocs that are missing": filled("<<E \\\n", LARGE, "RUN "),
}


@pytest.mark.parametrize("name", LARGE_FILES)
def test_large_file_is_read_before_the_test_times_out(name: str) -> None:
    with suppress(DockerfileError):
        read(f"FROM a\n{LARGE_FILES[name]}")


def test_file_beyond_the_limit_is_refused() -> None:
    with pytest.raises(DockerfileError, match="larger than 2 MB"):
        parse(b"#" * (MAX_DOCKERFILE_BYTES + 1))
