"""What a container's root may not: capabilities, groups, terminals, set-id programs, user words."""

from __future__ import annotations

import os
import pty
import re
import select
import textwrap
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.conftest import shell
from wardian.errors import CommandFailed, InvalidInput
from wardian.linux import capabilities
from wardian.linux.capabilities import Capabilities, mask
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.logs import read as read_log
from wardian.runtime.spec import Bind, ContainerSpec, ProcessSpec, UserNamespace

pytestmark = pytest.mark.usefixtures("untouched")
STATUS = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status"


def sets(text: str) -> Capabilities:
    found = dict(re.findall(r"^Cap(\w+):\s+([0-9a-f]+)$", text, re.MULTILINE))
    return Capabilities(*(int(found[name], 16) for name in ("Eff", "Prm", "Inh", "Bnd", "Amb")))


# --- CVE-2022-27650, 27651, 24769: inheritable capabilities ----------------------------------


def test_no_process_has_inheritable_or_ambient_capabilities(
    client: Client, spec: ContainerSpec
) -> None:
    main = ProcessSpec(argv=("sh", "-c", STATUS))
    container = client.run(replace(spec, process=main))
    container.wait()
    log = "".join(line.log for line in read_log(Path(container.info.log_directory)))
    container.remove()
    box = client.run(spec)
    default = mask(capabilities.DEFAULT)
    assert sets(log) == Capabilities(default, default, 0, default, 0)
    assert sets(shell(box, STATUS)[1]) == sets(log)
    assert sets(shell(box, STATUS, user="1000:1000")[1]) == Capabilities(0, 0, 0, default, 0)
    for text in (log, shell(box, STATUS, user="1000:1000")[1]):
        assert re.search(r"NoNewPrivs:\s+1\b", text)
        assert re.search(r"Seccomp:\s+2\b", text)


@pytest.mark.parametrize(
    ("add", "drop"), [((), ("ALL",)), (("SYS_PTRACE",), ()), (("ALL",), ("SYS_ADMIN",))]
)
def test_sets_are_what_was_asked_for(
    client: Client, spec: ContainerSpec, add: tuple[str, ...], drop: tuple[str, ...]
) -> None:
    from wardian.runtime.confinement import allowed_capabilities

    asked = replace(spec, cap_add=add, cap_drop=drop)
    box = client.run(asked)
    bits = mask(allowed_capabilities(asked))
    assert sets(shell(box, STATUS)[1]) == Capabilities(bits, bits, 0, bits, 0)
    assert sets(shell(box, STATUS, user="1000:1000")[1]).effective == 0


def test_container_root_is_nobody_special_on_the_host(box: Container, tmp_path: Path) -> None:
    with box.spawn(ProcessSpec(argv=("sleep", "1000"))) as process:
        status = Path(f"/proc/{process.host_pid}/status").read_text()
        uids = re.search(r"^Uid:\s+(.*)$", status, re.MULTILINE)
        # A user has no ranges to give: there it is the user.
        nobody = box.info.first_host_id if os.geteuid() == 0 else os.geteuid()
        assert uids and set(uids[1].split()) == {str(nobody)}
        process.signal(9)


# --- setgroups, and files that a group is denied ----------------------------------------------


def test_group_that_is_denied_a_file_cannot_be_dropped(
    client: Client, spec: ContainerSpec, tmp_path: Path
) -> None:
    """0604 and group plant: everybody may read it but plant's group."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to another group; run the tests as root")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_text("hidden")
    os.chown(secret / "file", 0, 1000)
    (secret / "file").chmod(0o604)
    secret.chmod(0o755)
    box = client.run(replace(spec, binds=(Bind(source=str(secret), target="/secret"),)))
    assert shell(box, "cat /secret/file", user="1000:1000")[0] != 0
    assert shell(box, "cat /secret/file", user="1000:0")[0] == 0  # not in that group
    for dropping in ("setpriv --clear-groups", "busybox su nobody -c"):
        assert shell(box, f"{dropping} cat /secret/file", user="1000:1000")[0] != 0


def test_users_have_their_groups_and_only_root_changes_them(box: Container) -> None:
    assert shell(box, "id -G; cat /proc/self/setgroups", user="plant") == (0, "1000 2000\nallow\n")
    assert shell(box, "su plant -c 'id -G'") == (0, "1000 2000\n")
    assert shell(box, "setpriv --clear-groups id -G; busybox su root -c id", user="plant")[0] != 0


# --- CVE-2017-5226: typing into the terminal outside ------------------------------------------


def test_nothing_typed_from_inside_is_read_outside(lab: Container) -> None:
    """TIOCSTI on the terminal that a process is given as a descriptor, and on its own."""
    program = """
        import fcntl, os, termios
        for fd in (0, 3):
            try:
                for byte in b"id\\n":
                    fcntl.ioctl(fd, termios.TIOCSTI, bytes([byte]))
                print("typed", fd)
            except OSError as error:
                print(fd, error.strerror)
        try:
            os.open("/dev/tty", os.O_RDWR)
            print("has a terminal")
        except OSError as error:
            print("tty", error.strerror)
    """
    master, slave = pty.openpty()
    read_fd, write_fd = os.pipe()
    spec = ProcessSpec(argv=("python3", "-c", textwrap.dedent(program)))
    process = lab.spawn(spec, {0: slave, 1: write_fd, 2: write_fd, 3: slave})
    os.close(write_fd)
    with open(read_fd) as said, process:
        lines = said.read().splitlines()
        assert process.wait(20) == 0
    assert not [line for line in lines if line.startswith(("typed", "has"))], lines
    assert len(lines) == 3
    os.set_blocking(slave, False)
    assert not select.select([slave], [], [], 0)[0]
    os.close(master)
    os.close(slave)


def test_every_process_has_a_session_of_its_own(box: Container) -> None:
    for options in ({}, {"user": "1000:1000"}):
        fields = shell(box, "cat /proc/self/stat; echo $$", **options)[1].split()
        assert fields[5] == fields[-1]  # session id: the shell that was spawned
    assert shell(box, "cat /proc/1/stat")[1].split()[5] == "1"


# --- CVE-2026-30892: words for users ----------------------------------------------------------


@pytest.mark.parametrize(
    "word",
    [
        "",
        "0x0",
        "1000:",
        "-1",
        "4294967295",
        "root:nosuch",
        ":",
        "00",
        " 0",
        "0 ",
        "65536",
        "0:65536",
    ],
)
def test_word_that_is_no_user_starts_nothing(box: Container, word: str) -> None:
    with pytest.raises(CommandFailed) as refused:
        box.spawn(ProcessSpec(argv=("sh", "-c", "touch /ran"), user=word))
    assert refused.value.exit_code == 126
    assert not (Path(box.info.upper) / "ran").exists()


def test_hostile_passwd_delays_nobody(box: Container) -> None:
    shell(box, "rm /etc/passwd /etc/group; mkfifo /etc/passwd; ln -s /proc/self/mem /etc/group")
    for _ in range(2):
        uids = shell(box, "grep Uid: /proc/self/status", user="1000:1000")[1]
        assert uids.split()[1] == "1000"
        with pytest.raises(CommandFailed):
            box.spawn(ProcessSpec(argv=("true",), user="plant"))
        shell(box, "rm /etc/passwd; truncate -s 2G /etc/passwd")


def test_unknown_capability_or_profile_makes_no_container(
    client: Client, spec: ContainerSpec
) -> None:
    for wrong in (
        replace(spec, cap_add=("NOSUCH",)),
        replace(spec, cap_drop=("NOSUCH",)),
        replace(spec, seccomp='{"defaultAction": "SCMP_ACT_NOSUCH"}'),
    ):
        with pytest.raises(InvalidInput):
            client.run(wrong)
    assert client.list() == []


# --- without a user namespace -----------------------------------------------------------------


@pytest.fixture
def host_ids(client: Client, spec: ContainerSpec) -> Container:
    """A container whose root is the host's."""
    if os.geteuid() != 0:
        pytest.skip("only root can do without a user namespace; run the tests as root")
    return client.run(replace(spec, user_namespace=UserNamespace.HOST))


@pytest.mark.parametrize("folder", ["/", "/dev/", "/dev/shm/", "/tmp/"])
def test_hosts_root_inside_cannot_open_a_device_that_it_makes(
    host_ids: Container, folder: str
) -> None:
    """The disk of the host's own root, and a harmless device that anybody may open."""
    disk = os.stat("/").st_dev
    for node in (f"b {os.major(disk)} {os.minor(disk)}", "c 1 5"):
        code, text = shell(host_ids, f"mknod {folder}node {node} && head -c1 {folder}node | wc -c")
        assert "0\n" in text or code != 0
        assert "denied" in text or "not permitted" in text
        shell(host_ids, f"rm -f {folder}node")


def test_all_capabilities_without_a_user_namespace_are_those_that_root_has(
    client: Client, spec: ContainerSpec
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can do without a user namespace; run the tests as root")
    asked = replace(spec, user_namespace=UserNamespace.HOST, cap_add=("ALL",))
    ours = Capabilities.from_proc()
    assert sets(shell(client.run(asked), STATUS)[1]).effective == ours.bounding


def test_hosts_root_inside_is_still_confined(host_ids: Container) -> None:
    assert sets(shell(host_ids, STATUS)[1]).effective == mask(capabilities.DEFAULT)
    attempts = (
        "exec 3>> /proc/1/exe",
        "exec 3<> /proc/1/mem",
        "exec 3>> /proc/1/root/etc/x",
        "exec 3>> /proc/sys/kernel/core_pattern",
        "exec 3>> /proc/sysrq-trigger",
        "exec 3< /proc/1/environ",
        "mount -t tmpfs none /tmp",
        "unshare -U true",
    )
    for attempt in (*attempts, "exec 3>> /tmp/own"):  # by busybox: the emulated machine tries, too
        _, text = shell(host_ids, f"({attempt}) && echo could")
        assert ("could" in text.split()) == attempt.endswith("own"), (attempt, text)
