"""Sandboxes that are ready before anybody asks: what makes a start cost milliseconds less.

Making directories, cloning six namespaces, building /proc, /dev and /sys and (on cgroup v1)
waiting for an RCU grace period need nothing that a container's spec says, so they are done while
nobody waits. Some of the spares also get a root ahead: whoever starts one container of an image
often starts more of it.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from wardian.cgroups.cgroup import Cgroup
from wardian.cgroups.limits import Limits
from wardian.errors import WardianError
from wardian.runtime import ids, state
from wardian.runtime.groups import Groups
from wardian.runtime.ids import IdMaps
from wardian.runtime.loop import Loop, Timer
from wardian.runtime.sandbox import Sandbox
from wardian.runtime.sharing import Sharing
from wardian.runtime.site import Site
from wardian.runtime.spec import ContainerSpec, Network, UserNamespace
from wardian.runtime.zygote import Zygote

SPARES = 4
LAID = 2
REFILL_DELAY_S = 0.002


class Spare(msgspec.Struct, frozen=True):
    """A prepared sandbox and the id of the container that it will be."""

    container_id: str
    sandbox: Sandbox


class Guess(msgspec.Struct, frozen=True):
    """What the next container will be like: what the last one was."""

    lowers: tuple[Path, ...]
    is_plain: bool

    def suits(self, sandbox: Sandbox) -> bool:
        """Whether a sandbox is just that."""
        return sandbox.is_plain == self.is_plain and sandbox.is_laid_on(self.lowers)


class Nursery:
    """A few spare sandboxes of the usual kind.

    Unless it ``may_guess`` none gets a root ahead: with a driver that copies, each would be a whole
    image on disk.
    """

    def __init__(
        self,
        loop: Loop,
        zygote: Zygote,
        groups: Groups,
        taken: Callable[[], Iterator[int | None]],
        *,
        reserve: Callable[[str, IdMaps], None],
        site: Callable[[str, tuple[Path, ...]], Site],
        release: Callable[[str], None],
        may_guess: bool,
    ) -> None:
        self._loop = loop
        self._zygote = zygote
        self._groups = groups
        self._taken = taken
        self._reserve_place = reserve
        self._site = site
        self._release_place = release
        self._may_guess = may_guess
        self._guess: Guess | None = None
        self._spares: deque[Spare] = deque()
        self._reserved: dict[str, Sandbox] = {}
        self._timer: Timer | None = None

    def reserve(self, spec: ContainerSpec, lowers: tuple[Path, ...]) -> Spare | None:
        """The best spare for a container on these layers, if there is one that suits."""
        if spec.network is not Network.NONE or spec.user_namespace is not UserNamespace.AUTO:
            return None
        if spec.sharing != Sharing() or spec.sysctls or not spec.hides_paths or spec.cgroup_parent:
            return None
        guess = Guess(lowers, spec.is_plain)
        self._guess = guess if self._may_guess else None
        ready = (spare for spare in self._spares if guess.suits(spare.sandbox))
        bare = (spare for spare in self._spares if not spare.sandbox.is_laid)
        if spare := next(itertools.chain(ready, bare), None):
            self._spares.remove(spare)
            self._reserved[spare.container_id] = spare.sandbox
        return spare

    def take(self, container_id: str) -> Sandbox | None:
        """The sandbox that was reserved for the container."""
        return self._reserved.pop(container_id, None)

    def guess_nothing(self) -> None:
        """Lay out no spares for another container like the last: its layers had to be copied."""
        self._guess = None

    def refill_soon(self) -> None:
        """Make spares as soon as nothing else is to be done."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.later(REFILL_DELAY_S, self._refill)

    def _refill(self) -> None:
        """One step towards a full nursery, so that nobody who comes meanwhile waits for long."""
        self._timer = None
        laid = [spare for spare in self._spares if spare.sandbox.is_laid]
        bare = [spare for spare in self._spares if not spare.sandbox.is_laid]
        guess = self._guess
        try:
            if stale := next((s for s in laid if not (guess and guess.suits(s.sandbox))), None):
                self._discard(stale)
            elif guess and bare and len(laid) < LAID:
                self._lay(bare[0], guess)
            elif len(self._spares) < SPARES:
                self._make()
            else:
                return
        except (WardianError, OSError):
            import traceback  # 2 ms, which who makes no mistake does without

            traceback.print_exc()  # the next start will meet it and tell its user
            return
        self.refill_soon()

    def _lay(self, spare: Spare, guess: Guess) -> None:
        hostname = state.usual_hostname(spare.container_id) if guess.is_plain else ""
        try:
            site = self._site(spare.container_id, guess.lowers)
            spare.sandbox.lay(site, plain_hostname=hostname)
        except (WardianError, OSError):
            self._guess = None
            self._discard(spare)
            raise

    def _make(self) -> None:
        container_id = state.new_id()
        cgroup = self._groups.spare(container_id)
        try:
            cgroup.create(Limits())
            maps = ids.choose(itertools.chain(self._taken(), self.first_host_ids()))
            self._reserve_place(container_id, maps)
            sandbox = Sandbox.create(self._zygote, Network.NONE, maps, cgroup)
        except BaseException:
            self._release_place(container_id)
            _remove(cgroup)
            raise
        self._spares.append(Spare(container_id, sandbox))

    def _discard(self, spare: Spare) -> None:
        self._spares.remove(spare)
        spare.sandbox.discard()
        _remove(spare.sandbox.cgroup)
        self._release_place(spare.container_id)

    def _sandboxes(self) -> list[Sandbox]:
        return [*self._reserved.values(), *(spare.sandbox for spare in self._spares)]

    def first_host_ids(self) -> Iterator[int | None]:
        """The id ranges that spares have taken."""
        for sandbox in self._sandboxes():
            yield sandbox.ids.first_host_id if sandbox.ids else None

    def close(self) -> None:
        """Let go of the spares."""
        for spare in list(self._spares):
            self._discard(spare)


def _remove(cgroup: Cgroup) -> None:
    with suppress(WardianError, OSError):
        cgroup.remove()
