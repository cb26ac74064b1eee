"""Names of images, read as Docker reads them (distribution/reference, normalize.go).

debian                         docker.io/library/debian:latest
someone/thing:1.2              docker.io/someone/thing:1.2
localhost:5000/thing@sha256:…  as it stands
wardian/base                   ours: it is made here and comes from no registry
"""

from __future__ import annotations

import re

import msgspec

from wardian.errors import InvalidInput

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
OURS = "wardian/"
MAX_NAME = 255

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?\.)*[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"(?:{_HOST}|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_IDENTIFIER = re.compile(r"[0-9a-f]{64}")


def is_digest(text: str) -> bool:
    """Whether this is ``sha256:`` and 64 hexadecimal digits."""
    return _DIGEST.fullmatch(text) is not None


class Reference(msgspec.Struct, frozen=True):
    """Where an image is from and which it is. ``domain`` is "" for those that are ours."""

    domain: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a name as a user types it; InvalidInput says what is wrong with it.

        Without tag and digest the tag is ``latest``.
        """
        name, _, digest = text.partition("@")
        if digest and not is_digest(digest):
            raise _wrong(text, "the digest is not sha256: and 64 hexadecimal digits")
        tag = None
        if ":" in name.rpartition("/")[2]:
            name, _, tag = name.rpartition(":")
        domain, path = _split(name)
        if tag is not None and not _TAG.fullmatch(tag):
            raise _wrong(text, "the tag has characters that no tag may have")
        if len(name) > MAX_NAME:
            raise _wrong(text, f"it is longer than {MAX_NAME} characters")
        if _IDENTIFIER.fullmatch(name):
            raise _wrong(text, "64 hexadecimal digits alone are an id, not a name")
        if path != path.lower():
            raise _wrong(text, "names are lowercase")
        if not _PATH.fullmatch(path) or not (domain in ("", _SHORT) or _DOMAIN.fullmatch(domain)):
            raise _wrong(text, "write it as [HOST[:PORT]/]NAME[:TAG][@DIGEST]")
        if "@" in text and not digest:
            raise _wrong(text, "the digest is missing")
        if tag is None and not digest:
            tag = DEFAULT_TAG
        return cls(*_normal(domain, path), tag, digest or None)

    def __str__(self) -> str:
        """The full name, which the store goes by; that of ours has no ``:latest``."""
        is_plain = self.is_ours and self.tag == DEFAULT_TAG
        tag = f":{self.tag}" if self.tag and not is_plain else ""
        domain = f"{self.domain}/" if self.domain else ""
        return f"{domain}{self.path}{tag}{f'@{self.digest}' if self.digest else ''}"

    @property
    def is_ours(self) -> bool:
        """Whether it is made here from the host's programs."""
        return not self.domain

    @property
    def familiar(self) -> str:
        """The short name that users know: ``debian:12`` for docker.io/library/debian:12."""
        full = str(self)
        if self.domain != DEFAULT_DOMAIN or self.path.startswith(OURS):
            return full  # without its domain the latter would be ours
        name = self.path.removeprefix("library/")
        return full.removeprefix(f"{DEFAULT_DOMAIN}/" + "library/" * ("/" not in name))


_SHORT = "\0"  # no domain was given


def _split(name: str) -> tuple[str, str]:
    """Domain and path: a first word with a dot, a colon or capitals, or localhost, is a host."""
    first, slash, rest = name.partition("/")
    if not slash or not (set(".:") & set(first) or first == "localhost" or first != first.lower()):
        return _SHORT, name
    return first, rest


def _normal(domain: str, path: str) -> tuple[str, str]:
    if domain == _SHORT:
        if path.startswith(OURS):
            return "", path
        domain = DEFAULT_DOMAIN
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = f"library/{path}"
    return domain, path


def _wrong(text: str, why: str) -> InvalidInput:
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    return InvalidInput(f"not an image name: {shown!a}", hint=why)
