"""Registries that fail, stall, cheat or attack: one line each, and a store that stays whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.linux.conftest import wait_until
from tests.linux.program import PROGRAM, Wardian, refused
from tests.registry.hostile import Content, Handler, digest, hostile, manifest
from tests.registry.images import add, layer
from wardian.errors import InvalidInput, NotFound, RegistryFailed, WardianError
from wardian.images.manifest import INDEX_TYPE
from wardian.images.registry.credentials import Credentials, Logins
from wardian.images.registry.progress import Progress
from wardian.images.registry.pull import pull
from wardian.images.registry.push import push
from wardian.images.registry.transport import Patience
from wardian.images.store import ImageStore


def hasty() -> Patience:
    return Patience(attempts=3, backoff_s=0.01, stall_s=0.3, longest_wait_s=0.1, noticed_s=0)


@pytest.fixture
def bad() -> Iterator[Content]:
    with hostile() as content:
        yield content


def first(count: int, part: str, do: Callable[[Handler], object]) -> Callable[[Handler], bool]:
    """Do something to the first requests for paths with this part."""
    left = [count]
    lock = threading.Lock()

    def trick(request: Handler) -> bool:
        with lock:
            if part not in request.path or not left[0]:
                return False
            left[0] -= 1
        do(request)
        return True

    return trick


class Waits(Progress):
    """Why the next attempt was waited for, each time."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def waits(self, why: str, wait_s: float) -> None:
        del wait_s
        self.told.append(why)


def refuse(
    store: ImageStore, bad: Content, tag: str = "1", progress: Progress | None = None
) -> WardianError:
    """The error of a pull that must fail and leave the store whole."""
    with pytest.raises(WardianError) as caught:
        pull(store, f"{bad.name}/x:{tag}", patience=hasty(), progress=progress)
    assert "\n" not in caught.value.what
    assert not store.list()
    assert not list(store.check())
    return caught.value


# --- what passes -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_fault_is_waited_for(store: ImageStore, bad: Content, status: int) -> None:
    bad.add_image()
    bad.trick = first(2, "/manifests/", lambda r: r.answer(status, b"", Retry_After="0"))
    assert pull(store, f"{bad.name}/x:1", patience=hasty()).is_new
    assert len(bad.asked("GET", "/manifests/")) == 3


@pytest.mark.parametrize(("status", "word"), [(429, "is asked too often"), (500, "has failed")])
def test_lasting_fault_is_told(store: ImageStore, bad: Content, status: int, word: str) -> None:
    bad.trick = first(99, "/x/", lambda r: r.answer(status, b""))
    waits = Waits()
    error = refuse(store, bad, progress=waits)
    assert error.what == f"{bad.name} {word} ({status}): x:1"
    assert waits.told == [error.what] * 2
    assert len(bad.asked("GET", "/manifests/")) == 3


def test_cut_download_goes_on_where_it_was(store: ImageStore, bad: Content) -> None:
    archive = bad.add_image(size_bytes=500_000)
    path = f"/v2/x/blobs/{digest(archive)}"
    bad.trick = first(2, path, lambda r: r.serve(*bad.paths[path], only=200_000))
    assert pull(store, f"{bad.name}/x:1", patience=hasty()).is_new
    ranges = [headers.get("Range") for headers in bad.asked("GET", path)]
    assert ranges == [None, "bytes=200000-", "bytes=400000-"]
    assert not list(store.check())


def test_next_pull_goes_on_after_one_that_failed(store: ImageStore, bad: Content) -> None:
    archive = bad.add_image(size_bytes=500_000)
    path = f"/v2/x/blobs/{digest(archive)}"
    served = iter([200_000, 0, 0, 0])
    bad.trick = first(4, path, lambda r: r.serve(*bad.paths[path], only=next(served)))
    assert "cut the line" in refuse(store, bad).what
    store.prune(keep_layers=set())
    assert pull(store, f"{bad.name}/x:1", patience=hasty()).is_new
    assert bad.asked("GET", path)[-1]["Range"] == "bytes=200000-"


def test_next_pull_goes_on_after_one_that_was_killed(
    store: ImageStore, bad: Content, state: Path
) -> None:
    archive = bad.add_image(size_bytes=3_000_000)
    path = f"/v2/x/blobs/{digest(archive)}"

    def hang(request: Handler) -> None:
        request.serve(*bad.paths[path], only=1_000_000)
        bad.released.wait(60)

    bad.trick = first(1, path, hang)
    fetching = state / "content/fetching" / digest(archive).partition(":")[2]
    command = [*PROGRAM, "--root", str(state), "pull", f"{bad.name}/x:1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: fetching.exists() and fetching.stat().st_size > 500_000)
        process.send_signal(signal.SIGKILL)
    held = fetching.stat().st_size
    bad.released.set()
    store.prune(keep_layers=set())
    assert not store.list()
    assert pull(store, f"{bad.name}/x:1", patience=hasty()).is_new
    assert bad.asked("GET", path)[-1]["Range"] == f"bytes={held}-"
    assert not list(store.check())


def test_stall_times_out(store: ImageStore, bad: Content) -> None:
    archive = bad.add_image()
    bad.trick = first(9, digest(archive), lambda _: bad.released.wait(60))
    waits = Waits()
    assert refuse(store, bad, progress=waits).what == f"{bad.name} has stalled: a layer of x"
    assert waits.told == [f"{bad.name} has stalled: a layer of x"] * 2
    bad.trick = first(2, "/v2/", lambda _: bad.released.wait(60))
    assert refuse(store, bad).what == f"{bad.name} has stalled"  # not that it speaks no TLS


def test_layer_that_the_registry_lost_is_no_fault_of_the_name(
    store: ImageStore, bad: Content
) -> None:
    archive = bad.add_image()
    del bad.paths[f"/v2/x/blobs/{digest(archive)}"]
    error = refuse(store, bad)
    assert error.what.startswith(f"not found at {bad.name}: a layer of x")
    assert "push the image again" in error.hint


def test_cut_upload_goes_on_where_the_registry_is(store: ImageStore, bad: Content) -> None:
    name = f"{bad.name}/x:1"
    image = add(store, name, layer(2_000_000))
    (blob,) = store.manifest(image).layers

    def cut(request: Handler) -> None:
        request.take(700_000)
        request.cut()

    def trick(request: Handler) -> bool:
        return request.command == "PATCH" and once(request)

    once = first(1, "/uploads/", cut)
    bad.trick = trick
    push(store, name, patience=hasty())
    ranges = [headers.get("Content-Range") for headers in bad.asked("PATCH", "u1")]
    assert ranges[:2] == [None, f"700000-{blob.size - 1}"]
    held = bad.uploads["/v2/x/blobs/uploads/u1"]
    assert digest(held[: blob.size]) == blob.digest


# --- what cheats -------------------------------------------------------------------------------


def test_altered_blob_is_refused(store: ImageStore, bad: Content) -> None:
    archive = bad.add_image()
    path = f"/v2/x/blobs/{digest(archive)}"
    bad.paths[path] = ("", archive[:-1] + bytes([archive[-1] ^ 1]))
    assert refuse(store, bad).what == "a layer of x is not what its digest says"


@pytest.mark.parametrize("change", [lambda data: data[:-9], lambda data: data + b"more"])
def test_blob_of_another_size_is_refused(
    store: ImageStore, bad: Content, change: Callable[[bytes], bytes]
) -> None:
    archive = bad.add_image()
    bad.paths[f"/v2/x/blobs/{digest(archive)}"] = ("", change(archive))
    assert "layer of x" in refuse(store, bad).what or "shorter" in refuse(store, bad).what


def test_layer_that_is_not_its_diff_id_is_refused(store: ImageStore, bad: Content) -> None:
    bad.add_image(rootfs={"type": "layers", "diff_ids": [digest(b"another")]})
    refuse(store, bad)


def test_other_manifest_than_asked_for_is_refused(store: ImageStore, bad: Content) -> None:
    bad.add_image()
    wanted = digest(b"what was asked for")
    bad.paths[f"/v2/x/manifests/{wanted}"] = bad.paths["/v2/x/manifests/1"]
    with pytest.raises(RegistryFailed, match="another image than asked for"):
        pull(store, f"{bad.name}/x@{wanted}", patience=hasty())


HOSTILE_MANIFESTS: dict[str, bytes] = {
    "huge": b'{"schemaVersion": 2, "pad": "' + b"x" * (5 << 20) + b'"}',
    "deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "not JSON": b"<html>",
    "a list": b"[]",
    "a page": b"",
    "a negative size": json.dumps(manifest(b"a", b"b")).replace('"size": 1', '"size": -1').encode(),
    "too big": json.dumps(manifest(b"a", b"b")).replace('"size": 1', f'"size": {1 << 60}').encode(),
    "a path for a digest": json.dumps(manifest(b"a", b"b"))
    .replace(digest(b"b"), "sha256:../../../../etc/passwd")
    .encode(),
    "two at once": json.dumps(manifest(b"a", b"b", manifests=[])).encode(),
    "many layers": json.dumps(
        {**manifest(b"a", b"b"), "layers": manifest(b"a", b"b")["layers"] * 501}
    ).encode(),
}


@pytest.mark.parametrize("kind", HOSTILE_MANIFESTS)
def test_hostile_manifest_is_refused(store: ImageStore, bad: Content, kind: str) -> None:
    bad.add_manifest("1", HOSTILE_MANIFESTS[kind])
    assert isinstance(refuse(store, bad), InvalidInput | RegistryFailed)


def test_indexes_within_indexes_end(store: ImageStore, bad: Content) -> None:
    bad.add_image("inner")
    kind, data = bad.paths["/v2/x/manifests/inner"]
    for _ in range(5):
        entry = {"mediaType": kind, "digest": digest(data), "size": len(data)}
        kind = INDEX_TYPE
        fields = {"schemaVersion": 2, "mediaType": kind, "manifests": [entry]}
        bad.add_manifest("1", fields)
        data = bad.paths["/v2/x/manifests/1"][1]
    assert isinstance(refuse(store, bad), InvalidInput)


# --- what attacks ------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["file:///etc/passwd", "gopher://x/", "unix:///run/x"])
def test_redirect_to_what_is_no_registry_is_refused(
    store: ImageStore, bad: Content, target: str
) -> None:
    archive = bad.add_image()
    bad.trick = first(9, digest(archive), lambda r: r.answer(307, b"", Location=target))
    assert "leads to what is no address" in refuse(store, bad).what


def test_redirect_without_end_is_refused(store: ImageStore, bad: Content) -> None:
    bad.trick = first(99, "/x/", lambda r: r.answer(307, b"", Location=r.path))
    assert "redirects without end" in refuse(store, bad).what


def challenge(bad: Content, header: str) -> Callable[[Handler], bool]:
    def trick(request: Handler) -> bool:
        if "Authorization" in request.headers or not request.path.startswith("/v2/"):
            return False
        request.answer(401, b"{}", WWW_Authenticate=header)
        return True

    return trick


def test_login_is_not_sent_where_a_redirect_leads(store: ImageStore, bad: Content) -> None:
    Logins().put(bad.name, Credentials(user="me", password="leaf"))  # noqa: S106
    archive = bad.add_image()
    with hostile() as elsewhere:
        elsewhere.add_blob(archive)
        path = f"/v2/x/blobs/{digest(archive)}"
        ask = challenge(bad, 'Basic realm="x"')
        away = first(
            9, path, lambda r: r.answer(307, b"", Location=f"http://{elsewhere.name}{path}")
        )
        bad.trick = lambda request: ask(request) or away(request)
        assert pull(store, f"{bad.name}/x:1", patience=hasty()).is_new
        (headers,) = elsewhere.asked("GET", path)
    assert "Authorization" not in headers
    assert all("Authorization" in one for one in bad.asked("GET", path))


def test_challenge_of_another_host_is_not_answered(store: ImageStore, bad: Content) -> None:
    """CVE-2020-15157: a layer elsewhere asks for the login of our registry."""
    Logins().put(bad.name, Credentials(user="me", password="leaf"))  # noqa: S106
    archive = bad.add_image()
    with hostile() as elsewhere:
        elsewhere.trick = challenge(elsewhere, 'Basic realm="x"')
        path = f"/v2/x/blobs/{digest(archive)}"
        bad.trick = first(
            9, path, lambda r: r.answer(307, b"", Location=f"http://{elsewhere.name}{path}")
        )
        assert "denies access" in refuse(store, bad).what
        assert not [one for one in elsewhere.asked("GET", "") if "Authorization" in one]


@pytest.mark.parametrize("realm", ["file:///etc/passwd", "/token", "ftp://x/"])
def test_token_is_asked_for_over_http_only(store: ImageStore, bad: Content, realm: str) -> None:
    bad.trick = challenge(bad, f'Bearer realm="{realm}",service="x"')
    assert "asks for a login at" in refuse(store, bad).what


def test_token_is_got_with_the_login_and_used(store: ImageStore, bad: Content) -> None:
    Logins().put(bad.name, Credentials(user="me", password="leaf"))  # noqa: S106
    bad.add_image()
    bad.trick = challenge(bad, f'Bearer realm="http://{bad.name}/token",service="a, b"')
    query = "/token?service=a%2C+b&scope=repository%3Ax%3Apull&account=me"
    bad.paths[query] = ("application/json", b'{"token": "abc"}')
    assert pull(store, f"{bad.name}/x:1", patience=hasty()).is_new
    (headers,) = bad.asked("GET", "/token")
    assert headers["Authorization"].startswith("Basic ")
    assert {one["Authorization"] for one in bad.asked("GET", "/blobs/")} == {"Bearer abc"}


def test_identity_token_is_changed_for_a_token(store: ImageStore, bad: Content) -> None:
    """What a helper keeps under the user <token> goes to the realm, never to the registry."""
    Logins().put(bad.name, Credentials(user="me", identity_token="leaf"))  # noqa: S106
    bad.add_image()
    ask = challenge(bad, f'Bearer realm="http://{bad.name}/token",service="s"')
    forms: list[bytes] = []

    def trick(request: Handler) -> bool:
        if request.path != "/token":
            return ask(request)
        forms.append(request.rfile.read(int(request.headers["Content-Length"])))
        request.answer(200, b'{"access_token": "abc"}')
        return True

    bad.trick = trick
    assert pull(store, f"{bad.name}/x:1", patience=hasty()).is_new
    assert b"grant_type=refresh_token" in forms[0]
    assert b"refresh_token=leaf" in forms[0]
    assert {one["Authorization"] for one in bad.asked("GET", "/blobs/")} == {"Bearer abc"}


def test_interrupted_pull_ends_though_the_registry_stalls(bad: Content, state: Path) -> None:
    archive = bad.add_image(size_bytes=3_000_000)
    path = f"/v2/x/blobs/{digest(archive)}"

    def hang(request: Handler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(archive)))
        request.end_headers()
        request.wfile.write(archive[:1_000_000])
        request.wfile.flush()
        bad.released.wait(60)

    bad.trick = first(9, path, hang)
    fetching = state / "content/fetching" / digest(archive).partition(":")[2]
    command = [*PROGRAM, "--root", str(state), "pull", f"{bad.name}/x:1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: fetching.exists() and fetching.stat().st_size > 500_000)
        process.send_signal(signal.SIGINT)
        assert process.wait(25) == 130  # before its patience of 30 s is at an end


def test_upload_does_not_lead_away_from_https() -> None:
    import urllib3

    from wardian.images.registry.repository import location
    from wardian.images.registry.transport import Answer

    response = urllib3.HTTPResponse(b"", {"Location": "http://lab.test/u"}, status=202)
    with pytest.raises(RegistryFailed, match="away from https"):
        location(Answer(response, "https://lab.test/v2/", "lab.test"))


def test_refusals_are_told(store: ImageStore, bad: Content, wardian: Wardian) -> None:
    with pytest.raises(NotFound, match=r"not found at .*: x:none \(nothing here\)"):
        pull(store, f"{bad.name}/x:none", patience=hasty())
    bad.trick = challenge(bad, 'Basic realm="x"')
    assert refused(wardian("pull", f"{bad.name}/x:1"), 1) == f"{bad.name} denies access to x:1"


def test_nobody_there_is_told_at_once(wardian: Wardian) -> None:
    from tests.registry.server import free_port

    name = f"127.0.0.1:{free_port()}"
    said = refused(wardian("pull", f"{name}/x:1"), 1)
    assert said == f"cannot connect to {name}: Connection refused"


# --- disk --------------------------------------------------------------------------------------

PULLED_TWICE = """
mount -t tmpfs -o size=2m none "$1"; shift
"$@" || echo "failed: $?"
mount -o remount,size=50m "$WARDIAN_ROOT/.."
exec "$@"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts; run the tests as root")
def test_full_disk_is_said_and_the_next_pull_goes_on(bad: Content, tmp_path: Path) -> None:
    archive = bad.add_image(size_bytes=3_000_000)
    (tmp_path / "small").mkdir()
    done = subprocess.run(
        [*("unshare", "-m", "sh", "-ec", PULLED_TWICE, "sh", str(tmp_path / "small")),
         *PROGRAM, "pull", f"{bad.name}/x:1"],
        env={**os.environ, "WARDIAN_ROOT": f"{tmp_path}/small/state"},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "No space left on device" in done.stderr
    assert done.stderr.count("wardian: ") == 1
    assert "failed: 1\n" in done.stdout
    assert done.stdout.count(": Pull complete\n") == 1
    first_try, second_try = bad.asked("GET", digest(archive))
    assert "Range" not in first_try
    assert int(second_try["Range"].removeprefix("bytes=").rstrip("-")) > 1_000_000


# --- memory ------------------------------------------------------------------------------------

MEASURED = """
import sys
from pathlib import Path
from wardian.images.registry.progress import Progress
from wardian.images.registry.pull import pull
from wardian.images.store import ImageStore
pull(ImageStore(Path(sys.argv[1])), sys.argv[2])
status = Path("/proc/self/status").read_text()
print(int(status.partition("VmHWM:")[2].split()[0]) >> 10)
"""


def test_memory_stays_small_whatever_the_layers_size(bad: Content, state: Path) -> None:
    bad.add_image(size_bytes=200 << 20)
    command = [sys.executable, "-c", MEASURED, str(state), f"{bad.name}/x:1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert int(done.stdout) < 150
    assert os.listdir(state / "content/fetching") == []
