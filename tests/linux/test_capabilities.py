"""Giving up capabilities, for good."""

from __future__ import annotations

import errno
import os

import pytest

from tests.linux.child import in_child
from wardian.errors import KernelRefused
from wardian.linux import capabilities, process
from wardian.linux.capabilities import Capabilities, Capability

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to give up")
KEPT = frozenset({Capability.CHOWN, Capability.SETPCAP})


def sets() -> list[int]:
    found = Capabilities.from_proc()
    return [found.effective, found.permitted, found.inheritable, found.bounding, found.ambient]


def test_bounding_set_keeps_only_what_is_named() -> None:
    def deed() -> int:
        capabilities.drop_bounding(KEPT)
        return Capabilities.from_proc().bounding

    before = Capabilities.from_proc().bounding
    assert in_child(deed) == capabilities.mask(KEPT) & before


def test_sets_are_what_was_set() -> None:
    def deed() -> list[int]:
        capabilities.set_capabilities(
            effective={Capability.CHOWN}, permitted=KEPT, inheritable={Capability.CHOWN}
        )
        capabilities.clear_ambient()
        return sets()

    chown, both = capabilities.mask({Capability.CHOWN}), capabilities.mask(KEPT)
    assert in_child(deed)[:3] == [chown, both, chown]
    assert in_child(deed)[4] == 0


def test_capability_above_the_thirty_second_is_set_too() -> None:
    high = frozenset({Capability.CHECKPOINT_RESTORE})

    def deed() -> list[int]:
        capabilities.set_capabilities(effective=high, permitted=high, inheritable=())
        return sets()

    assert in_child(deed)[:2] == [1 << 40, 1 << 40]


def test_what_was_given_up_cannot_be_taken_back() -> None:
    def deed() -> int:
        capabilities.set_capabilities(effective=(), permitted=(), inheritable=())
        try:
            capabilities.set_capabilities(effective=KEPT, permitted=KEPT, inheritable=())
        except KernelRefused as refused:
            return refused.errno
        return 0

    assert in_child(deed) == errno.EPERM


def test_permitted_capabilities_survive_a_change_of_user_only_when_kept() -> None:
    def deed(*, keep: bool) -> int:
        process.set_keep_capabilities(keep)
        os.setresuid(65534, 65534, 65534)
        return Capabilities.from_proc().permitted

    before = Capabilities.from_proc().permitted
    assert in_child(lambda: deed(keep=True)) == before
    assert in_child(lambda: deed(keep=False)) == 0
