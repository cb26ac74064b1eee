"""A container that is configured like somebody's host, with Wardian in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

import wardian
from wardian.runtime.container import Container
from wardian.runtime.spec import Bind, ContainerSpec, ProcessSpec

HOME = "/home"
LOGIN, UID = "fern", 1000
SETUID = "/opt/setuid"
FILES = ("nsswitch.conf", "ld.so.cache", "ld.so.conf", "login.defs")
Done = subprocess.CompletedProcess[str]


def lay_out(layer: Path) -> None:
    """The tree of a small host: links to /usr, users, and a copy of what must be setuid."""
    layer.chmod(0o755)
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        if (link := Path("/", name)).is_symlink():
            (layer / name).symlink_to(os.readlink(link))
    (layer / "etc").mkdir()
    for name in FILES:
        if Path("/etc", name).exists():
            shutil.copy(f"/etc/{name}", layer / "etc")
    if Path("/etc/ld.so.conf.d").is_dir():
        shutil.copytree("/etc/ld.so.conf.d", layer / "etc/ld.so.conf.d")
    for name in ("passwd", "group"):
        text = Path("/etc", name).read_text().splitlines()
        kept = [line for line in text if line.split(":")[2] != str(UID)]
        line = f"{LOGIN}:x:{UID}:{UID}::/tmp:/bin/sh" if name == "passwd" else f"{LOGIN}:x:{UID}:"
        (layer / "etc" / name).write_text("\n".join([*kept, line, ""]))
    setuid = layer / SETUID.lstrip("/")
    setuid.mkdir(parents=True)
    for name in ("newuidmap", "newgidmap"):
        shutil.copy(f"/usr/bin/{name}", setuid)
        (setuid / name).chmod(0o4755)
    (layer / "tmp").mkdir()
    (layer / "tmp").chmod(0o1777)


def host_like(spec: ContainerSpec, layer: Path, volume: Path) -> ContainerSpec:
    """The container that plays the host: its programs, our interpreter and ourselves, read-only.

    Its own root is an overlay, which carries no further one; the volume, its home, does.
    """
    binds = [Bind(source=place, target=place) for place in _places()]
    home = Bind(source=str(volume), target=HOME, read_only=False)
    return replace(spec, name="host", lowers=(str(layer),), binds=(*binds, home))


def _places() -> Iterator[str]:
    """What has to be at the same place there, without what lies in another of them."""
    source = str(Path(wardian.__file__).parents[1])
    tests = str(Path(__file__).parents[1])
    places = sorted({"/usr", sys.base_prefix, sys.prefix, source, tests})
    taken: list[str] = []
    for place in places:
        if not any(Path(place).is_relative_to(other) for other in taken):
            taken.append(place)
    return iter(taken)


class Nest(msgspec.Struct, frozen=True):
    """Run Wardian in it, as its host's user would.

    With ``logs_in`` processes come in as by a login, and so may gain privileges (setuid programs);
    else they have what the container's own processes have.
    """

    container: Container
    uid: int = 0
    logs_in: bool = False
    env: dict[str, str] = msgspec.field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """What a login would set."""
        return {
            "PATH": f"{SETUID}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": HOME,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "WARDIAN_ROOT": f"{HOME}/wardian",
            "WARDIAN_KEEPER_IDLE_S": "0.1",
            **self.env,
        }

    def run(self, *argv: str, patience_s: float = 60.0) -> Done:
        """One command there, to its end."""
        return self._log_in(argv) if self.logs_in else self._spawn(argv, patience_s)

    def _spawn(self, argv: tuple[str, ...], patience_s: float) -> Done:
        pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(2)]
        user = f"{self.uid}:{self.uid}"
        spec = ProcessSpec(argv=argv, env=self.environment(), user=user)
        try:
            process = self.container.spawn(spec, {1: pipes[0][1], 2: pipes[1][1]})
        finally:
            for _, write_fd in pipes:
                os.close(write_fd)
        texts = []
        with process:
            for read_fd, _ in pipes:
                with open(read_fd, errors="replace") as output:
                    texts.append(output.read())
            code = process.wait(patience_s)
        return subprocess.CompletedProcess(argv, code, *texts)

    def _log_in(self, argv: tuple[str, ...]) -> Done:
        host_pid = str(self.container.info.host_pid)
        enter = ("nsenter", "-t", host_pid, "-U", "-m", "-p", "-n", "-i", "-u", "-C")
        become = ("setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups")
        return subprocess.run(
            (*enter, *become, "--inh-caps=-all", *argv),
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def wardian(self, *arguments: str) -> Done:
        """One command line of the real program."""
        return self.run(sys.executable, "-m", "wardian.cli", *arguments)

    def doctor(self) -> dict[str, Any]:
        """What the doctor says there."""
        done = self.wardian("doctor", "--json")
        assert done.stderr == "", done.stderr
        return dict(json.loads(done.stdout))
