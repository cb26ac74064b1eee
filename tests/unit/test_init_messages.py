"""Whatever an init says, its keeper neither fails nor believes more than it can check."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardian.cgroups.absent import AbsentCgroup
from wardian.errors import WardianError
from wardian.runtime import messages as m
from wardian.runtime.live import Live, pid_of
from wardian.runtime.loop import Loop
from wardian.runtime.spec import ContainerSpec, ProcessSpec
from wardian.runtime.state import Record, Status
from wardian.runtime.wire import HEADER, Connection

RECORD = Record(
    version=1,
    id="c" * 64,
    spec=ContainerSpec(name="box", image="x", lowers=()),
    status=Status.RUNNING,
    created_at=0.0,
)


@dataclass
class Lying:
    """A keeper's view of a container whose init is this test; ``child`` is its main process."""

    home: Path
    child: subprocess.Popen[bytes] = field(
        default_factory=lambda: subprocess.Popen(["sleep", "1000"])
    )
    answers: list[tuple[m.SpawnedProcess | WardianError, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        keeper, init = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.loop = Loop()
        pidfd = os.pidfd_open(self.child.pid)
        self.live = Live(self.loop, RECORD, self.home, AbsentCgroup("none"), pidfd)
        self.loop.watch(pidfd, lambda: None)
        self.live.connect(Connection(keeper))
        self.init = Connection(init)

    def order(self, *, terminal: bool = False) -> None:
        """Have the keeper ask for a process, as a client would."""
        spec = ProcessSpec(argv=("true",))
        self.live.spawn(
            spec,
            (),
            (),
            terminal=terminal,
            done=lambda said, fds: self.answers.append((said, len(fds))),
        )

    def say(self, data: bytes | m.FromInit, *fds: int) -> None:
        self.init.send(data if isinstance(data, bytes) else m.encode(data), fds)
        self.turn()

    def turn(self) -> None:
        """One round of the keeper's loop."""
        self.loop._stopped = False
        self.loop.later(0, self.loop.stop)
        self.loop.run()

    def end(self) -> None:
        self.live.close(0)
        self.init.close()
        self.child.kill()
        self.child.wait()


@pytest.fixture
def lying(tmp_path: Path) -> Iterator[Lying]:
    before = len(os.listdir("/proc/self/fd"))
    lying = Lying(tmp_path)
    yield lying
    lying.end()
    lying.loop._selector.close()
    assert len(os.listdir("/proc/self/fd")) == before


NUMBERS = st.integers(-(1 << 70), 1 << 70) | st.integers(-2, 3)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=20) | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
FIELDS = ("key", "container_pid", "exit_code", "what", "hint", "running", "exited")
MESSAGES = st.builds(
    lambda tag, fields: {"type": tag, **fields},
    st.sampled_from(["Spawned", "SpawnFailed", "Exited", "Table", "Spawn", "Shutdown", ""]),
    st.dictionaries(st.sampled_from(FIELDS), VALUES),
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            MESSAGES.map(lambda said: json.dumps(said).encode()) | st.binary(max_size=80),
            st.integers(0, 3),
        ),
        max_size=12,
    )
)
def test_noise_has_no_effect_and_leaks_nothing(said: list[tuple[bytes, int]]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    lying = Lying(Path("/nonexistent"))
    file = os.memfd_create("file")
    for data, count in said:
        lying.say(data, *[file] * count)
    live = lying.live
    assert lying.child.poll() is None
    assert live.init is not None
    assert (live.running, live.stop_reason, live._next_key) == ({}, "", 1)
    assert set(live.exits) <= {m.MAIN_KEY}  # its own exit code is init's to tell
    os.close(file)
    lying.end()
    lying.loop._selector.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_message_nested_without_end_is_dropped_with_its_descriptors(lying: Lying) -> None:
    file = os.memfd_create("file")
    depth = 1_000_000
    lying.init.sock.setblocking(False)
    lying.say(b'{"type":"Exited","x":' + b"[" * depth + b"]" * depth + b"}", file)
    os.close(file)
    while lying.init.has_unsent:
        lying.init.flush()
        lying.turn()
    assert lying.live.init is not None


def test_confirmation_that_nobody_waits_for_is_dropped(lying: Lying) -> None:
    pidfd = os.pidfd_open(lying.child.pid)
    lying.say(m.Spawned(7, 2), pidfd)
    os.close(pidfd)
    assert lying.live.running == {}


@pytest.mark.parametrize("lie", ["none", "no pidfd", "one too many"])
def test_start_is_confirmed_by_a_pidfd_and_nothing_else(lying: Lying, lie: str) -> None:
    lying.order()
    pidfd, file = os.pidfd_open(lying.child.pid), os.memfd_create("Pid:\t1\n")
    fds = {"none": (), "no pidfd": (file,), "one too many": (pidfd, file)}[lie]
    lying.say(m.Spawned(1, 2), *fds)
    os.close(pidfd)
    os.close(file)
    ((answer, count),) = lying.answers
    assert isinstance(answer, WardianError)
    assert count == 0
    assert lying.live.running == {}


def test_true_confirmation_is_passed_on_with_what_was_asked_for(lying: Lying) -> None:
    lying.order()
    lying.order(terminal=True)
    pidfd, master = os.pidfd_open(lying.child.pid), os.memfd_create("master")
    lying.say(m.Spawned(1, 2), pidfd)
    lying.say(m.Spawned(2, 3), pidfd, master)
    os.close(pidfd)
    os.close(master)
    host_pid = lying.child.pid
    assert lying.answers == [
        (m.SpawnedProcess(1, 2, host_pid), 1),
        (m.SpawnedProcess(2, 3, host_pid), 2),
    ]


def test_table_that_was_not_asked_for_is_dropped(lying: Lying) -> None:
    pidfd = os.pidfd_open(lying.child.pid)
    read_fd, write_fd = os.pipe()
    lying.say(m.Table(running=((5, 2),), exited=((6, 0),)), pidfd, read_fd, read_fd)
    for fd in (pidfd, read_fd, write_fd):
        os.close(fd)
    assert (lying.live.running, lying.live.exits, lying.live._next_key) == ({}, {}, 1)


@pytest.mark.parametrize("kind", ["a file", "a closed pipe", "a socket", "a directory"])
def test_log_that_init_hands_over_must_be_a_pipe(lying: Lying, kind: str) -> None:
    closing: list[int] = []
    if kind == "a file":
        closing.append(os.memfd_create("file"))
    elif kind == "a closed pipe":
        read_fd, write_fd = os.pipe()
        os.close(write_fd)
        closing.append(read_fd)
    elif kind == "a socket":
        closing += [sock.detach() for sock in socket.socketpair()]
    else:
        closing.append(os.open("/", os.O_RDONLY))
    lying.live.ask_for_table()
    lying.init.receive()
    lying.say(m.Table((), ()), closing[0], closing[0])
    lying.turn()
    for fd in closing:
        os.close(fd)
    assert lying.live.relay._sources == {}


def test_log_pipe_cannot_be_made_to_block_the_keeper(lying: Lying) -> None:
    read_fd, write_fd = os.pipe()
    lying.live.ask_for_table()
    lying.init.receive()
    lying.say(m.Table((), ()), read_fd, read_fd)
    (followed, _) = lying.live.relay._sources
    os.set_blocking(read_fd, True)  # init has the same open file description
    assert not os.get_blocking(followed)
    os.write(write_fd, b"fern\n")
    lying.turn()
    assert "fern" in (lying.home / "log.jsonl").read_text()
    os.close(read_fd)
    os.close(write_fd)
    lying.turn()


def test_exit_codes_are_remembered_only_for_the_last_processes(lying: Lying) -> None:
    lying.live.ask_for_table()
    lying.init.receive()
    lying.say(m.Table((), tuple((key, 0) for key in range(1, 500))))
    for _ in range(600):
        lying.order()
    ours = os.pidfd_open(lying.child.pid)
    first = lying.live._next_key - 600
    for key in range(first, first + 600):
        lying.say(m.Spawned(key, 2), ours)
        lying.say(m.Exited(key, 3))
    os.close(ours)
    assert len(lying.live.exits) <= 512


def test_only_namespaces_are_taken_for_namespaces(lying: Lying) -> None:
    real = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in m.NAMESPACES]
    file = os.memfd_create("user:[4026531837]")
    for lie in ([file, *real[1:]], [real[1], real[0], *real[2:]], real[:2], [*real, file], []):
        lying.say(m.Namespaces(), *lie)
        assert lying.live._namespaces == ()
    lying.say(m.Namespaces(), *real)
    lying.say(m.Namespaces(), *real)  # nobody asked twice
    held = [os.readlink(f"/proc/self/fd/{fd}") for fd in lying.live._namespaces]
    assert held == [os.readlink(f"/proc/self/ns/{kind}") for kind in m.NAMESPACES]
    for fd in (*real, file):
        os.close(fd)


def test_peer_that_breaks_the_framing_is_left_and_those_who_wait_are_told(lying: Lying) -> None:
    lying.order()
    lying.init.sock.sendall(HEADER.pack(0xFFFFFFFF, 0xFFFF))
    lying.turn()
    assert lying.live.init is None
    ((answer, _),) = lying.answers
    assert isinstance(answer, WardianError)


def test_pidfd_is_told_from_everything_else() -> None:
    own = os.pidfd_open(os.getpid())
    assert pid_of(own) == os.getpid()
    os.close(own)
    file = os.memfd_create("Pid:\t1")
    assert pid_of(file) is None
    os.close(file)
    assert pid_of(1 << 20) is None


def test_decoder_takes_no_value_out_of_range() -> None:
    for lie in (
        b'{"type":"Spawned","key":1,"container_pid":0}',
        b'{"type":"Spawned","key":1,"container_pid":-1}',
        b'{"type":"Spawned","key":1,"container_pid":99999999}',
        b'{"type":"Exited","key":1,"exit_code":256}',
        b'{"type":"SpawnFailed","key":1,"exit_code":1,"what":"%s"}' % (b"x" * 5000),
        b'{"type":"Table","running":[%s],"exited":[]}' % b",".join([b"[1,2]"] * 61),
    ):
        with pytest.raises(msgspec.ValidationError):
            m.decode_from_init(lie)
