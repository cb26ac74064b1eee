"""COPY and ADD: what they bring is looked at for the cache, and then brought into a layer."""

from __future__ import annotations

import hashlib
import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from wardian.build.cache import Facts
from wardian.build.cargo import Cargo, Inline
from wardian.build.expansion import Expander
from wardian.build.lint import ignored
from wardian.build.patterns import Patterns
from wardian.build.permissions import Permissions
from wardian.build.stages import Instruction, flag_values, is_set
from wardian.build.state import Made, State
from wardian.build.transfer import Order, send_from
from wardian.build.tree import Heredoc
from wardian.errors import InvalidInput
from wardian.storage.compression import decompressed, read_chunks
from wardian.storage.tar import TarReader

if TYPE_CHECKING:
    from wardian.build.assembly import Assembly
    from wardian.build.workshop import Place

COPY_FLAGS = {"chown", "chmod", "from", "link", "parents", "exclude"}
ADD_FLAGS = {"chown", "chmod", "link", "exclude", "checksum", "keep-git-dir", "unpack"}
REMOTE = ("http://", "https://", "git@", "git://", "ssh://")


class Copying:
    """One COPY or ADD on the layers so far. Raises DockerfileError for what cannot be asked.

    With ``--link`` its layer is made on nothing and depends on nothing below.
    """

    def __init__(self, assembly: Assembly, one: Instruction, expander: Expander) -> None:
        self._assembly = assembly
        self._builder = assembly.builder
        self._one = one
        self._flags = {
            name: [expander.word(value) for value in values]
            for name, values in flag_values(
                one, COPY_FLAGS if one.name == "COPY" else ADD_FLAGS
            ).items()
        }
        self._words = [expander.word(word) for word in one.words]
        if len(self._words) < 2:
            raise one.fault(
                f"{one.name} requires at least two arguments, but only {len(self._words)} were "
                "provided. Destination could not be determined",
                f"write {one.name} SOURCE… DESTINATION",
            )
        *sources, target = self._words
        self._is_directory = target.endswith("/") or target in (".", "..") or not target
        self._target = posixpath.normpath(posixpath.join(assembly.state.draft.workdir, target))
        self._check(sources)
        self._from = self._source()
        self._cargo = self._inline(expander) or self._remote(sources)
        is_remote = one.name == "ADD" and not one.node.heredocs
        self._sources = [] if one.node.heredocs else sources
        if is_remote:
            self._sources = [each for each in sources if not each.startswith(REMOTE)]
        if "from" not in self._flags:
            patterns = self._builder.context.ignore
            self._builder.warn(ignored(one.name, self._sources, patterns, one.line))
        self.is_linked = is_set(self._flags, "link")
        self._lowers: list[Path] = [] if self.is_linked else assembly.state.lowers

    def _check(self, sources: list[str]) -> None:
        if len(sources) > 1 and not self._is_directory:
            raise self._one.fault(
                f"When using {self._one.name} with more than one source file, the destination must"
                " be a directory and end with a /",
                f"write {self._words[-1]}/",
            )
        heredocs = len(self._one.node.heredocs)
        if heredocs and heredocs != len(sources):
            raise self._one.fault("here-documents and files cannot be mixed here", "use two")
        if "checksum" in self._flags and not (len(sources) == 1 and sources[0].startswith(REMOTE)):
            raise self._one.fault(
                "checksum can't be specified for multiple or local sources",
                "write an ADD for each URL",
            )
        for source in sources:
            if source.startswith(REMOTE):
                if self._one.name == "COPY":
                    raise self._one.fault(f"COPY takes no URL: {source[:80]}", "use ADD")
            elif posixpath.normpath(source.lstrip("/")).startswith(".."):
                raise self._one.fault(
                    f"forbidden path outside the build context: {source[:80]}",
                    "only files below the context can be copied: move it there, or build above",
                )

    # --- from where ----------------------------------------------------------------------

    def _source(self) -> State | Path:
        word = self._flags.get("from", [""])[-1]
        return self._assembly.source(word) if word else self._builder.context.directory

    def _inline(self, expander: Expander) -> list[Cargo]:
        mtime_s = self._builder.options.epoch_s or 0
        return [
            Inline(heredoc.name, _text(heredoc, expander), mtime_s)
            for heredoc in self._one.node.heredocs
        ]

    def _remote(self, sources: list[str]) -> list[Cargo]:
        if self._one.name != "ADD":
            return []
        return [self._fetched(source) for source in sources if source.startswith(REMOTE)]

    def _fetched(self, url: str) -> Cargo:
        return self._builder.remotes.cargo(
            url,
            checksum=self._flags.get("checksum", [""])[-1],
            keeps_git=is_set(self._flags, "keep-git-dir"),
        )

    # --- looking -------------------------------------------------------------------------

    def facts(self) -> Facts:
        """What would come: its content, but of another stage's files only the layers."""
        found = hashlib.sha256()
        for cargo in self._cargo:
            found.update(f"{cargo.key()}\n".encode())
        files: dict[str, str] = {}
        if not isinstance(self._from, Path):
            found.update(" ".join(layer.diff_id for layer in self._from.layers).encode())
        elif self._sources:
            order = self._order((0, 0), into_directory=True)
            sent = send_from(self._from, order, None)
            files = sent.files
            found.update(sent.digest.encode())
        return self._with_words(found.hexdigest(), files)

    def content(self) -> Facts | None:
        """The same by the content of another stage's files, which takes a container to see."""
        if isinstance(self._from, Path):
            return None
        order = self._order(None, into_directory=True)
        with open(os.devnull, "wb") as nowhere:
            return self._with_words(self._send_staged(self._from, order, nowhere), {})

    def _with_words(self, digest: str, files: dict[str, str]) -> Facts:
        """The variables of words and flags count by what they come to."""
        flags = [f"--{name}={value}" for name, values in self._flags.items() for value in values]
        return Facts(arguments={"": " ".join([*flags, *self._words])}, files=files, digest=digest)

    def _order(self, owner: tuple[int, int] | None, *, into_directory: bool) -> Order:
        context = self._builder.context
        return Order(
            sources=tuple(self._sources),
            target=self._target,
            into_directory=into_directory,
            owner=owner,
            permissions=self._permissions(),
            keep_owners=not isinstance(self._from, Path),
            parents=is_set(self._flags, "parents"),
            exclude=Patterns(self._flags.get("exclude", [])),
            ignore=context.ignore if self._from == context.directory else Patterns(()),
        )

    def _permissions(self) -> Permissions | None:
        if "chmod" not in self._flags:
            return None
        try:
            return Permissions.parse(self._flags["chmod"][-1])
        except InvalidInput as error:
            raise self._one.fault(error.what, error.hint) from None

    # --- doing ---------------------------------------------------------------------------

    def do(self) -> Made:
        """Bring it; the layer."""
        workshop = self._assembly.workshop
        with workshop.lent(self._lowers) as place:
            chown = self._flags.get("chown", [""])[-1]
            owner = workshop.owner(place, chown) if chown else None
            into = self._is_directory or workshop.is_directory(place, self._target)
            archives = self._take_archives()
            order = self._order(owner, into_directory=into)
            if self._sources:
                self._bring(place, order, None)
            for cargo in self._cargo:
                self._bring(place, order, cargo)
            for archive in archives:
                self._unpack(place, archive)
            return workshop.made(place, self._lowers)

    def _bring(self, place: Place, order: Order, cargo: Cargo | None) -> None:
        """Something, or else the files that the order names."""
        workshop = self._assembly.workshop
        with workshop.scratch() as file:
            if cargo is not None:
                cargo.pack(order, file)
            elif isinstance(self._from, Path):
                send_from(self._from, order, file)
            else:
                self._send_staged(self._from, order, file)
            file.seek(0)
            workshop.receive(place, file)

    def _send_staged(self, state: State, order: Order, output: BinaryIO) -> str:
        workshop = self._assembly.workshop
        with workshop.lent(state.lowers) as other:
            return workshop.send(other, order, output).digest

    def _take_archives(self) -> list[Path]:
        """What is to be unpacked, no longer among the files: ADD's archives, if of a URL asked."""
        if self._one.name != "ADD" or not isinstance(self._from, Path):
            return []
        archives = []
        if is_set(self._flags, "unpack", usual=True):
            local = {source: self._from / source.lstrip("/") for source in self._sources}
            found = {source for source, path in local.items() if is_archive(path)}
            archives += [local[source] for source in self._sources if source in found]
            self._sources = [source for source in self._sources if source not in found]
        if is_set(self._flags, "unpack"):
            for cargo in list(self._cargo):
                if (path := cargo.file()) is not None and is_archive(path):
                    archives.append(path)
                    self._cargo.remove(cargo)
        return archives

    def _unpack(self, place: Place, archive: Path) -> None:
        workshop = self._assembly.workshop
        workshop.make_directory(place, self._target)
        with open(archive, "rb") as stream:
            workshop.receive_plain(place, stream, self._target)


def _text(heredoc: Heredoc, expander: Expander) -> bytes:
    text = heredoc.text
    if heredoc.expand:
        text = Expander(env=expander.env, escape=expander.escape, raw=True).heredoc(text)
    return text.encode(errors="surrogateescape")


def is_archive(path: Path) -> bool:
    """Whether it is a tar archive, compressed or not. Raises nothing for what is none."""
    if not os.path.isfile(path) or path.is_symlink():
        return False
    try:
        with open(path, "rb") as stream:
            return next(iter(TarReader(decompressed(read_chunks(stream)))), None) is not None
    except (InvalidInput, OSError, ValueError):
        return False
