"""The default filter is the reference profile, and the shipped programs are that filter.

What a program does is found by running it on every call, not by comparing bytes: each version of
libseccomp arranges the same filter in its own way.
"""

from __future__ import annotations

import errno
import json
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.bpf import answer
from wardian.errors import InvalidInput
from wardian.linux import capabilities, libseccomp, seccomp
from wardian.linux.capabilities import Capability
from wardian.linux.libseccomp import ALLOW, ARCHES, ERRNO, NEWEST, Condition, Rule

REFERENCE = Path(__file__).parents[2].parent / "shared" / "data" / "seccomp-default.json"
SETS = [
    capabilities.DEFAULT,
    frozenset[Capability](),
    capabilities.DEFAULT | {Capability.SYS_ADMIN},
    frozenset(Capability),
]
REFUSED = ERRNO | errno.EPERM
MISSING = ERRNO | errno.ENOSYS
I386 = 0x40000003
X86_64 = ARCHES["x86_64"]
X32_BIT = 0x40000000
CLONE_NEWUSER, SIGCHLD = 0x10000000, 17
# Values around every figure in the profile's conditions.
SAMPLES = (0, 1, 8, 37, 38, 39, 40, 41, 131072, 131080, 0xFFFFFFFF, SIGCHLD, CLONE_NEWUSER | 17)


def as_set(rules: Iterable[Rule]) -> set[Rule]:
    """Unconditional rules make conditional ones of the same call and action moot."""
    rules = list(rules)
    always = {(rule.call, rule.action) for rule in rules if not rule.conditions}
    return {r for r in rules if not r.conditions or (r.call, r.action) not in always}


@pytest.mark.parametrize("machine", ARCHES)
@pytest.mark.parametrize("held", SETS, ids=["default", "none", "sys_admin", "all"])
def test_default_table_equals_the_reference_profile(
    held: frozenset[Capability], machine: str
) -> None:
    if not REFERENCE.exists():
        pytest.skip("the reference profile (shared/data) is not beside this checkout")
    profile = json.loads(REFERENCE.read_text())
    ours = as_set(seccomp.default_rules(machine, held))
    assert ours == as_set(seccomp.profile_rules(profile, held, machine, "6.1.0"))


# --- what the programs do --------------------------------------------------------------------


def holds(condition: Condition, value: int) -> bool:
    """A condition in the words of seccomp_rule_add(3)."""
    return {
        1: value != condition.value,
        2: value < condition.value,
        3: value <= condition.value,
        4: value == condition.value,
        5: value >= condition.value,
        6: value > condition.value,
        7: value & condition.value == condition.value_two,
    }[condition.operator]


def expected(rules: Iterable[Rule], value: int) -> int:
    """What the rules of one call say when its first argument has this value."""
    for rule in rules:
        if all(holds(one, value) for one in rule.conditions):
            return rule.action
    return REFUSED


@pytest.mark.parametrize("machine", ARCHES)
def test_shipped_program_does_what_the_table_says(machine: str) -> None:
    program = seccomp.shipped(machine).read_bytes()
    arch = ARCHES[machine]
    by_number: dict[int, list[Rule]] = {}
    for rule in seccomp.default_rules(machine, capabilities.DEFAULT):
        number = libseccomp.number_of(rule.call, arch)
        if number is not None:
            by_number.setdefault(number, []).append(rule)
    assert len(by_number) > 200
    for number in range(NEWEST + 1):
        for value in SAMPLES:
            wanted = expected(by_number.get(number, ()), value)
            assert answer(program, arch, number, [value]) == wanted, (number, value)


def named_by_profile(profile: dict[str, Any]) -> list[Capability]:
    """The capabilities that a row of the profile asks for or excludes."""
    rows = [row.get(key) or {} for row in profile["syscalls"] for key in ("includes", "excludes")]
    return sorted({capabilities.parse(name) for row in rows for name in row.get("caps") or ()})


def samples(rules: Iterable[Rule]) -> list[list[int]]:
    """Arguments for each condition of a call's rules: its figures, those beside them, extremes."""
    found = [[0] * 6]
    for one in (condition for rule in rules for condition in rule.conditions):
        figures = {0, one.value, one.value_two, one.value + 1, max(0, one.value - 1), (1 << 64) - 1}
        figures |= {one.value << 32, one.value | 1 << 32, CLONE_NEWUSER, SIGCHLD}
        found += (
            [*[0] * one.argument, figure % (1 << 64), *[0] * (5 - one.argument)]
            for figure in figures
        )
    return found


def answers_of(rules: Iterable[Rule], arguments: list[int]) -> int:
    for rule in rules:
        if all(holds(one, arguments[one.argument]) for one in rule.conditions):
            return rule.action
    return REFUSED


@pytest.mark.parametrize("machine", ARCHES)
def test_filter_does_what_the_reference_says_for_every_capability_call_and_argument(
    machine: str,
) -> None:
    """The programs are run: each capability the profile names, alone and beside the defaults."""
    if not REFERENCE.exists():
        pytest.skip("the reference profile (shared/data) is not beside this checkout")
    profile = json.loads(REFERENCE.read_text())
    named = named_by_profile(profile)
    assert len(named) >= 10
    held = [*SETS, *(frozenset({one}) for one in named)]
    held += [capabilities.DEFAULT | {one} for one in named]
    arch = ARCHES[machine]
    for each in held:
        by_number: dict[int, list[Rule]] = {}
        for rule in seccomp.profile_rules(profile, each, machine, "6.1.0"):
            number = libseccomp.number_of(rule.call, arch)
            if number is not None:
                by_number.setdefault(number, []).append(rule)
        ours = seccomp.default_rules(machine, each)
        program = libseccomp.compile_rules(ours, seccomp.DEFAULT_ACTION, machine)
        for number in range(NEWEST + 1):
            rules = sorted(by_number.get(number, ()), key=lambda rule: len(rule.conditions))
            for arguments in samples(rules):
                wanted = answers_of(rules, arguments)
                got = answer(program, arch, number, arguments)
                assert got == wanted, (each, number, arguments)


def test_profile_that_allows_what_it_does_not_name_allows_newer_calls() -> None:
    """As runc does: ENOSYS is for profiles that refuse by default."""
    number = NEWEST + 1
    arch = ARCHES[platform.machine()]
    for action, wanted in (("SCMP_ACT_ALLOW", ALLOW), ("SCMP_ACT_ERRNO", MISSING)):
        program = seccomp.compile_profile({"defaultAction": action}, capabilities.DEFAULT)
        assert answer(program, arch, number) == wanted


def test_profile_s_word_on_a_call_newer_than_libseccomp_counts() -> None:
    names = ["mseal", "statmount"]
    row = {"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": 13}
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [row]}
    program = seccomp.compile_profile(profile, capabilities.DEFAULT)
    for call in names:
        number = libseccomp.number_of(call, ARCHES[platform.machine()])
        assert number is not None
        assert answer(program, ARCHES[platform.machine()], number) == ERRNO | 13


@pytest.mark.parametrize("machine", ARCHES)
def test_calls_newer_than_the_table_are_not_implemented(machine: str) -> None:
    program = seccomp.shipped(machine).read_bytes()
    for number in (NEWEST + 1, NEWEST + 2, 600, 5000):
        assert answer(program, ARCHES[machine], number) == MISSING
    private = X32_BIT | 5000 if machine == "x86_64" else 0xF0042
    assert answer(program, ARCHES[machine], private) == REFUSED


def test_other_modes_of_the_machine_are_no_way_round() -> None:
    program = seccomp.shipped("x86_64").read_bytes()
    for call in ("mount", "keyctl", "bpf", "kexec_load", "unshare"):
        number = libseccomp.number_of(call, I386)
        assert number is not None
        assert answer(program, I386, number) == REFUSED, call
    keyctl = libseccomp.number_of("keyctl", X86_64)
    assert keyctl is not None
    assert answer(program, X86_64, X32_BIT | keyctl) == REFUSED
    for allowed in ("getpid", "openat", "cachestat"):
        number = libseccomp.number_of(allowed, I386)
        assert number is not None
        assert answer(program, I386, number) == ALLOW, allowed
    assert answer(program, ARCHES["aarch64"], 0) == 0  # not of this machine: killed


@pytest.mark.parametrize("held", SETS, ids=["default", "none", "sys_admin", "all"])
def test_capability_opens_its_calls_and_no_others(held: frozenset[Capability]) -> None:
    machine = platform.machine()
    program = seccomp.compile_default(held)
    opened = {
        "mount": Capability.SYS_ADMIN in held,
        "bpf": bool(held & {Capability.BPF, Capability.SYS_ADMIN}),
        "reboot": Capability.SYS_BOOT in held,
        "chroot": Capability.SYS_CHROOT in held,
        "keyctl": False,
        "getpid": True,
    }
    for call, is_open in opened.items():
        number = libseccomp.number_of(call, ARCHES[machine])
        assert number is not None
        wanted = ALLOW if is_open else REFUSED
        assert answer(program, ARCHES[machine], number) == wanted, call
    clone3 = answer(program, ARCHES[machine], 435)
    assert clone3 == (ALLOW if Capability.SYS_ADMIN in held else MISSING)


# --- profiles that users bring ---------------------------------------------------------------


def outcome(row: dict[str, object], held: frozenset[Capability] = frozenset()) -> int:
    """What a profile that refuses all but this row does with getpid."""
    row = {"names": ["getpid"], "action": "SCMP_ACT_ALLOW", **row}
    program = seccomp.compile_profile(
        {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 13, "syscalls": [row]}, held
    )
    arch = ARCHES[platform.machine()]
    return answer(program, arch, libseccomp.number_of("getpid", arch) or 0)


@pytest.mark.parametrize(
    ("row", "counts"),
    [
        ({}, True),
        ({"includes": None, "excludes": None, "args": None}, True),
        ({"includes": {"caps": ["CAP_CHOWN"]}}, True),
        ({"includes": {"caps": ["CAP_CHOWN", "CAP_BPF"]}}, False),  # moby wants all of them
        ({"excludes": {"caps": ["CAP_CHOWN", "CAP_BPF"]}}, False),
        ({"excludes": {"caps": ["CAP_BPF"]}}, True),
        ({"includes": {"arches": ["amd64", "arm64"]}}, True),
        ({"includes": {"arches": ["s390x"]}}, False),
        ({"excludes": {"arches": ["amd64", "arm64"]}}, False),
        ({"includes": {"minKernel": "4.8"}}, True),
        ({"includes": {"minKernel": "999.0"}}, False),
        ({"excludes": {"minKernel": "4.8"}}, False),
        ({"excludes": {"minKernel": "999.0"}}, True),
        ({"names": [], "name": "getpid"}, True),
        ({"names": ["no_such_call", "getpid"]}, True),
    ],
    ids=str,
)
def test_rows_count_as_moby_counts_them(row: dict[str, object], *, counts: bool) -> None:
    found = outcome(row, frozenset({Capability.CHOWN}))
    assert found == (ALLOW if counts else ERRNO | 13)


def test_error_numbers_and_actions_are_the_profiles() -> None:
    assert outcome({"action": "SCMP_ACT_ERRNO"}) == ERRNO | errno.EPERM
    assert outcome({"action": "SCMP_ACT_ERRNO", "errnoRet": 38}) == MISSING
    assert outcome({"action": "SCMP_ACT_KILL_PROCESS"}) == 0x80000000
    assert outcome({"action": "SCMP_ACT_LOG"}) == 0x7FFC0000


@pytest.mark.parametrize(
    "profile",
    [
        {"syscalls": []},
        {"defaultAction": "SCMP_ACT_DANCE"},
        {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1 << 20},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": ["getpid"]},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["getpid"]}]},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_LOG"}]},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": 5},
    ],
    ids=str,
)
def test_profile_that_is_none_is_refused(profile: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="not a seccomp profile"):
        seccomp.compile_profile(profile, capabilities.DEFAULT)


@pytest.mark.parametrize(
    "arg",
    [
        {"index": 6, "value": 0, "op": "SCMP_CMP_EQ"},
        {"index": -1, "value": 0, "op": "SCMP_CMP_EQ"},
        {"index": 0, "value": 1 << 64, "op": "SCMP_CMP_EQ"},
        {"index": 0, "value": -1, "op": "SCMP_CMP_EQ"},
        {"index": 0, "value": 0, "op": "SCMP_CMP_LIKE"},
        {"index": 0, "op": "SCMP_CMP_EQ"},
        "index",
    ],
    ids=str,
)
def test_condition_that_is_none_is_refused(arg: object) -> None:
    with pytest.raises(InvalidInput, match="not a seccomp profile"):
        outcome({"args": [arg]})
