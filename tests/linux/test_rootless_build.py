"""An ordinary user's builds: with one id, and with subordinate ids."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.linux import gardener as gardeners
from tests.linux.gardener import Gardener, needs_root

pytestmark = needs_root

BUILD = """
import io, tarfile
from wardian.build.builder import Builder, Options
from wardian.build.context import opened
from wardian.build.remote import Remotes, notes_of
from wardian.images.archive import import_rootfs
from wardian.images.store import ImageStore
from wardian.images.verification import Verification

store = ImageStore(client.root)
packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w") as tar:
    tar.add(os.environ["LAYER"], ".")
packed.seek(0)
import_rootfs(store, packed, "localhost/busybox")
context = client.root / "context"
context.mkdir()
(context / "leaf").write_text("green")
(context / "Dockerfile").write_text('''
FROM localhost/busybox AS one
RUN echo one > /one && mkdir /gone && touch /gone/file
FROM localhost/busybox
COPY --from=one / /
COPY --link leaf /etc/hostname
WORKDIR /work
RUN --mount=type=cache,target=/cache id -u && rm -r /gone && echo late > two && touch /cache/x
''')

def build():
    said = []
    with store.ingest() as ingest:
        remotes = Remotes(ingest.work, notes_of(store))
        found = opened(ingest, str(context), None, io.BytesIO(), remotes)
        options = Options(tags=("made",), jobs=2, network="none")
        image = Builder(store, ingest, found, options, said.append).build()
    done = [event for event in said if event.kind == "done"]
    return image, [event.text for event in said if event.kind == "output"], done

image, printed, _ = build()
again, _, done = build()
box = client.run(replace(spec, lowers=tuple(map(str, image.layer_directories))))
shown = shell(box, "cat /one /work/two; test -e /gone || echo gone; stat -c %u:%g /one")
box.remove(force=True)
hostname = (image.layer_directories[2] / "etc/hostname").read_text()
wrong = [str(problem) for problem in Verification(store, deep=True).problems()]
cached = image.digest == again.digest and all(event.cached for event in done)
left = [name for name in os.listdir(store.layers) if name.startswith(".")]
show([printed, shown, hostname, cached, wrong, left])
"""


@pytest.fixture(params=["one id", "subordinate ids"])
def gardener(
    request: pytest.FixtureRequest, interpreter: str, busybox_layer: Path
) -> Iterator[Gardener]:
    has_more = request.param == "subordinate ids"
    with gardeners.employed(interpreter, busybox_layer, subordinate=has_more) as user:
        yield user


def test_ordinary_user_builds_an_image(gardener: Gardener) -> None:
    printed, shown, hostname, is_cached, wrong, left = gardener.run(BUILD)
    assert printed == ["0\n"]
    assert shown == ["one\nlate\ngone\n0:0", 0]
    assert hostname == "green"
    assert is_cached
    assert (wrong, left) == ([], [])
