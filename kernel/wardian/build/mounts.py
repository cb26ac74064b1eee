"""``RUN --mount``: what of the host, of contexts and of other stages a command can see."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import os
import posixpath
import secrets
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from wardian.build.mount_flags import MountFlag
from wardian.build.patterns import Patterns
from wardian.build.ssh import forwarded
from wardian.build.transfer import Order, send_from
from wardian.cgroups.limits import parse_size
from wardian.runtime.spec import Bind, Tmpfs
from wardian.storage.layers import unpack_file

if TYPE_CHECKING:
    from wardian.build.assembly import Assembly
    from wardian.build.state import State

AGENT_VARIABLE = "SSH_AUTH_SOCK"


class Mounts:
    """Those of one RUN, for as long as the block lasts; ``env`` goes with them.

    Raises DockerfileError, and what the sources raise.
    """

    def __init__(self, assembly: Assembly, flags: Sequence[MountFlag]) -> None:
        self.binds: list[Bind] = []
        self.tmpfs: list[Tmpfs] = []
        self.env: dict[str, str] = {}
        self._assembly = assembly
        self._builder = assembly.builder
        self._flags = flags
        self._stack = ExitStack()
        self._agents = 0
        self._held: set[str] = set()
        self._kinds: dict[str, Callable[[MountFlag], None]] = {
            "bind": self._bind,
            "cache": self._cache,
            "secret": self._secret,
            "ssh": self._ssh,
            "tmpfs": self._tmpfs,
        }

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.push(self._stack)
            for flag in self._flags:
                self._kinds[flag.kind](flag)
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _target(self, flag: MountFlag, usual: str = "") -> str:
        workdir = self._assembly.state.draft.workdir
        return posixpath.normpath(posixpath.join(workdir, flag.get("target", usual)))

    # --- of the host ---------------------------------------------------------------------

    def _tmpfs(self, flag: MountFlag) -> None:
        size = flag.get("size")
        size_bytes = parse_size(size) if size else None
        self.tmpfs.append(Tmpfs(target=self._target(flag), size_bytes=size_bytes))

    def _cache(self, flag: MountFlag) -> None:
        target = self._target(flag)
        source = self._assembly.source(flag.get("from")) if flag.get("from") else None
        words = [flag.get("id", target)]
        if source is not None:
            words += [_identity(source), flag.get("source", "/")]
        name = hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]
        folder = self._builder.store.root / "build" / "mounts"
        folder.mkdir(parents=True, exist_ok=True)
        directory = folder / self._claimed(folder, name, flag.get("sharing", "shared"))
        if not directory.exists():
            made = Path(self._copied(source, flag)) if source is not None else None
            if made is None:
                directory.mkdir(exist_ok=True)
                directory.chmod(flag.number("mode", "0755", 8))
                _own(directory, flag)
            else:
                os.rename(made, directory)
        self.binds.append(
            Bind(source=str(directory), target=target, read_only=flag.is_on("readonly"))
        )

    def _claimed(self, folder: Path, name: str, sharing: str) -> str:
        """The name of a cache that is ours as far as is asked, for as long as RUN takes.

        ``locked`` waits for whoever has it; ``private`` takes another one then.
        """
        if sharing == "shared" or name in self._held:
            return name
        for number in itertools.count():
            each = f"{name}-{number}" if number else name
            path = folder / f".{each}.lock"
            lock = self._stack.enter_context(path.open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (fcntl.LOCK_NB if sharing == "private" else 0))
            except BlockingIOError:
                continue
            self._held.add(each)
            return each
        raise AssertionError

    def _secret(self, flag: MountFlag) -> None:
        name = flag.get("id") or posixpath.basename(flag.get("target", "default"))
        path = self._builder.options.secrets.get(name)
        if path is None:
            if flag.is_on("required"):
                raise flag.one.fault(f"secret {name}: not found", f"give it: --secret id={name}")
            return
        if flag.get("env"):
            self.env[flag.get("env")] = path.read_text()
            if not flag.get("target"):
                return
        target = self._target(flag, f"/run/secrets/{posixpath.basename(name)}")
        # A copy for this RUN: it has a mode and an owner of its own.
        directory = self._builder.ingest.work / f"secret-{secrets.token_hex(8)}"
        directory.mkdir(mode=0o700)
        self._stack.callback(shutil.rmtree, directory)
        shown = directory / "secret"
        shown.write_bytes(path.read_bytes())
        shown.chmod(flag.number("mode", "0400", 8))
        _own(shown, flag)
        self.binds.append(Bind(source=str(shown), target=target))

    def _ssh(self, flag: MountFlag) -> None:
        name = flag.get("id", "default")
        agent = self._builder.options.agents.get(name)
        if agent is None:
            if flag.is_on("required"):
                raise flag.one.fault(
                    f'no SSH key "{name[:40]}" forwarded from the client',
                    f"give it: --ssh {name[:40]}",
                )
            return
        target = self._target(flag, f"/run/buildkit/ssh_agent.{self._agents}")
        self._agents += 1
        directory = self._builder.ingest.work / f"ssh-{secrets.token_hex(8)}"
        mode = flag.number("mode", "0600", 8)
        uid, gid = (flag.number(name, "0") for name in ("uid", "gid"))
        socket = forwarded(agent, directory, mode=mode, uid=uid, gid=gid)
        source = self._stack.enter_context(socket)
        self.binds.append(Bind(source=str(source), target=target))
        self.env.setdefault(AGENT_VARIABLE, target)

    # --- of contexts and stages ----------------------------------------------------------

    def _bind(self, flag: MountFlag) -> None:
        source = source_of(self._assembly, flag)
        is_whole = ignored(self._assembly, source).are_none
        if flag.is_writable:
            path = self._copied(source, flag)
        elif isinstance(source, Path) and is_whole:
            path = self._below(source, flag)
        elif not isinstance(source, Path) and len(source.lowers) == 1:
            path = self._below(source.lowers[0], flag)
        else:
            path = self._copied(source, flag)
        self.binds.append(
            Bind(source=path, target=self._target(flag), read_only=not flag.is_writable)
        )

    def _below(self, directory: Path, flag: MountFlag) -> str:
        inside = flag.get("source", "/")
        path = os.path.realpath(directory / inside.lstrip("/"))
        if not f"{path}/".startswith(f"{os.path.realpath(directory)}/"):
            raise flag.one.fault(
                f"forbidden path outside the build context: {inside[:80]}", "stay below it"
            )
        if not os.path.exists(path):
            raise flag.one.fault(f'"{inside[:200]}": not found', "is it in the context?")
        return path

    def _copied(self, source: State | Path, flag: MountFlag) -> str:
        """A copy of what is wanted: several layers, what is not ignored, what is written to."""
        workshop, work = self._assembly.workshop, self._builder.ingest.work
        inside = flag.get("source", "/")
        archive, directory = (work / secrets.token_hex(8) for _ in range(2))
        order = wanted(self._assembly, source, inside)
        with open(archive, "wb") as file:
            if isinstance(source, Path):
                is_directory = os.path.isdir(self._below(source, flag))
                send_from(source, order, file)
            else:
                with workshop.lent(source.lowers) as other:
                    is_directory = workshop.is_directory(other, inside)
                    workshop.send(other, order, file)
        unpack_file(archive, directory)
        archive.unlink()
        return str(directory if is_directory else directory / posixpath.basename(inside))


def source_of(assembly: Assembly, flag: MountFlag) -> State | Path:
    """What ``from`` names; without it the context."""
    word = flag.get("from")
    return assembly.source(word) if word else assembly.builder.context.directory


def ignored(assembly: Assembly, source: State | Path) -> Patterns:
    """What is left out of a source: of the context what .dockerignore says."""
    context = assembly.builder.context
    return context.ignore if source == context.directory else Patterns(())


def wanted(assembly: Assembly, source: State | Path, inside: str) -> Order:
    """All of a source below this path."""
    return Order(
        sources=(inside,),
        target="/",
        into_directory=True,
        keep_owners=not isinstance(source, Path),
        ignore=ignored(assembly, source),
    )


def seen(assembly: Assembly, flags: Sequence[MountFlag]) -> tuple[str, dict[str, str]]:
    """What counts of the binds: a digest of what is seen of contexts, the layers of stages.

    And the digests of a context's files by name. "" if there are no binds.
    """
    digest = hashlib.sha256()
    files: dict[str, str] = {}
    binds = [flag for flag in flags if flag.kind == "bind"]
    for flag in binds:
        source = source_of(assembly, flag)
        digest.update(f"{flag}\0".encode())
        if isinstance(source, Path):
            sent = send_from(source, wanted(assembly, source, flag.get("source", "/")), None)
            files |= sent.files
            digest.update(sent.digest.encode())
        else:
            digest.update(_identity(source).encode())
    return (digest.hexdigest() if binds else ""), files


def _identity(source: State | Path) -> str:
    if isinstance(source, Path):
        return str(source)
    return " ".join(layer.diff_id for layer in source.layers)


def _own(path: Path, flag: MountFlag) -> None:
    """Give it to whom the flag says; an ordinary user's are its own."""
    if os.geteuid() == 0:
        os.chown(path, flag.number("uid", "0"), flag.number("gid", "0"))
