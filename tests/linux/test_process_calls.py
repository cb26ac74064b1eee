"""clone3, pidfds and what a process may say of itself."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import struct
import sys
from pathlib import Path

import pytest

from tests.linux.child import in_child, running
from tests.linux.conftest import wait_until
from wardian.cgroups.hierarchy import Hierarchy
from wardian.cgroups.limits import Limits
from wardian.errors import KernelRefused
from wardian.linux import process, seccomp
from wardian.linux.libseccomp import ALLOW, ERRNO
from wardian.linux.namespaces import CLONE_NEWPID, CLONE_NEWUSER, Namespace
from wardian.linux.syscall import number

PR_GET_DUMPABLE, PR_GET_PDEATHSIG, PR_GET_NO_NEW_PRIVS, PR_GET_CHILD_SUBREAPER = 3, 2, 39, 37


def prctl_get(option: int) -> int:
    return int(ctypes.PyDLL(None).prctl(option, 0, 0, 0, 0))


def prctl_read(option: int) -> int:
    """For options whose answer is written to an address."""
    value = ctypes.c_int(-1)
    assert ctypes.PyDLL(None).prctl(option, ctypes.byref(value), 0, 0, 0) == 0
    return value.value


# --- clone3 ----------------------------------------------------------------------------------


def test_parent_gets_a_pid_and_a_pidfd_of_the_same_child() -> None:
    host_pid, pidfd = process.clone3(0)
    if host_pid == 0:
        os._exit(7 if pidfd == -1 else 1)
    try:
        fields = Path(f"/proc/self/fdinfo/{pidfd}").read_text().split()
        assert int(fields[fields.index("Pid:") + 1]) == host_pid
        assert not os.get_inheritable(pidfd)
        assert select.select([pidfd], [], [], 10)[0] == [pidfd]
        assert os.waitstatus_to_exitcode(os.waitpid(host_pid, 0)[1]) == 7
    finally:
        os.close(pidfd)


def test_interpreter_hears_of_the_fork_in_the_child_alone() -> None:
    forks = []
    os.register_at_fork(after_in_child=lambda: forks.append(os.getpid()))
    parent = os.getpid()
    host_pid, pidfd = process.clone3(0)
    if host_pid == 0:
        os._exit(5 if forks == [os.getpid()] and os.getppid() == parent else 1)
    os.close(pidfd)
    assert os.waitstatus_to_exitcode(os.waitpid(host_pid, 0)[1]) == 5
    assert forks == []


def test_child_is_pid_one_of_its_new_namespace() -> None:
    assert in_child(os.getpid, CLONE_NEWPID | CLONE_NEWUSER) == 1


def test_refused_clone_leaves_the_parent_as_it_was() -> None:
    def deed() -> list[int]:
        before = len(os.listdir("/proc/self/fd"))
        os.setresuid(65534, 65534, 65534)
        with pytest.raises(KernelRefused) as refused:
            process.clone3(CLONE_NEWPID)
        assert in_child(lambda: 5) == 5  # it can fork as ever
        return [refused.value.errno, len(os.listdir("/proc/self/fd")) - before]

    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else; run the tests as root")
    assert in_child(deed) == [errno.EPERM, 0]


def test_clone_is_used_where_a_filter_hides_clone3() -> None:
    def deed() -> list[int]:
        hide("clone3")
        host_pid, pidfd = process.clone3(CLONE_NEWPID | CLONE_NEWUSER)
        if host_pid == 0:
            os._exit(os.getpid())
        fields = Path(f"/proc/self/fdinfo/{pidfd}").read_text().split()
        named = int(fields[fields.index("Pid:") + 1])
        return [named - host_pid, os.waitstatus_to_exitcode(os.waitpid(host_pid, 0)[1])]

    assert in_child(deed) == [0, 1]


def test_child_is_in_its_group_though_clone3_is_hidden() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may make a group anywhere; run the tests as root")
    group = Hierarchy.detect().cgroup(f"wardian-hidden-{os.getpid()}")
    group.create(Limits())
    cgroup_fd = group.clone_fd()
    if cgroup_fd is None:
        group.remove()
        pytest.skip("this host has no cgroup v2; see tests/vm")

    def deed() -> str:
        hide("clone3")
        with running(flags=CLONE_NEWUSER, cgroup_fd=cgroup_fd) as host_pid:
            wait_until(lambda: str(host_pid) in procs.read_text().split())
        return "there"

    procs = group.paths["unified" if "unified" in group.paths else ""] / "cgroup.procs"
    try:
        assert in_child(deed) == "there"
    finally:
        os.close(cgroup_fd)
        wait_until(lambda: procs.read_text() == "")
        group.remove()


def hide(call: str) -> None:
    """Make a call give ENOSYS from here on."""
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, number(call)), (0x06, 0, 0, ERRNO | errno.ENOSYS)]
    code.append((0x06, 0, 0, ALLOW))
    process.set_no_new_privs()
    seccomp.load(b"".join(struct.pack("=HBBI", *one) for one in code))


# --- pidfds ----------------------------------------------------------------------------------


def test_signal_by_pidfd_reaches_the_process() -> None:
    with running() as host_pid:
        pidfd = process.pidfd_open(host_pid)
        process.pidfd_send_signal(pidfd, signal.SIGSTOP)
        flags = os.WSTOPPED | os.WNOWAIT
        stopped = os.waitid(os.P_PIDFD, pidfd, flags)
        assert stopped is not None and stopped.si_status == signal.SIGSTOP
        os.close(pidfd)


def test_pidfd_of_a_process_that_is_gone_reaches_nobody() -> None:
    host_pid, pidfd = process.clone3(0)
    if host_pid == 0:
        os._exit(0)
    os.waitpid(host_pid, 0)
    with pytest.raises(KernelRefused) as refused:
        process.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
    assert refused.value.errno == errno.ESRCH
    with pytest.raises(KernelRefused) as unknown:
        process.pidfd_open(host_pid)
    assert unknown.value.errno == errno.ESRCH


def test_close_range_closes_from_first_to_last() -> None:
    def deed() -> list[bool]:
        for fd in (500, 501, 502, 503):
            os.dup2(0, fd)
        process.close_range(501, 502)
        inner = [os.path.exists(f"/proc/self/fd/{fd}") for fd in (500, 501, 502, 503)]
        process.close_range(500)
        return [*inner, os.path.exists("/proc/self/fd/500"), os.path.exists("/proc/self/fd/503")]

    assert in_child(deed) == [True, False, False, True, False, False]


# --- prctl -----------------------------------------------------------------------------------


def test_no_new_privs_is_for_good() -> None:
    def deed() -> int:
        process.set_no_new_privs()
        return prctl_get(PR_GET_NO_NEW_PRIVS)

    assert in_child(deed) == 1
    assert prctl_get(PR_GET_NO_NEW_PRIVS) == 0


def test_process_that_is_not_dumpable_keeps_its_memory_from_its_own_user() -> None:
    def deed() -> list[int]:
        process.set_dumpable(False)
        closed = prctl_get(PR_GET_DUMPABLE)
        owner = os.stat("/proc/self/mem").st_uid
        process.set_dumpable(True)
        return [closed, prctl_get(PR_GET_DUMPABLE), owner]

    assert in_child(deed) == [0, 1, 0]


def test_child_dies_with_its_parent_where_it_asks_to() -> None:
    def deed() -> int:
        grandchild = os.fork()
        if grandchild == 0:
            process.set_parent_death_signal(signal.SIGKILL)
            os.write(ready_write, b"x")
            signal.pause()
        os.read(ready_read, 1)
        return grandchild

    ready_read, ready_write = os.pipe2(os.O_CLOEXEC)
    orphan = in_child(deed)
    os.close(ready_read)
    os.close(ready_write)
    wait_until(lambda: not os.path.exists(f"/proc/{orphan}/exe"))


def test_parent_death_signal_is_the_one_set() -> None:
    def deed() -> int:
        process.set_parent_death_signal(signal.SIGTERM)
        return prctl_read(PR_GET_PDEATHSIG)

    assert in_child(deed) == signal.SIGTERM


def test_orphans_come_to_the_subreaper() -> None:
    def deed() -> bool:
        process.set_child_subreaper()
        child = os.fork()
        if child == 0:
            grandchild = os.fork()
            if grandchild == 0:
                while os.getppid() == child:
                    os.sched_yield()
                os._exit(9)
            os._exit(0)
        os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(os.wait()[1]) == 9

    assert in_child(deed)
    assert prctl_read(PR_GET_CHILD_SUBREAPER) == 0


@pytest.mark.parametrize(
    ("name", "shown"),
    [("wardian-init", "wardian-init"), ("a-name-that-is-too-long", "a-name-that-is-")],
)
def test_name_is_what_proc_shows(name: str, shown: str) -> None:
    def deed() -> str:
        process.set_name(name)
        return Path("/proc/self/comm").read_text().strip()

    assert in_child(deed) == shown


def test_title_replaces_the_command_line() -> None:
    def deed(title: str) -> bytes:
        process.set_title(title)
        return Path("/proc/self/cmdline").read_bytes()

    before = Path("/proc/self/cmdline").read_bytes()
    short = in_child(lambda: deed("wardian-keeper").rstrip(b"\0").decode())
    assert short == "wardian-keeper"
    assert in_child(lambda: len(deed("x" * 10_000))) <= len(before)
    assert Path("/proc/self/cmdline").read_bytes() == before


# --- the cost of a start ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "module", ["process", "mount", "namespaces", "openat2", "capabilities", "idmap", "seccomp"]
)
def test_start_path_imports_nothing_heavy(module: str) -> None:
    read_fd, write_fd = os.pipe()
    code = f"import sys, os; import wardian.linux.{module}; print(*sys.modules)"
    actions = [(os.POSIX_SPAWN_DUP2, write_fd, 1)]
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    host_pid = os.posix_spawn(
        sys.executable, [sys.executable, "-c", code], environment, file_actions=actions
    )
    os.close(write_fd)
    with open(read_fd) as said:
        loaded = set(said.read().split())
    assert os.waitstatus_to_exitcode(os.waitpid(host_pid, 0)[1]) == 0
    assert f"wardian.linux.{module}" in loaded
    heavy = {"pyroute2", "ctypes.util", "asyncio", "json", "importlib.resources", "dataclasses"}
    assert not loaded & heavy


def test_namespace_of_a_child_is_its_own() -> None:
    with running(flags=CLONE_NEWUSER) as host_pid:
        assert Namespace.of(host_pid, "user") != Namespace.of(os.getpid(), "user")
        assert Namespace.of(host_pid, "net") == Namespace.of(os.getpid(), "net")
