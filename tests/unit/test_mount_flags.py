"""The words of ``RUN --mount``: what they say, and what is refused."""

from __future__ import annotations

import pytest

from wardian.build.expansion import Expander
from wardian.build.faults import DockerfileError
from wardian.build.mount_flags import MountFlag
from wardian.build.parser import parse
from wardian.build.stages import flag_values, recipe


def flag(words: str) -> MountFlag:
    [stage] = recipe(parse(f"FROM x\nRUN --mount={words} true\n")).stages
    [one] = stage.instructions
    [word] = flag_values(one, {"mount"})["mount"]
    return MountFlag.parse(one, word, Expander(env={"at": "/m"}))


@pytest.mark.parametrize(
    ("words", "told", "is_writable"),
    [
        ("target=$at/x", "type=bind,target=/m/x", False),
        ("dst=/m,src=a,RW", "type=bind,target=/m,source=a,readwrite=", True),
        ("destination=/m,ro=false", "type=bind,target=/m,readonly=false", True),
        ("type=Secret,id=$at", "type=secret,id=/m", False),
    ],
)
def test_words_are_read_as_buildkit_reads_them(words: str, told: str, *, is_writable: bool) -> None:
    assert str(flag(words)) == told
    assert flag(words).is_writable is is_writable


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("target=/m,from", "invalid field 'from' must be a key=value pair"),
        ("type=tmpfs,target=/m,source=x", "unexpected key 'source' for mount type tmpfs"),
        ("type=disk,target=/m", "unsupported mount type 'disk'"),
        ("type=cache,target=/m,sharing=all", "unsupported sharing value 'all'"),
        ("target=/m,ro=perhaps", "invalid value for readonly: perhaps"),
        ("type=cache", "--mount=type=cache needs a target"),
        ("type=cache,target=${", "syntax error"),
    ],
)
def test_words_that_say_nothing_are_refused(words: str, reason: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        flag(words)
    assert reason in caught.value.reason
    assert caught.value.hint
