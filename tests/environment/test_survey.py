"""What would travel, counted."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from folders import fill, git

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.building.errors import BadDockerfile
from jupyter_secxops_migrate.environment.build_input import is_environment_file
from jupyter_secxops_migrate.environment.survey import survey
from jupyter_secxops_migrate.project.errors import DataOutsidePolicy, NoSuchVersion
from jupyter_secxops_migrate.project.version import project_version


def test_code_and_data_are_counted_apart(folder, tmp_path):
    root = folder({"a.py": "123", "sub/b.py": "4567", "data/x.csv": "x" * 100, "data/more/y": "y"})
    outside = fill(tmp_path / "domains", {"1": "12", "2/3": "345"})
    found = survey(root, [root / "data", outside], None)
    assert (found.project.path, found.project.name) == (str(root), "project")
    assert (found.project.files, found.project.bytes) == (2, 7)
    assert [(d.path, d.name, d.files, d.bytes) for d in found.data] == [
        (str(root / "data"), "data", 2, 101),
        (str(outside), "domains", 2, 5),
    ]
    assert found.inside == {str(root / "data"): "data"}
    assert found.owner == (root.stat().st_uid, root.stat().st_gid)


def test_data_that_was_not_ticked_is_code(folder):
    root = folder({"a.py": "123", "data/x.csv": "x" * 100})
    assert survey(root, [], None).project.bytes == 103


def test_equal_names_are_numbered_in_the_order_asked_for(folder, tmp_path):
    root = folder({"domains/x": ""})
    for name in ("a", "b"):
        (tmp_path / name / "domains").mkdir(parents=True)
    asked = [tmp_path / "b" / "domains", root / "domains", tmp_path / "a" / "domains"]
    assert [d.name for d in survey(root, asked, None).data] == ["domains", "domains-2", "domains-3"]


def test_numbering_does_not_take_a_name_that_is_there(tmp_path, folder):
    root = folder({})
    asked = [tmp_path / "a" / "d-2", tmp_path / "a" / "d", tmp_path / "b" / "d"]
    for path in asked:
        path.mkdir(parents=True)
    assert [d.name for d in survey(root, asked, None).data] == ["d-2", "d", "d-3"]


@pytest.mark.parametrize(
    "data",
    [["."], [".."], ["a", "a"], ["a", "a/b"], ["a/b", "a"], ["link", "a"], ["/"]],
)
def test_folders_that_hold_each_other_are_refused(folder, data):
    root = folder({"a/b/c": ""})
    (root / "link").symlink_to("a/b")
    with pytest.raises(errors.InvalidRequest):
        survey(root, [root / name for name in data], None)


def test_absent_folders_are_refused(folder, tmp_path):
    root = folder({"file": ""})
    for data in (tmp_path / "absent", root / "file"):
        with pytest.raises(errors.NoSuchPath):
            survey(root, [data], None)
    with pytest.raises(errors.NoSuchPath):
        survey(tmp_path / "absent", [], None)


def test_what_stays_behind_is_named(folder):
    root = folder({"a": "1", ".ssh/id_rsa": "secret", ".ssh/config": "x"})
    os.mkfifo(root / "pipe")
    found = survey(root, [], None)
    assert found.project.files == 1
    rows = {row.name: row for row in found.not_copied}
    assert set(rows) == {"project/.ssh", "project/pipe"}
    assert (rows["project/.ssh"].files, rows["project/.ssh"].bytes) == (2, 7)
    assert (rows["project/pipe"].files, rows["project/pipe"].code) == (1, "named_pipe")


def test_names_that_are_not_utf_8_can_be_shown_as_json(folder):
    root = folder({"Dockerfile": "FROM a\nCOPY . /x\n"})
    os.mkfifo(os.fsencode(root) + b"/\xff")
    with open(os.fsencode(root) + b"/\xfe\n", "wb") as file:
        file.write(b"1")
    found = survey(root, [], None)
    shown = json.dumps([[r.name for r in found.not_copied], [list(b.paths) for b in found.baked]])
    assert "\\\\xff" in shown
    assert "\\\\xfe" in shown
    shown.encode("utf-8")


def test_the_dockerfile_and_what_it_bakes_in(folder):
    root = folder(
        {
            "Dockerfile": "FROM a\nCOPY requirements.txt install.sh /x/\nCOPY src data /y/\nADD . /z\nCOPY $W /w\n",
            "requirements.txt": "x",
            "install.sh": "x",
            "src/a.py": "12",
            "src/environment.yml": "x",
            "data/d.csv": "345",
            "big.sh": "x" * 2_000_000,
            "notes.ignored": "x" * 50,
            ".dockerignore": "*.ignored\n",
        }
    )
    found = survey(root, [], None)
    assert found.dockerfile is not None
    assert found.dockerfile_error is None
    assert [(b.line, b.files, b.bytes) for b in found.baked] == [(3, 2, 5), (4, 3, 2_000_005)]
    assert set(found.baked[0].paths) == {"src/a.py", "data/d.csv"}


def test_only_an_environment_is_baked_in_by_a_good_dockerfile(folder):
    root = folder(
        {
            "Dockerfile": "FROM a\nCOPY requirements.txt /x/\n",
            "requirements.txt": "x",
            "big": "x" * 10**6,
        }
    )
    found = survey(root, [], None)
    assert found.baked == []
    assert found.context_bytes < 1000


@pytest.mark.parametrize(
    ("path", "size", "expected"),
    [
        ("requirements-dev.txt", 10, True),
        ("sub/constraints.txt", 10, True),
        ("poetry.lock", 900_000, True),
        ("poetry.lock", 2_000_000, False),
        ("environment.yaml", 1, True),
        ("package-lock.json", 1, True),
        ("apt.txt", 1, True),
        ("main.py", 1, False),
        ("data.json", 1, False),
        ("requirements.txt/data.csv", 1, False),
    ],
)
def test_environment_files(path, size, expected):
    assert is_environment_file(path, size) is expected


def test_no_dockerfile_and_a_bad_one_are_told_apart(folder):
    root = folder({"a": ""})
    found = survey(root, [], None)
    assert (found.dockerfile, found.dockerfile_error) == (None, None)
    fill(root, {"Dockerfile": "FROM a\nFOO\n"})
    found = survey(root, [], None)
    assert found.dockerfile is None
    assert isinstance(found.dockerfile_error, BadDockerfile)
    assert found.dockerfile_error.params["line"] == 2
    assert found.project.files == 2


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_a_dockerfile_that_is_no_plain_file_is_not_read(folder, tmp_path, kind):
    root = folder({})
    path = root / "Dockerfile"
    if kind == "link":
        fill(tmp_path, {"secret": "FROM secret"})
        path.symlink_to(tmp_path / "secret")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    found = survey(root, [], None)
    assert found.dockerfile is None
    assert isinstance(found.dockerfile_error, BadDockerfile)


def test_a_version_is_surveyed_from_its_commit(repository):
    root = repository(
        {
            "Dockerfile": "FROM old\nCOPY a /x\n",
            "a": "1",
            "sub/b": "22",
            ".ssh/id": "x",
            "data/d": "3",
        }
    )
    first = git(root, "rev-parse", "HEAD")
    git(root, "tag", "v1")
    fill(root, {"Dockerfile": "FROM new\n", "a": "changed", "data/d": "4444", "data/e": "5"})
    git(root, "commit", "-qam", "second")
    found = survey(root, [root / "data"], "v1")
    assert found.commit == first
    assert (found.version.commit, found.version.branch, found.version.dirty_count) == (
        first,
        "v1",
        0,
    )
    assert found.dockerfile is not None
    assert found.dockerfile.bases() == ["old"]
    of_git = [path for path in (root / ".git").rglob("*") if path.is_file()]
    assert found.project.files == 3 + len(of_git)
    assert (found.data[0].files, found.data[0].bytes) == (2, 5)
    assert [(b.line, b.files) for b in found.baked] == [(2, 1)]
    assert [row.name for row in found.not_copied] == ["repository/.ssh"]


def test_an_unknown_version_is_refused(repository, folder):
    with pytest.raises(NoSuchVersion):
        survey(repository({"a": ""}), [], "--upload-pack=touch x")
    with pytest.raises(NoSuchVersion):
        survey(folder({"a": ""}), [], "main")


def test_history_that_lies_elsewhere_is_named(repository):
    root = repository({"sub/a": "1"})
    assert [row.name for row in survey(root / "sub", [], None).not_copied] == ["git history"]
    assert survey(root, [], None).not_copied == []


def test_the_home_folder_is_noticed(folder, monkeypatch):
    root = folder({"a": ""})
    assert not survey(root, [], None).whole_home
    monkeypatch.setenv("HOME", str(root))
    assert survey(root, [], None).whole_home


def test_twenty_thousand_files_are_surveyed_quickly(folder):
    root = folder(
        {"Dockerfile": "FROM a\nCOPY . /x\n", ".dockerignore": "**/*.pyc\n*.log\nbuild\n"}
    )
    for i in range(100):
        (root / f"d{i}").mkdir()
        for j in range(200):
            os.close(os.open(root / f"d{i}" / f"f{j}", os.O_CREAT | os.O_WRONLY))
    seen: list[int] = []
    start = time.process_time()
    found = survey(root, [], None, progress=seen.append)
    assert found.project.files == 20_002
    assert found.baked[0].files == 20_000
    assert seen == list(range(1000, 21000, 1000))
    # Processor time, and three times what two slow cores need: a busy machine must not fail it.
    assert time.process_time() - start < 3


def test_a_settings_file_with_a_token_stays_behind(repository):
    root = repository(
        {
            "pip.conf": "index-url = https://me:token@example.org/simple\n",
            "sub/pip.conf": "no-cache-dir = true\n",
        }
    )
    fill(root, {"sub/pip.conf": "index-url = https://you:token@example.org/simple\n"})
    now, committed = survey(root, [], None), survey(root, [], "main")
    assert [row.name for row in now.not_copied] == [
        "repository/pip.conf",
        "repository/sub/pip.conf",
    ]
    assert [row.name for row in committed.not_copied] == ["repository/pip.conf"]
    assert now.project.files == committed.project.files - 1


def test_unreadable_files_and_folders_are_named(nobodys_folder):
    root = nobodys_folder({"Dockerfile": "FROM a", "a": "1", "b/c": "2", "d": "3"})
    (root / "a").chmod(0)
    (root / "b").chmod(0)
    found = survey(root, [], None)
    (root / "b").chmod(0o700)
    assert found.unreadable == [str(root / "a"), str(root / "b")]
    with pytest.raises(errors.NoSuchPath):
        (root / "b").chmod(0)
        survey(root, [root / "b"], None)
    (root / "b").chmod(0o700)


@pytest.mark.timeout(60)
def test_a_tree_deeper_than_any_path_is_counted(tmp_path):
    root = tmp_path / "deep"
    root.mkdir()
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open("at the end", os.O_WRONLY | os.O_CREAT, dir_fd=descriptor))
    os.close(descriptor)
    try:
        found = survey(root, [], None)
        assert (found.project.files, found.unreadable) == (1, [])
        assert project_version(root).commit is None
    finally:  # pytest's own removal can't
        subprocess.run(["rm", "-rf", "--", str(root)], check=True)


def test_what_other_mounts_hide_is_named_and_not_counted(folder, tmp_path):
    root = folder({"a.py": "123", "data/x.csv": "xx", "net/y": "y", "conf.ini": "z"})
    outside = fill(tmp_path / "domains", {"1": "12", "sub/2": "345"})
    covered = {str(root): ["data", "net", "conf.ini"], str(outside): ["sub"]}

    found = survey(root, [root / "data", outside], None, covered=covered)

    assert (found.project.files, found.project.bytes) == (1, 3)
    assert [d.files for d in found.data] == [1, 1]
    assert found.elsewhere == {
        str(root): ["net", "conf.ini"],
        str(root / "data"): [],
        str(outside): ["sub"],
    }
    named = [row.name for row in found.not_copied if "mount" in row.reason]
    assert named == [str(root / "net"), str(root / "conf.ini"), str(outside / "sub")]


def test_data_given_as_a_link_keeps_the_links_place(folder, tmp_path):
    root = folder({"a.py": "", "kept/x": ""})
    sets = fill(tmp_path / "mnt" / "2024-11", {"x.csv": "1"})
    (root / "data").symlink_to(sets)
    (root / "alias").symlink_to("kept")
    (tmp_path / "latest").symlink_to(sets)

    found = survey(root, [root / "data", root / "alias"], None)
    assert found.inside == {str(sets): "data", str(root / "kept"): "kept"}
    assert found.links_given == {str(sets): str(root / "data")}
    assert [row.name for row in found.data] == ["data", "kept"]

    found = survey(root, [tmp_path / "latest"], None)
    assert found.links_given == {str(sets): str(tmp_path / "latest")}
    assert (found.inside, found.data[0].name) == ({}, "latest")


def test_links_that_lead_out_of_their_folder_are_found_with_their_way(folder, tmp_path):
    root = folder({"src/a.py": "", "real/x": ""})
    out = fill(tmp_path / "out", {"big/x.bin": "1", "big/y.bin": "2"})
    for name, target in {
        "absolute": out / "big",
        "own": root / "real",
        "src/x": "../../out/big/x.bin",
        "src/y": "../../out/big/y.bin",
        "chain": "src/x",
        "inside": "src/../real/x",
        "broken": "/nowhere/at/all",
        "loop": "loop",
        "python": "/usr/bin/env",
        "roundabout": f"../{root.name}/real",
    }.items():
        (root / name).symlink_to(target)

    found = survey(root, [], None).links_out
    assert sorted((row.way, row.target, row.count, row.paths, row.whole) for row in found) == [
        ("../out/big", f"{out}/big", 3, ("chain", "src/x", "src/y"), False),
        (f"../{root.name}/real", f"{root}/real", 1, ("roundabout",), True),
        (f"{out}/big", f"{out}/big", 1, ("absolute",), True),
        (f"{root}/real", f"{root}/real", 1, ("own",), True),
    ]


@pytest.mark.parametrize(("deep", "places", "rows"), [("", 300, 201), ("/d", 450, 401)])
def test_links_to_very_many_places_are_all_counted(folder, tmp_path, deep, places, rows):
    root = folder({"a.py": ""})
    for number in range(places):
        fill(tmp_path / "outside", {f"{number}{deep}/x": ""})
        (root / f"link{number}").symlink_to(f"../outside/{number}{deep}/x")
    found = survey(root, [], None).links_out
    assert (sum(row.count for row in found), len(found)) == (places, rows)


def test_a_model_hubs_snapshot_leads_to_its_blobs(folder, tmp_path):
    hub = fill(tmp_path / "models--x", {"blobs/1": "1", "blobs/2": "2", "snapshots/f00/dir/x": ""})
    (hub / "snapshots/f00/config.json").symlink_to("../../blobs/1")
    (hub / "snapshots/f00/dir/model.bin").symlink_to("../../../blobs/2")
    (row,) = survey(folder({}), [hub / "snapshots/f00"], None).links_out
    assert (row.way, row.target, row.count) == ("../../blobs", str(hub / "blobs"), 2)
    assert survey(folder({}), [hub], None).links_out == ()


@pytest.mark.parametrize(
    "path",
    ["/", "/proc", "/proc/self/root", "/sys", "/etc", "/usr", "/usr/lib", "/var/lib/dpkg", "/dev/shm", "/home", "/tmp"],
)  # fmt: skip
def test_folders_of_the_system_are_refused_before_anything_is_walked(folder, tmp_path, path):
    (tmp_path / "link").symlink_to(path)
    began = time.monotonic()
    for given in (path, tmp_path / "link"):
        for project, data in ((given, []), (folder({}), [given])):
            with pytest.raises((DataOutsidePolicy, errors.InvalidRequest)):
                survey(Path(project), [Path(row) for row in data], None)
    assert time.monotonic() - began < 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_belongs_to_others_is_counted_with_what_the_owner_may_not_use(folder):
    root = folder({"mine": "", "theirs": "", "shared": "", "secret": "", "saved/by-root.ipynb": ""})
    for name, owner, mode in [
        (".", (1000, 1000), 0o755),
        ("mine", (1000, 1000), 0o600),
        ("theirs", (33, 33), 0o644),
        ("shared", (33, 1000), 0o660),
        ("secret", (33, 33), 0o600),
        ("saved", (0, 0), 0o755),
        ("saved/by-root.ipynb", (0, 0), 0o644),
    ]:
        os.chown(root / name, *owner)
        (root / name).chmod(mode)
    (found,) = survey(root, [], None).others.values()
    assert (found.count, found.closed, found.barred) == (5, 4, 1)
    assert found.paths == ("saved", "saved/by-root.ipynb", "secret", "theirs", "shared")
    # Whoever owns what lies below a folder that can't be entered, nobody else gets there.
    (root / "saved").chmod(0o744)
    os.chown(root / "saved/by-root.ipynb", 1000, 1000)
    (root / "saved/link").symlink_to("by-root.ipynb")
    (found,) = survey(root, [], None).others.values()
    assert found.barred == 4


@pytest.mark.parametrize("committed", [False, True])
def test_a_dockerfile_of_another_tool_is_offered_and_used_where_it_is_named(folder, committed):
    text = "FROM base\nCOPY code.py /\n"
    devcontainer = '{ // a comment\n "build": {"dockerfile": "../ops/lab.Dockerfile"},\n}'
    root = folder(
        {
            "code.py": "1",
            "binder/Dockerfile": text,
            "docker/Dockerfile": text,
            ".devcontainer/devcontainer.json": devcontainer,
            ".devcontainer.json": '{"dockerFile": "../outside/Dockerfile"}',
            "ops/lab.Dockerfile": text,
        }
    )
    version = None
    if committed:
        git(root, "init", "-q")
        git(root, "add", ".")
        git(root, "commit", "-qm", "one")
        version = "HEAD"
    found = survey(root, [], version)
    assert found.dockerfile is None and found.dockerfile_error is None
    others = ["ops/lab.Dockerfile", "binder/Dockerfile", "docker/Dockerfile"]
    assert list(found.dockerfiles_elsewhere) == others
    chosen = survey(root, [], version, dockerfile_path=others[0])
    assert chosen.dockerfile is not None and chosen.dockerfile.bases() == ["base"]
    assert (chosen.dockerfile_path, chosen.dockerfiles_elsewhere) == (others[0], ())
    assert [list(row.paths) for row in chosen.baked] == [["code.py"]]


def test_no_link_leads_to_a_dockerfile_outside(folder, tmp_path):
    fill(tmp_path / "else", {"Dockerfile": "FROM base\n"})
    root = folder({"a": ""})
    (root / "binder").symlink_to(tmp_path / "else")
    assert not survey(root, [], None).dockerfiles_elsewhere
    found = survey(root, [], None, dockerfile_path="binder/Dockerfile")
    assert isinstance(found.dockerfile_error, BadDockerfile)
