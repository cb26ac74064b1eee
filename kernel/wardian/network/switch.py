"""The switch: the process that holds a state root's networks together.

One a state root, started by the keeper when the first container needs a network. It is
another process than the keeper because it answers hostile questions (DNS), moves other people's
bytes (the proxy), and needs pyroute2, which would make every container's init larger. It holds
nothing that is not in the kernel or in the keeper's records: one that is killed is replaced, and
told again of every container that runs. It watches their inits itself, so that their links and
rules go even when the keeper has been killed.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path

import msgspec

from wardian.errors import KernelRefused, WardianError
from wardian.linux import process, unix_socket
from wardian.network import messages as m
from wardian.network import rights
from wardian.network.ground import Ground, HostGround
from wardian.network.patches import Patches, Plugged
from wardian.network.rootless import UserGround

SOCKET = "switch.sock"
LOCK = "switch.lock"
IDLE_S = float(os.environ.get("WARDIAN_SWITCH_IDLE_S", "2"))


class Switch:
    """The socket's side: who asks what."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._loop = asyncio.get_running_loop()
        self.is_done = asyncio.Event()
        self._patches = Patches(root, self._ground(), self._watch)
        self._clients: set[socket.socket] = set()
        self._listener = unix_socket.listen(root / SOCKET, socket.SOCK_SEQPACKET)
        self._listener.settimeout(0)
        self._loop.add_reader(self._listener, self._accept)
        self._loop.call_later(IDLE_S, self._leave_if_idle)

    def _ground(self) -> Ground:
        if rights.may_have_bridges():
            return HostGround(self._root)
        ground = UserGround(self._root)
        self._loop.add_reader(ground, self._lose, ground)
        return ground

    def _lose(self, ground: UserGround) -> None:
        """The next switch finds another one, and connects everybody anew."""
        self._loop.remove_reader(ground)
        sys.stderr.write("the network namespace is gone\n")
        self.is_done.set()

    def close(self) -> None:
        """Leave nothing behind, but for what containers use: that is the next switch's."""
        if users := self._patches.users:
            said = f"ended while connected: {', '.join(users)}; their links stay\n"
            sys.stderr.write(said)  # switch.log
        else:
            self._patches.sweep()

    def _watch(self, plugged: Plugged) -> None:
        """Detach a container as soon as its init has ended, whoever hears of it."""
        pidfd = os.dup(plugged.pidfd)

        def ended() -> None:
            self._loop.remove_reader(pidfd)
            os.close(pidfd)
            self._patches.end(plugged)

        self._loop.add_reader(pidfd, ended)

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            client, _ = self._listener.accept()
            if unix_socket.peer(client).uid != os.geteuid():
                client.close()
                return
            client.settimeout(0)
            self._clients.add(client)
            self._loop.add_reader(client, self._hear, client)

    def _hear(self, client: socket.socket) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(client, m.MAX_BYTES, 4, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        if not data:
            self._loop.remove_reader(client)
            self._clients.discard(client)
            client.close()
            return
        reply = self._answer(data, fds)
        with suppress(OSError):
            client.send(m.encode(reply))

    def _answer(self, data: bytes, fds: list[int]) -> m.Reply:
        try:
            return self._obey(m.decode_request(data), fds)
        except KernelRefused as error:
            return m.Failed("SetupError", error.what, error.hint)
        except WardianError as error:
            return m.Failed(type(error).__name__, error.what, error.hint)
        except (OSError, msgspec.MsgspecError) as error:
            return m.Failed("SetupError", f"the network: {error}", "see switch.log")
        except Exception as error:  # noqa: BLE001  # the other containers' networks go on
            traceback.print_exc()
            what = f"the switch made a mistake: {type(error).__name__}: {error}"
            return m.Failed("WardianError", what, "see switch.log, and please report it")

    def _obey(self, order: m.Request, fds: list[int]) -> m.Reply:
        match order:
            case m.Attach():
                return self._patches.attach(order, fds)
            case m.Detach(container_id):
                self._patches.detach(container_id)
            case m.Connect():
                return self._patches.connect(order)
            case m.Disconnect():
                return self._patches.disconnect(order)
            case m.Rename():
                self._patches.rename(order)
            case m.CreateNetwork(request):
                return m.Made(self._patches.create_network(request))
            case m.RemoveNetwork(name):
                return m.Made(self._patches.remove_network(name))
        return m.Done()

    def _leave_if_idle(self) -> None:
        self._accept()  # somebody may be at the door
        if self._clients or self._patches.users:
            self._loop.call_later(IDLE_S, self._leave_if_idle)
        else:
            self.is_done.set()


async def _serve(root: Path, ready_fd: int) -> None:
    switch = Switch(root)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, switch.is_done.set)
    os.write(ready_fd, b"+")
    os.close(ready_fd)
    await switch.is_done.wait()
    switch.close()
    (root / SOCKET).unlink(missing_ok=True)


def main(root: Path, ready_fd: int) -> None:
    """Be the switch of ``root`` until idle or told to end; write "+" when ready, else why not."""
    lock = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)  # one that leaves is waited for
    process.set_name("wardian-switch")
    process.set_title(f"wardian-switch {root}")
    try:
        asyncio.run(_serve(root, ready_fd))
    except WardianError as error:
        os.write(ready_fd, m.encode(m.Failed(type(error).__name__, error.what, error.hint)))
        raise


def begin(root: str, ready_fd: str) -> None:
    """Become a daemon, and the switch (`process.start_daemon`)."""
    process.daemonize(Path(root, "switch.log"), int(ready_fd))
    main(Path(root), int(ready_fd))
