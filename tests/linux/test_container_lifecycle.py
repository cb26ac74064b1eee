"""From create to remove: what a container's life looks like from the client's side."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.conftest import keeper_pid, shell, wait_until
from wardian.errors import AlreadyExists, CommandFailed, FailedPrecondition, InvalidInput, NotFound
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.logs import read as read_log
from wardian.runtime.spec import ContainerSpec, Keep, ProcessSpec
from wardian.runtime.state import Status


def test_command_runs_in_the_container(box: Container) -> None:
    code, text = shell(box, "echo $$; cat /proc/1/comm; id -u; hostname")
    assert code == 0
    pid, comm, uid, hostname = text.split()
    assert int(pid) > 1
    assert (comm, uid, hostname) == ("wardian-init", "0", box.info.spec.hostname)


def test_keeper_starts_where_whoever_asks_ignores_its_children(
    state: Path, spec: ContainerSpec
) -> None:
    """SIG_IGN is inherited (execve(2)), and with it nobody can wait for a child (wait(2))."""
    usual = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        client = Client.connect(state)
    finally:
        signal.signal(signal.SIGCHLD, usual)
    with client:
        assert shell(client.run(spec), "exit 3")[0] == 3


def test_files_last_from_process_to_process(box: Container) -> None:
    shell(box, "echo fern > /root/plant")
    assert shell(box, "cat /root/plant") == (0, "fern\n")
    assert (Path(box.info.upper) / "root/plant").read_text() == "fern\n"


def test_background_process_outlives_the_one_that_started_it(box: Container) -> None:
    shell(box, "sleep 1000 >/dev/null 2>&1 &")
    assert shell(box, "pidof sleep | wc -w") == (0, "1\n")


def test_orphans_are_reaped_by_init(box: Container) -> None:
    shell(box, "(sleep 0.01 &) ; (sleep 0.02 &)")
    wait_until(lambda: shell(box, "pidof sleep | wc -w")[1] == "0\n")
    assert shell(box, "grep -l '^State:.Z' /proc/[0-9]*/status | wc -l")[1] == "0\n"


def test_exit_code_is_the_programs(box: Container) -> None:
    assert shell(box, "exit 7")[0] == 7
    assert shell(box, "kill -9 $$")[0] == 137


def test_missing_program_gives_127_and_unreadable_one_126(box: Container) -> None:
    with pytest.raises(CommandFailed) as missing:
        box.spawn(ProcessSpec(argv=("nosuch",)))
    assert missing.value.exit_code == 127
    with pytest.raises(CommandFailed) as refused:
        box.spawn(ProcessSpec(argv=("/etc/passwd",)))
    assert refused.value.exit_code == 126


def test_main_process_ends_the_container_and_is_logged(client: Client, spec: ContainerSpec) -> None:
    main = ProcessSpec(argv=("sh", "-c", "echo out; echo err >&2; exit 3"))
    container = client.run(replace(spec, process=main))
    assert container.wait() == 3
    info = container.info
    assert (info.status, info.exit_code) == (Status.EXITED, 3)
    lines = list(read_log(Path(info.log_directory)))
    assert {(line.stream, line.log) for line in lines} == {("stdout", "out\n"), ("stderr", "err\n")}


def test_failed_start_of_the_main_process_is_reported(client: Client, spec: ContainerSpec) -> None:
    with pytest.raises(CommandFailed) as failure:
        client.run(replace(spec, process=ProcessSpec(argv=("nosuch",))))
    assert failure.value.exit_code == 127


def test_stopped_container_starts_again_with_its_files(box: Container) -> None:
    shell(box, "echo moss > /kept")
    box.stop(timeout_s=5)
    assert box.info.status is Status.EXITED
    with pytest.raises(FailedPrecondition):
        shell(box, "true")
    box.start()
    assert shell(box, "cat /kept") == (0, "moss\n")


def test_stop_kills_what_ignores_the_signal(box: Container) -> None:
    shell(box, "(trap '' TERM; while :; do sleep 0.1; done) >/dev/null 2>&1 &")
    box.stop(timeout_s=0.2)
    assert box.info.status is Status.EXITED


def test_name_is_unique_and_well_formed(client: Client, spec: ContainerSpec) -> None:
    client.run(spec)
    with pytest.raises(AlreadyExists):
        client.run(spec)
    for name in ("..", "a/b", "", "x" * 4096, "-x"):
        with pytest.raises(InvalidInput):
            replace(spec, name=name)
    with pytest.raises(NotFound):
        client.container("nosuch")


def test_running_container_is_removed_only_by_force(box: Container) -> None:
    with pytest.raises(FailedPrecondition):
        box.remove()
    box.remove(force=True)
    assert not box.exists


def test_pause_freezes_and_unpause_thaws(box: Container) -> None:
    process = box.spawn(ProcessSpec(argv=("sh", "-c", "while :; do :; done")))
    box.pause()
    assert box.info.status is Status.PAUSED
    ticks = _cpu_ticks(process.host_pid)
    assert _cpu_ticks(process.host_pid) == ticks
    box.unpause()
    wait_until(lambda: _cpu_ticks(process.host_pid) > ticks)
    process.signal(signal.SIGKILL)
    assert process.wait(5) == 137
    process.close()


def _cpu_ticks(host_pid: int) -> int:
    fields = Path(f"/proc/{host_pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_terminal_is_the_containers_own(box: Container) -> None:
    process = box.spawn(ProcessSpec(argv=("sh", "-c", "tty; stty size")), terminal=True)
    assert process.terminal_fd is not None
    text = b""
    try:
        while b" " not in text or not text.endswith(b"\n"):
            text += os.read(process.terminal_fd, 4096)
    except OSError:
        pass  # EIO: the other side has closed
    assert text.startswith(b"/dev/pts/0")
    assert process.wait(5) == 0
    process.close()


def test_client_that_goes_away_takes_its_ephemeral_container_along(
    client: Client, state: Path, spec: ContainerSpec
) -> None:
    with Client.connect(state) as other:
        other.run(replace(spec, keep=Keep.NEVER)).attach(Keep.NEVER)
        kept = other.run(replace(spec, name="kept"))
        kept.attach(Keep.ALWAYS)
    wait_until(lambda: [info.name for info in client.list()] == ["kept"])


def test_killed_keeper_is_replaced_and_containers_go_on(
    client: Client, state: Path, box: Container
) -> None:
    process = box.spawn(ProcessSpec(argv=("sleep", "1000")))
    before = keeper_pid(state)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: keeper_pid(state) is None)
    assert box.info.status is Status.RUNNING
    assert keeper_pid(state) != before
    assert shell(box, "pidof sleep | wc -w") == (0, "1\n")
    process.signal(signal.SIGTERM)
    assert process.wait(5) == 143
    process.close()


def test_init_killed_from_outside_ends_the_container(box: Container) -> None:
    host_pid = box.info.host_pid
    assert host_pid is not None
    os.kill(host_pid, signal.SIGKILL)
    wait_until(lambda: box.info.status is Status.EXITED)
    assert box.info.exit_code == 137


def test_container_that_died_without_a_keeper_is_noted_and_swept(
    client: Client, state: Path, box: Container
) -> None:
    info = box.info
    keeper = keeper_pid(state)
    assert keeper is not None and info.host_pid is not None
    os.kill(keeper, signal.SIGKILL)
    os.kill(info.host_pid, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{info.host_pid}").exists())
    assert box.info.status is Status.EXITED
    assert not any(Path(path).exists() for path in info.cgroups.values())


def test_nothing_is_left_on_the_host_after_removal(state: Path, spec: ContainerSpec) -> None:
    before = _mounts()
    with Client.connect(state) as client:
        box = client.run(spec)
        shell(box, "echo x > /x")
        info = box.info
        box.remove(force=True)
    wait_until(lambda: keeper_pid(state) is None)
    assert not Path(info.upper).exists()
    assert not Path(info.log_directory).exists()
    assert _mounts() == before
    assert not any(Path(path).parent.exists() for path in info.cgroups.values())


def _mounts() -> int:
    return len(Path("/proc/self/mountinfo").read_text().splitlines())


def test_half_made_and_unreadable_state_is_swept_at_start(state: Path) -> None:
    (state / "containers" / ".new-beef").mkdir(parents=True)
    (state / "containers" / "cafe").mkdir()
    (state / "containers" / "cafe" / "container.json").write_text("{")
    with Client.connect(state) as client:
        assert client.list() == []
    wait_until(lambda: keeper_pid(state) is None)
    assert list((state / "containers").iterdir()) == []
