"""``run --pull``: an image that is not here, or may have changed, is got first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from wardian.images.store import ImageStore

F = TypeVar("F", bound=Callable[..., Any])
MISSING = "missing"
WHEN = ("always", MISSING, "never")
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
    from wardian.images.platform import parse_platform
    from wardian.images.reference import Reference, is_digest
    from wardian.images.registry import presence

    wanted = parse_platform(platform) if platform else None
    key = named(store, name)
    when = presence.When(pull)
    heading = ""
    if not is_digest(key) and not presence.is_here(store, key, wanted):
        heading = f"Unable to find image '{Reference.parse(key).familiar}' locally"
    with shown(quiet=quiet, is_aside=True, heading=heading) as progress:
        presence.ensure(store, key, when=when, platform=wanted, progress=progress)
