"""The default filter is the reference profile, and the shipped program is that filter."""

from __future__ import annotations

import json
import platform
from importlib import resources
from pathlib import Path

import pytest

from wardian.errors import InvalidInput
from wardian.linux import capabilities, seccomp
from wardian.linux.capabilities import Capability

REFERENCE = Path(__file__).parents[2].parent / "shared" / "data" / "seccomp-default.json"
SETS = [
    capabilities.DEFAULT,
    frozenset[Capability](),
    capabilities.DEFAULT | {Capability.SYS_ADMIN},
    frozenset(Capability),
]


def as_set(rules: list[seccomp.Rule]) -> set[seccomp.Rule]:
    """Unconditional rules make conditional ones of the same call and action moot."""
    always = {(rule.call, rule.action) for rule in rules if not rule.conditions}
    return {r for r in rules if not r.conditions or (r.call, r.action) not in always}


@pytest.mark.parametrize("held", SETS, ids=["default", "none", "sys_admin", "all"])
def test_default_table_equals_the_reference_profile(held: frozenset[Capability]) -> None:
    if not REFERENCE.exists():
        pytest.skip("the reference profile (shared/data) is not beside this checkout")
    profile = json.loads(REFERENCE.read_text())
    ours = as_set(list(seccomp.default_rules(platform.machine(), held)))
    theirs = as_set(list(seccomp._profile_rules(profile, held)))
    assert ours == theirs


def test_shipped_program_is_what_the_table_compiles_to() -> None:
    shipped = resources.files("wardian.linux") / f"seccomp-default.{platform.machine()}.bpf"
    rules = list(seccomp.default_rules(platform.machine(), capabilities.DEFAULT))
    assert shipped.read_bytes() == seccomp._compile(rules, seccomp.ERRNO | 1)


def test_profile_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput):
        seccomp.compile_profile({"syscalls": []}, capabilities.DEFAULT)
    with pytest.raises(InvalidInput):
        seccomp.compile_profile({"defaultAction": "SCMP_ACT_DANCE"}, capabilities.DEFAULT)
