"""Which folder the project is."""

import os

import pytest

from jupyter_secxops_migrate import errors
from jupyter_secxops_migrate.project.project import existing_folder, find_project


@pytest.mark.parametrize("mark", [".git", "Dockerfile"])
def test_the_nearest_marked_folder_is_the_project(tmp_path, mark):
    below = tmp_path / "project" / "notebooks" / "deep"
    below.mkdir(parents=True)
    (tmp_path / "project" / mark).touch()
    (tmp_path / mark).touch()
    assert find_project(below) == tmp_path / "project"


def test_without_a_mark_it_is_the_folder_itself(tmp_path):
    (tmp_path / "a").mkdir()
    assert find_project(tmp_path / "a") == tmp_path / "a"


def test_a_mark_in_the_home_folder_or_above_counts_for_nothing(tmp_path, monkeypatch):
    home = tmp_path / "home" / "me"
    (home / "work").mkdir(parents=True)
    (home / ".git").mkdir()
    (tmp_path / "home" / "Dockerfile").touch()
    monkeypatch.setenv("HOME", str(home))
    assert find_project(home / "work") == home / "work"
    assert find_project(home) == home


def test_links_are_resolved_before_looking_up(tmp_path):
    (tmp_path / "real" / "sub").mkdir(parents=True)
    (tmp_path / "real" / "Dockerfile").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "sub")
    assert find_project(tmp_path / "link") == tmp_path / "real"


@pytest.mark.parametrize("name", ["$(touch x)", "--privileged", "a\nb", "-rf *", "…"])
def test_a_hostile_name_is_only_a_name(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "Dockerfile").touch()
    assert find_project(tmp_path / name) == tmp_path / name


def test_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / "absent", tmp_path / "file", tmp_path / "loop", tmp_path / "a\0b"):
        with pytest.raises(errors.NoSuchPath):
            find_project(path)


def test_a_name_that_is_not_utf_8_is_refused_in_words_that_are(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    os.mkdir(path)
    with pytest.raises(errors.NoSuchPath) as caught:
        find_project(type(tmp_path)(path))
    assert caught.value.message.encode("utf-8").endswith(b"\\xff has a name that is not UTF-8.")


def test_what_is_wrong_with_a_path_is_said(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    for name, problem in {
        "none": "does not exist",
        "file/below": "does not exist",
        "file": "is a file; a folder is needed",
        "pipe": "is not a folder",
        "loop": "can't be reached",
    }.items():
        with pytest.raises(errors.NoSuchPath) as caught:
            existing_folder(tmp_path / name)
        assert caught.value.message == f"{tmp_path / name} {problem}."
