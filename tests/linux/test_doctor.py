"""The doctor on this host and on hosts that are made worse for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import wardian
from tests.linux.program import IMAGE, out
from wardian.images.resolve import resolve
from wardian.images.store import ImageStore
from wardian.runtime.doctor import Diagnosis, Rung, diagnose, short_reason
from wardian.runtime.probes.finding import Outcome

USER = 1000
THEN_DOCTOR = """
import os, sys
os.execv(sys.executable, [sys.executable, "-m", "wardian.cli", *sys.argv[1:]])
"""
IN_USER_NAMESPACE = """
from pathlib import Path
from wardian.linux import mount as mnt, namespaces
from wardian.runtime.probes.attempt import enter_user_namespace
enter_user_namespace()
namespaces.unshare(namespaces.CLONE_NEWNS)
mnt.mount("none", "/", None, mnt.MS_REC | mnt.MS_PRIVATE)
"""
IN_MOUNT_NAMESPACE = """
import os
from wardian.linux import mount as mnt, namespaces
namespaces.unshare(namespaces.CLONE_NEWNS)
mnt.mount("none", "/", None, mnt.MS_REC | mnt.MS_PRIVATE)
"""
FILTERED = """
from wardian.linux import capabilities, process, seccomp
process.set_no_new_privs()
seccomp.load(seccomp.compile_default(capabilities.DEFAULT))
"""


HIDING_CLONE3 = """
from tests.linux.test_process_calls import hide
hide("clone3")
"""


def doctor_within(preparation: str, root: Path) -> dict[str, Any]:
    """The doctor's JSON, told by a process that first made its surroundings worse."""
    done = subprocess.run(
        [sys.executable, "-c", preparation + THEN_DOCTOR, "--root", str(root), "doctor", "--json"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == b""
    value: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (1 if value["blocking"] else 0)
    return value


def lift_of(value: dict[str, Any], name: str) -> str:
    """The line that lifts a probe."""
    return next(str(probe["lift"]) for probe in value["probes"] if probe["name"] == name)


def traces() -> tuple[list[str], set[str]]:
    """What a probe could leave on the host."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    # Others' groups go while we look, which os.walk passes over.
    groups = {path for path, _, _ in os.walk("/sys/fs/cgroup") if "/wardian-doctor" in path}
    return mounts, groups


requires_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root; run as root")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Diagnosis:
    """What the doctor says of this host as it is."""
    return diagnose(tmp_path_factory.mktemp("doctor") / "state")


@requires_root
def test_root_on_this_host_is_on_the_highest_rung(here: Diagnosis) -> None:
    assert here.rung is Rung.FULL
    assert here.blocking == ()
    assert short_reason(here) == ""


def test_what_works_has_no_loss_and_what_does_not_has_a_line(here: Diagnosis) -> None:
    for probe in here.probes:
        works = probe.outcome is Outcome.WORKS
        assert (probe.lift == "", probe.loss == "") == (works, works), probe.name


def test_diagnosis_leaves_nothing_behind(tmp_path: Path) -> None:
    before = traces()
    diagnose(tmp_path / "new/state")
    assert traces() == before
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "state").mkdir()
    diagnose(tmp_path / "state")
    assert list((tmp_path / "state").iterdir()) == []


@requires_root
def test_switched_off_user_namespaces_are_named(tmp_path: Path) -> None:
    limit = 'Path("/proc/sys/user/max_user_namespaces").write_text("0")\n'
    value = doctor_within(IN_USER_NAMESPACE + limit, tmp_path)
    assert value["rung"] == "bare"
    assert value["blocking"][0] == "user namespace"
    assert lift_of(value, "user namespace") == "sysctl -w user.max_user_namespaces=15000"
    assert lift_of(value, "overlay") == lift_of(value, "user namespace")


@requires_root
def test_masked_proc_is_the_pod_rung(tmp_path: Path) -> None:
    mask = 'mnt.mount("/dev/null", "/proc/keys", None, mnt.MS_BIND)\n'
    value = doctor_within(IN_USER_NAMESPACE + mask, tmp_path)
    assert value["rung"] == "pod"
    assert value["blocking"] == []
    assert "fresh /proc" in value["not_in_force"]
    assert lift_of(value, "fresh /proc") == "umount /proc/keys"


@requires_root
def test_chroot_is_named(tmp_path: Path) -> None:
    chroot = f"""
os.mkdir("{tmp_path}/root")
mnt.mount("/", "{tmp_path}/root", None, mnt.MS_BIND | mnt.MS_REC)
os.chroot("{tmp_path}/root")
os.chdir("/")
"""
    value = doctor_within(IN_MOUNT_NAMESPACE + chroot, tmp_path / "state")
    assert value["rung"] == "bare"
    assert lift_of(value, "user namespace").startswith("leave the chroot")


@requires_root
def test_seccomp_filter_is_named(tmp_path: Path) -> None:
    value = doctor_within(FILTERED, tmp_path)
    assert value["rung"] == "bare"
    assert "seccomp=unconfined" in lift_of(value, "user namespace")


@requires_root
def test_clone_does_where_a_filter_hides_clone3(state: Path) -> None:
    value = doctor_within(HIDING_CLONE3, state)
    calls = next(probe for probe in value["probes"] if probe["name"] == "system calls")
    assert (calls["outcome"], calls["detail"]) == ("works", "clone3 is hidden, clone does")
    assert value["rung"] == "full"
    command = ("--root", str(state), "run", "--rm", IMAGE, "echo", "fern")
    resolve(ImageStore(state), IMAGE)
    assert (
        out(
            subprocess.run(
                [sys.executable, "-c", HIDING_CLONE3 + THEN_DOCTOR, *command],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        )
        == "fern\n"
    )


@requires_root
def test_state_directory_on_overlay_is_to_be_moved(tmp_path: Path) -> None:
    overlay = f"""
os.chdir("{tmp_path}")
for name in ("lower", "upper", "work", "merged"):
    os.mkdir(name)
mnt.mount("overlay", "merged", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work")
os.chdir("/")
"""
    value = doctor_within(IN_MOUNT_NAMESPACE + overlay, tmp_path / "merged/state")
    assert value["rung"] == "full"
    assert value["host"]["root_filesystem"] == "overlayfs"
    assert value["blocking"] == []
    assert "layers on the state directory" in value["not_in_force"]
    drivers = [probe for probe in value["probes"] if probe["name"] == "storage driver"]
    assert [probe["detail"] for probe in drivers] == ["fuse-overlayfs (the best here)"]
    line = lift_of(value, "layers on the state directory")
    assert line.startswith("export WARDIAN_ROOT=/")
    assert not line.startswith(f"export WARDIAN_ROOT={tmp_path}/merged")


@requires_root
def test_read_only_state_directory_is_to_be_moved(tmp_path: Path) -> None:
    read_only = f"""
os.mkdir("{tmp_path}/sealed")
mnt.mount("tmpfs", "{tmp_path}/sealed", "tmpfs", mnt.MS_RDONLY)
"""
    value = doctor_within(IN_MOUNT_NAMESPACE + read_only, tmp_path / "sealed/state")
    assert "state directory" in value["blocking"]
    assert "export WARDIAN_ROOT=" in lift_of(value, "state directory")


@requires_root
def test_state_directory_whose_programs_cannot_be_run_is_named(tmp_path: Path) -> None:
    noexec = f"""
os.mkdir("{tmp_path}/noexec")
mnt.mount("tmpfs", "{tmp_path}/noexec", "tmpfs", mnt.MS_NOEXEC)
"""
    value = doctor_within(IN_MOUNT_NAMESPACE + noexec, tmp_path / "noexec/state")
    assert value["blocking"] == []
    assert "state directory" in value["not_in_force"]
    probe = next(probe for probe in value["probes"] if probe["name"] == "state directory")
    assert probe["detail"].endswith("mounted noexec")
    line = probe["lift"]
    assert line.startswith("export WARDIAN_ROOT=/")
    assert str(tmp_path) not in line


# --- as a user -------------------------------------------------------------------------------


@pytest.fixture
def as_user() -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Run Wardian as an ordinary user with a home of its own; skips where it cannot read us."""
    home = Path(tempfile.mkdtemp(prefix="wardian-user-"))
    os.chown(home, USER, USER)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = os.pathsep.join((str(Path(wardian.__file__).parents[1]), *sys.path[1:]))
    env = {"PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHONPATH": packages}
    identity: dict[str, Any] = {"user": USER, "group": USER, "extra_groups": []}

    def run(python: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, *arguments],
            cwd="/",
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **identity,
        )

    def can_run(python: str) -> bool:
        try:
            return run(python, "-c", "import msgspec, wardian.runtime.doctor").returncode == 0
        except PermissionError:
            return False

    usable = [python for python in (sys.executable, f"/usr/bin/{version}") if can_run(python)]
    try:
        if not usable:
            pytest.skip("a user cannot read this checkout; put it where others may read it")
        yield lambda *arguments: run(usable[0], "-m", "wardian.cli", *arguments)
    finally:
        shutil.rmtree(home)


@requires_root
def test_user_is_on_the_rootless_rung_with_lines_of_their_own(
    as_user: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = as_user("doctor", "--json")
    assert done.stderr == ""
    value = json.loads(done.stdout)
    assert value["rung"] == "rootless"
    assert value["blocking"] == []
    assert "memory limit" in value["not_in_force"]
    assert "sudo " in lift_of(value, "memory limit")
    if "id maps" in value["not_in_force"]:
        assert "usermod --add-subuids" in lift_of(value, "id maps")


@requires_root
def test_user_without_a_place_to_write_is_told_another(
    as_user: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = as_user("--root", "/sys/nowhere", "doctor")
    assert done.returncode == 1
    assert "no container can be started:\n  state directory" in done.stdout
    assert "export WARDIAN_ROOT=/" in done.stdout


@requires_root
def test_program_prints_rung_and_every_probe(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wardian.cli", "--root", str(tmp_path), "doctor"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "rung: full" in done.stdout
    for name in ("user namespace", "fresh /proc", "memory limit", "seccomp", "wardian/base"):
        assert f" {name} " in done.stdout
