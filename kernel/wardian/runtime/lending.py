"""Namespaces that a container borrows of another, of the host or by path: the keeper's half.

As docker does, who joins a container's namespace joins its user namespace too: the others belong
to it, and without its capabilities neither /proc nor /sys nor a device of the network could be had.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import msgspec
from msgspec.structs import replace

from wardian.errors import FailedPrecondition, InvalidInput, SetupError
from wardian.linux import namespaces
from wardian.runtime.sharing import CONTAINER, HOST, KINDS, PRIVATE, Sharing
from wardian.runtime.spec import ContainerSpec, Network, UserNamespace
from wardian.runtime.state import Record

OWN_SHM = "its /dev/shm is its own: of the IPC namespace it shares System V's part and the queues"
Find = Callable[[str], Record]
Open = Callable[[Record, str], AbstractContextManager[int]]  # a namespace of one that runs
_FLAGS = {
    "pid": namespaces.CLONE_NEWPID,
    "ipc": namespaces.CLONE_NEWIPC,
    "uts": namespaces.CLONE_NEWUTS,
    "network": namespaces.CLONE_NEWNET,
}


class Loan(msgspec.Struct, frozen=True, kw_only=True):
    """What a first process does not make but join: descriptors of namespaces.

    ``join`` is for the process that clones it; ``user_fd`` comes last there. ``cgroup_fd`` is for
    itself, once it is in its cgroup. ``kept`` are the flags of clone(2) that it needs not.
    """

    kept: int = 0
    join: tuple[int, ...] = ()
    user_fd: int | None = None
    cgroup_fd: int | None = None
    has_own_cgroup_root: bool = True
    owns_network: bool = True
    owns_pids: bool = True
    clocks: tuple[int, int] = (0, 0)
    warnings: tuple[str, ...] = ()


NOTHING = Loan()


def settle(spec: ContainerSpec, find: Find) -> ContainerSpec:
    """The spec with lenders by id, in their user namespace and under their host name."""
    sharing = spec.sharing
    if sharing == Sharing():
        return spec
    lenders = {name: find(name) for name in sharing.lenders()}
    changes = {
        kind: f"{CONTAINER}{lenders[word.removeprefix(CONTAINER)].id}"
        for kind, word in sharing.borrowed()
        if word.startswith(CONTAINER)
    }
    spec = replace(spec, sharing=replace(sharing, **changes))
    if any(lender.spec.user_namespace is UserNamespace.HOST for lender in lenders.values()):
        spec = replace(spec, user_namespace=UserNamespace.HOST)
    _check(spec, {lender.id for lender in lenders.values()})
    return replace(spec, hostname=spec.hostname or _hostname(spec.sharing, find))


def _check(spec: ContainerSpec, lenders: set[str]) -> None:
    is_own = spec.user_namespace is not UserNamespace.HOST
    if is_own and len(lenders) > 1:
        raise InvalidInput(
            "a container can join the namespaces of one other container",
            hint="name the same one in every flag, or give --userns=host",
        )
    if spec.domainname and spec.sharing.uts != PRIVATE:
        raise InvalidInput(
            "--domainname and --uts exclude each other", hint="leave out one of them"
        )
    for kind in ("pid", "cgroup"):
        if is_own and getattr(spec.sharing, kind).startswith("/"):
            raise InvalidInput(
                f"a {kind} namespace can be joined by path only without a user namespace",
                hint="give --userns=host, or container:NAME instead of a path",
            )
    if spec.sharing.has_own_clocks and os.geteuid() != 0:
        raise SetupError(
            "only root can give a container clocks of its own", hint="leave out --time"
        )


def _hostname(sharing: Sharing, find: Find) -> str:
    """What uname(2) will say, for the files that repeat it."""
    for word in (sharing.uts, sharing.network):
        if word.startswith(CONTAINER):
            return find(word.removeprefix(CONTAINER)).spec.hostname
    return os.uname().nodename[:63] if sharing.uts == HOST else ""


def lender_of(spec: ContainerSpec, find: Find) -> Record | None:
    """Whose user namespace the container shares; None if it has its own or the host's."""
    lenders = spec.sharing.lenders()
    if not lenders or spec.user_namespace is UserNamespace.HOST:
        return None
    return find(lenders.pop())


@contextmanager
def loan(spec: ContainerSpec, find: Find, enter: Open) -> Iterator[Loan]:
    """Open what the container borrows. FailedPrecondition if a lender does not run."""
    sharing = spec.sharing
    if sharing == Sharing():
        yield NOTHING
        return
    with ExitStack() as stack:

        def opened(kind: str, word: str) -> int:
            if word.startswith(CONTAINER):
                lender = _running(kind, word, find)
                return stack.enter_context(enter(lender, KINDS[kind]))
            fd = _open(kind, word)
            stack.callback(os.close, fd)
            return fd

        fds: dict[str, int] = {}
        kept = 0
        for kind, word in sharing.borrowed():
            kept |= _FLAGS.get(kind, 0)
            if word != HOST:
                fds[kind] = opened(kind, word)
        cgroup_fd = fds.pop("cgroup", None)
        lender = lender_of(spec, find)
        user_fd = stack.enter_context(enter(lender, "user")) if lender else None
        yield Loan(
            kept=kept,
            join=tuple(fds.values()),
            user_fd=user_fd,
            cgroup_fd=cgroup_fd,
            has_own_cgroup_root=sharing.cgroup == PRIVATE,
            owns_network=_owns_network(spec, find),
            owns_pids=sharing.owns_pids,
            clocks=(sharing.monotonic_s, sharing.boottime_s),
            warnings=(OWN_SHM,) if sharing.ipc.startswith(CONTAINER) else (),
        )


def _open(kind: str, path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise SetupError(
            f"cannot join the {kind} namespace {path}: {error.strerror}",
            hint="joining it takes root on this machine"
            if error.errno in (errno.EACCES, errno.EPERM)
            else "name a namespace that exists, such as /run/netns/blue",
        ) from error


def _running(kind: str, word: str, find: Find) -> Record:
    lender = find(word.removeprefix(CONTAINER))
    if lender.host_pid is None:
        raise FailedPrecondition(
            f"cannot join the {kind} namespace of container {lender.spec.name}: it is not running",
            hint=f"start it first: wardian start {lender.spec.name}",
        )
    return lender


def _owns_network(spec: ContainerSpec, find: Find) -> bool:
    """Whether its user namespace is the one that the network belongs to: may mount sysfs."""
    word = spec.sharing.network
    if word == PRIVATE:
        return spec.network is not Network.HOST
    if word.startswith(CONTAINER):
        return _owns_network(find(word.removeprefix(CONTAINER)).spec, find)
    return False
