"""``commit``: an image of a container as it is now, its changes one more layer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from wardian.build.draft import changed
from wardian.build.workshop import Workshop
from wardian.errors import NotFound
from wardian.images.manifest import timestamp
from wardian.images.reference import Reference
from wardian.images.store import Image, ImageStore
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.messages import ContainerInfo
from wardian.runtime.state import Status


def commit(
    client: Client,
    container: Container,
    reference: str,
    changes: Sequence[str] = (),
    *,
    author: str = "",
    message: str = "",
    pause: bool = True,
) -> Image:
    """The image. Raises DockerfileError for a change that is none, NotFound without its image."""
    name = str(Reference.parse(reference))
    store = ImageStore(client.root)
    info = container.info
    base = _base(store, info)
    whole = changed(base.config, changes)
    with store.ingest() as ingest:
        layers = ingest.layers_of(base)
        lowers = [store.layer_directory(diff_id) for diff_id in base.diff_ids]
        with _paused(container, info, is_wanted=pause):
            made = Workshop(client.root, ingest).made(container, lowers, is_at_rest=False)
        if made.layer is not None:
            layers.append(made.layer)
        described = _described(whole, info, author, message, is_empty=made.layer is None)
        return ingest.commit_image(name, described, layers)


def _base(store: ImageStore, info: ContainerInfo) -> Image:
    for image in store.list():
        if tuple(map(str, image.layer_directories)) == tuple(info.spec.lowers):
            return image
    raise NotFound(
        f"the image of {info.name} is not there any more: {info.image[:120]}",
        hint="load or build it again, then commit",
    )


@contextmanager
def _paused(container: Container, info: ContainerInfo, *, is_wanted: bool) -> Iterator[None]:
    """Frozen, so that no file changes while it is read; as it was before afterwards."""
    if not is_wanted or info.status is not Status.RUNNING:
        yield
        return
    container.pause()
    try:
        yield
    finally:
        container.unpause()


def _described(
    whole: dict[str, Any], info: ContainerInfo, author: str, message: str, *, is_empty: bool
) -> dict[str, Any]:
    now = timestamp(time.time())
    process = info.spec.process
    entry: dict[str, Any] = {
        "created": now,
        "created_by": " ".join(process.argv) if process else "",
        "comment": message,
    }
    if author:
        entry["author"] = whole["author"] = author
    if is_empty:
        entry["empty_layer"] = True
    history = [*(whole.get("history") or []), entry]
    return {**whole, "created": now, "history": history}
