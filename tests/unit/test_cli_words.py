from __future__ import annotations

from pathlib import Path

import pytest

from wardian.cli import words
from wardian.cli.request import parse_limits
from wardian.errors import InvalidInput
from wardian.linux import signal_names


def test_environment_overrides_files_and_borrows_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "env"
    file.write_text("# a comment\nA=file\n\nB=two words\nOURS\n")
    monkeypatch.setenv("OURS", "here")
    monkeypatch.delenv("NOT_OURS", raising=False)
    found = words.environment(["A=flag", "NOT_OURS", "C="], [str(file)])
    assert found == {"A": "flag", "B": "two words", "OURS": "here", "C": ""}


@pytest.mark.parametrize("word", ["=x", "", "A\0B=1", " A=1"])
def test_wrong_variable_is_refused(word: str) -> None:
    with pytest.raises(InvalidInput):
        words.environment([word])


def test_missing_environment_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        words.environment([], [str(tmp_path / "nosuch")])


@pytest.mark.parametrize("word", ["SIGTERM", "TERM", "term", "sigterm", "15"])
def test_signal_has_many_spellings(word: str) -> None:
    assert signal_names.signal_number(word) == 15


@pytest.mark.parametrize("word", ["", "SIG", "SIGNOPE", "0", "-9", "99", "1e1", "²"])
def test_wrong_signal_is_refused(word: str) -> None:
    with pytest.raises(InvalidInput):
        signal_names.signal_number(word)


def test_moment_is_ago_or_a_date_or_a_number() -> None:
    assert words.moment("1h30m10s", now_s=10_000) == 10_000 - 5410
    assert words.moment("90m", now_s=10_000) == 10_000 - 5400
    assert words.moment("1234.5", now_s=0) == 1234.5
    assert words.moment("1970-01-01T00:01:00Z", now_s=0) == 60
    assert words.moment("1970-01-01T00:01:00", now_s=0) == 60


@pytest.mark.parametrize("word", ["", "yesterday", "10x", "1h2d", "-5m"])
def test_wrong_moment_is_refused(word: str) -> None:
    with pytest.raises(InvalidInput):
        words.moment(word, now_s=0)


def test_seccomp_profile_is_read_and_checked(tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    assert words.seccomp([f"seccomp={profile}"]) == profile.read_text()
    assert words.seccomp(["seccomp=unconfined", "no-new-privileges"]) == "unconfined"
    assert words.seccomp([]) == "default"
    profile.write_text("[]")
    for word in (f"seccomp={profile}", "seccomp=/nosuch", "label=disable", "no-new-privileges=0"):
        with pytest.raises(InvalidInput):
            words.seccomp([word])


def test_label_without_value_is_empty() -> None:
    assert words.labels(["a=1", "b", "c=x=y"]) == {"a": "1", "b": "", "c": "x=y"}
    with pytest.raises(InvalidInput):
        words.labels(["=x"])


def test_filter_must_be_a_known_key() -> None:
    assert words.filters(["name=a"], ["name", "id"]) == [words.Filter("name", "a")]
    for word in ("name", "colour=green"):
        with pytest.raises(InvalidInput, match="not a filter"):
            words.filters([word], ["name"])


def test_limits_come_from_dockers_words() -> None:
    limits = parse_limits({"memory": "512m", "cpus": "1.5", "pids_limit": "100"})
    assert (limits.memory_bytes, limits.cpus, limits.pids) == (512 << 20, 1.5, 100)
    for wrong in ({"memory": "10XB"}, {"cpus": "many"}, {"pids_limit": "1.5"}):
        with pytest.raises(InvalidInput):
            parse_limits(wrong)


@pytest.mark.parametrize(
    ("word", "number"),
    [("SIGRTMIN+3", 37), ("rtmin+0", 34), ("SIGRTMIN", 34), ("RTMAX-1", 63), ("40", 40), ("9", 9)],
)
def test_real_time_signal_has_its_number(word: str, number: int) -> None:
    assert signal_names.signal_number(word) == number
    assert signal_names.signal_number(signal_names.signal_name(number)) == number


@pytest.mark.parametrize("word", ["SIGRTMIN+31", "RTMAX-31", "65", "0", "32", "RTMIN-1", "RTMIN+"])
def test_what_is_no_real_time_signal_is_refused(word: str) -> None:
    with pytest.raises(InvalidInput, match="not a signal"):
        signal_names.signal_number(word)
