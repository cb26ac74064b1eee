"""The real ``wardian`` program against real containers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pexpect  # type: ignore[import-untyped]  # publishes no types
import pytest

from tests.linux.conftest import keeper_pid, wait_until
from tests.linux.program import IMAGE, PROGRAM, Wardian, out, refused
from wardian.cgroups.hierarchy import Hierarchy, Version
from wardian.runtime.client import Client
from wardian.runtime.spec import Keep

HAS_V2 = Hierarchy.detect().version in (Version.V2, Version.HYBRID)


# --- run, create, start ----------------------------------------------------------------------


def test_run_hands_over_streams_and_exits_as_the_program(wardian: Wardian) -> None:
    done = wardian("run", "--rm", "-i", IMAGE, "sh", "-c", "cat; echo err >&2; exit 7", stdin="in")
    assert (done.returncode, done.stdout, done.stderr) == (7, "in", "err\n")


def test_stdin_is_empty_without_interactive(wardian: Wardian) -> None:
    assert out(wardian("run", "--rm", IMAGE, "cat", stdin="not for you")) == ""


def test_run_passes_the_programs_own_flags_on(wardian: Wardian) -> None:
    assert out(wardian("run", "--rm", IMAGE, "echo", "-n", "--rm", "-d")) == "--rm -d"


def test_program_that_does_not_exist_is_127_and_one_that_cannot_run_126(wardian: Wardian) -> None:
    assert "not found" in refused(wardian("run", "--rm", IMAGE, "nosuch"), 127)
    refused(wardian("run", "--rm", IMAGE, "/etc/passwd"), 126)
    assert out(wardian("ps", "-aq")) == ""


def test_rm_removes_the_container_when_it_has_ended(wardian: Wardian) -> None:
    out(wardian("run", "--rm", IMAGE, "true"))
    out(wardian("run", "--name", "stays", IMAGE, "true"))
    assert out(wardian("ps", "-a", "--format", "{{.Names}}")) == "stays\n"


def test_rm_removes_the_container_of_a_killed_command(wardian: Wardian, client: Client) -> None:
    command = subprocess.Popen([*PROGRAM, "run", "--rm", "--name", "brief", IMAGE, "sleep", "1000"])
    wait_until(lambda: any(info.host_pid for info in client.list()))
    command.kill()
    command.wait()
    wait_until(lambda: client.list() == [])
    assert wardian("ps").returncode == 0


@pytest.mark.usefixtures("wardian")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_signals_are_passed_on_to_the_program(client: Client, number: signal.Signals) -> None:
    script = f"trap 'echo got it; exit 9' {number}; echo ready; while :; do sleep 0.05; done"
    with subprocess.Popen(
        [*PROGRAM, "run", "--rm", IMAGE, "sh", "-c", script], stdout=subprocess.PIPE, text=True
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "ready\n"
        command.send_signal(number)
        assert command.stdout.read() == "got it\n"
        assert command.wait(30) == 9
    assert client.list() == []


def test_flags_of_run_reach_the_program(wardian: Wardian, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("from the host")
    (tmp_path / "env").write_text("FROM_FILE=yes\n")
    line = (
        "run --rm --hostname garden -w /tmp -u 1000:1000 -e A=1 -e B -m 64m --pids-limit 20"
        f" --env-file {tmp_path}/env -v {tmp_path}:/host:ro --tmpfs /scratch:size=1m --read-only"
        f" --mount type=bind,src={tmp_path}/file,dst=/one,readonly --label a=b {IMAGE} sh -c"
    )
    script = (
        "hostname; pwd; id -u; echo $A$B$FROM_FILE; cat /host/file /one; echo;"
        " touch /host/new 2>/dev/null || echo ro; touch /new 2>/dev/null || echo ro;"
        " touch /scratch/new && echo rw"
    )
    assert out(wardian(*line.split(), script, B="2")).splitlines() == [
        *("garden", "/tmp", "1000", "12yes", "from the hostfrom the host", "ro", "ro", "rw")
    ]


def test_limits_of_run_are_in_force(wardian: Wardian) -> None:
    out(wardian("run", "-d", "--name", "small", "-m", "64m", "--cpus", "0.5", IMAGE, "sleep", "99"))
    row = json.loads(out(wardian("stats", "--no-stream", "--format", "json")))
    assert row["memory_limit_bytes"] == 64 << 20
    assert row["memory_current_bytes"] > 0
    has_psi = Path("/proc/pressure/memory").exists() and HAS_V2
    assert (row["memory_pressure_percent"] is not None) is has_psi
    assert row["cpu_percent"] is not None
    assert row["pids_current"] == 2


def test_entrypoint_replaces_the_images_command(wardian: Wardian) -> None:
    assert out(wardian("run", "--rm", "--entrypoint", "echo", IMAGE, "hello")) == "hello\n"


def test_image_without_a_command_asks_for_one(wardian: Wardian) -> None:
    assert "has no default command" in refused(wardian("run", "--rm", "wardian/scratch"), 125)


def test_container_without_a_name_is_given_one(wardian: Wardian) -> None:
    ids = [out(wardian("run", "-d", IMAGE, "true")).strip() for _ in range(2)]
    names = out(wardian("ps", "-a", "--format", "{{.Names}}")).split()
    assert len(set(names)) == 2
    assert all(len(container_id) == 64 for container_id in ids)


def test_created_container_is_started_and_followed(wardian: Wardian) -> None:
    out(wardian("create", "--name", "later", IMAGE, "sh", "-c", "echo now; exit 3"))
    assert out(wardian("ps", "-a", "--format", "{{.Status}}")) == "Created\n"
    done = wardian("start", "-a", "later")
    assert (done.returncode, done.stdout) == (3, "now\n")
    assert out(wardian("start", "later")) == "later\n"


# --- terminals -------------------------------------------------------------------------------


def spawn(*arguments: str) -> pexpect.spawn:
    """A command line on a terminal of 30 rows and 90 columns."""
    return pexpect.spawn(PROGRAM[0], [*PROGRAM[1:], *arguments], dimensions=(30, 90), timeout=60)


@pytest.mark.usefixtures("wardian")
def test_terminal_has_our_size_and_follows_it() -> None:
    shell = spawn("run", "--rm", "-it", IMAGE, "sh", "-c", "tty; stty size; exec sh")
    shell.expect("/dev/pts/0\r\n30 90\r\n")
    shell.expect("/ # ")
    shell.setwinsize(20, 50)
    shell.sendline("while [ \"$(stty size)\" != '20 50' ]; do sleep 0.05; done; echo smaller")
    shell.expect("\r\nsmaller\r\n")
    shell.sendline("sh -c 'echo $((6 * 7)); sleep 1000'")
    shell.expect("42\r\n")
    shell.sendcontrol("c")
    shell.expect("/ # ")
    shell.sendline("exit 5")
    shell.expect(pexpect.EOF)
    shell.close()
    assert shell.exitstatus == 5


def test_detach_keys_leave_the_container_running(wardian: Wardian, client: Client) -> None:
    shell = spawn("run", "--rm", "--name", "kept", "-it", IMAGE, "sh")
    shell.expect("/ # ")
    shell.send("\x10\x11")
    shell.expect("detached")
    shell.expect(pexpect.EOF)
    shell.close()
    assert shell.exitstatus == 0
    info = client.container("kept").info
    assert info.host_pid is not None
    assert info.spec.keep is Keep.ALWAYS
    assert out(wardian("exec", "kept", "echo", "here")) == "here\n"


def test_exec_has_a_terminal_of_its_own(web: str) -> None:
    shell = spawn("exec", "-it", web, "sh", "-c", "tty; stty size; exit 4")
    shell.expect("/dev/pts/[0-9]+\r\n30 90\r\n")
    shell.expect(pexpect.EOF)
    shell.close()
    assert shell.exitstatus == 4


def test_terminal_needs_one_of_ours(wardian: Wardian) -> None:
    assert "not a terminal" in refused(wardian("run", "--rm", "-it", IMAGE, "sh"), 125)


# --- exec ------------------------------------------------------------------------------------


def test_exec_has_the_containers_surroundings_and_its_own(wardian: Wardian) -> None:
    line = f"run -d --name box -e A=container -w /tmp {IMAGE} sleep 1000"
    out(wardian(*line.split()))
    script = "echo $A $B $(pwd) $(id -u); cat; exit 3"
    done = wardian("exec", "-i", "-e", "B=exec", "box", "sh", "-c", script, stdin="in")
    assert (done.returncode, done.stdout) == (3, "container exec /tmp 0\nin")
    done = wardian("exec", "-u", "7:8", "-w", "/etc", "box", "sh", "-c", "echo $(pwd) $(id -u)")
    assert out(done) == "/etc 7\n"


def test_detached_exec_goes_on_alone(wardian: Wardian, web: str) -> None:
    assert out(wardian("exec", "-d", web, "sh", "-c", "echo done > /mark; sleep 1000")) == ""
    wait_until(lambda: wardian("exec", web, "cat", "/mark").stdout == "done\n")
    assert out(wardian("exec", web, "pidof", "sleep")).count(" ") == 1


def test_exec_refusals_have_dockers_codes(wardian: Wardian, web: str) -> None:
    refused(wardian("exec", web, "nosuch"), 127)
    refused(wardian("exec", web, "/etc/passwd"), 126)
    refused(wardian("exec", "nosuch", "true"), 1)
    out(wardian("kill", web))
    assert "is not running" in refused(wardian("exec", web, "true"), 1)


# --- life ------------------------------------------------------------------------------------


def test_life_of_a_container_from_pause_to_rm(wardian: Wardian, web: str) -> None:
    def status() -> str:
        return out(wardian("ps", "-a", "--format", "{{.Status}}")).strip()

    assert out(wardian("pause", web)) == "web\n"
    assert status().endswith("(Paused)")
    assert out(wardian("unpause", web)) == "web\n"
    assert out(wardian("restart", "-t", "5", web)) == "web\n"
    assert status().startswith("Up")
    assert out(wardian("stop", "-t", "5", "-s", "USR1", web)) == "web\n"
    assert status().startswith("Exited (138)")
    assert out(wardian("wait", web)) == "138\n"
    assert out(wardian("rm", web)) == "web\n"
    assert out(wardian("ps", "-aq")) == ""


def test_kill_sends_the_signal_to_the_main_process(wardian: Wardian, web: str) -> None:
    waiting = subprocess.Popen([*PROGRAM, "wait", web], stdout=subprocess.PIPE, text=True)
    assert out(wardian("kill", "-s", "SIGHUP", web)) == "web\n"
    assert waiting.communicate(timeout=60)[0] == "129\n"
    assert "is not running" in refused(wardian("kill", web), 1)


def test_running_container_is_removed_by_force_only(wardian: Wardian, web: str) -> None:
    assert "is running" in refused(wardian("rm", web), 1)
    assert out(wardian("rm", "-f", web)) == "web\n"
    done = wardian("rm", "-f", web)
    assert (done.returncode, done.stdout) == (0, "")


def test_one_refusal_does_not_keep_the_others_from_it(wardian: Wardian, web: str) -> None:
    done = wardian("stop", "-t", "5", "nosuch", web)
    assert done.returncode == 1
    assert done.stdout == "web\n"
    assert "no such container: nosuch" in done.stderr


def test_update_changes_what_is_named_and_keeps_the_rest(wardian: Wardian, web: str) -> None:
    out(wardian("update", "-m", "64m", "--pids-limit", "40", web))
    out(wardian("update", "--memory-swap", "128m", "--cpus", "0.5", web))
    out(wardian("update", "--pids-limit", "0", web))
    config = json.loads(out(wardian("inspect", web)))[0]["HostConfig"]
    assert config["Memory"] == 64 << 20
    assert config["MemorySwap"] == 128 << 20
    assert config["NanoCpus"] == 500_000_000
    assert config["PidsLimit"] is None
    out(wardian("update", "--cpus", "0", "--cpu-quota", "20000", web))
    out(wardian("update", "--cpu-burst", "9000", "--memory-swap", "-1", web))
    config = json.loads(out(wardian("inspect", web)))[0]["HostConfig"]
    assert (config["CpuQuota"], config["CpuBurst"], config["MemorySwap"]) == (20000, 9000, -1)


def test_limit_that_this_host_lacks_is_refused_or_a_warning(wardian: Wardian) -> None:
    is_v2 = Hierarchy.detect().version is Version.V2
    words = ("--memory-swappiness", "7") if is_v2 else ("--memory-high", "64m")
    said = refused(wardian("run", "--rm", *words, IMAGE, "true"), 125)
    assert f"this host cannot enforce: {words[0]} (only cgroup v" in said
    done = wardian("run", "-d", "--name", "poor", "--best-effort", *words, IMAGE, "sleep", "60")
    assert done.returncode == 0
    assert f"{words[0]} (only cgroup v" in done.stderr
    assert words[0] in json.loads(out(wardian("inspect", "poor")))[0]["Wardian"]["Warnings"][0]
    out(wardian("update", words[0], "-1", "poor"))
    assert json.loads(out(wardian("inspect", "poor")))[0]["Wardian"]["Warnings"] == []
    out(wardian("rm", "-f", "poor"))


# --- looking ---------------------------------------------------------------------------------


def test_ps_lists_what_runs_and_filters(wardian: Wardian, web: str) -> None:
    out(wardian("create", "--name", "other", "--label", "a=b", IMAGE, "true"))

    def names(*flags: str) -> list[str]:
        return out(wardian("ps", "--format", "{{.Names}}", *flags)).split()

    assert names() == [web]
    assert names("-a") == ["other", web]
    assert names("-n", "1") == ["other"]
    assert names("--filter", "status=created") == ["other"]
    assert names("-a", "--filter", "label=a=b") == ["other"]
    assert names("-a", "--filter", "name=e", "--filter", "status=running") == [web]
    (short,) = out(wardian("ps", "-q")).split()
    (whole,) = out(wardian("ps", "-q", "--no-trunc")).split()
    assert whole.startswith(short)
    assert len(whole) == 64
    table = out(wardian("ps")).splitlines()
    head = "CONTAINER ID IMAGE COMMAND CREATED STATUS PORTS NAMES"
    assert table[0].split() == head.split()
    assert json.loads(out(wardian("ps", "--format", "json")))["State"] == "running"


def test_inspect_has_dockers_fields(wardian: Wardian, web: str, client: Client) -> None:
    (value,) = json.loads(out(wardian("inspect", web)))
    info = client.container(web).info
    assert value["State"]["Pid"] == info.host_pid
    assert value["State"]["Status"] == "running"
    layers = value["GraphDriver"]["Data"]
    assert Path(layers["UpperDir"]).is_dir()
    assert all(Path(lower).is_dir() for lower in layers["LowerDir"].split(":"))
    assert (Path(layers["MergedDir"]) / "bin/busybox").is_file()
    assert out(wardian("inspect", "-f", "{{.State.Pid}} {{.Config.Image}}", web)).split() == [
        str(info.host_pid),
        IMAGE,
    ]
    (image,) = json.loads(out(wardian("inspect", IMAGE)))
    assert image["RepoTags"] == [IMAGE]
    assert image["RepoDigests"] == [f"{IMAGE}@{image['Id']}"]
    done = wardian("inspect", "nosuch")
    assert (done.returncode, done.stdout) == (1, "[]\n")


def test_diff_names_what_changed(wardian: Wardian, web: str) -> None:
    script = "echo x > /new; rm /etc/group; mkdir /folder; echo x >> /etc/passwd"
    out(wardian("exec", web, "sh", "-c", script))
    assert out(wardian("diff", web)).splitlines() == [
        *("C /etc", "D /etc/group", "C /etc/passwd", "A /folder", "A /new")
    ]


def test_logs_keep_streams_apart_and_count_lines(wardian: Wardian, web: str) -> None:
    wait_until(lambda: "stderr" in wardian("logs", web).stderr)
    done = wardian("logs", web)
    assert (done.stdout, done.stderr) == ("to stdout\n", "to stderr\n")
    done = wardian("logs", "--tail", "1", "-t", web)
    assert (done.stdout + done.stderr).count("Z to std") == 1
    assert wardian("logs", "--since", "2100-01-01", web).stdout == ""
    assert wardian("logs", "--until", "2000-01-01", web).stdout == ""
    assert wardian("logs", "--follow", "--until", "0s", web).stdout != ""


def test_followed_log_ends_with_the_container(wardian: Wardian) -> None:
    script = "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i + 1)); done; sleep 0.3; echo last"
    out(wardian("run", "-d", "--name", "talker", IMAGE, "sh", "-c", script))
    lines = out(wardian("logs", "-f", "talker")).splitlines()
    assert lines == [*(f"line {i}" for i in range(300)), "last"]


def test_top_shows_both_pids_of_every_process(wardian: Wardian, web: str, client: Client) -> None:
    rows = [json.loads(line) for line in out(wardian("top", "--format", "json", web)).splitlines()]
    assert (rows[0]["HostPID"], rows[0]["ContainerPID"]) == (client.container(web).info.host_pid, 1)
    assert rows[1]["Command"] == "sleep 1000"
    assert rows[1]["UID"] == 0


def test_figures_are_printed_as_a_table(wardian: Wardian, web: str) -> None:
    heading, row = out(wardian("stats", "--no-stream", web)).splitlines()
    assert "MEMORY CURRENT / LIMIT (PEAK)" in heading
    assert row.split()[1] == web
    assert "unlimited" in row


# --- images and the system -------------------------------------------------------------------


def test_images_are_listed_and_removed_when_unused(wardian: Wardian, web: str) -> None:
    assert out(wardian("images", "--format", "{{.Repository}}:{{.Tag}}")) == f"{IMAGE}:latest\n"
    (short,) = out(wardian("images", "-q")).split()
    assert "is used by the container web" in refused(wardian("rmi", IMAGE), 1)
    out(wardian("rm", "-f", web))
    assert out(wardian("rmi", short)) == f"Untagged: {IMAGE}\n"
    assert out(wardian("images", "-q")) == ""
    assert "no such image" in refused(wardian("rmi", "nosuch"), 1)


def test_prune_removes_what_has_ended_and_nothing_else(
    wardian: Wardian, web: str, state: Path
) -> None:
    out(wardian("run", "--name", "ended", IMAGE, "sh", "-c", "head -c 100000 /dev/zero > /file"))
    out(wardian("network", "create", "idle"))
    assert wardian("system", "prune", stdin="n\n").returncode == 1
    printed = out(wardian("system", "prune", "-f")).splitlines()
    assert printed[:2] == ["container ended", "network idle"]
    assert printed[-1].startswith("Total reclaimed space: 1")
    assert out(wardian("ps", "-a", "--format", "{{.Names}}")) == f"{web}\n"
    assert out(wardian("exec", web, "true")) == ""
    use = [
        json.loads(line)
        for line in out(wardian("system", "df", "--format", "json")).split("\n")[:2]
    ]
    assert [row["Active"] for row in use] == [1, 1]
    out(wardian("rm", "-f", web))
    assert f"image {IMAGE}" in out(wardian("system", "prune", "-f", "-a"))
    assert list((state / "layers").iterdir()) == []


def test_keeper_is_found_and_stopped_and_containers_go_on(
    wardian: Wardian, web: str, state: Path
) -> None:
    before = keeper_pid(state)
    assert f"host pid {before}" in out(wardian("system", "keeper", "status"))
    out(wardian("system", "keeper", "stop"))
    assert keeper_pid(state) is None
    assert wardian("system", "keeper", "status").returncode == 1
    assert out(wardian("exec", web, "echo", "alive")) == "alive\n"
    assert keeper_pid(state) not in (None, before)


def test_names_are_completed_without_starting_a_keeper(
    wardian: Wardian, web: str, state: Path
) -> None:
    def complete(line: str) -> list[str]:
        variables = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        done = wardian(_WARDIAN_COMPLETE="bash_complete", **variables)
        return [word.partition(",")[2] for word in done.stdout.split()]

    assert complete("wardian stop we") == [web]
    assert complete("wardian st") == ["start", "stop", "stats"]
    assert "wardian/base" in complete("wardian run wardian/b")
    out(wardian("rm", "-f", web))
    wait_until(lambda: keeper_pid(state) is None)
    assert complete("wardian stop we") == []
    assert keeper_pid(state) is None


def test_versions_are_printed(wardian: Wardian) -> None:
    lines = out(wardian("version")).splitlines()
    assert [line.split()[0] for line in lines] == ["wardian", "python", "linux"]


def test_kernels_are_installed_below_a_prefix(wardian: Wardian, tmp_path: Path) -> None:
    printed = out(wardian("kernelspec", "install", "--prefix", str(tmp_path), "-m", "512m"))
    for directory in printed.split():
        spec = json.loads((Path(directory) / "kernel.json").read_text())
        assert spec["argv"][0] == sys.executable
        assert spec["env"]["WARDIAN_MEMORY"] == "512m"
    listed = out(wardian("kernelspec", "list", JUPYTER_PATH=str(tmp_path / "share/jupyter")))
    assert "wardian-shell" in listed
