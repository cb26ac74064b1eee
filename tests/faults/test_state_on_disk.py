"""Records on disk: whole whenever their writer is killed, and never taken for what they are not."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.linux.conftest import keeper_pid, shell, wait_until
from tests.linux.program import program, refused
from wardian.errors import SetupError
from wardian.runtime import state as states
from wardian.runtime.client import Client
from wardian.runtime.spec import ContainerSpec
from wardian.runtime.state import Record, Records, Status

ROUNDS = 40
CONTAINER_ID = "cafe" * 16


@contextmanager
def writer(root: Path, record: Record) -> Iterator[int]:
    """A process that stores ever newer records, long ones, until it is killed."""
    host_pid = os.fork()
    if host_pid == 0:
        try:
            disk = Records(root)
            number = 0
            while True:
                number += 1
                labels = {"number": str(number), "long": f"{number} " * 400_000}
                disk.update(record, spec=replace(record.spec, labels=labels), exit_code=number)
        finally:
            os._exit(1)
    try:
        yield host_pid
    finally:
        os.kill(host_pid, signal.SIGKILL)
        os.waitpid(host_pid, 0)


def test_writer_killed_in_the_middle_leaves_the_record_before_or_after(
    tmp_path: Path, chance: random.Random
) -> None:
    disk = Records(tmp_path)
    disk.reserve(CONTAINER_ID)
    record = Record(
        version=states.VERSION,
        id=CONTAINER_ID,
        spec=ContainerSpec(name="box", image="", lowers=(), hostname="box"),
        status=Status.CREATED,
        created_at=1.0,
    )
    disk.create(record)
    halves = 0
    scratch = disk.home(CONTAINER_ID) / ".container.json.new"
    for by_chance in [True, False] * (ROUNDS // 2):
        if not by_chance:
            scratch.unlink(missing_ok=True)
        with writer(tmp_path, record):
            time.sleep(0.03 * chance.random() * by_chance)
            # On a busy machine chance alone may never meet it while it writes.
            while not by_chance and not scratch.exists():
                time.sleep(0.0005)
        (found,) = disk.load()
        number = found.exit_code
        if number is not None:
            assert found.spec.labels == {"number": str(number), "long": f"{number} " * 400_000}
        halves += scratch.exists()
    assert halves, "not once was it killed between the write and the rename"
    disk.remove(CONTAINER_ID)
    assert list(disk.load()) == []
    assert os.listdir(disk.directory) == []


@pytest.fixture
def stored(state: Path, spec: ContainerSpec) -> Iterator[Path]:
    """The record of a container with a file in it, while no keeper runs; as it was in the end."""
    with Client.connect(state) as client:
        box = client.run(spec)
        shell(box, "echo fern > /plant")
        box.stop(timeout_s=0)
        path = state / "containers" / box.id / "container.json"
    wait_until(lambda: keeper_pid(state) is None)
    original = path.read_bytes()
    yield path
    path.write_bytes(original)
    with Client.connect(state) as client:
        box = client.container("box")
        box.start()
        assert shell(box, "cat /plant") == (0, "fern\n")


FUTURE = {"version": states.VERSION + 1, "spec": "shaped in a way that nobody knows today"}
BROKEN = {"status": "transcended"}


@pytest.mark.parametrize("changes", [FUTURE, BROKEN, {"spec": {"name": "../.."}}])
def test_record_of_another_version_is_named_and_kept(
    state: Path, stored: Path, changes: dict[str, object]
) -> None:
    value = json.loads(stored.read_bytes()) | changes
    stored.write_text(json.dumps(value))
    with pytest.raises(SetupError, match="another version of Wardian wrote"):
        Client.connect(state)
    wardian = program(state)
    for line in (("ps", "-a"), ("rm", "-f", "box"), ("run", "wardian/scratch", "/x")):
        what = refused(wardian(*line), 125 if line[0] == "run" else 1)
        assert what.startswith(f"another version of Wardian wrote {stored}: ")
    if changes is FUTURE:
        assert "its version is 2, not 1" in what
    wait_until(lambda: keeper_pid(state) is None)
    assert json.loads(stored.read_bytes()) == value
    assert len(os.listdir(state / "snapshots")) == 1
