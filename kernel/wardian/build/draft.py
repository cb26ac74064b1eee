"""An image's configuration while it is being written: what each instruction changes in it.

``wardian commit --change`` uses the same. (image-spec, config.md; docker's Healthcheck, Shell,
OnBuild beside it.)
"""

from __future__ import annotations

import copy
import posixpath
import re
from collections.abc import Callable, Iterable
from typing import Any

from wardian.build.expansion import Expander
from wardian.build.faults import DockerfileError
from wardian.build.parser import parse
from wardian.build.stages import Instruction, flag_values, recipe
from wardian.images.manifest import Platform
from wardian.linux.signal_names import signal_number

DEFAULT_SHELL = ["/bin/sh", "-c"]
CHANGEABLE = (
    "CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR"
)
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
Edit = Callable[[Instruction, Expander], None]


class Draft:
    """The configuration; ``run`` is its ``config``."""

    def __init__(self, whole: dict[str, Any] | None = None) -> None:
        self.whole: dict[str, Any] = copy.deepcopy(whole or {})
        run = self.whole.get("config")
        self.run: dict[str, Any] = run if isinstance(run, dict) else {}
        self.whole["config"] = self.run
        self._edits: dict[str, Edit] = {
            "CMD": self._command,
            "ENTRYPOINT": self._entrypoint,
            "ENV": self._environment,
            "EXPOSE": self._expose,
            "HEALTHCHECK": self._healthcheck,
            "LABEL": self._label,
            "MAINTAINER": self._maintainer,
            "ONBUILD": self._onbuild,
            "SHELL": self._shell,
            "STOPSIGNAL": self._stop_signal,
            "USER": self._user,
            "VOLUME": self._volume,
            "WORKDIR": self._workdir,
        }
        self._has_own_command = False

    @property
    def env(self) -> dict[str, str]:
        """The environment."""
        pairs = (str(word).partition("=") for word in self.run.get("Env") or ())
        return {name: value for name, _, value in pairs}

    @property
    def shell(self) -> list[str]:
        """What runs a command that is no JSON list."""
        return list(self.run.get("Shell") or DEFAULT_SHELL)

    @property
    def workdir(self) -> str:
        """Where commands run and relative paths begin."""
        return str(self.run.get("WorkingDir") or "/")

    @property
    def platform(self) -> Platform:
        """What the image is for."""
        words = (str(self.whole.get(key) or "") for key in ("architecture", "os", "variant"))
        return Platform(*words)

    def edits(self, name: str) -> bool:
        """Whether the instruction changes the configuration (and nothing else but WORKDIR)."""
        return name in self._edits

    def apply(self, one: Instruction, expander: Expander) -> None:
        """What an instruction says. Raises DockerfileError."""
        if one.name != "HEALTHCHECK":
            flag_values(one, set())
        if one.node.next is None:
            raise one.fault(f"{one.name} requires at least one argument", "say what it is")
        self._edits[one.name](one, expander)

    def command_of(self, one: Instruction) -> list[str]:
        """The words of a command, in the shell if it is no JSON list."""
        return one.words if one.node.is_json else [*self.shell, *one.words]

    # --- commands ------------------------------------------------------------------------

    def _command(self, one: Instruction, _: Expander) -> None:
        self.run["Cmd"] = self.command_of(one)
        self._has_own_command = True

    def _entrypoint(self, one: Instruction, _: Expander) -> None:
        self.run["Entrypoint"] = self.command_of(one)
        if not self._has_own_command:
            self.run["Cmd"] = None  # the base image's goes with its entrypoint

    def _shell(self, one: Instruction, _: Expander) -> None:
        if not one.node.is_json:
            raise one.fault("SHELL requires the arguments to be in JSON form", 'like ["sh", "-c"]')
        self.run["Shell"] = one.words

    def _healthcheck(self, one: Instruction, _: Expander) -> None:
        kind, *command = one.words
        flags = flag_values(
            one, {"interval", "timeout", "start-period", "start-interval", "retries"}
        )
        if kind.upper() == "NONE" and not command:
            self.run["Healthcheck"] = {"Test": ["NONE"]}
            return
        if kind.upper() != "CMD" or not command:
            raise one.fault(
                f"Unknown type {kind[:40]!r} in HEALTHCHECK (try CMD)", "write HEALTHCHECK CMD …"
            )
        check: dict[str, Any] = {
            "Test": ["CMD", *command] if one.node.is_json else ["CMD-SHELL", *command]
        }
        for flag, field in (
            ("interval", "Interval"),
            ("timeout", "Timeout"),
            ("start-period", "StartPeriod"),
            ("start-interval", "StartInterval"),
        ):
            if flag in flags:
                check[field] = duration_ns(one, flags[flag][-1])
        if "retries" in flags:
            if not flags["retries"][-1].isdecimal():
                raise one.fault("--retries is no number", "like --retries=3")
            check["Retries"] = int(flags["retries"][-1])
        self.run["Healthcheck"] = check

    def _onbuild(self, one: Instruction, _: Expander) -> None:
        assert one.node.next is not None
        trigger = one.node.next.children[0]
        if trigger.value.upper() in ("FROM", "MAINTAINER"):
            raise one.fault(f"{trigger.value.upper()} isn't allowed as an ONBUILD trigger", "")
        text = trigger.original.strip()
        for heredoc in one.node.heredocs:
            text += f"\n{heredoc.content}{heredoc.name}"
        self.run["OnBuild"] = [*(self.run.get("OnBuild") or []), text]

    # --- pairs and words -----------------------------------------------------------------

    def _environment(self, one: Instruction, expander: Expander) -> None:
        self.run["Env"] = [
            f"{key}={value}" for key, value in {**self.env, **self._pairs(one, expander)}.items()
        ]

    def _label(self, one: Instruction, expander: Expander) -> None:
        self.run["Labels"] = {**(self.run.get("Labels") or {}), **self._pairs(one, expander)}

    def _pairs(self, one: Instruction, expander: Expander) -> dict[str, str]:
        words = one.words
        pairs: dict[str, str] = {}
        for key, value in zip(words[::3], words[1::3], strict=True):
            name = expander.word(key)
            if not name:
                raise one.fault(f"{one.name} names can not be blank", "write NAME=VALUE")
            pairs[name] = expander.word(value)
        return pairs

    def _maintainer(self, one: Instruction, _: Expander) -> None:
        self.whole["author"] = one.words[0]

    def _user(self, one: Instruction, expander: Expander) -> None:
        self.run["User"] = expander.word(one.words[0])

    def _stop_signal(self, one: Instruction, expander: Expander) -> None:
        word = expander.word(one.words[0])
        signal_number(word)
        self.run["StopSignal"] = word

    def _workdir(self, one: Instruction, expander: Expander) -> None:
        path = expander.word(one.words[0])
        if not path:
            raise one.fault("WORKDIR is empty", "name a directory")
        joined = posixpath.normpath(posixpath.join("/", self.workdir, path))
        self.run["WorkingDir"] = "/" + joined.lstrip("/")

    def _volume(self, one: Instruction, expander: Expander) -> None:
        paths = [expander.word(word) for word in one.words]
        if not all(path.strip() for path in paths):
            raise one.fault("VOLUME specified can not be an empty string", "name a directory")
        self.run["Volumes"] = {**(self.run.get("Volumes") or {}), **{path: {} for path in paths}}

    def _expose(self, one: Instruction, expander: Expander) -> None:
        ports = dict(self.run.get("ExposedPorts") or {})
        for word in [part for text in one.words for part in expander.words(text)]:
            found = _PORT.fullmatch(word.rpartition(":")[2])  # ip:host: is warned of, and ignored
            first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
            if found is None or not first <= last <= 65535:
                raise one.fault(f"Invalid containerPort: {word[:40]}", "like 80, 53/udp, 80-89")
            ports.update({f"{n}/{(found[3] or 'tcp').lower()}": {} for n in range(first, last + 1)})
        self.run["ExposedPorts"] = ports


def duration_ns(one: Instruction, text: str) -> int:
    """A duration in Go's words, such as 1m30s, in nanoseconds."""
    parts = _DURATION.findall(text)
    if not parts or "".join(map("".join, parts)) != text:
        raise one.fault(f"invalid duration {text[:40]!r}", "like 30s or 1m30s")
    return sum(int(float(number) * _NANOSECONDS[unit]) for number, unit in parts)


def changed(whole: dict[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """A configuration with the changes of ``commit --change``. Raises DockerfileError."""
    draft = Draft(whole)
    for line in changes:
        file = recipe(parse(f"FROM scratch\n{line}\n"))
        for one in file.stages[0].instructions:
            if not draft.edits(one.name) or one.name in ("SHELL", "MAINTAINER"):
                raise DockerfileError(
                    f"{one.name} is not a valid change command", hint=f"of these: {CHANGEABLE}"
                )
            draft.apply(one, Expander(env=draft.env, escape=file.escape))
    return draft.whole
