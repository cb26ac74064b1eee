"""Each rung, reproduced: the doctor's rung and lines, and what a run really does there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from tests.ladder.nest import HOME, LOGIN, UID, Done, Nest
from tests.linux.conftest import wait_until
from wardian.runtime.spec import UserNamespace

Nested = Callable[..., Nest]
# What a container hides of /proc and /sys, and write-protects, is in the open on a host.
UNMASK = (
    "for m in $(cut -d' ' -f5 /proc/self/mountinfo | grep -E '^/(proc/|sys/(firmware|dev))'); do\n"
    "umount -l $m; done"
)
DELEGATE = (
    "for m in $(cut -d' ' -f5 /proc/self/mountinfo | grep ^/sys/fs/cgroup); do\n"
    "mount -o remount,bind,rw $m; done"
)
SUBIDS = f"for f in subuid subgid; do echo {LOGIN}:10000:50000 > /etc/$f; done"
IMAGE = "wardian/busybox"
ONCE = ("run", "--rm", IMAGE)
POD = {"KUBERNETES_SERVICE_HOST": "192.0.2.1"}
MAKING = "wardian: making wardian/busybox"
LIMITS = ["memory limit", "swap limit", "CPU limit", "CPU shares", "cpuset", "process limit"]


def lift_of(value: dict[str, Any], name: str) -> str:
    """The line that lifts a probe."""
    return next(str(probe["lift"]) for probe in value["probes"] if probe["name"] == name)


def said(done: Done) -> list[str]:
    """What a run that must succeed, and without a warning, printed.

    On a busy machine it may also say that it makes an image.
    """
    warnings = [line for line in done.stderr.splitlines() if not line.startswith(MAKING)]
    assert (done.returncode, warnings) == (0, []), done
    return done.stdout.splitlines()


def refused(done: Done) -> tuple[str, str]:
    """What a run that must fail said, and its hint."""
    assert done.returncode == 125, done
    what, hint = done.stderr.splitlines()
    return what.removeprefix("wardian: "), hint.removeprefix("hint: ")


def assert_nothing_is_left(nest: Nest) -> None:
    """Neither a keeper nor files of a container nor a group."""
    look = f"pgrep -x wardian-keeper; cd {HOME}/wardian && ls containers snapshots"
    look += "; find /sys/fs/cgroup -path '*/wardian/*' -type d"
    nothing = "containers:\n\nsnapshots:\n"
    wait_until(lambda: nest.run("/bin/sh", "-c", look).stdout == nothing)


# --- full ------------------------------------------------------------------------------------


@pytest.fixture
def full(nested: Nested) -> Nest:
    """Root of a machine: every capability that we have ourselves, cgroups, nothing hidden."""
    return nested(
        UNMASK,
        DELEGATE,
        user_namespace=UserNamespace.HOST,
        cap_add=("ALL",),
        seccomp="unconfined",
    )


def test_root_with_everything_is_on_the_full_rung(full: Nest) -> None:
    found = full.doctor()
    assert (found["rung"], found["blocking"], found["not_in_force"]) == ("full", [], [])
    script = "id -u; cat /proc/self/uid_map; cat /sys/fs/cgroup/*/memory.limit_in_bytes"
    script += " /sys/fs/cgroup/memory.max 2>/dev/null; ls -d /proc/[0-9]*"
    uid, uid_map, limit, *processes = said(
        full.wardian("run", "--rm", "--memory", "64m", IMAGE, "sh", "-c", script)
    )
    inside, outside, count = map(int, uid_map.split())
    assert (uid, inside, count, limit) == ("0", 0, 65536, str(64 << 20))
    assert outside >= 0x70000000
    assert set(processes) >= {"/proc/1"} and len(processes) < 5
    assert_nothing_is_left(full)


def test_state_directory_on_an_overlay_has_copies_or_is_lifted_by_the_doctors_line(
    full: Nest,
) -> None:
    stuck = replace(full, env={"WARDIAN_ROOT": "/var/lib/wardian"})
    found = stuck.doctor()
    assert found["rung"] == "full"
    assert found["blocking"] == []
    assert "layers on the state directory" in found["not_in_force"]
    assert said(stuck.wardian(*ONCE, "echo", "lives")) == ["lives"]
    wanting = replace(
        full, env={"WARDIAN_ROOT": "/var/lib/other", "WARDIAN_STORAGE_DRIVER": "overlay"}
    )
    what, hint = refused(wanting.wardian(*ONCE, "true"))
    assert what == "the state directory is on overlayfs, which cannot carry a writable layer"
    assert "set WARDIAN_ROOT" in hint
    line = lift_of(found, "layers on the state directory")
    _, _, root = line.partition("export WARDIAN_ROOT=")
    lifted = replace(full, env={"WARDIAN_ROOT": root})
    assert lifted.doctor()["blocking"] == []
    assert said(lifted.wardian(*ONCE, "echo", "lives")) == ["lives"]


# --- rootless --------------------------------------------------------------------------------


def ordinary(nested: Nested, *preparations: str) -> Nest:
    """A machine with a user who is nobody special, logged in."""
    host = nested(
        UNMASK, *preparations, cap_add=("SYS_ADMIN", "SYS_RESOURCE"), seccomp="unconfined"
    )
    return replace(host, uid=UID, logs_in=True)


def test_user_with_subordinate_ids_is_on_the_rootless_rung(nested: Nested) -> None:
    user = ordinary(nested, SUBIDS)
    found = user.doctor()
    assert (found["rung"], found["blocking"]) == ("rootless", [])
    assert found["not_in_force"] == [*LIMITS, "freezer"]
    script = "id -u; cat /proc/self/uid_map; ls -d /proc/[0-9]*"
    uid, first, more, *processes = said(user.wardian(*ONCE, "sh", "-c", script))
    assert uid == "0"
    assert (first.split(), more.split()) == (["0", "1000", "1"], ["1", "10000", "50000"])
    assert len(processes) < 5
    named = ("run", "--rm", "--user", "1000:1000", IMAGE, "id", "-u")
    assert said(user.wardian(*named)) == ["1000"]
    what, hint = refused(user.wardian("run", "--rm", "--memory", "64m", IMAGE, "true"))
    assert what.startswith("this host cannot enforce: memory")
    assert "--best-effort" in hint
    best = user.wardian("run", "--rm", "--best-effort", "--memory", "64m", IMAGE, "echo", "lives")
    assert (best.returncode, best.stdout) == (0, "lives\n")
    assert best.stderr.startswith("wardian: not in force: memory")
    assert_nothing_is_left(user)


def test_user_without_subordinate_ids_has_one_and_the_line_for_more(nested: Nested) -> None:
    user = ordinary(nested)
    found = user.doctor()
    assert (found["rung"], found["blocking"]) == ("rootless", [])
    assert found["not_in_force"][0] == "id maps"
    line = lift_of(found, "id maps")
    assert line == f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {LOGIN}"
    assert said(user.wardian(*ONCE, "cat", "/proc/self/uid_map"))[0].split() == ["0", "1000", "1"]
    other = user.wardian("run", "--rm", "--user", "1000:1000", IMAGE, "id")
    assert other.returncode == 126
    assert "this container's user namespace maps fewer ids" in other.stderr


def test_forbidden_user_namespaces_are_allowed_by_the_doctors_line(nested: Nested) -> None:
    forbid = "echo 0 > /proc/sys/user/max_user_namespaces"
    user = ordinary(nested, SUBIDS, forbid)
    found = user.doctor()
    assert (found["rung"], found["blocking"][0]) == ("bare", "user namespace")
    what, hint = refused(user.wardian(*ONCE, "true"))
    assert what.startswith("cannot make the container's namespaces")
    line = lift_of(found, "user namespace")
    assert line == "sudo sysctl -w user.max_user_namespaces=15000"
    assert line.removeprefix("sudo ") in hint
    done = Nest(user.container).run("/bin/sh", "-c", line.removeprefix("sudo "))
    assert done.returncode == 0, done
    assert user.doctor()["rung"] == "rootless"
    assert said(user.wardian(*ONCE, "echo", "lives")) == ["lives"]


# --- pod -------------------------------------------------------------------------------------

BORROWED = [
    "wardian: not in force: its /proc is this machine's, read-only: a fresh one is refused here",
    "wardian: not in force: its /sys is this machine's, read-only: a fresh one is refused here",
]


def test_root_of_a_pod_runs_containers_that_borrow_proc(nested: Nested) -> None:
    pod = replace(nested(seccomp="unconfined"), env=POD)
    found = pod.doctor()
    assert (found["rung"], found["blocking"]) == ("pod", [])
    assert found["not_in_force"] == ["fresh /proc", "/sys of one's own", *LIMITS, "freezer"]
    assert "procMount: Unmasked" in lift_of(found, "fresh /proc")
    assert "privileged: true" in lift_of(found, "memory limit")
    done = pod.wardian(*ONCE, "sh", "-c", "echo $$; id -u; id nobody | cut -c1-9")
    pid, uid, _ = done.stdout.splitlines()
    assert (done.returncode, uid, done.stderr.splitlines()) == (0, "0", BORROWED)
    assert int(pid) < 10, "it has a PID namespace of its own all the same"
    assert_nothing_is_left(pod)


def test_root_of_all_ids_without_the_right_to_mount_has_containers_of_its_own_ids(
    nested: Nested,
) -> None:
    """Root of a pod as Kubernetes has it by default, but for the filter: docker's capabilities."""
    host = UserNamespace.HOST
    pod = replace(nested(user_namespace=host, seccomp="unconfined"), env=POD)
    found = pod.doctor()
    assert (found["rung"], found["blocking"]) == ("pod", [])
    script = "id -u; cat /proc/self/uid_map; touch /leaf; chown 5:5 /leaf; stat -c %u /leaf"
    done = pod.wardian(*ONCE, "sh", "-c", script)
    assert (done.returncode, done.stderr.splitlines()) == (0, BORROWED), done
    uid, ids, owner = done.stdout.splitlines()
    assert (uid, ids.split(), owner) == ("0", ["0", "0", "65536"], "5")
    assert_nothing_is_left(pod)


def test_root_without_the_capabilities_for_id_maps_is_told_which(nested: Nested) -> None:
    host = UserNamespace.HOST
    bare = nested(user_namespace=host, seccomp="unconfined", cap_drop=("ALL",))
    pod = replace(bare, env=POD)
    found = pod.doctor()
    assert (found["rung"], found["blocking"][0]) == ("bare", "user namespace")
    line = "in the pod's spec: securityContext: {capabilities: {add: [SETFCAP]}}"
    assert lift_of(found, "user namespace") == line
    what, hint = refused(pod.wardian(*ONCE, "true"))
    assert what.startswith("cannot give the container its ids")
    assert "wardian doctor" in hint


def test_container_in_a_pod_reaches_no_process_that_it_sees(nested: Nested) -> None:
    pod = nested(seccomp="unconfined")
    started = pod.wardian("run", "-d", "--name", "web", IMAGE, "sleep", "1000")
    assert started.returncode == 0, started
    warnings = json.loads(pod.wardian("inspect", "web").stdout)[0]["Wardian"]["Warnings"]
    assert [f"wardian: not in force: {warning}" for warning in warnings] == BORROWED
    attack = """
        cd /proc
        for p in [0-9]*; do
            case "$(cat $p/comm 2>/dev/null)" in wardian-*) echo seen ;; *) continue ;; esac
            for f in environ mem maps exe root/etc/passwd fd/0; do
                head -c1 $p/$f > /dev/null 2>&1 && echo "read $f"
            done
            for f in oom_score_adj comm mem uid_map coredump_filter clear_refs; do
                (echo 1 > $p/$f) 2>/dev/null && echo "wrote $f"
            done
        done
        (echo 1 > /proc/self/oom_score_adj) 2>/dev/null && echo "wrote"
        (echo 1 > /proc/sysrq-trigger) 2>/dev/null && echo "sysrq"
        ls /proc/bus
        mkdir -p /m; mount -t proc proc /m 2>/dev/null && echo "mounted"
        mount -o remount,rw /proc 2>/dev/null && echo "remounted"
        umount -l /proc 2>/dev/null && echo "unmounted"
        echo done
    """
    lines = said(pod.wardian("exec", "web", "sh", "-c", attack))
    assert lines.count("seen") >= 2, "the keeper and an init are in the pod's /proc"
    assert set(lines) == {"seen", "done"}, lines
    assert said(pod.wardian("rm", "--force", "web")) == ["web"]


def test_ordinary_user_of_a_pod_has_containers_of_one_id(nested: Nested) -> None:
    user = replace(nested(seccomp="unconfined", cap_drop=("ALL",)), uid=UID, env=POD)
    found = user.doctor()
    assert (found["rung"], found["blocking"]) == ("pod", [])
    assert found["not_in_force"][:2] == ["id maps", "fresh /proc"]
    assert "allowPrivilegeEscalation: true" in lift_of(found, "id maps")
    done = user.wardian(*ONCE, "cat", "/proc/self/uid_map")
    assert (done.returncode, done.stdout.split()) == (0, ["0", "1000", "1"])
    assert done.stderr.splitlines() == BORROWED
    assert_nothing_is_left(user)


# --- bare ------------------------------------------------------------------------------------


def test_restricted_pod_refuses_containers_and_says_what_would_allow_them(nested: Nested) -> None:
    """A user without capabilities, no_new_privs, the default filter, read-only cgroups, masks."""
    user = replace(nested(cap_drop=("ALL",)), uid=UID, env=POD)
    status = user.run("/bin/cat", "/proc/self/status").stdout
    for fact in ("CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
        assert fact in status
    found = user.doctor()
    assert found["rung"] == "bare"
    assert {"user namespace", "mount namespace", "tmpfs"} <= set(found["blocking"])
    line = "in the pod's spec: securityContext: {seccompProfile: {type: Unconfined}}"
    for name in found["blocking"]:
        assert lift_of(found, name) == line, name
    what, hint = refused(user.wardian(*ONCE, "true"))
    assert what.startswith("cannot make the container's namespaces")
    assert "seccompProfile: Unconfined" in hint
    text = user.wardian("doctor")
    assert text.returncode == 1
    assert "rung: bare (no containers: cells run as plain processes on this host)" in text.stdout
    assert "\n  files: they write to their own directories alone" in text.stdout
    assert "\n  network: this host's\n" in text.stdout
    assert f"      {line}" in text.stdout
    assert_nothing_is_left(user)


def test_program_prints_what_is_not_in_force_with_its_lines(nested: Nested) -> None:
    pod = replace(nested(seccomp="unconfined"), env=POD)
    text = pod.wardian("doctor")
    assert (text.returncode, text.stderr) == (0, "")
    assert "\nrung: pod (" in text.stdout
    below = text.stdout.partition("not in force:\n")[2]
    assert below.startswith("  fresh /proc, /sys of one's own: containers see")
    assert "procMount: Unmasked" in below


# --- cells -----------------------------------------------------------------------------------

CELLS = """
import json, os, subprocess, sys, time
from jupyter_client.blocking.client import BlockingKernelClient
file = "/tmp/kernel-nested.json"
kernel = subprocess.Popen([sys.executable, "-m", "wardian.jupyter", "-f", file])
try:
    deadline = time.monotonic() + 30
    while not os.path.exists(file) or not open(file).read().endswith("}"):
        assert kernel.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    client = BlockingKernelClient(connection_file=file)
    client.load_connection_file()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    said = []
    def hear(message):
        content = message["content"]
        said.append(content.get("text") or "\\n".join(content.get("traceback") or ()))
    for code in json.loads(sys.argv[1]):
        client.execute_interactive(code, timeout=60, output_hook=hear)
    print(json.dumps("".join(said)))
    client.stop_channels()
finally:
    kernel.terminate()
    kernel.wait()
"""


def cells(nest: Nest, *codes: str) -> str:
    """What a kernel there says to some cells, one after another."""
    done = nest.run(sys.executable, "-c", CELLS, json.dumps(codes))
    assert done.returncode == 0, done
    return str(json.loads(done.stdout))


@pytest.mark.parametrize("uid", [0, UID])
def test_python_cells_run_in_a_pod_and_files_stay(nested: Nested, uid: int) -> None:
    pod = replace(nested(seccomp="unconfined", cap_drop=("ALL",) if uid else ()), uid=uid)
    said = cells(pod, "open('/root/kept', 'w').write('fern')", "print(open('/root/kept').read())")
    assert said.endswith("fern\n"), said
