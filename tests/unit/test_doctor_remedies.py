"""The line that lifts what is missing, for hosts that are not at hand."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from wardian.runtime.doctor import Diagnosis, Probe, Rung, rung_of, short_reason
from wardian.runtime.probes.finding import Area, Finding, Host, Outcome, Weight
from wardian.runtime.probes.host import covered_below_proc
from wardian.runtime.probes.remedies import REMEDIES


def host(**changes: Any) -> Host:
    """A user's usual machine."""
    facts: dict[str, Any] = {
        "release": "6.8.0-45-generic",
        "machine": "x86_64",
        "uid": 1000,
        "login": "fern",
        "root": "/home/fern/.local/share/wardian",
        "root_filesystem": "ext4",
        "surroundings": "host",
        "is_chrooted": False,
        "has_seccomp_filter": False,
        "has_no_new_privs": False,
        "max_user_namespaces": 15000,
        "unprivileged_userns_clone": None,
        "apparmor_restrict_userns": None,
        "covered_proc": (),
        "cgroup_version": "v2",
        "cgroup_why_not": "",
        "cgroup": "/",
        "owns_ids": False,
        "capabilities": (1 << 41) - 1,
        "package_manager": "apt-get",
    }
    return Host(**{**facts, **changes})


def missing(name: str, number: int | None = errno.EPERM, detail: str = "") -> Finding:
    """A probe that failed."""
    return Finding(name=name, outcome=Outcome.MISSING, errno=number, detail=detail)


def lift(finding: Finding, where: Host) -> str:
    return REMEDIES[finding.name].lift(finding, where)


@pytest.mark.parametrize(
    ("changes", "number", "line"),
    [
        (
            {"max_user_namespaces": 0},
            errno.ENOSPC,
            "sudo sysctl -w user.max_user_namespaces=15000",
        ),
        (
            {"unprivileged_userns_clone": 0},
            errno.EPERM,
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        (
            {"apparmor_restrict_userns": 1},
            errno.EACCES,
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ({}, errno.EINVAL, "boot a kernel with CONFIG_USER_NS=y"),
        (
            {"has_seccomp_filter": True, "surroundings": "docker"},
            errno.EPERM,
            "start this container with: docker run --security-opt seccomp=unconfined …",
        ),
        (
            {"has_seccomp_filter": True, "surroundings": "kubernetes"},
            errno.EPERM,
            "in the pod's spec: securityContext: {seccompProfile: {type: Unconfined}}",
        ),
        (
            {"uid": 0, "max_user_namespaces": 0},
            errno.ENOSPC,
            "sysctl -w user.max_user_namespaces=15000",
        ),
        (
            {"uid": 0, "capabilities": 0, "surroundings": "kubernetes"},
            errno.EPERM,
            "in the pod's spec: securityContext: {capabilities: {add: [SETFCAP]}}",
        ),
    ],
)
def test_what_forbids_user_namespaces_is_named(
    changes: dict[str, Any], number: int, line: str
) -> None:
    assert lift(missing("user namespace", number), host(**changes)) == line


def test_chroot_is_named_before_a_filter() -> None:
    where = host(uid=0, is_chrooted=True, has_seccomp_filter=True)
    assert "chroot" in lift(missing("user namespace"), where)


def test_number_of_a_kind_of_namespaces_has_its_own_sysctl() -> None:
    line = lift(missing("network namespace", errno.ENOSPC), host())
    assert line == "sudo sysctl -w user.max_net_namespaces=15000"


def test_masked_proc_is_lifted_by_whoever_masked_it() -> None:
    finding = missing("fresh /proc")
    assert lift(finding, host(covered_proc=("/proc/kcore",))) == "sudo umount /proc/kcore"
    assert "systempaths=unconfined" in lift(finding, host(surroundings="docker"))
    assert "procMount: Unmasked" in lift(finding, host(surroundings="kubernetes"))


def test_missing_subordinate_ids_are_granted_to_the_user() -> None:
    finding = Finding(name="id maps", outcome=Outcome.PARTLY, detail="one id")
    line = lift(finding, host())
    assert "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 fern" in line
    assert "allowPrivilegeEscalation: true" in lift(
        finding, host(has_no_new_privs=True, surroundings="kubernetes")
    )


def test_root_without_the_capabilities_for_id_maps_is_told_which() -> None:
    where = host(uid=0, capabilities=1 << 31, surroundings="docker")
    line = lift(missing("id maps"), where)
    assert line == "start this container with: docker run --cap-add SETUID --cap-add SETGID …"


def test_undelegated_cgroups_are_lifted_by_systemd_or_by_hand() -> None:
    finding = missing("memory limit", None, "memory (no cgroup is delegated to this user)")
    assert "Delegate=cpu cpuset io memory pids" in lift(finding, host())
    by_hand = lift(finding, host(cgroup_version="hybrid"))
    assert "cgroup.procs" in by_hand
    assert "fern" in by_hand


def test_switched_off_swap_accounting_is_named() -> None:
    finding = missing("swap limit", None, "memory+swap (boot with swapaccount=1)")
    assert "swapaccount=1" in lift(finding, host(uid=0, cgroup_version="hybrid"))


def test_packages_are_named_for_the_hosts_own_installer() -> None:
    finding = missing("rootless network", None)
    assert lift(finding, host()) == "sudo apt-get install -y passt"
    assert lift(finding, host(package_manager="dnf", uid=0)) == "dnf install -y passt"
    assert lift(finding, host(package_manager="")) == "sudo install the package passt"


def test_every_remedy_says_something_for_every_host() -> None:
    for name, remedy in REMEDIES.items():
        for where in (host(), host(uid=0), host(surroundings="kubernetes"), host(release="5.4.0")):
            assert remedy.lift(missing(name), where)
            assert remedy.loss


def findings(**outcomes: Outcome) -> tuple[Finding, ...]:
    """All probes work but those named (blanks as underscores)."""
    return tuple(
        Finding(name=name, outcome=outcomes.get(name.replace(" ", "_"), Outcome.WORKS))
        for name in REMEDIES
    )


def test_rung_is_the_highest_that_everything_carries() -> None:
    root = host(uid=0, owns_ids=True)
    bad = Outcome.MISSING
    assert rung_of(findings(), root) is Rung.FULL
    assert rung_of(findings(), host()) is Rung.ROOTLESS
    assert rung_of(findings(**{"id-mapped_layers": bad}), root) is Rung.ROOTLESS
    assert rung_of(findings(**{"fresh_/proc": bad}), root) is Rung.POD
    assert rung_of(findings(user_namespace=bad, **{"fresh_/proc": bad}), root) is Rung.BARE
    assert rung_of(findings(overlay=bad), host()) is Rung.ROOTLESS
    assert rung_of(findings(overlay=bad), root) is Rung.ROOTLESS
    assert rung_of(findings(tmpfs=bad), root) is Rung.BARE


def test_rung_does_not_depend_on_conveniences_or_on_the_state_directory() -> None:
    root = host(uid=0, owns_ids=True)
    bad = Outcome.MISSING
    less = findings(nf_tables=bad, memory_limit=bad, state_directory=bad, pressure=bad)
    assert rung_of(less, root) is Rung.FULL


def test_short_reason_is_the_first_thing_to_lift() -> None:
    def probe(name: str, outcome: Outcome) -> Probe:
        return Probe(
            name=name,
            area=Area.NAMESPACES,
            weight=Weight.ESSENTIAL,
            outcome=outcome,
            detail="Operation not permitted (EPERM)",
            loss="cells can only run as plain processes",
            lift="sudo something",
        )

    works, fails = probe("tmpfs", Outcome.WORKS), probe("user namespace", Outcome.MISSING)
    facts: dict[str, Any] = {"rung": Rung.BARE, "meaning": "", "host": host()}
    assert short_reason(Diagnosis(probes=(works,), **facts)) == ""
    assert short_reason(Diagnosis(probes=(works, fails), **facts)) == (
        "user namespace: cells can only run as plain processes"
        " (Operation not permitted (EPERM))\nhint: sudo something"
    )


def test_mounts_that_hide_parts_of_proc_are_found(tmp_path: Any) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(
        "22 27 0:21 / /proc rw - proc proc rw\n"
        "40 22 0:5 /null /proc/kcore rw - devtmpfs devtmpfs rw\n"
        "41 22 0:40 / /proc/sys/fs/binfmt_misc rw - binfmt_misc binfmt_misc rw\n"
    )
    assert covered_below_proc(mountinfo) == ["/proc/kcore"]
