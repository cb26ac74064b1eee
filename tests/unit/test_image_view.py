"""What an image view shows, on images that can be reckoned by hand."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.archives import archive
from tests.linux.conftest import wait_until
from tests.unit.test_comparison import BASE, make
from wardian.errors import NotFound
from wardian.images.store import ImageStore
from wardian.observe import image as observe
from wardian.observe import wire
from wardian.observe.frames import Mark
from wardian.observe.image import Exhibit
from wardian.observe.image_frame import ImageFrame
from wardian.observe.instruction import instruction
from wardian.observe.replica import Replica
from wardian.storage.changes import Change, changes
from wardian.storage.flattened import flatten
from wardian.storage.snapshotter import Snapshot
from wardian.widgets.image_feed import ImageFeed
from wardian.widgets.still import comparison, still

MARKUP = "<img src=x onerror=alert(1)>"
TOP = archive("a/", ("a/two", b"3" * 150), "a/.wh.one", ("a/new", b"4" * 10), "b/")
LAYERS = {
    "opaque": archive("a/", "a/.wh..wh..opq", ("a/two", b"9"), "a/deep/", ("a/deep/er", b"1")),
    "file over directory": archive(("a", b"a file")),
    "directory again": archive("a/", ("a/back", b"")),
    "deletes what is not there": archive(".wh.nothing", "a/", "a/.wh.never"),
    "links": archive("a/", "a/sym -> two", ("top", b"changed"), "a/hard => top"),
}


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "state")


@pytest.fixture
def frame(store: ImageStore) -> ImageFrame:
    make(store, "web", BASE, TOP, config={"Cmd": ["serve"], "Env": [MARKUP]}, history=HISTORY)
    make(store, "other", BASE)
    return observe.look(store, "a/web:1")


HISTORY = [
    {"created_by": "/bin/sh -c #(nop) ADD file:1 in / "},
    {"created_by": '/bin/sh -c #(nop)  CMD ["serve"]', "empty_layer": True},
    {"created_by": f"RUN /bin/sh -c echo '{MARKUP}' # buildkit"},
]


def test_a_frame_tells_documents_steps_layers_and_settings(frame: ImageFrame) -> None:
    assert (frame.container, frame.names) == ("a/web:1", ("a/web:1",))
    assert frame.manifest.media_type == "application/vnd.oci.image.manifest.v1+json"
    assert [(step.instruction, step.layer) for step in frame.steps] == [
        ("ADD file:1 in /", 0),
        ('CMD ["serve"]', None),
        (f"RUN echo '{MARKUP}'", 1),
    ]
    assert dict(frame.settings)["Cmd"] == '["serve"]'
    below, above = frame.layers
    # The deleted name is one of two of the same file: its bytes still show under the other.
    assert (below.unpacked_bytes, below.hidden_bytes) == (151, 50)
    assert (above.added, above.modified, above.deleted) == (2, 1, 1)
    assert frame.efficiency == pytest.approx((100 + 50 + 1 + 10) / (100 + 200 + 1 + 10), rel=1e-5)
    assert [(one.path, one.count) for one in frame.wasted] == [("/a/two", 2), ("/a/one", 2)]


def test_what_differs_from_an_older_image_is_a_part_of_the_frame(
    store: ImageStore, frame: ImageFrame
) -> None:
    newer = Exhibit(store.root, "a/web:1", older="a/other:1").look()
    old = newer.compared
    assert frame.compared is None
    assert old is not None
    assert (old.reference, old.shared_layers, old.layers, old.efficiency) == ("a/other:1", 1, 1, 1)
    assert [(one.mark, one.path, one.old_bytes, one.new_bytes) for one in old.files] == [
        (Mark.ADDED, "/a/new", None, 10),
        (Mark.DELETED, "/a/one", 0, None),  # its bytes are still there, by its other name
        (Mark.MODIFIED, "/a/two", 50, 150),
        (Mark.ADDED, "/b", None, 0),
    ]
    assert old.settings == (
        ("config.Cmd", "", '["serve"]'),
        ("config.Env", "", json.dumps([MARKUP])),
    )
    assert old.new_steps[-1] == f"RUN echo '{MARKUP}'"
    assert comparison(newer).splitlines()[:4] == [
        "a/other:1 → a/web:1: 1 of 1 and 2 layers shared",
        "+ /a/new",
        "- /a/one",
        "~ /a/two   (content)",
    ]
    assert "<img" not in still(newer)
    replica = Replica("image")
    replica.take(json.loads(wire.full(newer)))
    assert replica.frame == newer


def test_a_shared_layer_is_said_with_who_has_it(frame: ImageFrame) -> None:
    assert [layer.users for layer in frame.layers] == [("a/other:1",), ()]
    (relative,) = frame.relatives
    assert (relative.reference, relative.layers, relative.shared) == ("a/other:1", 1, (0,))


def test_files_of_a_layer_are_all_its_changes(store: ImageStore, frame: ImageFrame) -> None:
    del frame
    found = observe.files(store, "a/web:1", 1)
    assert [(one.path, one.mark, one.size_bytes) for one in found.files] == [
        ("/a", Mark.UNCHANGED, 0),
        ("/a/new", Mark.ADDED, 10),
        ("/a/one", Mark.DELETED, 0),
        ("/a/two", Mark.MODIFIED, 150),
        ("/b", Mark.ADDED, 0),
    ]
    with pytest.raises(NotFound, match="no layer 2"):
        observe.files(store, "a/web:1", 2)


@pytest.mark.parametrize("second", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("third", LAYERS.values(), ids=LAYERS)
def test_changes_of_a_stack_are_those_of_each_layer_against_the_ones_below(
    store: ImageStore, second: bytes, third: bytes
) -> None:
    image = make(store, "stack", BASE, second, third)
    directories = list(image.layer_directories[::-1])
    noted: list[Counter[Change]] = [Counter() for _ in directories]
    flatten(directories, lambda number, change: noted[number].update([change]))
    for number, directory in enumerate(directories):
        snapshot = Snapshot("", directory, directory)
        assert noted[number] == Counter(changes(snapshot, directories[:number][::-1]))


def test_of_very_many_files_the_largest_are_listed(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observe, "MOST_FILES", 50)
    many = archive(*((f"f{number:04}", b"x" * number) for number in range(200)))
    make(store, "many", many)
    found = observe.files(store, "a/many:1", 0)
    assert found.left_out == 150
    assert [one.path for one in found.files][::49] == ["/f0150", "/f0199"]
    (layer,) = observe.look(store, "a/many:1").layers
    assert layer.added == 200
    assert layer.largest[0].path == "/f0199"


@pytest.mark.parametrize(
    ("created_by", "line"),
    [
        ("/bin/sh -c apk add curl", "RUN apk add curl"),
        ("RUN /bin/sh -c make install # buildkit", "RUN make install"),
        ("RUN |1 V=2 /bin/sh -c make # buildkit", "RUN make"),
        ("COPY . /app # buildkit", "COPY . /app"),
        ("/bin/sh -c #(nop)  ENV A=b", "ENV A=b"),
        ("wardian", "wardian"),
        ("", ""),
    ],
)
def test_history_is_read_back_as_a_dockerfile_s_lines(created_by: str, line: str) -> None:
    assert instruction(created_by) == line


def test_history_that_lies_is_cut_short_and_layers_without_any_are_told(store: ImageStore) -> None:
    lies = [{"created_by": f"RUN {number}"} for number in range(5)]
    make(store, "liar", BASE, history=lies)
    steps = observe.look(store, "a/liar:1").steps
    assert [step.layer for step in steps] == [0, None, None, None, None]
    make(store, "silent", BASE, TOP)
    steps = observe.look(store, "a/silent:1").steps
    assert [(step.layer, step.instruction) for step in steps] == [(0, ""), (1, "")]


def test_what_a_layer_hides_wholly_is_counted_as_hidden(store: ImageStore) -> None:
    make(store, "veil", BASE, archive(".wh..wh..opq", ("only", b"1")))
    below, above = observe.look(store, "a/veil:1").layers
    assert (above.added, above.unpacked_bytes) == (1, 1)
    assert below.added + below.unpacked_bytes == 0 or below.hidden_bytes == below.unpacked_bytes


def test_a_frame_goes_over_the_wire_whole(frame: ImageFrame) -> None:
    page = Replica("image")
    page.take(json.loads(wire.full(frame)))
    assert page.frame == frame


def test_static_form_names_steps_and_files_without_markup(frame: ImageFrame) -> None:
    html = still(frame)
    assert "<img" not in html
    assert "~ /a/two 150 B" in html
    assert "shared with a/other:1" in html


def test_a_feed_answers_with_the_files_of_what_was_asked_last(
    store: ImageStore, frame: ImageFrame
) -> None:
    del frame
    sent: list[bytes] = []
    feed = ImageFeed(Exhibit(store.root, "a/web:1"), sent.extend)
    feed.hear({"kind": "visible", "id": "page", "visible": True})
    assert json.loads(sent[0])["frame"]["container"] == "a/web:1"
    for nonsense in (None, {}, {"kind": "files"}, {"kind": "files", "layer": -1}):
        feed.hear(nonsense)
    feed.hear({"kind": "files", "layer": 1})
    wait_until(lambda: len(sent) == 2)
    told = json.loads(sent[1])
    assert (told["kind"], told["layer"], told["marks"]) == ("files", 1, "UADMA")
    assert told["directories"] == [0, 4]
    feed.hear({"kind": "files", "layer": 7})
    wait_until(lambda: len(sent) == 3)
    assert json.loads(sent[2])["what"] == "no layer 7 in a/web:1"


def test_a_feed_of_no_image_says_so(store: ImageStore) -> None:
    sent: list[bytes] = []
    feed = ImageFeed(Exhibit(store.root, "nobody/none"), sent.extend)
    feed.hear({"kind": "visible", "id": "page", "visible": True})
    assert "no such image" in json.loads(sent[0])["what"]
