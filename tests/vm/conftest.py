"""One test here for each test that runs in the guest, known by asking pytest to collect them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import pytest

from tests.vm import machine
from tests.vm.debian_kernel import Unavailable
from tests.vm.guest import ROOT, Guest

# What a host with cgroup v2 and an older kernel may change; the rest would take long, emulated.
GUEST_TESTS = (
    "tests/linux/test_cgroup_conformance.py",
    "tests/linux/test_container_lifecycle.py",
    "tests/linux/test_limit_hits.py",
    "tests/linux/test_namespaces.py",
    "tests/linux/test_observe.py",
    "tests/linux/test_security_labels.py",
    "tests/linux/test_rootless.py::test_limits_are_in_force_where_cgroups_are_delegated",
    *(
        f"tests/linux/test_rootfs.py::test_{name}"
        for name in (
            "masked_files_read_empty_and_masked_folders_are",
            "write_protected_paths_of_proc_are_read_only_mounts",
            "devices_are_the_harmless_ones",
            "mounts_of_the_host_do_not_come_in_and_mounts_do_not_go_out",
        )
    ),
    *(
        f"tests/security/test_privileges.py::test_{name}"
        for name in (
            "container_root_is_nobody_special_on_the_host",
            "hosts_root_inside_is_still_confined",
        )
    ),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one test ended in the guest: passed, failed, skipped or unknown; what it said."""

    kind: str
    text: str = ""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One case for each test that the guest will run."""
    if "guest_test" in metafunc.fixturenames:
        metafunc.parametrize("guest_test", collected(), ids=str)


def collected() -> list[object]:
    """The guest's tests by node id, or one case that says why there is no guest."""
    try:
        machine.require()
    except Unavailable as reason:
        return [pytest.param("none", marks=pytest.mark.skip(reason=f"no guest: {reason}"))]
    # The guest has no cgroup v1: the halves of a hybrid host are for hybrid hosts.
    options = ("--collect-only", "-q", "--color=no", "-k", "not (conformance and half)")
    command = [sys.executable, "-m", "pytest", *options, *GUEST_TESTS]
    plain = {**os.environ, "PYTEST_ADDOPTS": ""}
    said = subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True, check=False)
    tests: list[object] = [line for line in said.stdout.splitlines() if "::" in line]
    if said.returncode or not tests:
        raise pytest.UsageError(f"cannot collect the guest's tests:\n{said.stdout[-2000:]}")
    return tests


@pytest.fixture(scope="session")
def guest_outcomes(pytestconfig: pytest.Config) -> dict[str, Outcome]:
    """Wait for the guest that was booted when the tests had been collected."""
    guest = Guest.of(pytestconfig)
    try:
        report = guest.report()
    except Unavailable as reason:
        pytest.skip(f"no guest: {reason}")
    if report.rstrip().endswith("</testsuites>"):
        return outcomes(report)
    unknown = Outcome("unknown", guest.console[-4000:])
    return defaultdict(lambda: unknown, seen_on(guest.console))


def junit_name(guest_test: str) -> str:
    """A node id as junit names it: dotted module, dot, function."""
    path, _, name = guest_test.partition("::")
    return f"{path.removesuffix('.py')}::{name}".replace("/", ".").replace("::", ".")


def seen_on(console: str) -> Iterator[tuple[str, Outcome]]:
    """The tests that passed before the guest ran out of time or broke down."""
    for found in re.finditer(r"^(tests/\S+::.+?) PASSED", console, re.MULTILINE):
        yield junit_name(found[1]), Outcome("passed")


def outcomes(report: str) -> dict[str, Outcome]:
    """A junit report by test, named as junit does: dotted module, dot, function."""
    found = {}
    for case in ET.fromstring(report).iter("testcase"):  # noqa: S314 - pytest's own report
        found[f"{case.get('classname')}.{case.get('name')}"] = outcome(case)
    return found


def outcome(case: ET.Element) -> Outcome:
    """A case has a child only if it did not simply pass."""
    for child in case:
        text = f"{child.get('message')}\n{child.text or ''}"
        if child.tag == "skipped":
            return Outcome("skipped", child.get("message") or "")
        if child.tag in {"failure", "error"}:
            return Outcome("failed", text)
    return Outcome("passed")
