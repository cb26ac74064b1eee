"""The networks of a state root on disk: ``<root>/networks/<id>.json``, replaced atomically."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from wardian.errors import NotFound, SetupError, not_ours
from wardian.linux.whole import write_whole
from wardian.network.definition import DEFAULT, Network

VERSION = 1


class _File(msgspec.Struct, frozen=True):
    version: int
    network: Network


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_File).decode


class Networks:
    """Read by everybody, written by the switch alone."""

    def __init__(self, root: Path) -> None:
        self._directory = root / "networks"

    def list(self) -> list[Network]:
        """Every network, the oldest first; SetupError for one that another version wrote."""
        return sorted(self._load(), key=lambda network: (network.created_at, network.name))

    def _load(self) -> Iterator[Network]:
        with suppress(FileNotFoundError):
            for path in self._directory.glob("*.json"):
                try:
                    file = _decode(path.read_bytes())
                except FileNotFoundError:  # removed this moment
                    continue
                except (msgspec.MsgspecError, OSError) as error:
                    raise not_ours(path, str(error)) from error
                if file.version != VERSION:
                    raise not_ours(path, f"its version is {file.version}, not {VERSION}")
                yield file.network

    def find(self, name: str) -> Network:
        """The network of this name, id or unambiguous start of an id; NotFound."""
        networks = self.list()
        for network in networks:
            if name in (network.name, network.id):
                return network
        matches = [network for network in networks if name and network.id.startswith(name)]
        if len(matches) == 1:
            return matches[0]
        raise NotFound(
            f"{'ambiguous network id' if matches else 'no such network'}: {name[:128]}",
            hint="`wardian network ls` lists them",
        )

    def store(self, network: Network) -> None:
        """Write it. Raises SetupError, with nothing half-written."""
        path = self._directory / f"{network.id}.json"
        try:
            self._directory.mkdir(mode=0o711, exist_ok=True)
            write_whole(
                path, _encode(_File(VERSION, network)), is_only_writer=True, outlasts_power=True
            )
        except OSError as error:
            raise SetupError(
                f"cannot store network {network.name}: {error.strerror}",
                hint="free some space, or set WARDIAN_ROOT to another file system",
            ) from error

    def remove(self, network: Network) -> None:
        """Forget it."""
        (self._directory / f"{network.id}.json").unlink(missing_ok=True)


def new_id() -> str:
    """64 hex digits, as docker's."""
    return os.urandom(32).hex()


def bridge_name(network_id: str, name: str, root: Path) -> str:
    """A link name (15 bytes, netdevice(7)) for a network's bridge."""
    if name == DEFAULT and root == Path("/var/lib/wardian"):
        return "wardian0"
    return f"br-{network_id[:12]}"
