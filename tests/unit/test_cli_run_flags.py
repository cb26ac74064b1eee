"""Docker's less usual flags of ``run``, as words."""

from __future__ import annotations

from pathlib import Path

import pytest

from wardian.cli import mounts, words
from wardian.cli.request import Request
from wardian.errors import InvalidInput
from wardian.images.store import Image
from wardian.runtime.spec import ContainerSpec, Keep, Tmpfs, Ulimit


def spec_of(*, stop_signal_of_image: object = None, **flags: object) -> ContainerSpec:
    config = {"config": {"Cmd": ["sh"], "StopSignal": stop_signal_of_image}}
    image = Image(
        reference="image",
        digest="sha256:0",
        config=config,
        diff_ids=(),
        layer_directories=(),
        size_bytes=0,
    )
    return Request(image="image", **flags).spec(image, (), "fern", keep=Keep.ALWAYS)  # type: ignore[arg-type]


def test_ulimit_has_a_soft_and_a_hard_value() -> None:
    assert words.ulimits(["nofile=64:128", "core=-1", "nproc=5:unlimited"]) == (
        Ulimit(name="nofile", soft=64, hard=128),
        Ulimit(name="core", soft=-1, hard=-1),
        Ulimit(name="nproc", soft=5, hard=-1),
    )


def test_the_last_of_two_ulimits_counts() -> None:
    assert words.ulimits(["nofile=1", "nofile=2"]) == (Ulimit(name="nofile", soft=2, hard=2),)


@pytest.mark.parametrize(
    "word", ["", "nofile", "nofile=", "nofile=x", "nofile=5:", "nofile=5:4", "core=-1:4", "as=1"]
)
def test_what_is_no_ulimit_is_refused(word: str) -> None:
    with pytest.raises(InvalidInput):
        words.ulimits([word])


def test_labels_on_the_command_line_win_over_those_of_files(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_text("# ours\na=1\nb=2\n\nempty\n")
    assert words.labels(["b=3"], [str(path)]) == {"a": "1", "b": "3", "empty": ""}
    with pytest.raises(InvalidInput, match="cannot read the label file"):
        words.labels([], [str(tmp_path / "none")])


def test_process_gets_groups_ulimits_and_its_place_before_the_oom_killer() -> None:
    process = spec_of(group_add=("7", "audio"), ulimit=("core=0",), oom_score_adj=300).process
    assert process is not None
    assert process.groups == ("7", "audio")
    assert process.ulimits == (Ulimit(name="core", soft=0, hard=0),)
    assert process.oom_score_adj == 300


def test_tmpfs_has_an_owner() -> None:
    assert mounts.tmpfs("/t:uid=7,gid=8") == Tmpfs(target="/t", uid=7, gid=8)
    with pytest.raises(InvalidInput, match="not a uid"):
        mounts.tmpfs("/t:uid=me")


def test_shm_size_is_a_size() -> None:
    assert mounts.shm("8m") == Tmpfs(target="/dev/shm", size_bytes=8 << 20)
    for word in ("0", "-1", "much"):
        with pytest.raises(InvalidInput):
            mounts.shm(word)


def test_added_host_is_a_name_and_an_address() -> None:
    assert words.host("db:10.0.0.2") == words.host("db=10.0.0.2") == ("db", "10.0.0.2")
    assert words.host("db:::1") == words.host("db:[::1]") == ("db", "::1")
    for word in ("", "db", "db:", ":10.0.0.2", "db:there", "a b:10.0.0.2", "db:1.2.3.4\nx"):
        with pytest.raises(InvalidInput):
            words.host(word)
    assert not spec_of(add_host=("db:10.0.0.2",)).is_plain


def test_stop_signal_is_the_flag_s_or_the_image_s() -> None:
    assert (spec_of().stop_signal, spec_of().stop_timeout_s) == (15, 10.0)
    assert spec_of(stop_signal_of_image="SIGQUIT").stop_signal == 3
    assert spec_of(stop_signal_of_image=["nonsense"]).stop_signal == 15
    asked = spec_of(stop_signal_of_image="SIGQUIT", stop_signal="INT", stop_timeout=2.5)
    assert (asked.stop_signal, asked.stop_timeout_s) == (2, 2.5)
    with pytest.raises(InvalidInput, match="not a signal"):
        spec_of(stop_signal="SIGNOTHING")


def test_containers_with_only_such_flags_may_use_a_prepared_sandbox() -> None:
    flags = {"group_add": ("7",), "ulimit": ("core=0",), "stop_signal": "INT", "init": True}
    assert spec_of(**flags).is_plain
