"""Names of images mean what they mean to Docker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardian.errors import InvalidInput
from wardian.images.reference import Reference, is_digest

DIGEST = "sha256:" + "a1" * 32

MEANINGS = {
    "debian": "docker.io/library/debian:latest",
    "debian:12": "docker.io/library/debian:12",
    "library/debian": "docker.io/library/debian:latest",
    "docker.io/debian": "docker.io/library/debian:latest",
    "index.docker.io/debian": "docker.io/library/debian:latest",
    "someone/thing": "docker.io/someone/thing:latest",
    "a/b/c": "docker.io/a/b/c:latest",
    "localhost/thing": "localhost/thing:latest",
    "localhost:5000/thing": "localhost:5000/thing:latest",
    "127.0.0.1:5000/a/b:v1": "127.0.0.1:5000/a/b:v1",
    "[2001:db8::1]:5000/thing": "[2001:db8::1]:5000/thing:latest",
    "example.org/thing:v1.2-3_x": "example.org/thing:v1.2-3_x",
    "Example/thing": "Example/thing:latest",
    "example.org:443/thing@" + DIGEST: "example.org:443/thing@" + DIGEST,
    "debian:12@" + DIGEST: "docker.io/library/debian:12@" + DIGEST,
    "a__b/c.d/e-f--g": "docker.io/a__b/c.d/e-f--g:latest",
    "wardian/base": "wardian/base",
    "wardian/base:latest": "wardian/base",
    "wardian/base:2": "wardian/base:2",
    "docker.io/wardian/base": "docker.io/wardian/base:latest",
    "0" * 63: "docker.io/library/" + "0" * 63 + ":latest",
}


@pytest.mark.parametrize("text", MEANINGS)
def test_short_names_are_completed_as_docker_does(text: str) -> None:
    assert str(Reference.parse(text)) == MEANINGS[text]


@pytest.mark.parametrize("text", MEANINGS)
def test_familiar_name_means_the_same_image(text: str) -> None:
    reference = Reference.parse(text)
    assert Reference.parse(reference.familiar) == reference


@pytest.mark.parametrize(
    ("text", "familiar"),
    [
        ("docker.io/library/debian:12", "debian:12"),
        ("docker.io/someone/thing", "someone/thing:latest"),
        ("example.org/library/x", "example.org/library/x:latest"),
        ("docker.io/library/a/b", "library/a/b:latest"),
        ("docker.io/wardian/base", "docker.io/wardian/base:latest"),
        ("wardian/base", "wardian/base"),
    ],
)
def test_familiar_name_is_the_one_that_users_know(text: str, familiar: str) -> None:
    assert Reference.parse(text).familiar == familiar


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":tag",
        "@",
        "debian@",
        "debian:",
        "Debian",
        "docker.io/Debian",
        "-debian",
        "debian-",
        "a//b",
        "a/../b",
        "../b",
        "/a",
        "a/",
        "a b",
        "a\n",
        "debian:-x",
        "debian:" + "x" * 129,
        "debian:a:b",
        "a___b",
        "a..b",
        "http://example.org/a",
        "example.org:port/a",
        "ex_ample.org/a",
        "x" * 256,
        "a1" * 32,
        "debian@sha256:" + "a" * 63,
        "debian@md5:" + "a" * 32,
        "debian@sha256:../../x",
        "[::1/a",
        "дебиан",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not an image name"):
        Reference.parse(text)


@given(st.text(max_size=60))
def test_any_text_is_a_name_or_is_refused(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InvalidInput:
        return
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(reference.familiar) == reference


@given(st.from_regex(r"([a-zA-Z0-9._:-]{0,9}/)?[a-z0-9._/-]{1,12}(:[\w.-]{0,5})?", fullmatch=True))
def test_whatever_looks_like_a_name_keeps_its_meaning(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InvalidInput:
        return
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(reference.familiar) == reference


@pytest.mark.parametrize("text", ["sha256:../../x", "sha256:" + "A" * 64, DIGEST + "\n", "a" * 64])
def test_only_sixty_four_digits_are_a_digest(text: str) -> None:
    assert is_digest(DIGEST)
    assert not is_digest(text)
