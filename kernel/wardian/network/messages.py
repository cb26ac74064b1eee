"""What the keeper asks of the switch, as typed values in SEQPACKET messages."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from wardian.network.definition import (
    Attachment,
    Dns,
    Endpoint,
    Network,
    NetworkRequest,
    Port,
)

MAX_BYTES = 1 << 17


class Attach(Struct, frozen=True, tag=True, kw_only=True):
    """Connect a container that starts. Descriptors: its init's pidfd, its network namespace.

    ``endpoints`` are those that it has already, if another switch gave them to it; the namespace
    may be missing then.
    """

    container_id: str
    name: str
    hostname: str
    attachments: tuple[Attachment, ...] = ()
    ports: tuple[Port, ...] = ()
    dns: Dns = Dns()
    endpoints: tuple[Endpoint, ...] = ()


class Detach(Struct, frozen=True, tag=True):
    """A container has ended: take away what it had."""

    container_id: str


class Connect(Struct, frozen=True, tag=True):
    """``wardian network connect``."""

    container_id: str
    attachment: Attachment


class Disconnect(Struct, frozen=True, tag=True):
    """``wardian network disconnect``."""

    container_id: str
    network: str


class Rename(Struct, frozen=True, tag=True):
    """A container has another name."""

    container_id: str
    name: str


class CreateNetwork(Struct, frozen=True, tag=True):
    """``wardian network create``."""

    request: NetworkRequest


class RemoveNetwork(Struct, frozen=True, tag=True):
    """``wardian network rm``."""

    name: str


Request = Attach | Detach | Connect | Disconnect | Rename | CreateNetwork | RemoveNetwork


class Connected(Struct, frozen=True, tag=True):
    """What a container has now: its endpoints, its ports with the host's numbers chosen.

    ``resolv_conf`` is the text of the file.
    """

    endpoints: tuple[Endpoint, ...]
    ports: tuple[Port, ...]
    resolv_conf: str
    warnings: tuple[str, ...] = ()


class Made(Struct, frozen=True, tag=True):
    """A network that was made or removed."""

    network: Network


class Done(Struct, frozen=True, tag=True):
    """There is nothing to say."""


class Failed(Struct, frozen=True, tag=True):
    """An error of the tree in wardian.errors, by class name."""

    kind: str
    what: str
    hint: str = ""


Reply = Connected | Made | Done | Failed


# --- switch → holder, of a user's networks ---------------------------------------------------


class OpenSocket(Struct, frozen=True, tag=True):
    """Open a socket (socket(2)'s numbers). It comes with the answer."""

    family: int
    kind: int
    protocol: int = 0


class SetSysctl(Struct, frozen=True, tag=True):
    """Write a setting below /proc/sys/net."""

    name: str
    value: str


class WayOut(Struct, frozen=True, tag=True):
    """The holder's first word: what leads out of its namespace, or why nothing does."""

    program: str
    why_not: str


class Refused(Struct, frozen=True, tag=True):
    """The kernel refused it."""

    errno: int


Errand = OpenSocket | SetSysctl
HolderReply = Done | WayOut | Refused

encode = msgspec.json.Encoder().encode
decode_request: Any = msgspec.json.Decoder(Request).decode
decode_reply: Any = msgspec.json.Decoder(Reply).decode
decode_errand: Any = msgspec.json.Decoder(Errand).decode
decode_holder_reply: Any = msgspec.json.Decoder(HolderReply).decode
