"""Which of what is not in use goes: the filters of docker's ``prune`` commands."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click

from wardian.cli.words import Filter, filters, has_label, moment

F = TypeVar("F", bound=Callable[..., Any])
KEYS = ("label", "label!", "until")
Fits = Callable[[float, Mapping[str, str]], bool]


def prune_options(function: F) -> F:
    """``--force`` and ``--filter``."""
    function = click.option(
        "--filter",
        "filter_words",
        multiple=True,
        metavar="KEY=VALUE",
        help="until= (made before), label=, label!=; all must hold.",
    )(function)
    return click.option("-f", "--force", is_flag=True, help="Do not ask.")(function)


def fitting(words: Iterable[str]) -> Fits:
    """Whether something that was made then, with these labels, passes all the filters."""
    return all_of(filters(words, KEYS))


def all_of(wanted: Sequence[Filter]) -> Fits:
    """The same of filters that were read already."""
    now_s = time.time()
    latest_s = [moment(one.value, now_s=now_s) for one in wanted if one.key == "until"]

    def fits(made_s: float, labels: Mapping[str, str]) -> bool:
        return all(made_s < until_s for until_s in latest_s) and all(
            has_label(labels, one.value) is (one.key == "label")
            for one in wanted
            if one.key in ("label", "label!")
        )

    return fits
