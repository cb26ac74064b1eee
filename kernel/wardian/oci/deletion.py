"""The end of a container: its group, its directory, its poststop hooks.

Before the hooks run its directory has another name, so that they find it deleted and its id is
free. What is left of them is written there after each: who is killed meanwhile leaves them to the
next ``delete`` of that id.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from wardian.errors import WardianError
from wardian.oci import create, group, hooks
from wardian.oci.state import Folder, Record, document

_MARK = "~"  # in no id


def remove(folder: Folder, record: Record) -> None:
    """Delete a container whose first process is no more."""
    cgroup = group.recorded(record.cgroups)
    if cgroup is not None:
        with suppress(WardianError):
            cgroup.kill()
        create.remove_group(cgroup, record)
    if not record.config.hooks.poststop:
        folder.remove()
        return
    with folder.held(waits=True) as is_ours:
        if is_ours:
            folder.move(folder.path.with_name(f".{folder.id}{_MARK}{os.urandom(4).hex()}"))
            _run_hooks(folder, record)


def finish(root: str, container_id: str) -> bool:
    """Go on with deletions of this id that were cut short; whether there were any."""
    found = False
    for folder in _unfinished(root, container_id):
        with folder.held(waits=False) as is_ours, suppress(WardianError):
            if is_ours:
                found = True
                _run_hooks(folder, folder.read())
    return found


def _unfinished(root: str, container_id: str) -> Iterator[Folder]:
    for path in sorted(Path(root).glob(f".{container_id}{_MARK}*")):
        folder = Folder(root, container_id)
        folder.path = path
        yield folder


def _run_hooks(folder: Folder, record: Record) -> None:
    state = document(record, "stopped")
    for hook in record.config.hooks.poststop[record.poststop_done :]:
        hooks.run_all([hook], state, "poststop")
        record.poststop_done += 1
        folder.write(record)
    folder.remove()
