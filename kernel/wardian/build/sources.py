"""What FROM and ``--from`` name beside stages: images, and the contexts of ``--build-context``."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from wardian.build.context import unpacked
from wardian.build.draft import Draft
from wardian.build.remote import KINDS, Remotes, is_remote
from wardian.build.state import State
from wardian.errors import InvalidInput
from wardian.images.ingest import Ingest, NewLayer
from wardian.images.manifest import Descriptor, Platform
from wardian.images.registry.presence import When, ensure
from wardian.images.registry.progress import Progress, retrying
from wardian.images.resolve import resolve
from wardian.images.store import ImageStore

IMAGE, LAYOUT = "docker-image://", "oci-layout://"
_PARTS_TOLD = 4  # of a blob on its way
Tell = Callable[[str], None]


class Sources:
    """Those of one build, each got once. Stages that are built at the same time share them."""

    def __init__(
        self,
        store: ImageStore,
        ingest: Ingest,
        contexts: Mapping[str, str],
        *,
        when: When,
        remotes: Remotes,
    ) -> None:
        self._store = store
        self._ingest = ingest
        self._contexts = contexts
        self._when = when
        self._remotes = remotes
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._found: dict[str, State | Path] = {}

    def find(self, word: str, tell: Tell, platform: Platform | None = None) -> State | Path:
        """A state to build on or to copy from, or the directory of a context.

        Raises NotFound, RegistryFailed, InvalidInput.
        """
        key = f"{word} {platform}"
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._found:
                self._found[key] = self._get(word, tell, platform)
        found = self._found[key]
        return found.successor() if isinstance(found, State) else found

    def _get(self, word: str, tell: Tell, platform: Platform | None) -> State | Path:
        named = self._contexts.get(word)
        if named is None or named.startswith(IMAGE):
            return self._image((named or word).removeprefix(IMAGE), tell, platform)
        if named.startswith(LAYOUT):
            return self._layout(named.removeprefix(LAYOUT))
        if is_remote(named):
            return self._fetched(word, named)
        if "://" in named:
            raise InvalidInput(
                f"the context {word} is of an unknown kind: {named[:80]}",
                hint=f"use a directory, {IMAGE}NAME, {LAYOUT}DIRECTORY[:TAG], {KINDS}",
            )
        if not os.path.isdir(named):
            raise InvalidInput(f"the context {word} is no directory: {named}")
        return Path(named)

    def _fetched(self, word: str, address: str) -> Path:
        found = self._remotes.fetch(address)
        if found.is_dir():
            return found
        directory = Path(f"{found}.files")
        directory.mkdir()
        if not unpacked(found, directory):
            raise InvalidInput(f"the context {word} is no archive: {address[:200]}")
        return directory

    def _image(self, name: str, tell: Tell, platform: Platform | None) -> State:
        ensure(
            self._store,
            name,
            when=self._when,
            platform=platform,
            progress=_Told(tell),
            stop=self._remotes.stop.event,
        )
        image = resolve(self._store, name)
        layers = self._ingest.layers_of(image)
        lowers = [self._store.layer_directory(layer.diff_id) for layer in layers]
        return _state(image.config, self._store.manifest(image).config.digest, layers, lowers)

    def _layout(self, place: str) -> State:
        """``DIRECTORY``, ``DIRECTORY:TAG`` or ``DIRECTORY@DIGEST``."""
        path, at, wanted = place.partition("@")
        if not at and ":" in path.rpartition("/")[2]:
            path, _, wanted = path.rpartition(":")
        from wardian.images import layout

        described, layers = layout.take(self._ingest, Path(path), wanted)
        config = msgspec.json.decode(self._ingest.read(described))
        lowers = [self._ingest.settle(layer) for layer in layers]
        return _state(config, described.digest, layers, lowers)


def _state(
    config: dict[str, Any], digest: str, layers: list[NewLayer], lowers: list[Path]
) -> State:
    created = str(config.get("created") or "")
    return State(Draft(config), layers, lowers, digest, created=created)


class _Told(Progress):
    """A pull, as lines of the step that waits for it."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._parts: dict[str, int] = {}

    def advance(self, blob: Descriptor, position_bytes: int) -> None:
        part = position_bytes * _PARTS_TOLD // max(blob.size, 1)
        if part > self._parts.get(blob.digest, 0):
            self._parts[blob.digest] = part
            self._tell(f"{_short(blob)}: {100 * part // _PARTS_TOLD}% of {blob.size} bytes\n")

    def end(self, blob: Descriptor, word: str) -> None:
        self._tell(f"{_short(blob)}: {word}\n")

    def waits(self, why: str, wait_s: float) -> None:
        self._tell(f"{retrying(why, wait_s)}\n")


def _short(blob: Descriptor) -> str:
    return blob.digest.removeprefix("sha256:")[:12]
