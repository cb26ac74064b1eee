"""The build cache: for each instruction that was run, what it ran on and what came of it.

    <root>/build/steps/<hex of the key>.json

A key is the digest of the parent's key, the instruction with its variables filled in, and the
content of the files it brings; times do not count. A record names its layer, which a prune may
have taken: then it is no hit.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from wardian.images.index import keep

MAX_FILES_NOTED = 5000


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What counts of an instruction beside its text and what it builds on.

    The ARGs that it can see, the digest of what it brings and, for the reason of a miss, those of
    the files in that.
    """

    arguments: dict[str, str] = msgspec.field(default_factory=dict)
    files: dict[str, str] = msgspec.field(default_factory=dict)
    digest: str = ""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A record. ``layer`` is (diff_id, blob's digest, size in bytes), None if it made none.

    ``same_as`` is the key of the same by the content of what it brings, where this is by layers.
    """

    parent: str
    instruction: str
    arguments: dict[str, str] = {}
    files: dict[str, str] = {}
    files_digest: str = ""
    created: str = ""
    layer: tuple[str, str, int] | None = None
    same_as: str = ""

    @property
    def key(self) -> str:
        """What it is found by; what came of it does not count."""
        facts = [self.parent, self.instruction, sorted(self.arguments.items()), self.files_digest]
        return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()


class StepCache(msgspec.Struct, frozen=True):
    """The records below one state root."""

    directory: Path

    def find(self, step: Step) -> Step | None:
        """What came of the same before."""
        return self._read(self.directory / f"{step.key}.json")

    def keep(self, step: Step) -> None:
        """Note what came of a step."""
        if len(step.files) > MAX_FILES_NOTED:
            step = msgspec.structs.replace(step, files={})
        keep(self.directory / f"{step.key}.json", msgspec.json.encode(step))

    def why_missed(self, step: Step) -> str:
        """Why there is no record of this step: against the latest one on the same parent."""
        siblings = [one for one in self._newest_first() if one.parent == step.parent]
        if not siblings:
            return "nothing was built on this before"
        same = [one for one in siblings if one.instruction == step.instruction]
        if not same:
            return f"the instruction changed, it was: {siblings[0].instruction[:80]}"
        before = next((one for one in same if one.files_digest == step.files_digest), None)
        if before is not None:
            names = sorted(
                name
                for name in {*before.arguments, *step.arguments}
                if before.arguments.get(name) != step.arguments.get(name)
            )
            return f"another value of {', '.join(names[:4])}"
        return _changed_files(same[0].files, step.files)

    def _newest_first(self) -> list[Step]:
        try:
            paths = [path for path in self.directory.iterdir() if path.suffix == ".json"]
        except FileNotFoundError:
            return []
        paths.sort(key=_mtime, reverse=True)
        return [step for path in paths if (step := self._read(path)) is not None]

    @staticmethod
    def _read(path: Path) -> Step | None:
        try:
            return msgspec.json.decode(path.read_bytes(), type=Step)
        except (FileNotFoundError, msgspec.MsgspecError):  # cut off by a crash: as good as none
            return None


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _changed_files(before: dict[str, str], now: dict[str, str]) -> str:
    parts = []
    for word, names in (
        (
            "changed",
            sorted(name for name in before.keys() & now.keys() if before[name] != now[name]),
        ),
        ("new", sorted(now.keys() - before.keys())),
        ("gone", sorted(before.keys() - now.keys())),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            parts.append(f"{word}: {', '.join(names[:3])}{more}")
    return f"its files are others ({'; '.join(parts)})" if parts else "its files are others"
