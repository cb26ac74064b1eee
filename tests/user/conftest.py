"""One test here for each that the ordinary user runs, known by asking pytest to collect them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import reports
from tests.linux.conftest import UID
from tests.linux.gardener import delegated, lay_out_etc
from tests.reports import ROOT, Outcome, outcomes
from tests.user.login import command
from wardian.cgroups.hierarchy import Hierarchy

USER_TESTS = (
    "tests/linux/test_cgroup_conformance.py",
    "tests/linux/test_cli_archives.py::test_exported_tree_is_what_the_container_sees_without_mounts",
    "tests/linux/test_cli_copy.py::test_copies_in_land_where_dockers_do",
    "tests/linux/test_cli_copy.py::test_frozen_container_is_copied_from_and_that_of_a_dead_keeper",
    "tests/linux/test_build.py::test_files_keep_their_owners_for_whom_the_host_may_not_look",
    "tests/linux/test_build_outputs.py::test_files_go_into_an_archive_as_they_are",
    "tests/linux/test_commit.py::test_container_becomes_an_image",
    "tests/linux/test_container_lifecycle.py",
    "tests/linux/test_debug.py::test_the_host_s_programs_see_what_an_image_without_any_has",
    "tests/linux/test_limit_hits.py",
    "tests/linux/test_namespaces.py",
    "tests/linux/test_rootfs.py",
    "tests/linux/test_signaller.py",
    "tests/linux/test_snapshotter_conformance.py",
    # Lessons that look at files of layers, at networks and at cgroups from the user's side.
    *(
        f"tests/notebooks/test_course.py::test_outputs_are_the_same_on_every_run[en/{name}]"
        for name in ("04-writable-layer", "08-ports-and-nat", "15-by-hand")
    ),
    "tests/security/test_leaving_the_cgroup.py",
    "tests/security/test_privileges.py",
    "tests/security/test_redirected_proc.py",
)
# Alone on two cores it takes a minute.
TIMEOUT_S = 900
NOBODY = "none"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One case for each test that the user will run."""
    if "user_test" in metafunc.fixturenames:
        metafunc.parametrize("user_test", collected(), ids=lambda test: test.removeprefix("tests/"))


def collected() -> list[object]:
    """The user's tests by node id, or one case that says why there is no user."""
    if os.geteuid() != 0:
        reason = "root becomes an ordinary user here; run the tests as root"
        return [pytest.param(NOBODY, marks=pytest.mark.skip(reason=reason))]
    if not shutil.which("newuidmap"):
        reason = "no newuidmap; apt-get install uidmap"
        return [pytest.param(NOBODY, marks=pytest.mark.skip(reason=reason))]
    return reports.collected(USER_TESTS)


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """The user's home: pytest's own folders are root's alone."""
    path = Path(tempfile.mkdtemp(prefix="wardian-user-"))
    path.chmod(0o755)
    lay_out_etc(path / "etc", path, subordinate=True)
    for name in ("work", "hold"):
        (path / name).mkdir()
    os.chown(path / "work", UID, UID)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def user_outcomes(request: pytest.FixtureRequest, home: Path) -> dict[str, Outcome]:
    """Run all that were asked for, in cgroups that are delegated to the user."""
    wanted = [
        str(item.callspec.params["user_test"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and "user_test" in item.fixturenames
    ]
    report = home / "work/report.xml"
    if report.exists():  # a second try here is none there
        return outcomes(report.read_text())
    with delegated(Hierarchy.detect()) as groups:
        done = subprocess.run(
            command(home, groups, report, [*reports.second_try(request.config), *wanted]),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    if not report.exists():
        pytest.fail(f"the user's tests did not end:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return outcomes(report.read_text())
