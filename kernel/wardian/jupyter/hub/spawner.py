"""JupyterHub's spawner for one machine (`binder/hub/one-machine/jupyterhub_config.py` names it).

Users have accounts there. Each has a keeper and a state directory of its own, started and written
with its own rights; images and toolboxes are root's, shared by all (`images/shared.py`).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import msgspec
from jupyterhub.spawner import LocalProcessSpawner
from traitlets import Integer, Unicode, default

from wardian.jupyter.hub import lodge


class HostSpawner(LocalProcessSpawner):  # type: ignore[misc]  # of unknown type
    """Starts a user's server in a lodge. ``mem_limit`` and ``cpu_limit`` are in force."""

    pids_limit = Integer(0, help="How many processes a session may have; 0 is no limit.").tag(
        config=True
    )
    shared_images = Unicode(
        "", help="A state directory of root's, whose images all users have; empty is none."
    ).tag(config=True)

    @default("cmd")
    def _default_cmd(self) -> list[str]:
        # -P: it is root's, so that nothing is imported from wherever the hub was started.
        return [sys.executable, "-P", "-m", "wardian.jupyter.hub.lodge", "jupyterhub-singleuser"]

    def make_preexec_fn(self, _name: str) -> Callable[[], None] | None:
        """The lodge becomes the user itself: what it makes before takes root."""
        return None

    def get_env(self) -> dict[str, Any]:
        """The server's, with what the lodge takes out of it."""
        wishes = lodge.Wishes(
            shared=self.shared_images,
            memory_bytes=self.mem_limit or None,
            cpus=self.cpu_limit or None,
            pids=self.pids_limit or None,
        )
        return {**super().get_env(), lodge.WISHES: msgspec.json.encode(wishes).decode()}

    async def stop(self, now: bool = False) -> None:  # noqa: FBT001, FBT002  # as JupyterHub calls it
        """End it; groups that a killed lodge has left go, too."""
        await super().stop(now=now)
        await asyncio.to_thread(lodge.remove_groups, self.user.name)
