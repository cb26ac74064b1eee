"""Which registries have mirrors or no TLS: the keys of docker's daemon.json, in a file of ours.

    /etc/wardian/daemon.json, then $XDG_CONFIG_HOME/wardian/daemon.json (a key there replaces)
    {"registry-mirrors": ["https://mirror.example"], "insecure-registries": ["lab.example:5000"]}

Mirrors are for docker.io, as docker's are. A registry is insecure by its name alone; only the
loopback (127.0.0.0/8, ::1, localhost) is so always, as with docker: it leaves no machine.
"""

from __future__ import annotations

import ipaddress
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from wardian.errors import InvalidInput
from wardian.images.reference import DEFAULT_DOMAIN

HUB = "registry-1.docker.io"  # where the images of docker.io are
SYSTEM = Path("/etc/wardian/daemon.json")


class _File(msgspec.Struct, frozen=True):
    mirrors: list[str] | None = msgspec.field(default=None, name="registry-mirrors")
    insecure: list[str] | None = msgspec.field(default=None, name="insecure-registries")


class Endpoint(msgspec.Struct, frozen=True):
    """One way to a registry. ``url`` has scheme, host and port, and no slash at its end."""

    url: str
    is_verified: bool = True
    is_mirror: bool = False

    @property
    def host(self) -> str:
        """Host and port, as certs.d names its directories."""
        return self.url.partition("://")[2]


class Settings(msgspec.Struct, frozen=True):
    """What the files say."""

    mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()

    @classmethod
    def read(cls) -> Settings:
        """The machine's and the user's file; InvalidInput for one that is malformed."""
        mirrors: tuple[str, ...] = ()
        insecure: tuple[str, ...] = ()
        for path in (SYSTEM, _user_file()):
            found = _read(path)
            mirrors = mirrors if found.mirrors is None else tuple(found.mirrors)
            insecure = insecure if found.insecure is None else tuple(found.insecure)
        for mirror in mirrors:
            if not mirror.startswith(("https://", "http://")):
                raise InvalidInput(
                    f"not the address of a mirror: {mirror[:80]}", hint="begin it with https://"
                )
        return cls(mirrors, insecure)

    def endpoints(self, domain: str, *, for_push: bool = False) -> list[Endpoint]:
        """The ways to a registry, best first. A mirror is only pulled from."""
        ways = []
        if domain == DEFAULT_DOMAIN and not for_push:
            ways = [
                Endpoint(url.rstrip("/"), not self._is_insecure(_host(url)), is_mirror=True)
                for url in self.mirrors
            ]
        host = HUB if domain == DEFAULT_DOMAIN else domain
        if not self._is_insecure(host):
            return [*ways, Endpoint(f"https://{host}")]
        plain = Endpoint(f"http://{host}", is_verified=False)
        return [*ways, Endpoint(f"https://{host}", is_verified=False), plain]

    def _is_insecure(self, host: str) -> bool:
        name = host.rpartition(":")[0] if _has_port(host) else host
        if host in self.insecure or name in self.insecure or is_loopback(name):
            return True
        try:
            return self._in_network(ipaddress.ip_address(name.strip("[]")))
        except ValueError:
            return False

    def _in_network(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        for word in self.insecure:
            with suppress(ValueError):
                if "/" in word and address in ipaddress.ip_network(word):
                    return True
        return False


def is_loopback(name: str) -> bool:
    """Whether a host's name or address is this machine's own."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _has_port(host: str) -> bool:
    return host.rpartition(":")[2].isdigit() and not host.endswith("]")


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


def _user_file() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(home) / "wardian/daemon.json"


def _read(path: Path) -> _File:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File)
    except (FileNotFoundError, NotADirectoryError):
        return _File()
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"malformed: {path}: {error}", hint="its keys are docker's") from error
