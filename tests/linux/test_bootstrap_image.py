"""``wardian image bootstrap`` with the real mmdebstrap and the mirror of this host."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.linux.program import Wardian, out, program, refused
from wardian.errors import SetupError
from wardian.images.debian import host_mirror, usual_suite

OTHER = {"bookworm": "trixie", "trixie": "bookworm"}


@pytest.fixture(scope="module")
def mirror() -> str:
    """The host's, if it can be reached."""
    if shutil.which("mmdebstrap") is None:
        pytest.skip("no mmdebstrap; apt-get install mmdebstrap")
    try:
        found = host_mirror()
    except SetupError as error:
        pytest.skip(f"no mirror of Debian: {error.what}")
    parts = urlsplit(found)
    try:
        place = (parts.hostname or "", parts.port or {"https": 443}.get(parts.scheme, 80))
        socket.create_connection(place, 10).close()
    except OSError as error:
        pytest.skip(f"the mirror of Debian cannot be reached: {error}")
    return found


@pytest.mark.timeout(600)
def test_another_distribution_runs_on_this_kernel(state: Path, mirror: str) -> None:
    del mirror
    suite = OTHER.get(usual_suite(), "trixie")
    wardian = program(state, timeout_s=500)
    done = wardian("image", "bootstrap", "--suite", suite)
    assert done.returncode == 0, done.stderr
    name, digest = done.stdout.split()
    assert name == f"wardian/debian:{suite}"
    listed = out(wardian("run", "--rm", name, "cat", "/etc/os-release"))
    assert f"VERSION_CODENAME={suite}\n" in listed
    query = ("dpkg-query", "-W", "-f", "${Status}", "base-files")
    assert out(wardian("run", "--rm", name, *query)) == "install ok installed"
    assert out(wardian("run", "--rm", name, "stat", "-c", "%u:%g", "/etc/shadow")) == "0:42\n"
    (again,) = out(wardian("images", "-q", "--no-trunc", name)).split()
    assert again == digest
    history = out(wardian("history", "--format", "{{.Comment}}", name))
    assert history.startswith("mmdebstrap --variant=minbase")


def test_suite_that_the_mirror_has_not_is_one_error(wardian: Wardian, mirror: str) -> None:
    done = wardian("image", "bootstrap", "-q", "--suite", "nosuchsuite", "--mirror", mirror)
    assert refused(done, 1).startswith("mmdebstrap cannot make this root tree: ")
    assert out(wardian("images", "-q", "wardian/debian:nosuchsuite")) == ""


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--suite", "../x"), "not a suite: '../x'"),
        (("--variant", "none"), "no such variant: none"),
        (("--include", "a;b"), "not the name of a package: 'a;b'"),
    ],
)
def test_words_that_are_none_are_refused(wardian: Wardian, flags: list[str], said: str) -> None:
    assert refused(wardian("image", "bootstrap", *flags), 1) == said


def test_host_without_mmdebstrap_says_what_to_install(wardian: Wardian, tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    flags = ("--suite", "bookworm", "--mirror", "http://127.0.0.1:1/")
    done = wardian("image", "bootstrap", *flags, PATH=str(bare))
    assert refused(done, 1) == "this host has no mmdebstrap"
    assert "install the package mmdebstrap" in done.stderr
    done = wardian("image", "bootstrap", "--suite", "bookworm", PATH=str(bare))
    assert refused(done, 1) == "this host's apt knows no mirror"


def test_hosts_mirror_is_the_one_of_its_own_suite(mirror: str) -> None:
    said = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"{mirror} {usual_suite()}" in said.splitlines()
