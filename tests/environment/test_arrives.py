"""The plan and the copy's report: the same trees, counted alike."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from effort import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jupyter_secxops_migrate.copying.reasons import code_of
from jupyter_secxops_migrate.copying.tally import Skipped
from jupyter_secxops_migrate.copying.tree import copy_tree
from jupyter_secxops_migrate.engines.orders import SourceEnvironment
from jupyter_secxops_migrate.environment.survey import survey
from jupyter_secxops_migrate.model import NodeCapacity, ShareRequest
from jupyter_secxops_migrate.placement.policy import OneNode, ResourcePolicy
from jupyter_secxops_migrate.sharing.plan import make_plan

TB = 1024**4
KEY = f"-----BEGIN PRIVATE KEY-----\n{'A' * 64}\n-----END PRIVATE KEY-----\n"
CLEAN = "[core]\n\tbare = false\n"
TOKEN = '[remote "origin"]\n\turl = https://me:secret@example.org/x.git\n'

LOG = (
    "file",
    "main",
    "0 1 A <a@b.example> 1 +0000\tclone: from https://me:secret@example.org/x\n",
    0o644,
)
contents = st.sampled_from(
    [
        "",
        "1",
        "22",
        "x" * 5000,
        KEY,
        f"# a\n{KEY}",
        KEY + "x" * 20000,
        TOKEN,
        '"refresh_token": "s"',
        "PASSWORD=x\n",
        "index-url = https://a:b@h/x\n",
    ]
)
files = st.tuples(
    st.just("file"),
    st.sampled_from(
        [
            "a.py",
            "b",
            ".netrc",
            ".npmrc",
            "notebook_secret",
            "c.db-wal",
            "\udcff",
            "HEAD",
            "config",
            "pre-commit",
            ".env",
            "k.pem",
            "k.pem.bak",
            "token.json",
            "pip.conf",
            "packed-refs",
            "x.sample",
            ".git-credentials",
            "FETCH_HEAD",
            "index.lock",
            "core",
            ".gitmodules",
            "hooks",
        ]
    ),
    contents,
    st.sampled_from([0o644, 0o600, 0o755, 0o4755, 0o2775, 0o2664, 0o1644]),
)
others = st.tuples(
    st.sampled_from(["link", "hard", "pipe", "sqlite", "token"]),
    st.sampled_from(["l", "m", "a.py", "objects", "refs", "hooks", "HEAD"]),
) | st.tuples(
    st.just("hard"),
    st.sampled_from(
        [
            ".npmrc",
            "config",
            "-",
            "k.pem",
            "pre-commit",
            ".env",
            "b.py",
            "token.json~",
            "HEAD",
            "a~",
        ]
    ),
)
names = st.sampled_from(
    [
        "src",
        "deep",
        ".ssh",
        ".git",
        ".config",
        "lost+found",
        "hooks",
        "objects",
        "refs",
        "modules",
        "info",
        "bare.git",
        ".env",
        "logs",
    ]
)
trees = st.recursive(
    st.lists(files | others, max_size=5),
    lambda below: st.tuples(st.lists(files | others, max_size=4), st.dictionaries(names, below)),
    max_leaves=12,
)


def make(folder: Path, tree, hard: list[Path]) -> None:
    """Make a tree on disk; ``hard`` collects the files that can get a second name."""
    entries, below = tree if isinstance(tree, tuple) else (tree, {})
    for kind, name, *more in entries:
        path = folder / name
        if os.path.lexists(path):
            continue
        if kind == "file":
            content, mode = more
            path.write_text("//r/:_authToken=S" if content == "22" else content)
            path.chmod(mode)
            hard.append(path)
        elif kind == "link":
            path.symlink_to("nowhere")
        elif kind == "hard" and hard:
            os.link(hard[0], path)
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "sqlite":
            database = sqlite3.connect(path)
            database.execute("PRAGMA journal_mode=wal")
            database.execute("CREATE TABLE t (x)")
            database.commit()
            wal = Path(f"{path}-wal").read_bytes()
            database.close()
            Path(f"{path}-wal").write_bytes(wal)
        elif kind == "token" and not os.path.lexists(folder / "config"):
            (folder / "config").write_text(TOKEN if name == "l" else CLEAN)
    for name, more in below.items():
        if os.path.lexists(folder / name):
            continue
        (folder / name).mkdir()
        make(folder / name, more, hard)


def by_code(rows: Iterable[Skipped]) -> Counter[str]:
    return sum((Counter({code_of(row.reason): row.files}) for row in rows), Counter())


@settings(max_examples=examples(60), deadline=None)
@given(trees)
@example(([("file", ".npmrc", "22", 0o644)], {".git": [("hard", "l")]}))
@example(([], {".git": ([], {"hooks": ([("link", "l")], {"src": [("file", "b", "1", 0o644)]})})}))
@example(([], {"objects": [], "refs": [], "hooks": [("file", "b", "1", 0o755)]}))
@example(
    ([("link", "HEAD")], {"objects": [], "refs": [("file", "m.lock", "", 0o644)], "logs": [LOG]})
)
def test_what_the_plan_counts_is_what_the_copy_reports(tree):
    with tempfile.TemporaryDirectory() as temporary:
        root, copy = Path(temporary) / "project", Path(temporary) / "copy"
        root.mkdir()
        make(root, tree, [])
        planned = survey(root, [], None)
        copied = copy_tree(root, copy, manifest=Path(temporary) / "m", workers=1)
    assert planned.unreadable == []
    assert sum((Counter({r.code: r.files}) for r in planned.not_copied), Counter()) == by_code(
        copied.skipped
    )
    assert sum((Counter({r.code: r.files}) for r in planned.changed), Counter()) == by_code(
        copied.changed
    )
    assert planned.project.files == copied.files
    if not by_code(copied.changed)["scrubbed"] and not by_code(copied.skipped)["in_backup"]:
        assert planned.project.bytes == copied.bytes


@pytest.mark.parametrize(
    ("content", "plain", "judged", "arrives"),
    [
        ("//r/:_authToken=S", ".git/l", ".npmrc", None),
        ('"refresh_token": "s"', "-a", "token.json", None),
        (f"# how to\n{KEY}", "a.py", "b.pem", None),
        (TOKEN, "-a", ".git/config", TOKEN.replace("me:secret@", "")),
        (TOKEN, "a", ".git/config", TOKEN.replace("me:secret@", "")),
    ],
)
def test_each_name_of_one_file_is_judged_by_itself(
    folder, tmp_path, content, plain, judged, arrives
):
    root = folder({plain: content, "keep": "1"})
    os.link(root / "keep", root / "linked")
    (root / judged).parent.mkdir(exist_ok=True)
    os.link(root / plain, root / judged)

    planned = survey(root, [], None)
    copied = copy_tree(root, tmp_path / "copy", manifest=tmp_path / "m", workers=1)

    assert (tmp_path / "copy" / plain).read_text() == content
    there = tmp_path / "copy" / judged
    assert (there.read_text() if there.exists() else None) == arrives
    assert (tmp_path / "copy" / "linked").samefile(tmp_path / "copy" / "keep")
    wrong = planned.changed if arrives else planned.not_copied
    assert [(row.name, row.files) for row in wrong] == [(f"project/{judged}", 1)]
    assert by_code(copied.changed if arrives else copied.skipped).total() == 1
    assert planned.project.files == copied.files


def test_a_database_under_two_names_arrives_with_what_its_log_holds(folder, tmp_path):
    root = folder({})
    writer = sqlite3.connect(root / "data.db")
    writer.execute("PRAGMA journal_mode=wal")
    writer.execute("CREATE TABLE t (x)")
    writer.commit()
    writer.execute("INSERT INTO t VALUES (42)")
    writer.commit()
    os.link(root / "data.db", root / "a")
    copy_tree(root, tmp_path / "copy", manifest=tmp_path / "m", workers=1)
    writer.close()
    copied = sqlite3.connect(tmp_path / "copy" / "data.db")
    assert copied.execute("SELECT x FROM t").fetchall() == [(42,)]
    copied.close()


def test_one_name_that_is_kept_brings_no_other(folder, tmp_path):
    root = folder({"a.pem": KEY})
    os.link(root / "a.pem", root / "b.pem")
    assert survey(root, [], None, keep=["a.pem"]).project.files == 1
    copied = copy_tree(root, tmp_path / "copy", manifest=tmp_path / "m", workers=1, keep=["a.pem"])
    assert (copied.files, (tmp_path / "copy" / "b.pem").exists()) == (1, False)


def test_a_whole_project_of_a_group_is_counted_and_told(folder):
    """After `chmod -R g+rwXs project` every file has the bit, and every file arrives."""
    root = folder({"a.py": "1", "src/b.py": "22", "Dockerfile": "FROM a\n"})
    for path in (root, *root.rglob("*")):
        path.chmod(0o2775 if path.is_dir() else 0o2664)
    found = survey(root, [], None)
    assert (found.project.files, found.not_copied) == (3, [])
    assert {(row.name, row.code) for row in found.changed} == {
        ("project/a.py", "setuid"),
        ("project/src/b.py", "setuid"),
        ("project/Dockerfile", "setuid"),
    }


def test_rows_beyond_the_first_are_summed_up_by_their_reason(folder):
    root = folder({f"{n:03}/.netrc": "x" for n in range(60)})
    rows = survey(root, [], None).not_copied
    assert [(row.name, row.code, row.files) for row in rows[50:]] == [("…", "stored_passwords", 10)]
    assert sum(row.files or 0 for row in rows) == 60


def test_a_sparse_file_takes_the_room_that_it_has(folder):
    root = folder({"Dockerfile": "FROM a\n", "a": "1" * 4096})
    with open(root / "disk.img", "wb") as file:
        file.truncate(TB)
    for name in ("b", "c"):
        os.link(root / "a", root / name)
    found = survey(root, [], None)
    assert found.project.files == 5
    assert found.project.bytes == TB + 4096 + 7
    assert found.project.disk is not None and found.project.disk <= 2 * 4096
    node = NodeCapacity(node="n", cpu=4, memory=8 << 30, disk_available=20 << 30)
    plan = make_plan(
        ShareRequest(project=str(root)),
        found,
        SourceEnvironment(kind="host", node="n"),
        OneNode(node),
        features=frozenset(),
        bases={},
        policy=ResourcePolicy(),
        places={},
    )
    assert plan.refusals == []


def test_a_thousand_folders_in_each_other_are_counted_as_they_are_copied(tmp_path):
    root, copy = tmp_path / "project", tmp_path / "copy"
    root.mkdir()
    here = os.open(root, os.O_RDONLY)
    for _ in range(1000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=here))
    os.close(here)
    try:
        planned = survey(root, [], None)
        copied = copy_tree(root, copy, manifest=tmp_path / "m")
        assert (planned.project.files, planned.unreadable, copied.files) == (1, [], 1)
    finally:  # pytest's own removal can't
        subprocess.run(["rm", "-rf", "--", str(root), str(copy)], check=True)


@pytest.mark.root
def test_a_privilege_that_a_program_will_not_have_is_told_before(folder, tmp_path):
    root = folder({"ping": "x", "data": "y"})
    (root / "ping").chmod(0o755)
    os.setxattr(root / "ping", "security.capability", bytes.fromhex("0100000200200000" + "0" * 24))
    os.setxattr(root / "ping", "user.note", b"1")

    planned = survey(root, [], None)
    copied = copy_tree(root, tmp_path / "copy", manifest=tmp_path / "m", workers=1)

    assert [(row.name, row.code) for row in planned.changed] == [("project/ping", "attribute_lost")]
    assert {row.reason for row in copied.changed} == {row.reason for row in planned.changed}
