from __future__ import annotations

import pytest

from wardian.cli import format as formats
from wardian.cli.format import align, emit
from wardian.observe.quantities import binary_size, decimal_size


def test_table_has_columns_as_wide_as_their_widest_cell() -> None:
    assert align([["ID", "NAME"], ["abcdef", "x"]]) == ["ID       NAME", "abcdef   x"]


def test_emit_prints_table_json_template_and_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"ID": "abc", "Names": "web", "Label": {"org.tier": "front"}.__getitem__}]
    columns = {"ID": "CONTAINER ID", "Names": "NAMES"}
    expected = {
        None: "CONTAINER ID   NAMES\nabc            web\n",
        "json": '{"ID": "abc", "Names": "web"}\n',
        "{{.Names}}": "web\n",
        "table {{.Names}}\\t{{.ID}}": "NAMES   CONTAINER ID\nweb     abc\n",
        'table {{.Names | upper}}\\t{{.Label "org.tier"}}': "NAMES   TIER\nWEB     front\n",
    }
    for style, text in expected.items():
        emit(rows, columns, style=style)
        assert capsys.readouterr().out == text
    emit(rows, columns, quiet_field="ID")
    assert capsys.readouterr().out == "abc\n"
    emit([], columns)
    assert capsys.readouterr().out == "CONTAINER ID   NAMES\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "Less than a second"),
        (0.4, "Less than a second"),
        (1.5, "1 second"),
        (59, "59 seconds"),
        (61, "About a minute"),
        (121, "2 minutes"),
        (3700, "About an hour"),
        (7200, "2 hours"),
        (3 * 86400, "3 days"),
        (15 * 86400, "2 weeks"),
        (70 * 86400, "2 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_duration_is_in_dockers_words(seconds: float, words: str) -> None:
    assert formats.duration(seconds) == words


def test_sizes_know_both_systems_and_the_unknown() -> None:
    assert binary_size(1536) == "1.5KiB"
    assert decimal_size(1_570_000) == "1.57MB"
    assert binary_size(0) == "0B"
    assert binary_size(None) == "-"


def test_timestamp_is_rfc_3339_in_utc() -> None:
    assert formats.timestamp(0.5) == "1970-01-01T00:00:00.500000000Z"
    assert formats.timestamp(None) == "0001-01-01T00:00:00Z"
