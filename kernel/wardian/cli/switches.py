"""Boolean flags with a value, as docker's command line takes them: ``--rm=false``, ``-t=true``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import click

_TRUTH = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def plain(args: Sequence[str], params: Sequence[click.Parameter], *, mixed: bool) -> list[str]:
    """The arguments with every such flag written as click knows it, or left out.

    Unless options and arguments may be ``mixed``, what follows the first argument is let alone.
    """
    options = {
        name: option
        for option in params
        if isinstance(option, click.Option)
        for name in (*option.opts, *option.secondary_opts)
    }
    return list(_plain(list(args), options, mixed=mixed))


def _plain(args: list[str], options: Mapping[str, click.Option], *, mixed: bool) -> Iterator[str]:
    while args:
        word = args.pop(0)
        is_argument = word[:1] != "-" or word == "-"
        if word == "--" or (is_argument and not mixed):
            yield from (word, *args)
            return
        name, equals, value = word.partition("=")
        option = options.get(name)
        if option is not None and option.is_flag and equals and value in _TRUTH:
            yield from _switch(option, name, is_on=_TRUTH[value])
            continue
        yield word
        if args and not is_argument and _wants_more(word, options):
            yield args.pop(0)


def _switch(option: click.Option, name: str, *, is_on: bool) -> Iterator[str]:
    opposite = option.secondary_opts if name in option.opts else option.opts
    if is_on:
        yield name
    elif opposite:
        yield opposite[-1]


def _wants_more(word: str, options: Mapping[str, click.Option]) -> bool:
    """Whether the next word is this option's value, be it the last of several short ones."""
    if word.startswith("--") or word in options:
        option = options.get(word)
        return option is not None and not option.is_flag and not option.count
    for position, letter in enumerate(word[1:], start=1):
        option = options.get(f"-{letter}")
        if option is None:
            return False
        if not option.is_flag and not option.count:
            return position == len(word) - 1
    return False
