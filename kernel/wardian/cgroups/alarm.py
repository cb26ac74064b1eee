"""Hearing of limits that were hit, without looking again and again."""

from __future__ import annotations

import os
import select
from collections.abc import Hashable
from contextlib import suppress
from types import TracebackType
from typing import Generic, Self, TypeVar

from wardian.cgroups.cgroup import Cgroup
from wardian.cgroups.files import write
from wardian.linux.inotify import Inotify, Mask

# The one file of these that the kernel does not mark as modified.
OOM_CONTROL = "memory.oom_control"
Key = TypeVar("Key", bound=Hashable)


class Alarm(Generic[Key]):
    """Rings when a limit of a group may have been hit; what was hit is in `Cgroup.events`.

    The kernel marks files such as v2's memory.events as modified (inotify(7)). v1's memory
    controller writes to an eventfd instead, *before* it kills, and when the group is removed
    (Documentation/admin-guide/cgroup-v1/memory.rst, "OOM Control"). Two descriptors serve any
    number of groups; a third, `fileno`, is readable when one of these is.
    """

    def __init__(self) -> None:
        self._inotify = Inotify()
        self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.epoll()
        for source in (self._inotify.fileno(), self._eventfd):
            self._poll.register(source, select.EPOLLIN)
        self._watches: dict[int, Key] = {}
        self._oom_keys: set[Key] = set()

    def fileno(self) -> int:
        """The descriptor to wait on until it is readable."""
        return self._poll.fileno()

    def watch(self, key: Key, group: Cgroup) -> None:
        """Ring for this group, which has been made. Raises KernelRefused, OSError."""
        for path in group.event_files():
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if path.name == OOM_CONTROL:
                    write(path.with_name("cgroup.event_control"), f"{self._eventfd} {fd}")
                    self._oom_keys.add(key)
                else:
                    self._watches[self._inotify.add(fd, Mask.IN_MODIFY)] = key
            finally:
                os.close(fd)

    def forget(self, key: Key) -> None:
        """Ring for this group no more. Its OOM notice goes with the group."""
        for watch in [watch for watch, of in self._watches.items() if of == key]:
            self._inotify.remove(watch)
            del self._watches[watch]
        self._oom_keys.discard(key)

    def rung(self) -> set[Key]:
        """For whom it rang since the last time; for all of v1 if it was for one of them."""
        keys = {self._watches[each.wd] for each in self._inotify.read() if each.wd in self._watches}
        with suppress(BlockingIOError):
            os.eventfd_read(self._eventfd)
            keys |= self._oom_keys
        return keys

    def close(self) -> None:
        """Give the descriptors back."""
        self._poll.close()
        self._inotify.close()
        os.close(self._eventfd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
