"""Logs that are rotated, bounded, or not kept at all."""

from __future__ import annotations

from pathlib import Path

from tests.linux.conftest import wait_until
from tests.linux.program import IMAGE, Wardian, out, refused
from wardian.runtime.client import Client

ROTATED = ("--log-opt", "max-size=10k", "--log-opt", "max-file=3")
NUMBERS = "i=0; while [ $i -lt 40000 ]; do echo line $i; i=$((i+1)); done"


def test_log_is_rotated_by_size_and_read_as_one(wardian: Wardian, client: Client) -> None:
    out(wardian("run", "--name", "box", *ROTATED, IMAGE, "sh", "-c", NUMBERS))
    home = Path(client.container("box").info.log_directory)
    assert {path.name for path in home.glob("log.jsonl*")} <= {
        "log.jsonl",
        "log.jsonl.1",
        "log.jsonl.2",
    }
    assert (home / "log.jsonl.2").exists()
    lines = out(wardian("logs", "box")).splitlines()[1:]  # the first may have lost its start
    kept = [int(line.removeprefix("line ")) for line in lines]
    assert kept == list(range(kept[0], 40000))
    assert kept[0] > 0
    assert out(wardian("logs", "--tail", "200", "box")).splitlines()[-100:] == lines[-100:]


def test_follower_misses_nothing_of_a_rotated_log(wardian: Wardian) -> None:
    script = "i=0; while [ $i -lt 60 ]; do echo line $i; i=$((i+1)); sleep 0.02; done"
    options = ("--log-opt", "max-size=1k", "--log-opt", "max-file=9")
    out(wardian("run", "-d", "--name", "box", *options, IMAGE, "sh", "-c", script))
    followed = out(wardian("logs", "--follow", "box")).splitlines()
    assert followed == [f"line {number}" for number in range(60)]


def test_one_file_is_emptied_when_it_is_full(wardian: Wardian, client: Client) -> None:
    one = ("--log-opt", "max-size=10k", "--log-opt", "max-file=1")
    out(wardian("run", "--name", "box", *one, IMAGE, "sh", "-c", NUMBERS))
    home = Path(client.container("box").info.log_directory)
    assert not (home / "log.jsonl.1").exists()
    assert wardian("logs", "box").stdout.count("\n") < 40000


def test_driver_none_keeps_nothing_and_says_so(wardian: Wardian, client: Client) -> None:
    done = wardian("run", "--name", "box", "--log-driver", "none", IMAGE, "echo", "seen")
    assert done.stdout == "seen\n"
    assert "log driver is none" in refused(wardian("logs", "box"), 1)
    home = Path(client.container("box").info.log_directory)
    wait_until(lambda: client.container("box").info.host_pid is None)
    assert not list(home.glob("log.jsonl*"))
    shown = out(wardian("inspect", "--format", "{{.HostConfig.LogConfig.Type}}", "box"))
    assert shown == "none\n"


def test_details_are_the_labels_and_variables_that_were_named(wardian: Wardian) -> None:
    named = ("--log-opt", "labels=tier,none", "--log-opt", "env=COLOUR")
    given = ("-l", "tier=front", "-l", "other=x", "-e", "COLOUR=green", "-e", "OTHER=y")
    out(wardian("run", "--name", "box", *named, *given, IMAGE, "sh", "-c", "echo a; echo b"))
    assert out(wardian("logs", "--details", "box")) == (
        "COLOUR=green,tier=front a\nCOLOUR=green,tier=front b\n"
    )
    first, second = out(wardian("logs", "--details", "-t", "box")).splitlines()
    assert first.split(" ")[1:] == ["COLOUR=green,tier=front", "a"]
    assert second.endswith(" b")
    assert out(wardian("logs", "box")) == "a\nb\n"
    assert "unknown log option" in refused(wardian("run", "--log-opt", "tag=x", IMAGE, "true"), 125)
