"""RUN: a command in a container on the layers so far, and the layer of what it changed."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wardian.build.cache import Facts
from wardian.build.stages import PREDEFINED, Instruction, flag_values
from wardian.build.workshop import Made
from wardian.cgroups.limits import parse_size
from wardian.errors import CommandFailed
from wardian.runtime.spec import Bind, Network, ProcessSpec, Tmpfs

if TYPE_CHECKING:
    from wardian.build.assembly import Assembly
    from wardian.build.expansion import Expander

RUN_FLAGS = {"mount", "network"}
MAX_NAMED_CHARS = 200


@dataclass(frozen=True, slots=True)
class Running:
    """One RUN."""

    assembly: Assembly
    one: Instruction

    def facts(self, _: Expander) -> Facts:
        """The ARGs that the command sees, but for those that never count."""
        own = self.assembly.state.draft.env
        known = self.assembly.state.arguments.items()
        seen = {key: value for key, value in known if key not in PREDEFINED and key not in own}
        return Facts(arguments=seen)

    def do(self) -> Made:
        """Run it. Raises CommandFailed with the command's exit code."""
        state, options = self.assembly.state, self.assembly.builder.options
        flags = flag_values(self.one, RUN_FLAGS)
        binds, tmpfs, env = self._mounts(flags.get("mount", []))
        argv, script = self._argv()
        process = ProcessSpec(
            argv=tuple(argv),
            env={**state.arguments, **state.draft.env, **env},
            workdir=state.draft.workdir,
            user=str(state.draft.run.get("User") or "0:0"),
        )
        code, made = self.assembly.workshop.run(
            state.lowers,
            process,
            self.assembly.tell,
            network=self._network(flags.get("network", [options.network])[-1]),
            binds=tuple(binds),
            tmpfs=tuple(tmpfs),
            stdin=None if script is None else _readable(script),
        )
        if code:
            named = " ".join(argv)[:MAX_NAMED_CHARS]
            fault = self.one.fault(
                f'process "{named}" did not complete successfully: exit code: {code}'
            )
            raise CommandFailed(
                fault.what, exit_code=1, hint="its output is above; what was built before is kept"
            )
        return made

    def _network(self, word: str) -> Network:
        if word == "host":
            return Network.HOST
        if word not in ("none", "default"):
            raise self.one.fault(f"unknown network: {word[:40]}", "use none, default or host")
        return Network.NONE

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

    # --- mounts --------------------------------------------------------------------------

    def _mounts(self, words: list[str]) -> tuple[list[Bind], list[Tmpfs], dict[str, str]]:
        binds: list[Bind] = []
        tmpfs: list[Tmpfs] = []
        env: dict[str, str] = {}
        for word in words:
            fields = dict(part.partition("=")[::2] for part in word.split(","))
            kind = fields.get("type", "bind")
            target = self._target_of(fields, kind)
            if kind == "tmpfs":
                size = fields.get("size")
                tmpfs.append(Tmpfs(target=target, size_bytes=parse_size(size) if size else None))
            elif kind == "cache":
                binds.append(self._cache(fields, target))
            elif kind == "secret":
                self._secret(fields, target, binds, env)
            elif kind == "bind":
                binds.append(self._bind(fields, target))
            else:
                raise self.one.fault(
                    f"unsupported mount type {kind[:20]!r}", "use bind, cache, tmpfs or secret"
                )
        return binds, tmpfs, env

    def _target_of(self, fields: dict[str, str], kind: str) -> str:
        for name in ("target", "dst", "destination"):
            if fields.get(name):
                workdir = self.assembly.state.draft.workdir
                return posixpath.normpath(posixpath.join(workdir, fields[name]))
        if kind == "secret":
            return f"/run/secrets/{posixpath.basename(fields.get('id', 'default'))}"
        raise self.one.fault(f"--mount=type={kind} needs a target", "add target=/PATH")

    def _cache(self, fields: dict[str, str], target: str) -> Bind:
        import hashlib

        name = hashlib.sha256(fields.get("id", target).encode()).hexdigest()[:32]
        directory = self.assembly.builder.store.root / "build" / "mounts" / name
        if not directory.exists():
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(int(fields.get("mode", "0755"), 8))
            if os.geteuid() == 0:
                os.chown(directory, int(fields.get("uid", "0")), int(fields.get("gid", "0")))
        return Bind(source=str(directory), target=target, read_only=_is_read_only(fields))

    def _secret(
        self, fields: dict[str, str], target: str, binds: list[Bind], env: dict[str, str]
    ) -> None:
        name = fields.get("id") or posixpath.basename(target)
        path = self.assembly.builder.options.secrets.get(name)
        if path is None:
            if fields.get("required", "false") in ("true", ""):
                raise self.one.fault(f"secret {name}: not found", f"give it: --secret id={name}")
            return
        if "env" in fields:
            env[fields["env"]] = path.read_text()
            if "target" not in fields:
                return
        binds.append(Bind(source=str(path), target=target))

    def _bind(self, fields: dict[str, str], target: str) -> Bind:
        word = fields.get("from", "")
        own = self.assembly.builder.context.directory
        source = self.assembly.source(word) if word else own
        if not isinstance(source, Path):
            if len(source.lowers) != 1:
                raise self.one.fault(
                    "a bind mount of a stage of several layers is not supported yet",
                    "COPY --from what you need",
                )
            source = source.lowers[0]
        inside = fields.get("source", fields.get("src", "/"))
        path = os.path.realpath(source / inside.lstrip("/"))
        if not f"{path}/".startswith(f"{os.path.realpath(source)}/"):
            raise self.one.fault(
                f"forbidden path outside the build context: {inside[:80]}", "stay below it"
            )
        if not os.path.exists(path):
            raise self.one.fault(f'"{inside[:200]}": not found', "is it in the context?")
        return Bind(source=path, target=target)


def _is_read_only(fields: dict[str, str]) -> bool:
    return any(fields.get(name, "false") in ("true", "") for name in ("ro", "readonly"))


def _readable(data: bytes) -> int:
    """A descriptor to read these bytes from."""
    fd = os.memfd_create("script", os.MFD_CLOEXEC)
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
