"""Images whose files are traps for who sets up a container: links where directories should be."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.conftest import shell
from wardian.errors import WardianError
from wardian.runtime.client import Client
from wardian.runtime.spec import Bind, ContainerSpec, ProcessSpec, Tmpfs, UserNamespace

pytestmark = pytest.mark.usefixtures("untouched")


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host, to which links in an image lead; nothing may appear in it."""
    target = Path("/tmp") / f"target-{os.getpid()}"
    target.mkdir(mode=0o777)
    target.chmod(0o777)
    (target / "file").write_text("untouched")
    yield target
    found = {path.name: path.read_text() for path in target.iterdir() if path.is_file()}
    shutil.rmtree(target)
    assert found == {"file": "untouched"}


@pytest.fixture
def trap(tmp_path: Path, spec: ContainerSpec) -> Callable[..., ContainerSpec]:
    """A spec whose image has these links (and "/" for a file) above a busybox."""

    def make(**links: str) -> ContainerSpec:
        layer = tmp_path / "layer"
        layer.mkdir(exist_ok=True)
        for name, destination in links.items():
            path = layer / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(destination)
        return replace(spec, lowers=(str(layer), *spec.lowers))

    return make


def run_or_refuse(client: Client, spec: ContainerSpec) -> str:
    """Start it; what a shell in it sees of its mounts, or "refused" when it does not start."""
    try:
        container = client.run(spec)
    except WardianError as error:
        refused = error
    else:
        return shell(container, "cat /proc/mounts")[1]
    assert "\n" not in refused.what
    assert client.list() == []
    return "refused"


UP = "../../../../../../../.."


@pytest.mark.parametrize("name", ["proc", "dev", "sys"])
@pytest.mark.parametrize(
    "destination", [f"{UP}{{}}", "{}", "/tmp", "nowhere", "proc", "/proc/1/root"]
)
def test_system_directory_that_is_a_link_is_refused(
    client: Client,
    trap: Callable[..., ContainerSpec],
    target: Path,
    name: str,
    destination: str,
) -> None:
    """CVE-2019-19921, CVE-2026-41579: what is mounted or made there would be elsewhere."""
    assert run_or_refuse(client, trap(**{name: destination.format(target)})) == "refused"


@pytest.mark.parametrize("name", ["proc", "dev", "sys"])
def test_system_directory_that_is_a_file_is_refused(
    client: Client, spec: ContainerSpec, tmp_path: Path, name: str
) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / name).write_text("")
    assert run_or_refuse(client, replace(spec, lowers=(str(layer), *spec.lowers))) == "refused"


def test_devices_of_the_image_do_not_count(
    client: Client, trap: Callable[..., ContainerSpec], target: Path
) -> None:
    """CVE-2025-31133, CVE-2025-52565: /dev/null for masking, /dev/pts and console for terminals."""
    spec = trap(
        dev__null="/proc/sysrq-trigger",
        dev__console="/proc/sys/kernel/core_pattern",
        dev__ptmx="/proc/sys/kernel/core_pattern",
        dev__pts="/proc/sys/kernel",
        dev__shm=f"{UP}{target}",
        dev__fd=f"{UP}{target}",
    )
    container = client.run(spec)
    assert shell(container, "stat -c '%t:%T %F' /dev/null")[1] == "1:3 character special file\n"
    assert shell(container, "stat -c %F /dev/pts /dev/shm")[1] == "directory\ndirectory\n"
    assert shell(container, "echo x > /dev/shm/x; echo x > /dev/null") == (0, "")
    masked = [
        path for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list") if os.path.exists(path)
    ]
    assert set(shell(container, f"stat -c %t:%T {' '.join(masked)}")[1].split()) == {"1:3"}
    process = container.spawn(
        ProcessSpec(argv=("sh", "-c", "tty; echo x >/dev/tty")), terminal=True
    )
    assert process.terminal_fd is not None
    assert os.fstat(process.terminal_fd).st_rdev == os.makedev(5, 2)
    assert os.read(process.terminal_fd, 100).startswith(b"/dev/pts/0")
    process.close()


@pytest.mark.parametrize("name", ["etc", "etc__hostname", "etc__hosts"])
def test_files_that_are_mounted_into_etc_stay_inside(
    client: Client, trap: Callable[..., ContainerSpec], target: Path, name: str
) -> None:
    hosts = Path("/etc/hosts").read_bytes()
    spec = trap(**{name: f"{UP}{target}{'/file' if '__' in name else ''}"})
    run_or_refuse(client, spec)
    assert Path("/etc/hosts").read_bytes() == hosts


@pytest.mark.parametrize(
    "place", ["/link", "/link/new", "/link/file", "/deep/link/new/newer", f"/{UP}/link/x"]
)
def test_mounts_of_the_spec_follow_links_only_within_the_root(
    client: Client,
    trap: Callable[..., ContainerSpec],
    target: Path,
    tmp_path: Path,
    place: str,
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    spec = trap(link=f"{UP}{target}", deep__link=f"{UP}{target}")
    run_or_refuse(client, replace(spec, binds=(Bind(source=str(source), target=place),)))
    for info in client.list():
        client.container(info.id).remove(force=True)
    run_or_refuse(client, replace(spec, tmpfs=(Tmpfs(target=place),)))


@pytest.mark.parametrize(
    "place",
    ["/proc", "/proc/self", "/proc/sys/kernel", "proc", "//proc", "/./proc", "/x/../proc", "/link"],
)
def test_no_volume_lies_on_procfs(
    client: Client, trap: Callable[..., ContainerSpec], tmp_path: Path, place: str
) -> None:
    """CVE-2019-16884, CVE-2023-27561: the runtime's own writes to /proc would go there."""
    source = tmp_path / "source"
    source.mkdir()
    spec = trap(link="/proc")
    bound = replace(spec, binds=(Bind(source=str(source), target=place, read_only=False),))
    assert run_or_refuse(client, bound) == "refused"
    assert run_or_refuse(client, replace(spec, tmpfs=(Tmpfs(target=place),))) == "refused"


@pytest.mark.parametrize("place", ["/", "/.", "/x/..", "", ".."])
def test_no_volume_replaces_the_root(
    client: Client, spec: ContainerSpec, tmp_path: Path, place: str
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    bound = replace(spec, binds=(Bind(source=str(source), target=place),))
    assert run_or_refuse(client, bound) == "refused"


def test_setuid_program_of_an_image_gives_nothing(
    client: Client, spec: ContainerSpec, busybox_layer: Path, tmp_path: Path
) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    shutil.copy(busybox_layer / "bin/busybox", layer / "id")
    (layer / "id").chmod(0o6755)
    container = client.run(replace(spec, lowers=(str(layer), *spec.lowers)))
    assert shell(container, "/id -u", user="1000:1000") == (0, "1000\n")


@pytest.mark.parametrize("user_namespace", UserNamespace)
def test_redirect_of_an_image_is_not_followed(
    client: Client, spec: ContainerSpec, tmp_path: Path, user_namespace: UserNamespace
) -> None:
    """Overlayfs's own marks in a layer show one layer's directory under another's name."""
    if os.geteuid() != 0:
        pytest.skip("only root can write trusted attributes; run the tests as root")
    top, bottom = tmp_path / "top", tmp_path / "bottom"
    (top / "shown").mkdir(parents=True)
    (bottom / "hidden").mkdir(parents=True)
    (bottom / "hidden/file").write_text("secret")
    for space in ("trusted", "user"):
        os.setxattr(top / "shown", f"{space}.overlay.redirect", b"/hidden")
    lowers = (str(top), str(bottom), *spec.lowers)
    box = client.run(replace(spec, lowers=lowers, user_namespace=user_namespace))
    assert shell(box, "ls /hidden; ls /shown 2>/dev/null; true") == (0, "file\n")


def test_device_of_an_image_cannot_be_opened(
    client: Client, spec: ContainerSpec, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make device nodes; run the tests as root")
    layer = tmp_path / "layer"
    layer.mkdir()
    os.mknod(layer / "memory", 0o020666, os.makedev(1, 1))
    os.mknod(layer / "zero", 0o020666, os.makedev(1, 5))
    container = client.run(replace(spec, lowers=(str(layer), *spec.lowers)))
    for command in ("head -c1 /zero", "head -c1 /memory", "mknod /own c 1 5 && head -c1 /own"):
        code, text = shell(container, command)
        assert code != 0
        assert "denied" in text or "not permitted" in text
