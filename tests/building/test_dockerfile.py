"""Reading Dockerfiles as BuildKit's parser does."""

import textwrap

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_secxops_migrate.building.dockerfile import KEYWORDS, MAX_SIZE, Dockerfile, parse
from jupyter_secxops_migrate.building.errors import BadDockerfile


def dockerfile(text: str, **args: str) -> Dockerfile:
    return parse(textwrap.dedent(text).lstrip("\n"), args)


def listed(found: Dockerfile) -> list[tuple[int, int, str, str]]:
    return [(i.line, i.end_line, i.keyword, i.args) for i in found.instructions]


def test_instructions_keep_their_lines_across_continuations_comments_and_blank_lines():
    found = dockerfile(
        r"""
        # a comment
        FROM debian:12

        RUN set -ex; \
          # why
          foo; \

          bar
          USER me
        """
    )
    assert listed(found) == [
        (2, 2, "FROM", "debian:12"),
        (4, 8, "RUN", "set -ex;   foo;   bar"),
        (9, 9, "USER", "me"),
    ]


def test_a_heredoc_belongs_to_its_instruction():
    found = dockerfile(
        """
        FROM debian
        COPY <<A <<"B" /x/
        USER not-me
        A
        FROM nothing
        B
        RUN <<-'E' cat
        \tUSER neither
        \tE
        USER me
        """
    )
    assert [i.keyword for i in found.instructions] == ["FROM", "COPY", "RUN", "USER"]
    assert found.user == "me"
    assert found.instructions[1].heredocs == ("A", "B")
    assert found.copies() == []


def test_a_here_string_and_a_shift_are_no_heredoc():
    found = dockerfile(
        """
        FROM debian
        RUN cat <<< foo && echo $((1 << 3)) "<<X"
        USER me
        """
    )
    assert [i.keyword for i in found.instructions] == ["FROM", "RUN", "USER"]
    assert found.needs_buildkit() == []


def test_a_heredoc_that_an_older_builder_would_run_line_by_line_is_refused():
    with pytest.raises(BadDockerfile, match="older builders don't") as caught:
        parse("FROM a\nRUN true << 'USER x'\nADD https://example.org/x /x\nUSER x\n")
    assert caught.value.params["line"] == 2
    assert parse("FROM a\nRUN echo $((1 << 3)) > x\nUSER me").user == "me"
    assert parse("FROM a\nRUN << EOF cat\nfrom os import path\nEOF\nUSER me").user == "me"


@pytest.mark.parametrize(
    "line",
    [
        'ADD ["https://example.org/x", "/x"] trailing',
        'ADD --chown=1 ["https://example.org/x", "/x"]]',
        'COPY ["a", "/x"] # why',
        'ONBUILD COPY ["a", "/x"] # why',
        'VOLUME ["/x"] /y',
        "RUN [\"true\"] <<'USER x'\nADD https://example.org/x /x\nUSER x",
        "RUN\t--network=none [\"true\"] <<'USER x'\nADD https://example.org/x /x\nUSER x",
        "ONBUILD\tRUN [\"true\"] <<'USER x'\nADD https://example.org/x /x\nUSER x",
    ],
)
def test_a_json_form_that_older_builders_cut_off_is_refused(line):
    with pytest.raises(BadDockerfile, match=r"different ways|older builders") as caught:
        parse(f"FROM a\n{line}\n")
    assert caught.value.params["line"] == 2


def test_what_only_resembles_a_json_form_is_read():
    found = parse(
        'FROM a\nRUN [ -f x ] && y\nRUN [ "$X" ] && y\nRUN [ 1 ] && <<E cat\nE\nCMD ["x"] # y\n'
        'COPY [a] ["b"] /x\nVOLUME [1] /y'
    )
    assert [c.sources for c in found.copies()] == [["[a]", "[b]"]]
    assert found.instructions[3].heredocs == ("E",)


def test_an_argument_that_builders_pass_on_in_different_ways_is_not_known():
    assert parse("FROM a AS b\nARG U=x\nUSER $U").user == "x"
    assert parse("FROM a AS b\nARG U=x\nFROM b\nUSER $U").user is None
    assert parse("FROM a AS b\nENV U=x\nFROM b\nUSER $U").user == "x"
    assert parse("FROM a\nENV U=x\nARG U=y\nUSER $U").user is None
    assert parse("FROM a\nUSER ${NB_USER:-me}").user is None  # the base may set it
    assert dockerfile("FROM a\nARG U=x\nUSER $U", U="y").user == "y"


def test_the_escape_directive_changes_the_continuation():
    found = dockerfile(
        """
        # escape=`
        FROM a
        RUN foo `
          bar
        COPY x C:\\
        USER me
        """
    )
    assert [i.keyword for i in found.instructions] == ["FROM", "RUN", "COPY", "USER"]


def test_a_directive_after_anything_else_is_a_comment():
    assert parse("\n# escape=`\nFROM a\nRUN x \\\n y").instructions[1].end_line == 5
    assert parse("FROM a\n# syntax=x").syntax is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # Cases of BuildKit's directive tests (Apache-2.0), chosen.
        ("# syntax = a/b:1 // more\n", {"syntax": "a/b:1 // more"}),
        ("#!/bin/sh\n# syntax=a\n", {"syntax": "a"}),
        ("#!/bin/sh\n\n# syntax=a\n", {}),
        ("\ufeff# SYNTAX=a\r\n# EScape=`\r\n", {"syntax": "a", "escape": "`"}),
        ("# check = skip=all\n# syntax=a\n", {"check": "skip=all", "syntax": "a"}),
        ("# key=value\n# escape=`\n", {}),
    ],
)
def test_directives_are_those_at_the_very_top(text, found):
    assert parse(f"{text}FROM a\n").directives == found


def test_the_word_after_a_lone_shift_of_a_copy_is_a_file_to_builders_too():
    found = parse("FROM a\nCOPY << EOF /x\nx\nEOF\nCOPY <<EOF b /x\nx\nEOF")
    assert [c.sources for c in found.copies()] == [["<<", "EOF"], ["b"]]


@pytest.mark.parametrize(
    "text", ["FROM a\r\nRUN x \\\r\n y\r\nUSER me\r\n", "\ufefffrom a\nuser me"]
)
def test_other_line_ends_a_byte_order_mark_and_lower_case_are_read(text):
    assert parse(text).user == "me"


@pytest.mark.parametrize(
    ("text", "bases"),
    [
        ("FROM debian", ["debian"]),
        ("ARG V=12\nFROM debian:$V", ["debian:12"]),
        ("ARG V\nFROM debian:${V:-11}", ["debian:11"]),
        ("ARG A=x B=y\nFROM $A/${B}", ["x/y"]),
        ('ARG R="reg.io:5000/"\nARG I=${R}a\nFROM ${I}@sha256:0', ["reg.io:5000/a@sha256:0"]),
        ("ARG D\nFROM a${D:+-slim}", ["a"]),
        ("FROM a AS One\nFROM b\nFROM one\nFROM b as x", ["a", "b"]),
        ("FROM scratch", []),
        ("FROM --platform=linux/amd64 a", ["a"]),
        ("ARG TARGETARCH\nFROM a:$TARGETARCH", []),
        ("FROM a${V}b", ["ab"]),
        ("FROM ONE as one", ["ONE"]),
    ],
)
def test_bases_have_their_defaults_and_leave_out_stages(text, bases):
    assert parse(text).bases() == bases


def test_a_build_argument_goes_before_a_default():
    assert dockerfile("ARG V=12\nFROM debian:$V", V="13").bases() == ["debian:13"]


@pytest.mark.parametrize("name", ["'A'", '"A"', "\\A", "$B", "X'A'"])
@pytest.mark.parametrize("place", ["ARG {}=x\nFROM a", "FROM a\nONBUILD ARG B {}=x"])
def test_an_argument_that_older_builders_give_another_name_is_refused(name, place):
    with pytest.raises(BadDockerfile, match="the argument name"):
        parse(place.format(name))
    assert parse("FROM a\nARG V=1 # it's no comment").stages


def test_a_proxy_is_known_only_if_it_is_given():
    text = "ARG HTTP_PROXY=x\nFROM a:$HTTP_PROXY\nARG HTTP_PROXY=x\nWORKDIR /$HTTP_PROXY"
    found = parse(text)
    assert (found.bases(), found.images(), found.workdir) == ([], [(2, "a:$HTTP_PROXY")], None)
    found = parse(text, {"HTTP_PROXY": "y"})
    assert (found.bases(), found.workdir) == (["a:y"], "/y")


def test_every_external_image_is_named_with_its_line():
    found = dockerfile(
        """
        FROM a AS one
        COPY --from=evil/image /x /x
        RUN --mount=type=bind,from=other,target=/x true
        FROM b-$TARGETOS
        COPY --from=One /x /x
        COPY --from=0 /x /x
        RUN --mount=type=bind,from=one,target=/x true
        """
    )
    assert found.images() == [(1, "a"), (4, "b-$TARGETOS"), (2, "evil/image"), (3, "other")]


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("FROM a", None),
        ("FROM a\nUSER x\nUSER y:z", "y:z"),
        ("FROM a\nARG U=me\nUSER $U", "me"),
        ("FROM a\nENV NB_UID=1000\nUSER ${NB_UID}", "1000"),
        ("FROM a AS one\nUSER x\nFROM one", "x"),
        ("FROM a AS one\nUSER x\nFROM b", None),
        ("FROM a\nONBUILD USER x", None),
        ('FROM a\nUSER "me"', "me"),
        ("ARG U=outer\nFROM a\nARG U\nUSER $U", "outer"),
        ("FROM a\nUSER -- me", "me"),
    ],
)
def test_the_last_stages_user(text, user):
    assert parse(text).user == user


@pytest.mark.parametrize(
    ("text", "workdir", "is_set"),
    [
        ("FROM a", None, False),
        ("FROM a\nWORKDIR /x\nWORKDIR y", "/x/y", True),
        ("FROM a\nWORKDIR y", None, True),
        ('FROM a\nWORKDIR "/a b"', "/a b", True),
        ("FROM a\nWORKDIR /a b", "/a b", True),
        ("FROM a\nWORKDIR $HOME/x", None, True),
        ("FROM a\nENV H=/h\nWORKDIR $H/x", "/h/x", True),
        ("FROM a AS one\nWORKDIR /x\nFROM one\nWORKDIR y", "/x/y", True),
        ("FROM a AS one\nWORKDIR /x\nFROM b", None, False),
    ],
)
def test_the_last_stages_working_directory(text, workdir, is_set):
    found = parse(text)
    assert (found.workdir, found.sets_workdir) == (workdir, is_set)


@pytest.mark.parametrize(
    ("text", "volumes"),
    [
        ("FROM a\nVOLUME /x /y/", ["/x", "/y/"]),
        ("FROM a\nVOLUME -- /x \u00a0/y", ["/x", "/y"]),
        ('FROM a\nVOLUME ["/a b", "/y"]', ["/a b", "/y"]),
        ("FROM a\nENV H=/h\nVOLUME $H/x ${H}/y", ["/h/x", "/h/y"]),
        ('FROM a\nENV H=/h\nVOLUME ["$H/x"]', ["/h/x"]),
        ("FROM a\nARG H\nVOLUME $HOME/x /y", ["/y"]),
        ("FROM a AS one\nVOLUME /x\nFROM one\nVOLUME /y", ["/x", "/y"]),
        ("FROM a AS one\nVOLUME /x\nFROM b", []),
        ("FROM a\nONBUILD VOLUME /x", []),
    ],
)
def test_the_last_stages_volumes(text, volumes):
    assert parse(text).volumes() == volumes


def test_copies_are_those_from_the_context():
    found = dockerfile(
        r"""
        FROM a AS one
        COPY requirements.txt setup.py /x/
        COPY ["a b", "/x/"]
        COPY --chown=1:1 a\c "d"'e' /x
        COPY --from=one /x /y
        ADD https://example.org/a.tgz local.tgz /x/
        COPY $X /x
        COPY . .
        """
    )
    assert [(c.line, c.sources) for c in found.copies()] == [
        (2, ["requirements.txt", "setup.py"]),
        (3, ["a b"]),
        (4, ["ac", "de"]),
        (6, ["local.tgz"]),
        (7, None),
        (8, ["."]),
    ]
    assert found.remote_adds() == [(6, "https://example.org/a.tgz")]


@pytest.mark.parametrize(
    ("text", "features"),
    [
        ("FROM a\nRUN --mount=type=cache,target=/x pip install x", [(2, "RUN --mount")]),
        (
            "FROM a\nRUN --network=none --security=insecure x",
            [(2, "RUN --network"), (2, "RUN --security")],
        ),
        ("FROM a\nRUN <<EOF\nx\nEOF", [(2, "RUN <<EOF")]),
        ("FROM a\nCOPY --link --chmod=755 a b", [(2, "COPY --link"), (2, "COPY --chmod")]),
        (
            "FROM a\nCOPY --parents --exclude=*.md a b",
            [(2, "COPY --parents"), (2, "COPY --exclude")],
        ),
        ("FROM a\nADD --checksum=sha256:0 https://x y", [(2, "ADD --checksum")]),
        (
            "FROM a\nADD --keep-git-dir=true https://x/y.git /z",
            [(2, "ADD --keep-git-dir"), (2, "ADD of a git repository")],
        ),
        ("FROM a\nADD https://x/y.git?ref=v1#z /z", [(2, "ADD of a git repository")]),
        ("FROM a\nENV U=ssh://x/y\nADD $U /z", [(3, "ADD of a git repository")]),
        ("# syntax=docker/dockerfile:1\nFROM a", []),
        ("FROM a\nCOPY --chown=a --from=x a b\nHEALTHCHECK --interval=5s CMD x", []),
        ("FROM a\nRUN x --mount=type=cache", []),
        ("FROM a\nONBUILD RUN --mount=type=cache,target=/x y", [(2, "RUN --mount")]),
    ],
)
def test_what_only_buildkit_runs_is_found(text, features):
    assert parse(text).needs_buildkit() == features


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("# nothing\n", 2),
        ("FROM a\nFOO bar", 2),
        ("RUN x\nFROM a", 1),
        ("FROM a\nUSER x\nRUN <<EOF\nfoo", 3),
        ("FROM", 1),
        ("FROM a b", 1),
        ("FROM a\nCOPY", 2),
        ("# escape=x\nFROM a", 1),
        ("FROM a\n\nRUN \0", 3),
        ("FROM a\nRUN true \\\n\x1c\nADD https://example.org/x /x", 3),
        (b"FROM a\nCOPY --chown=\xa0--from=b /x /x", 2),
        ("FROM a\nRUN true \\\r\r\nADD https://example.org/x /x", 2),
        ("FROM a\nONBUILD FROM b", 2),
        ("FROM a\nONBUILD", 2),
        ("ARG A=\nFROM $A", 2),
        ("ARG A\nFROM $A", 2),
        ("FROM ${A/x}", 1),
        ("# syntax=a\n# syntax=b\nFROM a", 2),
        ("// syntax=a\nFROM a", 1),
        ('{"syntax": "a"}', 1),
    ],
)
def test_what_is_no_dockerfile_is_refused_with_its_line(text, line):
    with pytest.raises(BadDockerfile) as caught:
        parse(text)
    assert caught.value.params["line"] == line


def test_a_huge_file_is_refused():
    with pytest.raises(BadDockerfile, match="larger than"):
        parse(b"FROM a\n" + b"#" * MAX_SIZE)


def test_a_refusal_does_not_repeat_control_characters():
    with pytest.raises(BadDockerfile) as caught:
        parse("FROM a\n\x1b[31mFOO x")
    assert "\x1b" not in caught.value.message


WORDS = st.sampled_from(
    [
        *sorted(KEYWORDS),
        " ", "\n", "\\\n", "\\", "<<E", "<<-'E'", "\nE\n", "--mount=type=bind", "--from=x", "$A", "${A:-${B}}", "${", "[", '"',
        "'", "]", "#", "# escape=`\n", "FROM a\n", "/x", "=", "A=b", "\r\n", "\t", "x",
    ]
)  # fmt: skip


def use_everything(text: "str | bytes") -> None:
    try:
        found = parse(text)
    except BadDockerfile as error:
        assert isinstance(error.params["line"], int)
        assert error.params["line"] >= 1
        return
    assert found.stages
    last = found.source.count(b"\n") + 1
    assert all(1 <= i.line <= i.end_line <= last for i in found.instructions)
    found.bases()
    found.images()
    found.copies()
    found.remote_adds()
    found.needs_buildkit()
    found.binds_context()
    assert found.user is None or isinstance(found.user, str)
    assert found.workdir is None or found.workdir.startswith("/")


@settings(max_examples=examples(300), deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_no_text_makes_the_parser_fail_otherwise(text):
    use_everything(text)


@settings(max_examples=examples(500), deadline=None)
@given(st.lists(WORDS, max_size=40).map("".join))
def test_no_text_of_a_dockerfiles_words_makes_the_parser_fail_otherwise(text):
    use_everything("FROM a AS b\n" + text)


def test_deep_nesting_does_not_exhaust_the_stack():
    use_everything("FROM a\nARG X=" + "${A:-" * 5000 + "}" * 5000 + "\nUSER $X")
    use_everything("FROM a\nCOPY " + "[" * 100_000 + " x\n")


@pytest.mark.timeout(20)
def test_values_that_double_and_lines_of_blanks_take_neither_memory_nor_time():
    doubled = "ARG V0=xxxxxxxx\n" + "".join(f"ARG V{i + 1}=$V{i}$V{i}\n" for i in range(200))
    use_everything(doubled + "FROM $V200\n" + doubled + "USER $V200")
    assert parse(doubled + "FROM a:$V3").bases() == ["a:" + "x" * 64]
    blanks = " " * 500_000
    for text in (
        f"# syntax=a{blanks}b\nFROM a",
        f"FROM a\nRUN x{blanks}\\{blanks}y",
        f"FROM a\nADD https://x/{'.git#' * 100_000} y",
        f"FROM a\nCOPY {'a ' * 200_000} y",
        "FROM a\nRUN " + "<<E " * 100_000,
        "FROM a\n" + "ENV A=$A\n" * 50_000 + "USER $A",
        "FROM a as b\n" + "FROM b as b\n" * 20_000,
    ):
        use_everything(text)
