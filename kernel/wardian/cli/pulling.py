"""``run --pull``: an image that is not here, or may have changed, is got first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from wardian.images.manifest import Platform
    from wardian.images.store import ImageStore

F = TypeVar("F", bound=Callable[..., Any])
ALWAYS, MISSING, NEVER = WHEN = ("always", "missing", "never")
PULL_NAMES = ("pull", "platform", "quiet")


def pull_options(function: F) -> F:
    """``--pull``, ``--platform``, ``--quiet``."""
    options = (
        click.option(
            "--pull",
            type=click.Choice(WHEN),
            default=MISSING,
            help="When to get the image from its registry (missing).",
        ),
        click.option("--platform", metavar="OS/ARCH", help="For which platform it is to be."),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing of a pull."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def ensure(
    store: ImageStore,
    name: str,
    *,
    pull: str = MISSING,
    platform: str | None = None,
    quiet: bool = False,
) -> None:
    """Have the image here, if a registry can have it. What happens is told on stderr.

    Raises RegistryFailed, InvalidInput; NotFound if it is neither here nor to be got.
    """
    from wardian.cli.images import named
    from wardian.cli.progress import shown
    from wardian.errors import NotFound
    from wardian.images.platform import parse_platform
    from wardian.images.reference import Reference, is_digest
    from wardian.images.registry import pull as registry
    from wardian.images.registry.transport import Unreachable

    wanted = parse_platform(platform) if platform else None
    is_here = _is_here(store, named(store, name), wanted)
    if is_digest(name) or Reference.parse(name).is_ours or pull == NEVER:
        return
    if is_here and pull == MISSING:
        return
    heading = "" if is_here else f"Unable to find image '{Reference.parse(name).familiar}' locally"
    try:
        with shown(quiet=quiet, is_aside=True, heading=heading) as progress:
            registry.pull(store, name, platform=wanted, progress=progress)
    except Unreachable as error:
        if is_here:
            raise
        raise NotFound(f"no such image: {name[:200]}", hint=f"{error.what}; {_HERE}") from error


_HERE = "`wardian images` lists what is here"


def _is_here(store: ImageStore, name: str, wanted: Platform | None) -> bool:
    from wardian.errors import InvalidInput, NotFound
    from wardian.images.manifest import Platform
    from wardian.images.platform import fits

    try:
        config = store.get(name).config
    except (NotFound, InvalidInput):
        return False
    said = (str(config.get(word, "")) for word in ("architecture", "os", "variant"))
    return wanted is None or fits(Platform(*said), wanted)
