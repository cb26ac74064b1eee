"""SCMP_ACT_NOTIFY: a program of the host answers a container's system calls; SCMP_ACT_TRACE."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.oci.conftest import Oci

# <linux/seccomp.h>: _IOWR('!', 0, struct seccomp_notif), _IOWR('!', 1, struct seccomp_notif_resp)
RECEIVE, SEND = 0xC0502100, 0xC0182101
NOTIFICATION = struct.Struct("=QIIiIQ6Q")
RESPONSE = struct.Struct("=QqiI")


class Answerer(threading.Thread):
    """Listens, takes descriptors, and refuses the first call of each with one error number."""

    def __init__(self, path: Path, number: int) -> None:
        super().__init__()
        self.number = number
        self.states: list[dict[str, Any]] = []
        self.waiting: list[threading.Thread] = []
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(str(path))
        self.server.listen()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with connection:
                data, fds, _, _ = socket.recv_fds(connection, 1 << 16, 1)
            self.states.append(json.loads(data))
            self.waiting.append(threading.Thread(target=self._answer, args=fds))
            self.waiting[-1].start()

    def _answer(self, fd: int) -> None:
        asked = bytearray(NOTIFICATION.size)
        with suppress(OSError):  # all who could have asked have ended
            fcntl.ioctl(fd, RECEIVE, asked)
            serial, *_ = NOTIFICATION.unpack(asked)
            fcntl.ioctl(fd, SEND, RESPONSE.pack(serial, 0, -self.number, 0))
        os.close(fd)

    def close(self) -> None:
        self.server.shutdown(socket.SHUT_RDWR)
        for thread in (self, *self.waiting):
            thread.join()
        self.server.close()


@pytest.fixture
def answerer(tmp_path: Path) -> Iterator[Answerer]:
    thread = Answerer(tmp_path / "seccomp.sock", errno.EXDEV)
    thread.start()
    yield thread
    thread.close()


def profile(path: Path, **more: Any) -> dict[str, Any]:
    rule = {"names": ["sethostname"], "action": "SCMP_ACT_NOTIFY"}
    listener = {"listenerPath": str(path), "listenerMetadata": "of a test"}
    return {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule], **listener, **more}


def with_profile(tree: dict[str, Any], wanted: dict[str, Any]) -> None:
    tree["linux"]["seccomp"] = wanted
    for kind in ("bounding", "effective", "permitted"):
        tree["process"]["capabilities"][kind].append("CAP_SYS_ADMIN")


@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_the_listener_gets_the_descriptor_and_answers(
    oci: Oci, tmp_path: Path, answerer: Answerer, *, no_new_privileges: bool
) -> None:
    def change(tree: dict[str, Any]) -> None:
        with_profile(tree, profile(tmp_path / "seccomp.sock"))
        tree["process"]["noNewPrivileges"] = no_new_privileges

    said = oci.run("sh", "-c", "hostname other 2>&1; true", change=change)
    assert os.strerror(errno.EXDEV) in said
    (state,) = answerer.states
    assert state["fds"] == ["seccompFd"] and state["metadata"] == "of a test"
    assert state["state"]["id"] == "one" and state["pid"] == state["state"]["pid"] > 1


def test_a_process_of_exec_has_a_descriptor_of_its_own(
    oci: Oci, tmp_path: Path, answerer: Answerer
) -> None:
    wanted = profile(tmp_path / "seccomp.sock")
    oci.config("sleep", "60", change=lambda tree: with_profile(tree, wanted))
    assert oci.detached("run", "--detach", "--bundle", str(oci.bundle), "one") == 0
    done = oci("exec", "one", "sh", "-c", "hostname other 2>&1; true")
    assert os.strerror(errno.EXDEV) in done.stdout, done.stderr
    first, second = answerer.states
    assert first["pid"] == first["state"]["pid"] == second["state"]["pid"] != second["pid"]
    assert oci("kill", "one", "KILL").returncode == 0  # it would wait for the first's call


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"listenerPath": "/nowhere/at.sock"}, "listenerPath /nowhere/at.sock: No such file"),
        ({"listenerPath": ""}, "needs an absolute listenerPath"),
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "SCMP_ACT_NOTIFY may be neither"),
    ],
)
def test_a_listener_that_cannot_be_is_refused(
    oci: Oci, tmp_path: Path, answerer: Answerer, change: dict[str, str], said: str
) -> None:
    wanted = profile(tmp_path / "seccomp.sock", **change)
    oci.config("sh", change=lambda tree: with_profile(tree, wanted))
    done = oci("create", "--bundle", str(oci.bundle), "one")
    assert done.returncode == 1 and said in done.stderr, done.stderr
    assert not list(oci.root.glob("*"))


def test_a_traced_call_has_no_effect_without_a_tracer(oci: Oci) -> None:
    rule = {"names": ["sethostname"], "action": "SCMP_ACT_TRACE", "errnoRet": 7}
    wanted = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    said = oci.run(
        "sh",
        "-c",
        "hostname other 2>&1; hostname",
        change=lambda tree: with_profile(tree, wanted),
    )
    assert os.strerror(errno.ENOSYS) in said and said.endswith("wardian\n")
