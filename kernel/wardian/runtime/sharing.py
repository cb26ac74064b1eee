"""Which namespaces of a container are not its own, as the spec says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wardian.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

PRIVATE = "private"
HOST = "host"
CONTAINER = "container:"
# Fields of `Sharing` that are namespaces, and their names below /proc/PID/ns.
KINDS = {"pid": "pid", "ipc": "ipc", "uts": "uts", "network": "net", "cgroup": "cgroup"}


class Sharing(msgspec.Struct, frozen=True, kw_only=True):
    """For each namespace: ``private``, ``host``, ``container:ID``, or the absolute path of one.

    ``network`` ``private`` leaves it to the spec's ``network``. The clocks' offsets, in seconds,
    ask for a time namespace (time_namespaces(7)).
    """

    pid: str = PRIVATE
    ipc: str = PRIVATE
    uts: str = PRIVATE
    network: str = PRIVATE
    cgroup: str = PRIVATE
    monotonic_s: int = 0
    boottime_s: int = 0

    def __post_init__(self) -> None:
        for kind, word in self.borrowed():
            is_container = word.startswith(CONTAINER) and word != CONTAINER
            if word != HOST and not word.startswith("/") and not is_container:
                raise InvalidInput(
                    f"not a {kind} namespace: {word[:80]!r}",
                    hint="use private, host or container:NAME",
                )

    def borrowed(self) -> Iterator[tuple[str, str]]:
        """(kind, whose) of each namespace that is not the container's own."""
        for kind in KINDS:
            if (word := getattr(self, kind)) != PRIVATE:
                yield kind, word

    def lenders(self) -> set[str]:
        """The containers, by name or id, whose namespaces these are."""
        return {
            word.removeprefix(CONTAINER)
            for _, word in self.borrowed()
            if word.startswith(CONTAINER)
        }

    @property
    def owns_pids(self) -> bool:
        """Whether the end of its first process is the end of all."""
        return self.pid == PRIVATE

    @property
    def has_own_clocks(self) -> bool:
        """Whether it is in a time namespace of its own."""
        return bool(self.monotonic_s or self.boottime_s)
