"""``wardian cp``, by docker's rules, and what a hostile container makes of it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest

from tests.linux.conftest import keeper_pid, wait_until
from tests.linux.program import IMAGE, PROGRAM, Wardian, out, refused
from wardian.runtime.client import Client


@pytest.fixture
def box(wardian: Wardian) -> str:
    """A running container."""
    out(wardian("run", "-d", "--name", "box", IMAGE, "sleep", "1000"))
    return "box"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of this machine with a few files, and we in it."""
    folder = tmp_path / "here"
    (folder / "site/css").mkdir(parents=True)
    (folder / "site/index").write_text("index\n")
    (folder / "site/css/style").write_text("style\n")
    (folder / "site/link").symlink_to("index")
    monkeypatch.chdir(folder)
    return folder


def copy(wardian: Wardian, *words: str) -> None:
    assert out(wardian("cp", "-q", *words)) == ""


def inside(wardian: Wardian, command: str) -> str:
    return out(wardian("exec", "box", "sh", "-c", command))


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.usefixtures("box", "here")
def test_copies_in_land_where_dockers_do(wardian: Wardian) -> None:
    said = wardian("cp", "site", "box:/srv")  # /srv is not there: it becomes the copy
    assert (said.returncode, said.stderr) == (0, "Successfully copied 12B to box:/srv\n")
    assert inside(wardian, "cd /srv && find . -type f | sort && readlink link") == (
        "./css/style\n./index\nindex\n"
    )
    copy(wardian, "site", "box:/srv")  # now it is: the copy goes into it
    copy(wardian, "site/.", "box:/tmp")
    copy(wardian, "site/index", "box:/etc/motd")
    copy(wardian, "site/css/style", "box:/srv/index")
    assert inside(wardian, "ls /srv/site /tmp; cat /etc/motd /srv/index") == (
        "/srv/site:\ncss\nindex\nlink\n\n/tmp:\ncss\nindex\nlink\nindex\nstyle\n"
    )
    assert inside(wardian, "stat -c %u:%g:%a /srv/index") == "0:0:644\n"


@pytest.mark.usefixtures("box")
def test_copies_out_land_where_dockers_do(wardian: Wardian, here: Path) -> None:
    inside(wardian, "mkdir -p /d/e && echo x > /d/e/f && ln -s f /d/e/l")
    copy(wardian, "box:/d", "new")
    assert names(here / "new") == ["e", "e/f", "e/l"]
    copy(wardian, "box:/d/e", "new")
    assert (here / "new/e/f").read_text() == "x\n"
    copy(wardian, "box:/d/e/f", "g")
    copy(wardian, "-L", "box:/d/e/l", "h")
    copy(wardian, "box:/d/e/l", "i")
    assert (here / "g").read_text() == (here / "h").read_text() == "x\n"
    assert os.readlink(here / "i") == "f"


@pytest.mark.usefixtures("box")
def test_container_that_does_not_run_is_what_it_was_before(wardian: Wardian, here: Path) -> None:
    inside(wardian, "echo x > /f")
    out(wardian("stop", "-t", "0", "box"))
    shown = "{{.State.Status}} {{.State.ExitCode}} {{.State.FinishedAt}}"
    before = out(wardian("inspect", "--format", shown, "box"))
    assert before.startswith("exited 137 ")
    copy(wardian, "box:/f", "f")
    copy(wardian, "f", "box:/g")
    assert (here / "f").read_text() == "x\n"
    assert out(wardian("inspect", "--format", shown, "box")) == before
    assert "A /g" in out(wardian("diff", "box"))


@pytest.mark.usefixtures("box")
def test_frozen_container_is_copied_from_and_that_of_a_dead_keeper(
    wardian: Wardian, here: Path, state: Path
) -> None:
    inside(wardian, "umask 077; echo x > /f; chown 1000 /f")
    out(wardian("pause", "box"))
    copy(wardian, "box:/f", "frozen")
    out(wardian("unpause", "box"))
    keeper = keeper_pid(state)
    assert keeper is not None
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: keeper_pid(state) is None)
    copy(wardian, "box:/f", "orphaned")
    assert (here / "frozen").read_text() == (here / "orphaned").read_text() == "x\n"


@pytest.mark.usefixtures("here")
def test_what_is_asked_of_a_container_that_is_copied_from_holds(
    wardian: Wardian, state: Path, client: Client
) -> None:
    out(wardian("create", "--name", "box", "--restart", "always", IMAGE, "true"))
    with copying_in(state) as process:
        wait_until(lambda: status(wardian, "box") == "running")
        out(wardian("rename", "box", "crate"))
        out(wardian("update", "--restart", "no", "crate"))
        client.container("crate").lend()
        process.kill()  # it cannot give it back
    assert status(wardian, "crate") == "running"
    client.container("crate").give_back()
    wait_until(lambda: status(wardian, "crate") == "created")
    policy = "{{.HostConfig.RestartPolicy.Name}}"
    assert out(wardian("inspect", "--format", policy, "crate")) == "no\n"
    told = out(wardian("events", "--since", "1m", "--until", "0s", "--format", "{{.Action}}"))
    assert told.split() == ["create", "rename", "update"]


@pytest.mark.usefixtures("here")
def test_container_that_is_copied_from_is_started_all_the_same(
    wardian: Wardian, state: Path, client: Client
) -> None:
    out(wardian("create", "--name", "box", IMAGE, "sh", "-c", "echo begun; exec sleep 1000"))
    box = client.container("box")
    with copying_in(state) as process:
        wait_until(lambda: status(wardian, "box") == "running")
        out(wardian("start", "box"))
        assert "already running" in refused(wardian("start", "box"), 1)
        process.kill()
    wait_until(lambda: out(wardian("logs", "box")) == "begun\n")
    assert status(wardian, "box") == "running"  # nobody's loan ends it
    box.stop(timeout_s=0)
    for _ in range(5):
        with Client.connect(state) as borrower:
            borrower.container("box").lend()
        box.start()  # the loan is just ending
        assert status(wardian, "box") == "running"
        box.stop(timeout_s=0)
    told = out(wardian("events", "--since", "1m", "--until", "0s", "--format", "{{.Action}}"))
    assert told.split().count("start") == 6


@contextmanager
def copying_in(state: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A ``wardian cp`` into the container "box" that waits for its archive."""
    environment = {**os.environ, "WARDIAN_ROOT": str(state)}
    with subprocess.Popen(
        [*PROGRAM, "cp", "-", "box:/tmp"], stdin=subprocess.PIPE, env=environment
    ) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(tarfile.TarInfo("a").tobuf())
            process.stdin.flush()
            yield process
        finally:
            process.kill()


def status(wardian: Wardian, name: str) -> str:
    return out(wardian("inspect", "--format", "{{.State.Status}}", name)).strip()


@pytest.mark.usefixtures("box", "here")
def test_archives_come_and_go_as_streams(wardian: Wardian, state: Path) -> None:
    archive = BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        entry = tarfile.TarInfo("a/b")
        entry.size = 3
        tar.addfile(entry, BytesIO(b"abc"))
    environment = {**os.environ, "WARDIAN_ROOT": str(state)}
    subprocess.run(
        [*PROGRAM, "cp", "-", "box:/tmp"], input=archive.getvalue(), check=True, env=environment
    )
    assert inside(wardian, "cat /tmp/a/b") == "abc"
    stream = subprocess.check_output([*PROGRAM, "cp", "box:/tmp/a", "-"], env=environment)
    with tarfile.open(fileobj=BytesIO(stream)) as tar:
        assert tar.getnames() == ["a", "a/b"]


@pytest.mark.usefixtures("box", "here")
def test_copies_that_cannot_be_are_refused(wardian: Wardian) -> None:
    for origin, destination, why in (
        ("box:/nope", "x", "No such file"),
        ("nope", "box:/x", "No such file"),
        ("site", "box:/etc/passwd", "it is a file"),
        ("site/index", "box:/nope/x", "no such directory"),
        ("site/index", "box:/nope/", "no such directory"),
        ("site/index", "site/other", "exactly one"),
        ("box:/etc", "box:/tmp", "exactly one"),
        ("nobox:/etc", "x", "no such container"),
    ):
        assert why in refused(wardian("cp", origin, destination), 1)


@pytest.mark.usefixtures("box")
def test_links_of_the_container_lead_nowhere_else(
    wardian: Wardian, here: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "secret").write_text("of the host")
    up = "../" * 20
    inside(
        wardian,
        f"ln -s {victim} /out; ln -s {up}{victim}/secret /in; mkdir -p {victim}; "
        f"echo of the container > {victim}/secret",
    )
    copy(wardian, "-L", "box:/in", "copy")
    assert (here / "copy").read_text() == "of the container\n"
    copy(wardian, "site/index", "box:/out/planted")
    assert names(victim) == ["secret"]
    assert inside(wardian, f"cat {victim}/planted") == "index\n"


@pytest.mark.usefixtures("box")
def test_what_comes_out_is_ours_and_never_setuid(wardian: Wardian, here: Path) -> None:
    inside(wardian, "cp /bin/busybox /su && chown 1000 /su && chmod 6755 /su")
    copy(wardian, "box:/su", "su")
    status = (here / "su").stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (os.geteuid(), 0o755)
    copy(wardian, "-a", "box:/su", "su1000")
    status = (here / "su1000").stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (1000, 0o755)


@pytest.mark.usefixtures("box", "here")
def test_no_module_of_the_containers_is_imported(wardian: Wardian) -> None:
    """CVE-2019-14271: the helper of docker cp loaded a library of the container's."""
    folder = os.path.dirname(os.__file__)
    inside(
        wardian,
        f"mkdir -p {folder}/encodings && cd {folder} &&"
        " for name in pwd grp tarfile stringprep encodings/idna encodings/cp437; do"
        ' echo \'open("/evil", "w")\' > $name.py; done;'
        " mkdir -p /d && touch /d/$(printf '\\344') && chown 12345 /d",
    )
    copy(wardian, "box:/d", "d")
    copy(wardian, "-a", "d", "box:/e")
    assert inside(wardian, "ls /e | wc -l; ls -d /evil 2>/dev/null || echo none") == "1\nnone\n"
