"""What a container changed, found by who may read its files.

An ordinary user may not: they belong to subordinate ids, or have modes that only root's
capabilities pass. A child looks as root of the user's own ids.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import wardian.storage.difference  # noqa: F401  # the child can import nothing
from wardian.runtime.messages import ContainerInfo
from wardian.runtime.visit import visit_own
from wardian.storage.changes import Change, ChangeKind, changes

Look = Callable[[], tuple[Sequence[Change], str]]


def changes_of(info: ContainerInfo) -> list[Change]:
    """Every difference, as `storage.changes` has it; SetupError, FailedPrecondition."""
    lowers = [Path(lower) for lower in info.lowers]
    return as_owner(lambda: (list(changes(info.snapshot, lowers)), ""))[0]


def as_owner(look: Look, *fds: int) -> tuple[list[Change], str]:
    """Look at a container's files as whose they are, with these descriptors; what it found."""
    if os.geteuid() == 0:
        found, word = look()
        return list(found), word
    with os.fdopen(os.memfd_create("changes"), "r+", encoding="ascii") as table:

        def tell() -> bytes:
            found, word = look()
            rows = [(one.kind.name, one.path, one.size_bytes, one.is_directory) for one in found]
            json.dump(rows, table)
            table.flush()
            return word.encode()

        word = visit_own(tell, fds=(table.fileno(), *fds)).result().decode()
        table.seek(0)
        return [Change(ChangeKind[kind], *rest) for kind, *rest in json.load(table)], word
