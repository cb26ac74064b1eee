"""Commands about a container's life beyond one run: restarts, events, other names."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

from tests.linux.conftest import keeper_pid, wait_until
from tests.linux.program import IMAGE, PROGRAM, Wardian, out, refused
from wardian.runtime.client import Client
from wardian.runtime.paths import state_root


def count(wardian: Wardian, name: str) -> int:
    """How often the container's main process has written its mark."""
    return out(wardian("logs", name)).count("started")


def test_container_is_renamed(wardian: Wardian) -> None:
    container_id = out(wardian("create", "--name", "fern", IMAGE, "true")).strip()
    out(wardian("create", "--name", "moss", IMAGE, "true"))
    out(wardian("rename", "fern", "palm"))
    assert out(wardian("inspect", "--format", "{{.Id}}", "palm")).strip() == container_id
    assert "no such container" in refused(wardian("inspect", "fern"), 1)
    assert "in use" in refused(wardian("rename", "palm", "moss"), 1)
    assert "not a container name" in refused(wardian("rename", "palm", "../moss"), 1)
    assert set(out(wardian("ps", "-a", "--format", "{{.Names}}")).split()) == {"palm", "moss"}


def test_failing_container_is_started_again_as_often_as_asked(wardian: Wardian) -> None:
    out(
        wardian(
            *("run", "-d", "--name", "try", "--restart", "on-failure:2", IMAGE),
            *("sh", "-c", "echo started; exit 3"),
        )
    )
    shown = "{{.RestartCount}} {{.State.Status}} {{.HostConfig.RestartPolicy.Name}}"
    wait_until(lambda: out(wardian("inspect", "--format", shown, "try")) == "2 exited on-failure\n")
    assert count(wardian, "try") == 3


def test_success_ends_on_failure_and_a_stop_ends_always(wardian: Wardian) -> None:
    out(
        wardian(
            *("run", "-d", "--name", "good", "--restart", "on-failure", IMAGE),
            *("sh", "-c", "echo started"),
        )
    )
    out(
        wardian(
            *("run", "-d", "--name", "ever", "--restart", "always", IMAGE),
            *("sh", "-c", "echo started; sleep 0.05"),
        )
    )
    wait_until(lambda: count(wardian, "ever") >= 3)
    out(wardian("stop", "-t", "0", "ever"))
    ended = count(wardian, "ever")
    wait_until(lambda: out(wardian("ps", "-aq", "--filter", "status=exited")).count("\n") == 2)
    assert count(wardian, "good") == 1
    out(wardian("start", "ever"))
    wait_until(lambda: count(wardian, "ever") >= ended + 2)
    out(wardian("rm", "-f", "ever"))


def test_policy_holds_under_the_next_keeper(wardian: Wardian, client: Client) -> None:
    out(
        wardian(
            *("run", "-d", "--name", "ever", "--restart", "unless-stopped", IMAGE),
            *("sh", "-c", "echo started; sleep 1000"),
        )
    )
    init = client.container("ever").info.host_pid
    keeper = keeper_pid(state_root())
    assert init is not None and keeper is not None
    os.kill(keeper, signal.SIGKILL)
    os.kill(init, signal.SIGKILL)
    wait_until(lambda: client.container("ever").info.host_pid not in (init, None))
    assert count(wardian, "ever") == 2


def test_keeper_ends_in_order_at_sigterm_and_containers_live_on(
    wardian: Wardian, client: Client
) -> None:
    out(wardian("run", "-d", "--name", "box", IMAGE, "sleep", "1000"))
    init = client.container("box").info.host_pid
    keeper = keeper_pid(state_root())
    assert keeper is not None
    client.close()  # one that is connected would start the next at once
    pidfd = os.pidfd_open(keeper)
    os.kill(keeper, signal.SIGTERM)
    assert select.select([pidfd], [], [], 30)[0]
    os.close(pidfd)
    assert not (state_root() / "keeper.sock").exists()  # a killed one leaves it
    known = out(wardian("inspect", "--format", "{{.State.Pid}} {{.State.Status}}", "box"))
    assert known == f"{init} running\n"
    assert out(wardian("exec", "box", "echo", "here")) == "here\n"


def test_policies_that_make_no_sense_are_refused(wardian: Wardian) -> None:
    for word in ("sometimes", "always:3", "on-failure:x", ""):
        assert "restart policy" in refused(wardian("run", "--restart", word, IMAGE), 125)
    said = refused(wardian("run", "--rm", "--restart", "always", IMAGE), 125)
    assert "--rm" in said
    assert out(wardian("ps", "-aq")) == ""


@pytest.mark.usefixtures("client")  # the keeper stays, and with it what it remembers
def test_events_tell_a_containers_life(wardian: Wardian) -> None:
    assert wardian("run", "--name", "fern", IMAGE, "sh", "-c", "exit 3").returncode == 3
    out(wardian("rm", "fern"))
    told = out(wardian("events", "--since", "1m", "--until", "0s", "--format", "json"))
    events = [json.loads(line) for line in told.splitlines()]
    assert [event["Action"] for event in events] == ["create", "start", "die", "destroy"]
    assert events[2]["Actor"]["Attributes"]["exitCode"] == "3"
    assert {event["Actor"]["Attributes"]["name"] for event in events} == {"fern"}
    only = ("events", "--since", "1m", "--until", "0s", "--filter", "event=die")
    assert out(wardian(*only, "--format", "{{.Action}} {{.Actor.Attributes.name}}")) == "die fern\n"
    assert "(exitCode=3, image=" in out(wardian(*only))


def test_working_directory_is_made_for_the_main_process_alone(wardian: Wardian) -> None:
    made = (
        "run",
        "-d",
        "--name",
        "box",
        "--user",
        "1000",
        "-w",
        "/new/dir",
        IMAGE,
        "sleep",
        "1000",
    )
    out(wardian(*made))
    assert out(wardian("exec", "box", "sh", "-c", "pwd; stat -c %u:%a .")) == "/new/dir\n0:755\n"
    assert "A /new/dir" in out(wardian("diff", "box"))
    said = refused(wardian("exec", "-w", "/nowhere", "box", "true"), 126)
    assert said.startswith("cannot enter the working directory /nowhere")
    there = wardian("run", "--rm", "--read-only", "-w", "/nowhere", IMAGE, "true")
    assert "cannot enter the working directory /nowhere" in refused(there, 126)


@pytest.mark.parametrize("user", ["0", "1000"])
def test_streams_can_be_opened_by_their_names(wardian: Wardian, user: str) -> None:
    script = "echo out >/dev/stdout; echo err >/dev/stderr; id -u"
    run = wardian("run", "--name", "box", "--user", user, IMAGE, "sh", "-c", script)
    assert (run.stdout, run.stderr) == (f"out\n{user}\n", "err\n")
    assert wardian("logs", "box").stdout == f"out\n{user}\n"
    terminal = ("run", "--rm", "-t", "--user", user, IMAGE, "sh", "-c", "echo tty >/dev/stdout")
    assert out(wardian(*terminal)).split() == ["tty"]
    out(wardian("run", "-d", "--name", "long", IMAGE, "sleep", "1000"))
    inside = wardian("exec", "--user", user, "long", "sh", "-c", script)
    assert (inside.stdout, inside.stderr) == (f"out\n{user}\n", "err\n")


@pytest.mark.usefixtures("client")
def test_events_tell_what_commands_do_by_themselves(wardian: Wardian, tmp_path: Path) -> None:
    out(wardian("run", "-d", "--name", "fern", IMAGE, "sleep", "1000"))
    (tmp_path / "file").write_text("file\n")
    out(wardian("cp", "-q", str(tmp_path / "file"), "fern:/tmp"))
    out(wardian("cp", "-q", "fern:/tmp/file", str(tmp_path / "copy")))
    out(wardian("export", "-o", str(tmp_path / "tree.tar"), "fern"))
    out(wardian("top", "fern"))
    out(wardian("commit", "-m", "grown", "fern", "fern:grown"))
    form = "{{.Action}} {{.Actor.Attributes}}"
    told = out(wardian("events", "--since", "1m", "--until", "0s", "--format", form)).splitlines()
    actions = ("extract-to-dir", "archive-path", "export", "top", "commit")
    assert [line.split()[0] for line in told if line.startswith(actions)] == list(actions)
    assert "fern:grown" in told[-1]


@pytest.mark.usefixtures("client")
def test_events_tell_of_programs_and_of_memory(wardian: Wardian) -> None:
    out(wardian("run", "-d", "--name", "box", "-m", "8m", IMAGE, "sleep", "1000"))
    assert wardian("exec", "box", "sh", "-c", "exit 5").returncode == 5
    eat = "x=x; while :; do x=$x$x; done"
    # Its init is larger than all that is left: that dies, and with it the container.
    said = refused(wardian("exec", "box", "sh", "-c", eat), 137)
    assert said == "container box has ended; it had run out of memory"
    eater = ("run", "--name", "eater", "-m", "16m", IMAGE, "sh", "-c", eat)
    assert refused(wardian(*eater), 137) == "container eater has ended; it had run out of memory"
    told = out(wardian("events", "--since", "1m", "--until", "0s", "--format", "{{.Action}}"))
    actions = told.splitlines()
    words = "sh -c exit 5"
    assert actions[:2] == ["create", "start"]
    assert actions[2:5] == [f"exec_create: {words}", f"exec_start: {words}", "exec_die"]
    assert actions[-2:] == ["oom", "die"]


def test_events_are_told_as_they_happen(wardian: Wardian) -> None:
    command = [*PROGRAM, "events", "--filter", "event=start", "--format", "{{.Action}}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as watcher:
        assert watcher.stdout is not None
        poll = select.poll()
        poll.register(watcher.stdout, select.POLLIN)
        try:
            while True:  # the watcher may not listen yet
                out(wardian("run", "--rm", IMAGE, "true"))
                if poll.poll(100):
                    break
            assert watcher.stdout.read(6) == b"start\n"
        finally:
            watcher.kill()


def test_container_is_dockers_other_spelling(wardian: Wardian) -> None:
    out(wardian("container", "run", "-d", "--name", "on", IMAGE, "sleep", "1000"))
    out(wardian("container", "create", "--name", "off", IMAGE, "true"))
    assert out(wardian("container", "ls", "--format", "{{.Names}}")) == "on\n"
    pruned = out(wardian("container", "prune", "--force"))
    assert pruned.startswith("container off\nTotal reclaimed space: ")
    assert out(wardian("container", "ls", "-a", "--format", "{{.Names}}")) == "on\n"
    assert "on" in out(wardian("container", "inspect", "--format", "{{.Name}}", "on"))


def test_restart_policy_is_changed_while_it_runs(wardian: Wardian) -> None:
    out(wardian("run", "-d", "--name", "late", IMAGE, "sh", "-c", "echo started; sleep 0.05"))
    assert out(wardian("update", "--restart", "on-failure:1", "late")) == "late\n"
    shown = "{{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}}"
    assert out(wardian("inspect", "-f", shown, "late")) == "on-failure:1\n"
    out(wardian("update", "--restart", "always", "late"))
    out(wardian("start", "late")) if count(wardian, "late") == 1 else None
    wait_until(lambda: count(wardian, "late") >= 3)
    out(wardian("update", "--restart", "no", "late"))
    wait_until(lambda: out(wardian("ps", "-q")) == "")
    assert "restart policy" in refused(wardian("update", "--restart", "often", "late"), 1)
    out(wardian("run", "-d", "--rm", "--name", "brief", IMAGE, "sleep", "1000"))
    said = refused(wardian("update", "--restart", "always", "brief"), 1)
    assert "is removed when it ends" in said


@pytest.mark.usefixtures("client")
def test_events_tell_of_signals_and_of_stops(wardian: Wardian) -> None:
    trap = "trap : USR1; while :; do sleep 0.05; done"
    out(wardian("run", "-d", "--name", "box", IMAGE, "sh", "-c", trap))
    out(wardian("kill", "-s", "USR1", "box"))
    out(wardian("stop", "-t", "0", "box"))
    out(wardian("start", "box"))
    out(wardian("rm", "-f", "box"))
    form = '{{.Action}} {{with .Actor.Attributes}}{{if index . "signal"}}{{.signal}}{{end}}{{end}}'
    told = out(wardian("events", "--since", "1m", "--until", "0s", "--format", form))
    assert [line.strip() for line in told.splitlines()] == [
        *("create", "start", "kill 10", "kill 15", "die", "stop"),
        *("start", "kill 9", "die", "destroy"),
    ]


def test_prune_takes_the_containers_that_the_filters_fit(wardian: Wardian) -> None:
    out(wardian("create", "--name", "kept", "-l", "keep", IMAGE, "true"))
    out(wardian("create", "--name", "plain", IMAGE, "true"))
    out(wardian("create", "--name", "red", "-l", "colour=red", IMAGE, "true"))
    assert "plain" not in out(wardian("container", "prune", "-f", "--filter", "until=1h"))
    pruned = out(wardian("container", "prune", "-f", "--filter", "label=colour=red"))
    assert pruned.startswith("container red\nTotal")
    pruned = out(wardian("container", "prune", "-f", "--filter", "label!=keep"))
    assert pruned.startswith("container plain\nTotal")
    assert out(wardian("ps", "-a", "--format", "{{.Names}}")) == "kept\n"


def test_top_has_the_columns_that_are_asked_for(wardian: Wardian, web: str) -> None:
    shown = out(wardian("top", web, "-o", "pid,cpid", "-o", "args")).splitlines()
    assert shown[0].split() == ["HOST", "PID", "CONTAINER", "PID", "COMMAND"]
    assert shown[-1].split(maxsplit=2)[2] == "sleep 1000"
    assert "not a column: 'colour'" in refused(wardian("top", web, "-o", "colour"), 1)
