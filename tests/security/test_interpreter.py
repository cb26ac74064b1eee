"""CVE-2019-5736: a container's init is a fork of the host's interpreter, which it may not write."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.conftest import UID, interpreter, keeper_pid, open_files  # one is a fixture
from tests.linux.gardener import Gardener
from tests.linux.test_rootless import gardener  # a fixture, too
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.interpreter import _by_helper, read_only
from wardian.runtime.spec import Bind, ContainerSpec, ProcessSpec, UserNamespace

__all__ = ["gardener", "interpreter"]
needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can do without a user namespace; run the tests as root"
)

HOME = "/opt/interpreter"
# Started by the kernel as the interpreter of a script, from /proc/self/exe of init's child: so it
# *is* the host's interpreter. It keeps a way to its own file, becomes another program, and writes.
ATTACK = """
import os
print("attacking with", os.path.realpath("/proc/self/exe"), flush=True)
fd = os.open("/proc/self/exe", os.O_PATH)
os.set_inheritable(fd, True)
script = '''
for n in $(seq 200); do
    for flags in '>' '>>' '<>'; do
        (eval "echo evil $flags /proc/self/fd/FD") 2>/dev/null && echo wrote
        (eval "echo evil $flags /proc/1/exe") 2>/dev/null && echo wrote
    done
done
mount -o remount,rw /proc/self/fd/FD 2>/dev/null && echo remounted
chmod 777 /proc/self/fd/FD 2>/dev/null && echo changed
true
'''
os.execv("/bin/bash", ["bash", "-c", script.replace("FD", str(fd))])
"""


@pytest.fixture
def trap(
    client: Client, spec: ContainerSpec, base_layers: tuple[str, ...], tmp_path: Path
) -> ContainerSpec:
    """An image in which the host's interpreter can run, and a script that makes it run."""
    layer = tmp_path / "trap"
    layer.mkdir(mode=0o755)
    (layer / "evil").write_text("#!/proc/self/exe /attack.py\n")
    (layer / "evil").chmod(0o755)
    (layer / "attack.py").write_text(textwrap.dedent(ATTACK))
    home = Bind(source=sys.base_prefix, target=HOME)
    return replace(spec, lowers=(str(layer), *base_layers), binds=(home,))


@pytest.mark.usefixtures("untouched")
@needs_root
@pytest.mark.parametrize("user_namespace", UserNamespace)
def test_script_of_the_runtimes_own_interpreter_cannot_overwrite_it(
    client: Client, trap: ContainerSpec, user_namespace: UserNamespace
) -> None:
    box = client.run(replace(trap, user_namespace=user_namespace))
    env = {"PYTHONHOME": HOME, "LD_LIBRARY_PATH": f"{HOME}/lib"}
    # From init by posix_spawn(3), and, for another user, by fork(2) and execve(2).
    for user in ("0:0", "1000:1000"):
        text = _output(box, ProcessSpec(argv=("/evil",), env=env, user=user))
        assert text.startswith("attacking with /")
        assert text.count("\n") == 1, text


def _output(box: Container, process: ProcessSpec) -> str:
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    try:
        started = box.spawn(process, {1: write_fd, 2: write_fd})
    finally:
        os.close(write_fd)
    with open(read_fd) as output, started:
        return output.read()


@needs_root
@pytest.mark.parametrize("user_namespace", UserNamespace)
def test_interpreter_of_keeper_and_inits_is_on_a_read_only_mount(
    state: Path, client: Client, spec: ContainerSpec, user_namespace: UserNamespace
) -> None:
    """Kernels 6.11 and 6.12 write to programs that run (no ETXTBSY): that is no wall."""
    box = client.run(replace(spec, user_namespace=user_namespace))
    for host_pid in (box.info.host_pid, keeper_pid(state)):
        exe = f"/proc/{host_pid}/exe"
        assert os.path.samefile(exe, sys.executable)
        assert os.statvfs(exe).f_flag & os.ST_RDONLY
    assert not os.statvfs(sys.executable).f_flag & os.ST_RDONLY


def test_keeper_keeps_no_descriptor_of_who_started_it(state: Path, client: Client) -> None:
    assert client.list() == []
    links = open_files(keeper_pid(state))
    files = {link for link in links if link.startswith("/") and "cgroup" not in link}
    assert files == {"/dev/null", str(state / "keeper.log"), str(state / "keeper.lock")}


def test_modules_in_the_directory_of_whoever_asks_are_not_imported(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root looks at its containers where another user has put a socket.py."""
    for name in ("contextlib", "ctypes", "msgspec", "socket"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w')\nraise SystemExit\n")
    monkeypatch.chdir(tmp_path)
    with Client.connect(state) as client:
        assert client.list() == []
    fd = _by_helper()
    assert fd is not None
    os.close(fd)
    assert not Path("ran").exists()


def test_user_gets_a_read_only_mount_from_a_user_namespace() -> None:
    fd = _by_helper()
    assert fd is not None
    try:
        assert os.path.samestat(os.fstat(fd), os.stat(sys.executable))
        assert os.fstatvfs(fd).f_flag & os.ST_RDONLY
    finally:
        os.close(fd)
    with read_only() as fd:
        assert fd is not None
        assert os.fstatvfs(fd).f_flag & os.ST_RDONLY


@pytest.fixture
def own_interpreter(gardener: Gardener) -> Gardener:
    """An ordinary user whose interpreter is the user's own file, as conda's and pyenv's are."""
    own = gardener.home / "python"
    shutil.copy(gardener.interpreter, own)
    os.chown(own, UID, UID)
    gardener.interpreter = str(own)
    return gardener


@needs_root
@pytest.mark.parametrize("gardener", ["one id"], indirect=True)
def test_interpreter_that_a_user_owns_is_not_the_containers_to_write(
    own_interpreter: Gardener,
) -> None:
    said = own_interpreter.run(
        """
        assert os.access(sys.executable, os.W_OK)
        box = client.run(spec)
        tried = shell(box, "for f in /proc/[0-9]*/exe; do (echo x >> $f) && echo wrote; done 2>&1")
        show([tried, box.info.host_pid])
        """
    )
    (text, _), host_pid = said
    assert "wrote" not in text
    assert os.statvfs(f"/proc/{host_pid}/exe").f_flag & os.ST_RDONLY
