"""What a prepared sandbox goes through before it is needed, so that the real thing is quick.

A forked process pays a page fault for every page that it first writes to, and Python writes to
whatever it looks at (reference counts). The first run of a start's last steps takes a millisecond
longer than the second, so the first is done while nobody waits, without any effect.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from wardian.errors import CommandFailed, KernelRefused
from wardian.linux import capabilities, namespaces, seccomp
from wardian.linux.capabilities import Capability
from wardian.runtime import messages as m
from wardian.runtime import process, wire
from wardian.runtime.confinement import allowed_capabilities
from wardian.runtime.spec import ContainerSpec, ProcessSpec

_SPEC = ContainerSpec(name="rehearsal", image="", lowers=("/",))
_PROCESS = ProcessSpec(argv=("/proc/no-such-program",), env={"A": "a"})
_ENTER = m.encode(m.Enter(spec=_SPEC, binds=(), bind_is_directory=(), seccomp=b"x" * 8))
_SPAWN = m.encode(m.Spawn(m.MAIN_KEY, _PROCESS, (1, 2)))


def rehearse() -> None:
    """Go through it once, as root of a new user namespace."""
    everything = frozenset(Capability)
    here, there = map(wire.Connection, socket.socketpair())
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    here.send(_ENTER)
    here.send(_SPAWN, (null, null))
    order = m.decode(there.receive().data, m.Enter)
    namespaces.sethostname(order.spec.name)
    allowed_capabilities(order.spec)
    capabilities.drop_bounding(everything)
    capabilities.clear_ambient()
    with suppress(KernelRefused):  # there may be newer ones than we know
        capabilities.set_capabilities(
            effective=everything, permitted=everything, inheritable=frozenset()
        )
    with suppress(KernelRefused):
        seccomp.load(b"")
    message = there.receive()
    spawn = m.decode_to_init(message.data)
    assert isinstance(spawn, m.Spawn)
    with suppress(CommandFailed):
        process.spawn(spawn.process, dict(zip(spawn.targets, message.fds, strict=True)))
    here.send(m.encode(m.Spawned(m.MAIN_KEY, 2)), message.fds)
    for fd in (null, *message.fds, *there.receive().fds):
        os.close(fd)
    here.close()
    there.close()
