"""What a notebook asks of its container: image, limits, time for a cell.

Four places say it, the later one winning: JupyterLab's settings (`wardian.jupyter.defaults`), the
kernelspec (``WARDIAN_IMAGE``, ``WARDIAN_MEMORY``, … in its ``env``), the notebook's metadata, the
cell's metadata
(``"wardian": {"image": …, "memory": "512m", "cpus": 1.5, "pids": 100, "timeout": 30}``).
Only of ``require``, the lowest rung on which cells may run, the stricter one wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from wardian.cgroups.devices import DeviceRule
from wardian.cgroups.limits import Limits
from wardian.errors import InvalidInput

DEFAULT_IMAGE = "wardian/base"
RUNGS = (
    "full",
    "rootless",
    "pod",
    "bare",
)  # `wardian.runtime.doctor.Rung`, not imported at a start
WORDS = (
    *("image", "memory", "cpus", "pids", "timeout", "python", "volumes"),
    *("refresh", "require"),
)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes and counts in docker's words, ``timeout`` in seconds; None is unlimited.

    ``volumes`` are words of docker's ``-v``; relative paths begin at the notebook. Views look
    no more often than every ``refresh`` seconds. ``require`` is a rung of the doctor's ladder.
    ``network``, ``ip``, ``publish``, ``cap_add`` and ``privileged`` are docker's, and
    `%container`'s alone: a notebook does not get them by being opened.
    """

    image: str = DEFAULT_IMAGE
    memory: str | None = None
    cpus: str | None = None
    pids: str | None = None
    timeout: str | None = None
    python: str = "toolbox"
    volumes: tuple[str, ...] = ()
    network: str = ""
    ip: str = ""
    publish: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    require: str | None = None
    privileged: bool = False
    refresh: str | None = None

    def with_environment(self, environment: Mapping[str, str]) -> Settings:
        """These settings with what ``WARDIAN_…`` variables say on top."""
        said = {word: environment.get(f"WARDIAN_{word.upper()}") for word in WORDS}
        return self.with_words({word: value for word, value in said.items() if value})

    def with_words(self, words: object) -> Settings:
        """These settings with others on top; raises InvalidInput for what they cannot be."""
        if words is None:
            return self
        if not isinstance(words, Mapping):
            raise InvalidInput(
                "the metadata's `wardian` is not an object",
                hint='write it like {"memory": "512m", "timeout": 30}',
            )
        unknown = sorted(set(map(str, words)) - set(WORDS))
        if unknown:
            raise InvalidInput(
                f"unknown setting in the metadata: {unknown[0][:40]}",
                hint=f"the settings are {', '.join(WORDS)}",
            )
        changed: dict[str, Any] = {
            str(word): _as_words(value) if word == "volumes" else _as_text(word, value)
            for word, value in words.items()
        }
        settings = replace(self, **changed)
        if settings.python not in ("toolbox", "image"):
            raise InvalidInput(
                f"not a python: {settings.python[:40]}", hint="it is toolbox or image"
            )
        return replace(settings, require=_stricter(self.require, settings.require))

    @property
    def limits(self) -> Limits:
        """The container's limits; raises InvalidInput."""
        limits = Limits.parse(memory=self.memory, cpus=self.cpus, pids=self.pids)
        return replace(limits, device_rules=(DeviceRule(),)) if self.privileged else limits

    @property
    def privileges(self) -> dict[str, Any]:
        """Fields of the spec: what is added; all that `wardian run --privileged` takes down."""
        if not self.privileged:
            return {"cap_add": self.cap_add}
        return {"cap_add": ("ALL",), "seccomp": "unconfined", "hides_paths": False}

    def limits_over(self, usual: Limits) -> Limits:
        """These limits where they say something, else the usual ones; raises InvalidInput."""
        ours = self.limits
        return replace(
            usual,
            memory_bytes=ours.memory_bytes if self.memory else usual.memory_bytes,
            cpus=ours.cpus if self.cpus else usual.cpus,
            pids=ours.pids if self.pids else usual.pids,
        )

    @property
    def timeout_s(self) -> float | None:
        """How long a cell may run; raises InvalidInput."""
        return _seconds(self.timeout, "a time limit")

    @property
    def refresh_s(self) -> float:
        """The least time between two looks of a view; raises InvalidInput."""
        return _seconds(self.refresh, "a refresh rate") or 0.0


def _seconds(word: str | None, what: str) -> float | None:
    if word in (None, "", "0"):
        return None
    try:
        seconds = float(str(word).removesuffix("s"))
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e7:
        raise InvalidInput(f"not {what}: {word}", hint="write seconds, like 30")
    return seconds


def _stricter(*rungs: str | None) -> str | None:
    """The highest of these rungs; raises InvalidInput for what is none."""
    asked = [rung for rung in rungs if rung is not None]
    for rung in asked:
        if rung not in RUNGS:
            raise InvalidInput(f"not a rung: {rung[:40]}", hint=f"it is one of {', '.join(RUNGS)}")
    return min(asked, key=RUNGS.index, default=None)


def _as_words(value: Any) -> tuple[str, ...]:
    """A list of texts; in an environment variable they have blanks between."""
    if isinstance(value, str):
        return tuple(value.split())
    if isinstance(value, list | tuple) and all(isinstance(word, str) for word in value):
        return tuple(value)
    raise InvalidInput(
        "the setting volumes is not a list of texts",
        hint='write it like ["data:/data", "./in:/in"]',
    )


def _as_text(word: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g}" if isinstance(value, float) else str(value)
    raise InvalidInput(f"the setting {word} is not a text or a number", hint=f"see {word} in help")
