"""Images and root trees that leave for other programs, the real ones, and come back."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.linux.program import IMAGE, PROGRAM, Wardian, out, refused

SHOW = ("cat", "/etc/leaf")


@pytest.fixture
def fern(wardian: Wardian, tmp_path: Path, busybox_layer: Path) -> str:
    """An image of a root tree with one more file."""
    archive = tmp_path / "tree.tar"
    with tarfile.open(archive, "w") as file:
        file.add(busybox_layer, ".")
        leaf = tarfile.TarInfo("./etc/leaf")
        leaf.size = 7
        file.addfile(leaf, io.BytesIO(b"a leaf\n"))
    out(wardian("import", "-c", 'CMD ["cat", "/etc/leaf"]', str(archive), "garden/fern:1"))
    return "garden/fern:1"


# --- export ------------------------------------------------------------------------------------


def exported(state: Path, name: str) -> tarfile.TarFile:
    command = [*PROGRAM, "--root", str(state), "export", name]
    return tarfile.open(fileobj=io.BytesIO(subprocess.check_output(command)))


def test_exported_tree_is_what_the_container_sees_without_mounts(
    wardian: Wardian, fern: str, state: Path, tmp_path: Path
) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume/secret").touch()
    script = "rm /etc/leaf; echo new >/etc/new; ln /etc/new /etc/also; chown 5:7 /etc/new"
    volume = f"{tmp_path}/volume:/data"
    out(wardian("run", "--name", "box", "-v", volume, fern, "sh", "-c", script))
    with exported(state, "box") as tree:
        names = set(tree.getnames())
        assert {"bin/busybox", "etc/passwd", "etc/new", "etc/also", "proc", "data"} <= names
        assert not {"etc/leaf", "data/secret", "proc/self", "dev/null", "."} & names
        member = tree.getmember("etc/new")
        assert (member.uid, member.gid) == (5, 7)
        assert {tree.getmember(f"etc/{name}").type for name in ("new", "also")} == {
            tarfile.REGTYPE,
            tarfile.LNKTYPE,
        }


def test_container_exports_the_same_running_or_not(wardian: Wardian, state: Path) -> None:
    out(wardian("run", "-d", "--name", "box", IMAGE, "sleep", "1000"))
    with exported(state, "box") as running:
        out(wardian("stop", "-t", "0", "box"))
        with exported(state, "box") as stopped:
            assert running.getnames() == stopped.getnames()
    shown = out(wardian("ps", "-a", "--format", "{{.Status}}"))
    assert shown.startswith("Exited")


def test_exported_tree_is_imported_again(wardian: Wardian, fern: str, tmp_path: Path) -> None:
    out(wardian("create", "--name", "box", fern))
    target = tmp_path / "box.tar"
    assert out(wardian("export", "-o", str(target), "box")) == ""
    out(wardian("import", str(target), "flat"))
    assert out(wardian("run", "--rm", "flat", *SHOW)) == "a leaf\n"


def test_export_that_fails_leaves_no_file(wardian: Wardian, tmp_path: Path) -> None:
    target = tmp_path / "box.tar"
    assert "no such container" in refused(wardian("export", "-o", str(target), "nosuch"), 1)
    assert not list(tmp_path.glob("*box.tar*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_export_to_a_full_disk_says_so(wardian: Wardian) -> None:
    out(wardian("create", "--name", "box", IMAGE))
    said = refused(wardian("export", "-o", "/dev/full", "box"), 1)
    assert said == "cannot write the archive: No space left on device"


def test_snapshot_of_a_container_is_compared_with_its_image(
    wardian: Wardian, fern: str, tmp_path: Path
) -> None:
    script = "rm /etc/leaf; echo dew >/etc/dew; chmod 600 /etc/passwd"
    out(wardian("run", "--name", "box", fern, "sh", "-c", script))
    out(wardian("export", "-o", str(tmp_path / "box.tar"), "box"))
    out(wardian("import", str(tmp_path / "box.tar"), "garden/flat:1"))
    lines = out(wardian("image", "diff", fern, "garden/flat:1")).splitlines()
    assert {"A /etc/dew", "D /etc/leaf", "C /etc/passwd   (mode)"} <= set(lines)
    assert 'config config.Cmd: ["cat", "/etc/leaf"] -> ["/bin/sh"]' in lines
    assert lines[-1].startswith("garden/flat:1: efficiency 100.00%")
    found = json.loads(out(wardian("image", "diff", "--format", "json", fern, fern)))
    assert (found["Files"], found["Config"], found["SharedLayers"]) == ([], [], 1)
    assert "no such image" in refused(wardian("image", "diff", fern, "nosuch"), 1)


# --- directories -------------------------------------------------------------------------------


def test_layout_is_a_new_directory(wardian: Wardian, fern: str, tmp_path: Path) -> None:
    target = tmp_path / "layout"
    out(wardian("save", "--format", "oci-dir", "-o", str(target), fern, IMAGE))
    assert sorted(os.listdir(target)) == ["blobs", "index.json", "oci-layout"]
    again = wardian("save", "--format", "oci-dir", "-o", str(target), fern)
    assert refused(again, 1) == f"{target} is there already"
    lost = wardian("save", "--format", "oci-dir", "-o", str(tmp_path / "other"), "nosuch")
    assert refused(lost, 1).startswith("no such image")
    assert not list(tmp_path.glob("*other*"))
    out(wardian("rmi", fern, IMAGE))
    loaded = out(wardian("image", "load", "-i", str(target)))
    assert loaded == f"Loaded image: {fern}\nLoaded image: {IMAGE}\n"
    assert out(wardian("run", "--rm", fern)) == "a leaf\n"


def layout_of(wardian: Wardian, target: Path, name: str) -> Path:
    out(wardian("save", "--format", "oci-dir", "-o", str(target), name))
    return target


def with_symlink(layout: Path) -> None:
    """A blob that is a way out."""
    blob = max((layout / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.unlink()
    blob.symlink_to("/etc/passwd")


def with_altered_blob(layout: Path) -> None:
    for blob in (layout / "blobs/sha256").iterdir():
        blob.write_bytes(blob.read_bytes()[:-1] + b"x")


def with_fifo(layout: Path) -> None:
    os.mkfifo(layout / "blobs/sha256/pipe")


def without_index(layout: Path) -> None:
    (layout / "index.json").unlink()


@pytest.mark.parametrize("harm", [with_symlink, with_altered_blob, with_fifo, without_index])
def test_hostile_layout_is_refused_and_leaves_nothing(
    wardian: Wardian, fern: str, state: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    layout = layout_of(wardian, tmp_path / "layout", fern)
    out(wardian("rmi", fern))
    harm(layout)
    what = "not what its digest says" if harm is with_altered_blob else "directory"
    assert what in refused(wardian("load", "-i", str(layout)), 1)
    assert fern not in out(wardian("images"))
    assert not [path for path in (state / "layers").iterdir() if path.name.startswith(".")]


# --- other programs ----------------------------------------------------------------------------


def need(name: str) -> str:
    if path := shutil.which(name):
        return path
    pytest.skip(f"no {name}; apt-get install {name}")


def tell(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def skopeo(source: Path, target: Path, _: Path) -> None:
    program = (need("skopeo"), "--insecure-policy", "copy", "--quiet")
    tell(*program, f"oci:{source}:1", f"oci:{target}:two")


def umoci(source: Path, target: Path, work: Path) -> None:
    """A new layer by unpacking and packing again, in the layout itself."""
    program = need("umoci")
    tell(program, "unpack", "--image", f"{source}:1", str(work / "bundle"))
    (work / "bundle/rootfs/etc/dew").write_text("dew\n")
    (work / "bundle/rootfs/etc/group").unlink()
    tell(program, "repack", "--image", f"{source}:two", str(work / "bundle"))
    source.rename(target)


def storing(name: str, work: Path) -> tuple[str, ...]:
    """A program of the containers family with a store of its own."""
    places = ("--root", str(work / "root"), "--runroot", str(work / "run"))
    return (need(name), *places, "--storage-driver", "vfs")


def buildah(source: Path, target: Path, work: Path) -> None:
    program = storing("buildah", work)
    digest = tell(*program, "pull", "--quiet", f"oci:{source}:1").strip()
    tell(*program, "push", "--quiet", digest, f"oci:{target}:two")


def podman(source: Path, target: Path, work: Path) -> None:
    program = storing("podman", work)
    digest = tell(*program, "pull", "--quiet", f"oci:{source}:1").strip()
    tell(*program, "save", "--quiet", "--format", "oci-dir", "-o", str(target), digest)


@pytest.fixture
def work() -> Iterator[Path]:
    """A place with a short name: podman wants one of at most 50 characters."""
    with tempfile.TemporaryDirectory(prefix="w-") as place:
        yield Path(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="their stores need root; run the tests as root")
@pytest.mark.parametrize("through", [skopeo, umoci, buildah, podman])
def test_layout_goes_through_other_programs_and_back(
    wardian: Wardian,
    fern: str,
    tmp_path: Path,
    work: Path,
    through: Callable[[Path, Path, Path], None],
) -> None:
    ours = layout_of(wardian, tmp_path / "ours", fern)
    through(ours, tmp_path / "theirs", work)
    loaded = out(wardian("load", "-i", str(tmp_path / "theirs"), "garden/moss:two"))
    assert loaded == "Loaded image: garden/moss:two\n"
    assert out(wardian("run", "--rm", "garden/moss:two")) == "a leaf\n"
    if through is umoci:
        shown = out(wardian("run", "--rm", "garden/moss:two", "sh", "-c", "cd /etc; cat dew; ls"))
        assert "dew\n" in shown
        assert "group\n" not in shown


@pytest.mark.skipif(os.geteuid() != 0, reason="their stores need root; run the tests as root")
@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
@pytest.mark.parametrize("name", ["podman", "buildah"])
def test_archive_goes_through_other_programs_and_back(
    wardian: Wardian, fern: str, tmp_path: Path, work: Path, kind: str, name: str
) -> None:
    ours, theirs = tmp_path / "ours.tar", tmp_path / "theirs.tar"
    out(wardian("save", "--format", kind, "-o", str(ours), fern))
    program = storing(name, work)
    digest = tell(*program, "pull", "--quiet", f"{kind}:{ours}").strip().splitlines()[-1]
    tell(*program, "push", "--quiet", digest, f"{kind}:{theirs}:docker.io/garden/moss:two")
    named = () if kind == "docker-archive" else ("garden/moss:two",)
    assert out(wardian("load", "-i", str(theirs), *named)) == "Loaded image: garden/moss:two\n"
    assert out(wardian("run", "--rm", "garden/moss:two", *SHOW)) == "a leaf\n"
