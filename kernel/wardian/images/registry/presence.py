"""Having an image here: got from its registry if it is missing, or if it may be newer there."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from wardian.errors import InvalidInput, NotFound
from wardian.images.manifest import Platform
from wardian.images.platform import fits
from wardian.images.reference import Reference, is_digest
from wardian.images.store import ImageStore

if TYPE_CHECKING:
    from threading import Event

    from wardian.images.registry.progress import Progress

_HERE = "`wardian images` lists what is here"


class When(enum.Enum):
    """When a registry is asked, in the words of ``--pull``."""

    ALWAYS = "always"
    MISSING = "missing"
    NEVER = "never"


def is_here(store: ImageStore, name: str, wanted: Platform | None = None) -> bool:
    """Whether the store has the image of this name or digest, for this platform if one is said."""
    try:
        config = store.get(name).config
    except (NotFound, InvalidInput):
        return False
    said = (str(config.get(word, "")) for word in ("architecture", "os", "variant"))
    return wanted is None or fits(Platform(*said), wanted)


def ensure(
    store: ImageStore,
    name: str,
    *,
    when: When,
    platform: Platform | None = None,
    progress: Progress | None = None,
    stop: Event | None = None,
) -> None:
    """Have the image here, if a registry can have it; the embedded ones come from none.

    ``stop`` ends it before its time.

    Raises RegistryFailed, InvalidInput; NotFound if it is neither here nor to be got.
    """
    if when is When.NEVER or is_digest(name) or Reference.parse(name).is_ours:
        return
    is_present = is_here(store, name, platform)
    if is_present and when is When.MISSING:
        return
    from wardian.images.registry.pull import pull  # what is here needs no HTTP
    from wardian.images.registry.transport import Patience, Unreachable

    patience = Patience() if stop is None else Patience(stop=stop)
    try:
        pull(store, name, platform=platform, progress=progress, patience=patience)
    except Unreachable as error:
        if is_present:
            raise
        raise NotFound(f"no such image: {name[:200]}", hint=f"{error.what}; {_HERE}") from error
