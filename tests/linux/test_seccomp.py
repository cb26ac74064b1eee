"""What the default filter does to a process that is under it."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest

from tests.linux.child import in_child
from wardian.errors import KernelRefused
from wardian.linux import capabilities, process, seccomp
from wardian.linux.capabilities import Capability
from wardian.linux.libseccomp import ARCHES, number_of
from wardian.linux.namespaces import CLONE_NEWUSER

pytestmark = pytest.mark.skipif(
    platform.machine() not in ARCHES, reason="there is no filter for this machine"
)
EPERM, ENOSYS = errno.EPERM, errno.ENOSYS
# Arguments that would succeed or fail in another way if the filter let them through.
REFUSED = {
    "keyctl": (0, 0, 0),
    "add_key": (0, 0, 0, 0, 0),
    "mount": (0, 0, 0, 0, 0),
    "umount2": (0, 0),
    "pivot_root": (0, 0),
    "fsopen": (0, 0),
    "open_tree": (-1, 0, 0),
    "move_mount": (-1, 0, -1, 0, 0),
    "mount_setattr": (-1, 0, 0, 0, 0),
    "unshare": (CLONE_NEWUSER,),
    "setns": (-1, 0),
    "bpf": (0, 0, 0),
    "perf_event_open": (0, 0, -1, -1, 0),
    "open_by_handle_at": (-1, 0, 0),
    "init_module": (0, 0, 0),
    "kexec_load": (0, 0, 0, 0),
    "reboot": (0, 0, 0, 0),
    "swapon": (0, 0),
    "acct": (0,),
    "settimeofday": (0, 0),
    "userfaultfd": (0,),
    "io_uring_setup": (1, 0),
    "personality": (0x0400000,),  # READ_IMPLIES_EXEC
    "clone": (CLONE_NEWUSER | 17, 0, 0, 0, 0),
}
NOT_THERE = {"clone3": (0, 0), "a call of the future": (0,)}


def call(name: str, arguments: tuple[int, ...]) -> int:
    """The error number that a system call gives; 0 if it succeeds."""
    number = (
        5000 if name not in {*REFUSED, "clone3"} else number_of(name, ARCHES[platform.machine()])
    )
    libc = ctypes.PyDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    ctypes.set_errno(0)
    libc.syscall(ctypes.c_long(number or 0), *map(ctypes.c_long, arguments))
    return ctypes.get_errno()


def filtered(
    deed: Callable[[], object], held: frozenset[Capability] = capabilities.DEFAULT
) -> object:
    """In a child under the default filter."""
    program = seccomp.compile_default(held)

    def confined() -> object:
        process.set_no_new_privs()
        seccomp.load(program)
        return deed()

    return in_child(confined)


@pytest.mark.parametrize("name", REFUSED)
def test_call_is_refused_as_the_reference_profile_refuses_it(name: str) -> None:
    assert filtered(lambda: call(name, REFUSED[name])) == EPERM


@pytest.mark.parametrize("name", NOT_THERE)
def test_call_seems_not_to_be_there_so_that_programs_fall_back(name: str) -> None:
    assert filtered(lambda: call(name, NOT_THERE[name])) == ENOSYS


def test_what_programs_need_works() -> None:
    def deed() -> list[int]:
        read_fd, write_fd = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write_fd, b"x")
            os._exit(3)
        assert os.read(read_fd, 1) == b"x"
        with socket.socket(socket.AF_UNIX), socket.socket(socket.AF_INET):
            pass
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return [status, call("personality", (0xFFFFFFFF,))]

    assert filtered(deed) == [3, 0]


def test_vsock_and_crypto_sockets_are_refused() -> None:
    def deed() -> list[int | None]:
        errors: list[int | None] = []
        for family in (socket.AF_VSOCK, socket.AF_ALG):
            try:
                socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:
                errors.append(error.errno)
        return errors

    assert filtered(deed) == [EPERM, EPERM]


def test_capability_opens_its_calls() -> None:
    held = capabilities.DEFAULT | {Capability.SYS_ADMIN}
    assert filtered(lambda: call("bpf", (99, 0, 0)), held) == errno.EINVAL
    assert filtered(lambda: call("keyctl", (0, 0, 0)), held) == EPERM


def test_filter_is_for_good_and_for_all_children() -> None:
    def deed() -> list[object]:
        inherited = in_child_by_fork(lambda: call("keyctl", (0, 0, 0)))
        seccomp.load(seccomp.compile_default(frozenset(Capability)))  # only ever stricter
        return [inherited, call("mount", (0, 0, 0, 0, 0))]

    assert filtered(deed) == [EPERM, EPERM]


def in_child_by_fork(deed: Callable[[], int]) -> int:
    child = os.fork()
    if child == 0:
        os._exit(deed())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_filter_needs_no_new_privs_from_those_without_rights() -> None:
    def deed() -> int:
        capabilities.set_capabilities(effective=(), permitted=(), inheritable=())
        with pytest.raises(KernelRefused) as refused:
            seccomp.load(seccomp.compile_default(capabilities.DEFAULT))
        return refused.value.errno

    assert in_child(deed) == errno.EACCES


def test_program_that_is_none_is_refused_by_the_kernel() -> None:
    def deed() -> int:
        process.set_no_new_privs()
        with pytest.raises(KernelRefused) as refused:
            seccomp.load(b"\xff" * 8)
        return refused.value.errno

    assert in_child(deed) == errno.EINVAL


def test_default_filter_is_loaded_without_libseccomp() -> None:
    code = """
    from wardian.linux import capabilities, process, seccomp
    process.set_no_new_privs()
    seccomp.load(seccomp.compile_default(capabilities.DEFAULT))
    print("libseccomp" in open("/proc/self/maps").read())
    """
    program = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)]
    assert subprocess.check_output(program, text=True) == "False\n"
