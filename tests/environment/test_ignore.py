"""``.dockerignore`` and the reach of COPY, also compared with the docker program itself."""

import io
import os
import re
import shutil
import subprocess
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.environment.context import BuildContext
from jupyter_secxops_migrate.environment.dockerfile import parse
from jupyter_secxops_migrate.environment.ignore import DockerIgnore, Reach, _Automaton, _tokens

from .conftest import fill

TREE = {
    name: name
    for name in (
        "a.txt", "b.md", "README.md", "x", "[odd]", "sub/a.txt", "sub/b.md", "sub/keep/c.txt", "sub/deep/er/a.txt",
        "node_modules/m/index.js", "sub/node_modules/n/index.js", "data/1.csv", "data/keep.csv", ".hidden", "ab/c", "abc/d",
    )
}  # fmt: skip

CASES = {
    "nothing": "",
    "name": "data",
    "slashes": "/data/\n./sub//deep/\n",
    "star": "*.txt\n",
    "star below": "*/*.txt\n",
    "double star": "**/*.txt\n",
    "double star folder": "**/node_modules\n",
    "double star end": "sub/**\n",
    "question mark": "?b\n?\n",
    "class": "[a-b].*\n",
    "negated class": "[^a]*\n",
    "escaped": "\\[odd]\n",
    "exception": "*.md\n!README.md\n",
    "exception below": "data\n!data/keep.csv\n",
    "exception undone": "!data/keep.csv\ndata\n",
    "all but": "*\n!sub\n",
    "all but double star": "**\n!**/*.md\n",
    "comment and blanks": "# data\n\n  x  \n",
    "parent": "sub/../data\n../x\n",
    "dot": ".\n",
    "prefix": "ab\n",
    "itself": ".dockerignore\nDockerfile\n",
    "hidden": ".*\n",
    "middle": "sub/**/a.txt\n",
    "exception of a folder's name": "sub\n!sub/keep\n",
}


def sent(project, dockerfile=b"FROM scratch\nCOPY . /\n") -> set[str]:
    data = b"".join(BuildContext(project, dockerfile).chunks())
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name for member in archive if not member.isdir()}


@pytest.mark.docker
@pytest.mark.parametrize("ignore", CASES.values(), ids=CASES.keys())
def test_the_context_is_what_the_docker_program_sends(tmp_path, folder, ignore):
    """Build FROM scratch with COPY, by the docker program and its own .dockerignore."""
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("no docker program")
    root = folder({**TREE, "Dockerfile": "FROM scratch\nCOPY . /\n", ".dockerignore": ignore})
    environment = {**os.environ, "DOCKER_BUILDKIT": "0", "HOME": str(tmp_path)}

    def run(*words: str) -> bytes:
        done = subprocess.run(
            [docker, *words], env=environment, capture_output=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    image = run("build", "-q", "--no-cache", str(root)).decode().strip()
    container = None
    try:
        container = run("create", image, "none").decode().strip()
        with tarfile.open(fileobj=io.BytesIO(run("export", container))) as archive:
            docker_has = {m.name for m in archive if m.isreg()}
    finally:
        if container is not None:
            run("rm", container)
        run("rmi", image)
    docker_has -= {".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"}
    # The builder drops these two by itself where the file names them.
    both = {"Dockerfile", ".dockerignore"}
    assert sent(root) - both == docker_has - both


@pytest.mark.parametrize(
    ("ignore", "kept"),
    [
        ("**\n!**/*.md\n", {"b.md", "README.md"}),
        ("data\n!data/keep.csv\n", set(TREE) - {"data/1.csv"}),
        ("\ufeff**/node_modules\n", {n for n in TREE if "node_modules" not in n}),
    ],
)
def test_what_is_kept_back(folder, ignore, kept):
    root = folder({**TREE, ".dockerignore": ignore})
    assert sent(root) == {*kept, "Dockerfile", ".dockerignore"}


@pytest.mark.parametrize("pattern", ["[", "a[", "[a", "x\\", "[]"])
def test_a_malformed_pattern_is_refused_for_it_might_keep_back_a_secret(folder, pattern):
    root = folder({".dockerignore": f"fine\n{pattern}\n"})
    with pytest.raises(errors.BadDockerfile, match="line 2"):
        BuildContext(root, b"FROM a\nCOPY . .")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(["a", "*", "**", "/", "?", "[a-z]", "!", "\n", "..", ".", "b", "\\a", "#"]),
        max_size=15,
    ),
    st.lists(st.sampled_from(["a", "b", "ab", "c"]), min_size=1, max_size=5),
)
def test_no_folder_is_closed_before_something_that_is_to_be_sent(words, parts):
    """Whatever is not ignored lies in folders that may be entered, but behind ``**`` exceptions."""
    text = "".join(words)
    ignore = DockerIgnore(text.encode())
    path = "/".join(parts)
    above = ["/".join(parts[:i]) for i in range(1, len(parts))]
    if "!" not in text and any(ignore.ignores(folder) for folder in above):
        assert not all(ignore.may_enter(folder) for folder in above)
    elif not any(ignore.ignores(folder) for folder in above):
        assert all(ignore.may_enter(folder) for folder in above)
    ignore.ignores(path)


def reach(*copies: str) -> Reach | None:
    return Reach.of(parse("FROM a\n" + "\n".join(copies)))


@pytest.mark.parametrize(
    ("copy", "is_", "below", "above", "not_"),
    [
        ("COPY a b /x/", ["a", "b"], ["a/c"], [], ["c", "ab", "c/a"]),
        ("COPY ./sub/dir/ /x", ["sub/dir"], ["sub/dir/y/z"], ["sub"], ["sub/other", "dir"]),
        ("COPY *.txt /x/", ["a.txt"], ["d.txt/e"], [], ["sub/a.txt", "a.md"]),
        ("COPY s*/a? /x/", ["sub/ab"], ["sub/ab/c"], ["sub"], ["sub/abc", "t"]),
        ("COPY . /x", [], ["a", "a/b"], [], []),
        ("ADD / /x", [], ["a"], [], []),
        ("COPY /abs /x", ["abs"], [], [], ["x"]),
        ("COPY ../a /x", ["a"], [], [], ["b"]),
        ('COPY ["a b", "/x"]', ["a b"], [], [], ["a", "b"]),
        ("RUN true", [], [], [], ["a", "requirements.txt"]),
        ("COPY --from=b a /x", [], [], [], ["a"]),
    ],
)
def test_what_a_copy_can_reach(copy, is_, below, above, not_):
    found = reach(copy)
    assert found is not None
    assert [found.relation(p) for p in is_] == ["is"] * len(is_)
    assert [found.relation(p) for p in below] == ["below"] * len(below)
    assert [found.relation(p) for p in above] == ["above"] * len(above)
    assert [found.relation(p) for p in not_] == [None] * len(not_)


@pytest.mark.parametrize(
    "copy",
    [
        "COPY $X /x",
        "COPY a **/b /x",
        "RUN --mount=type=bind,target=/x y",
        "RUN --mount=target=/x y",
        "COPY [a /x",
    ],
)
def test_where_only_the_build_knows_everything_is_sent(copy):
    assert reach("COPY a /y", copy) is None


def test_only_what_is_reached_is_sent_and_read(folder):
    root = folder({**TREE, "requirements.txt": "x"})
    (root / "data" / "unreadable").symlink_to("/etc/shadow")
    assert sent(root, b"FROM a\nCOPY requirements.txt /x\nADD s?b/keep /y\n") == {
        "Dockerfile",
        "requirements.txt",
        "sub/keep/c.txt",
    }


@pytest.mark.parametrize("copy", ["COPY link /x", "COPY link/deep /x", "COPY l* /x"])
def test_a_source_that_is_a_link_brings_its_target(folder, copy):
    root = fill(folder(TREE), {})
    (root / "link").symlink_to("sub")
    assert "sub/deep/er/a.txt" in sent(root, f"FROM a\n{copy}".encode())


WORDS = st.sampled_from(["a", "b", "*", "**", "/", "?", "[a-b]", "[^a]", "\\*", "*", "**/"])


@settings(max_examples=1500, deadline=None)
@given(st.lists(WORDS, max_size=7).map("".join), st.text("ab/*\n", max_size=8))
def test_both_ways_to_match_agree(pattern, path):
    tokens = _tokens(pattern)
    regex = re.compile("".join(token.regex for token in tokens), re.DOTALL)
    assert _Automaton(tokens).fullmatch(path) is (regex.fullmatch(path) is not None)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 40 + "b", "a" * 250),
        ("**/a/" * 30 + "b", "a/" * 1000 + "c"),
        ("**a" * 30, "a" * 2000 + "b"),
        ("*" * 3 + "/*" * 100, "/".join(["a" * 20] * 99)),
    ],
)
@pytest.mark.parametrize("exception", ["", "\n!never"])
def test_a_hostile_pattern_takes_no_time(pattern, path, exception):
    ignore = DockerIgnore((pattern + exception).encode())
    for i in range(50):
        assert not ignore.ignores(f"{path}{i}")
    if "**" not in pattern:
        assert reach(f"COPY {pattern} /x").relation(path) is None
