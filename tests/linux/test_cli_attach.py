"""``wardian attach``, and what it shares with a run in the foreground."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from pathlib import Path

import pexpect  # type: ignore[import-untyped]  # publishes no types
import pytest

from tests.linux.conftest import keeper_pid, wait_until
from tests.linux.program import IMAGE, PROGRAM, Wardian, out, refused
from wardian.runtime.client import Client
from wardian.runtime.paths import state_root

ECHO = ("sh", "-c", 'while read line; do echo "heard $line"; test "$line" = end && exit 4; done')


def attached(*arguments: str) -> subprocess.Popen[bytes]:
    """A command that is attached, on pipes."""
    command = [*PROGRAM, "attach", *arguments]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )


def spawn(*arguments: str) -> pexpect.spawn:
    """A command line on a terminal of 30 rows and 90 columns."""
    return pexpect.spawn(PROGRAM[0], [*PROGRAM[1:], *arguments], dimensions=(30, 90), timeout=60)


def hear(process: subprocess.Popen[bytes], expected: bytes) -> None:
    """Read until it has printed something."""
    assert process.stdout is not None
    said = b""
    while expected not in said:
        assert select.select([process.stdout], [], [], 30)[0], said
        data = os.read(process.stdout.fileno(), 4096)
        assert data, said
        said += data


def say(process: subprocess.Popen[bytes], words: bytes) -> None:
    """Give it a line."""
    assert process.stdin is not None
    process.stdin.write(words + b"\n")


def test_foreground_output_is_in_the_logs_too(wardian: Wardian) -> None:
    done = wardian("run", "--name", "talk", IMAGE, "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    done = wardian("logs", "talk")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    shell = spawn("run", "--name", "screen", "-it", IMAGE, "sh", "-c", "test -t 1 && echo terminal")
    shell.expect("terminal\r\n")
    shell.expect(pexpect.EOF)
    shell.close()
    assert wardian("logs", "screen").stdout == "terminal\n"


def test_large_output_of_a_run_is_whole(wardian: Wardian) -> None:
    script = "i=0; while [ $i -lt 200000 ]; do echo $i; i=$((i+1)); done"
    lines = out(wardian("run", "--rm", IMAGE, "sh", "-c", script)).splitlines()
    assert lines == [str(number) for number in range(200000)]


@pytest.mark.usefixtures("client")  # the keeper stays, and with it what it remembers
def test_several_attach_at_once_and_type_to_it(wardian: Wardian) -> None:
    out(wardian("run", "-di", "--name", "box", IMAGE, *ECHO))
    with attached("box") as one, attached("box") as other, attached("--no-stdin", "box") as quiet:
        wait_until(lambda: all(is_attached(each, "box", one) for each in (one, other, quiet)))
        say(quiet, b"nobody hears this")
        say(other, b"end")
        for each in (one, other, quiet):
            hear(each, b"heard end\n")
            assert each.wait(30) == 4
    assert "nobody" not in wardian("logs", "box").stdout
    only = ("--since", "5m", "--until", "0s", "--filter", "event=attach")
    told = out(wardian("events", *only, "--format", "{{.Action}} {{.Actor.Attributes.name}}"))
    assert told == "attach box\n" * 3


def is_attached(process: subprocess.Popen[bytes], _name: str, speaker: object) -> bool:
    """Whether it hears what a line typed by the speaker brings."""
    assert isinstance(speaker, subprocess.Popen)
    assert process.stdout is not None
    say(speaker, b"there?")
    if select.select([process.stdout], [], [], 0.2)[0]:
        return b"heard there?" in os.read(process.stdout.fileno(), 1 << 16)
    return False


def test_terminal_is_left_with_other_keys_and_come_back_to(wardian: Wardian) -> None:
    out(wardian("run", "-dit", "--name", "box", IMAGE, "sh"))
    for size in ((31, 91), (22, 72)):
        shell = pexpect.spawn(
            PROGRAM[0],
            [*PROGRAM[1:], "attach", "--detach-keys", "ctrl-x,x", "box"],
            dimensions=size,
            timeout=60,
        )
        line = "while [ \"$(stty size)\" != '{} {}' ]; do sleep 0.05; done; echo it $((6 * 7))"
        shell.sendline(line.format(*size))
        shell.expect("\r\nit 42\r\n")
        shell.send("\x18x")
        shell.expect("detached")
        shell.expect(pexpect.EOF)
        shell.close()
        assert shell.exitstatus == 0
    assert out(wardian("inspect", "--format", "{{.State.Running}} {{.Config.Tty}}", "box")) == (
        "true true\n"
    )
    out(wardian("rm", "-f", "box"))


def test_created_with_a_terminal_and_started_attached(wardian: Wardian) -> None:
    out(wardian("create", "-it", "--name", "box", IMAGE, "sh", "-c", "tty; read x; exit 6"))
    shell = spawn("start", "-ai", "box")
    shell.expect("/dev/pts/0\r\n")
    shell.sendline("")
    shell.expect(pexpect.EOF)
    shell.close()
    assert shell.exitstatus == 6


def test_signals_go_to_the_container_unless_told_otherwise(wardian: Wardian) -> None:
    script = "trap 'echo got; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    out(wardian("run", "-d", "--name", "box", IMAGE, "sh", "-c", script))
    wait_until(lambda: "ready" in wardian("logs", "box").stdout)
    with attached("--no-stdin", "--no-sig-proxy", "box") as watcher:
        watcher.send_signal(signal.SIGTERM)
        assert watcher.wait(30) == -signal.SIGTERM
    assert out(wardian("inspect", "--format", "{{.State.Running}}", "box")) == "true\n"
    command = [*PROGRAM, "run", "--name", "other", IMAGE, "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as run:
        hear(run, b"ready\n")
        run.send_signal(signal.SIGTERM)
        hear(run, b"got\n")
        assert run.wait(30) == 9


def test_who_is_attached_stays_when_the_keeper_is_killed(wardian: Wardian) -> None:
    out(wardian("run", "-di", "--name", "box", IMAGE, *ECHO))
    with attached("box") as watcher:
        wait_until(lambda: is_attached(watcher, "box", watcher))
        keeper = keeper_pid(state_root())
        assert keeper is not None
        os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: keeper_pid(state_root()) not in (keeper, None))
        wait_until(lambda: is_attached(watcher, "box", watcher))
        say(watcher, b"end")
        assert watcher.wait(30) == 4
    assert "heard end\n" in wardian("logs", "box").stdout


def test_slow_reader_holds_only_its_own_container_up(wardian: Wardian, client: Client) -> None:
    out(wardian("run", "-d", "--name", "box", IMAGE, "sh", "-c", "while :; do echo word; done"))
    ends = client.container("box").join()  # nobody reads from these
    out(wardian("run", "--rm", IMAGE, "true"))
    for fd in ends:
        os.close(fd)
    log = Path(client.container("box").info.log_directory) / "log.jsonl"
    before = log.stat()
    wait_until(lambda: (log.stat().st_ino, log.stat().st_size) != (before.st_ino, before.st_size))
    out(wardian("rm", "-f", "box"))


@pytest.mark.usefixtures("client")
def test_attach_says_why_not(wardian: Wardian) -> None:
    out(wardian("create", "--name", "off", IMAGE, "true"))
    assert "does not run" in refused(wardian("attach", "off"), 1)
    out(wardian("run", "-d", "--name", "cold", IMAGE, "sleep", "1000"))
    out(wardian("pause", "cold"))
    assert "paused" in refused(wardian("attach", "cold"), 1)
    assert "no such container" in refused(wardian("attach", "nobody"), 1)
    assert "not a terminal" in refused(wardian("run", "-it", IMAGE, "sh"), 125)
