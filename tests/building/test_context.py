"""The build context: what is in it, and that equal projects give equal bytes."""

import io
import os
import shutil
import socket
import subprocess
import tarfile

import pytest
from blake3 import blake3
from effort import examples
from folders import fill, git
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.building import context as module
from jupyter_secxops_migrate.building.context import BuildContext
from jupyter_secxops_migrate.building.errors import BadDockerfile
from jupyter_secxops_migrate.copying.errors import FileUnreadable
from jupyter_secxops_migrate.project.errors import NoSuchVersion

ALL = b"FROM scratch\nCOPY . /x\n"


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as archive:
        found = archive.getmembers()
    assert len({m.name for m in found}) == len(found)
    return {m.name: m for m in found}


def sent(context: BuildContext) -> dict[str, tarfile.TarInfo]:
    return members(b"".join(context.chunks()))


def test_equal_projects_give_equal_bytes(tmp_path):
    made = []
    for name in ("one", "two"):
        root = fill(
            tmp_path / name,
            {"b/c": "1", "a": "2", "b.d": "3", "B": "4"}
            if name == "one"
            else {"B": "4", "b.d": "3", "a": "2", "b/c": "1"},
        )
        (root / "a").chmod(0o700 if name == "one" else 0o775)
        (root / "B").chmod(0o600 if name == "one" else 0o664)
        os.utime(root / "a", (len(name), len(name) + made.__len__()))
        context = BuildContext(root, ALL)
        made.append((b"".join(context.chunks()), context.digest, context.digests))
    assert made[0] == made[1]
    entries = members(made[0][0])
    assert {(m.uid, m.gid, m.uname, m.mtime) for m in entries.values()} == {(0, 0, "", module.TIME)}
    assert (entries["a"].mode, entries["B"].mode, entries["b"].mode) == (0o755, 0o644, 0o755)
    assert made[0][2]["b/c"] == blake3(b"1").hexdigest()


@pytest.mark.parametrize("change", ["content", "mode", "name", "link", "dockerfile"])
def test_any_change_changes_the_digest(folder, change):
    root = folder({"a": "1", "b": "2"})
    (root / "l").symlink_to("a")
    dockerfile = ALL

    def digest() -> str:
        context = BuildContext(root, dockerfile)
        for _ in context.chunks():
            pass
        return context.digest

    before = digest()
    if change == "content":
        fill(root, {"a": "3"})
    elif change == "mode":
        (root / "a").chmod(0o755)
    elif change == "name":
        (root / "a").rename(root / "c")
    elif change == "link":
        (root / "l").unlink()
        (root / "l").symlink_to("b")
    else:
        dockerfile += b"\n"
    assert digest() != before


def test_history_credentials_and_what_is_no_file_stay_out(folder):
    root = folder(
        {
            "a": "1",
            ".git/config": "x",
            "sub/.git/config": "x",
            ".ssh/id_rsa": "x",
            "sub/.ssh/id_rsa": "x",
        }
    )
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as sock:
        cwd = os.getcwd()
        os.chdir(root)
        try:
            sock.bind("socket")
        finally:
            os.chdir(cwd)
        assert set(sent(BuildContext(root, ALL))) == {"Dockerfile", "a", "sub"}


def test_a_link_is_a_link_wherever_it_points(folder):
    root = folder({"a": "1"})
    (root / "shadow").symlink_to("/etc/shadow")
    (root / "etc").symlink_to("/etc")
    found = sent(BuildContext(root, ALL))
    assert {(n, m.linkname) for n, m in found.items() if m.issym()} == {
        ("shadow", "/etc/shadow"),
        ("etc", "/etc"),
    }
    assert not any(name.startswith("etc/") for name in found)


def test_the_dockerfile_given_goes_before_the_folders(folder):
    root = folder({"Dockerfile": "FROM other", "e": "folder's"})
    context = BuildContext(root, ALL, extra={"e": b"extra", "ca.crt": b"PEM"})
    assert set(sent(context)) == {"Dockerfile", "e", "ca.crt"}
    assert context.digests == {
        "Dockerfile": blake3(ALL).hexdigest(),
        "e": blake3(b"extra").hexdigest(),
        "ca.crt": blake3(b"PEM").hexdigest(),
    }


def test_buildkits_own_ignore_file_counts_only_there(folder):
    root = folder({"a": "", "b": "", "Dockerfile.dockerignore": "a", ".dockerignore": "b"})
    assert {"a", "b"} & set(sent(BuildContext(root, ALL))) == {"a"}
    assert {"a", "b"} & set(sent(BuildContext(root, ALL, buildkit=True))) == {"b"}


@pytest.mark.parametrize("path", ["docker/Dockerfile", "Dockerfile.gpu"])
@pytest.mark.parametrize("way", ["folder", "commit", "archive"])
def test_the_ignore_file_is_that_of_the_dockerfile_that_was_chosen(folder, path, way):
    files = {"a": "", "b": "", "c": "", "Dockerfile": "FROM other", path: ALL.decode()}
    ignores = {f"{path}.dockerignore": "a", "Dockerfile.dockerignore": "b", ".dockerignore": "c"}
    root = folder({**files, **ignores})

    commit = None
    if way == "commit":
        git(root, "init", "-q")
        git(root, "add", ".")
        git(root, "commit", "-q", "-m", "1")
        commit = git(root, "rev-parse", "HEAD").strip()

    def context(buildkit: bool) -> BuildContext:
        if way != "archive":
            return BuildContext(root, ALL, commit, buildkit=buildkit, path=path)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(root, ".")
        return BuildContext.from_tar(iter([packed.getvalue()]), ALL, buildkit=buildkit, path=path)

    made = context(buildkit=True)
    names = set(sent(made))
    assert {"a", "b", "c"} & names == {"b", "c"}
    # The name by which BuildKit looks for it; what is compared with the copy is the project's own.
    assert "Dockerfile.dockerignore" in names
    assert made.digests[f"{path}.dockerignore"] == blake3(b"a").hexdigest()
    assert made.digests[path] == blake3(ALL).hexdigest()
    assert not {"Dockerfile", "Dockerfile.dockerignore"} & set(made.digests)
    assert {"a", "b", "c"} & set(sent(context(buildkit=False))) == {"a", "b"}


def test_another_dockerfiles_ignore_file_has_no_say(folder):
    root = folder(
        {"a": "", "b": "", "Dockerfile.dockerignore": "a", ".dockerignore": "b", "d/Dockerfile": ""}
    )
    made = set(sent(BuildContext(root, ALL, buildkit=True, path="d/Dockerfile")))
    assert {"a", "b", "Dockerfile.dockerignore"} & made == {"a"}


def test_an_ignore_file_to_which_a_link_leads_is_refused(folder):
    root = folder({"there/Dockerfile.dockerignore": "a", "a": ""})
    (root / "docker").symlink_to("there")
    with pytest.raises(BadDockerfile, match=r"docker/Dockerfile\.dockerignore is a link"):
        BuildContext(root, ALL, buildkit=True, path="docker/Dockerfile")


def test_everything_can_be_asked_for(folder):
    root = folder({"a": "", "b": ""})
    assert set(sent(BuildContext(root, b"FROM a\nCOPY a /", everything=True))) == {
        "Dockerfile",
        "a",
        "b",
    }


@pytest.mark.parametrize("after", [0, 1, 400_000, 999_999, 1_000_001, 3_000_000])
def test_a_file_that_changes_its_size_while_it_is_read_does_not_break_the_archive(folder, after):
    root = folder({"big": b"x" * 1_000_000, "c": "last"})
    chunks = BuildContext(root, ALL).chunks()
    data = b""
    for chunk in chunks:
        data += chunk
        if data.count(b"x") > 1000:
            os.truncate(root / "big", after)
            break
    data += b"".join(chunks)
    found = members(data)
    assert found["big"].size == 1_000_000
    assert set(found) == {"Dockerfile", "big", "c"}


def test_files_that_vanish_or_become_links_meanwhile_are_left_out(folder):
    root = folder({"a": "1", "b": "2", "c": "3", "z": "4"})
    chunks = BuildContext(root, ALL).chunks()
    data = next(chunks)
    (root / "b").unlink()
    (root / "c").unlink()
    (root / "c").symlink_to("/etc/passwd")
    found = members(data + b"".join(chunks))
    assert set(found) <= {"Dockerfile", "a", "c", "z"}
    assert b"root:" not in data


def test_an_unreadable_file_is_named(nobodys_folder):
    root = nobodys_folder({"a": "1", "b/c": "2"})
    (root / "a").chmod(0)
    with pytest.raises(FileUnreadable) as caught:
        sent(BuildContext(root, ALL))
    assert caught.value.params["first"] == "a"
    (root / "a").chmod(0o600)
    (root / "b").chmod(0)
    with pytest.raises(FileUnreadable) as caught:
        sent(BuildContext(root, ALL))
    assert caught.value.params["first"] == "b"
    assert set(sent(BuildContext(root, b"FROM a\nCOPY a /x"))) == {"Dockerfile", "a"}
    (root / "b").chmod(0o700)


def test_descriptors_are_closed_when_nobody_reads_on(folder):
    root = folder({f"d{i}/e/f": "x" * 1000 for i in range(20)})
    before = len(os.listdir("/proc/self/fd"))
    for stop in range(1, 30):
        chunks = BuildContext(root, ALL).chunks()
        for _ in range(stop):
            next(chunks, None)
        chunks.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_commit_gives_its_own_files_and_its_own_ignore_file(repository):
    root = repository(
        {
            "a": "old",
            "sub/b": "b",
            "x.log": "",
            ".dockerignore": "*.log",
            "run.sh": "",
            ".ssh/id_rsa": "x",
        }
    )
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("a")
    git(root, "add", "-A", ".")
    git(root, "commit", "-qm", "second")
    commit = git(root, "rev-parse", "HEAD")
    committed = BuildContext(root, ALL, commit)
    now = BuildContext(root, ALL)
    assert b"".join(committed.chunks()) == b"".join(now.chunks())
    assert committed.digest == now.digest
    fill(root, {"a": "new", "untracked": "", ".dockerignore": ""})
    assert committed.digests["a"] == blake3(b"old").hexdigest()
    again = BuildContext(root, ALL, commit)
    assert set(sent(again)) == {
        "Dockerfile",
        ".dockerignore",
        "a",
        "link",
        "run.sh",
        "sub",
        "sub/b",
    }
    assert again.digest == committed.digest


def test_a_commit_that_is_not_there_is_refused(repository):
    root = repository({"a": "1"})
    for commit in ("0" * 40, git(root, "rev-parse", "HEAD:a"), "zz"):
        with pytest.raises(NoSuchVersion):
            BuildContext(root, ALL, commit)


def test_names_of_a_hostile_commit_lead_nowhere(repository):
    root = repository({"a": "1"})
    blob = git(root, "rev-parse", "HEAD:a")
    trees = [
        f"100644 blob {blob}\t..\0",
        f"100644 blob {blob}\t.git\0",
        f"100644 blob {blob}\tfine\0",
    ]
    raw = b"".join(
        b"100644 " + name + b"\0" + bytes.fromhex(blob)
        for name in (b"..", b".git", b"a/../../b", b"fine")
    )
    assert trees
    tree = (
        subprocess.run(
            ["git", "hash-object", "-t", "tree", "-w", "--stdin", "--literally"],
            cwd=root,
            input=raw,
            capture_output=True,
            check=True,
        )
        .stdout.decode()
        .strip()
    )
    commit = git(root, "commit-tree", "-m", "evil", tree)
    assert set(sent(BuildContext(root, ALL, commit))) == {"Dockerfile", "fine"}


def tar_of(root) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(root, ".")
    return buffer.getvalue()


def test_the_copys_archive_gives_the_same_context(folder):
    root = folder(
        {
            "a": "1",
            "sub/b": "22",
            "sub/x.log": "",
            "big": b"y" * 700_000,
            ".dockerignore": "**/*.log",
            ".git/x": "",
            "e": "",
        }
    )
    (root / "link").symlink_to("sub/b")
    os.link(root / "a", root / "sub" / "hard")
    (root / "e").chmod(0o755)
    now = BuildContext(root, ALL)
    expected = b"".join(now.chunks())
    data = tar_of(root)
    for source in (
        iter([data]),
        lambda: iter([data]),
        (data[i : i + 1000] for i in range(0, len(data), 1000)),
    ):
        copied = BuildContext.from_tar(source, ALL)
        assert b"".join(copied.chunks()) == expected
        assert b"".join(copied.chunks()) == expected
        assert (copied.digest, copied.digests) == (now.digest, now.digests)


def test_an_archive_without_folders_or_with_names_that_lead_out_is_read_safely():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("./a/b/c", "/etc/passwd", "../x", "a/../../y", ".ssh/id"):
            info = tarfile.TarInfo(name)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"1"))
    assert set(sent(BuildContext.from_tar(iter([buffer.getvalue()]), ALL))) == {
        "Dockerfile",
        "a",
        "a/b",
        "a/b/c",
    }


@pytest.mark.parametrize("cut", [100, 600, 2000])
def test_an_archive_that_ends_early_is_an_error(folder, cut):
    data = tar_of(folder({"a": "1" * 5000}))
    with pytest.raises(errors.EngineFailed):
        BuildContext.from_tar(iter([data[:cut]]), ALL)


NAME = st.binary(min_size=1, max_size=30).filter(
    lambda b: b"/" not in b and b"\0" not in b and b not in (b".", b"..")
)


@settings(max_examples=examples(60), deadline=None)
@given(st.dictionaries(NAME, st.binary(max_size=2000), max_size=8))
def test_any_names_and_contents_arrive_as_they_are(tmp_path_factory, files):
    root = tmp_path_factory.mktemp("any")
    for name, content in files.items():
        if name.lower() not in (b"dockerfile", b".dockerignore"):
            with open(os.fsencode(root) + b"/" + name, "wb") as file:
                file.write(content)
    context = BuildContext(root, ALL)
    data = b"".join(context.chunks())
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as archive:
        for member in archive:
            assert (
                blake3(archive.extractfile(member).read()).hexdigest()
                == context.digests[member.name]
            )
    shutil.rmtree(root)


def test_a_name_of_hundreds_of_bytes_and_a_deep_tree_arrive(folder):
    deep = "/".join(["d" * 100] * 8)
    root = folder({f"{deep}/{'n' * 250}": "x"})
    assert f"{deep}/{'n' * 250}" in sent(BuildContext(root, ALL))


@pytest.mark.docker
def test_the_engine_reads_it_and_its_layer_cache_holds(folder):
    """Names that are no UTF-8, and a second build of a touched but equal project."""
    docker = pytest.importorskip("docker")
    try:
        client = docker.APIClient(timeout=60)
        client.ping()
    except docker.errors.DockerException:
        pytest.skip("no Docker engine")
    root = folder({"a b/c\nd": "1", "run.sh": "x"})
    with open(os.fsencode(root) + b"/\xff\xfe", "wb") as file:
        file.write(b"2")
    (root / "link").symlink_to("/etc/shadow")

    def build() -> str:
        data = b"".join(BuildContext(root, ALL).chunks())
        lines = list(
            client.build(fileobj=io.BytesIO(data), custom_context=True, decode=True, rm=True)
        )
        assert not [line for line in lines if "error" in line], lines
        return next(line["aux"]["ID"] for line in lines if "aux" in line)

    image = build()
    try:
        os.utime(root / "run.sh", (1, 1))
        os.chmod(root / "run.sh", 0o640)
        assert build() == image
        container = client.create_container(image, "none")["Id"]
        try:
            stream, _ = client.get_archive(container, "/x")
            names = {os.fsencode(name) for name in members(b"".join(stream))}
        finally:
            client.remove_container(container)
    finally:
        client.remove_image(image, noprune=False)
        client.close()
    assert {b"x/a b/c\nd", b"x/\xff\xfe", b"x/link"} <= names


def test_a_settings_file_stays_out_only_with_a_token_in_it(folder, repository):
    harmless = {
        "pip.conf": "[global]\nindex-url = https://example.org/simple\n",
        ".npmrc": "save-exact=true",
    }
    secret = {
        "sub/pip.conf": "[global]\nindex-url = https://me:token@example.org/simple\n",
        "sub/.npmrc": "//x/:_authToken=1",
    }
    root = folder({**harmless, **secret})
    expected = {"Dockerfile", "sub", *harmless}
    assert set(sent(BuildContext(root, ALL))) == expected
    assert set(sent(BuildContext.from_tar(iter([tar_of(root)]), ALL))) == expected
    committed = repository({**harmless, **secret})
    assert set(sent(BuildContext(committed, ALL, git(committed, "rev-parse", "HEAD")))) == expected
