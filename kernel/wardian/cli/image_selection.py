"""Which images are meant: the filters of ``images``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from wardian.cli.images import created_s, key_of, named, split
from wardian.cli.words import filters, fits, has_label, moment
from wardian.errors import InvalidInput
from wardian.images.reference import Reference
from wardian.images.store import UNNAMED

if TYPE_CHECKING:
    from wardian.images.store import Image, ImageStore

Tests = Mapping[str, Callable[["Image", str], bool]]
TRUTH = {"true": True, "1": True, "false": False, "0": False}


def select(
    store: ImageStore, filter_words: Iterable[str], name: str | None, now_s: float
) -> Sequence[Image]:
    """Those of this repository (and tag) that pass the filters. InvalidInput, NotFound."""
    tests = _tests(store, now_s)
    wanted = filters(filter_words, tests)
    return [
        image
        for image in store.list()
        if (name is None or _is_called(image, name)) and fits(image, wanted, tests)
    ]


def _tests(store: ImageStore, now_s: float) -> Tests:
    def made_s(word: str) -> float:
        return created_s(store.get(named(store, word)).config)

    return {
        "reference": _is_like,
        "label": lambda image, value: has_label(image.labels, value),
        "dangling": lambda image, value: (image.reference == UNNAMED) is is_true(value),
        "before": lambda image, value: created_s(image.config) < made_s(value),
        "since": lambda image, value: created_s(image.config) > made_s(value),
        "until": lambda image, value: created_s(image.config) < moment(value, now_s=now_s),
    }


def is_true(word: str) -> bool:
    """``dangling=true``."""
    if word not in TRUTH:
        raise InvalidInput(f"not true or false: dangling={word[:40]}")
    return TRUTH[word]


def _is_called(image: Image, name: str) -> bool:
    if image.reference == UNNAMED:
        return False
    reference, wanted = Reference.parse(key_of(image)), Reference.parse(name)
    is_there = (reference.domain, reference.path) == (wanted.domain, wanted.path)
    has_tag = ":" in name.rpartition("/")[2]
    return is_there and (not has_tag or reference.tag == wanted.tag)


def _is_like(image: Image, pattern: str) -> bool:
    """Docker's: a pattern for the name, with the tag or without."""
    if image.reference == UNNAMED:
        return False
    full = Reference.parse(image.reference)
    names = {image.reference, full.familiar}
    names |= {f"{repository}:{tag}" for repository, tag in map(split, list(names))}
    names |= {split(name)[0] for name in list(names)}
    return any(fnmatchcase(name, pattern) for name in names)
