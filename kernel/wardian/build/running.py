"""RUN: a command in a container on the layers so far, and the layer of what it changed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from wardian.build.cache import Facts
from wardian.build.mount_flags import MountFlag, mount_flags
from wardian.build.reach import Reach
from wardian.build.stages import PREDEFINED, Instruction, flag_values
from wardian.build.state import Made
from wardian.errors import CommandFailed

if TYPE_CHECKING:
    from wardian.build.assembly import Assembly
    from wardian.build.expansion import Expander

RUN_FLAGS = {"mount", "network"}
MAX_NAMED_CHARS = 200
_END_BYTES = 4096
# What programs say who find no network: of the C library, apt, curl, git, busybox, Python, Go.
_UNREACHED = re.compile(
    rb"temporary failure|could not resolve|bad address|network is unreachable"
    rb"|name or service not known|unable to resolve|no such host",
    re.IGNORECASE,
)


class Running(msgspec.Struct, frozen=True):
    """One RUN."""

    assembly: Assembly
    one: Instruction
    expander: Expander

    def facts(self) -> Facts:
        """The ARGs that the command sees, but for those that never count; the files of binds."""
        own = self.assembly.state.draft.env
        known = self.assembly.state.arguments.items()
        seen = {key: value for key, value in known if key not in PREDEFINED and key not in own}
        flags = self._mounts()
        digest, files = "", dict[str, str]()
        if any(flag.kind == "bind" for flag in flags):
            from wardian.build import mounts

            digest, files = mounts.seen(self.assembly, flags)
        words = {} if not flags else {"--mount": " ".join(map(str, flags))}
        if hosts := self.assembly.builder.options.hosts:
            words["--add-host"] = " ".join(map(":".join, hosts))
        return Facts(arguments={**seen, **words}, files=files, digest=digest)

    def _mounts(self) -> list[MountFlag]:
        words = flag_values(self.one, RUN_FLAGS).get("mount", [])
        return mount_flags(self.one, words, self.expander)

    def do(self) -> Made:
        """Run it. Raises DockerfileError if it does not start or ends badly."""
        from wardian.build.mounts import Mounts  # what is in the cache needs no container
        from wardian.runtime.spec import ProcessSpec

        state, options = self.assembly.state, self.assembly.builder.options
        flags = flag_values(self.one, RUN_FLAGS)
        argv, script = self._argv()
        reach = self._reach(flags.get("network", [options.network])[-1])
        with Mounts(self.assembly, self._mounts()) as mounts:
            process = ProcessSpec(
                argv=tuple(argv),
                env={**state.arguments, **state.draft.env, **mounts.env},
                workdir=state.draft.workdir,
                user=str(state.draft.run.get("User") or "0:0"),
            )
            said = _End(self.assembly.tell)
            try:
                code, made = self.assembly.workshop.run(
                    state.lowers,
                    process,
                    said.tell,
                    reach=reach,
                    binds=tuple(mounts.binds),
                    tmpfs=tuple(mounts.tmpfs),
                    hosts=options.hosts,
                    stdin=None if script is None else _readable(script),
                )
            except CommandFailed as error:  # it did not even start
                raise self.one.fault(error.what, error.hint) from error
        if code:
            named = " ".join(argv)[:MAX_NAMED_CHARS]
            hint = "its output is above; what was built before is kept"
            if _UNREACHED.search(said.end):
                hint = self._why_unreached(reach) or hint
            what = f'process "{named}" did not complete successfully: exit code: {code}'
            raise self.one.fault(what, hint)
        return made

    def _reach(self, word: str) -> Reach:
        try:
            return Reach(word)
        except ValueError:
            what = f"unknown network: {word[:40]}"
            raise self.one.fault(what, "use none, default or host") from None

    def _why_unreached(self, reach: Reach) -> str:
        """What to do about a network that leads nowhere; nothing if it should lead out."""
        if reach is Reach.NONE:
            return "RUN has loopback only with --network=none; leave that out"
        if reach is Reach.HOST:
            return ""
        if why := self.assembly.workshop.why_no_network:
            return f"RUN has loopback only: {why}; --network=host gives it the host's network"
        if os.geteuid() != 0:
            from wardian.network import outlet

            if why := outlet.choose().why:
                return f"a user's containers have no way out here: {why}"
        return ""

    def _argv(self) -> tuple[list[str], bytes | None]:
        """The command, and the script on its standard input if it is a whole here-document."""
        if self.one.node.next is None:
            raise self.one.fault("RUN requires at least one argument", "write RUN COMMAND")
        if self.one.node.is_json:
            return self.one.words, None
        heredocs = self.one.node.heredocs
        if not heredocs:
            return self.assembly.state.draft.command_of(self.one), None
        [command] = self.one.words
        if len(heredocs) == 1 and command.startswith("<<") and " " not in command:
            text = heredocs[0].text
            if text.startswith("#!"):
                line = text.partition("\n")[0].removeprefix("#!").strip()
                return [*line.split(maxsplit=1), "/dev/stdin"], text.encode()
            return [*self.assembly.state.draft.shell, text], None
        body = "".join(f"{one.content}{one.name}\n" for one in heredocs)
        return [*self.assembly.state.draft.shell, f"{command}\n{body}"], None


class _End:
    """Passes output on, and keeps its end."""

    def __init__(self, tell: Callable[[bytes], None]) -> None:
        self._tell = tell
        self.end = b""

    def tell(self, data: bytes) -> None:
        """Some more output."""
        self.end = (self.end + data)[-_END_BYTES:]
        self._tell(data)


def _readable(data: bytes) -> int:
    """A descriptor to read these bytes from."""
    fd = os.memfd_create("script", os.MFD_CLOEXEC)
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
