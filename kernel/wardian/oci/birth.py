"""The birth of a container's process, in namespaces that are there already and in new ones."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

from wardian.errors import CommandFailed, InvalidInput, SetupError, WardianError
from wardian.linux import namespaces, process
from wardian.oci.config import KINDS, NamespaceRequest

Become = Callable[[socket.socket], None]


def clone(
    become: Become,
    *,
    flags: int = 0,
    cgroup_fd: int | None = None,
    go_there: Callable[[], None] | None = None,
) -> tuple[int, socket.socket]:
    """A child that becomes a program: its host PID, and the socket on which it speaks (`hear`).

    With ``go_there`` it is born by way of a process that goes there and ends at once: who has
    joined a user namespace cannot come back.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    told, telling = os.pipe2(os.O_CLOEXEC)
    host_pid, pidfd = process.clone3(0 if go_there else flags, cgroup_fd=cgroup_fd)
    if host_pid == 0:
        ours.close()
        if go_there is not None:
            go_there = _errand(go_there, flags, telling)
        guarded(theirs, go_there, become)
    theirs.close()
    os.close(telling)
    os.close(pidfd)
    with os.fdopen(told, "rb") as pipe:
        if go_there is not None:
            os.waitpid(host_pid, 0)
            said = pipe.read()
            if not said:
                hear(ours, b"born")
            host_pid = int(said)
    return host_pid, ours


def _errand(go_there: Callable[[], None], flags: int, telling: int) -> Callable[[], None]:
    """Go there, and let a child of our parent go on; we ourselves end."""

    def errand() -> None:
        go_there()
        host_pid, _ = process.clone3(flags | process.CLONE_PARENT)
        if host_pid:
            os.write(telling, b"%d" % host_pid)
            os._exit(0)
        os.close(telling)

    return errand


def guarded(sync: socket.socket, errand: Callable[[], None] | None, become: Become) -> NoReturn:
    """Become a program or exit; what goes wrong is sent up the socket."""
    code, what = 1, "nothing was run"
    try:
        if errand is not None:
            errand()
        become(sync)
    except CommandFailed as error:
        code, what = error.exit_code, error.what
    except WardianError as error:
        what = error.what
    except OSError as error:
        what = f"cannot set up the container: {error.strerror}"
    except BaseException as error:  # noqa: BLE001  # the other side must hear of it
        what = f"cannot set up the container: {type(error).__name__}: {error}"
    try:
        message = f"E{code}\n{what}".encode(errors="replace")[:4000]
        sync.send(message, socket.MSG_NOSIGNAL)
    except OSError:  # nobody waits for us any more
        with suppress(OSError):
            os.write(2, f"wardian-oci: {what}\n".encode(errors="replace"))
    os._exit(code)


def hear(sync: socket.socket, word: bytes) -> None:
    """Wait for the child's word; what went wrong there is raised here."""
    answer = sync.recv(1 << 13)
    if answer == word:
        return
    if not answer:
        raise SetupError("the container's first process ended while it was set up")
    code, _, what = answer[1:].decode(errors="replace").partition("\n")
    raise CommandFailed(what, exit_code=int(code))


def way_to(requests: Sequence[NamespaceRequest]) -> Callable[[], None] | None:
    """How to go to the namespaces that are given by path; None if there are none."""
    fds = [
        _open(each) for each in sorted(requests, key=lambda one: one.type == "user") if each.path
    ]
    return (lambda: namespaces.join_all(fds)) if fds else None


def _open(request: NamespaceRequest) -> int:
    try:
        fd = os.open(request.path, os.O_RDONLY | os.O_CLOEXEC)
        kind = namespaces.kind_of(fd)
    except OSError as error:
        raise InvalidInput(f"namespace {request.path}: {error.strerror}") from error
    if kind != KINDS[request.type]:
        raise InvalidInput(f"namespace {request.path} is no {request.type} namespace")
    return fd
