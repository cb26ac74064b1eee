"""Bundles of static busybox, and `wardian-oci` as a program with a state root of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

BUSYBOX = Path("/bin/busybox")
APPLETS = (
    "sh",
    "cat",
    "id",
    "sleep",
    "mount",
    "hostname",
    "grep",
    "touch",
    "ls",
    "stty",
    "test",
    "cut",
)


def make_root(root: Path) -> None:
    """A root tree with nothing but busybox."""
    (root / "bin").mkdir(parents=True)
    (root / "bin/busybox").write_bytes(BUSYBOX.read_bytes())
    (root / "bin/busybox").chmod(0o755)
    for name in APPLETS:
        (root / "bin" / name).symlink_to("busybox")


@dataclass
class Oci:
    """The command, and one bundle."""

    program: Path
    root: Path
    bundle: Path

    @property
    def group(self) -> str:
        """The cgroup's name: no other test run on this machine has the same."""
        return f"wardian-oci-{os.getpid()}-{self.root.parent.name}"

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.program), "--root", str(self.root), *words]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )

    def detached(self, *words: str) -> int:
        """As `__call__` for commands whose container goes on with their standard output."""
        command = [str(self.program), "--root", str(self.root), *words]
        null = subprocess.DEVNULL
        done = subprocess.run(
            command, stdin=null, stdout=null, stderr=null, check=False, timeout=60
        )
        return done.returncode

    def config(self, *args: str, change: Callable[[dict[str, Any]], object] | None = None) -> None:
        """Write config.json: the example with another program, and changed."""
        path = self.bundle / "config.json"
        path.unlink(missing_ok=True)
        assert self("spec", "--bundle", str(self.bundle)).returncode == 0
        tree = json.loads(path.read_text())
        tree["process"]["args"] = list(args)
        tree["linux"]["cgroupsPath"] = f"/{self.group}"
        if change is not None:
            change(tree)
        path.write_text(json.dumps(tree))

    def run(self, *args: str, change: Callable[[dict[str, Any]], object] | None = None) -> str:
        """What a program prints in a container."""
        self.config(*args, change=change)
        done = self("run", "--bundle", str(self.bundle), "one")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self, container_id: str) -> str:
        done = self("state", container_id)
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["status"])

    def wait_for(self, container_id: str, status: str) -> None:
        deadline = time.monotonic() + 10
        while self.status(container_id) != status:
            assert time.monotonic() < deadline, self.status(container_id)
            time.sleep(0.02)


@pytest.fixture
def oci(tmp_path: Path) -> Iterator[Oci]:
    if os.geteuid() != 0:
        pytest.skip("wardian-oci needs root")
    program = tmp_path / "wardian-oci"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I -m wardian.oci "$@"\n')
    program.chmod(0o755)
    bundle = tmp_path / "bundle"
    make_root(bundle / "rootfs")
    command = Oci(program, tmp_path / "state", bundle)
    yield command
    for name in command("list", "--quiet").stdout.split():
        command("delete", "--force", name)
    assert not groups(command)


def groups(oci: Oci) -> list[Path]:
    """What is there of the container's cgroup."""
    top = Path("/sys/fs/cgroup")
    return [path for path in (top / oci.group, *top.glob(f"*/{oci.group}")) if path.exists()]
