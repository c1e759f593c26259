"""The words of a Dockerfile, evaluated as BuildKit's shell lexer does."""

import pytest

from jupyter_secxops_migrate.building.dockerfile.words import (
    PLATFORM,
    UNKNOWN,
    BadWord,
    Scope,
    expand,
    heredoc,
    raw_words,
)

VALUES = {"PWD": "/home", "SHELL": "bash", "NULL": "", "KOREAN": "한국어", "FILE": "a.b.tar.gz"}

# Cases of BuildKit's ``envVarTest`` and ``lex_test.go`` (Apache-2.0), chosen and regrouped: the word,
# and what it becomes with VALUES.
CASES = [
    # quotes and escapes
    ("hello", "hello"), ("he'll'o", "hello"), ("he\\'llo", "he'llo"), ("abc\\tdef", "abctdef"),
    ('"abc\\tdef"', "abc\\tdef"), ('"abc\\\\tdef"', "abc\\tdef"), ("'abc\\tdef'", "abc\\tdef"),
    ("hello\\", "hello"), ("hello\\\\", "hello\\"), ("\"hel'lo\"", "hel'lo"), ("'hello\\'", "hello\\"),
    ("\"''\"", "''"), ("안'녕'하세요", "안녕하세요"), ('"안녕\\t하세요"', "안녕\\t하세요"),
    # variables
    ("$.", "$."), ("he$1x", "hex"), ("he$pwd.", "he."), ("he$PWD", "he/home"), ("he\\$PWD", "he$PWD"),
    ("he\\\\$PWD", "he\\/home"), ('"he\\$PWD"', "he$PWD"), ("'he$PWD'", "he$PWD"), ("\\${}", "${}"),
    ("he${hi}xx", "hexx"), ("he${PWD}", "he/home"), ("$KOREAN", "한국어"), ("${aaa}}", "}"),
    ("$999aaa", "aaa"), ("$@@@", "@@"), ("${@:+bbb}aaa", "aaa"), ("${001:-bbb}aaa", "bbbaaa"),
    # alternatives
    ("he${XXX:-000}xx", "he000xx"), ("he${PWD:-000}xx", "he/homexx"), ("he${XXX:-$PWD}xx", "he/homexx"),
    ("he${XXX:-${YYY:-yyy}}xx", "heyyyxx"), ("he${PWD?}", "he/home"), ("he${NULL?}", "he"),
    ("he${XXX:+${PWD}}xx", "hexx"), ("he${PWD:+${SHELL}}xx", "hebashxx"), ("he${PWD:+${XXX}}xx", "hexx"),
    ("he${XXX:-\\$PWD:}xx", "he$PWD:xx"), ("he${XXX:-\\${PWD}z}xx", "he${PWDz}xx"),
    ("${NULL-x}", ""), ("${NULL:-x}", "x"), ("${NULL+x}", "x"), ("${NULL:+x}", ""),
    # patterns
    ("${FILE#*.}", "b.tar.gz"), ("${FILE##*.}", "gz"), ("${FILE%.*}", "a.b.tar"), ("${FILE%%.*}", "a"),
    ("${FILE/./-}", "a-b.tar.gz"), ("${FILE//./-}", "a-b-tar-gz"), ("${FILE#?.}", "b.tar.gz"),
    ("${PWD/\\/home/x}", "x"), ("${FILE%\\*}", "a.b.tar.gz"),
]  # fmt: skip


@pytest.mark.parametrize(("word", "becomes"), CASES)
def test_a_word_becomes_what_the_builder_makes_of_it(word, becomes):
    assert expand(word, Scope(VALUES, None)) == becomes


@pytest.mark.parametrize(
    "word",
    ["he'llo", '"hello', '"hello\\"', "'hello", "${}", "he${.}", "he${XXX:YYY}", "he${XXX?}", "he${NULL:?}", "${PWD", "${{X}"],
)  # fmt: skip
def test_what_the_builder_refuses_is_no_word(word):
    with pytest.raises(BadWord):
        expand(word, Scope(VALUES, None))


def test_the_escape_character_is_the_dockerfiles():
    assert expand("C:\\x`$PWD", Scope(VALUES, None), "`") == "C:\\x$PWD"


@pytest.mark.parametrize(
    ("word", "becomes"),
    [
        ("a$X", f"a{UNKNOWN}"),
        ("a${X:-b}", f"a{UNKNOWN}"),
        ("a${X:+b}", f"a{UNKNOWN}"),
        ("a${X#b}", UNKNOWN),
        ("a${TARGETOS}", f"a{PLATFORM}"),
        ("${TARGETOS:+evil}", UNKNOWN),
        ("${TARGETOS:-evil}", UNKNOWN),
        ("${PWD:-b}", "/home"),
        ("${X:-" * 200 + "}" * 200, UNKNOWN),
    ],
)
def test_what_only_the_builder_knows_is_never_guessed(word, becomes):
    assert expand(word, Scope({**VALUES, "TARGETOS": PLATFORM}, UNKNOWN)) == becomes


@pytest.mark.timeout(10)
def test_a_hostile_pattern_takes_no_time():
    scope = Scope({"A": "a" * 60_000}, None)
    for pattern in ("*a*a*a*a*b", "*b", "a" * 60_000 + "b"):
        expand("${A##" + pattern + "}${A%%" + pattern + "}${A//" + pattern + "/x}", scope)


@pytest.mark.parametrize(
    ("line", "names"),
    [
        # Cases of BuildKit's heredoc tests (Apache-2.0), chosen.
        ("RUN <<EOF", ["EOF"]),
        ("RUN <<-'EOF' cat", ["EOF"]),
        ('RUN <<EO"F"', ["EOF"]),
        ("RUN <<eo'f'", ["eof"]),
        ("RUN <<eo\\'f", ["eo'f"]),
        ("RUN <<'one two'", ["one two"]),
        ("RUN << EOF > foo", ["EOF"]),
        ("RUN << -EOF", ["-EOF"]),
        ("RUN <<$EOF", ["$EOF"]),
        ("COPY <<A 3<<B /x", ["A", "B"]),
        ('RUN <<-"EOF" <<E2', ["EOF", "E2"]),
        ("RUN <<'e'o\\'f", ["eo'f"]),
        ("RUN << EOF <<- E2", ["EOF"]),
        ("RUN << <<- <EOF", []),
        ("RUN '<<EOF'", []),
        ("RUN cat <<<EOF", []),
        ("RUN <<- EOF", []),
        ("RUN <<'EOF", []),
        ("RUN <<E${X:-OF}", []),  # a substitution ends the word before it
        ("RUN <<EOF ${X#\\a}", ["EOF"]),
    ],
)
def test_heredocs_are_found_where_the_builder_finds_them(line, names):
    found = [heredoc(word) for word in raw_words(line)]
    assert [item[0] for item in found if item is not None] == names
