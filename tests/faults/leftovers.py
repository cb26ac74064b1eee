"""What a death could leave on the host: nothing of it may be there when all containers are gone."""

from __future__ import annotations

import gc
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.linux.conftest import wait_until
from wardian.runtime.paths import group_folder

OF_A_KEEPER = {
    *("containers", "snapshots", "skeleton", "storage-driver"),
    *("keeper.lock", "keeper.log"),
}
OF_IMAGES = {"content", "layers", "toolbox"}


@dataclass(frozen=True, slots=True)
class Leftovers:
    """How it was before: our descriptors, and the mounts that can be seen."""

    descriptors: int
    mounts: frozenset[str]

    @classmethod
    def look(cls) -> Leftovers:
        """Look at this process and its mount namespace."""
        gc.collect()  # what earlier tests forgot to close is not to be closed in between
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        return cls(len(os.listdir("/proc/self/fd")), frozenset(mounts))

    def assert_none(self, state: Path) -> None:
        """Nothing of this state root's keepers and containers is left but its lock and its log."""
        wait_until(lambda: processes(state) == [])  # and with them all their namespaces
        folder = group_folder(state)
        assert list(Path("/sys/fs/cgroup").glob(f"*/{folder}")) == []
        assert not Path("/sys/fs/cgroup", folder).exists()
        now = Leftovers.look()
        assert now.descriptors == self.descriptors
        # Others may mount on this machine, too; ours are below the root or on a part of /proc.
        more = now.mounts - self.mounts
        ours = (f" {state}", " /proc/")
        assert [line for line in more if any(place in line for place in ours)] == []
        assert str(state) not in Path("/proc/net/unix").read_text()
        assert os.listdir(state / "containers") == []
        assert os.listdir(state / "snapshots") == []
        assert {path.name for path in state.iterdir()} - OF_A_KEEPER - OF_IMAGES == set()
        assert "mistake" not in (state / "keeper.log").read_text()


def processes(state: Path) -> list[int]:
    """What lives of this state root's keepers and containers, by cgroup and title."""
    folder, title = group_folder(state), f"wardian-keeper {state}"
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                group = (entry / "cgroup").read_text()
                name = (entry / "cmdline").read_text().replace("\0", " ")
                is_ours = folder in group or title in name
                if is_ours and "\nState:\tZ" not in (entry / "status").read_text():
                    found.append(int(entry.name))
    return found
