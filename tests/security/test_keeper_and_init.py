"""Who may talk to the keeper, and what a container may learn of the process that started it."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.linux.conftest import keeper_pid, python, shell, wait_until
from wardian.errors import WardianError
from wardian.runtime import wire
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import ContainerSpec, ProcessSpec

pytestmark = pytest.mark.usefixtures("untouched")


# --- the keeper's socket ----------------------------------------------------------------------


def as_user(uid: int, path: Path) -> str:
    """What another user hears who connects to a socket and says something: text or an error."""
    read_fd, write_fd = os.pipe()
    host_pid = os.fork()
    if host_pid == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(10)
                sock.connect(str(path))
                with suppress(BrokenPipeError):  # hung up on already: the end is read below
                    sock.sendall(wire.HEADER.pack(27, 0) + b'{"id":1,"call":"list"}     ')
                os.write(write_fd, sock.recv(4096) or b"closed")
        except OSError as error:
            os.write(write_fd, (error.strerror or "timeout").encode())
        finally:
            os._exit(0)
    os.close(write_fd)
    with open(read_fd) as said:
        text = said.read()
    os.waitpid(host_pid, 0)
    return text


def needs_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can connect as another user; run the tests as root")


@pytest.mark.usefixtures("client")
def test_other_user_cannot_reach_the_socket(state: Path) -> None:
    needs_root()
    assert as_user(1000, state / "keeper.sock") == "Permission denied"
    assert (state / "keeper.sock").stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("client")
def test_other_user_who_gets_through_is_hung_up_on(state: Path) -> None:
    """SO_PEERCRED, should the file's mode ever fail: the socket is opened to everybody here."""
    needs_root()
    for folder in [state, *state.parents][:-2]:
        folder.chmod(folder.stat().st_mode | 0o011)
    (state / "keeper.sock").chmod(0o666)
    assert as_user(1000, state / "keeper.sock") in ("closed", "Connection reset by peer")
    assert '"id":1' in as_user(0, state / "keeper.sock")


def test_files_of_a_container_are_no_other_users(
    state: Path, client: Client, spec: ContainerSpec
) -> None:
    """Its environment and what it prints, that is; its id is in every list of cgroups."""
    argv = ("/bin/sh", "-c", "echo $TOKEN; exec sleep 1000")
    box = client.run(replace(spec, process=ProcessSpec(argv=argv, env={"TOKEN": "secret"})))
    home = state / "containers" / box.id
    wait_until((home / "log.jsonl").exists)
    for name in ("container.json", "log.jsonl"):
        assert b"secret" in (home / name).read_bytes()
    for path in home.iterdir():
        others = 0o022 if path.name in ("hostname", "hosts") else 0o077
        assert not path.stat().st_mode & others, path


def test_socket_is_not_to_be_seen_from_inside(state: Path, box: Container) -> None:
    text = shell(box, "cat /proc/net/unix; find / -xdev -name '*.sock' 2>/dev/null")[1]
    assert str(state) not in text
    assert "keeper" not in text
    assert shell(box, "find / -type s 2>/dev/null")[1] == ""
    mounts = shell(box, "cat /proc/self/mountinfo")[1]
    assert "keeper" not in mounts


def test_peer_that_talks_nonsense_is_hung_up_on_and_others_are_served(
    state: Path, client: Client, spec: ContainerSpec
) -> None:
    for noise in (b"\xff" * 100, wire.HEADER.pack(5, 0) + b"[[[[[", wire.HEADER.pack(0, 9)):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(state / "keeper.sock"))
            sock.sendall(noise)
            try:
                assert sock.recv(1) == b""
            except ConnectionResetError:
                continue
    assert shell(client.run(spec), "echo served") == (0, "served\n")


NAMES = (
    *("create", "run", "start", "spawn", "wait", "stop", "kill", "remove", "pause", "unpause"),
    *("update", "inspect", "list", "ping", "attach", "nosuch", "__init__"),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
bodies = json_values | st.fixed_dictionaries(
    {"name": st.sampled_from(["box", "../x", "", "\0"]) | json_values},
    optional={"spec": json_values, "process": json_values, "targets": json_values},
)
requests = st.fixed_dictionaries(
    {"id": st.integers(-(2**70), 2**70), "call": st.sampled_from(NAMES), "body": bodies}
).map(lambda value: json.dumps(value).encode())
frames = st.lists(requests | st.binary(max_size=60), min_size=1, max_size=4)


def test_keeper_survives_whatever_a_client_says(
    state: Path, client: Client, spec: ContainerSpec
) -> None:
    """Frames with requests of any shape, descriptors or none, and then a hang-up."""
    sibling = client.run(replace(spec, name="sibling"))
    keeper = keeper_pid(state)

    @given(frames, st.integers(0, 3), st.booleans())
    @settings(deadline=None, max_examples=150)
    def talk(frames: list[bytes], descriptors: int, is_honest: bool) -> None:  # noqa: FBT001
        fds = [os.open("/dev/null", os.O_RDWR) for _ in range(descriptors)]
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(state / "keeper.sock"))
            for data in frames:
                announced = descriptors if is_honest else 3 - descriptors
                frame = wire.HEADER.pack(len(data), announced) + data
                with suppress(BrokenPipeError, ConnectionResetError):
                    socket.send_fds(sock, [frame], fds)
        for fd in fds:
            os.close(fd)

    talk()
    for info in client.list():
        assert info.name in ("sibling", "box")
    assert shell(sibling, "echo lives") == (0, "lives\n")
    assert keeper_pid(state) == keeper
    log = (state / "keeper.log").read_text()
    assert "Traceback" not in log, log


# --- init ------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["0:0", "1000:1000"])
def test_init_cannot_be_read_from_inside(box: Container, user: str) -> None:
    for name in ("environ", "mem", "maps", "smaps", "exe", "auxv", "stack", "syscall"):
        code, text = shell(box, f"cat /proc/1/{name}", user=user)
        assert (code, "denied" in text) == (1, True), (name, text)
    for name in ("fd/", "cwd/", "map_files/", "fdinfo/"):
        code, text = shell(box, f"ls -l /proc/1/{name}", user=user)
        assert (code, "denied" in text) == (1, True), (name, text)
    assert shell(box, "cat /proc/1/cmdline")[1].rstrip("\0") == "wardian-init"


def test_init_cannot_be_traced_from_inside(lab: Container) -> None:
    code, text = python(
        lab,
        """
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        libc.ptrace.restype = ctypes.c_long
        for name, request in (("attach", 16), ("seize", 0x4206)):
            print(name, libc.ptrace(request, 1, None, None))
        buffer = ctypes.create_string_buffer(8)
        class Iovec(ctypes.Structure):
            _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
        here = Iovec(ctypes.addressof(buffer), 8)
        there = Iovec(0x400000, 8)
        for call in (libc.process_vm_readv, libc.process_vm_writev):
            print(call(1, ctypes.byref(here), 1, ctypes.byref(there), 1, 0))
        pidfd = os.pidfd_open(1)
        print(libc.syscall(438, pidfd, 3, 0))  # pidfd_getfd(2)
        print(libc.syscall(312, os.getpid(), 1, 0, 0, 0))  # kcmp(2)
        """,
    )
    assert code == 0, text
    assert text.split() == ["attach", "-1", "seize", "-1", "-1", "-1", "-1", "-1"]


def test_init_cannot_be_killed_from_inside(box: Container) -> None:
    shell(box, "for s in 1 2 3 6 9 11 15 19 20; do kill -$s 1; done; kill -9 -1; true")
    assert shell(box, "echo lives") == (0, "lives\n")


def test_init_that_is_starved_by_its_own_container_harms_no_other(
    client: Client, state: Path, spec: ContainerSpec, lab: Container
) -> None:
    """Same user, so prlimit(2) is allowed: a container may end itself, not its keeper."""
    keeper = keeper_pid(state)
    python(lab, "import resource; resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))")
    with pytest.raises(WardianError):
        shell(lab, "true")
    other = client.run(replace(spec, name="other"))
    assert shell(other, "echo lives") == (0, "lives\n")
    assert keeper_pid(state) == keeper
    lab.remove(force=True)


def test_environment_and_names_of_the_host_do_not_come_in(
    box: Container, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = shell(box, "env")[1].splitlines()
    assert {line.partition("=")[0] for line in variables} <= {
        *("PATH", "HOME", "HOSTNAME", "PWD", "SHLVL", "OLDPWD", "_")
    }
    assert shell(box, "hostname")[1].strip() != socket.gethostname()
    assert str(state.parent) not in shell(box, "cat /proc/1/cmdline /proc/1/status")[1]


def test_processes_of_the_host_and_of_siblings_are_not_to_be_seen(
    client: Client, spec: ContainerSpec, box: Container
) -> None:
    sibling = client.run(replace(spec, name="sibling"))
    with sibling.spawn(ProcessSpec(argv=("sleep", "1234"))) as process:
        assert shell(box, "ls /proc | grep -c '^[0-9]'")[1].split()[0] in ("3", "4", "5")
        assert "1234" not in shell(box, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")[1]
        assert shell(box, f"kill -9 {process.host_pid}")[0] != 0
        process.signal(9)
        wait_until(lambda: not Path(f"/proc/{process.host_pid}").exists())
