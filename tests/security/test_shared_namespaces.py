"""What is lost with a namespace that is shared, and what is not; the same for --privileged.

Rows of the list of attacks in `tests.security`: CVE-2019-5736 and "who may talk to the keeper"
where init is not PID 1, CVE-2022-0492 with the host's view of the cgroups, CVE-2025-52881 with
nothing of /proc hidden.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.conftest import shell, wait_until
from wardian.errors import InvalidInput, WardianError
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.sharing import Sharing
from wardian.runtime.spec import ContainerSpec, ProcessSpec
from wardian.runtime.state import Status

pytestmark = pytest.mark.usefixtures("untouched")
HOST_PIDS = Sharing(pid="host", ipc="host", uts="host", cgroup="host")


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the host's, of our own user, with a secret in its environment."""
    program = "import sys; print(flush=True); sys.stdin.read()"
    secret = {**os.environ, "SECRET": "of-the-host"}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=secret
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def guest_of(client: Client, spec: ContainerSpec, lender: Container) -> Container:
    shared = Sharing(pid=f"container:{lender.id}", ipc=f"container:{lender.id}")
    return client.run(replace(spec, name="guest", sharing=shared))


def last_words(container: Container, command: str) -> None:
    """What ends its own container, whose init is a process like others here."""
    with suppress(WardianError):
        shell(container, command)
    wait_until(lambda: container.info.status is Status.EXITED)


@pytest.mark.parametrize("powers", [(), ("ALL",)])
def test_processes_of_the_host_are_seen_and_not_reached(
    client: Client,
    spec: ContainerSpec,
    victim: subprocess.Popen[bytes],
    powers: tuple[str, ...],
) -> None:
    seccomp = "unconfined" if powers else "default"
    wide = replace(spec, sharing=HOST_PIDS, cap_add=powers, seccomp=seccomp)
    container = client.run(wide)
    at = f"/proc/{victim.pid}"
    assert shell(container, f"cat {at}/comm")[0] == 0
    for attack in (
        f"kill -9 {victim.pid}",
        f"cat {at}/environ",
        f"ls {at}/root/",
        f"ls {at}/cwd/",
        f"ls -l {at}/fd/",
        f"echo x >{at}/comm",
        f"echo 1000 >{at}/oom_score_adj",
        f"dd if=/dev/zero of={at}/mem bs=1 count=1",
        f"nsenter -t {victim.pid} -m -u ls /",
    ):
        code, text = shell(container, attack)
        assert code != 0, (attack, text)
        assert "of-the-host" not in text
    last_words(container, "kill -9 -1")
    assert victim.poll() is None


def test_hosts_name_cannot_be_changed_from_a_container_that_shares_it(
    client: Client, spec: ContainerSpec
) -> None:
    before = os.uname().nodename
    wide = replace(spec, sharing=HOST_PIDS, cap_add=("ALL",), seccomp="unconfined")
    assert shell(client.run(wide), "hostname taken")[0] != 0
    assert os.uname().nodename == before


@pytest.mark.parametrize("powers", [(), ("ALL",)])
def test_hosts_cgroups_are_seen_and_not_written(
    client: Client, spec: ContainerSpec, powers: tuple[str, ...]
) -> None:
    """CVE-2022-0492 and leaving one's cgroup, with the host's view of the groups."""
    seccomp = "unconfined" if powers else "default"
    wide = replace(spec, sharing=HOST_PIDS, cap_add=powers, seccomp=seccomp)
    container = client.run(wide)
    assert shell(container, "ls /sys/fs/cgroup")[1].split()
    script = """
        # Others' groups may go while they are being found.
        files=$(find /sys/fs/cgroup -name release_agent -o -name cgroup.procs 2>/dev/null)
        test -n "$files" || echo none found
        for file in $files; do
            echo 0 2>/dev/null >$file && echo written $file
        done
        mount -o remount,rw /sys/fs/cgroup 2>/dev/null && echo remounted
        true
    """
    assert shell(container, script) == (0, "")


def test_inits_that_are_not_the_first_process_cannot_be_read_or_traced(
    client: Client, spec: ContainerSpec, box: Container
) -> None:
    """Guest and lender have the same root, so only init's own walls are between them."""
    guest = guest_of(client, spec, box)
    script = """
        for each in /proc/[0-9]*; do
            grep -q wardian-init $each/comm 2>/dev/null || continue
            echo found
            for file in environ maps mem exe auxv; do
                cat $each/$file >/dev/null 2>&1 && echo read $file
            done
            for folder in root cwd fd; do ls $each/$folder/ >/dev/null 2>&1 && echo in $folder; done
            echo x 2>/dev/null >$each/mem && echo wrote
        done; true
    """
    for container in (guest, box):
        assert shell(container, script) == (0, "found\nfound\n")


def test_guest_whose_init_is_killed_ends_and_its_lender_does_not(
    client: Client, spec: ContainerSpec, box: Container
) -> None:
    guest = guest_of(client, spec, box)
    guest.spawn(ProcessSpec(argv=("sleep", "5000")), {})
    ours = shell(box, "grep -l wardian-init /proc/[0-9]*/comm")[1].split()
    (init,) = (path.split("/")[2] for path in ours if path != "/proc/1/comm")
    last_words(guest, f"kill -9 {init}")
    wait_until(lambda: client.container("guest").info.status is Status.EXITED)
    wait_until(lambda: "5000" not in shell(box, "ps -o args")[1])
    assert box.info.status is Status.RUNNING


def test_guest_that_ends_everything_that_it_sees_ends_no_other(
    client: Client, spec: ContainerSpec, box: Container
) -> None:
    """PID 1 of the lender is protected by its namespace, and a third container by its own."""
    third = client.run(replace(spec, name="third"))
    third.spawn(ProcessSpec(argv=("sleep", "6000")), {})
    guest = guest_of(client, spec, box)
    last_words(guest, "kill -9 -1")
    assert "6000" in shell(third, "ps -o args")[1]
    assert box.info.status is Status.RUNNING


def test_privileged_container_is_root_of_its_user_namespace_only(
    client: Client, spec: ContainerSpec
) -> None:
    """CVE-2025-52881's targets, with nothing hidden and no filter."""
    wide = replace(spec, cap_add=("ALL",), seccomp="unconfined", hides_paths=False)
    container = client.run(wide)
    for attack in (
        "echo '|/x' >/proc/sys/kernel/core_pattern",
        "echo /x >/proc/sys/kernel/modprobe",
        "echo h >/proc/sysrq-trigger",
        "echo 1 >/proc/sys/vm/drop_caches",
        "cat /proc/kcore",
        "mknod /tmp/disk b 8 0 && cat /tmp/disk",
        "insmod /bin/busybox",
        "chroot /proc/1/root/.. test -e /nowhere",
        "! date -s 2000-01-01 2>&1 | grep 'not permitted'",
        "swapoff -a; reboot -f",
    ):
        code, text = shell(container, attack)
        assert code != 0, (attack, text)
    assert Path("/proc/sys/kernel/core_pattern").read_text().strip() != "|/x"


def test_kernel_parameter_s_name_is_no_path(client: Client, spec: ContainerSpec) -> None:
    for name in ("net/../kernel/core_pattern", "net.../x", "/kernel/core_pattern", "net. x"):
        with pytest.raises(InvalidInput):
            client.run(replace(spec, name="lost", sysctls={name: "|/x"}))
    assert client.list() == []
