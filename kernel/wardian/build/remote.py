"""Contexts that are fetched: a git repository, or an archive or Dockerfile by HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from wardian.build.stop import Stop
from wardian.images.store import ImageStore

if TYPE_CHECKING:
    from wardian.build.download import Download
    from wardian.build.git import Checkout

ADDRESSES = ("http://", "https://", "git://", "ssh://", "git@")
KINDS = "git's address (https://HOST/NAME.git#REF:DIRECTORY), or that of an archive"


class Remotes(msgspec.Struct, frozen=True):
    """What a build fetches with. ``work`` is the build's own; ``agents`` are those of ``--ssh``.

    ``fetched`` are the contexts that are there by now: an address is asked once.
    """

    work: Path
    notes: Path
    agents: Mapping[str, Path] = msgspec.field(default_factory=dict)
    stop: Stop = msgspec.field(default_factory=Stop)
    fetched: dict[str, Path] = msgspec.field(default_factory=dict)

    def cargo(
        self, address: str, *, checksum: str = "", keeps_git: bool = False
    ) -> Download | Checkout:
        """A file or a repository, fetched once it is asked for. Raises InvalidInput."""
        from wardian.build.download import Download  # HTTP takes longer to import than most builds
        from wardian.build.git import Checkout, Repository

        repository = Repository.parse(address)
        if repository is None:
            return Download(
                address, checksum=checksum, work=self.work, notes=self.notes, stop=self.stop
            )
        return Checkout(
            repository,
            checksum=checksum,
            keeps_git=keeps_git,
            work=self.work,
            agent=self.agents.get("default"),
            stop=self.stop,
        )

    def fetch(self, address: str) -> Path:
        """The directory of a repository, or the file that a server gives.

        Raises NotFound, RegistryFailed, InvalidInput.
        """
        from wardian.build.git import Checkout

        if address not in self.fetched:
            found = self.cargo(address)
            path = found.directory() if isinstance(found, Checkout) else found.file()
            self.fetched[address] = path
        return self.fetched[address]


def notes_of(store: ImageStore) -> Path:
    """Where a store remembers what servers said of their files."""
    return store.root / "build" / "urls"


def is_remote(word: str) -> bool:
    """Whether a context is not of this host."""
    return word.startswith(ADDRESSES)
