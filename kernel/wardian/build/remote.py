"""Contexts that are fetched: a git repository, or an archive or Dockerfile by HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wardian.build.stop import Stop
from wardian.images.store import ImageStore

ADDRESSES = ("http://", "https://", "git://", "ssh://", "git@")
KINDS = "git's address (https://HOST/NAME.git#REF:DIRECTORY), or that of an archive"


@dataclass(frozen=True, slots=True)
class Remotes:
    """What a build fetches with. ``work`` is the build's own; ``agents`` are those of ``--ssh``."""

    work: Path
    notes: Path
    agents: Mapping[str, Path] = field(default_factory=dict)
    stop: Stop = field(default_factory=Stop)

    def fetch(self, address: str) -> Path:
        """The directory of a repository, or the file that a server gives.

        Raises NotFound, RegistryFailed, InvalidInput.
        """
        from wardian.build.download import Download  # HTTP takes longer to import than most builds
        from wardian.build.git import Checkout, Repository

        repository = Repository.parse(address)
        if repository is None:
            return Download(address, work=self.work, notes=self.notes, stop=self.stop).file()
        agent = self.agents.get("default")
        checkout = Checkout(repository, work=self.work, agent=agent, stop=self.stop)
        return checkout.directory()


def notes_of(store: ImageStore) -> Path:
    """Where a store remembers what servers said of their files."""
    return store.root / "build" / "urls"


def is_remote(word: str) -> bool:
    """Whether a context is not of this host."""
    return word.startswith(ADDRESSES)
