"""The embedded images: made from this host, the same twice, and fit to live in."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.linux.conftest import shell
from wardian.errors import NotFound, SetupError
from wardian.images import base
from wardian.images.host import HostPrograms
from wardian.images.resolve import resolve
from wardian.images.store import Image, ImageStore
from wardian.runtime.client import Client
from wardian.runtime.container import Container
from wardian.runtime.spec import ContainerSpec
from wardian.storage.changes import changes
from wardian.storage.snapshotter import Snapshot


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    return ImageStore(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def image(store: ImageStore) -> Image:
    return resolve(store, "wardian/base")


@pytest.fixture(scope="module")
def top(image: Image) -> Path:
    return image.layer_directories[0]


@pytest.fixture
def run(client: Client, store: ImageStore) -> Callable[[str], Container]:
    def start(name: str) -> Container:
        image = resolve(store, name)
        lowers = tuple(map(str, image.layer_directories))
        return client.run(ContainerSpec(name="box", image=name, lowers=lowers))

    return start


# --- how it is made ----------------------------------------------------------------------------


def test_two_stores_of_one_host_get_the_same_image(image: Image, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    again = resolve(ImageStore(tmp_path / "elsewhere"), "wardian/base")
    assert again.digest == image.digest
    assert again.config == image.config


def test_umask_and_locale_do_not_matter(image: Image, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from wardian.images.store import ImageStore;"
        "from wardian.images.resolve import resolve;"
        "print(resolve(ImageStore(Path(sys.argv[1])), 'wardian/base').digest)"
    )
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "Asia/Tokyo"}
    command = ["sh", "-c", 'umask 077; exec "$@"', "sh", sys.executable, "-c", program]
    said = subprocess.check_output([*command, tmp_path / "s"], text=True, env=environment)
    assert said.strip() == image.digest


@pytest.mark.usefixtures("image")
def test_nothing_is_made_again_while_the_host_is_the_same(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made_again(_: ImageStore) -> None:
        pytest.fail("the image was made again")

    monkeypatch.setattr(ImageStore, "ingest", made_again)
    for name in ("wardian/base", "wardian/base:latest"):
        assert resolve(store, name).reference == "wardian/base"


def test_changed_program_or_lost_layer_makes_it_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ImageStore(tmp_path)
    first = resolve(store, "wardian/scratch")
    monkeypatch.setattr(base, "RECIPE", "another")
    assert resolve(store, "wardian/scratch").digest != first.digest
    second = resolve(store, "wardian/scratch")
    second.layer_directories[0].rmdir()
    assert resolve(store, "wardian/scratch").layer_directories[0].is_dir()


def test_its_archive_is_an_ordinary_layer(store: ImageStore, image: Image, tmp_path: Path) -> None:
    """Another program unpacks the blob to the very directory that we run."""
    (blob,) = store.manifest(image).layers
    assert blob.digest == image.diff_ids[0]
    subprocess.run(["tar", "-C", tmp_path, "-xpf", store.blob(blob.digest)], check=True)
    listing = ["find", ".", "-printf", r"%P %y %m %U %G %s %T@ %l\n"]
    found = [
        sorted(subprocess.check_output(listing, cwd=place, text=True).splitlines()[1:])
        for place in (tmp_path, image.layer_directories[0])
    ]
    assert found[0] == found[1]
    assert len(found[0]) > 100
    assert list(store.check()) == []


def test_everything_is_root_s_without_set_id_bits(top: Path) -> None:
    for path in top.rglob("*"):
        status = path.lstat()
        assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid()), path
        assert not status.st_mode & (stat.S_ISUID | stat.S_ISGID), path
        assert status.st_nlink == 1 or path.is_dir(), path


def test_nothing_private_of_the_host_comes_along(top: Path) -> None:
    for name in ("shadow", "gshadow", "sudoers", "ssh", "machine-id", "hostname", "resolv.conf"):
        assert not (top / "etc" / name).exists()
    names = {path.name for path in top.rglob("*")}
    assert not {name for name in names if name.startswith(("ssh_host_", "id_rsa", ".ssh"))}
    assert not {name for name in names if name.endswith((".key", ".pem", "_history"))} - {
        "cert.pem"
    }
    assert sorted(os.listdir(top / "root")) == [".bashrc", ".profile"]
    passwd = (top / "etc/passwd").read_text()
    assert [line.split(":")[0] for line in passwd.splitlines()] == ["root", "nobody"]


def test_usual_directories_are_there(top: Path) -> None:
    for name in ("tmp", "var/tmp"):
        assert stat.S_IMODE((top / name).stat().st_mode) == 0o1777
    assert stat.S_IMODE((top / "root").stat().st_mode) == 0o700
    for name in ("proc", "sys", "dev", "run"):
        assert os.listdir(top / name) == []
    for name in ("bin", "sbin", "lib"):
        assert (top / name).is_symlink() == Path(f"/{name}").is_symlink()


def test_no_symlink_leads_nowhere(top: Path) -> None:
    for path in top.rglob("*"):
        if path.is_symlink():
            target = os.readlink(path)
            inside = top / target.lstrip("/") if target.startswith("/") else path.parent / target
            assert inside.exists() or target == "/run", path


def test_labels_say_what_it_is_and_what_is_missing(image: Image) -> None:
    labels = image.labels
    assert labels["org.opencontainers.image.title"] == "Wardian base"
    missing = set(labels[base.MISSING].split())
    directories = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
    for name in base.PROGRAMS:
        is_here = any(os.access(f"{folder}/{name}", os.X_OK) for folder in directories)
        assert is_here != (name in missing), name


def test_image_without_a_shell_on_the_host_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = HostPrograms([])
    monkeypatch.setattr(base, "HostPrograms", lambda: empty)
    with pytest.raises(SetupError, match="no shell"):
        resolve(ImageStore(tmp_path), "wardian/base")
    with pytest.raises(SetupError, match="no static busybox") as raised:
        resolve(ImageStore(tmp_path), "wardian/busybox")
    assert "busybox-static" in raised.value.hint


def test_unknown_image_says_what_there_is(store: ImageStore, image: Image) -> None:
    with pytest.raises(NotFound, match="no such image: debian") as raised:
        resolve(store, "debian")
    assert image.reference in raised.value.hint
    assert "wardian/busybox" in raised.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root; run the tests as root")
def test_full_disk_is_said_and_nothing_stays(tmp_path: Path) -> None:
    program = f"""
import os
from pathlib import Path
from wardian.errors import SetupError
from wardian.images.resolve import resolve
from wardian.images.store import ImageStore
store = ImageStore(Path({str(tmp_path)!r}))
try:
    resolve(store, "wardian/base")
except SetupError as error:
    print(error)
print(os.listdir(store.layers), store.list())
"""
    script = f'mount -t tmpfs -o size=4m none {tmp_path}; exec "$0" -c "$1"'
    command = ["unshare", "-m", "sh", "-ec", script, sys.executable, program]
    said = subprocess.check_output(command, text=True)
    assert "No space left on device" in said
    assert "free some space" in said
    assert said.endswith("[] []\n")
    assert str(tmp_path) not in said


# --- how one lives in it -----------------------------------------------------------------------


def test_every_program_of_base_finds_its_libraries(
    run: Callable[[str], Container], image: Image
) -> None:
    container = run("wardian/base")
    names = sorted(set(base.PROGRAMS) - set(image.labels[base.MISSING].split()))
    loader = "for p in " + " ".join(names) + '; do command -v "$p" >/dev/null || echo "no $p"; done'
    assert shell(container, loader) == (0, "")
    libraries = "find /usr -type f -perm -100 -exec ldd {} + 2>&1 | grep 'not found'"
    assert shell(container, libraries)[1] == ""


LIFE = {
    "id -un": "root",
    "ps -o comm= -p 1": "wardian-init",
    "ip -br link show lo | cut -c1-2": "lo",
    "echo a b | awk '{print $2}' | sed s/b/c/ | grep c": "c",
    "printf x | gzip | tar --version | head -1 | cut -c1-9": "tar (GNU ",
    "TERM=xterm tput bold | wc -c": "4",
    "TERM=dumb top -bn1 | head -1 | cut -c1-3": "top",
    "getent passwd nobody | cut -d: -f3": "65534",
    "getent services http | cut -d' ' -f1": "http",
    "printf 'all:\\n\\techo made\\n' | make -sf -": "made",
    "echo $LANG": "C.UTF-8",
    "printf ä | wc -m": "1",
    "stdbuf -oL echo line": "line",
    ". /etc/os-release; echo $ID": "wardian",
    "cat /etc/localtime | head -c4": "TZif",
}


def test_shell_and_tools_work(run: Callable[[str], Container], image: Image) -> None:
    container = run("wardian/base")
    missing = set(image.labels[base.MISSING].split())
    for command, expected in LIFE.items():
        if not missing & set(command.split()):
            assert shell(container, command, env=image.env) == (
                0,
                expected + "\n" * (command not in _WITHOUT_NEWLINE),
            ), command


_WITHOUT_NEWLINE = {"cat /etc/localtime | head -c4"}

PYTHON = """
import bz2, ctypes, curses, decimal, hashlib, json, lzma, readline, sqlite3, ssl, sys, zlib
import asyncio, email, http.server, multiprocessing, unittest, urllib.request, venv, xml.dom
curses.setupterm("xterm")
has_certificates = ssl.create_default_context().cert_store_stats()["x509_ca"] > 0
print(json.dumps([sys.prefix, sys.getfilesystemencoding(), has_certificates]))
"""


def test_image_has_its_own_python(run: Callable[[str], Container], image: Image) -> None:
    if "python3" in image.labels[base.MISSING].split():
        pytest.skip("the host has no python3 of its distribution; apt-get install python3")
    container = run("wardian/base")
    code, said = shell(container, f"python3 - <<'END'\n{PYTHON}\nEND", env=image.env)
    assert code == 0, said
    has_certificates = Path("/etc/ssl/certs/ca-certificates.crt").exists()
    assert json.loads(said) == ["/usr", "utf-8", has_certificates]
    assert shell(container, "python -c 'print(6 * 7)'", env=image.env) == (0, "42\n")


def test_using_python_writes_nothing_into_the_container(
    run: Callable[[str], Container], image: Image
) -> None:
    """Its modules come compiled, else the first import would fill the layers' view."""
    if not list(image.layer_directories[0].rglob("*.pyc")):
        pytest.skip("the host's python3 has no compiled modules")
    container = run("wardian/base")
    assert shell(container, f"python3 - <<'END'\n{PYTHON}\nEND", env=image.env)[0] == 0
    info = container.info
    snapshot = Snapshot("box", Path(info.upper), Path(info.work))
    assert list(changes(snapshot, [Path(lower) for lower in info.lowers])) == []


def test_busybox_has_all_its_applets(run: Callable[[str], Container], store: ImageStore) -> None:
    container = run("wardian/busybox")
    assert shell(container, "ls /; id -un; echo hi | tr a-z A-Z; . /etc/os-release; echo $ID")[
        1
    ].split()[-3:] == ["root", "HI", "wardian"]
    listed = subprocess.check_output(["busybox", "--list"], text=True).split()
    (top,) = resolve(store, "wardian/busybox").layer_directories
    assert sorted(os.listdir(top / "bin")) == sorted({*listed, "busybox"})


def test_scratch_is_empty(store: ImageStore) -> None:
    image = resolve(store, "wardian/scratch")
    assert os.listdir(image.layer_directories[0]) == []
    assert image.command == ()
