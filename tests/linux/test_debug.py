"""Looking into a container with the host's programs: all of it is seen, nothing more is had."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.linux.program import IMAGE, Wardian, out, program, refused
from wardian.images.resolve import resolve
from wardian.images.store import ImageStore
from wardian.runtime import debugging


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with both images in it, made once."""
    root = tmp_path_factory.mktemp("store")
    for image in (IMAGE, debugging.IMAGE):
        resolve(ImageStore(root), image)
    return root


@pytest.fixture
def wardian(state: Path, store: Path) -> Wardian:
    shutil.copytree(store, state, symlinks=True, copy_function=os.link)
    return program(state)


def test_the_host_s_programs_see_what_an_image_without_any_has(wardian: Wardian, web: str) -> None:
    out(wardian("exec", web, "sh", "-c", "echo fern > /plant"))
    seen = out(wardian("debug", "-c", "cat /target/plant; hostname; ps -eo args; ip -br link", web))
    plant, hostname, *rest = seen.splitlines()
    assert plant == "fern"
    assert hostname == out(wardian("inspect", "-f", "{{.Config.Hostname}}", web)).strip()
    assert "sleep 1000" in rest
    assert any(line.startswith("lo ") for line in rest)
    assert out(wardian("ps", "-aq", "--no-trunc")).count("\n") == 1  # it is gone


def test_debugging_gives_no_more_than_the_container_has_and_is_asked_for(
    wardian: Wardian, web: str
) -> None:
    same = "readlink /proc/self/ns/user; cat /proc/self/uid_map; grep CapBnd /proc/self/status"
    assert out(wardian("debug", web, "sh", "-c", same)) == out(
        wardian("exec", web, "sh", "-c", same)
    )
    denied = wardian("debug", web, "ip", "link", "add", "fern", "type", "bridge")
    assert denied.returncode != 0
    assert "not permitted" in denied.stderr
    made = "ip link add fern type bridge && ip -br link show fern"
    assert out(wardian("debug", "--cap-add", "NET_ADMIN", web, "sh", "-c", made)).startswith("fern")
    assert "fern" in out(wardian("exec", web, "ip", "link"))  # in the container's namespace
    # The programs are the debugging container's own; the image and the host keep theirs.
    out(wardian("debug", web, "sh", "-c", "rm -rf /usr /bin/* 2>/dev/null || true"))
    assert out(wardian("debug", web, "ip", "-V")).startswith("ip utility")


def test_exit_codes_and_refusals_are_those_of_run(wardian: Wardian, web: str) -> None:
    assert wardian("debug", web, "sh", "-c", "exit 7").returncode == 7
    assert wardian("debug", web, "no-such-program").returncode == 127
    out(wardian("stop", "-t", "0", web))
    assert "is not running" in refused(wardian("debug", web, "true"), 125)
    assert "no such container" in refused(wardian("debug", "nobody", "true"), 125)
