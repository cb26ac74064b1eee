"""What a build takes from elsewhere: images of registries, and named contexts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.linux.conftest import busybox_layer, state
from tests.linux.program import Done, Wardian, out
from tests.registry.server import Server, free_port
from tests.registry.test_run_pull import pushed
from wardian.images import layout
from wardian.images.registry.pull import pull
from wardian.images.store import ImageStore

__all__ = ["busybox_layer", "state"]


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    return folder


@pytest.fixture
def name(registry: Server, other: ImageStore, busybox_layer: Path, tmp_path: Path) -> str:
    """An image that says ``first``, in the registry alone."""
    name = f"{registry.name}/lab/{tmp_path.name}:1".replace("_", "-").lower()
    pushed(other, name, busybox_layer, "first")
    return name


def build(wardian: Wardian, context: Path, text: str, *flags: str) -> Done:
    (context / "Dockerfile").write_text(text)
    return wardian("build", *flags, "-t", "made", str(context))


def said(wardian: Wardian) -> str:
    return out(wardian("run", "--rm", "made", "cat", "/word"))


def test_base_that_is_missing_is_pulled_and_a_newer_one_when_asked(
    wardian: Wardian, context: Path, name: str, other: ImageStore, busybox_layer: Path
) -> None:
    done = build(wardian, context, f"FROM {name}\nRUN true\n")
    assert done.returncode == 0, done.stderr
    assert ": Pull complete\n" in done.stderr
    assert said(wardian) == "first"
    pushed(other, name, busybox_layer, "second")
    assert "Pull" not in build(wardian, context, f"FROM {name}\nRUN true\n").stderr
    assert said(wardian) == "first"
    done = build(wardian, context, f"FROM {name}\nRUN true\n", "--pull")
    assert ": Pull complete\n" in done.stderr
    assert said(wardian) == "second"


def test_copy_from_an_image_pulls_it(wardian: Wardian, context: Path, name: str) -> None:
    done = build(wardian, context, f"FROM scratch\nCOPY --from={name} /word /bin/busybox /\n")
    assert done.returncode == 0, done.stderr
    assert out(wardian("run", "--rm", "made", "/busybox", "cat", "/word")) == "first"


def test_what_was_built_is_pushed(
    wardian: Wardian, context: Path, name: str, other: ImageStore
) -> None:
    made = f"{name}-made"
    text = f"FROM {name}\nLABEL made=1\n"
    (context / "Dockerfile").write_text(text)
    done = wardian("build", "--push", "--progress=quiet", "-t", made, str(context))
    assert done.returncode == 0, done.stderr
    pull(other, made)
    assert other.get(made).labels["made"] == "1"


def test_base_that_is_nowhere_is_one_error_at_its_line(wardian: Wardian, context: Path) -> None:
    name = f"127.0.0.1:{free_port()}/lab/none:1"
    done = build(wardian, context, f"# here\nFROM {name}\n", "--progress=quiet")
    assert done.returncode == 1
    assert done.stderr.startswith(f"wardian: Dockerfile:2: no such image: {name}\n")
    assert "cannot connect to 127.0.0.1:" in done.stderr


@pytest.mark.parametrize("kind", ["docker-image", "oci-layout", "oci-layout-by-digest"])
def test_named_context_stands_for_an_image(
    wardian: Wardian, context: Path, name: str, other: ImageStore, tmp_path: Path, kind: str
) -> None:
    place = f"docker-image://{name}"
    if kind != "docker-image":
        layout.save(other, [name], tmp_path / "layout")
        index = json.loads((tmp_path / "layout/index.json").read_text())
        digest = index["manifests"][0]["digest"]
        end = f"@{digest}" if kind.endswith("digest") else ":1"
        place = f"oci-layout://{tmp_path / 'layout'}{end}"
    flags = ("--build-context", f"debian={place}")
    text = "FROM debian AS a\nRUN cat /word\nFROM scratch\nCOPY --from=debian / /\n"
    done = build(wardian, context, text, *flags, "--target", "a")
    assert done.returncode == 0, done.stderr
    assert said(wardian) == "first"
    assert build(wardian, context, text, *flags).returncode == 0
    assert said(wardian) == "first"
    # What was taken of a layout has no name here.
    listed = out(wardian("images", "--format", "{{.Repository}}")).split()
    pulled = [name.rpartition(":")[0]] if kind == "docker-image" else []
    assert listed == [*pulled, "made"]


def test_named_context_replaces_a_stage(wardian: Wardian, context: Path, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "word").write_text("context")
    text = (
        "FROM wardian/busybox AS files\nRUN false\n"
        "FROM wardian/busybox\nCOPY --from=files /word /word\n"
    )
    done = build(wardian, context, text, "--build-context", f"files={files}")
    assert done.returncode == 0, done.stderr
    assert said(wardian) == "context"


@pytest.mark.parametrize(
    ("place", "part"),
    [
        ("ftp://x", "the context c is of an unknown kind: ftp://x"),
        ("/nowhere", "the context c is no directory: /nowhere"),
        ("oci-layout:///nowhere", "no such directory: /nowhere"),
        ("oci-layout:///usr/share", "the directory is no OCI image layout"),
        ("{files}", "the context c is a directory"),
    ],
)
def test_named_context_that_is_none_is_one_error(
    wardian: Wardian, context: Path, place: str, part: str
) -> None:
    place = place.format(files=context)
    flags = ("--build-context", f"c={place}", "--progress=quiet")
    done = build(wardian, context, "FROM c\n", *flags)
    assert done.returncode == 1
    assert done.stderr.startswith(f"wardian: Dockerfile:1: {part}\n"), done.stderr
