"""Docker's less usual flags of ``run``, in real containers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.linux.conftest import wait_until
from tests.linux.program import IMAGE, Wardian, out, refused
from wardian.linux.capabilities import Capabilities, Capability


def test_limits_groups_and_stop_signal_are_those_that_were_asked_for(
    wardian: Wardian, tmp_path: Path
) -> None:
    (tmp_path / "labels").write_text("shelf=3\nkind=fern\n")
    trap = "trap 'exit 42' USR1; while :; do sleep 0.05; done"
    out(
        wardian(
            *("run", "-d", "--init", "--name", "flags"),
            *("--ulimit", "nofile=64:128", "--ulimit", "core=0", "--group-add", "777"),
            *("--tmpfs", "/mine:uid=7,gid=8,mode=700"),
            *("--shm-size", "8m", "--add-host", "db:10.0.0.2"),
            *("--oom-score-adj", "250", "--label-file", str(tmp_path / "labels")),
            *("--stop-signal", "USR1", "--stop-timeout", "20", IMAGE, "sh", "-c", trap),
        )
    )
    (info,) = json.loads(out(wardian("inspect", "flags")))
    assert info["Config"]["Labels"].items() >= {"shelf": "3", "kind": "fern"}.items()
    assert (info["Config"]["StopSignal"], info["Config"]["StopTimeout"]) == ("SIGUSR1", 20)
    assert info["HostConfig"]["GroupAdd"] == ["777"]
    assert info["HostConfig"]["Ulimits"][0] == {"Name": "nofile", "Soft": 64, "Hard": 128}
    assert (info["HostConfig"]["Init"], info["HostConfig"]["OomScoreAdj"]) == (True, 250)
    assert info["HostConfig"]["ExtraHosts"] == ["db:10.0.0.2"]
    mine = out(wardian("exec", "flags", "stat", "-c", "%u %g %a", "/mine"))
    assert mine == "7 8 700\n"
    assert "10.0.0.2\tdb\n" in out(wardian("exec", "flags", "cat", "/etc/hosts"))
    assert info["HostConfig"]["ShmSize"] == 8 << 20
    (shm,) = out(wardian("exec", "flags", "df", "-k", "/dev/shm")).splitlines()[1:]
    assert shm.split()[1] == str(8 << 10)
    for pid in ("main", "exec"):
        script = "ulimit -Sn; ulimit -Hn; ulimit -c; id -G"
        if pid == "main":
            done = wardian(
                *("run", "--rm", "--ulimit", "nofile=64:128", "--ulimit", "core=0"),
                *("--group-add", "777", IMAGE, "sh", "-c", script),
            )
        else:
            done = wardian("exec", "flags", "sh", "-c", script)
        assert out(done).split() == ["64", "128", "0", "0", "777"]
    (pid,) = [str(info["State"]["Pid"])]
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    wait_until(lambda: Path(f"/proc/{children[0]}/oom_score_adj").read_text() == "250\n")
    out(wardian("stop", "flags"))
    assert json.loads(out(wardian("inspect", "flags")))[0]["State"]["ExitCode"] == 42


def test_limit_beyond_the_host_s_and_unknown_group_are_one_line(wardian: Wardian) -> None:
    beyond = ("--ulimit", "nofile=999999999999")
    assert "cannot set the limit nofile" in refused(
        wardian("run", "--rm", *beyond, IMAGE, "true"), 126
    )
    assert "nosuch" in refused(wardian("run", "--rm", "--group-add", "nosuch", IMAGE, "true"), 126)
    assert out(wardian("ps", "-aq")) == ""


def test_real_time_signal_stops_a_container(wardian: Wardian) -> None:
    """What an image with systemd asks for: SIGRTMIN+3."""
    script = "trap 'exit 43' 37; while :; do sleep 0.05; done"
    flags = ("--stop-signal", "SIGRTMIN+3", "--name", "clock")
    out(wardian("run", "-d", *flags, IMAGE, "sh", "-c", script))
    (info,) = json.loads(out(wardian("inspect", "clock")))
    assert info["Config"]["StopSignal"] == "SIGRTMIN+3"
    out(wardian("stop", "clock"))
    assert json.loads(out(wardian("inspect", "clock")))[0]["State"]["ExitCode"] == 43


def test_preference_of_the_oom_killer_is_in_force_or_refused(wardian: Wardian) -> None:
    """Below what was inherited it takes CAP_SYS_RESOURCE; it is never left out in silence."""
    done = wardian("run", "--rm", "--oom-score-adj", "-700", IMAGE, "true")
    capabilities = Capabilities.from_proc().effective
    if capabilities >> Capability.SYS_RESOURCE & 1:
        assert out(done) == ""
    else:
        assert "cannot set oom_score_adj to -700" in refused(done, 125)
    assert out(wardian("ps", "-aq")) == ""


def test_annotations_and_the_parent_group_are_noted(wardian: Wardian) -> None:
    flags = ("--annotation", "org.tier=front", "--cgroup-parent", "lab")
    out(wardian("run", "-d", "--name", "noted", *flags, IMAGE, "sleep", "1000"))
    (info,) = json.loads(out(wardian("inspect", "noted")))
    assert info["HostConfig"]["Annotations"] == {"org.tier": "front"}
    assert info["HostConfig"]["CgroupParent"] == "lab"
    groups = info["Wardian"]["Cgroups"].values()
    assert groups
    assert all(Path(group).parts[-2:] == ("lab", info["Id"]) for group in groups)


def test_only_the_streams_that_are_attached_are_followed(wardian: Wardian) -> None:
    script = "echo out; echo err >&2"
    done = wardian("run", "--rm", "-a", "stdout", IMAGE, "sh", "-c", script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\n", "")
    script = f"cat; {script}"
    flags = ("-i", "-a", "stdin", "-a", "STDERR")
    done = wardian("run", "--name", "both", *flags, IMAGE, "sh", "-c", script, stdin="typed\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "err\n")
    assert wardian("logs", "both").stdout == "typed\nout\n"
    said = refused(wardian("run", "-d", "-a", "stdout", IMAGE, "true"), 125)
    assert said == "--detach and --attach exclude each other"


@pytest.mark.parametrize(
    "flag",
    ["--gpus all", "--runtime runc", "--storage-opt size=1g", "--link web", "--isolation process"],
)
def test_flag_that_is_not_supported_is_refused_by_its_name(wardian: Wardian, flag: str) -> None:
    done = wardian("run", *flag.split(), IMAGE, "true")
    assert refused(done, 125) == f"{flag.split(maxsplit=1)[0]} is not supported"
    assert "hint: " in done.stderr
    assert out(wardian("ps", "-aq")) == ""


def test_device_may_be_read_and_not_written(wardian: Wardian, fuse: Path) -> None:
    script = "exec 3</dev/leaf && echo reads; (exec 4>/dev/leaf) 2>&1; (exec 4<>/dev/leaf) 2>&1"
    flags = ("--device", f"{fuse}:/dev/leaf:r")
    done = wardian("run", "--name", "half", *flags, IMAGE, "sh", "-c", script)
    said = done.stdout.splitlines()
    assert (said[0], done.stderr) == ("reads", "")
    assert [line.rpartition(": ")[2] for line in said[1:]] == ["Operation not permitted"] * 2
    (info,) = json.loads(out(wardian("inspect", "half")))
    assert info["HostConfig"]["Devices"][0]["CgroupPermissions"] == "r"
    writes = "(exec 3</dev/leaf) 2>/dev/null || echo refused; exec 3>/dev/leaf && echo writes"
    flags = ("--device", f"{fuse}:/dev/leaf:w")
    assert out(wardian("run", "--rm", *flags, IMAGE, "sh", "-c", writes)) == "refused\nwrites\n"
    for word, what in ((f"{fuse}:rx", "not an access to a device: 'rx'"), (f"{fuse}:", "''")):
        assert what in refused(wardian("run", "--device", word, IMAGE, "true"), 125)


def test_switches_have_values_as_dockers(wardian: Wardian) -> None:
    out(wardian("run", "--rm=false", "--name", "stays", "-t=false", IMAGE, "true"))
    out(wardian("run", "--rm=true", "--name", "goes", IMAGE, "true"))
    assert out(wardian("ps", "-a=true", "--format", "{{.Names}}")) == "stays\n"
