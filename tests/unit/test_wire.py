"""Frames with descriptors, whoever is at the other end."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardian.errors import ProtocolError
from wardian.runtime import wire
from wardian.runtime.wire import (
    HEADER,
    MAX_DESCRIPTORS,
    MAX_MESSAGE_BYTES,
    MAX_UNSENT_BYTES,
    Connection,
)

Pair = tuple[Connection, Connection]


def connections() -> Pair:
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return Connection(one), Connection(two)


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, two = connections()
    yield one, two
    one.close()
    two.close()


@pytest.fixture
def no_leak() -> Iterator[None]:
    """As many descriptors afterwards as before."""
    before = os.listdir("/proc/self/fd")
    yield
    assert len(os.listdir("/proc/self/fd")) == len(before)


def inode(fd: int) -> int:
    return os.fstat(fd).st_ino


@given(st.lists(st.binary(max_size=2000), max_size=20), st.integers(1, 64))
def test_frames_arrive_whole_however_the_stream_is_cut(frames: list[bytes], cut: int) -> None:
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    receiver = Connection(two)
    two.setblocking(False)
    stream = b"".join(HEADER.pack(len(data), 0) + data for data in frames)
    received = []
    for at in range(0, len(stream), cut):
        one.sendall(stream[at : at + cut])
        received += [message.data for message in receiver.receive_ready()]
    assert received == frames
    one.close()
    receiver.close()


@pytest.mark.usefixtures("no_leak")
def test_descriptors_travel_with_their_own_frame(pair: Pair) -> None:
    one, two = pair
    files = [os.memfd_create(f"file{number}") for number in range(3)]
    one.send(b"none")
    one.send(b"two", files[:2])
    one.send(b"one", files[2:])
    messages = [two.receive() for _ in range(3)]
    found = [[inode(fd) for fd in message.fds] for message in messages]
    assert found == [[], [inode(files[0]), inode(files[1])], [inode(files[2])]]
    assert not any(os.get_inheritable(fd) for message in messages for fd in message.fds)
    for message in messages:
        message.close()
    for fd in files:
        os.close(fd)


@pytest.mark.usefixtures("no_leak")
def test_what_does_not_fit_waits_with_its_descriptors(pair: Pair) -> None:
    one, two = pair
    one.sock.setblocking(False)
    file = os.memfd_create("file")
    for _ in range(8):
        one.send(bytes(1 << 18), [file])
    assert one.has_unsent
    os.close(file)
    two.sock.setblocking(False)
    received: list[wire.Message] = []
    while len(received) < 8:
        one.flush()
        received += two.receive_ready()
    for message in received:
        assert (len(message.data), len(message.fds)) == (1 << 18, 1)
        message.close()
    assert not one.has_unsent


def test_peer_that_never_reads_is_given_up(pair: Pair) -> None:
    one, _ = pair
    one.sock.setblocking(False)
    for _ in range(MAX_UNSENT_BYTES // MAX_MESSAGE_BYTES):
        one.send(bytes(MAX_MESSAGE_BYTES - HEADER.size))
    with pytest.raises(ProtocolError, match="does not read"):
        one.send(bytes(MAX_MESSAGE_BYTES))


def test_end_of_the_stream_is_an_end_of_file(pair: Pair) -> None:
    one, two = pair
    one.close()
    with pytest.raises(EOFError):
        two.receive()
    with pytest.raises(EOFError):
        two.send(b"x")


@pytest.mark.parametrize(
    ("length", "count"),
    [
        (MAX_MESSAGE_BYTES + 1, 0),
        (0xFFFFFFFF, 0),
        (0, MAX_DESCRIPTORS + 1),
        (0, 0xFFFF),
        (0, 1),  # announced and not sent
    ],
)
def test_hostile_header_is_refused_before_anything_is_kept(
    pair: Pair, length: int, count: int
) -> None:
    one, two = pair
    one.sock.sendall(HEADER.pack(length, count))
    with pytest.raises(ProtocolError):
        two.receive()


@pytest.mark.usefixtures("no_leak")
def test_more_descriptors_than_announced_are_closed_with_the_connection() -> None:
    one, two = connections()
    file = os.memfd_create("file")
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file] * 20))]
    one.sock.sendmsg([HEADER.pack(1, 1) + b"x"], ancillary)
    two.receive().close()
    one.close()
    two.close()
    os.close(file)


@pytest.mark.usefixtures("no_leak")
def test_flood_of_descriptors_ends_the_connection() -> None:
    one, two = connections()
    file = os.memfd_create("file")
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file] * 60))]
    two.sock.setblocking(False)

    def flood() -> None:
        """A frame whose end never comes."""
        for _ in range(10):
            one.sock.sendmsg([HEADER.pack(1000, 1) + b"x"], ancillary)
            two.receive_ready()

    with pytest.raises(ProtocolError, match="too many file descriptors"):
        flood()
    one.close()
    two.close()
    os.close(file)


@pytest.mark.usefixtures("no_leak")
def test_more_descriptors_in_one_message_than_there_is_room_for_are_refused() -> None:
    one, two = connections()
    file = os.memfd_create("file")
    fds = array.array("i", [file] * (MAX_DESCRIPTORS + 8))
    one.sock.sendmsg([HEADER.pack(0, 0)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    with pytest.raises(ProtocolError, match="too many file descriptors"):
        two.receive()
    one.close()
    two.close()
    os.close(file)


@pytest.mark.usefixtures("no_leak")
@given(st.binary(max_size=300))
def test_noise_never_does_more_than_end_the_connection(noise: bytes) -> None:
    one, two = connections()
    one.sock.sendall(noise)
    one.close()
    try:
        while True:
            two.receive().close()
    except (EOFError, ProtocolError):
        pass
    two.close()
