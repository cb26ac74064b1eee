"""From a name to an image that is ready to run."""

from __future__ import annotations

from wardian.errors import NotFound
from wardian.images.base import MAKERS
from wardian.images.reference import Reference, is_digest
from wardian.images.store import Image, ImageStore


def resolve(store: ImageStore, reference: str) -> Image:
    """The image of this name or digest; the embedded ones are made (again) if the host changed.

    Raises NotFound, InvalidInput for what is no name, SetupError if an embedded one cannot be
    made here.
    """
    if not is_digest(reference) and (maker := MAKERS.get(str(Reference.parse(reference)))):
        return maker(store)
    try:
        return store.get(reference)
    except NotFound as error:
        made = f"{', '.join(MAKERS)} are made on demand"
        raise NotFound(error.what, hint=f"{error.hint}; {made}") from None
