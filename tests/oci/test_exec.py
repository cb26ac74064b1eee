"""exec and its flags, each by its effect seen inside; terminals, on a socket or shown here."""

from __future__ import annotations

import json
import os
import pty
import select
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.oci.conftest import Oci


@pytest.fixture
def running(oci: Oci) -> Oci:
    oci.config("sleep", "60")
    assert oci.detached("run", "--detach", "--bundle", str(oci.bundle), "one") == 0
    return oci


def test_the_flags_change_the_process(running: Oci) -> None:
    user = ("--user", "1000:1001", "--additional-gids", "5", "-g", "6")
    place = ("--cwd", "/bin", "--env", "WORD=a=b", "-e", "PATH=/bin")
    rights = ("--cap", "CAP_NET_ADMIN", "--no-new-privs")
    script = "id; pwd; echo $WORD; grep -E 'CapBnd|NoNew' /proc/self/status"
    done = running("exec", *user, *place, *rights, "one", "sh", "-c", script)
    assert "uid=1000 gid=1001" in done.stdout and "groups=5,6" in done.stdout, done.stderr
    assert "/bin\na=b\n" in done.stdout and "NoNewPrivs:\t1" in done.stdout
    bounding = int(done.stdout.partition("CapBnd:\t")[2].split()[0], 16)
    assert bounding >> 12 & 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--user", "fern"), "'fern' is not an id"),
        (("--cap", "FLY"), "unknown capability: FLY"),
        (("--apparmor", "x"), "process.apparmorProfile"),
        (("--process-label", "x"), "process.selinuxLabel"),
        (("--console-socket", "/nowhere"), "--console-socket without a terminal"),
        (("--tty", "--detach"), "needs --console-socket"),
        (("--preserve-fds", "9"), "is not open"),
        (("--cgroup", "../other"), "`..` components are not allowed"),
        (("--cgroup", "absent"), "the container's cgroup has no such group"),
    ],
)
def test_a_wrong_flag_runs_nothing(running: Oci, words: tuple[str, ...], said: str) -> None:
    done = running("exec", *words, "one", "sh")
    assert done.returncode == 1 and said in done.stderr, done.stderr


def test_in_a_group_below_the_containers(running: Oci) -> None:
    directories = json.loads((running.root / "one/state.json").read_bytes())["cgroups"]
    below = [Path(path, "below") for path in directories.values()]
    try:
        for path in below:
            path.mkdir()
            for name in ("cpuset.cpus", "cpuset.mems"):  # v1's are empty, and let nobody in
                if "/cpuset/" in str(path):
                    (path / name).write_text((path.parent / name).read_text())
        for word in ("below", f"{next(iter(directories))}:below"):
            done = running("exec", "--cgroup", word, "one", "cat", "/proc/self/cgroup")
            there = [line.endswith("/below") for line in done.stdout.splitlines()]
            assert sum(there) == (1 if ":" in word else len(directories)), done
    finally:
        for path in below:
            path.rmdir()


def test_a_process_file_and_a_pid_file(running: Oci, tmp_path: Path) -> None:
    process = {"cwd": "/bin", "args": ["sleep", "50"], "env": ["PATH=/bin"]}
    (tmp_path / "process.json").write_text(json.dumps(process))
    pid_file = tmp_path / "pid"
    words = ("--process", str(tmp_path / "process.json"), "--pid-file", str(pid_file))
    assert running.detached("exec", "--detach", *words, "one") == 0
    host_pid = int(pid_file.read_text())
    assert Path(f"/proc/{host_pid}/cmdline").read_text() == "sleep\x0050\x00"
    assert set(json.loads(running("ps", "--format", "json", "one").stdout)) >= {host_pid}
    title, *lines = running("ps", "one", "-o", "pid,args").stdout.splitlines()
    assert title.split() == ["PID", "COMMAND"]
    assert sorted(line.split(maxsplit=1)[1] for line in lines) == ["sleep 50", "sleep 60"]


def test_in_a_paused_container_only_if_asked(running: Oci) -> None:
    assert running("pause", "one").returncode == 0
    assert "it is paused" in running("exec", "one", "true").stderr
    words = ("exec", "--ignore-paused", "--detach", "one", "sleep", "1")
    command = [str(running.program), "--root", str(running.root), *words]
    null = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=null, stdout=null, stderr=null) as process:
        assert running("resume", "one").returncode == 0  # it is frozen before it is ready
        assert process.wait(timeout=60) == 0


def test_a_terminal_goes_to_the_console_socket(running: Oci, tmp_path: Path) -> None:
    path = str(tmp_path / "console.sock")
    masters: list[int] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(path)
        server.listen()

        def take() -> None:
            connection, _ = server.accept()
            with connection:
                masters.extend(socket.recv_fds(connection, 64, 1)[1])

        taker = threading.Thread(target=take)
        taker.start()
        words = ("exec", "--tty", "--detach", "--console-socket", path, "one")
        assert running.detached(*words, "sh", "-c", "test -t 0 && echo a terminal; sleep 5") == 0
        taker.join()
    assert os.read(masters[0], 100) == b"a terminal\r\n"
    os.close(masters[0])


def test_a_terminal_in_the_foreground_is_shown_on_ours(oci: Oci) -> None:
    def change(tree: dict[str, Any]) -> None:
        tree["process"]["terminal"] = True

    oci.config("sh", "-c", "stty size; read word; echo got $word; exit 7", change=change)
    master, slave = pty.openpty()
    os.set_blocking(master, True)
    subprocess.run(["stty", "rows", "31", "cols", "97"], stdin=slave, check=True)
    command = [str(oci.program), "--root", str(oci.root), "run", "--bundle", str(oci.bundle), "one"]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave) as process:
        read_until(master, b"31 97")
        os.write(master, b"fern\n")
        read_until(master, b"got fern")
        assert process.wait(timeout=60) == 7
    os.close(slave)
    os.close(master)


def read_until(master: int, word: bytes) -> None:
    said = b""
    while word not in said:
        assert select.select([master], [], [], 20)[0], said
        said += os.read(master, 1000)
