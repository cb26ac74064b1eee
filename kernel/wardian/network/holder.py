"""The holder: the process that a user's bridges have their network namespace from.

An ordinary user may make bridges and rules only in a network namespace that belongs to a user
namespace of their own. The switch cannot be in one: it could not get out again to the host's
ports. It need not be, either: whoever made a user namespace has every capability in it
(user_namespaces(7)), so all that it lacks are sockets that were opened there.

    switch, on the host             holder, in the namespace       pasta, on the host's side
    -------------------             ------------------------       -------------------------
    asks for sockets ─────────────→ opens them
    makes bridges, rules, proxies                     outside ←──→ the user's own sockets

The holder is PID 1 of a PID namespace, so that pasta ends with it, however it ends. It outlives the
switch, and leaves when that is gone and no container is connected any more.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from wardian.errors import KernelRefused, SetupError, WardianError
from wardian.linux import capabilities, idmap, namespaces, process, unix_socket
from wardian.linux.capabilities import Capability
from wardian.network import messages as m
from wardian.network import outlet
from wardian.network.outlet import Outlet

SOCKET = "holder.sock"
LOG = "outlet.log"
IDLE_S = float(os.environ.get("WARDIAN_SWITCH_IDLE_S", "2"))
PATIENCE_S = 5.0
_SETTINGS = (("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1"))


class Holder:
    """Serves one switch after the other."""

    def __init__(self, listener: socket.socket, hello: m.WayOut) -> None:
        self._listener = listener
        self._hello = hello

    def run(self) -> None:
        """Until no switch has come for a while and no container is connected."""
        self._listener.settimeout(IDLE_S)
        while True:
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                if not _has_veth():
                    return
                continue
            with client:
                client.settimeout(None)
                if unix_socket.peer(client).uid == os.geteuid():
                    self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):
            client.send(m.encode(self._hello))
            while data := client.recv(m.MAX_BYTES):
                reply, fds = _answer(data)
                socket.send_fds(client, [m.encode(reply)], fds)
                for fd in fds:
                    os.close(fd)


def _answer(data: bytes) -> tuple[m.HolderReply, list[int]]:
    try:
        match m.decode_errand(data):
            case m.OpenSocket(family, kind, protocol):
                made = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)
                return m.Done(), [made.detach()]
            case m.SetSysctl(name, value):
                Path("/proc/sys/net", name).write_text(value)
    except OSError as error:
        return m.Refused(error.errno or 0), []
    return m.Done(), []


def _has_veth() -> bool:
    """Whether a container is connected: its end of a pair takes ours with it."""
    return any(name.startswith("veth") for _, name in socket.if_nameindex())


def main(root: Path, ready_fd: int) -> NoReturn:
    """Make the namespaces, become the holder in them; write "+" when ready, else why not."""
    os.set_inheritable(ready_fd, False)  # noqa: FBT003  # os' own argument
    code = 1
    try:
        process.set_title(f"wardian-holder {root}")
        _enter_user_namespace()
        namespaces.unshare(namespaces.CLONE_NEWPID)
        if os.fork():
            os._exit(0)
        process.set_name("wardian-holder")
        listener = unix_socket.listen(root / SOCKET, socket.SOCK_SEQPACKET)
        hello = _settle(root / LOG)
        os.write(ready_fd, b"+")
        os.close(ready_fd)
        Holder(listener, hello).run()
        code = 0
    except (WardianError, OSError) as error:
        hint = error.hint if isinstance(error, WardianError) else "see switch.log"
        os.write(ready_fd, m.encode(m.Failed("SetupError", str(error).partition("\n")[0], hint)))
    finally:
        os._exit(code)


def _enter_user_namespace() -> None:
    """Be the one user of a user namespace, by the name of root."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        namespaces.unshare(namespaces.CLONE_NEWUSER)
        maps = ([idmap.IdRange(0, own, 1)] for own in (uid, gid))
        idmap.write_id_maps(os.getpid(), *maps, deny_setgroups=True)
    except KernelRefused as error:
        raise SetupError(
            f"no networks for a user's containers: {error.what}",
            hint="`wardian doctor` tells what this host allows",
        ) from error


def _settle(log: Path) -> m.WayOut:
    """Make the network namespace and lead out of it."""
    chosen = outlet.choose()
    waiting = _prepare(chosen, log) if chosen.path else None
    namespaces.unshare(namespaces.CLONE_NEWNET)
    namespaces.bring_up_loopback()
    for name, value in _SETTINGS:
        with suppress(OSError):  # a kernel without IPv6
            Path("/proc/sys/net", name).write_text(value)
    # pasta may not look at a process that has more than it keeps for itself (ptrace(2)).
    own = frozenset({Capability.NET_ADMIN})
    capabilities.set_capabilities(effective=own, permitted=own, inheritable=frozenset())
    return m.WayOut(chosen.name, chosen.why if waiting is None else _lead_out(chosen, *waiting))


def _prepare(chosen: Outlet, log: Path) -> tuple[int, int]:
    """A process that stays on the host's side to become the outlet: its PID, where it hears."""
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        try:
            os.close(write_fd)
            _log_to(log)
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)  # pasta does not start without
            if namespace := os.read(read_fd, 256).decode():
                command = chosen.command(namespace)
                os.execv(command[0], command)
        finally:
            os._exit(127)
    os.close(read_fd)
    return child, write_fd


def _log_to(path: Path) -> None:
    """What it says is its own affair; the last one's words are enough."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    for target in (1, 2):
        os.dup2(fd, target)


def _lead_out(chosen: Outlet, child: int, start: int) -> str:
    """Let the outlet begin, and wait until it has; why there is none, or empty."""
    os.write(start, f"/proc/{os.readlink('/proc/self')}/ns/net".encode())  # by our PID outside
    os.close(start)
    ended = os.pidfd_open(child)
    try:
        waiting = select.poll()
        waiting.register(ended, select.POLLIN)
        for _ in range(int(PATIENCE_S * 100)):
            if any(name == outlet.LINK for _, name in socket.if_nameindex()):
                return ""
            if waiting.poll(10):
                return f"{chosen.name} has failed (see {LOG})"
    finally:
        os.close(ended)
    return f"{chosen.name} does not start (see {LOG})"


def begin(root: str, ready_fd: str) -> None:
    """Become a daemon, and the holder (`process.start_daemon`)."""
    process.daemonize(Path(root, "switch.log"), int(ready_fd))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for what ends here
    main(Path(root), int(ready_fd))
