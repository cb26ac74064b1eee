"""Names that a container chose can't do anything to whoever looks at them."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from wardian.observe.label import label, unlabel, visible


def test_plain_names_stay_as_they_are() -> None:
    assert label("/etc/hosts") == "/etc/hosts"
    assert label("/srv/한국어 пример") == "/srv/한국어 пример"


def test_terminal_escapes_become_visible() -> None:
    assert label("a\x1b[2Jb\n") == "a\\x1b[2Jb\\x0a"


def test_right_to_left_override_becomes_visible() -> None:
    assert label("exe\u202efdp") == "exe\\u{202e}fdp"


def test_bytes_that_are_not_utf8_become_visible() -> None:
    assert label(os.fsdecode(b"\xff\xfe")) == "\\xff\\xfe"


def test_a_byte_is_not_the_character_of_its_number() -> None:
    assert label(os.fsdecode(b"\x85")) == "\\x85" != label("\x85")


def test_an_escape_can_not_be_forged() -> None:
    assert label("\\x1b") == "\\\\x1b" != label("\x1b")


@given(st.text())
def test_a_label_has_no_control_or_format_characters(text: str) -> None:
    assert all(
        char.isprintable() or char == " " for char in label(text).replace("\u3000", " ")
    ) or (not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in label(text)))


NAMES = st.one_of(st.text(), st.binary().map(os.fsdecode))


@given(NAMES, NAMES)
def test_two_names_never_share_a_label(one: str, other: str) -> None:
    assert (label(one) == label(other)) == (one == other)


@given(NAMES)
def test_a_label_stands_for_its_name_and_no_other(name: str) -> None:
    assert unlabel(label(name)) in (name, None)
    assert name.endswith(tuple("0123456789abcdef")) or unlabel(label(name)) == name


def test_what_is_no_label_stands_for_nothing() -> None:
    assert [unlabel(one) for one in ("\x1b", "a\\b", "\\u{110000}", "\\x4", label("a" * 5000))] == [
        None
    ] * 5


def test_a_line_of_a_file_keeps_its_tabs_and_backslashes() -> None:
    assert visible("\tprintf 'a\\n'\x1b[2J\r") == "\tprintf 'a\\n'\\x1b[2J\\x0d"


def test_long_names_are_cut_and_stay_different() -> None:
    one, other = label("a" * 5000 + "1", max_chars=100), label("a" * 5000 + "2", max_chars=100)
    assert len(one) == len(other) == 100
    assert one != other
