from __future__ import annotations

from pathlib import Path

import pytest

from wardian.cli import mounts
from wardian.cli.request import Request
from wardian.errors import InvalidInput
from wardian.runtime import mount_words
from wardian.runtime.spec import Bind, Tmpfs
from wardian.storage.volume import VolumeMount


def test_volume_is_writable_unless_it_says_ro(tmp_path: Path) -> None:
    assert mount_words.volume_of(f"{tmp_path}:/data") == Bind(
        source=str(tmp_path), target="/data", read_only=False
    )
    assert mount_words.volume_of(f"{tmp_path}:/data:ro").read_only


def test_relative_source_is_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    monkeypatch.chdir(tmp_path)
    assert mount_words.volume_of("./site:/srv") == Bind(
        source=str(tmp_path / "site"), target="/srv", read_only=False
    )


@pytest.mark.parametrize(
    "word",
    [
        "",
        ":/data",
        "/tmp:",
        "/tmp:data",
        "/tmp:/",
        "/tmp:/a/..",
        "/tmp:/data:rw,exec",
        "n:/data",
        "-named:/data",
        "named:data",
        "named:/data:rw,exec",
        "/tmp:/data:nocopy",
        "na me:/data",
        "data",
        "/no/such/place:/data",
    ],
)
def test_wrong_volume_is_refused(word: str) -> None:
    with pytest.raises(InvalidInput):
        mount_words.volume_of(word)


def test_mount_takes_dockers_keys(tmp_path: Path) -> None:
    assert mounts.mount(f"type=bind,src={tmp_path},dst=/data,readonly") == Bind(
        source=str(tmp_path), target="/data", read_only=True
    )
    assert mounts.mount("type=tmpfs,target=/run,tmpfs-size=64m,tmpfs-mode=755") == Tmpfs(
        target="/run", size_bytes=64 << 20, mode=0o755
    )


@pytest.mark.parametrize(
    "word",
    [
        "type=bind,dst=/data",
        "type=bind,src=/tmp",
        "type=volume,src=x,dst=/data",
        "src=/tmp,dst=/data",
        "src=named,dst=/data,volume-driver=nfs",
        "src=named,dst=/data,volume-opt=type=nfs",
        "src=named,dst=/data,volume-nocopy=perhaps",
        "src=named,dst=/",
        "type=bind,src=/tmp,dst=/data,volume-opt=type=tmpfs",
        'src=named,dst=/data,"volume-opt=o=uid=1',
        "type=tmpfs,dst=/x,tmpfs-size=10XB",
        "type=tmpfs,dst=/x,tmpfs-mode=9",
        "type=bind,src=/tmp,dst=/data,colour=green",
        "type=bind,src=/tmp,dst=/data,readonly=maybe",
    ],
)
def test_wrong_mount_is_refused(word: str) -> None:
    with pytest.raises(InvalidInput):
        mounts.mount(word)


def test_tmpfs_takes_size_and_mode() -> None:
    assert mounts.tmpfs("/run:size=1g,mode=700,noexec") == Tmpfs(
        target="/run", size_bytes=1 << 30, mode=0o700
    )
    with pytest.raises(InvalidInput):
        mounts.tmpfs("/run:suid")


def test_volume_is_a_name_or_no_name_at_all() -> None:
    assert mount_words.volume_of("data:/srv") == VolumeMount(target="/srv", name="data")
    assert mount_words.volume_of("data:/srv:ro,nocopy,Z") == VolumeMount(
        target="/srv", name="data", read_only=True, no_copy=True
    )
    assert mount_words.volume_of("/srv/data/") == VolumeMount(target="/srv/data")


def test_mount_of_a_volume_takes_dockers_keys() -> None:
    word = 'src=data,dst=/srv,ro,volume-nocopy,volume-label=a=b,"volume-opt=o=size=1m,uid=7"'
    assert mounts.mount(f"{word},volume-opt=type=tmpfs") == VolumeMount(
        target="/srv",
        name="data",
        read_only=True,
        no_copy=True,
        labels={"a": "b"},
        options={"o": "size=1m,uid=7", "type": "tmpfs"},
    )


def test_what_is_said_wins_over_another_container_and_that_over_the_image() -> None:
    theirs = Bind(source="/srv", target="/b"), VolumeMount(target="/c", name="theirs")
    request = Request(image="x", volume=("ours:/c",), tmpfs=("/d",), borrowed=theirs)
    config: dict[str, object] = {"Volumes": {"/a": {}, "/b": {}, "/c/": {}, "/d": {}}}
    found = mounts.wishes(request, config)
    assert found["binds"] == theirs[:1]
    assert [one.target for one in found["tmpfs"]] == ["/d"]
    assert {one.target: one.name for one in found["volumes"]} == {"/c": "ours", "/a": ""}


def test_one_place_has_one_mount() -> None:
    request = Request(image="x", volume=("ours:/c",), tmpfs=("/c/",))
    with pytest.raises(InvalidInput, match="two things are to be mounted at /c"):
        mounts.wishes(request, {})


@pytest.mark.parametrize(
    "volumes",
    [{"/": {}}, {"relative": {}}, {"/a/..": {}}, ["/a"], {f"/{n}": {} for n in range(101)}],
)
def test_strange_volumes_of_an_image_are_refused(volumes: object) -> None:
    with pytest.raises(InvalidInput):
        mount_words.of_image({"Volumes": volumes})
