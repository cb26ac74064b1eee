"""Long strings are taken out of JSON text: what is then valid was valid before."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardian.cells import abridged, protocol
from wardian.errors import ProtocolError

words = st.text(st.sampled_from('a"\\é€😀\n\t\x01/u'), max_size=120)
values = st.recursive(
    st.none() | st.integers() | words, lambda inner: st.lists(inner) | st.dictionaries(words, inner)
)


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abridged, "PIECE_BYTES", 24)
    monkeypatch.setattr(abridged, "SHORT_BYTES", 8)


def _text(value: Any, *, ascii_only: bool) -> bytes:
    return json.dumps(value, ensure_ascii=ascii_only).encode()


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text.decode("utf-8"), strict=True)
    except ValueError:
        return False
    return True


@given(values, st.booleans())
def test_text_without_its_long_strings_is_as_valid(value: Any, ascii_only: bool) -> None:  # noqa: FBT001
    whole = _text(value, ascii_only=ascii_only)
    short = abridged.abridge(memoryview(whole))
    assert short is None or (_is_json(short) and len(short) <= len(whole))


@given(values, st.data())
def test_what_is_no_json_is_not_hidden(value: Any, data: st.DataObject) -> None:
    broken = bytearray(_text({"data": value}, ascii_only=data.draw(st.booleans())))
    at = data.draw(st.integers(0, len(broken) - 1))
    broken[at : at + data.draw(st.integers(0, 2))] = data.draw(
        st.sampled_from([b'"', b"\\", b"\xff", b"\xc3", b"\n", b"\\ud800", b"{", b""])
    )
    short = abridged.abridge(memoryview(broken))
    if short is not None and _is_json(short):
        assert _is_json(bytes(broken))


@pytest.mark.parametrize("unit", ["x", "é", "😀", "a line\n", "\\"])
def test_long_text_is_taken_out(unit: str) -> None:
    whole = _text({"data": {"text/plain": unit * 999}, "metadata": {}}, ascii_only=False)
    short = abridged.abridge(memoryview(whole))
    assert short is not None
    assert json.loads(short) == {"data": {"text/plain": ""}, "metadata": {}}


@pytest.mark.parametrize("what", [b"\n", b"\xff", b"\xc3", b"\\x", b"\\ud800"])
def test_long_string_that_is_none_is_refused(what: bytes) -> None:
    content = b'{"data":{"text/plain":"%b"}}' % (b"x" * 99 + what + b"x" * 99)
    with pytest.raises(ProtocolError):
        protocol.check_long_content("display_data", memoryview(content))


def test_name_of_a_field_may_lie_across_a_border() -> None:
    content = b'{"other":"%b","data":{"text/plain":"%b"}}' % (b"x" * 11, b"x" * 99)
    protocol.check_long_content("display_data", memoryview(content))
    with pytest.raises(ProtocolError):
        protocol.check_long_content("display_data", memoryview(content.replace(b"data", b"date")))
