"""What an image does to a copy is seen from inside, and is never green."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from .conftest import Leftovers, Person, Project

pytestmark = pytest.mark.docker

HOME = "/home/jovyan/detector"


def shared(person: Person, project: Project, *more: str) -> Any:
    made = person.ok("share", str(project.path), "--no-wait", "--memory", "512M", *more)
    return person.wait_until_final(made["id"])


def test_a_share_counts_what_is_seen_from_inside(person: Person, project: Project) -> None:
    """And JupyterLab shows it, although the image's configuration would show another folder."""
    (project.path / "notebooks" / "with a\nnewline").write_text("odd")
    recipe = project.path / "Dockerfile"
    settings = ("FileContentsManager.root_dir", "ServerApp.notebook_dir", "ServerApp.preferred_dir")
    lines = "\\n".join(f"c.{name} = '/usr'" for name in settings)
    recipe.write_text(
        f"{recipe.read_text()}ENV JUPYTER_CONFIG_PATH=/tmp/etc\n"
        f'RUN mkdir /tmp/etc && printf "{lines}" > /tmp/etc/jupyter_server_config.py\n'
    )

    found = shared(person, project)

    assert found["state"] == "succeeded", found["error"]
    # Both folders, and four files.
    assert found["result"]["evidence"]["seen_inside"] == 6
    assert found["result"]["evidence"]["changed"] == []
    url, token = person.ok("show", found["id"])["result"]["url"].split("/lab?token=")
    asked = urllib.request.Request(f"{url}/api/contents")
    asked.add_header("Authorization", f"token {token}")
    with urllib.request.urlopen(asked, timeout=20) as answer:
        names = {row["name"] for row in json.load(answer)["content"]}
    assert names == {"Dockerfile", "train.py", "notebooks"}


def test_a_start_up_script_that_removes_a_copied_file_fails_the_share(
    person: Person, project: Project, engine_objects: Leftovers
) -> None:
    recipe = project.path / "Dockerfile"
    script = 'rm -f $HOME/detector/train.py; exec \\"$@\\"'
    recipe.write_text(f'{recipe.read_text()}ENTRYPOINT ["/bin/sh", "-c", "{script}", "sh"]\n')

    found = shared(person, project)

    assert found["state"] == "failed"
    assert found["error"]["code"] == "files_hidden"
    assert found["error"]["params"]["first"].endswith("train.py")
    assert "not there" in found["error"]["message"]
    assert not engine_objects.of(found["id"])


def test_volumes_of_the_image_hide_nothing_or_end_the_share_once_it_is_built(
    person: Person, project: Project, engine_objects: Leftovers
) -> None:
    """Above what is mounted, at it, and below it: there with a folder of the project."""
    recipe = project.path / "Dockerfile"
    first = recipe.read_text().replace("\n", " AS lab\n", 1)
    volumes = json.dumps([HOME, f"{HOME}/notebooks", f"{HOME}/later/on"])
    # The image has equal files there, so that nothing would seem to be missing.
    recipe.write_text(
        f"{first}COPY . {HOME}\nVOLUME /home/jovyan\nONBUILD VOLUME {volumes}\nFROM lab\n"
    )

    failed = shared(person, project)

    assert failed["error"]["code"] == "image_volume_hides", failed["error"]
    assert failed["error"]["params"]["volume"] == f"{HOME}/notebooks"
    assert failed["plan"]["refusals"] == []
    assert [s["state"] for s in failed["steps"] if s["name"] == "launch"] == ["waiting"]
    assert not engine_objects.of(failed["id"])

    recipe.write_text(recipe.read_text().replace("ONBUILD ", ""))
    refused = person.run("plan", str(project.path), "--json").json["refusals"]
    assert [r["code"] for r in refused] == ["image_volume_hides"]

    found = shared(person, project, "--data", str(project.path / "notebooks"))

    assert found["state"] == "succeeded", found["error"]
    mounts = [volume["mount"] for volume in found["result"]["volumes"]]
    assert mounts == [HOME, f"{HOME}/notebooks"]
    assert found["result"]["evidence"]["changed"] == []
