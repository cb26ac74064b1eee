"""What the ``wardian`` program says of what cannot be: one line, a hint, docker's exit code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.linux.program import IMAGE, Wardian, out, refused
from wardian.runtime.client import Client


@pytest.fixture
def no_container(state: Path) -> Iterator[None]:
    """A refused request leaves none behind."""
    yield
    with Client.connect(state) as client:
        assert client.list() == []


BAD_RUNS = {
    "--memory 10XB": "not a size: '10XB'",
    "--memory 1k": "memory limit too small",
    "--memory-swap 1g": "the memory+swap limit is below the memory limit",
    "--memory-reservation 1g -m 64m": "the memory reservation is above the memory limit",
    "--memory-swappiness 101": "memory swappiness too large",
    "--cpus 5000": "more CPUs than this machine has: 5000",
    "--cpuset-cpus 0-9999": "no such CPUs: 0-9999",
    "--cpuset-mems 999": "no such memory nodes: 999",
    "--cpu-quota 10": "CPU quota too small",
    "--cpus=1 --cpu-quota=5000": "--cpus is a CPU quota and period already",
    "--cpu-burst 1000": "the CPU burst is above the quota",
    "--cpu-rt-runtime 2000000": "the real-time runtime is above its period",
    "--blkio-weight 1001": "block IO weight too large",
    "--device-read-bps /dev/null:1mb": "not a disk and its rate: '/dev/null:1mb'",
    "--device-write-iops /dev/nosuch:9": "not a disk and its rate: '/dev/nosuch:9'",
    "--device-cgroup-rule d": "not a device rule: 'd'",
    "--hugetlb huge=1m": "not a size of huge pages: 'huge'",
    "--cpus many": "not a number of CPUs: 'many'",
    "--cpuset-cpus 1-": "not a set of CPUs: '1-'",
    "--pids-limit 1.5": "not a process limit: '1.5'",
    "--name ../x": "not a container name: '../x'",
    "--name -x": "not a container name: '-x'",
    "--hostname a_b": "not a host name: 'a_b'",
    "--workdir relative": "the working directory is not absolute: relative",
    "-v n:/x": "not a volume name: 'n'",
    "-v ..:/": "cannot mount at '/'",
    "-v data:/x:rshared": "unknown volume option: rshared",
    "-v data:/x -v /tmp:/x": "two things are to be mounted at /x",
    "--mount type=volume,src=../x,dst=/x": "a volume's name is no path: ../x",
    "--mount dst=/x,volume-opt=type=nfs": "unsupported volume type: 'nfs'",
    "--volumes-from nosuch": "no such container: nosuch",
    "-v /nosuch:/x": "no such file or directory on the host: /nosuch",
    "-v /tmp:x": "cannot mount at 'x'",
    "--mount type=nfs,dst=/x": "unknown mount type: nfs",
    "--tmpfs /x:size=10XB": "not a size: '10XB'",
    "--network nowhere": "no such network: nowhere",
    "--userns private": "unknown user namespace: private",
    "--security-opt apparmor=x": "needs AppArmor, which is not active",
    "--security-opt seccomp=/nosuch": "cannot read the seccomp profile '/nosuch'",
    "--env =x": "not an environment variable: '=x'",
    "--env-file /nosuch": "cannot read the environment file /nosuch",
    "--label =x": "not a label: '=x'",
    "--cap-add NET_NOPE": "NET_NOPE",
    "--no-such-flag": "no such option '--no-such-flag'",
    "--log-driver syslog": "unknown log driver: syslog",
    "--log-opt colour=red": "unknown log option: 'colour'",
    "--log-opt max-size=10XB": "not a size: '10XB'",
    "--log-opt max-size=0": "not a size of a log: '0'",
    "--log-opt max-file=0": "not a number of log files: '0'",
    "--detach-keys ctrl-": "not a key for --detach-keys: 'ctrl-'",
    "--detach-keys x,yy": "not a key for --detach-keys: 'yy'",
}


# CVE-2026-30892: a word that is no user must not come to mean root.
WRONG_USERS = ("", "0x0", "1000:", "-1", "4294967295", "root:nosuch", "nosuch", ":", "99999999999")


@pytest.mark.usefixtures("no_container")
@pytest.mark.parametrize("flags", BAD_RUNS)
def test_wrong_flag_of_run_is_said_and_leaves_nothing(wardian: Wardian, flags: str) -> None:
    said = refused(wardian("run", *flags.split(), IMAGE, "true"), 125)
    assert BAD_RUNS[flags] in said


@pytest.mark.usefixtures("no_container")
@pytest.mark.parametrize("user", WRONG_USERS)
def test_wrong_user_is_said_and_leaves_nothing(wardian: Wardian, user: str) -> None:
    assert "user" in refused(wardian("run", "--rm", f"--user={user}", IMAGE, "true"), 126)


@pytest.mark.usefixtures("no_container")
def test_unknown_image_is_said(wardian: Wardian) -> None:
    assert (
        refused(wardian("run", "--pull", "never", "no/such:image", "true"), 125)
        == "no such image: no/such:image"
    )


@pytest.mark.parametrize("user", ["", "0x0", "root:nosuch"])
def test_wrong_user_of_exec_is_said(wardian: Wardian, web: str, user: str) -> None:
    assert "unable to find user" in refused(wardian("exec", f"--user={user}", web, "true"), 126)


def test_name_that_is_taken_is_said(wardian: Wardian, web: str) -> None:
    said = refused(wardian("run", "--rm", "--name", web, IMAGE, "true"), 125)
    assert said == "the container name web is in use"
    assert out(wardian("ps", "--format", "{{.Names}}")) == f"{web}\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("stop -s NOPE web", "not a signal: 'NOPE'"),
        ("logs --tail few web", "not a number of lines: 'few'"),
        ("logs --since someday web", "not a time: 'someday'"),
        ("ps --filter colour=green", "not a filter: 'colour=green'"),
        ("ps --format {{range}}", "not understood in a template: {{range}}"),
        ("inspect -f {{.Nope}} web", "no such field: .Nope"),
        ("update web", "no limit was named"),
        ("exec --privileged web true", "--privileged is not supported"),
        ("update -m 10XB web", "not a size: '10XB'"),
        ("start -a web other", "only one container can be followed"),
        ("top nosuch", "no such container: nosuch"),
        ("kernelspec install --user --sys-prefix", "exclude each other"),
    ],
)
@pytest.mark.usefixtures("web")
def test_wrong_word_is_said(wardian: Wardian, line: str, said: str) -> None:
    assert said in refused(wardian(*line.split()), 1)


def test_state_directory_that_cannot_be_written_is_said(wardian: Wardian, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refused(wardian("--root", str(tmp_path / "file/below"), "ps"), 1)
    assert "cannot write the state directory" in said
