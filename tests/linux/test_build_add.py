"""ADD of URLs and of git repositories, from servers on the loopback."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.linux.program import IMAGE, PROGRAM, Wardian, out
from tests.linux.test_build import built, context, done_steps, write
from tests.linux.web import LAST_MODIFIED, LAST_MODIFIED_S, Web, serving

__all__ = ["context"]

COMMIT_S = 1_000_000_000


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "file").write_text("green\n")
    with serving(folder) as web:
        yield web


def digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def refusal(wardian: Wardian, path: str) -> str:
    done = wardian("build", "--progress=quiet", path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


# --- URLs ------------------------------------------------------------------------------------


def test_url_becomes_a_file_as_old_as_the_server_says(
    wardian: Wardian, context: Path, web: Web
) -> None:
    web.headers["Last-Modified"] = LAST_MODIFIED
    path = write(
        context,
        f"FROM {IMAGE}\nADD {web.url}/file /plain\nADD {web.url}/file?x=1 /into/\n"
        f"ADD --chown=7:8 --chmod=644 {web.url}/elsewhere /etc/\n",
    )
    built(wardian, "-t", "urls", path)
    files = ("/plain", "/into/file", "/etc/elsewhere")
    said = out(wardian("run", "--rm", "urls", "stat", "-c", "%n %u:%g %a %Y %s", *files))
    assert said.splitlines() == [
        f"/plain 0:0 600 {LAST_MODIFIED_S} 6",
        f"/into/file 0:0 600 {LAST_MODIFIED_S} 6",
        f"/etc/elsewhere 7:8 644 {LAST_MODIFIED_S} 6",
    ]


def test_name_can_be_the_servers(wardian: Wardian, context: Path, web: Web) -> None:
    web.headers["Content-Disposition"] = 'attachment; filename="../../etc/leaf"'
    built(wardian, "-t", "named", write(context, f"FROM {IMAGE}\nADD {web.url}/file /srv/\n"))
    assert out(wardian("run", "--rm", "named", "cat", "/srv/leaf")) == "green\n"


def test_url_is_cached_by_its_content(wardian: Wardian, context: Path, web: Web) -> None:
    path = write(context, f"FROM {IMAGE}\nADD {web.url}/file /\n")
    built(wardian, path)
    web.headers["Last-Modified"] = LAST_MODIFIED  # times do not count
    assert done_steps(built(wardian, path))[1]["cached"]
    (web.directory / "file").write_text("red\n")
    step = done_steps(built(wardian, path))[1]
    assert (step.get("cached", False), step["why"]) == (False, "its files are others")


def test_server_that_knows_its_etag_does_not_send_the_file_again(
    wardian: Wardian, context: Path, web: Web
) -> None:
    web.etags["/file"] = '"1"'
    path = write(context, f"FROM {IMAGE}\nADD {web.url}/file /\n")
    built(wardian, path)
    assert done_steps(built(wardian, path))[1]["cached"]
    assert web.asked == ["200 /file", "304 /file"]
    # The layer is wanted elsewhere: now it is sent.
    built(wardian, "-t", "other", write(context, f"FROM {IMAGE}\nADD {web.url}/file /other\n"))
    assert web.asked == ["200 /file", "304 /file", "304 /file", "200 /file"]
    assert out(wardian("run", "--rm", "other", "cat", "/other")) == "green\n"


def test_checksum_is_held_against_the_file_and_spares_the_question(
    wardian: Wardian, context: Path, web: Web
) -> None:
    right, wrong = digest("green\n"), digest("red\n")
    text = f"FROM {IMAGE}\nADD --checksum={{}} {web.url}/file /\n"
    path = write(context, text.format(right))
    built(wardian, path)
    web.asked.clear()
    assert done_steps(built(wardian, path))[1]["cached"]
    assert not web.asked
    said = refusal(wardian, write(context, text.format(wrong)))
    assert f"Dockerfile:2: digest mismatch {right}: {wrong}" in said


def test_archive_of_a_url_is_unpacked_if_that_is_asked(
    wardian: Wardian, context: Path, web: Web
) -> None:
    with tarfile.open(web.directory / "a.tar.gz", "w:gz") as archive:
        archive.add(web.directory / "file", "inside/leaf")
    shutil.copy(web.directory / "a.tar.gz", context)
    path = write(
        context,
        f"FROM {IMAGE}\nADD {web.url}/a.tar.gz /kept/\nADD --unpack {web.url}/a.tar.gz /open\n"
        f"ADD --unpack {web.url}/file /plain/\nADD --unpack=false a.tar.gz /whole/\n"
        "RUN find /kept /open /plain /whole -type f | sort\n",
    )
    text = "".join(str(event["text"]) for event in built(wardian, path) if "text" in event)
    assert text.split() == [
        "/kept/a.tar.gz",
        "/open/inside/leaf",
        "/plain/file",
        "/whole/a.tar.gz",
    ]


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("ADD {}/none /", "Dockerfile:2: not found at 127.0.0.1:"),
        ("ADD http://127.0.0.1:1/x /", "Dockerfile:2: cannot connect to 127.0.0.1:1"),
        ("ADD --checksum=sha256:12 {}/file /", "not a checksum: 'sha256:12'"),
        ("ADD --checksum={d} leaf /", "checksum can't be specified for multiple or local sources"),
        ("COPY {}/file /", "COPY takes no URL"),
        ("ADD http:///file /", "no address of a file: http:///file"),
    ],
)
def test_url_that_cannot_be_had_is_one_error(
    wardian: Wardian, context: Path, web: Web, state: Path, line: str, part: str
) -> None:
    line = line.format(web.url, d=digest("green\n"))
    assert part in refusal(wardian, write(context, f"FROM {IMAGE}\n{line}\n"))
    assert not [name for name in os.listdir(state / "layers") if name.startswith(".")]


# --- git -------------------------------------------------------------------------------------


def git(folder: Path, *words: str) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_COMMITTER_DATE": f"{COMMIT_S} +0000",
        "GIT_AUTHOR_DATE": f"{COMMIT_S} +0000",
    }
    name = ("-c", "user.name=plant", "-c", "user.email=plant@example.org")
    settings = (*name, "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always")
    done = subprocess.run(
        ["git", *settings, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def repository(web: Web) -> Path:
    """Two commits, the first with a tag, and a branch; served over (dumb) http, too."""
    if shutil.which("git") is None:
        pytest.skip("no git; apt-get install git")
    work = web.directory.parent / "work"
    (work / "docs").mkdir(parents=True)
    git(work, "init", "-q")
    (work / "docs/leaf").write_text("first\n")
    (work / "docs/leaf").chmod(0o755)
    (work / "up").symlink_to("/etc")
    (work / ".gitattributes").write_text("* filter=evil\n")
    git(work, "add", ".")
    git(work, "commit", "-q", "-m", "first")
    git(work, "tag", "-a", "v1", "-m", "one")
    (work / "docs/leaf").write_text("second\n")
    git(work, "commit", "-q", "-a", "-m", "second")
    git(work, "branch", "side")
    publish(work, web)
    return work


def publish(work: Path, web: Web) -> None:
    bare = web.directory / "plant.git"
    shutil.rmtree(bare, ignore_errors=True)
    git(work, "clone", "-q", "--bare", str(work), str(bare))
    git(bare, "update-server-info")


@pytest.fixture
def daemon(web: Web, repository: Path) -> Iterator[str]:
    """The repository over git's own protocol."""
    del repository
    from tests.registry.server import free_port

    port = free_port()
    flags = ("--export-all", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", "--verbose")
    command = ["git", "daemon", *flags, f"--base-path={web.directory}", str(web.directory)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert "Ready to rumble" in process.stderr.readline()
            yield f"git://127.0.0.1:{port}/plant.git"
        finally:
            process.terminate()


def test_repository_is_added_at_a_branch_tag_or_commit(
    wardian: Wardian, context: Path, repository: Path, daemon: str
) -> None:
    first = git(repository, "rev-parse", "v1^{commit}")
    path = write(
        context,
        f"FROM {IMAGE}\nADD {daemon} /usual\nADD {daemon}#v1 /tag/\nADD {daemon}#side:docs /side\n"
        f"ADD {daemon}#{first} /commit\nADD --keep-git-dir --chown=7:8 {daemon}#main /kept\n",
    )
    built(wardian, "-t", "git", path)
    leaves = [f"/{name}/docs/leaf" for name in ("usual", "tag", "commit", "kept")]
    said = out(wardian("run", "--rm", "git", "cat", *leaves, "/side/leaf"))
    assert said.split() == ["second", "first", "first", "second", "second"]
    stat = ("stat", "-c", "%u:%g %a %Y", "/usual/docs/leaf", "/kept/docs/leaf")
    assert out(wardian("run", "--rm", "git", *stat)).splitlines() == [
        f"0:0 755 {COMMIT_S}",
        f"7:8 755 {COMMIT_S}",
    ]
    found = out(wardian("run", "--rm", "git", "find", "/", "-xdev", "-name", ".git"))
    assert found.split() == ["/kept/.git"]


def test_repository_is_cached_by_its_commit(
    wardian: Wardian, context: Path, web: Web, repository: Path
) -> None:
    path = write(context, f"FROM {IMAGE}\nADD {web.url}/plant.git#main /src\n")
    built(wardian, "-t", "src", path)
    web.asked.clear()
    assert done_steps(built(wardian, path))[1]["cached"]
    assert not [line for line in web.asked if "/objects/" in line]
    (repository / "docs/leaf").write_text("third\n")
    git(repository, "commit", "-q", "-a", "-m", "third")
    publish(repository, web)
    assert not done_steps(built(wardian, "-t", "src", path))[1].get("cached")
    assert out(wardian("run", "--rm", "src", "cat", "/src/docs/leaf")) == "third\n"


def test_submodule_comes_along_but_never_from_a_file_of_the_host(
    wardian: Wardian, context: Path, web: Web, repository: Path, daemon: str
) -> None:
    git(repository, "submodule", "-q", "add", daemon, "part")
    git(repository, "commit", "-q", "-m", "part")
    publish(repository, web)  # a submodule of itself: the daemon serves the same directory
    text = (repository / ".gitmodules").read_text()
    built(wardian, "-t", "part", write(context, f"FROM {IMAGE}\nADD {web.url}/plant.git /src\n"))
    assert out(wardian("run", "--rm", "part", "cat", "/src/part/docs/leaf")) == "second\n"
    secret = web.directory.parent / "secret"
    git(web.directory.parent, "clone", "-q", "--bare", str(repository), str(secret))
    (repository / ".gitmodules").write_text(text.replace(daemon, f"file://{secret}"))
    git(repository, "commit", "-q", "-a", "-m", "theft")
    publish(repository, web)
    said = refusal(wardian, write(context, f"FROM {IMAGE}\nADD {web.url}/plant.git /src\n"))
    assert "Dockerfile:2: git cannot fetch" in said
    assert "transport 'file' not allowed" in said


def test_settings_and_hooks_of_host_and_repository_do_not_run(
    wardian: Wardian, context: Path, web: Web, repository: Path, tmp_path: Path
) -> None:
    """A filter that the repository asks for, and that a global setting would define."""
    trace = tmp_path / "ran"
    home = tmp_path / "home"
    (home / "hooks").mkdir(parents=True)
    hook = home / "hooks/post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {trace}\n")
    hook.chmod(0o755)
    (home / ".gitconfig").write_text(
        f'[core]\nhooksPath = {home}/hooks\n[filter "evil"]\nsmudge = touch {trace}; cat\n'
    )
    assert repository.exists()
    path = write(context, f"FROM {IMAGE}\nADD {web.url}/plant.git /src\n")
    built(wardian, path, HOME=str(home))
    assert not trace.exists()


@pytest.mark.parametrize(
    ("end", "part"),
    [
        ("/plant.git#none", "no branch or tag 'none' in http://127.0.0.1:"),
        ("/plant.git#--upload-pack=x", "not a branch, tag or commit: '--upload-pack=x'"),
        ("/none.git", "git cannot fetch http://127.0.0.1:"),
        ("/plant.git#main:none", "no directory 'none' in the repository"),
        ("/plant.git#main:up", "no directory 'up' in the repository"),
    ],
)
def test_repository_that_cannot_be_had_is_one_error(
    wardian: Wardian, context: Path, web: Web, repository: Path, end: str, part: str
) -> None:
    assert repository.exists()
    said = refusal(wardian, write(context, f"FROM {IMAGE}\nADD {web.url}{end} /\n"))
    assert part in said


def test_commit_is_held_against_its_checksum(
    wardian: Wardian, context: Path, web: Web, repository: Path
) -> None:
    commit = git(repository, "rev-parse", "main")
    text = f"FROM {IMAGE}\nADD --checksum={{}} {web.url}/plant.git#main /src\n"
    built(wardian, write(context, text.format(commit)))
    said = refusal(wardian, write(context, text.format("0" * 40)))
    assert f"expected checksum to match {'0' * 40}, got {commit}" in said


# --- contexts that are fetched ---------------------------------------------------------------


def pack(archive: Path, folder: Path) -> None:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, ".")


def test_context_can_be_a_directory_of_a_repository(
    wardian: Wardian, repository: Path, daemon: str, web: Web
) -> None:
    write(repository / "docs", f"FROM {IMAGE}\nCOPY . /docs\n")
    (repository / "docs/.dockerignore").write_text("unwanted\n")
    (repository / "docs/unwanted").touch()
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "a Dockerfile")
    publish(repository, web)
    for address in (f"{daemon}#main:docs", f"{web.url}/plant.git#:docs"):
        built(wardian, "-t", "docs", address)
        said = out(wardian("run", "--rm", "docs", "sh", "-c", "cat /docs/leaf; ls -A /docs"))
        assert said.split() == ["second", ".dockerignore", "Dockerfile", "leaf"]
    said = refusal(wardian, f"{daemon}#side:docs")
    assert "failed to read dockerfile: Dockerfile: no such file in the context" in said
    assert "no directory 'none' in the repository" in refusal(wardian, f"{daemon}#side:none")


def test_context_can_be_an_archive_or_a_dockerfile_of_a_server(
    wardian: Wardian, context: Path, web: Web
) -> None:
    path = write(context, f"FROM {IMAGE}\nCOPY leaf /leaf\nCOPY --from=one leaf /again\n")
    pack(web.directory / "context.tar.gz", Path(path))
    address = f"{web.url}/context.tar.gz"
    built(wardian, "-t", "fetched", "--build-context", f"one={address}", address)
    assert [line for line in web.asked if "context" in line] == ["200 /context.tar.gz"]
    assert out(wardian("run", "--rm", "fetched", "cat", "/leaf")) == "green\n"
    (web.directory / "alone").write_text(f"FROM {IMAGE}\nRUN echo alone > /leaf\n")
    built(wardian, "-t", "alone", f"{web.url}/alone")
    assert out(wardian("run", "--rm", "alone", "cat", "/leaf")) == "alone\n"
    assert "not found at 127.0.0.1" in refusal(wardian, f"{web.url}/none")


def test_named_context_can_be_a_repository_or_an_archive(
    wardian: Wardian, context: Path, web: Web, daemon: str
) -> None:
    pack(web.directory / "files.tar.gz", context)
    path = write(
        context,
        f"FROM {IMAGE}\nCOPY --from=plant docs/leaf /one\nCOPY --from=packed leaf /two\n",
    )
    contexts = (f"plant={daemon}#v1", f"packed={web.url}/files.tar.gz")
    named = [word for one in contexts for word in ("--build-context", one)]
    built(wardian, *named, "-t", "named", path)
    assert out(wardian("run", "--rm", "named", "cat", "/one", "/two")) == "first\ngreen\n"
    again = done_steps(built(wardian, *named, "-t", "named", path))
    assert [step["cached"] for step in again[-2:]] == [True, True]
    plain = ("--build-context", f"packed={web.url}/file", *named[:2])
    assert "the context packed is no archive" in wardian("build", *plain, path).stderr


def test_links_of_a_fetched_context_lead_nowhere_but_into_it(
    wardian: Wardian, context: Path, web: Web
) -> None:
    secret = web.directory.parent / "secret"
    secret.write_text("SECRET of the host\n")
    (context / "Dockerfile").symlink_to(secret)
    (context / "leaf").unlink()
    (context / "leaf").symlink_to(secret)
    pack(web.directory / "context.tar.gz", context)
    said = refusal(wardian, f"{web.url}/context.tar.gz")
    assert "failed to read dockerfile" in said
    assert "SECRET" not in said
    with open(web.directory / "context.tar.gz", "rb") as archive:
        done = subprocess.run(
            [*PROGRAM, "build", "-"], stdin=archive, capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    assert "SECRET" not in done.stderr
    (context / "Dockerfile").unlink()
    pack(web.directory / "context.tar.gz", Path(write(context, f"FROM {IMAGE}\nCOPY leaf /leaf\n")))
    wardian("build", "-t", "link", f"{web.url}/context.tar.gz")
    assert "SECRET" not in wardian("run", "--rm", "link", "cat", "/leaf").stdout
