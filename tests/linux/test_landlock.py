"""Landlock rules on a container's processes."""

from __future__ import annotations

import json

import pytest

from tests.linux.program import IMAGE, Wardian, out, refused
from wardian.linux import landlock

HAS_IT = landlock.abi_version() > 0
needs_landlock = pytest.mark.skipif(not HAS_IT, reason="the kernel has no Landlock to try")
ALLOWED = ("landlock=/bin:rx", "landlock=/etc:r", "landlock=/tmp:rw")
RULES = tuple(word for rule in ALLOWED for word in ("--security-opt", rule))
TRIES = """
touch /tmp/leaf && echo tmp
cat /etc/passwd >/dev/null && echo read
touch /etc/leaf || echo no etc
mkdir /srv || echo no srv
cp /bin/busybox /tmp/true && chmod 755 /tmp/true
mv /tmp/leaf /root/leaf || echo no move
ln -s /etc /tmp/link && touch /tmp/link/leaf || echo no link
"""


@needs_landlock
def test_only_what_a_rule_names_is_allowed(wardian: Wardian) -> None:
    done = wardian("run", "--name", "held", *RULES, IMAGE, "sh", "-c", TRIES)
    assert done.stdout.split("\n")[:-1] == ["tmp", "read", "no etc", "no srv", "no move", "no link"]
    assert "Permission denied" in done.stderr
    (info,) = json.loads(out(wardian("inspect", "held")))
    assert set(ALLOWED) <= set(info["HostConfig"]["SecurityOpt"])


@needs_landlock
def test_exec_and_other_users_and_terminals_are_held_too(wardian: Wardian) -> None:
    out(wardian("run", "-d", "--name", "held", *RULES, IMAGE, "sleep", "1000"))
    for flags in ((), ("--user", "1000"), ("-t",)):
        done = wardian("exec", *flags, "held", "sh", "-c", "touch /etc/leaf || echo no")
        assert done.stdout.replace("\r", "").splitlines()[-1] == "no", flags
    none = wardian("exec", "held", "sh", "-c", "cp /bin/busybox /tmp/true && /tmp/true")
    assert "Permission denied" in none.stderr


@needs_landlock
def test_path_that_is_not_there_or_a_link_is_said(wardian: Wardian) -> None:
    for path in ("/nowhere", "/bin/sh"):  # a link to busybox
        said = refused(
            wardian("run", "--rm", "--security-opt", f"landlock={path}:r", IMAGE, "true"), 125
        )
        assert f"cannot open {path}" in said
    assert out(wardian("ps", "-aq")) == ""


@pytest.mark.parametrize("word", ["", "/usr", "usr:r", "/usr:q", "/usr/..:r", "/usr:"])
def test_rule_that_is_none_is_refused(wardian: Wardian, word: str) -> None:
    option = ("--security-opt", f"landlock={word}")
    assert "not a Landlock rule" in refused(wardian("run", "--rm", *option, IMAGE, "true"), 125)
