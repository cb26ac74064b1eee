"""Capabilities by name and number, as docker gives and takes them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from wardian.errors import InvalidInput, KernelRefused
from wardian.linux import capabilities
from wardian.linux.capabilities import DEFAULT, Capabilities, Capability, mask, parse
from wardian.runtime.confinement import allowed_capabilities
from wardian.runtime.spec import ContainerSpec

SPEC = ContainerSpec(name="box", image="x", lowers=())
HEADER = Path("/usr/include/linux/capability.h")


def test_numbers_are_the_kernels() -> None:
    if not HEADER.exists():
        pytest.skip("no linux/capability.h; apt-get install linux-libc-dev")
    named = re.findall(r"^#define CAP_([A-Z_]+)\s+(\d+)$", HEADER.read_text(), re.MULTILINE)
    numbers = {name: int(number) for name, number in named if name != "LAST_CAP"}
    assert numbers == {capability.name: capability.value for capability in Capability}


def test_default_set_is_dockers() -> None:
    assert f"{mask(DEFAULT):016x}" == "00000000a80425fb"


@pytest.mark.parametrize("name", ["NET_ADMIN", "net_admin", "CAP_NET_ADMIN", "cap_net_admin"])
def test_name_is_read_in_every_spelling(name: str) -> None:
    assert parse(name) is Capability.NET_ADMIN


@pytest.mark.parametrize("name", ["", "CAP_", "NET-ADMIN", "ALL", "CAP_CAP_CHOWN", "x" * 5000])
def test_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="unknown capability") as refused:
        parse(name)
    assert len(refused.value.what) < 100


@pytest.mark.parametrize(
    ("add", "drop", "allowed"),
    [
        ((), (), DEFAULT),
        (("NET_ADMIN",), (), DEFAULT | {Capability.NET_ADMIN}),
        ((), ("cap_chown",), DEFAULT - {Capability.CHOWN}),
        (("ALL",), (), frozenset(Capability)),
        (("all",), ("SYS_ADMIN",), frozenset(Capability) - {Capability.SYS_ADMIN}),
        ((), ("ALL",), frozenset()),
        (("CHOWN",), ("all",), frozenset({Capability.CHOWN})),
        (("CHOWN",), ("CHOWN",), DEFAULT - {Capability.CHOWN}),
    ],
)
def test_adding_and_dropping_follow_docker(
    add: tuple[str, ...], drop: tuple[str, ...], allowed: frozenset[Capability]
) -> None:
    assert allowed_capabilities(replace(SPEC, cap_add=add, cap_drop=drop)) == allowed


def test_sets_are_read_from_proc(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    status = tmp_path / "7/status"
    others = (
        "Name:\tx\nState:\tR (running)\nPid:\t7\nPPid:\t1\n"
        "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nThreads:\t1\n"
    )
    status.write_text(
        f"{others}CapInh:\t0000000000000001\nCapPrm:\t0000000000000003\n"
        "CapEff:\t0000000000000002\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\n"
    )
    found = Capabilities.from_proc(7, proc=str(tmp_path))
    assert found == Capabilities(2, 3, 1, mask(Capability), 0)
    assert found.has(Capability.DAC_OVERRIDE)
    assert not found.has(Capability.CHOWN)
    status.write_text(others)
    with pytest.raises(KernelRefused, match="CapEff"):
        Capabilities.from_proc(7, proc=str(tmp_path))
    with pytest.raises(KernelRefused, match="No such process"):
        Capabilities.from_proc(8, proc=str(tmp_path))


def test_given_up_capabilities_are_gone_for_good() -> None:
    kept = {Capability.CHOWN, Capability.SETPCAP}
    if not Capabilities.from_proc().has(Capability.SETPCAP):
        pytest.skip("no CAP_SETPCAP to give capabilities up with; run the tests as root")
    read_fd, write_fd = os.pipe()
    host_pid = os.fork()
    if host_pid == 0:
        try:
            capabilities.drop_bounding(kept)
            capabilities.clear_ambient()
            capabilities.set_capabilities(effective=kept, permitted=kept, inheritable=())
            found = Capabilities.from_proc()
            try:
                capabilities.set_capabilities(effective=DEFAULT, permitted=DEFAULT, inheritable=())
                again = "got them back"
            except KernelRefused as refused:
                again = refused.call
            os.write(write_fd, f"{found} {again}".encode())
        finally:
            os._exit(0)
    os.close(write_fd)
    with open(read_fd) as said:
        bits = mask(kept)
        assert said.read() == f"{Capabilities(bits, bits, 0, bits, 0)} capset"
    os.waitpid(host_pid, 0)
