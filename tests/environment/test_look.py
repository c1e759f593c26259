"""A look from beside the project says the same as one from within."""

import json
import os
import subprocess
import sys

import pytest
from folders import fill
from hypothesis import given
from hypothesis import strategies as st

from jupyter_secxops_migrate.building.dockerfile import parse
from jupyter_secxops_migrate.building.errors import BadDockerfile
from jupyter_secxops_migrate.copying.errors import FileUnreadable
from jupyter_secxops_migrate.copying.job import FOUND
from jupyter_secxops_migrate.environment.build_input import Baked
from jupyter_secxops_migrate.environment.look import as_json, covered, survey_of
from jupyter_secxops_migrate.environment.survey import Survey, survey
from jupyter_secxops_migrate.model import Folder, NotCopiedItem, ProjectVersion


def plain(found):
    """A survey with its error as what it says: two errors are never equal."""
    error = found.dockerfile_error
    return {**vars(found), "dockerfile_error": None if error is None else error.as_dict()}


names = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=20)
sizes = st.integers(0, 2**60)
folders = st.builds(Folder, path=names, name=names, files=sizes, bytes=sizes)
dockerfiles = st.sampled_from(
    [b"FROM x\n", b"\xef\xbb\xbfARG V=1\nFROM x:$V\nCOPY . \xff\n", b"FROM a\r\nRUN <<E\nz\nE\n"]
)
failures = st.one_of(
    st.builds(lambda reason, line: BadDockerfile(reason=reason, line=line), names, sizes),
    st.builds(lambda path: FileUnreadable(count=1, path=path, first=path), names),
)
surveys = st.builds(
    Survey,
    project=folders,
    data=st.lists(folders, max_size=3),
    version=st.builds(ProjectVersion, commit=names | st.none(), dirty_files=st.lists(names)),
    commit=names | st.none(),
    dockerfile=dockerfiles.map(parse) | st.none(),
    dockerfile_error=failures | st.none(),
    baked=st.lists(st.builds(Baked, sizes, sizes, sizes, st.lists(names).map(tuple)), max_size=3),
    context_bytes=sizes,
    not_copied=st.lists(st.builds(NotCopiedItem, name=names, reason=names, code=names), max_size=3),
    changed=st.lists(st.builds(NotCopiedItem, name=names, reason=names, code=names), max_size=3),
    unreadable=st.lists(names, max_size=3),
    inside=st.dictionaries(names, names, max_size=3),
    elsewhere=st.dictionaries(names, st.lists(names), max_size=3),
    owner=st.tuples(sizes, sizes),
    whole_home=st.booleans(),
)


@given(surveys)
def test_a_survey_survives_the_way_through_json(found):
    assert plain(survey_of(json.loads(json.dumps(as_json(found))))) == plain(found)


def test_the_dockerfile_is_read_with_the_same_arguments():
    found = Survey(
        Folder(path="/p", name="p"),
        [],
        ProjectVersion(),
        dockerfile=parse(b"ARG V=1\nFROM x:$V\n", {"V": "2"}),
    )
    assert survey_of(as_json(found), {"V": "2"}).dockerfile == found.dockerfile


def test_a_dockerfile_that_another_version_could_read_is_refused_here():
    found = Survey(Folder(path="/p", name="p"), [], ProjectVersion(), dockerfile=parse(b"FROM x\n"))
    said = {**as_json(found), "dockerfile": "bm9uc2Vuc2U="}
    assert survey_of(said).dockerfile is None
    assert isinstance(survey_of(said).dockerfile_error, BadDockerfile)


@pytest.mark.parametrize(
    ("folder", "mounts", "found"),
    [
        ("/p", ["/p", "/q", "/pp"], []),
        ("/p", ["/p/b", "/p/a/deep", "/p/a", "/"], ["a", "b"]),
        ("/p", ["/p/a/", "/p/a-b"], ["a", "a-b"]),
    ],
)
def test_what_other_mounts_cover(tmp_path, folder, mounts, found):
    assert covered(type(tmp_path)(folder), mounts) == found


def looked(tmp_path, *words, home="/", status=0):
    """Run the command as a Job does; return what it printed last and what it found."""
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "jupyter_secxops_migrate.environment.look"),
            *("--work", str(work), "--home", str(home), *map(str, words)),
        ],
        env={**os.environ, "HOME": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    found = work / FOUND
    return json.loads(done.stdout.splitlines()[-1]), json.loads(
        found.read_text()
    ) if found.exists() else None


def test_the_command_finds_what_the_service_would(tmp_path, folder):
    root = folder(
        {
            "Dockerfile": "FROM x\nCOPY a.py .\n",
            "a.py": "123",
            "sub/b": "4567",
            "cache/c": "x" * 100,
            ".ssh/id": "key",
        }
    )
    data = fill(tmp_path / "domains", {"1": "12"})
    said, found = looked(tmp_path, f"--mount={root}/cache", "--", root / "sub", data)

    # What a Dockerfile says stands in no log.
    assert said == {"type": "result"}
    expected = survey(root, [data], None, covered={str(root): ["cache"]})
    assert plain(survey_of(found)) == plain(expected)
    assert expected.project.files == 3


def test_the_home_that_is_told_bounds_the_project(tmp_path, folder):
    home = folder({"Dockerfile": "FROM x\n", "work/a": "1"})
    _, found = looked(tmp_path, "--", home / "work", home=home)
    assert survey_of(found).project.path == str(home / "work")


def test_what_is_not_there_is_said_by_its_code(tmp_path):
    said, found = looked(tmp_path, "--", tmp_path / "absent", status=1)
    assert (said["code"], found) == ("no_such_path", None)
