"""A message that is signed while it arrives is the one that a client accepts."""

from __future__ import annotations

from typing import Any

import pytest
from jupyter_client.session import DELIM, Session

from wardian.jupyter import seal as module
from wardian.jupyter.seal import Seal

CONTENT = memoryview(b'{"data": {"text/plain": "much"}, "metadata": {}}')


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_BYTES", 10)


@pytest.mark.parametrize("key", [b"a key", b""])
def test_client_accepts_it_whole(key: bytes) -> None:
    session = Session(key=key)
    parent = {"header": {"msg_id": "1", "msg_type": "execute_request"}}
    seal = Seal(session, "display_data", parent, {"of": "ours"})
    for size in (1, 20, 20, len(CONTENT)):
        seal.grow(CONTENT[:size])
    sent = seal.parts(CONTENT, [memoryview(b"buffer")])
    assert sent[0] == DELIM
    got: dict[str, Any] = Session(key=key).deserialize(sent[1:])
    assert got["msg_type"] == "display_data"
    assert got["content"]["data"] == {"text/plain": "much"}
    assert got["parent_header"]["msg_id"] == "1"
    assert got["metadata"] == {"of": "ours"}
    assert [bytes(each) for each in got["buffers"]] == [b"buffer"]


def test_content_that_changed_meanwhile_is_not_signed() -> None:
    seal = Seal(session := Session(key=b"a key"), "display_data", {}, {})
    seal.grow(CONTENT[:20])
    sent = seal.parts(memoryview(bytes(CONTENT).replace(b"data", b"date")), [])
    with pytest.raises(ValueError, match="Invalid Signature"):
        session.deserialize(sent[1:])
