"""``RUN --mount=type=ssh``: a real ssh-agent, of which a build may use the keys and no more."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.linux.conftest import wait_until
from tests.linux.program import Wardian
from tests.linux.test_build import Events, built, context, write
from wardian.build.ssh import REFUSAL, forwarded

__all__ = ["context"]

BASE = "wardian/base"
# With what every image has that has Python: no ssh-add is needed to speak with an agent.
ASK = """
import os, socket, stat, struct
path = os.environ["SSH_AUTH_SOCK"]
status = os.stat(path)
print(path, oct(stat.S_IMODE(status.st_mode)), status.st_uid, status.st_gid)
for kind in (11, 19, 22, 27):
    with socket.socket(socket.AF_UNIX) as agent:
        agent.connect(path)
        agent.sendall(struct.pack(">IB", 1, kind))
        answer = agent.recv(1 << 16)
        print(kind, answer[4], b"plant@example" in answer)
"""


@pytest.fixture
def key(tmp_path: Path) -> Path:
    if shutil.which("ssh-keygen") is None or shutil.which("ssh-agent") is None:
        pytest.skip("no ssh-agent; apt-get install openssh-client")
    path = tmp_path / "key"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "plant@example"]
    subprocess.run([*command, "-f", path], check=True)
    return path


@pytest.fixture
def agent(key: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An agent of the user's with one key."""
    address = tmp_path_factory.mktemp("a") / "s"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", address], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not address.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        environment = {**os.environ, "SSH_AUTH_SOCK": str(address)}
        subprocess.run(["ssh-add", "-q", key], env=environment, check=True)
        yield address
    finally:
        process.terminate()
        process.wait(10)


def printed(events: Events) -> list[str]:
    text = "".join(str(event["text"]) for event in events if event["kind"] == "output")
    return text.splitlines()


def test_agent_is_there_for_one_run_and_lets_keys_be_used_only(
    wardian: Wardian, context: Path, agent: Path
) -> None:
    (context / "ask.py").write_text(ASK)
    path = write(
        context,
        f"FROM {BASE}\nCOPY ask.py /\nRUN --mount=type=ssh python3 /ask.py\n"
        "RUN --mount=type=ssh,target=/tmp/a/s,mode=0640,uid=7,gid=8 python3 /ask.py\n"
        "RUN echo ${SSH_AUTH_SOCK-none}; ls /run /tmp\n",
    )
    allowed = ["11 12 True", "19 5 False", "22 5 False", "27 5 False"]
    assert printed(built(wardian, "--ssh", "default", path, SSH_AUTH_SOCK=str(agent))) == [
        "/run/buildkit/ssh_agent.0 0o600 0 0",
        *allowed,
        "/tmp/a/s 0o640 7 8",
        *allowed,
        "none",
        "/run:",
        "",
        "/tmp:",
    ]


@pytest.mark.parametrize("kind", ["socket", "key"])
def test_agent_can_be_named_or_made_for_a_key(
    wardian: Wardian, context: Path, agent: Path, key: Path, kind: str
) -> None:
    (context / "ask.py").write_text(ASK)
    path = write(
        context,
        f"FROM {BASE}\nCOPY ask.py /\nRUN --mount=type=ssh,id=lab,required python3 /ask.py\n",
    )
    events = built(wardian, "--ssh", f"lab={agent if kind == 'socket' else key}", path)
    assert "11 12 True" in printed(events)


def test_agent_that_is_not_there_is_left_out_or_an_error(
    wardian: Wardian, context: Path, tmp_path: Path
) -> None:
    text = f"FROM {BASE}\nRUN --mount=type=ssh{{}} echo ${{{{SSH_AUTH_SOCK-none}}}}\n"
    assert printed(built(wardian, write(context, text.format("")))) == ["none"]
    path = write(context, text.format(",required"))
    done = wardian("build", "--progress=quiet", path)
    assert 'Dockerfile:2: no SSH key "default" forwarded from the client' in done.stderr
    done = wardian("build", "--ssh", "default", path, SSH_AUTH_SOCK="")
    assert "no ssh-agent for --ssh default" in done.stderr
    done = wardian("build", "--ssh", f"x={tmp_path / 'none'}", path)
    assert "no such file for --ssh" in done.stderr


def test_hostile_client_is_hung_up_and_harms_nobody(agent: Path, tmp_path: Path) -> None:
    with forwarded(agent, tmp_path / "f", mode=0o600, uid=0, gid=0) as path:
        short = os.path.relpath(path)

        def connected() -> socket.socket:
            one = socket.socket(socket.AF_UNIX)
            one.connect(short)  # waits for its turn, as it has no timeout yet
            one.settimeout(10)
            return one

        def is_hung_up(one: socket.socket) -> bool:
            try:
                return one.recv(10) == b""
            except ConnectionResetError:  # with something unread
                return True

        for bad in (b"\xff\xff\xff\xff\x0b", b"\0\0\0\0"):
            with connected() as one:
                one.sendall(bad)
                assert is_hung_up(one)
        with connected() as one:
            one.sendall(b"\0\0\0\x01\x11" * 2)  # SSH_AGENTC_ADD_IDENTITY, twice
            assert one.recv(5) + one.recv(5) == REFUSAL * 2
        idle = [connected() for _ in range(40)]
        try:
            with connected() as one:
                assert is_hung_up(one)  # there is no room for one more
        finally:
            for one in idle:
                one.close()

        def is_answered() -> bool:
            with suppress(ConnectionError), connected() as one:
                one.sendall(b"\0\0\0\x01\x0b")
                return one.recv(5)[4:] == b"\x0c"
            return False

        wait_until(is_answered)  # as soon as it knows that the others are gone
    assert not [each for each in threading.enumerate() if each.name.startswith("serve")]
