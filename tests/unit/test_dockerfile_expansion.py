"""Variables and quotes in a Dockerfile's words, every form of them.

The expected values were compared with what BuildKit's own shell lexer makes of the same words.
"""

from __future__ import annotations

import pytest

from wardian.build.expansion import MAX_NESTING, Expander
from wardian.build.faults import DockerfileError

ENV = {"path": "usr/local/lib.so.6", "empty": "", "two": "a  b", "star": "x*y", "größe": "7"}

WORDS = [
    ("plain", "plain"),
    ("$path", "usr/local/lib.so.6"),
    ("${path}s", "usr/local/lib.so.6s"),
    ("$none$", "$"),
    ("$größe ${größe}", "7 7"),
    ("$12x $@ ${*}", "x  "),
    ("\\$path '$path' \"$empty\"", "$path $path "),
    ('"\\a \\$empty \\" \\\\" \\a', '\\a $empty " \\ a'),
    ("${none-x} ${none:-x} ${empty-x} ${empty:-x} ${two-x}", "x x  x a  b"),
    ("${none+x} ${none:+x} ${empty+x} ${empty:+x} ${two:+x}", "  x  x"),
    ("${two?no} ${empty?no}", "a  b "),
    ("${none:-${empty:-${two}}}", "a  b"),
    ("${none:-'}'}${none:-\\}}", "}}"),
    ("${path#*/}", "local/lib.so.6"),
    ("${path##*/}", "lib.so.6"),
    ("${path%.*}", "usr/local/lib.so"),
    ("${path%%.*}", "usr/local/lib"),
    ("${path#usr?}${path#x}", "local/lib.so.6usr/local/lib.so.6"),
    ("${star#x\\*}${star%\\?y}", "yx*y"),
    ("${path##${none:-*/}}", "lib.so.6"),
    ("${path/l/L}", "usr/Local/lib.so.6"),
    ("${path//l/L}", "usr/LocaL/Lib.so.6"),
    ("${path/\\//:}", "usr:local/lib.so.6"),
    ("${path//\\//$empty}", "usrlocallib.so.6"),
    ("${path/l*./_}", "usr/_6"),
    ("${path//?/-}", "------------------"),
    ("${two///.}", ".a. . .b."),
    ("${two//*/.}", "."),
    ("${none#a}${none%a}${none/a/b}", ""),
]

FAULTS = [
    ("'a", "single-quote"),
    ('a"b', "double-quote"),
    ("${a", "missing '}'"),
    ("${", "missing '}'"),
    ("${a:-b", "missing '}'"),
    ("${a/b}", "missing '/' in ${}"),
    ("${a/b/c", "missing '}'"),
    ("${}", "bad substitution"),
    ("${:-a}", "bad substitution"),
    ("${a^}", "unsupported modifier (^)"),
    ("${a:1:2}", "unsupported modifier (:1)"),
    ("${a:#b}", "unsupported modifier (:#)"),
    ("${none?}", "none: is not allowed to be unset"),
    ("${empty:?}", "empty: is not allowed to be empty"),
    ("${none:?give it}", "none: give it"),
    ("${path#\\a}", "invalid escape '\\a'"),
]


@pytest.mark.parametrize(("word", "expected"), WORDS)
def test_word_is_expanded(word: str, expected: str) -> None:
    assert Expander(env=ENV).word(word) == expected


@pytest.mark.parametrize(("word", "reason"), FAULTS)
def test_word_that_cannot_be_expanded_says_why(word: str, reason: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        Expander(env=ENV).word(word)
    assert reason in caught.value.reason
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (" a\t'b c' \"d e\"f ", ["a", "b c", "d ef"]),
        ('$two "$two" x$two', ["a", "b", "a  b", "xa", "b"]),
        ("'' \"\" $empty a", ["a"]),
        ("a\\ b c\\", ["a b", "c"]),
    ],
)
def test_text_is_split_into_words(text: str, words: list[str]) -> None:
    assert Expander(env=ENV).words(text) == words


def test_escape_character_is_that_of_the_directive() -> None:
    assert Expander(env=ENV, escape="`").word("c:\\$two`$two") == "c:\\a  b$two"


def test_names_without_a_value_are_gathered_or_kept() -> None:
    expander = Expander(env=ENV, keep_unset=True)
    assert expander.word("$none ${none} ${none:-a} ${none#b} ${none//a/b} $two") == (
        "$none ${none} ${none:-a} ${none#b} ${none//a/b} a  b"
    )
    assert expander.unset == {"none"}


def test_quotes_mean_nothing_in_a_heredoc() -> None:
    assert Expander(env=ENV).heredoc('it\'s "$star" \\$two\n') == 'it\'s "x*y" $two\n'


def test_variables_nested_without_end_are_refused() -> None:
    inner = "${a:-" * MAX_NESTING
    assert Expander().word(f"{inner}x{'}' * MAX_NESTING}") == "x"
    with pytest.raises(DockerfileError, match="too deeply"):
        Expander().word("${a:-" * 100_000)


def test_pattern_with_many_stars_does_not_try_every_way() -> None:
    """As a regular expression that goes back, this would not end in a lifetime."""
    expander = Expander(env={"v": "a" * 50_000})
    pattern = "*a" * 60 + "b"
    for form in ("#", "##", "%", "%%", "/", "//"):
        end = "/x}" if form[0] == "/" else "}"
        assert expander.word(f"${{v{form}{pattern}{end}") == "a" * 50_000
