"""``run --pull``, platforms and looking at manifests, by the real program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.linux.conftest import busybox_layer, state
from tests.linux.program import Wardian, out, refused
from tests.registry.hostile import Content, digest, hostile
from tests.registry.images import add, layer
from tests.registry.server import Server, free_port
from wardian.images.manifest import INDEX_TYPE, architecture
from wardian.images.platform import parse_platform
from wardian.images.registry.pull import pull
from wardian.images.registry.push import push
from wardian.images.store import ImageStore

__all__ = ["busybox_layer", "state"]


def pushed(store: ImageStore, name: str, tree: Path, word: str) -> str:
    """Push a busybox that says a word; the image's digest."""
    import io
    import tarfile

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        tar.add(tree, ".")
        info = tarfile.TarInfo("word")
        info.size = len(word)
        tar.addfile(info, io.BytesIO(word.encode()))
    add(store, name, file.getvalue())
    return push(store, name).digest


def test_run_gets_what_is_missing_and_what_is_new(
    registry: Server, other: ImageStore, wardian: Wardian, busybox_layer: Path
) -> None:
    name = f"{registry.name}/lab/said:1"
    command = (name, "cat", "/word")
    pushed(other, name, busybox_layer, "first")
    assert refused(wardian("run", "--rm", "--pull", "never", *command), 125).startswith("no such")
    done = wardian("run", "--rm", *command)
    assert (done.returncode, done.stdout) == (0, "first")
    assert done.stderr.splitlines()[0] == f"Unable to find image '{name}' locally"
    assert done.stderr.splitlines()[-1].endswith(": Pull complete")
    pushed(other, name, busybox_layer, "second")
    assert out(wardian("run", "--rm", *command)) == "first"
    assert out(wardian("run", "--rm", "-q", "--pull", "always", *command)) == "second"


def test_run_of_what_is_nowhere_names_image_and_registry(wardian: Wardian) -> None:
    name = f"127.0.0.1:{free_port()}/lab/none:1"
    done = wardian("run", "--rm", name, "true")
    assert refused(done, 125) == f"no such image: {name}"
    assert "cannot connect to 127.0.0.1:" in done.stderr


@pytest.fixture
def bad() -> Iterator[Content]:
    with hostile() as content:
        yield content


def test_platform_is_chosen_of_an_index(
    bad: Content, store: ImageStore, other: ImageStore, wardian: Wardian
) -> None:
    entries = []
    foreign = "arm64" if architecture() != "arm64" else "amd64"
    for machine in ("s390x", foreign, architecture()):
        bad.add_image(machine, architecture=machine)
        kind, data = bad.paths[f"/v2/x/manifests/{machine}"]
        entries.append(
            {
                "mediaType": kind,
                "digest": digest(data),
                "size": len(data),
                "platform": {"os": "linux", "architecture": machine},
            }
        )
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries}
    top = bad.add_manifest("1", index)
    name = f"{bad.name}/x:1"
    pulled = pull(store, name)
    assert (pulled.digest, pulled.image.digest) == (top, entries[2]["digest"])
    chosen = pull(other, name, platform=parse_platform(foreign))
    assert chosen.image.config["architecture"] == foreign
    said = wardian("pull", "--platform", "linux/riscv64", name)
    assert refused(said, 1) == "the image is not there for linux/riscv64"
    assert "linux/s390x" in said.stderr
    assert json.loads(out(wardian("manifest", "inspect", name))) == index
    whole = json.loads(out(wardian("manifest", "inspect", "-v", name)))
    assert [one["Descriptor"]["digest"] for one in whole] == [one["digest"] for one in entries]


def test_image_of_another_platform_is_refused(bad: Content, store: ImageStore) -> None:
    from wardian.errors import InvalidInput

    bad.add_image("1", architecture="s390x")
    with pytest.raises(InvalidInput, match="not there for linux/amd64"):
        pull(store, f"{bad.name}/x:1", platform=parse_platform("linux/amd64"))


def test_two_pulls_at_once_share_what_they_fetch(
    registry: Server, store: ImageStore, other: ImageStore, state: Path
) -> None:
    import subprocess

    from tests.linux.program import PROGRAM

    names = [f"{registry.name}/lab/twin:{tag}" for tag in "ab"]
    shared = layer(5_000_000)
    for name in names:
        add(other, name, shared, layer())
        push(other, name)
    running = [
        subprocess.Popen(
            [*PROGRAM, "--root", str(state), "pull", "-q", name], stdout=subprocess.PIPE, text=True
        )
        for name in names
    ]
    assert [process.communicate(timeout=60)[0] for process in running] == [f"{n}\n" for n in names]
    assert not list(store.check())
    assert len(store.list()) == 2
