"""Images to and from a real registry, and between it and skopeo."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.linux.program import Wardian, out, program, refused
from tests.registry.images import add, layer
from tests.registry.server import Server, docker_registry
from wardian.errors import NotFound, RegistryFailed
from wardian.images.registry import certificates
from wardian.images.registry.credentials import Credentials, Logins
from wardian.images.registry.login import verify
from wardian.images.registry.pull import pull, tags
from wardian.images.registry.push import push
from wardian.images.store import ImageStore


def moved(server: Server, before: int) -> list[str]:
    """The requests since then that carry blobs."""
    return [
        line
        for line in server.requests()[before:]
        if line.startswith(("PATCH", "POST")) or (line.startswith("GET") and "/blobs/" in line)
    ]


def test_pushed_image_is_pulled_as_it_was(
    registry: Server, store: ImageStore, other: ImageStore
) -> None:
    name = f"{registry.name}/lab/fern:1"
    image = add(store, name, layer(), layer(3_000_000, "big"))
    assert push(store, name).digest == image.digest
    pulled = pull(other, name)
    assert (pulled.is_new, pulled.digest) == (True, image.digest)
    assert pulled.image.diff_ids == image.diff_ids
    assert not list(other.check())
    here, there = (one.layer_directories[0] / "big" for one in (image, pulled.image))
    assert here.read_bytes() == there.read_bytes()
    assert not list((other.layers.parent / "content/fetching").iterdir())


def test_unchanged_image_moves_no_blob(registry: Server, store: ImageStore) -> None:
    name = f"{registry.name}/lab/still:1"
    add(store, name, layer())
    push(store, name)
    before = len(registry.requests())
    push(store, name)
    assert not pull(store, name).is_new
    assert len(registry.requests()) > before
    assert not moved(registry, before)


def test_layer_of_another_repository_is_mounted(registry: Server, store: ImageStore) -> None:
    shared = layer(100_000)
    add(store, f"{registry.name}/lab/one:1", shared)
    push(store, f"{registry.name}/lab/one:1")
    add(store, f"{registry.name}/lab/two:1", shared, layer())
    before = len(registry.requests())
    push(store, f"{registry.name}/lab/two:1")
    sent = moved(registry, before)
    assert [line for line in sent if "mount=" in line and line.endswith("201")]
    assert len([line for line in sent if line.startswith("PATCH")]) == 2  # layer, configuration


def test_image_is_pulled_by_digest_and_by_every_tag(
    registry: Server, store: ImageStore, other: ImageStore, wardian: Wardian, tmp_path: Path
) -> None:
    base = f"{registry.name}/lab/many"
    digests = {}
    for tag in ("a", "b"):
        digests[tag] = add(store, f"{base}:{tag}", layer()).digest
    assert "b: digest: " in out(wardian("push", "--all-tags", base))
    assert tags(base) == [f"{base}:a", f"{base}:b"]
    assert pull(other, f"{base}@{digests['a']}").image.digest == digests["a"]
    elsewhere = program(tmp_path / "third")
    assert out(elsewhere("pull", "--quiet", "--all-tags", base)) == f"{base}:a\n{base}:b\n"
    with pytest.raises(NotFound, match="lab/many:c"):
        pull(other, f"{base}:c")


def test_pull_speaks_as_docker_does(registry: Server, store: ImageStore, wardian: Wardian) -> None:
    name = f"{registry.name}/lab/words:1"
    image = add(store, name, layer())
    short = store.manifest(image).layers[0].digest.partition(":")[2][:12]
    first = out(wardian("push", name)).splitlines()
    size = store.blob(image.digest).stat().st_size
    assert first == [
        f"The push refers to repository [{registry.name}/lab/words]",
        f"{short}: Pushed",
        f"1: digest: {image.digest} size: {size}",
    ]
    assert f"{short}: Layer already exists" in out(wardian("push", name))
    store.remove(name)
    store.prune(keep_layers=set())
    assert out(wardian("pull", name)).splitlines() == [
        "1: Pulling from lab/words",
        f"{short}: Pull complete",
        f"Digest: {image.digest}",
        f"Status: Downloaded newer image for {name}",
        name,
    ]
    assert f"Status: Image is up to date for {name}" in out(wardian("pull", name))
    assert "lab/none:1" in refused(wardian("pull", f"{registry.name}/lab/none:1"), 1)


def test_mirror_is_asked_before_docker_hub(
    registry: Server, store: ImageStore, other: ImageStore, settings: Path
) -> None:
    name = f"{registry.name}/library/mirrored:1"
    image = add(store, name, layer())
    push(store, name)
    (settings / "wardian").mkdir()
    (settings / "wardian/daemon.json").write_text(
        json.dumps({"registry-mirrors": [f"http://{registry.name}"]})
    )
    assert pull(other, "mirrored:1").image.digest == image.digest
    assert other.get("mirrored:1").reference == "mirrored:1"


def test_skopeo_reads_what_was_pushed_and_writes_what_is_pulled(
    registry: Server, store: ImageStore, other: ImageStore, tmp_path: Path
) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("no skopeo; apt-get install skopeo")
    ours, theirs = (f"{registry.name}/lab/{word}:1" for word in ("ours", "theirs"))
    image = add(store, ours, layer(), layer(100_000, "big"))
    push(store, ours)

    def skopeo(*words: str) -> str:
        done = subprocess.run(
            ["skopeo", *words], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    layout = f"oci:{tmp_path}/layout:x"
    skopeo("copy", "--src-tls-verify=false", f"docker://{ours}", layout)
    skopeo(
        "copy", "--dest-tls-verify=false", "--dest-compress-format=zstd", layout,
        f"docker://{theirs}",
    )  # fmt: skip
    pulled = pull(other, theirs)
    assert pulled.image.diff_ids == image.diff_ids
    assert not list(other.check())
    docker = f"{registry.name}/lab/schema2:1"
    skopeo("copy", "--format=v2s2", "--dest-tls-verify=false", layout, f"docker://{docker}")
    assert pull(other, docker).image.diff_ids == image.diff_ids


# --- logins ------------------------------------------------------------------------------------


def pair(user: str, word: str) -> Credentials:
    return Credentials(user=user, password=word)


def test_login_is_written_as_docker_does(settings: Path) -> None:
    path = settings / "docker/config.json"
    path.parent.mkdir()
    path.write_text('{"psFormat": "x", "auths": {"https://old.example/v1/": {"auth": "YTpi"}}}')
    logins = Logins()
    assert logins.get("old.example") == pair("a", "b")
    assert logins.put("docker.io", pair("me", "p:w")) == ""
    written = json.loads(path.read_text())
    assert written["psFormat"] == "x"
    auth = base64.b64encode(b"me:p:w").decode()
    assert written["auths"]["https://index.docker.io/v1/"] == {"auth": auth}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert logins.get("docker.io") == pair("me", "p:w")
    assert logins.remove("docker.io")
    assert not logins.remove("docker.io")
    assert logins.get("docker.io") is None


HELPER = """#!/bin/sh
store=$(dirname "$0")/store; mkdir -p "$store"
input=$(cat)
case $1 in
    get) cat "$store/$(echo "$input" | tr :/ __)" 2>/dev/null ||
        { echo 'credentials not found in native keychain'; exit 1; } ;;
    store) server=$(echo "$input" | sed 's/.*"ServerURL": *"\\([^"]*\\)".*/\\1/')
        echo "$input" >"$store/$(echo "$server" | tr :/ __)" ;;
    erase) rm -f "$store/$(echo "$input" | tr :/ __)" ;;
esac
"""


def test_helper_keeps_logins(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = settings / "bin/docker-credential-leaf"
    helper.parent.mkdir()
    helper.write_text(HELPER)
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{helper.parent}:/usr/bin:/bin")
    (settings / "docker").mkdir()
    config = settings / "docker/config.json"
    config.write_text('{"credHelpers": {"lab.example:5000": "leaf"}}')
    logins = Logins()
    assert logins.get("lab.example:5000") is None
    assert logins.put("lab.example:5000", pair("me", "pw")) == "leaf"
    assert "pw" not in config.read_text()
    assert json.loads(config.read_text())["auths"] == {"lab.example:5000": {}}
    assert logins.get("lab.example:5000") == pair("me", "pw")
    assert logins.remove("lab.example:5000")
    assert logins.get("lab.example:5000") is None


# --- TLS and logins at a real registry ---------------------------------------------------------

HOST = "lab.test"
USER, WORD = "fern", "leaf-2"
HTPASSWD = "fern:$2b$04$nPd9EsWPRfW5sU64urbaGuIFl5ZAy.Gen.xm8SPXDbJspFtWJaZgy\n"
LOCKED = """  tls: {{certificate: {directory}/tls.crt, key: {directory}/tls.key}}
auth: {{htpasswd: {{realm: lab, path: {directory}/htpasswd}}}}
"""


@pytest.fixture(scope="session")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A registry with TLS and one login; its certificate is of no authority that is known."""
    directory = tmp_path_factory.mktemp("locked")
    (directory / "htpasswd").write_text(HTPASSWD)
    words = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
        f"-subj /CN=lab -addext subjectAltName=DNS:{HOST} "
        f"-keyout {directory}/tls.key -out {directory}/tls.crt"
    )
    subprocess.run(words.split(), check=True, capture_output=True)
    with docker_registry(directory, LOCKED.format(directory=directory)) as server:
        yield server, directory / "tls.crt"


@pytest.fixture
def lab(locked: tuple[Server, Path], monkeypatch: pytest.MonkeyPatch) -> Server:
    """The registry under a name that is not the loopback's, so that it must be trusted."""
    server, _ = locked
    real = socket.getaddrinfo

    def here(host: Any, *rest: Any, **more: Any) -> Any:
        return real("127.0.0.1" if host == HOST else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", here)
    return Server(server.name.replace("127.0.0.1", HOST), server.log)


def trust(lab: Server, certificate: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the certificate where docker looks for it."""
    directory = home / "certs.d" / lab.name
    directory.mkdir(parents=True)
    shutil.copy(certificate, directory / "ca.crt")
    monkeypatch.setattr(certificates, "PLACES", (str(home / "certs.d"),))


def test_unknown_authority_is_refused(lab: Server, store: ImageStore) -> None:
    with pytest.raises(RegistryFailed, match=r"cannot be trusted: .*certificate") as caught:
        pull(store, f"{lab.name}/lab/x:1")
    assert f"/etc/docker/certs.d/{lab.name}/ca.crt" in caught.value.hint


def test_insecure_registry_is_so_by_its_name(
    lab: Server, store: ImageStore, settings: Path
) -> None:
    (settings / "wardian").mkdir()
    file = settings / "wardian/daemon.json"
    file.write_text(json.dumps({"insecure-registries": ["another.test"]}))
    with pytest.raises(RegistryFailed, match="cannot be trusted"):
        pull(store, f"{lab.name}/lab/x:1")
    file.write_text(json.dumps({"insecure-registries": [lab.name]}))
    with pytest.raises(RegistryFailed, match="denies access"):
        pull(store, f"{lab.name}/lab/x:1")


def test_trusted_registry_takes_a_login(
    lab: Server,
    locked: tuple[Server, Path],
    store: ImageStore,
    other: ImageStore,
    settings: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trust(lab, locked[1], settings, monkeypatch)
    name = f"{lab.name}/lab/private:1"
    image = add(store, name, layer())
    with pytest.raises(RegistryFailed, match="denies access"):
        push(store, name)
    with pytest.raises(RegistryFailed, match="denies access to the login"):
        verify(lab.name, pair(USER, "wrong"))
    Logins().put(lab.name, verify(lab.name, pair(USER, WORD)))
    assert push(store, name).digest == image.digest
    assert pull(other, name).image.digest == image.digest


def test_login_and_logout_are_commands(
    locked: tuple[Server, Path], wardian: Wardian, settings: Path
) -> None:
    """By its address: the loopback needs no trust."""
    server, _ = locked
    flags = ("login", "-u", USER, "--password-stdin", server.name)
    assert "denies access" in refused(wardian(*flags, stdin="wrong\n"), 1)
    assert not (settings / "docker/config.json").exists()
    done = wardian(*flags, stdin=f"{WORD}\n")
    assert (done.returncode, done.stdout) == (0, "Login Succeeded\n")
    assert "unencrypted" in done.stderr
    assert "not found at" in refused(wardian("pull", f"{server.name}/lab/none:1"), 1)
    gone = f"Removing login credentials for {server.name}\n"
    assert out(wardian("logout", server.name)) == gone
    assert "denies access" in refused(wardian("pull", f"{server.name}/lab/none:1"), 1)
