"""Layers on a file system that knows no id-mapped mounts, as all were before Linux 5.19: ramfs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.conftest import keeper_pid, shell, wait_until
from wardian.errors import SetupError
from wardian.linux import mount as mnt
from wardian.linux.mount import mount, umount2
from wardian.runtime.client import Client
from wardian.runtime.ids import FIRST
from wardian.runtime.spec import ContainerSpec
from wardian.storage.mapped import MappedCopies
from wardian.storage.volume import VolumeMount

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's layers need no map")

# security.capability, revision 2: cap_net_raw, permitted and effective.
NET_RAW = bytes.fromhex("010000020020000000000000000000000000000000")[:20]


@pytest.fixture
def layer(tmp_path: Path, busybox_layer: Path) -> Iterator[Path]:
    """A layer that cannot be mapped, with owners, links and modes of its own."""
    top = tmp_path / "ramfs"
    top.mkdir()
    mount("ramfs", str(top), "ramfs", 0, "mode=755")
    try:
        layer = top / "layer"
        shutil.copytree(busybox_layer, layer, symlinks=True)
        (layer / "etc/plant").write_text("green")
        os.link(layer / "etc/plant", layer / "etc/also")
        os.chown(layer / "etc/plant", 1000, 2000)
        (layer / "etc/plant").chmod(0o4640)
        (layer / "etc/beyond").touch()
        os.chown(layer / "etc/beyond", 70_000, 70_000)
        (layer / "tmp").chmod(0o1777)
        os.mknod(layer / "etc/gone", 0o020000, 0)
        yield layer
    finally:
        umount2(str(top), mnt.MNT_DETACH)


@pytest.fixture
def spec(layer: Path, spec: ContainerSpec) -> ContainerSpec:
    return replace(spec, lowers=(str(layer),))


def test_owners_modes_and_links_are_the_images(client: Client, spec: ContainerSpec) -> None:
    box = client.run(spec)
    code, text = shell(
        box, "stat -c '%u:%g %a %h' /etc/plant /etc/also /tmp /etc/passwd; cat /etc/plant"
    )
    assert (code, text.splitlines()) == (
        0,
        ["1000:2000 4640 2", "1000:2000 4640 2", "0:0 1777 2", "0:0 644 1", "green"],
    )
    assert shell(box, "stat -c %u:%g /etc/beyond")[1] == "65534:65534\n"
    assert shell(box, "ls /etc/gone")[0] == 1


def test_files_can_be_changed_and_only_that_is_a_change(
    client: Client, spec: ContainerSpec
) -> None:
    box = client.run(spec)
    assert shell(box, "chown 1000 /etc/group && echo x >> /etc/passwd") == (0, "")
    upper = Path(box.info.upper)
    changed = {str(path.relative_to(upper)) for path in upper.rglob("*")}
    assert changed == {"etc", "etc/group", "etc/passwd"}


def test_container_says_that_its_layers_were_copied(client: Client, spec: ContainerSpec) -> None:
    (warning,) = client.run(spec).info.warnings
    assert "copied" in warning


def test_container_on_a_file_system_that_maps_says_nothing(
    client: Client, spec: ContainerSpec, busybox_layer: Path
) -> None:
    assert client.run(replace(spec, lowers=(str(busybox_layer),))).info.warnings == ()


def test_copy_is_made_once_for_a_range_and_goes_when_nobody_has_the_range(
    state: Path, spec: ContainerSpec
) -> None:
    def copies() -> dict[str, int]:
        return {str(p): p.stat().st_ino for p in (state / "mapped").glob("*/*")}

    with Client.connect(state) as client:
        box = client.run(spec)
        first = copies()
        assert len(first) == 1
        box.stop()
        box.start()
        assert copies() == first
        box.remove(force=True)
    wait_until(lambda: keeper_pid(state) is None)
    with Client.connect(state) as client:
        client.list()
        wait_until(lambda: not copies())


def test_half_made_copy_is_made_anew(tmp_path: Path, busybox_layer: Path) -> None:
    copies = MappedCopies(tmp_path / "mapped")
    name = f".new-{busybox_layer.name}-{busybox_layer.stat().st_ino}"
    (tmp_path / "mapped" / str(FIRST) / name / "half").mkdir(parents=True)
    copy = copies.of(busybox_layer, FIRST, 65536)
    assert (copy / "bin/busybox").stat().st_uid == FIRST
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]
    assert not (copy / "half").exists()


def test_file_capabilities_are_the_containers_roots(tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "ping").touch(0o755)
    os.setxattr(layer / "ping", "security.capability", NET_RAW)
    copy = MappedCopies(tmp_path / "mapped").of(layer, FIRST, 65536)
    value = os.getxattr(copy / "ping", "security.capability")
    assert value[4:20] == NET_RAW[4:20]
    assert int.from_bytes(value[20:], "little") == FIRST


def test_full_disk_is_said_and_leaves_nothing(tmp_path: Path, busybox_layer: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", small], check=True)
    try:
        with pytest.raises(SetupError, match="No space left"):
            MappedCopies(small / "mapped").of(busybox_layer, FIRST, 65536)
        assert list((small / "mapped" / str(FIRST)).iterdir()) == []
    finally:
        umount2(str(small), mnt.MNT_DETACH)


def test_volumes_that_cannot_be_mapped_are_refused_and_an_images_left_out(
    client: Client, busybox_layer: Path, spec: ContainerSpec
) -> None:
    spec = replace(spec, lowers=(str(busybox_layer),))
    place = client.root / "volumes"
    place.mkdir(mode=0o700)
    mount("ramfs", str(place), "ramfs", 0, "mode=700")
    try:
        named = VolumeMount(target="/data", name="data")
        with pytest.raises(SetupError, match="cannot map volume data to the container's ids"):
            client.run(replace(spec, volumes=(named,)))
        assert list(place.iterdir()) == []
        of_image = VolumeMount(target="/tmp", is_of_image=True)
        box = client.run(replace(spec, volumes=(of_image,)))
        assert any("the image's volume at /tmp is not made" in one for one in box.info.warnings)
        assert shell(box, "touch /tmp/x") == (0, "")
        box.remove(force=True, volumes=True)
    finally:
        umount2(str(place), mnt.MNT_DETACH)
