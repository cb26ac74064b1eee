"""Images as files, by the real program: from a root tree, to archives of both kinds and back."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.linux.program import IMAGE, Wardian, out, refused

CHANGES = ('CMD ["cat", "/etc/leaf"]', "ENV COLOUR=green SHADE='dark blue'", "LABEL kind=fern")


@pytest.fixture
def tree(tmp_path: Path, busybox_layer: Path) -> Path:
    """The archive of a root tree, compressed."""
    archive = tmp_path / "tree.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(busybox_layer, ".")
        leaf = tmp_path / "leaf"
        leaf.write_text("a leaf\n")
        file.add(leaf, "./etc/leaf")
    return archive


@pytest.fixture
def fern(wardian: Wardian, tree: Path) -> str:
    """An image made of the tree; its digest."""
    flags = [word for change in CHANGES for word in ("--change", change)]
    return out(wardian("import", *flags, "-m", "grown here", str(tree), "garden/fern:1")).strip()


def test_imported_tree_runs_with_its_settings(wardian: Wardian, fern: str) -> None:
    assert fern.startswith("sha256:")
    assert out(wardian("run", "--rm", "garden/fern:1")) == "a leaf\n"
    shown = out(wardian("run", "--rm", "garden/fern:1", "sh", "-c", "echo $COLOUR, $SHADE"))
    assert shown == "green, dark blue\n"
    (found,) = json.loads(out(wardian("image", "inspect", "garden/fern:1")))
    assert found["Config"]["Labels"] == {"kind": "fern"}


def test_tree_is_taken_from_standard_input(wardian: Wardian, tree: Path, state: Path) -> None:
    from tests.linux.program import PROGRAM

    with tree.open("rb") as stream:
        command = [*PROGRAM, "--root", str(state), "import", "-", "piped"]
        done = subprocess.run(command, stdin=stream, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert out(wardian("run", "--rm", "piped", "cat", "/etc/leaf")) == "a leaf\n"


def test_history_is_shown_newest_first(wardian: Wardian, fern: str) -> None:
    shown = out(wardian("history", "--format", "{{.ID}} {{.Comment}}", "garden/fern:1"))
    assert shown == f"{fern.partition(':')[2][:12]} grown here\n"
    heading, *rows = out(wardian("history", IMAGE)).splitlines()
    assert heading.split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
    assert rows


def test_tag_is_another_name_of_the_same_image(wardian: Wardian, fern: str) -> None:
    assert out(wardian("tag", "garden/fern:1", "shrub")) == ""
    ids = out(wardian("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"))
    assert {f"garden/fern:1 {fern}", f"shrub:latest {fern}"} <= set(ids.splitlines())
    out(wardian("rmi", "garden/fern:1"))
    assert out(wardian("run", "--rm", "shrub")) == "a leaf\n"
    assert "no such image" in refused(wardian("tag", "garden/fern:1", "moss"), 1)


def test_saved_image_is_the_same_when_it_is_loaded(
    wardian: Wardian, fern: str, tmp_path: Path
) -> None:
    out(wardian("save", "-o", str(tmp_path / "both.tar"), "garden/fern:1", IMAGE))
    out(wardian("rmi", "garden/fern:1", IMAGE))
    assert out(wardian("images", "-q")) == ""
    loaded = out(wardian("load", "-i", str(tmp_path / "both.tar")))
    assert loaded.splitlines() == ["Loaded image: garden/fern:1", f"Loaded image: {IMAGE}"]
    (found,) = json.loads(out(wardian("image", "inspect", "garden/fern:1")))
    assert found["Id"] == fern
    assert out(wardian("run", "--rm", "garden/fern:1")) == "a leaf\n"


@pytest.fixture
def skopeo() -> str:
    if path := shutil.which("skopeo"):
        return path
    pytest.skip("no skopeo; apt-get install skopeo")


def copy(skopeo: str, source: str, target: str) -> None:
    """Let another program read one kind of archive and write another."""
    command = [skopeo, "--insecure-policy", "copy", "--quiet", source, target]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("written", ["docker-archive", "oci-archive"])
@pytest.mark.parametrize("read", ["docker-archive", "oci-archive"])
def test_other_programs_read_what_is_saved_and_write_what_is_loaded(
    wardian: Wardian, fern: str, skopeo: str, tmp_path: Path, read: str, written: str
) -> None:
    assert fern
    ours, theirs = tmp_path / "ours.tar", tmp_path / "theirs.tar"
    out(wardian("save", "-o", str(ours), "garden/fern:1"))
    copy(skopeo, f"{read}:{ours}", f"{written}:{theirs}:garden/moss:2")
    named = () if written == "docker-archive" else ("garden/moss:2",)
    loaded = out(wardian("load", "-i", str(theirs), *named))
    assert loaded.splitlines() == ["Loaded image: garden/moss:2"]
    assert out(wardian("run", "--rm", "garden/moss:2")) == "a leaf\n"


def test_what_is_no_archive_is_said_and_leaves_nothing(
    wardian: Wardian, state: Path, tmp_path: Path
) -> None:
    (tmp_path / "noise").write_bytes(b"\0noise" * 1000)
    before = out(wardian("images", "-q"))
    for command in ("load", "-i"), ("import",):
        arguments = [*command, str(tmp_path / "noise"), *(["x"] if command[0] == "import" else [])]
        assert refused(wardian(*arguments), 1)
    assert "No such file" in refused(wardian("load", "-i", str(tmp_path / "missing")), 1)
    assert out(wardian("images", "-q")) == before
    assert not [path for path in (state / "layers").iterdir() if path.name.startswith(".")]


def test_save_that_fails_leaves_no_file(wardian: Wardian, tmp_path: Path) -> None:
    target = tmp_path / "out.tar"
    assert "no such image" in refused(wardian("save", "-o", str(target), IMAGE, "nosuch"), 1)
    assert list(tmp_path.glob("*out.tar*")) == []


def test_unknown_setting_is_said(wardian: Wardian, tree: Path) -> None:
    done = wardian("import", "-c", "RUN true", str(tree), "x")
    assert refused(done, 1) == "not a setting of an image: RUN"
    assert refused(wardian("import", "-c", "CMD", str(tree), "x"), 1).startswith("not an instr")


def test_prune_removes_unused_images(wardian: Wardian, fern: str) -> None:
    assert fern
    out(wardian("run", "-d", "--name", "box", IMAGE, "sleep", "100"))
    assert "Deleted" not in out(wardian("image", "prune", "--force"))
    shown = out(wardian("image", "prune", "--force", "--all"))
    assert "Deleted: garden/fern:1\n" in shown
    assert out(wardian("image", "ls", "--format", "{{.Repository}}")) == f"{IMAGE}\n"


def test_prune_takes_what_the_filters_fit(wardian: Wardian, tree: Path, fern: str) -> None:
    assert fern
    old = {"SOURCE_DATE_EPOCH": "1700000000"}
    out(wardian("import", "-c", "LABEL keep=yes", str(tree), "garden/oak:1", **old))
    out(wardian("import", str(tree), "garden/elm:1", **old))

    def pruned(*words: str) -> set[str]:
        shown = out(wardian("image", "prune", "-f", *words)).splitlines()
        return {line.removeprefix("Deleted: ") for line in shown if line.startswith("Deleted")}

    assert pruned("--filter", "until=24h") == set()  # each has a name
    assert pruned("-a", "--filter", "until=24h", "--filter", "label=kind=fern") == set()
    found = pruned("-a", "--filter", "until=24h", "--filter", "label!=keep")
    assert "garden/elm:1" in found
    assert not {"garden/oak:1", "garden/fern:1"} & found
    assert pruned("--filter", "dangling=false", "--filter", "label=kind=fern") == {"garden/fern:1"}
    assert pruned("-a", "--filter", "label=keep=yes") == {"garden/oak:1"}
    assert refused(wardian("image", "prune", "-f", "--filter", "colour=red"), 1)
    assert "dangling=maybe" in refused(wardian("image", "prune", "--filter", "dangling=maybe"), 1)


def test_image_of_many_layers_runs(wardian: Wardian, state: Path, busybox_layer: Path) -> None:
    """More than docker's 127: each layer replaces a file of the one below and adds one."""
    import io

    from tests.archives import archive
    from wardian.images.store import ImageStore

    base = io.BytesIO()
    with tarfile.open(fileobj=base, mode="w") as file:
        file.add(busybox_layer, ".")
    many = [archive("n/", ("n/last", b"%d" % n), (f"n/{n}", b"")) for n in range(150)]
    with ImageStore(state).ingest() as ingest:
        layers = [ingest.unpack(ingest.add_blob(iter([each]))) for each in (base.getvalue(), *many)]
        config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["cat", "/n/last"]}}
        ingest.commit_image("docker.io/many/layers:1", config, layers)
    assert out(wardian("run", "--rm", "many/layers:1")) == "149"
    assert len(out(wardian("run", "--rm", "many/layers:1", "ls", "/n")).split()) == 151
    run = wardian("run", "--name", "box", "many/layers:1", "rm", "/n/0", "/n/last")
    assert out(run) == ""
    assert out(wardian("diff", "box")) == "C /n\nD /n/0\nD /n/last\n"
