"""From a name to an image that is ready to run."""

from __future__ import annotations

from wardian.errors import NotFound
from wardian.images.base import MAKERS
from wardian.images.store import Image, ImageStore


def resolve(store: ImageStore, reference: str) -> Image:
    """The image of this name; the embedded ones are made (again) when the host has changed."""
    if maker := MAKERS.get(reference.removesuffix(":latest")):
        return maker(store)
    try:
        return store.get(reference)
    except NotFound as error:
        embedded = ", ".join(MAKERS)
        hint = f"`wardian images` lists what is here; {embedded} are made on demand"
        raise NotFound(error.what, hint=hint) from None
