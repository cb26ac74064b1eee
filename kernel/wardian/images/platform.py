"""Which image of an index is meant: ``--platform linux/arm64/v8`` (image-spec, image-index.md)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from wardian.errors import InvalidInput
from wardian.images.manifest import Descriptor, Index, Platform, architecture

# What other systems call it, and the variant that is meant where none is said (containerd's
# platforms package).
_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386"}
_VARIANTS = {"arm64": "v8", "arm": "v7", "amd64": "v1"}
_WORD = re.compile(r"[A-Za-z0-9_.-]+")
_LEVEL = re.compile(r"v([0-9]{1,3})(?:\.([0-9]{1,3}))?")


def parse_platform(text: str) -> Platform:
    """``linux/arm64/v8``, ``linux/arm64`` or ``arm64``; InvalidInput."""
    words = text.lower().split("/")
    if len(words) > 3 or not all(_WORD.fullmatch(word) for word in words):
        raise InvalidInput(f"not a platform: {text[:80]!a}", hint="like linux/arm64")
    if len(words) == 1:
        words = words if words[0] == "linux" else ["linux", *words]
    system, machine, variant = (*words, "", "")[:3]
    machine = machine or architecture()
    return Platform(_ARCHITECTURES.get(machine, machine), system, variant)


def host_platform() -> Platform:
    """The one of this machine."""
    return Platform(architecture(), "linux")


def show(platform: Platform) -> str:
    """In docker's words."""
    return "/".join(filter(None, (platform.os, platform.architecture, platform.variant)))


def fits(offered: Platform, wanted: Platform) -> bool:
    """Whether an image for ``offered`` runs on ``wanted``; a variant only counts if one was said.

    A machine runs what is for an older variant of it: an arm/v7 what is for v6.
    """
    same = (offered.os, offered.architecture) == (wanted.os, wanted.architecture)
    if not same or not wanted.variant or _variant(offered) == wanted.variant:
        return same
    own, most = _level(_variant(offered)), _level(wanted.variant)
    return own is not None and most is not None and own < most


def _variant(platform: Platform) -> str:
    return platform.variant or _VARIANTS.get(platform.architecture, "")


def _level(variant: str) -> tuple[int, int] | None:
    found = _LEVEL.fullmatch(variant)
    return (int(found[1]), int(found[2] or 0)) if found else None


def select(index: Index, wanted: Platform) -> Descriptor:
    """The image of an index for a platform, that of the usual variant first, else of the newest.

    Raises InvalidInput if there is none.
    """
    fitting = [e for e in index.manifests if e.platform is None or fits(e.platform, wanted)]
    usual = wanted.variant or _VARIANTS.get(wanted.architecture, "")

    def rank(entry: Descriptor) -> tuple[bool, bool, tuple[int, int]]:
        variant = "" if entry.platform is None else _variant(entry.platform)
        major, minor = _level(variant) or (0, 0)
        return entry.platform is None, variant != usual, (-major, -minor)

    if fitting:
        return min(fitting, key=rank)
    raise InvalidInput(
        f"the image is not there for {show(wanted)}", hint=f"it is for: {_offered(index.manifests)}"
    )


def _offered(entries: Iterable[Descriptor]) -> str:
    shown = sorted({show(entry.platform) for entry in entries if entry.platform})
    known = [word for word in shown if not word.startswith("unknown")]
    return ", ".join(known[:20]) or "nothing"
