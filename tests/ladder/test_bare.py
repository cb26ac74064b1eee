"""The bare rung: a host without any namespace, where cells run as plain processes and say so."""

from __future__ import annotations

import errno
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.ladder.nest import HOME, UID, Nest
from wardian.linux import landlock, namespaces

Nested = Callable[..., Nest]
Answer = dict[str, str]
RECORDINGS = Path(__file__).parents[2] / "notebooks/recordings"
SESSION = Path(__file__).with_name("session.py").read_text()
PYTHON, SHELL = "wardian-python", "wardian-shell"
SECRET = "geheimnis"  # noqa: S105  # made up
ENV = {"KUBERNETES_SERVICE_HOST": "192.0.2.1", "JUPYTER_TOKEN": SECRET, "API_KEY": SECRET}
KINDS = (
    *(namespaces.CLONE_NEWUSER, namespaces.CLONE_NEWNS, namespaces.CLONE_NEWPID),
    *(namespaces.CLONE_NEWNET, namespaces.CLONE_NEWUTS, namespaces.CLONE_NEWIPC),
)
LIFT = "in the pod's spec: securityContext: {seccompProfile: {type: Unconfined}}"
needs_landlock = pytest.mark.skipif(
    landlock.abi_version() == 0, reason="the kernel has no Landlock to try"
)
needs_scopes = pytest.mark.skipif(
    not landlock.scopes(landlock.abi_version()), reason="this Landlock does not hold signals"
)


def refusing(*more: str) -> str:
    """A filter that takes all namespaces away, and these calls, and nothing else."""
    names = ["unshare", "setns", "mount", "umount2", "pivot_root", "fsopen", "open_tree", *more]
    refused = {"action": "SCMP_ACT_ERRNO", "errnoRet": errno.EPERM}
    flags = [
        {"index": 0, "value": kind, "valueTwo": kind, "op": "SCMP_CMP_MASKED_EQ"} for kind in KINDS
    ]
    rows = [
        {"names": names, **refused},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS},
        *({"names": ["clone"], "args": [flag], **refused} for flag in flags),
    ]
    return json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rows})


@pytest.fixture
def pod(nested: Nested) -> Nest:
    """A user without capabilities, no_new_privs, the default filter, read-only cgroups, masks."""
    return replace(nested(cap_drop=("ALL",)), uid=UID, env=ENV)


@pytest.fixture
def binder(nested: Nested) -> Nest:
    """The same with a filter that refuses namespaces and mounts alone."""
    return replace(nested(cap_drop=("ALL",), seccomp=refusing()), uid=UID, env=ENV)


def session(nest: Nest, kernel: str, *steps: tuple[object, ...]) -> list[Any]:
    """What came of the steps; whatever was started is gone after them."""
    done = nest.run(sys.executable, "-c", SESSION, kernel, json.dumps(steps))
    assert done.returncode == 0, done
    *answers, left = json.loads(done.stdout)
    assert left == []
    return list(answers)


def cells(nest: Nest, kernel: str, *codes: str) -> list[Answer]:
    return session(nest, kernel, *(("run", code) for code in codes))


def test_python_cells_run_and_say_that_there_is_no_container(binder: Nest) -> None:
    first, second, third, banner, matches = session(
        binder,
        PYTHON,
        ("run", "leaf = 6; print('grows')"),
        ("run", "leaf * 7"),
        ("run", "open('kept', 'w').write('fern'); __import__('os').getcwd()"),
        ("banner",),
        ("complete", "lea"),
    )
    assert (first["status"], first["stdout"]) == ("ok", "grows\n")
    said = first["stderr"]
    assert said.startswith("no container: this host allows none (user namespace: unshare")
    assert f"Cells run as plain processes of user {UID} on this host:" in said
    assert f"to have containers: {LIFT}" in said
    assert "not held: they see this machine's processes" in said
    assert (second["result"], second["stderr"]) == ("42", "")
    assert re.search(r"CPU \d", second["note"])
    assert HOME in third["result"]
    assert third["note"].endswith("1 file changed")
    assert "no container: cells run as plain processes on this host" in banner
    assert "leaf" in matches


def test_shell_cells_run_and_say_that_there_is_no_container(binder: Nest) -> None:
    first, second, third, asked, stopped, after = session(
        binder,
        SHELL,
        ("run", 'leaf=6; cd "$TMPDIR"; echo grows'),
        ("run", 'echo $((leaf * 7)); basename "$PWD"'),
        ("run", "%%python\nprint(6 * 7)"),
        ("run", 'read -r name; echo "hello $name"', "fern"),
        ("run", "echo ready; sleep 1000", None, "ready"),
        ("run", "echo $leaf"),
    )
    assert (first["status"], first["stdout"]) == ("ok", "grows\n")
    assert first["stderr"].startswith("no container: this host allows none")
    assert second["stdout"] == "42\ntmp\n"
    assert third["stdout"] == "42\n"
    assert asked["stdout"] == "hello fern\n"
    assert stopped["status"] == "error"
    assert after["stdout"] == "6\n"


def test_interrupt_and_input_reach_a_python_cell(pod: Nest) -> None:
    asked, stopped, after = session(
        pod,
        PYTHON,
        ("run", "kept = input('name? '); print(kept)", "fern"),
        ("run", "import time; print('ready', flush=True); time.sleep(1000)", None, "ready"),
        ("run", "kept"),
    )
    assert asked["stdout"] == "fern\n"
    assert "KeyboardInterrupt" in stopped["error"]
    assert after["result"] == "'fern'"


STATUS = """
import re
print(re.findall(r'(?:CapEff|NoNewPrivs|Seccomp):.*', open('/proc/self/status').read()))
"""
CALLS = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for call in (lambda: libc.ptrace(16, os.getppid(), 0, 0), lambda: libc.keyctl(0, 0, 0),
             lambda: libc.syscall(321, 0, 0, 0)):
    print(call(), ctypes.get_errno())
"""


OPEN = "%%sh\numask; readlink /proc/self/fd/* | cut -d: -f1 | sort -u"


def test_processes_are_confined_as_far_as_a_user_can(binder: Nest) -> None:
    _, status, calls, shell = cells(binder, PYTHON, "1", STATUS, CALLS, OPEN)
    assert status["stdout"].replace("\\t", " ") == (
        "['CapEff: 0000000000000000', 'NoNewPrivs: 1', 'Seccomp: 2']\n"
    )
    # The binder's own filter allows bpf(2); the one that the cells are behind does not.
    assert calls["stdout"].splitlines()[-1] == f"-1 {errno.EPERM}"
    assert shell["stdout"] == "0022\npipe\n", "no socket of ours"


TRIES = f"""
import os, pathlib
def attempt(what, deed):
    try:
        deed()
        print("can", what)
    except OSError as error:
        print("cannot", what, error.strerror)
attempt("write home", lambda: open("{HOME}/leaf", "w"))
attempt("list home", lambda: os.listdir("{HOME}"))
attempt("write /tmp", lambda: open("/tmp/leaf", "w"))
attempt("list /tmp", lambda: os.listdir("/tmp"))
attempt("write /etc", lambda: open("/etc/leaf", "w"))
attempt("read /etc", lambda: open("/etc/passwd").read())
attempt("list state", lambda: os.listdir("{HOME}/wardian"))
attempt("link out", lambda: os.link("/etc/passwd", "passwd"))
attempt("write own", lambda: open("leaf", "w"))
attempt("own tmp", lambda: __import__("tempfile").TemporaryFile())
attempt("lock", lambda: __import__("multiprocessing").Lock())
attempt("mark", lambda: open("../transient", "w"))
"""


@needs_landlock
def test_cells_write_to_their_own_directories_and_read_no_home(pod: Nest) -> None:
    _, tried, error = cells(pod, PYTHON, "1", TRIES, f"open('{HOME}/leaf', 'w')")
    denied = "Permission denied"
    assert tried["stdout"].splitlines() == [
        f"cannot write home {denied}",
        f"cannot list home {denied}",
        f"cannot write /tmp {denied}",
        f"cannot list /tmp {denied}",
        f"cannot write /etc {denied}",
        "can read /etc",
        f"cannot list state {denied}",
        "cannot link out Invalid cross-device link",
        "can write own",
        "can own tmp",
        "can lock",
        f"cannot mark {denied}",
    ]
    assert "PermissionError" in error["error"]
    assert error["error"].endswith("cells write only below $HOME and $TMPDIR (%inspect)")


LOOK = """
import os, pathlib
word, seen = ''.join(('geheim', 'nis')), []
for name in filter(str.isdecimal, os.listdir('/proc')):
    try:
        if word in pathlib.Path('/proc', name, 'environ').read_text(errors='replace'):
            seen.append(name)
    except OSError:
        pass
print(seen, word in str(dict(os.environ)))
"""


@needs_landlock
def test_no_secret_of_jupyter_is_within_reach(pod: Nest) -> None:
    _, python, shell = cells(pod, PYTHON, "1", LOOK, "%%sh\nenv | cut -d= -f1 | sort")
    assert python["stdout"] == "[] False\n"
    names = set(shell["stdout"].split())
    assert {"HOME", "PATH", "TMPDIR"} <= names
    assert not {name for name in names if name.startswith(("JUPYTER", "JPY", "WARDIAN", "API"))}


def test_memory_limit_ends_the_allocation_and_not_the_interpreter(pod: Nest) -> None:
    limits, hit, alive, shown, restarted, kept, lifted, whole = cells(
        replace(pod, env={**ENV, "WARDIAN_PIDS": "50"}),
        PYTHON,
        "%limits --memory 256m --cpus 0.5",
        "leaf = 'green'; bytearray(10**9)",
        "leaf",
        "import resource; resource.getrlimit(resource.RLIMIT_DATA)[0] >> 20",
        "%container restart",
        "import resource; resource.getrlimit(resource.RLIMIT_DATA)[0] >> 20",
        "%limits --memory 0",
        "len(bytearray(10**9))",
    )
    assert (
        limits["stdout"].splitlines()[0] == "memory   256 MiB of data in each process (RLIMIT_DATA)"
    )
    assert limits["stdout"].count("unlimited: without a cgroup there is no such limit") == 2
    assert "not in force: cpus" in limits["stderr"]
    assert "LimitHit" in hit["error"]
    assert "a process may have at most 256 MiB of data; nothing is lost" in hit["error"]
    assert "not in force: pids" in hit["stderr"]
    assert (alive["result"], shown["result"]) == ("'green'", "256")
    assert restarted["status"] == "ok"
    assert kept["result"] == "256", "as a container keeps its own"
    assert lifted["stdout"].startswith("memory   unlimited\n")
    assert whole["result"] == "1000000000"


HIDDEN = "%%sh\ncp $(command -v sleep) weed; (setsid nohup ./weed 1000 >/dev/null 2>&1 &)"


def test_restart_and_shutdown_end_all_that_cells_started(pod: Nest) -> None:
    *_, gone, files, again = session(
        pod,
        PYTHON,
        ("run", "open('kept', 'w').close()"),
        ("run", HIDDEN),
        ("there", "weed"),
        ("run", "%container restart"),
        ("gone", "weed"),
        ("run", HIDDEN),
        ("there", "weed"),
        ("restart",),
        ("gone", "weed"),
        ("run", "%ps --text"),
        ("run", "import os; sorted(os.listdir())"),
        ("run", HIDDEN),
    )
    assert "weed" not in gone["stdout"]
    assert gone["stdout"].splitlines()[:2] == ["COMMAND", "wardian-plain"]
    assert files["result"] == "['kept', 'weed']"
    assert again["status"] == "ok"
    left = pod.run("/bin/ls", f"{HOME}/wardian/plain")
    assert left.stdout == "", "a kernel without a notebook leaves no files either"


def test_kernel_that_is_killed_leaves_no_process(pod: Nest) -> None:
    session(pod, PYTHON, ("run", HIDDEN), ("there", "weed"), ("die",), ("gone", "weed"))


@needs_scopes
def test_cell_that_kills_all_it_can_kills_its_own_alone(pod: Nest) -> None:
    before, killed, after = cells(
        pod,
        PYTHON,
        "leaf = 1; open('kept', 'w').close()",
        "import os, time; os.kill(-1, 9); time.sleep(1000)",
        "import os; os.listdir()",
    )
    assert before["status"] == "ok"
    assert "the interpreter was killed (SIGKILL)" in killed["error"]
    assert after["result"] == "['kept']"


def test_fork_bomb_ends_with_the_kernel(pod: Nest) -> None:
    bomb = "grow() { while :; do (sleep 0.01; exec sleep 0.02) & sleep 0.005; done; }\n"
    (said,) = cells(pod, SHELL, f"{bomb}grow & grow & echo on")
    assert said["stdout"] == "on\n"


def test_lesson_s_recording_is_shown_for_the_view_that_cannot_be(pod: Nest, tmp_path: Path) -> None:
    course = tmp_path / "volume/course"
    (course / "en").mkdir(parents=True)
    shutil.copytree(RECORDINGS, course / "recordings")
    (course / "en/04-writable-layer.ipynb").touch()
    lesson = f"{HOME}/course/en/04-writable-layer.ipynb"
    student = replace(pod, env={**ENV, "JPY_SESSION_NAME": lesson})
    lost, layers, tree, network, asked = cells(
        student,
        SHELL,
        "%diff",
        "%layers",
        "%ps --text",
        "%net",
        "%record show ../recordings/02-pid-namespace",
    )
    assert "needs a container, and this host allows none" in lost["error"]
    assert layers["stderr"].startswith("recorded on another machine: %layers needs a container")
    label = r"recorded \d{4}-\d\d-\d\d .* UTC · container main of 04-writable-layer.ipynb · Linux"
    assert re.match(label, layers["result"])
    assert "upper" in layers["result"]
    assert "wardian-plain" in tree["stdout"]  # there is something to see: that is shown
    assert "needs a container" in network["error"]  # this lesson's recording has no network
    assert "under-glass" in asked["result"]


def test_views_and_facts_say_what_there_is(pod: Nest) -> None:
    _, status, facts, tree, pids, now, listed, both, frame, begun, refused, ended, shown = session(
        pod,
        PYTHON,
        ("run", "1"),
        ("run", "%container"),
        ("run", "%inspect"),
        ("run", "%ps --text"),
        ("run", "%ps --pids"),
        ("run", "%stats --now"),
        ("run", "%container list"),
        ("run", "%%both\necho $((6 * 7))"),
        ("status_bar",),
        ("run", "%record start lesson"),
        ("run", "%record start --views layers"),
        ("run", "%record stop"),
        ("run", "%record show lesson"),
    )
    assert status["stdout"].startswith(
        "no container\n  status   plain processes on this host, no container\n"
    )
    inspected = json.loads(facts["stdout"])
    assert inspected["container"] is None
    assert inspected["no_new_privs"] is True
    *above, runner = tree["stdout"].split()
    assert above == ["COMMAND", "wardian-plain"]
    assert runner.startswith("python")  # as the kernel's own is called
    assert re.fullmatch(r"PID +COMMAND\n(\d+ +[\w-]+\n)+", pids["stdout"])
    assert "the sum of the resident sets" in now["stdout"]
    assert "unlimited" not in now["stdout"]
    assert listed["stdout"].startswith("no container: cells run as plain processes")
    assert both["result"] == "── host ──\n42\n\n── no container ──\n42"
    assert (frame["container"], frame["is_container"]) == ("no container", False)
    assert frame["memory_limit_bytes"] is None
    assert frame["memory_current_bytes"] > 1 << 20
    assert begun["stdout"] == "recording processes, resources of main\n"
    assert "a recording is under way" in refused["error"]
    assert ended["stdout"] == "recorded processes, resources in lesson.wardian-recording\n"
    assert re.match(r"recorded \d{4}-.* · container main · Linux", shown["result"])
    assert "wardian-plain" in shown["result"]


CONTAINER_MAGICS = (
    *("%layers", "%diff", "%net", "%image wardian/base", "%logs", "%%on web\n1", "%%debug\nls"),
    *("%%dockerfile -t web\nFROM scratch", "%container new web", "%container use web"),
    *("%container keep", "%container rm", "%%sh --on web\ntrue"),
)


def test_magics_that_need_a_container_say_why_and_what_to_do(pod: Nest) -> None:
    _, *refusals, after = cells(pod, PYTHON, "1", *CONTAINER_MAGICS, "6 * 7")
    for code, refused in zip(CONTAINER_MAGICS, refusals, strict=True):
        plain = re.sub(r"\x1b\[\d+m", "", refused["error"])
        what, _, hint = plain.partition("\n\nhint: ")
        assert what.count("\n") == 0, code
        assert "needs a container, and this host allows none (user namespace:" in what, code
        assert what.endswith("cells run as plain processes here"), code
        assert hint == f"{LIFT} (`wardian doctor` says more)", code
    assert after["result"] == "42"


@pytest.mark.parametrize("rung", ["pod", "full"])
def test_required_rung_is_not_gone_below(pod: Nest, rung: str) -> None:
    strict = replace(pod, env={**ENV, "WARDIAN_REQUIRE": rung})
    first, again = cells(strict, PYTHON, "1", "1")
    for said in (first, again):
        assert (said["status"], said["result"], said["stderr"]) == ("error", "", "")
        assert f"this notebook requires the rung {rung}, and this host is on bare" in said["error"]
        assert said["error"].endswith(f"hint: {LIFT} (`wardian doctor` says more)")


def test_without_landlock_cells_run_and_it_is_said(nested: Nested) -> None:
    calls = ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self")
    host = nested(cap_drop=("ALL",), seccomp=refusing(*calls))
    user = replace(host, uid=UID, env=ENV)
    first, secret, asked = session(
        user,
        SHELL,
        ("run", "echo grows"),
        ("run", f"cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c {SECRET[:6]}"),
        ("run", "read -r name; echo $name", "fern"),
    )
    assert first["stdout"] == "grows\n"
    assert (
        "not held: all files of this user, keys and tokens too (Landlock is refused"
        in first["stderr"]
    )
    assert "not held: signals to processes of this user" in first["stderr"]
    assert "held: they write only" not in first["stderr"]
    assert int(secret["stdout"]) > 0, "as it says: Jupyter's own environment can be read"
    assert asked["stdout"] == "fern\n"


def test_root_is_not_let_loose_without_landlock(nested: Nested) -> None:
    calls = ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self")
    root = replace(nested(cap_drop=("ALL",), seccomp=refusing(*calls)), env=ENV)
    (said,) = cells(root, PYTHON, "1")
    assert said["status"] == "error"
    assert "cells would be root here with no wall around this machine's files" in said["error"]


def test_state_directory_that_cannot_be_written_is_said(pod: Nest) -> None:
    (said,) = cells(replace(pod, env={**ENV, "WARDIAN_ROOT": "/etc/wardian"}), PYTHON, "1")
    assert "nor plain processes: the state directory /etc/wardian: " in said["error"]
    assert "hint: set WARDIAN_ROOT to a directory that you can write" in said["error"]


def test_files_of_a_notebook_stay_and_its_settings_are_kept_or_said(pod: Nest) -> None:
    wishes = {"memory": "300m", "image": "web", "volumes": ["data:/data"]}
    document = {"cells": [], "metadata": {"wardian": wishes}, "nbformat": 4, "nbformat_minor": 5}
    write = f"import sys; open('{HOME}/lesson.ipynb', 'w').write(sys.argv[1])"
    assert pod.run(sys.executable, "-c", write, json.dumps(document)).returncode == 0
    lesson = replace(pod, env={**ENV, "JPY_SESSION_NAME": f"{HOME}/lesson.ipynb"})
    (first,) = cells(lesson, PYTHON, "open('kept', 'w').close()")
    assert "not in force: image web: programs are this host's" in first["stderr"]
    assert "not in force: volumes" in first["stderr"]
    _, kept, limits, reset, after = cells(
        lesson,
        PYTHON,
        "1",
        "import os; os.listdir()",
        "%limits",
        "%container reset",
        "import os; os.listdir()",
    )
    assert kept["result"] == "['kept']"
    assert limits["stdout"].startswith("memory   300 MiB of data")
    assert reset["stdout"] == "main: new\n"
    assert after["result"] == "[]"


def test_cells_behave_as_in_a_container(binder: Nest) -> None:
    """The whole of jupyter_kernel_test by both kernels; comms, debugger, output, errors."""
    folder = Path(__file__).parents[1] / "kernel"
    suites = [str(folder / f"test_{name}.py") for name in ("protocol_suite", "comms", "cells")]
    options = ("-q", "-c", "/dev/null", "--rootdir", str(folder), "-p", "no:cacheprovider")
    done = binder.run(sys.executable, "-m", "pytest", *options, *suites, patience_s=300.0)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
