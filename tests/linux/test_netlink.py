"""Batches of netlink messages: one answer for all, and each refusal by its subject."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from wardian.errors import KernelRefused
from wardian.linux import netlink
from wardian.linux.netlink import Message, Netlink

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="to change links takes root")

SETLINK, GETLINK, LOOPBACK, NOBODY = 19, 18, 1, 1 << 30


def link(kind: int, index: int, subject: str) -> Message:
    """Change nothing of a link; or ask for it."""
    return Message(kind, 0, struct.pack("=BxHiII", 0, 0, index, 0, 0), subject)


@pytest.mark.parametrize("wrong", [(0,), (1,), (2,), (0, 2)])
def test_first_that_is_refused_is_named_wherever_it_is(wrong: tuple[int, ...]) -> None:
    requests = [
        link(SETLINK, NOBODY if number in wrong else LOOPBACK, f"link {number}")
        for number in range(3)
    ]
    with Netlink.open(netlink.ROUTE) as kernel:
        with pytest.raises(KernelRefused) as caught:
            kernel.ask(*requests)
        assert caught.value.errno == errno.ENODEV
        assert f"link {wrong[0]}" in caught.value.what
        kernel.ask(link(SETLINK, LOOPBACK, "lo"), link(SETLINK, LOOPBACK, "lo"))
        answer = kernel.get(link(GETLINK, LOOPBACK, "lo"))
        assert struct.unpack_from("=i", answer, 20) == (LOOPBACK,)


def test_number_of_a_link_is_that_of_the_socket_s_namespace() -> None:
    with Netlink.open(netlink.ROUTE) as kernel:
        assert kernel.index_of("lo") == LOOPBACK
        with pytest.raises(KernelRefused) as caught:
            kernel.index_of("nobody-has-it")
        assert caught.value.errno == errno.ENODEV
