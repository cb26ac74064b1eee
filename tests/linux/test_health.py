"""Healthchecks of real containers: asked, told, cut short, and taken up by the next keeper."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.conftest import keeper_pid, shell, wait_until
from tests.linux.program import IMAGE, Wardian, out, refused
from wardian.errors import FailedPrecondition
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.health import Health, Healthcheck, HealthStatus, Probe
from wardian.runtime.spec import ContainerSpec, ProcessSpec

OK = "test -e /tmp/ok"
WELL = ("--health-cmd", OK, "--health-interval", "50ms", "--health-retries", "2")
SLEEP = ProcessSpec(argv=("sleep", "1000"), env={"COLOUR": "green"}, workdir="/tmp", user="1000")


def asked(line: str, **times: float) -> Healthcheck:
    return Healthcheck(test=("CMD-SHELL", line), **{"interval_s": 0.05, **times})  # type: ignore[arg-type]


@pytest.fixture
def patient(client: Client, spec: ContainerSpec) -> Callable[[Healthcheck], Container]:
    """Runs a container with a healthcheck."""
    return lambda check: client.run(replace(spec, process=SLEEP, healthcheck=check))


def health(container: Container) -> Health:
    found = container.info.health
    assert found is not None
    return found


def answers(container: Container, least: int = 1) -> tuple[Probe, ...]:
    """What it has answered, once that is so much."""
    wait_until(lambda: len(health(container).log) >= least)
    return health(container).log


def test_health_changes_are_shown_filtered_and_told(wardian: Wardian, client: Client) -> None:
    out(wardian("run", "-d", "--name", "web", *WELL, IMAGE, "sleep", "1000"))
    web = client.container("web")
    with pytest.raises(FailedPrecondition, match="is unhealthy"):
        web.wait_healthy()
    assert "(unhealthy)" in out(wardian("ps", "--filter", "health=unhealthy"))
    assert shell(web, "touch /tmp/ok")[0] == 0
    wait_until(lambda: health(web).status is HealthStatus.HEALTHY)
    web.wait_healthy()
    assert (
        out(wardian("ps", "--filter", "health=healthy", "--format", "{{.Health}}")) == "healthy\n"
    )
    assert "(healthy)" in out(wardian("ps"))
    assert out(wardian("ps", "-q", "--filter", "health=none")) == ""
    shown = json.loads(out(wardian("inspect", "web")))[0]
    assert shown["State"]["Health"]["Status"] == "healthy"
    assert shown["State"]["Health"]["FailingStreak"] == 0
    assert shown["State"]["Health"]["Log"][-1]["ExitCode"] == 0
    assert shown["Config"]["Healthcheck"]["Test"] == ["CMD-SHELL", OK]
    assert shown["Config"]["Healthcheck"]["Interval"] == 50_000_000
    told = out(wardian("events", "--since", "1m", "--until", "0s", "--format", "{{.Action}}"))
    actions = told.splitlines()
    changes = [action for action in actions if action.startswith("health_status")]
    assert changes == ["health_status: unhealthy", "health_status: healthy"]
    begin = actions.index(f"exec_create: /bin/sh -c {OK}")
    assert actions[begin + 1 : begin + 3] == [f"exec_start: /bin/sh -c {OK}", "exec_die"]


def test_container_that_starts_says_so(wardian: Wardian) -> None:
    out(wardian("run", "-d", "--name", "slow", "--health-cmd", "true", IMAGE, "sleep", "1000"))
    assert "(health: starting)" in out(wardian("ps", "--filter", "health=starting"))
    out(wardian("run", "-d", "--name", "plain", IMAGE, "sleep", "1000"))
    assert out(wardian("ps", "--filter", "health=none", "--format", "{{.Names}}")) == "plain\n"
    assert "Health" not in json.loads(out(wardian("inspect", "plain")))[0]["State"]


@pytest.mark.parametrize(
    ("instruction", "test"),
    [
        ('HEALTHCHECK --interval=50ms CMD ["test", "-e", "/etc/ok"]', ["CMD", "test"]),
        ("HEALTHCHECK --interval=50ms CMD test -e /etc/ok", ["CMD-SHELL", "test -e /etc/ok"]),
    ],
)
def test_healthcheck_of_the_image_is_honoured_unless_refused(
    wardian: Wardian, client: Client, instruction: str, test: list[str]
) -> None:
    assert wardian("run", "--name", "seed", IMAGE, "touch", "/etc/ok").returncode == 0
    out(wardian("commit", "--change", instruction, "seed", "checked"))
    out(wardian("run", "-d", "--name", "on", "checked", "sleep", "1000"))
    client.container("on").wait_healthy(timeout_s=60)
    shown = json.loads(out(wardian("inspect", "on")))[0]["Config"]["Healthcheck"]["Test"]
    assert shown[: len(test)] == test
    out(wardian("run", "-d", "--name", "off", "--no-healthcheck", "checked", "sleep", "1000"))
    assert client.container("off").info.spec.healthcheck is None
    out(wardian("commit", "--change", "HEALTHCHECK NONE", "on", "unchecked"))
    out(wardian("run", "-d", "--name", "none", "unchecked", "sleep", "1000"))
    assert client.container("none").info.spec.healthcheck is None


def test_probe_is_what_exec_would_start(patient: Callable[[Healthcheck], Container]) -> None:
    script = "echo $COLOUR; id -u; pwd; ls /proc/self/fd | tr '\\n' ' '; echo err >&2"
    said = answers(patient(asked(script)))[0]
    # ls has the directory open as a fourth
    assert (said.exit_code, said.output) == (0, "green\n1000\n/tmp\n0 1 2 3 err\n")


def test_output_is_kept_to_4096_bytes(patient: Callable[[Healthcheck], Container]) -> None:
    said = answers(patient(asked("yes | head -c 1000000; exit 3")))[0]
    assert said.exit_code == 3
    assert said.output == "y\n" * 2048 + "..."


def test_program_that_is_not_there_is_a_failure_that_says_so(
    patient: Callable[[Healthcheck], Container],
) -> None:
    said = answers(patient(Healthcheck(test=("CMD", "nosuch"), interval_s=0.05)), 2)[0]
    assert said.exit_code == -1
    assert "nosuch: not found in the container" in said.output


def test_probe_that_takes_too_long_is_killed_with_what_it_started(
    patient: Callable[[Healthcheck], Container],
) -> None:
    box = patient(asked("echo begun; sleep 999 & sleep 999", timeout_s=0.1))
    first, second, *_ = answers(box, 5)
    assert (first.exit_code, first.output) == (-1, "Health check exceeded timeout (0.1s): begun\n")
    assert second.began_at >= first.ended_at
    # The main process and the two of the probe that is under way; none of the five before.
    assert int(shell(box, "pidof sleep | wc -w")[1]) <= 3


def test_paused_container_is_not_asked(patient: Callable[[Healthcheck], Container]) -> None:
    box = patient(asked("sleep 0.02"))
    answers(box)
    box.pause()
    before = health(box).log[-1].began_at
    watched = box.client
    with Client.connect(watched.root) as other:  # time passes: another container lives meanwhile
        spec = replace(box.info.spec, name="other")
        answers(other.run(spec), 4)
    assert health(box).log[-1].began_at == before
    assert health(box).status is HealthStatus.HEALTHY
    box.unpause()
    wait_until(lambda: health(box).log[-1].began_at > before)


def test_health_is_taken_up_by_the_next_keeper(
    state: Path, patient: Callable[[Healthcheck], Container]
) -> None:
    box = patient(asked(f"{OK} && echo well", retries=1))
    wait_until(lambda: health(box).status is HealthStatus.UNHEALTHY)
    assert len(answers(box, 2)) >= 2
    keeper = keeper_pid(state)
    assert keeper is not None
    os.kill(keeper, signal.SIGKILL)
    known = health(box)
    assert known.status is HealthStatus.UNHEALTHY
    assert len(known.log) >= 2
    assert keeper_pid(state) not in (keeper, None)
    shell(box, "touch /tmp/ok")
    wait_until(lambda: health(box).status is HealthStatus.HEALTHY)
    assert health(box).log[-1].output == "well\n"


def test_probe_of_a_killed_keeper_is_ended(
    state: Path, patient: Callable[[Healthcheck], Container]
) -> None:
    box = patient(asked("sleep 999", interval_s=0.05, timeout_s=600.0))
    probes = "for p in $(pidof sleep); do grep -q 999 /proc/$p/cmdline && echo $p; done"
    wait_until(lambda: shell(box, probes)[1] != "")
    (old,) = shell(box, probes)[1].split()
    keeper = keeper_pid(state)
    assert keeper is not None
    os.kill(keeper, signal.SIGKILL)
    assert box.info.host_pid  # asked of the next keeper
    wait_until(lambda: (now := shell(box, probes)[1].split()) != [] and old not in now)


def test_many_probes_do_not_push_out_what_exec_left(
    patient: Callable[[Healthcheck], Container],
) -> None:
    box = patient(asked("true", interval_s=0.001))
    process = box.spawn(ProcessSpec(argv=("sh", "-c", "exit 5")))
    began = len(answers(box, 5))
    seen = {probe.began_at for probe in health(box).log}
    while len(seen) < 20:
        seen |= {probe.began_at for probe in health(box).log}
    with process:
        assert (process.wait(10), began) == (5, 5)


def test_waiting_ends_with_the_container_and_with_the_time(
    client: Client, patient: Callable[[Healthcheck], Container], spec: ContainerSpec
) -> None:
    box = patient(asked("false", retries=10_000))
    with pytest.raises(TimeoutError):
        box.wait_healthy(timeout_s=0.1)
    with Client.connect(client.root) as other:
        twin = other.container(box.id)
        host_pid = os.fork()
        if host_pid == 0:
            with Client.connect(client.root) as third:
                third.container(box.id).stop(timeout_s=0)
            os._exit(0)
        with pytest.raises(FailedPrecondition, match=r"ended before it was healthy|not running"):
            twin.wait_healthy()
        os.waitpid(host_pid, 0)
    assert health(box).status is HealthStatus.UNHEALTHY
    with pytest.raises(FailedPrecondition, match="is not running"):
        box.wait_healthy()
    plain = client.run(replace(spec, name="plain", process=SLEEP))
    with pytest.raises(FailedPrecondition, match="has no healthcheck"):
        plain.wait_healthy()


def test_next_start_begins_anew(patient: Callable[[Healthcheck], Container]) -> None:
    box = patient(asked("echo once", interval_s=0.05))
    answers(box)
    box.stop(timeout_s=0)
    told = len(health(box).log)
    shown = box.start()
    assert shown.health is not None
    assert shown.health.status is HealthStatus.STARTING
    assert len(shown.health.log) == told


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--health-cmd x --no-healthcheck", "--no-healthcheck and --health-… exclude each other"),
        ("--health-cmd x --health-interval often", "not a duration: 'often'"),
        ("--health-cmd x --health-timeout 1us", "the healthcheck's timeout is too short"),
        ("--health-cmd x --health-retries -1", "invalid value for '--health-retries'"),
    ],
)
def test_wrong_flag_is_said(wardian: Wardian, flags: str, said: str) -> None:
    assert said in refused(wardian("run", *flags.split(), IMAGE, "true"), 125)
    assert out(wardian("ps", "-aq")) == ""
