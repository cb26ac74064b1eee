"""COPY and ADD: what they bring is looked at for the cache, and then brought into a layer."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from wardian.build.cache import Facts
from wardian.build.expansion import Expander
from wardian.build.patterns import Patterns
from wardian.build.stages import Instruction, flag_values
from wardian.build.transfer import Order
from wardian.build.workshop import Made, send_from
from wardian.errors import InvalidInput

if TYPE_CHECKING:
    from wardian.build.assembly import Assembly
    from wardian.build.state import State

COPY_FLAGS = {"chown", "chmod", "from", "link", "parents", "exclude"}
ADD_FLAGS = {"chown", "chmod", "link", "exclude"}
REMOTE = ("http://", "https://", "git@", "git://", "ssh://")
_INLINE = "inline"


class Copying:
    """One COPY or ADD on the layers so far. Raises DockerfileError for what cannot be asked."""

    def __init__(self, assembly: Assembly, one: Instruction, expander: Expander) -> None:
        self._assembly = assembly
        self._context = assembly.builder.context
        self._lowers = assembly.state.lowers
        self._one = one
        known = COPY_FLAGS if one.name == "COPY" else ADD_FLAGS
        flags = flag_values(one, known)
        self._flags = {
            name: [expander.word(value) for value in values] for name, values in flags.items()
        }
        self.words = [expander.word(word) for word in one.words]
        if len(self.words) < 2:
            raise one.fault(
                f"{one.name} requires at least two arguments, but only {len(self.words)} were "
                "provided. Destination could not be determined",
                f"write {one.name} SOURCE… DESTINATION",
            )
        *self._sources, target = self.words
        self._is_directory = target.endswith("/") or target in (".", "..") or not target
        self._target = posixpath.normpath(posixpath.join(assembly.state.draft.workdir, target))
        self._from = self._source()
        self._expander = expander
        self._check()

    def _check(self) -> None:
        heredocs = len(self._one.node.heredocs)
        if len(self._sources) > 1 and not self._is_directory:
            raise self._one.fault(
                f"When using {self._one.name} with more than one source file, the destination must"
                " be a directory and end with a /",
                f"write {self.words[-1]}/",
            )
        if heredocs and heredocs != len(self._sources):
            raise self._one.fault("here-documents and files cannot be mixed here", "use two")
        for source in self._sources:
            if source.startswith(REMOTE):
                raise self._one.fault(
                    f"{self._one.name} of a URL is not supported yet: {source[:80]}",
                    "fetch it beforehand and COPY the file",
                )
            if ".." in source.split("/") and self._is_outside(source):
                raise self._one.fault(
                    f"forbidden path outside the build context: {source[:80]}",
                    "only files below the context can be copied: move it there, or build above",
                )

    @staticmethod
    def _is_outside(source: str) -> bool:
        return posixpath.normpath(source.lstrip("/")).startswith("..")

    def _source(self) -> State | Path:
        word = self._flags.get("from", [""])[-1]
        return self._assembly.source(word) if word else self._context.directory

    # --- looking -------------------------------------------------------------------------

    def facts(self, expander: Expander) -> Facts:
        """What would come."""
        words = {"": expander.word(" ".join(self.words))}
        if self._one.node.heredocs:
            return Facts(arguments=words, digest=_INLINE)
        if isinstance(self._from, Path):
            sent = send_from(self._from, self._order((0, 0), into_directory=True), None)
            return Facts(arguments=words, files=sent.files, digest=sent.digest)
        layers = "+".join(layer.diff_id for layer in self._from.layers)
        return Facts(arguments=words, digest=f"{layers} {sorted(self._flags.items())}")

    def _order(self, owner: tuple[int, int] | None, *, into_directory: bool) -> Order:
        is_context = self._from == self._context.directory
        return Order(
            sources=tuple(self._sources),
            target=self._target,
            into_directory=into_directory,
            owner=owner,
            mode=self._mode(),
            keep_owners=not isinstance(self._from, Path),
            parents="parents" in self._flags and self._flags["parents"][-1] != "false",
            exclude=Patterns(self._flags.get("exclude", [])),
            ignore=self._context.ignore if is_context else Patterns(()),
        )

    def _mode(self) -> int | None:
        if "chmod" not in self._flags:
            return None
        word = self._flags["chmod"][-1]
        try:
            mode = int(word, 8)
        except ValueError:
            mode = -1
        if not 0 <= mode <= 0o7777:
            raise self._one.fault(f"invalid chmod parameter: {word[:20]!r}", "like --chmod=755")
        return mode

    # --- doing ---------------------------------------------------------------------------

    def do(self) -> Made:
        """Bring it; the layer."""
        workshop = self._assembly.workshop
        with workshop.lent(self._lowers) as container:
            chown = self._flags.get("chown", [""])[-1]
            owner = workshop.owner(container, chown) if chown else None
            into = self._is_directory or workshop.is_directory(container, self._target)
            if self._one.node.heredocs:
                self._bring_inline(container, owner, into_directory=into)
                return workshop.made(container, self._lowers)
            archives, files = self._archives()
            with workshop.scratch() as file:
                if files:
                    self._sources = files
                    self._pack(self._order(owner, into_directory=into), file)
                    file.seek(0)
                    workshop.receive(container, file)
            for archive in archives:
                workshop.make_directory(container, self._target)
                with open(archive, "rb") as stream:
                    workshop.receive_plain(container, stream, self._target)
            return workshop.made(container, self._lowers)

    def _pack(self, order: Order, file: object) -> None:
        assert hasattr(file, "fileno")
        if isinstance(self._from, Path):
            send_from(self._from, order, file)  # type: ignore[arg-type]
            return
        workshop = self._assembly.workshop
        with workshop.lent(self._from.lowers) as other:
            workshop.send(other, order, file)  # type: ignore[arg-type]

    def _archives(self) -> tuple[list[Path], list[str]]:
        """ADD unpacks local archives; COPY never does."""
        if self._one.name != "ADD" or not isinstance(self._from, Path):
            return [], list(self._sources)
        archives, files = [], []
        for source in self._sources:
            path = self._from / source.lstrip("/")
            if os.path.isfile(path) and not path.is_symlink() and is_archive(path):
                archives.append(path)
            else:
                files.append(source)
        return archives, files

    def _bring_inline(
        self, container: object, owner: tuple[int, int] | None, *, into_directory: bool
    ) -> None:
        from wardian.runtime.container import Container
        from wardian.storage.tar import END, Entry, Kind, header, padding

        assert isinstance(container, Container)
        workshop = self._assembly.workshop
        uid, gid = owner or (0, 0)
        with workshop.scratch() as file:
            for heredoc in self._one.node.heredocs:
                text = heredoc.text
                if heredoc.expand:
                    text = Expander(
                        env=self._expander.env, escape=self._expander.escape, raw=True
                    ).heredoc(text)
                data = text.encode(errors="surrogateescape")
                path = self._target
                if into_directory:
                    path = posixpath.join(path, heredoc.name)
                mode = self._mode()
                entry = Entry(
                    path=path.lstrip("/"),
                    kind=Kind.FILE,
                    mode=0o644 if mode is None else mode,
                    uid=uid,
                    gid=gid,
                    size_bytes=len(data),
                    mtime_ns=(self._assembly.builder.options.epoch_s or 0) * 10**9,
                )
                file.write(header(entry) + data + padding(len(data)))
            file.write(END)
            file.seek(0)
            workshop.receive(container, file)


def is_archive(path: Path) -> bool:
    """Whether it is a tar archive, compressed or not. Raises nothing for what is none."""
    from wardian.storage.compression import decompressed, read_chunks
    from wardian.storage.tar import TarReader

    try:
        with open(path, "rb") as stream:
            return next(iter(TarReader(decompressed(read_chunks(stream)))), None) is not None
    except (InvalidInput, OSError, ValueError):
        return False
