"""The keeper: parent of containers, one for each state directory, started on demand.

It is small, imported before anything is forked, single-threaded, and runs no user code: that is
what makes a start cheap. It holds nothing that is not also on disk or in init's hands, so a
keeper that is killed is replaced by one that adopts what runs.
"""

from __future__ import annotations

import fcntl
import gc
import os
import signal
from pathlib import Path

import msgspec

from wardian.errors import ProtocolError, WardianError
from wardian.linux import process, unix_socket
from wardian.runtime import inside
from wardian.runtime import messages as m
from wardian.runtime.calls import Calls, Reply
from wardian.runtime.confinement import usual_seccomp
from wardian.runtime.house import House
from wardian.runtime.loop import Loop
from wardian.runtime.spec import Keep
from wardian.runtime.state import Record
from wardian.runtime.wire import Connection, Message
from wardian.runtime.zygote import Zygote

SOCKET = "keeper.sock"
LOCK = "keeper.lock"
IDLE_S = float(os.environ.get("WARDIAN_KEEPER_IDLE_S", "60"))


class Keeper:
    """The socket's side of the keeper: who is connected, what they hold, what they ask."""

    def __init__(self, root: Path, loop: Loop, zygote: Zygote) -> None:
        self._loop = loop
        self._house = House(root, loop, zygote)
        self._calls = Calls(self._house, self._hold)
        self._clients: set[Connection] = set()
        self._holds: dict[Connection, dict[str, Keep]] = {}
        self._listener = unix_socket.listen(root / SOCKET)
        self._listener.settimeout(0)
        loop.watch(self._listener.fileno(), self._accept)
        self._house.adopt()
        loop.later(IDLE_S, self._leave_if_idle)

    def close(self) -> None:
        """Leave nothing behind."""
        self._house.close()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        if unix_socket.peer(sock).uid not in (0, os.geteuid()):
            sock.close()
            return
        client = Connection(sock)
        self._clients.add(client)
        self._loop.serve(
            client, lambda message: self._hear(client, message), lambda: self._forget(client)
        )

    def _hear(self, client: Connection, message: Message) -> None:
        try:
            request = m.decode_request(message.data)
        except msgspec.MsgspecError:
            message.close()
            self._loop.drop(client)
            self._forget(client)
            return
        reply = Reply(self._loop, client, request.id)
        try:
            if request.call == "attach":
                self._attach(client, reply, m.decode(request.body, m.AttachCall))
            else:
                self._calls.handle(request, reply, message.fds)
        except WardianError as error:
            reply.fail(error)
        except msgspec.MsgspecError as error:
            reply.fail(ProtocolError(f"the keeper does not understand {request.call}: {error}"))
        except OSError as error:
            reply.fail(WardianError(f"{request.call}: {error}", hint="see keeper.log"))
        except Exception as error:
            what = f"{request.call}: the keeper made a mistake: {type(error).__name__}: {error}"
            reply.fail(WardianError(what, hint="see keeper.log, and please report it"))
            raise
        finally:
            message.close()

    def _attach(self, client: Connection, reply: Reply, call: m.AttachCall) -> None:
        self._hold(client, self._house.find(call.name), call.keep)
        reply.send(None)

    def _hold(self, client: Connection, record: Record, keep: Keep) -> None:
        """From now on the client holds the container: when it goes, ``keep`` says what becomes."""
        self._holds.setdefault(client, {})[record.id] = keep
        self._house.held(record, keep)

    def _forget(self, client: Connection) -> None:
        self._clients.discard(client)
        self._calls.forget(client)
        for container_id, keep in self._holds.pop(client, {}).items():
            if not any(container_id in held for held in self._holds.values()):
                self._house.orphans.abandoned(container_id, keep)

    def _leave_if_idle(self) -> None:
        self._accept()  # somebody may be at the door
        if self._clients or self._house.is_busy:
            self._loop.later(IDLE_S, self._leave_if_idle)
        else:
            self._loop.stop()


def serve(root: Path, ready_fd: int) -> None:
    """Be the keeper of ``root`` until idle; write "+" to ``ready_fd`` when all is well, or why not.

    If there is one already, that one is ready and this one is not needed.
    """
    lock = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.write(ready_fd, b"+")
        return
    process.set_name("wardian-keeper")
    process.set_title(f"wardian-keeper {root}")
    m.warm_up()
    usual_seccomp()
    gc.collect()
    gc.freeze()  # forks share these pages as long as the collector leaves them alone
    zygote = Zygote(inside.main)
    loop = Loop()
    try:
        keeper = Keeper(root, loop, zygote)
    except WardianError as error:
        os.write(ready_fd, m.encode(m.Failure(type(error).__name__, error.what, error.hint)))
        raise
    os.write(ready_fd, b"+")
    os.close(ready_fd)
    _leave_on_sigterm(loop)
    loop.run()
    keeper.close()
    zygote.close()
    (root / SOCKET).unlink(missing_ok=True)


def _leave_on_sigterm(loop: Loop) -> None:
    """SIGTERM is an orderly end: spares are removed, containers live on."""
    wake, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: None)  # select(2) goes on after it: the pipe tells
    loop.watch(wake, loop.stop)


def begin(root: str, ready_fd: str) -> None:
    """Become a daemon, and the keeper (`process.start_daemon`)."""
    process.daemonize(Path(root, "keeper.log"), int(ready_fd))
    serve(Path(root), int(ready_fd))
