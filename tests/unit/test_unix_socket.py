"""Unix sockets at paths, of any length, for their owner, with a known peer."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from wardian.linux import unix_socket


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_paths_of_sockets_may_be_longer_than_a_socket_address(
    tmp_path: Path, kind: socket.SocketKind
) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    path = folder / "keeper.sock"
    path.touch()  # a predecessor's
    with unix_socket.listen(path, kind) as listener:
        assert len(str(folder)) > 108
        with unix_socket.connect(path, kind) as one, listener.accept()[0] as two:
            one.sendall(b"fern")
            assert two.recv(16) == b"fern"
            own = unix_socket.Peer(os.getpid(), os.geteuid(), os.getegid())
            assert unix_socket.peer(two) == own
    with pytest.raises(FileNotFoundError):
        unix_socket.connect(folder / "nosuch.sock")
    with pytest.raises(ConnectionRefusedError):
        unix_socket.connect(path, kind)


def test_a_socket_is_its_owner_s_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with unix_socket.listen(tmp_path / "sock"):
            assert stat.S_IMODE((tmp_path / "sock").stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_whoever_does_not_answer_is_waited_for_no_longer_than_asked(tmp_path: Path) -> None:
    with unix_socket.listen(tmp_path / "sock"):
        silent = unix_socket.connect(tmp_path / "sock", timeout_s=0.01)
        with silent, pytest.raises(TimeoutError):
            silent.recv(1)
