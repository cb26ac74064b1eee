"""The words of ``RUN --mount``: keys and values as BuildKit reads them (parseMount), checked."""

from __future__ import annotations

import csv
from collections.abc import Sequence

import msgspec

from wardian.build.expansion import Expander
from wardian.build.stages import Instruction

_ALIASES = {"src": "source", "dst": "target", "destination": "target"}
_ALIASES |= {"ro": "readonly", "rw": "readwrite"}
_SWITCHES = {"readonly", "readwrite", "required"}
_TRUE, _FALSE = ("", "true", "1"), ("false", "0")
_OWNED = {"mode", "uid", "gid"}
_KEYS = {
    "bind": {"target", "source", "from", "readonly", "readwrite"},
    "cache": {"id", "target", "source", "from", "readonly", "readwrite", "sharing", *_OWNED},
    "tmpfs": {"target", "size"},
    "secret": {"id", "target", "source", "env", "required", *_OWNED},
    "ssh": {"id", "target", "required", *_OWNED},
}
SHARINGS = ("shared", "private", "locked")


class MountFlag(msgspec.Struct, frozen=True):
    """One ``--mount``, its variables replaced."""

    one: Instruction
    kind: str
    fields: dict[str, str]

    @classmethod
    def parse(cls, one: Instruction, word: str, expander: Expander) -> MountFlag:
        """Read one. Raises DockerfileError."""
        rows = list(csv.reader([word], strict=False))
        fields: dict[str, str] = {}
        for part in rows[0] if rows else []:
            key, sign, value = part.partition("=")
            key = _ALIASES.get(key.lower(), key.lower())
            if not sign and key not in _SWITCHES:
                raise one.fault(
                    f"invalid field '{part[:40]}' must be a key=value pair", f"write {key[:40]}=…"
                )
            fields[key] = expander.word(value)
        kind = fields.pop("type", "bind").lower()
        if kind not in _KEYS:
            raise one.fault(f"unsupported mount type {kind[:20]!r}", f"use {', '.join(_KEYS)}")
        for key in fields:
            if key not in _KEYS[kind]:
                known = ", ".join(sorted(_KEYS[kind]))
                raise one.fault(
                    f"unexpected key '{key[:40]}' for mount type {kind}", f"it has {known}"
                )
        flag = cls(one, kind, fields)
        flag.check()
        return flag

    def check(self) -> None:
        """Raise DockerfileError for values that mean nothing."""
        for key in _SWITCHES & self.fields.keys():
            if self.fields[key] not in (*_TRUE, *_FALSE):
                said = f"invalid value for {key}: {self.fields[key][:20]}"
                raise self.one.fault(said, f"write {key}=true or {key}=false")
        sharing = self.fields.get("sharing", SHARINGS[0])
        if sharing not in SHARINGS:
            said = f"unsupported sharing value {sharing[:20]!r}"
            raise self.one.fault(said, f"use {', '.join(SHARINGS)}")
        if self.kind in ("bind", "cache", "tmpfs") and not self.fields.get("target"):
            said = f"--mount=type={self.kind} needs a target"
            raise self.one.fault(said, "add target=/PATH")

    def __str__(self) -> str:
        return ",".join([f"type={self.kind}", *(f"{k}={v}" for k, v in self.fields.items())])

    def get(self, key: str, usual: str = "") -> str:
        """A value, or what is usual."""
        return self.fields.get(key) or usual

    def is_on(self, key: str) -> bool:
        """Whether a word is there and not ``=false``."""
        return self.fields.get(key, "false") in _TRUE

    def number(self, key: str, usual: str, base: int = 10) -> int:
        """A number. Raises DockerfileError."""
        word = self.get(key, usual)
        try:
            return int(word, base)
        except ValueError:
            said = f"not a number: {key}={word[:20]}"
            raise self.one.fault(said, f"like {key}={usual}") from None

    @property
    def is_writable(self) -> bool:
        """Of a bind: what is written is discarded."""
        is_not_read_only = "readonly" in self.fields and not self.is_on("readonly")
        return self.is_on("readwrite") or is_not_read_only


def mount_flags(one: Instruction, words: Sequence[str], expander: Expander) -> list[MountFlag]:
    """Those of one RUN. Raises DockerfileError."""
    return [MountFlag.parse(one, word, expander) for word in words]
