"""One test here for each test that runs in the guest, known by asking pytest to collect them."""

from __future__ import annotations

from collections import defaultdict

import pytest

from tests import reports
from tests.reports import Outcome, outcomes, seen_on
from tests.vm import machine
from tests.vm.debian_kernel import Unavailable
from tests.vm.guest import Guest

# What a host with cgroup v2 and an older kernel may change; the rest would take long, emulated.
GUEST_TESTS = (
    "tests/hub/test_delegated_pod.py",
    "tests/linux/test_cgroup_conformance.py",
    "tests/linux/test_clock_jump.py",
    "tests/linux/test_container_lifecycle.py",
    "tests/linux/test_limit_hits.py",
    "tests/linux/test_namespaces.py",
    "tests/linux/test_network_of_two.py",
    "tests/linux/test_observe.py",
    "tests/linux/test_security_labels.py",
    "tests/linux/test_signaller.py::test_freezing_holds_all_processes_until_they_are_thawed",
    # What the kernel's overlayfs and FUSE do; the rest of the suite is the same on every kernel.
    *(
        f"tests/linux/test_snapshotter_conformance.py::test_{name}"
        for name in (
            "layers_show_as_the_image_specification_says",
            "every_change_is_told_by_kind",
            "server_of_files_ends_with_its_container_and_no_sooner",
        )
    ),
    "tests/linux/test_rootless.py::test_limits_are_in_force_where_cgroups_are_delegated",
    *(
        f"tests/linux/test_rootless_networks.py::test_a_user_s_containers_{name}"
        for name in ("talk_and_reach_the_world_but_not_the_host[pasta]",)
    ),
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
    return reports.collected(GUEST_TESTS, "-k", "not (conformance and half)")


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
