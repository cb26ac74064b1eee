"""``RUN --mount``: what of the host, of contexts and of other stages a command can see."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from wardian.build.ssh import forwarded
from wardian.build.stages import Instruction
from wardian.build.transfer import Order
from wardian.cgroups.limits import parse_size
from wardian.runtime.spec import Bind, Tmpfs
from wardian.storage.layers import unpack_file

if TYPE_CHECKING:
    from wardian.build.assembly import Assembly
    from wardian.build.state import State

AGENT_VARIABLE = "SSH_AUTH_SOCK"
Fields = dict[str, str]


class Mounts:
    """Those of one RUN, for as long as the block lasts; ``env`` goes with them.

    Raises DockerfileError, and what the sources raise.
    """

    def __init__(self, assembly: Assembly, one: Instruction, words: Sequence[str]) -> None:
        self.binds: list[Bind] = []
        self.tmpfs: list[Tmpfs] = []
        self.env: dict[str, str] = {}
        self._assembly = assembly
        self._builder = assembly.builder
        self._one = one
        self._words = words
        self._stack = ExitStack()
        self._agents = 0
        self._kinds: dict[str, Callable[[Fields], None]] = {
            "bind": self._bind,
            "cache": self._cache,
            "secret": self._secret,
            "ssh": self._ssh,
            "tmpfs": self._tmpfs,
        }

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.push(self._stack)
            for word in self._words:
                fields = dict(part.partition("=")[::2] for part in word.split(","))
                kind = fields.get("type", "bind")
                if kind not in self._kinds:
                    known = ", ".join(self._kinds)
                    raise self._one.fault(f"unsupported mount type {kind[:20]!r}", f"use {known}")
                self._kinds[kind](fields)
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _target(self, fields: Fields, usual: str = "") -> str:
        for name in ("target", "dst", "destination"):
            if fields.get(name):
                workdir = self._assembly.state.draft.workdir
                return posixpath.normpath(posixpath.join(workdir, fields[name]))
        if usual:
            return usual
        kind = fields.get("type", "bind")
        raise self._one.fault(f"--mount=type={kind} needs a target", "add target=/PATH")

    def _number(self, fields: Fields, name: str, usual: str, base: int = 10) -> int:
        word = fields.get(name, usual)
        try:
            return int(word, base)
        except ValueError:
            said = f"not a number: {name}={word[:20]}"
            raise self._one.fault(said, f"like {name}={usual}") from None

    # --- of the host ---------------------------------------------------------------------

    def _tmpfs(self, fields: Fields) -> None:
        size = fields.get("size")
        size_bytes = parse_size(size) if size else None
        self.tmpfs.append(Tmpfs(target=self._target(fields), size_bytes=size_bytes))

    def _cache(self, fields: Fields) -> None:
        target = self._target(fields)
        name = hashlib.sha256(fields.get("id", target).encode()).hexdigest()[:32]
        directory = self._builder.store.root / "build" / "mounts" / name
        if not directory.exists():
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(self._number(fields, "mode", "0755", 8))
            if os.geteuid() == 0:
                uid, gid = (self._number(fields, name, "0") for name in ("uid", "gid"))
                os.chown(directory, uid, gid)
        read_only = is_on(fields, "ro") or is_on(fields, "readonly")
        self.binds.append(Bind(source=str(directory), target=target, read_only=read_only))

    def _secret(self, fields: Fields) -> None:
        name = fields.get("id") or posixpath.basename(self._target(fields, "default"))
        path = self._builder.options.secrets.get(name)
        if path is None:
            if is_on(fields, "required"):
                raise self._one.fault(f"secret {name}: not found", f"give it: --secret id={name}")
            return
        if "env" in fields:
            self.env[fields["env"]] = path.read_text()
            if "target" not in fields:
                return
        target = self._target(fields, f"/run/secrets/{posixpath.basename(name)}")
        self.binds.append(Bind(source=str(path), target=target))

    def _ssh(self, fields: Fields) -> None:
        name = fields.get("id") or "default"
        agent = self._builder.options.agents.get(name)
        if agent is None:
            if is_on(fields, "required"):
                raise self._one.fault(
                    f'no SSH key "{name[:40]}" forwarded from the client',
                    f"give it: --ssh {name[:40]}",
                )
            return
        target = self._target(fields, f"/run/buildkit/ssh_agent.{self._agents}")
        self._agents += 1
        directory = self._builder.ingest.work / f"ssh-{os.urandom(8).hex()}"
        mode = self._number(fields, "mode", "0600", 8)
        uid, gid = (self._number(fields, name, "0") for name in ("uid", "gid"))
        socket = forwarded(agent, directory, mode=mode, uid=uid, gid=gid)
        source = self._stack.enter_context(socket)
        self.binds.append(Bind(source=str(source), target=target))
        self.env.setdefault(AGENT_VARIABLE, target)

    # --- of contexts and stages ----------------------------------------------------------

    def _bind(self, fields: Fields) -> None:
        target = self._target(fields)
        word = fields.get("from", "")
        source = self._assembly.source(word) if word else self._builder.context.directory
        inside = fields.get("source", fields.get("src", "/"))
        if isinstance(source, Path):
            path = self._below(source, inside)
        elif len(source.lowers) == 1:
            path = self._below(source.lowers[0], inside)
        else:
            path = self._copied(source, inside)
        self.binds.append(Bind(source=path, target=target))

    def _below(self, directory: Path, inside: str) -> str:
        path = os.path.realpath(directory / inside.lstrip("/"))
        if not f"{path}/".startswith(f"{os.path.realpath(directory)}/"):
            raise self._one.fault(
                f"forbidden path outside the build context: {inside[:80]}", "stay below it"
            )
        if not os.path.exists(path):
            raise self._one.fault(f'"{inside[:200]}": not found', "is it in the context?")
        return path

    def _copied(self, state: State, inside: str) -> str:
        """Files of several layers, merged by the kernel, as a copy of what is wanted of them."""
        workshop, work = self._assembly.workshop, self._builder.ingest.work
        archive, directory = (work / os.urandom(8).hex() for _ in range(2))
        order = Order(sources=(inside,), target="/", into_directory=True, keep_owners=True)
        with workshop.lent(state.lowers) as other, open(archive, "wb") as file:
            is_directory = workshop.is_directory(other, inside)
            workshop.send(other, order, file)
        unpack_file(archive, directory)
        archive.unlink()
        return str(directory if is_directory else directory / posixpath.basename(inside))


def is_on(fields: Fields, name: str) -> bool:
    """Whether a word of a mount is there and not ``=false``."""
    return fields.get(name, "false") in ("true", "1", "")
