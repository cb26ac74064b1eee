"""Debian's cloud kernel, unpacked: an image to boot and the modules it needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

META_PACKAGE = "linux-image-cloud-amd64"


class Unavailable(Exception):
    """The host cannot give a kernel or boot one; says what would change that."""


@dataclass(frozen=True, slots=True)
class DebianKernel:
    """One release of the kernel below ``root`` (which looks like ``/`` of the package)."""

    root: Path
    release: str

    @classmethod
    def fetched(cls, cache: Path) -> DebianKernel:
        """The newest release that apt knows; downloaded and unpacked once into ``cache``."""
        if shutil.which("apt-get") is None:
            raise Unavailable("no apt-get here to fetch Debian's cloud kernel")
        package = _package_name()
        release = package.removeprefix("linux-image-")
        root = cache / release
        if not root.is_dir():
            _unpack(package, release, root)
        return cls(root, release)

    @property
    def image(self) -> Path:
        """The bzImage."""
        return self.root / "boot" / f"vmlinuz-{self.release}"

    def modules(self, *names: str) -> list[Path]:
        """The module files to insert, in order, those that others need first."""
        files: dict[Path, None] = {}
        for name in names:
            command = ["modprobe", "-d", str(self.root), "-S", self.release, "--show-depends", name]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            files.update(
                (Path(path), None) for path in re.findall(r"^insmod (\S+)", said, re.MULTILINE)
            )
        return list(files)


def _package_name() -> str:
    command = ["apt-cache", "depends", "--important", META_PACKAGE]
    for attempt in ("known", "updated"):
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        if found := re.search(r"Depends: (linux-image-\S+)", said):
            return found[1]
        if attempt == "known" and os.geteuid() == 0:
            subprocess.run(["apt-get", "update", "-qq"], check=False)
    raise Unavailable(f"apt knows no {META_PACKAGE}: not Debian, or run `apt-get update`")


def _unpack(package: str, release: str, root: Path) -> None:
    """Under another name first, so that a folder of the right name is whole."""
    partial = root.with_name(f"{release}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    download = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package]
    if subprocess.run(download, cwd=partial, check=False).returncode:
        if os.geteuid() != 0:
            raise Unavailable(f"cannot download {package}; run `apt-get update` as root")
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(download, cwd=partial, check=True)
    (archive,) = partial.glob("*.deb")
    subprocess.run(["dpkg", "-x", archive, partial], check=True)
    archive.unlink()
    subprocess.run(["depmod", "-b", partial, release], check=True)
    partial.rename(root)
