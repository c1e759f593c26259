"""What left and what arrived: complete, told before, or lost."""

from __future__ import annotations

import pytest

from jupyter_secxops_migrate.engines.orders import VolumeSeen
from jupyter_secxops_migrate.model import (
    CopiedItem,
    Finding,
    MigrationResult,
    NotCopiedItem,
    Plan,
    Route,
    VolumeResult,
)
from jupyter_secxops_migrate.sharing.account import (
    account,
    lost,
    told_to_leave_out,
    transient_of,
    unusable,
    with_limits,
    with_missing,
    with_warned,
)
from jupyter_secxops_migrate.sharing.errors import FilesHidden, FilesUnreadableInside

KEYS = NotCopiedItem(name=".ssh", reason="keys of its owner", code="owner_keys", files=3, bytes=900)
SOCKET = NotCopiedItem(name="run/s", reason="socket", code="socket")


def promised(
    files: int, *not_copied: NotCopiedItem, transient: int | None = None, data: int | None = None
) -> Plan:
    row = CopiedItem(
        role="code", name="dga", source="/home/jovyan/dga", files=files, transient=transient
    )
    packages = CopiedItem(role="packages", name="packages of the Dockerfile", source="Dockerfile")
    more = [] if data is None else [CopiedItem(role="data", name="d", source="/d", files=data)]
    kernels = NotCopiedItem(name="running kernels", reason="…", code="running_kernels")
    return Plan(
        name="dga",
        route=Route.STAY,
        node="lab-3",
        copied=[row, *more, packages],
        not_copied=[*not_copied, kernels],
    )


def arrived(files: int, *skipped: NotCopiedItem, **more) -> VolumeResult:
    return VolumeResult(
        role="code",
        name="v",
        mount="/work",
        files=files,
        bytes=10 * files,
        manifest="0" * 64,
        skipped=list(skipped),
        **{"source": "/home/jovyan/dga", **more},
    )


def test_what_arrived_and_what_was_left_out_is_what_left():
    stays = [KEYS, SOCKET, KEYS.model_copy(update={"name": "deep/.ssh", "files": 2, "bytes": 100})]
    found = account([arrived(5), arrived(7, *stays)])
    assert (found.files_left, found.bytes_left) == (12 + 6, 120 + 1000)
    assert [(row.name, row.code, row.files) for row in found.left_out] == [
        (".ssh", "owner_keys", 5),
        ("run/s", "socket", 1),
    ]


@pytest.mark.parametrize("code", ["in_backup", "file_system"])
def test_what_no_longer_is_a_file_of_the_source_misses_in_no_copy(code):
    row = NotCopiedItem(name="x", reason="…", code=code)
    found = account([arrived(5, row)])
    assert (found.files_left, found.left_out) == (5, [])
    assert lost(promised(6), [arrived(5, row)]) is None


def left_out(plan: Plan, volumes: list[VolumeResult], *transient: int | None):
    """What a share says that it left out, of files that no rule left out."""
    assert lost(plan, volumes, transient) is None
    rows = account(with_missing(plan, volumes, transient)).left_out
    return [(row.name, row.code, row.files) for row in rows]


def test_what_the_plan_counts_and_nothing_explains_is_left_out():
    """As of a folder that was unmounted between the plan and the copy: no row says so."""
    found = left_out(promised(5000), [arrived(10)])
    assert found == [("dga", "not_there", 4990)]
    assert account(with_missing(promised(5000), [arrived(10)])).files_left == 5000
    assert left_out(promised(5000), [arrived(5000)]) == []
    assert left_out(promised(5000), [arrived(5001)]) == []


def test_more_in_one_folder_does_not_make_up_for_what_another_lacks():
    volumes = [arrived(5), arrived(90, source="/d")]
    assert left_out(promised(5, data=95), volumes) == [("d", "not_there", 5)]
    volumes = [arrived(50), arrived(90, source="/d")]
    assert left_out(promised(5, data=95), volumes) == [("d", "not_there", 5)]


def test_what_vanished_is_left_out_like_what_was_gone_before_if_the_plan_had_it():
    """A disk that is unmounted in the middle of a copy looks like files that somebody deletes."""
    vanished = NotCopiedItem(name="tmp.csv", reason="…", code="vanished", files=3)
    assert left_out(promised(10), [arrived(7, vanished)]) == [("tmp.csv", "not_there", 3)]
    assert left_out(promised(10), [arrived(6, vanished)]) == [("tmp.csv", "not_there", 4)]


def test_what_came_after_the_plan_and_vanished_is_nobodys():
    vanished = NotCopiedItem(name="tmp.csv", reason="…", code="vanished")
    found = [arrived(10, vanished)]
    assert left_out(promised(10), found) == []
    assert account(found).files_left == 10


def test_what_vanished_makes_nothing_lost_of_what_a_rule_left_out_later():
    vanished = NotCopiedItem(name="tmp.csv", reason="…", code="vanished")
    assert lost(promised(10), [arrived(9, vanished, SOCKET)]) is None
    assert lost(promised(10), [arrived(8, vanished, SOCKET)]) is not None


@pytest.mark.parametrize(
    ("files", "transient", "missing"),
    [(1000, 990, 0), (20, 10, 0), (2000, 1991, 1), (19, 10, 1), (10, 0, 990)],
)
def test_what_git_and_jupyter_remove_by_themselves_is_no_loss_unless_all_is_gone(
    files: int, transient: int, missing: int
):
    """As `git gc` makes one pack of a thousand objects, and a commit makes new ones."""
    plan = promised(1000, transient=990)
    rows = [("dga", "not_there", missing)] if missing else []
    assert left_out(plan, [arrived(files)], transient) == rows


def test_a_database_that_was_closed_lacks_nothing():
    plan = promised(10, transient=2)  # its journal, and a checkpoint
    assert left_out(plan, [arrived(8)], 0) == []
    assert left_out(plan, [arrived(7)], 0) == [("dga", "not_there", 1)]


def test_files_of_git_that_vanish_make_up_for_no_other():
    rows = [NotCopiedItem(name=".git/index.tmp", reason="…", code="vanished")]
    plan = promised(1000, transient=990)
    assert left_out(plan, [arrived(999, *rows)], 990) == [("dga", "not_there", 1)]
    assert left_out(plan, [arrived(999, *rows)], 989) == []


def test_transient_files_of_a_manifest_are_counted(tmp_path):
    names = ["a.py", "b.git.csv", ".git/HEAD", "x/.ipynb_checkpoints/a.ipynb", "x/db-wal"]
    manifest = tmp_path / "code.b3"
    manifest.write_text("".join(f"{'0' * 64}  {name}\n" for name in names))
    assert transient_of(manifest) == 3


def test_what_arrived_changed_is_summed_up_by_its_reason():
    rows = [NotCopiedItem(name=n, reason="its bits …", code="setuid") for n in ("a", "b")]
    found = account([arrived(5, changed=rows)])
    assert [(row.name, row.files) for row in found.changed] == [("a", 2)]
    assert (found.files_left, found.left_out) == (5, [])


def test_a_pointer_that_arrives_for_a_content_counts_once_and_is_not_equal():
    row = NotCopiedItem(name="big.bin", reason="its content …", code="lfs_missing")
    found = account([arrived(5, changed=[row])])
    assert (found.files_left, found.altered, found.left_out) == (5, 1, [])


def test_what_the_plan_told_is_not_lost():
    assert lost(promised(12, KEYS, SOCKET), [arrived(12, KEYS, SOCKET)]) is None


def test_what_came_after_the_plan_was_not_promised():
    assert lost(promised(12, KEYS), [arrived(12, KEYS, SOCKET)]) is None


def test_what_was_promised_and_left_out_is_lost():
    """As files with the set-group-id bit were: counted as copied, and left out by the copy."""
    setuid = NotCopiedItem(name="run.py", reason="set-group-id file", code="setuid")
    error = lost(promised(12, KEYS), [arrived(11, KEYS, setuid)])
    assert error is not None
    assert error.params == {
        "count": 1,
        "path": "/home/jovyan/dga",
        "first": "run.py",
        "reason": "set-group-id file",
    }


def test_of_a_reason_that_the_plan_has_too_the_row_that_it_has_not_is_named():
    second = KEYS.model_copy(update={"name": "b/.ssh", "files": 1})
    told = KEYS.model_copy(update={"name": "dga/.ssh"})
    error = lost(promised(12, told), [arrived(11, KEYS, second)])
    assert error is not None and error.params["first"] == "b/.ssh"


def test_what_no_plan_can_know_is_lost_however_many_arrived():
    row = NotCopiedItem(name="model.bin", reason="was replaced …", code="replaced")
    error = lost(promised(12), [arrived(40, row)])
    assert error is not None and error.params["count"] == 1


def test_what_a_job_was_told_to_leave_out_is_named_as_in_the_plan():
    mount = NotCopiedItem(name="b", reason="left out on request", code="on_request")
    found = told_to_leave_out([KEYS, mount])
    assert [(row.name, row.code) for row in found] == [
        (".ssh", "owner_keys"),
        ("b", "other_mount"),
    ]


def test_a_record_of_an_earlier_version_has_no_account():
    """The fields came later: such a record is read, and says nothing of what it does not know."""
    old = {"volumes": [{**arrived(5).model_dump(), "changed": []}], "evidence": {"files_equal": 5}}
    del old["volumes"][0]["changed"]
    result = MigrationResult.model_validate(old)
    assert (result.evidence.files_left, result.evidence.left_out) == (0, [])
    assert result.volumes[0].changed == []


def test_what_is_hidden_or_locked_inside_ends_a_share_by_name():
    volumes = [arrived(5), arrived(7)]
    whole = VolumeSeen(9)
    assert unusable(promised(12), volumes, [whole, whole], "1000:100") is None

    over = VolumeSeen(9, hidden=2, covers=["/work/sub"], first_hidden=["sub/a", "sub/b"])
    hidden = unusable(promised(12), volumes, [whole, over], "1000:100")
    assert isinstance(hidden, FilesHidden)
    assert "2 files" in hidden.message and "mounted at /work/sub" in hidden.message
    assert hidden.params["paths"] == ["sub/a", "sub/b"]

    locked = VolumeSeen(9, unreadable=1, first_unreadable=["secret"])
    unreadable = unusable(promised(12), volumes, [locked, whole], "1000:100")
    assert isinstance(unreadable, FilesUnreadableInside)
    assert "1000:100" in unreadable.message and "secret" in unreadable.message


def test_what_can_not_be_written_any_more_is_a_change():
    seen = [VolumeSeen(9, unwritable=3, first_unwritable=["train.py"]), VolumeSeen(9)]
    found = account(with_limits([arrived(5), arrived(7)], seen))
    assert [(row.name, row.code, row.files) for row in found.changed] == [
        ("train.py", "unwritable_inside", 3)
    ]
    assert found.altered == 0


def test_what_nobody_looked_at_from_inside_is_a_change():
    """An engine of the release before can't look: that is no proof, so the copy is not green."""
    seen = [VolumeSeen(0), VolumeSeen(0)]
    found = account(with_limits([arrived(5), arrived(0)], seen))
    assert [(row.code, row.files) for row in found.changed] == [("unseen_inside", 5)]
    assert found.altered == 0


def test_what_only_root_can_read_by_its_mode_is_a_change():
    """The source's root could read it; the copy's user can't."""
    seen = [VolumeSeen(9, locked=2, first_locked=["zero", "dir/in"])]
    assert unusable(promised(5), [arrived(5)], seen, "1000:100") is None
    found = account(with_limits([arrived(5)], seen))
    assert [(row.name, row.code, row.files) for row in found.changed] == [
        ("zero", "unreadable_inside", 2)
    ]


def test_links_that_lead_nowhere_in_the_copy_are_a_change_of_their_folder():
    """As all of a model hub's snapshot, whose files are links to what was not taken along."""
    plan = promised(5, data=0)
    hub = {"source": "/d", "first": "model.bin", "count": 7}
    code = {"first": "lib", "count": 1}  # of an earlier version's plan
    plan.warnings = [
        Finding(code="links_leave_data", message="…", params=hub),
        Finding(code="links_dangle", message="…", params=code),
        Finding(code="data_moves", message="…"),
    ]
    volumes = with_warned(plan, [arrived(5), arrived(0, source="/d")])
    assert [[(row.name, row.files) for row in one.changed] for one in volumes] == [
        [("lib", 1)],
        [("model.bin", 7)],
    ]
    found = account(volumes)
    assert [(row.code, row.files) for row in found.changed] == [("links_dangle", 8)]
    assert (found.files_left, found.altered) == (5, 0)


def test_files_of_a_version_as_git_stores_them_are_not_equal():
    """The source's user had them through their filter; what arrives was never on a disk of theirs."""
    plan = promised(5)
    params = {"first": "a.sec", "count": 2, "source": "/home/jovyan/dga"}
    plan.warnings = [Finding(code="filters_not_applied", message="…", params=params)]
    found = account(with_warned(plan, [arrived(5)]))
    assert [(row.name, row.code, row.files) for row in found.changed] == [
        ("a.sec", "filters_not_applied", 2)
    ]
    assert (found.files_left, found.altered) == (5, 2)


@pytest.mark.parametrize(
    ("code", "row"),
    [
        ("git_alternates", "git_fails"),
        ("git_elsewhere", "git_fails"),
        ("unsaved_documents", "unsaved_documents"),
    ],
)
def test_what_the_copys_user_will_not_have_is_a_change(code: str, row: str):
    plan = promised(5, data=7)
    about = {"first": "x", "count": 1}
    plan.warnings = [
        Finding(code=code, message="…", params=about),
        Finding(code=code, message="…", params=about | {"source": "/d"}),
        Finding(code="venv_inside", message="…", params=about),
    ]
    code_, data = with_warned(plan, [arrived(5), arrived(7, source="/d")])
    assert [one.code for one in code_.changed] == [one.code for one in data.changed] == [row]
    assert account([code_, data]).altered == 0


def test_a_history_outside_the_project_is_told_once():
    history = NotCopiedItem(name="git history", reason="it lies outside", code="git_history")
    plan = promised(5, history)
    assert [row.code for row in with_warned(plan, [arrived(5)])[0].changed] == ["git_outside"]
    found = account(with_warned(plan, [arrived(5)]))
    assert [(row.name, row.files) for row in found.changed] == [("git history", 1)]
    worktree = {"first": "dga", "count": 1, "source": "/home/jovyan/dga"}
    plan.warnings = [Finding(code="git_elsewhere", message="…", params=worktree)]
    assert [row.code for row in with_warned(plan, [arrived(5)])[0].changed] == ["git_fails"]


def test_what_the_plan_says_can_not_be_read_is_a_change_and_no_failure():
    told = promised(12)
    other = {"source": "/data", "barred": 9, "paths": []}
    kept = {"source": arrived(12).source, "barred": 2, "paths": ["secret"]}
    told.warnings = [Finding(code="owners_kept", message="…", params=p) for p in (other, kept)]
    seen = [VolumeSeen(9, unreadable=2, first_unreadable=["secret", "secret/x"])]
    assert unusable(told, [arrived(12)], seen, "1000:100") is None
    more = [VolumeSeen(9, unreadable=3, first_unreadable=["secret", "theirs", "x"])]
    error = unusable(told, [arrived(12)], more, "1000:100")
    assert isinstance(error, FilesUnreadableInside)
    assert (error.params["count"], error.params["first"]) == (3, "theirs")
    told.warnings = [Finding(code="owners_kept", message="of an earlier version's plan")]
    assert unusable(told, [arrived(12)], more, "1000:100") is None
    assert [(row.code, row.files) for row in account(with_limits([arrived(12)], seen)).changed] == [
        ("unreadable_inside", 2)
    ]
