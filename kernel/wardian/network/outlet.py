"""The programs that lead out of a user's network namespace: pasta(1), else slirp4netns(1)."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

LINK = "outside"  # its end in the namespace
_TUN = Path("/dev/net/tun")


class Outlet(msgspec.Struct, frozen=True):
    """A program and its path; no path: none, and ``why``."""

    name: str
    path: str = ""
    why: str = ""

    def command(self, namespace: str) -> list[str]:
        """Connect the network namespace at a path of /proc, and stay in the foreground.

        Nothing of the host's is reachable by it but what is beyond the host: published ports have
        a proxy of ours, and the host's loopback is closed.
        """
        if self.name == "pasta":
            closed = [word for flag in ("-t", "-u", "-T", "-U") for word in (flag, "none")]
            own = ["--config-net", "--foreground", "--quiet", "--no-map-gw", "--ns-ifname", LINK]
            return [self.path, *own, *closed, "--netns", namespace]
        own = ["--configure", "--mtu=65520", "--disable-host-loopback", "--netns-type=path"]
        return [self.path, *own, namespace, LINK]


def choose(search: str | None = None) -> Outlet:
    """What this user can use, the better first. ``search`` is a PATH."""
    if not os.access(_TUN, os.R_OK | os.W_OK):
        missing = "may not be opened" if _TUN.exists() else "is not there"
        return Outlet("", why=f"{_TUN} {missing}")
    from shutil import which  # 3 ms of imports that a keeper of root's does without

    for name in ("pasta", "slirp4netns"):
        if path := which(name, path=search):
            return Outlet(name, path)
    return Outlet("", why="neither pasta nor slirp4netns is installed")
