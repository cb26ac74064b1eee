"""What the filter refuses, tried from inside by number, as any program could."""

from __future__ import annotations

import errno
import json
import platform
import re

import pytest
from msgspec.structs import replace

from tests.linux.conftest import python
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import ContainerSpec

# A call, its number on x86-64, and on aarch64 (syscalls(2)).
TABLE = """
mount 165 40              umount2 166 39            unshare 272 97            setns 308 268
keyctl 250 219            bpf 321 280               add_key 248 217           request_key 249 218
perf_event_open 298 241   reboot 169 142            init_module 175 105       kexec_load 246 104
swapon 167 224            settimeofday 164 170      open_by_handle_at 304 265 userfaultfd 323 282
pivot_root 155 41         quotactl 179 60           acct 163 89               socket 41 198
personality 135 92        getpid 39 172             clone 56 220
"""
COLUMN = {"x86_64": 0, "aarch64": 1}[platform.machine()]
NUMBERS = {name: int(numbers[COLUMN]) for name, *numbers in re.findall(r"(\w+) (\d+) (\d+)", TABLE)}
# From 424 on the numbers are everybody's (syscalls(2)).
NEW = {"open_tree": 428, "move_mount": 429, "fsopen": 430, "mount_setattr": 442, "io_uring": 425}
NEWER_THAN_ANY = 5000
CLONE3 = 435
CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x20000
AF_UNIX, AF_VSOCK, AF_ALG = 1, 40, 38
REFUSED = [name for name in NUMBERS if name not in ("socket", "personality", "getpid", "clone")]


@pytest.fixture
def lab(client: Client, spec: ContainerSpec, base_layers: tuple[str, ...]) -> Container:
    return client.run(replace(spec, lowers=base_layers))


def call(container: Container, *calls: tuple[int, ...]) -> list[int]:
    """Make system calls in one process inside: 0 or more for success, -errno for failure."""
    program = f"""
        import ctypes, json
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall.restype = ctypes.c_long
        results = []
        for number, *arguments in {[list(one) for one in calls]}:
            result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
            results.append(-ctypes.get_errno() if result < 0 else result)
        print(json.dumps(results))
    """
    code, text = python(container, program)
    assert code == 0, text
    found: list[int] = json.loads(text)
    return found


def test_dangerous_calls_are_refused_whatever_their_arguments(lab: Container) -> None:
    """With zeros for arguments the kernel would say EFAULT or EINVAL: EPERM is the filter's."""
    found = call(lab, *((NUMBERS[name], 0, 0, 0, 0, 0, 0) for name in REFUSED))
    assert dict(zip(REFUSED, found, strict=True)) == dict.fromkeys(REFUSED, -errno.EPERM)


def test_calls_of_the_new_mount_interface_are_refused(lab: Container) -> None:
    found = call(lab, *((number, 0, 0, 0, 0, 0) for number in NEW.values()))
    assert dict(zip(NEW, found, strict=True)) == dict.fromkeys(NEW, -errno.EPERM)


def test_unknown_newer_call_is_not_implemented_so_that_programs_fall_back(lab: Container) -> None:
    assert call(lab, (NEWER_THAN_ANY, 0), (CLONE3, 0, 0)) == [-errno.ENOSYS] * 2


def test_namespaces_are_not_made_by_flags_of_clone(lab: Container) -> None:
    flags = (CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWUSER | CLONE_NEWNS)
    assert call(lab, *((NUMBERS["clone"], one, 0, 0, 0, 0) for one in flags)) == [-errno.EPERM] * 3
    assert call(lab, *((NUMBERS["unshare"], one) for one in flags)) == [-errno.EPERM] * 3


def test_sockets_are_for_the_network_and_not_for_the_machine_monitor(lab: Container) -> None:
    vsock, unix = call(lab, (NUMBERS["socket"], AF_VSOCK, 1, 0), (NUMBERS["socket"], AF_UNIX, 1, 0))
    assert vsock == -errno.EPERM
    assert unix >= 0


def test_personality_that_weakens_programs_is_refused(lab: Container) -> None:
    read_implies_exec = 0x0400000
    usual = 0x0
    assert call(lab, (NUMBERS["personality"], read_implies_exec)) == [-errno.EPERM]
    assert call(lab, (NUMBERS["personality"], usual)) == [0]


def test_other_machine_numbers_are_no_way_round(lab: Container) -> None:
    """x32 calls are native ones with bit 30 set; their filter is as strict."""
    if platform.machine() != "x86_64":
        pytest.skip("x32 is for x86-64 alone")
    x32 = 0x40000000
    assert call(lab, (x32 | NUMBERS["mount"], 0, 0, 0, 0, 0))[0] in (-errno.EPERM, -errno.ENOSYS)
    assert call(lab, (x32 | NUMBERS["unshare"], CLONE_NEWUSER))[0] in (-errno.EPERM, -errno.ENOSYS)


def test_filter_cannot_be_taken_off(lab: Container) -> None:
    code, text = python(
        lab,
        """
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        print(libc.prctl(22, 0, 0, 0, 0), libc.prctl(38, 0, 0, 0, 0), flush=True)
        if os.fork() == 0:
            print(libc.unshare(0x10000000), flush=True)
            os._exit(0)
        os.wait()
        """,
    )
    assert (code, text.split()) == (0, ["-1", "-1", "-1"])


def test_unconfined_container_has_no_filter_and_its_own_profile_has_that(
    client: Client, spec: ContainerSpec, base_layers: tuple[str, ...]
) -> None:
    free = client.run(replace(spec, name="free", lowers=base_layers, seccomp="unconfined"))
    (result,) = call(free, (NUMBERS["keyctl"], 0, 0, 0, 0, 0))
    assert result != -errno.EPERM
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["getpid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 11}],
    }
    own = replace(spec, name="own", lowers=base_layers, seccomp=json.dumps(profile))
    assert call(client.run(own), (NUMBERS["getpid"],)) == [-11]


def test_capability_opens_the_calls_that_go_with_it(
    client: Client, spec: ContainerSpec, base_layers: tuple[str, ...]
) -> None:
    able = client.run(replace(spec, lowers=base_layers, cap_add=("SYS_ADMIN",)))
    mount, unshare = call(able, (NUMBERS["mount"], 0, 0, 0, 0, 0), (NUMBERS["unshare"], 0))
    assert mount == -errno.EFAULT
    assert unshare == 0
