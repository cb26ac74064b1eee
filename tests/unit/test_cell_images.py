"""Pictures found in a byte stream, wherever it is cut into pieces."""

from __future__ import annotations

import base64
import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardian.cells.images import ImageFinder, Picture, media_type, picture_end

GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
SVG = b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"></svg>\n'


def drawn(form: str) -> bytes:
    image = pytest.importorskip("PIL.Image")
    buffer = io.BytesIO()
    image.effect_noise((40, 30), 90).convert("RGB").save(buffer, form)
    return buffer.getvalue()


PICTURES = {
    "image/png": drawn("PNG"),
    "image/jpeg": drawn("JPEG"),
    "image/gif": GIF,
}


def split(pieces: list[bytes]) -> list[bytes | Picture]:
    """What a finder makes of a stream, neighbouring text joined."""
    finder = ImageFinder()
    found: list[bytes | Picture] = []
    for piece in pieces:
        found += finder.feed(piece)
    found.append(finder.finish())
    joined: list[bytes | Picture] = []
    for each in found:
        if isinstance(each, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] += each
        elif each:
            joined.append(each)
    return joined


@pytest.mark.parametrize("mime", PICTURES)
def test_picture_is_cut_out_whole(mime: str) -> None:
    data = PICTURES[mime]
    assert media_type(data) == mime
    assert picture_end(data) == len(data)
    assert split([b"before\n" + data + b"after"]) == [b"before\n", Picture(mime, data), b"after"]


@given(st.sampled_from(sorted(PICTURES)), st.lists(st.integers(0, 3000), max_size=5))
def test_where_the_stream_is_cut_makes_no_difference(mime: str, cuts: list[int]) -> None:
    stream = b"text \x89P" + PICTURES[mime] + PICTURES["image/gif"] + b"end GIF8"
    places = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    pieces = [stream[a:b] for a, b in itertools.pairwise(places)]
    assert split(pieces) == [
        b"text \x89P",
        Picture(mime, PICTURES[mime]),
        Picture("image/gif", GIF),
        b"end GIF8",
    ]


@given(st.lists(st.integers(0, len(SVG)), max_size=4))
def test_svg_is_found_at_the_start_of_the_output(cuts: list[int]) -> None:
    places = sorted({0, *cuts, len(SVG)})
    pieces = [SVG[a:b] for a, b in itertools.pairwise(places)]
    assert b"".join(e.data for e in split(pieces) if isinstance(e, Picture)).strip() == SVG.strip()


def test_svg_inside_other_text_stays_text() -> None:
    assert split([b"<html>\n" + SVG]) == [b"<html>\n" + SVG]


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a"]),
)
def test_no_byte_is_lost_or_added(data: bytes, start: bytes) -> None:
    stream = start + data
    pieces = split([stream[:7], stream[7:]])
    assert b"".join(e.data if isinstance(e, Picture) else e for e in pieces) == stream


@given(st.binary(max_size=300))
def test_torn_pictures_end_no_search_badly(data: bytes) -> None:
    for picture in PICTURES.values():
        torn = picture[: len(picture) // 2] + data
        assert picture_end(torn) in (None, *range(len(torn) + 1))
