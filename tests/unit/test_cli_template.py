"""Go's template language, as far as docker's users use it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wardian.cli.template import Template
from wardian.errors import InvalidInput

ROW: dict[str, Any] = {
    "ID": "abc",
    "Names": "web",
    "State": {"Pid": 7, "Paused": False},
    "Env": ["A=1", "B=2"],
    "Networks": {"lab": {"IP": "10.0.0.2"}, "back": {"IP": "10.0.1.2"}},
    "None": [],
    "Label": {"tier": "front"}.__getitem__,
}


def fill(text: str) -> str:
    return Template(text).fill(ROW)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{{.Names}}\\t{{ .State.Pid }}", "web\t7"),
        ("{{json .State}}", '{"Pid": 7, "Paused": false}'),
        ("{{.State.Paused}} {{len .Env}} {{upper .Names}}", "false 2 WEB"),
        ("{{range .Env}}[{{.}}]{{end}}", "[A=1][B=2]"),
        ("{{range $i, $e := .Env}}{{if $i}}, {{end}}{{$e}}{{end}}", "A=1, B=2"),
        ("{{range $n, $v := .Networks}}{{$n}}={{$v.IP}} {{end}}", "back=10.0.1.2 lab=10.0.0.2 "),
        ("{{range .Networks}}{{.IP}}{{println}}{{end}}", "10.0.1.2\n10.0.0.2\n"),
        ("{{range .None}}x{{else}}nobody{{end}}", "nobody"),
        ('{{(index .Networks "lab").IP}} {{index .Env 1}}', "10.0.0.2 B=2"),
        ('{{index .Networks "nosuch"}}', ""),
        ("{{if eq .State.Pid 7}}yes{{else}}no{{end}}", "yes"),
        ("{{if .State.Paused}}p{{else if .Names}}n{{end}}", "n"),
        ("{{if and .ID (not .State.Paused)}}runs{{end}}", "runs"),
        ("{{with .State}}{{.Pid}} of {{$.Names}}{{end}}", "7 of web"),
        ("{{with $s := .State}}{{$s.Pid}}{{end}}", "7"),
        (
            "{{$f := true}}{{range .Env}}{{if $f}}{{$f = false}}{{else}},{{end}}{{.}}{{end}}",
            "A=1,B=2",
        ),
        ('{{.Names | upper | printf "%-5s|"}}', "WEB  |"),
        ('{{printf "%q %04d %v%%" .Names .State.Pid .State.Paused}}', '"web" 0007 false%'),
        ('{{join .Env ","}} {{index (split "a:b" ":") 1}}', "A=1,B=2 b"),
        ('{{.Label "tier"}} {{title "abc"}} {{truncate .Names 2}}', "front Abc we"),
        ("a {{- /* a remark */ -}} b", "ab"),
        ("{{.ID}} {{- .Names -}}  !", "abcweb!"),
        ("{{`raw`}}{{lt 1 2}}{{or .None .ID}}", "rawtrueabc"),
    ],
)
def test_template_is_filled_as_go_does_it(text: str, filled: str) -> None:
    assert fill(text) == filled


def test_json_of_the_whole_leaves_methods_out() -> None:
    whole = json.loads(fill("{{json .}}"))
    assert whole == {key: value for key, value in ROW.items() if key != "Label"}


@pytest.mark.parametrize(
    "text",
    [
        *(
            "{{}}",
            "{{.A | b}}",
            "{{Names}}",
            "{{range}}",
            "{{range .Env}}x",
            "x{{end}}",
            "{{else}}",
        ),
        *("{{.ID", "{{.ID .Names}}", "{{if .ID}}x{{else with}}y{{end}}", "{{index}}", "{{(.ID}}"),
        *("{{$x, $y := .ID}}", '{{define "x"}}{{end}}', '{{template "x"}}', "{{#ID}}"),
        *("{{lt 1 .Names}}", "{{len 1 2}}", "{{slice .State 1}}"),
    ],
)
def test_what_is_no_template_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not understood"):
        fill(text)


def test_unknown_field_is_refused_with_those_that_exist() -> None:
    with pytest.raises(InvalidInput, match=r"no such field: \.State\.Colour") as refused:
        fill("{{.State.Colour}}")
    assert refused.value.hint == "the fields there are Paused, Pid"
    with pytest.raises(InvalidInput, match=r"no such variable in the template: \$x"):
        fill("{{$x}}")
    with pytest.raises(InvalidInput, match=r"not a list or a map, for range"):
        fill("{{range .ID}}{{end}}")


def test_fields_are_those_that_are_asked_for() -> None:
    assert Template("{{.ID}} {{if .State.Pid}}{{upper .Names}}{{end}}").fields == [
        *("ID", "State", "Names"),
    ]
