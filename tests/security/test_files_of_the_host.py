"""Ways from a container to files of the host: executables, descriptors, working directories."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.conftest import open_files, python, shell
from wardian.errors import CommandFailed
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.logs import read as read_log
from wardian.runtime.spec import ContainerSpec, ProcessSpec

pytestmark = pytest.mark.usefixtures("untouched")


# --- CVE-2019-5736: the runtime's own program, by /proc/PID/exe ------------------------------


def test_programs_of_the_host_cannot_be_written_by_proc_exe(lab: Container) -> None:
    code, text = python(
        lab,
        """
        import os
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) == os.getpid():
                continue
            for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_RDONLY):
                try:
                    os.open(f"/proc/{name}/exe", flags)
                    print("opened", name, flags)
                except OSError as error:
                    print(name, error.strerror)
        """,
    )
    assert code == 0
    assert "1 Permission denied" in text
    assert "opened 1 " not in text


def test_entrypoint_that_is_the_runtimes_own_program_does_not_start(
    client: Client, spec: ContainerSpec, busybox_layer: Path, tmp_path: Path
) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "evil").write_text("#!/proc/self/exe\n")
    (layer / "evil").chmod(0o755)
    hostile = replace(spec, lowers=(str(layer), str(busybox_layer)))
    for argv in (("/evil",), ("/proc/self/exe", "-c", "1"), ("/proc/1/exe", "-c", "1")):
        with pytest.raises(CommandFailed, match=r"/evil|/proc"):
            client.run(replace(hostile, process=ProcessSpec(argv=argv)))
        client.container("box").remove(force=True)


HUNTER = """
import os
seen = open("/seen", "w")
while not os.path.exists("/enough"):
    for name in os.listdir("/proc"):
        if name.isdigit() and name != str(os.getpid()):
            try:
                where = os.readlink(f"/proc/{name}/exe")
                os.open(f"/proc/{name}/exe", os.O_WRONLY)
                print(where, file=seen, flush=True)
            except OSError:
                pass
"""


def test_process_on_its_way_to_execve_cannot_be_caught(lab: Container) -> None:
    """While processes are started, a loop inside tries to open their executables for writing."""
    with lab.spawn(ProcessSpec(argv=("python3", "-c", HUNTER))) as hunter:
        for user in ("0:0", "1000:1000"):
            for _ in range(15):
                with lab.spawn(ProcessSpec(argv=("true",), user=user)) as started:
                    started.wait(20)
        shell(lab, "touch /enough")
        assert hunter.wait(20) == 0
    assert shell(lab, "cat /seen") == (0, "")


# --- CVE-2016-9962, CVE-2024-21626: leaked descriptors ---------------------------------------


def test_processes_have_the_descriptors_that_they_were_given_and_no_others(
    box: Container,
) -> None:
    show = "ls /proc/self/fd | tr '\\n' ' '"  # the last one is ls' own, of the directory
    for options in ({}, {"user": "1000:1000"}):
        assert shell(box, show, **options) == (0, "0 1 2 3 ")
    file = os.memfd_create("given")
    read_fd, write_fd = os.pipe()
    process = box.spawn(ProcessSpec(argv=("sh", "-c", show)), {1: write_fd, 7: file})
    os.close(write_fd)
    with open(read_fd) as said, process:
        assert said.read() == "0 1 2 3 7 "
    os.close(file)


def test_main_process_and_terminals_have_no_other_descriptors(
    client: Client, spec: ContainerSpec
) -> None:
    show = ProcessSpec(argv=("ls", "/proc/self/fd"))
    container = client.run(replace(spec, process=show))
    container.wait()
    lines = read_log(Path(container.info.log_directory))
    assert "".join(line.log for line in lines).split() == ["0", "1", "2", "3"]
    container.remove()
    box = client.run(spec)
    process = box.spawn(ProcessSpec(argv=("sh", "-c", "ls /proc/self/fd")), terminal=True)
    assert process.terminal_fd is not None
    text = b""
    while len(text.split()) < 4:
        text += os.read(process.terminal_fd, 4096)
    assert text.split() == [b"0", b"1", b"2", b"3"]
    process.close()


def test_init_holds_nothing_that_leads_to_the_host(box: Container) -> None:
    host_pid = box.info.host_pid
    links = open_files(host_pid)
    assert not [link for link in links if link.startswith("/") and link != "/dev/null"]
    code, text = shell(box, "ls /proc/1/fd /proc/1/cwd/ /proc/1/root/ /proc/1/map_files")
    assert code != 0
    assert text.count("Permission denied") == 4


@pytest.mark.parametrize("user", ["0:0", "1000:1000"])
def test_working_directory_by_a_leaked_descriptor_is_refused(box: Container, user: str) -> None:
    held = [os.open("/", os.O_RDONLY | os.O_DIRECTORY) for _ in range(12)]  # as Jupyter has
    sockets = socket.socketpair()
    for number in range(3, 21):
        for place in (f"/proc/self/fd/{number}", f"/proc/1/fd/{number}"):
            spec = ProcessSpec(
                argv=("sh", "-c", "ls ../../../etc/shadow"), workdir=place, user=user
            )
            with pytest.raises(CommandFailed) as refused:
                box.spawn(spec)
            assert refused.value.exit_code == 126
    for fd in held:
        os.close(fd)
    for sock in sockets:
        sock.close()


@pytest.mark.parametrize("user", ["0:0", "1000:1000"])
def test_working_directory_that_is_a_link_stays_inside(
    client: Client, spec: ContainerSpec, busybox_layer: Path, tmp_path: Path, user: str
) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "work").symlink_to("../../../../../../tmp")
    (layer / "loop").symlink_to("loop")
    (layer / "self").symlink_to("/proc/self/fd/4")
    container = client.run(replace(spec, lowers=(str(layer), str(busybox_layer))))
    assert shell(container, "pwd -P", workdir="/work", user=user) == (0, "/tmp\n")
    for bad in ("/loop", "/self", "/etc/passwd", "/nosuch"):
        with pytest.raises(CommandFailed) as refused:
            container.spawn(ProcessSpec(argv=("true",), workdir=bad, user=user))
        assert refused.value.exit_code == 126


def test_root_of_init_is_the_containers(box: Container) -> None:
    marked = shell(box, "touch /marked; ls /", workdir="/../../../../proc/1/root")[1]
    assert "marked" in marked.split()
    assert "marked" not in os.listdir("/")
