"""Small images for the tests, made of random files."""

from __future__ import annotations

import gzip
import os

from tests.archives import archive
from wardian.images.manifest import architecture
from wardian.images.store import Image, ImageStore

CONFIG = {"architecture": architecture(), "os": "linux", "config": {"Cmd": ["sh"]}}


def layer(size_bytes: int = 1000, name: str = "file") -> bytes:
    """A layer in gzip's form that no other test has; what is random is not made smaller by work."""
    return gzip.compress(archive((name, os.urandom(size_bytes))), compresslevel=0)


def add(store: ImageStore, name: str, *layers: bytes) -> Image:
    """An image of these layers, lowest first."""
    with store.ingest() as ingest:
        blobs = [ingest.add_blob(iter([one])) for one in layers]
        return ingest.commit_image(name, CONFIG, [ingest.unpack(blob) for blob in blobs])
