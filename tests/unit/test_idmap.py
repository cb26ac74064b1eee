"""Which host ids a container's ids are, and how a namespace gets its map."""

from __future__ import annotations

import os
import pwd
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from wardian.errors import InvalidInput, KernelRefused, SetupError
from wardian.linux import idmap, namespaces
from wardian.linux.idmap import IdRange, write_id_maps
from wardian.runtime import ids

OURS = IdRange(0, os.geteuid(), 1)
MAPPED = IdRange(0, ids.FIRST, ids.RANGE)


@pytest.fixture
def host_pid() -> Iterator[int]:
    """A child in a user namespace without maps."""
    read_fd, write_fd = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            namespaces.unshare(namespaces.CLONE_NEWUSER)
            os.write(write_fd, b"+")
            signal.pause()
        os._exit(1)
    os.close(write_fd)
    if os.read(read_fd, 1) != b"+":
        pytest.skip("user namespaces are switched off; sysctl -w user.max_user_namespaces=15000")
    os.close(read_fd)
    yield child
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def told(host_pid: int, name: str) -> list[str]:
    return Path(f"/proc/{host_pid}/{name}").read_text().split()


def test_maps_are_written_as_given(host_pid: int) -> None:
    ranges = [OURS]
    if os.geteuid() == 0:
        ranges = [IdRange(0, 0, 1), IdRange(1, ids.FIRST, 1000), IdRange(5000, ids.LAST, 5)]
    write_id_maps(host_pid, ranges, ranges, deny_setgroups=os.geteuid() != 0)
    assert told(host_pid, "uid_map") == " ".join(map(str, ranges)).split()
    assert told(host_pid, "gid_map") == told(host_pid, "uid_map")


def test_setgroups_is_denied_before_the_groups_are_mapped(host_pid: int) -> None:
    """Afterwards it cannot be denied any more, and a group-denied file could be read."""
    write_id_maps(host_pid, [OURS], [OURS], deny_setgroups=True)
    assert told(host_pid, "setgroups") == ["deny"]


def test_second_map_is_refused_by_the_kernel(host_pid: int) -> None:
    write_id_maps(host_pid, [OURS], [OURS], deny_setgroups=True)
    with pytest.raises(KernelRefused):
        write_id_maps(host_pid, [OURS], [OURS], deny_setgroups=True)


@pytest.mark.parametrize("bad", [[], [MAPPED, MAPPED]], ids=["empty", "overlapping"])
def test_map_that_cannot_be_is_refused(host_pid: int, bad: list[IdRange]) -> None:
    if os.geteuid() != 0:
        pytest.skip("an ordinary user's maps go through newuidmap; run the tests as root")
    with pytest.raises(KernelRefused, match="uid_map"):
        write_id_maps(host_pid, bad, bad, deny_setgroups=False)


@pytest.mark.parametrize(
    "numbers",
    [(0, 1 << 32, 1), (1 << 32, 0, 1), (0, 0, 0), (-1, 0, 1), (0, -1, 1), (0, 1, (1 << 32) - 1)],
)
def test_ids_out_of_range_are_refused_as_the_kernel_would_take_others(
    numbers: tuple[int, int, int],
) -> None:
    """2**32 would be read as 0: the host's root."""
    with pytest.raises(InvalidInput, match="not a range of ids"):
        IdRange(*numbers)


def test_missing_newuidmap_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert idmap.subordinate_ranges("plant") == ([], [])
    with pytest.raises(SetupError, match="newuidmap is missing"):
        idmap._by_program("newuidmap", os.getpid(), [OURS])


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("plant:100000:65536\n", [(100000, 65536)]),
        ("other:1:2\nplant:100000:65536\nplant:300000:10\n", [(100000, 65536), (300000, 10)]),
        (f"{os.geteuid()}:500:5\n", [(500, 5)]),
        ("plant:x:5\nplant:5\nplant\n\n::\nplants:1:1\n", []),
        ("plant:-5:5\nplant:5:-5\n", []),
    ],
)
def test_subordinate_ranges_are_read_from_their_file(
    tmp_path: Path, text: str, ranges: list[tuple[int, int]]
) -> None:
    (tmp_path / "subuid").write_text(text)
    assert idmap._subordinate(tmp_path / "subuid", "plant") == ranges
    assert idmap._subordinate(tmp_path / "nosuch", "plant") == []


def as_root(test: Callable[..., None]) -> Callable[..., None]:
    reason = "only root gives containers ranges of their own; run the tests as root"
    marked: Callable[..., None] = pytest.mark.skipif(os.geteuid() != 0, reason=reason)(test)
    return marked


@as_root
def test_each_container_gets_the_first_range_that_is_free() -> None:
    first = ids.choose([])
    assert (first.first_host_id, first.shifts_layers) == (ids.FIRST, True)
    assert first.uids == first.gids == (IdRange(0, ids.FIRST, 65536),)
    taken = [ids.FIRST, None, ids.FIRST + 2 * 65536]
    assert ids.choose(taken).first_host_id == ids.FIRST + 65536


@as_root
def test_no_range_reaches_a_users_ids() -> None:
    users = [entry.pw_uid for entry in pwd.getpwall()]
    assert not any(ids.FIRST <= uid < ids.LAST + ids.RANGE for uid in users)


@as_root
def test_ranges_that_run_out_are_an_error_with_a_hint() -> None:
    with pytest.raises(SetupError, match="every range of user ids is taken"):
        ids.choose(range(ids.FIRST, ids.LAST, ids.RANGE))


def test_tty_group_is_mapped_only_by_a_map_that_has_it() -> None:
    one = ids.IdMaps((OURS,), (OURS,), shifts_layers=False)
    assert not one.maps_tty_group
    assert ids.own_range(ids.FIRST).maps_tty_group


def test_subordinate_ranges_are_stacked_from_id_one_up_to_a_range() -> None:
    assert ids._stack([(100000, 10), (300000, 70000), (900000, 5)]) == [
        IdRange(1, 100000, 10),
        IdRange(11, 300000, ids.RANGE - 11),
    ]
