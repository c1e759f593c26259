"""``.dockerignore`` and the reach of COPY, also compared with the docker program itself."""

import io
import os
import re
import shutil
import subprocess
import tarfile

import pytest
from effort import examples
from folders import fill
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_secxops_migrate.building.context import BuildContext
from jupyter_secxops_migrate.building.dockerfile import parse
from jupyter_secxops_migrate.building.errors import BadDockerfile
from jupyter_secxops_migrate.building.ignore import DockerIgnore, Reach, _Automaton, _tokens

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
    "any start": "**.txt\n",
    "exception forgotten": "data/*\n!data\n",
    "exception in every folder": "*\n!**/*.md\n",
}


def sent(project, dockerfile=b"FROM scratch\nCOPY . /\n", *, buildkit=False) -> set[str]:
    data = b"".join(BuildContext(project, dockerfile, buildkit=buildkit).chunks())
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


KEPT_BACK = [
    # Cases of moby/patternmatcher (Apache-2.0), chosen and regrouped: patterns, what they keep
    # back, what they do not.
    ("**", "file dir/file", ""),
    ("**/", "file dir/file", ""),
    ("**/**", "file dir/file", ""),
    ("dir/**", "dir/file dir/dir2/file", "dir"),
    ("**/dir2/*", "dir/dir2/file", "dir2"),
    ("**file", "file dir/file dir/dir/file dir/myfile", "dir/files"),
    ("**/file*txt", "dir/dir/file.txt file.txt", "dir/file.md"),
    ("**/**/*.txt", "file.txt dir/dir/file.txt", "dir/file.txt2"),
    ("a**/*.txt", "a/file.txt a/dir/dir/file.txt", ""),
    ("a/*.txt**", "a/file.txt", "a/dir/file.txt"),
    ("a[b-d]e", "ace", "ae aae"),
    ("a[^b-d]e", "aze a/e", "ace"),
    (".*", ".foo", "foo"),
    ("abc.def", "abc.def", "abcdef abcZdef"),
    ("abc?def", "abcZdef", "abcdef"),
    ("**/foo/bar", "foo/bar dir/dir2/foo/bar", "foo"),
    ("abc/**", "abc/def/ghi", "abc"),
    ("a(b)c/def", "a(b)c/def", "a(b)c/xyz"),
    ("a.|)$(}+{bc", "a.|)$(}+{bc", "a."),
    ("dist/*.whl", "dist/p.py-2.4.0rc3.dev36+g08-none-any.whl", "dist/p.tar"),
    ("a\\*b", "a*b", "ab"),
    ("[\\]a]", "] a", "b"),
    ("[x\\-]", "x -", "z"),
    ("a*b*c*d*e*/f", "axbxcxdxe/f", "axbxcxdxe/xxx/f"),
    ("a???b", "a123b", "a☺b"),
    ("[a-ζ]*", "α", "A"),
    # Names of keys and settings, as people write them: the ``**`` takes any start.
    ("**.pem", "key.pem a/key.pem a/.pem", "a/pem"),
    ("**.env", ".env a/.env a/my.env", ".env.md"),
    ("***.pem", "key.pem a/key.pem", "a/pem"),
    ("**.p*", "a/.pem", "key.pem"),
    # Exceptions: an exception of what nothing ignored yet is forgotten.
    ("**\n!web", "x", "web web/foo"),
    ("**\n!web\nweb/foo", "web/foo", "web/bar"),
    ("data/*\n!data", "data/x data/y/z", "data"),
    ("data\n!data", "", "data data/x"),
    ("!file.go\n*.go", "file.go", ""),
    ("*.go\n!file.go", "other.go", "file.go"),
    ("docs\n  !docs/README.md  ", "docs docs/x", "docs/README.md"),
    ("# docs\n/test2\n/a/file/here\n! /a/file/here/not", "test2 a/file/here a/file/here/b", "# docs a/file/here/not"),
]  # fmt: skip


@pytest.mark.parametrize(("patterns", "ignored", "sent"), KEPT_BACK)
def test_patterns_mean_what_they_mean_to_moby(patterns, ignored, sent):
    def kept_back(path: str) -> bool:
        ignore = DockerIgnore(patterns.encode())
        parts = path.split("/")
        if "!" in patterns:
            return ignore.ignores(path)
        return any(ignore.ignores("/".join(parts[: n + 1])) for n in range(len(parts)))

    assert [path for path in ignored.split() if not kept_back(path)] == []
    assert [path for path in sent.split() if kept_back(path)] == []


WALKS = {
    # .dockerignore, what BuildKit sends of SMALL, what the classic builder sends
    "an exception in every folder": ("*\n!**/*.md", "a.md sub/b.md", "a.md"),
    "a wildcard in an exception": ("*\n!s*/keep", "sub/keep/c", ""),
    "an exception by name": ("*\n!sub/keep", "sub/keep/c", "sub/keep/c"),
    "an exception of all in a folder": ("*\n!sub/keep/**", "sub/keep/c", "sub/keep/c"),
    "an exception of a folder whose files are ignored": (
        "**/*\nsub/*\n!sub", "sub/b.md sub/keep/c", "sub/b.md sub/keep/c",
    ),
    "an exception of what was not ignored": ("sub/*\n!sub", "a.md", "a.md"),
}  # fmt: skip


@pytest.mark.parametrize(("ignore", "buildkit", "classic"), WALKS.values(), ids=WALKS.keys())
def test_each_builder_looks_for_exceptions_in_its_own_way(folder, ignore, buildkit, classic):
    files = {"a.md": "", "sub/b.md": "", "sub/keep/c": ""}
    root = folder({**files, ".dockerignore": ignore})
    itself = {"Dockerfile", ".dockerignore"}
    assert sent(root, buildkit=True) - itself == {*buildkit.split()}
    assert sent(root, buildkit=False) - itself == {*classic.split()}


def test_an_ignore_file_that_can_not_be_relied_on_is_refused(folder, repository):
    root = folder({"ignored": "secret", "list": "secret"})
    (root / ".dockerignore").symlink_to("list")
    with pytest.raises(BadDockerfile, match=r"\.dockerignore is a link"):
        BuildContext(root, b"FROM a\nCOPY . .")
    (root / ".dockerignore").unlink()
    (root / ".dockerignore").write_bytes(b"x" * (1024 * 1024 + 1))
    with pytest.raises(BadDockerfile, match=r"\.dockerignore is larger"):
        BuildContext(root, b"FROM a\nCOPY . .")
    (root / ".dockerignore").unlink()
    (root / "Dockerfile.dockerignore").mkdir()
    with pytest.raises(BadDockerfile, match=r"Dockerfile\.dockerignore is a link"):
        BuildContext(root, b"FROM a\nCOPY . .", buildkit=True)


@pytest.mark.parametrize(
    "pattern",
    [
        "[", "a[", "[a", "x\\", "[]", "!", "! ", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[z-a]",
        "*.pem|*.key", "\\d*", "x*{2}", "[*]",
    ],
)  # fmt: skip
def test_a_malformed_pattern_is_refused_for_it_might_keep_back_a_secret(folder, pattern):
    root = folder({".dockerignore": f"fine\n{pattern}\n"})
    with pytest.raises(BadDockerfile, match="line 2"):
        BuildContext(root, b"FROM a\nCOPY . .")


@settings(max_examples=examples(300), deadline=None)
@given(
    st.lists(
        st.sampled_from(["a", "*", "**", "/", "?", "[a-z]", "!", "\n", "..", ".", "b", "\\*", "#"]),
        max_size=15,
    ),
    st.lists(st.sampled_from(["a", "b", "ab", "c"]), min_size=1, max_size=5),
)
def test_no_folder_is_closed_before_something_that_is_to_be_sent(words, parts):
    """Whatever is not ignored lies in folders that may be entered, but behind ``**`` exceptions."""
    text = "".join(words)
    try:
        ignore = DockerIgnore(text.encode())
    except BadDockerfile:
        return
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


@settings(max_examples=examples(1500), deadline=None)
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
