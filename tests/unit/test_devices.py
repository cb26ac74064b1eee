"""Rules for devices: what v1 would make of them, and the eBPF program that does the same on v2."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bpf import device_answer
from wardian.cgroups.devices import DEFAULT, DeviceKind, DevicePolicy, DeviceRule
from wardian.errors import InvalidInput

MKNOD, READ, WRITE = 1, 2, 4
BLOCK, CHARACTER = 1, 2
LETTERS = {"m": MKNOD, "r": READ, "w": WRITE}


def passes(policy: DevicePolicy, kind: int, major: int, minor: int, access: int) -> bool:
    found = device_answer(policy.program(), kind=kind, access=access, major=major, minor=minor)
    assert found in (0, 1)
    return bool(found)


def as_v1(policy: DevicePolicy, kind: int, major: int, minor: int, access: int) -> bool:
    """match_exception and match_exception_partial of security/device_cgroup.c."""
    for (of, one, two), letters in policy.exceptions.items():
        mask = sum(LETTERS[letter] for letter in letters)
        if (of is DeviceKind.BLOCK) != (kind == BLOCK):
            continue
        if (one is not None and one != major) or (two is not None and two != minor):
            continue
        if access & mask if policy.allows else not access & ~mask:
            return not policy.allows
    return policy.allows


def test_defaults_are_the_usual_nodes_and_making_any() -> None:
    policy = DevicePolicy.of(())
    assert passes(policy, CHARACTER, 1, 3, READ | WRITE)
    assert passes(policy, CHARACTER, 136, 77, READ | WRITE)
    assert passes(policy, BLOCK, 8, 0, MKNOD)
    assert not passes(policy, BLOCK, 8, 0, READ)
    assert not passes(policy, CHARACTER, 1, 1, READ)  # /dev/mem
    assert not passes(policy, CHARACTER, 10, 200, READ | WRITE)


def test_rule_adds_a_device_and_everything_is_everything() -> None:
    one = DevicePolicy.of([DeviceRule.parse("c 10:200 rw")])
    assert passes(one, CHARACTER, 10, 200, READ | WRITE)
    assert not passes(one, CHARACTER, 10, 201, READ)
    assert not passes(one, BLOCK, 10, 200, READ)
    everything = DevicePolicy.of([DeviceRule()])
    assert passes(everything, BLOCK, 8, 0, READ | WRITE | MKNOD)
    but = DevicePolicy.of([DeviceRule(), DeviceRule(kind=DeviceKind.BLOCK, major=8, allow=False)])
    assert not passes(but, BLOCK, 8, 3, READ)
    assert passes(but, BLOCK, 9, 3, READ)


def test_rules_of_one_device_add_up() -> None:
    policy = DevicePolicy.of([DeviceRule.parse("b 8:0 r"), DeviceRule.parse("b 8:0 w")])
    assert passes(policy, BLOCK, 8, 0, READ | WRITE)
    assert "b 8:0 rw" in policy.lines()


RULES = st.lists(
    st.builds(
        DeviceRule,
        kind=st.sampled_from(DeviceKind),
        major=st.sampled_from([None, 1, 8]),
        minor=st.sampled_from([None, 0, 3]),
        access=st.sampled_from(["r", "w", "m", "rw", "rwm"]),
        allow=st.booleans(),
    ),
    max_size=6,
)


@given(RULES)
def test_program_answers_as_the_list_of_v1_would(rules: Sequence[DeviceRule]) -> None:
    policy = DevicePolicy()
    for rule in rules:
        policy.add(rule)
    for kind in (BLOCK, CHARACTER):
        for major, minor in ((1, 3), (8, 0), (8, 1), (9, 9)):
            for access in range(1, 8):
                wanted = as_v1(policy, kind, major, minor, access)
                assert passes(policy, kind, major, minor, access) is wanted


@pytest.mark.parametrize(
    "word",
    ["", "c", "c 1:3", "d 1:3 r", "c 1:3 x", "c 1:3 rwmr", "c -1:3 r", "c 1:3 r\n9"],
)
def test_what_is_no_rule_is_refused(word: str) -> None:
    with pytest.raises(InvalidInput, match="not a device rule"):
        DeviceRule.parse(word)


def test_rules_are_written_as_they_are_read() -> None:
    policy = DevicePolicy.of(())
    assert [DeviceRule.parse(line) for line in policy.lines()] == list(DEFAULT)
    assert policy.lines() == [str(rule) for rule in DEFAULT]
    for word in ("a *:* rwm", "b 8:* r", "c 10:200 rw"):
        assert str(DeviceRule.parse(word)) == word
