"""Look at a project from beside it, and say in JSON what was found.

Runs in a Job that mounts the source's volumes where the source has them, so that every path is the
same; the service, which does not see the files, reads the `Survey` back with `survey_of`. What is
found goes into a file, not to standard output: a Job's log is no place for a Dockerfile.

    python -m jupyter_secxops_migrate.environment.look --work FOLDER [--mount PATH]… PROJECT [DATA]…
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import errors
from ..building.dockerfile import Dockerfile, parse
from ..building.errors import BadDockerfile
from ..copying.job import FOUND
from ..copying.report import Report, run
from ..model import Folder, NotCopiedItem, ProjectVersion
from ..project.links import LinksOut
from ..project.owners import OthersFiles
from ..project.project import existing_folder, find_project
from .build_input import Baked
from .notices import Notice
from .survey import Survey, survey


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m jupyter_secxops_migrate.environment.look")
    parser.add_argument("--work", type=Path, required=True, help="a folder for what is found")
    parser.add_argument(
        "--mount", action="append", default=[], metavar="PATH", help="where the source has mounts"
    )
    parser.add_argument("--home", default="/", help="the home folder of the source's user")
    parser.add_argument("--version", default=None, metavar="REF")
    parser.add_argument("--arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--keep", action="append", default=[], metavar="PATH")
    parser.add_argument("--dockerfile", default=None, metavar="PATH")
    parser.add_argument("project", type=Path)
    parser.add_argument("data", type=Path, nargs="*")
    given = parser.parse_args(arguments)

    def work(report: Report) -> None:
        # Only now: what lies in that folder must not have a say in how this process began.
        os.environ.update(HOME=given.home)
        project = find_project(given.project)
        folders = [existing_folder(path) for path in given.data]
        found = survey(
            project,
            given.data,
            given.version,
            build_args=dict(row.partition("=")[::2] for row in given.arg),
            always_buildkit=True,  # where a project is looked at from beside, `send` builds it
            covered={str(path): covered(path, given.mount) for path in (project, *folders)},
            keep=given.keep,
            dockerfile_path=given.dockerfile,
        )
        (given.work / FOUND).write_text(json.dumps(as_json(found)))
        report.result("looked")

    return run(True, work)


def covered(folder: Path, mounts: Sequence[str]) -> list[str]:
    """Return the relative paths in a folder at which other mounts lie, the outermost only."""
    paths = (Path(mount) for mount in mounts)
    below = sorted(
        path.relative_to(folder).as_posix()
        for path in paths
        if path != folder and path.is_relative_to(folder)
    )
    return [path for path in below if not any(path.startswith(f"{other}/") for other in below)]


def as_json(found: Survey) -> dict[str, Any]:
    """Return a survey as JSON values."""
    return {
        "project": found.project.model_dump(mode="json"),
        "data": [folder.model_dump(mode="json") for folder in found.data],
        "version": found.version.model_dump(mode="json"),
        "commit": found.commit,
        "dockerfile": None
        if found.dockerfile is None
        else base64.b64encode(found.dockerfile.source).decode(),
        "dockerfile_path": found.dockerfile_path,
        "dockerfiles_elsewhere": list(found.dockerfiles_elsewhere),
        "dockerfile_error": None
        if found.dockerfile_error is None
        else found.dockerfile_error.as_dict(),
        "baked": [asdict(row) for row in found.baked],
        "context_bytes": found.context_bytes,
        "not_copied": [row.model_dump(mode="json") for row in found.not_copied],
        "changed": [row.model_dump(mode="json") for row in found.changed],
        "kept": [row.model_dump(mode="json") for row in found.kept],
        "needed": [list(row) for row in found.needed],
        "keep_unused": list(found.keep_unused),
        "unreadable": list(found.unreadable),
        "inside": dict(found.inside),
        "links_given": dict(found.links_given),
        "links_out": [asdict(row) for row in found.links_out],
        "elsewhere": {folder: list(paths) for folder, paths in found.elsewhere.items()},
        "notices": [asdict(row) for row in found.notices],
        "identities": dict(found.identities),
        "others": {folder: asdict(row) for folder, row in found.others.items()},
        "owner": list(found.owner),
        "whole_home": found.whole_home,
    }


def survey_of(said: Mapping[str, Any], build_args: Mapping[str, str] | None = None) -> Survey:
    """Return the survey that `as_json` gave.

    Parameters
    ----------
    said
        Its JSON values.
    build_args
        Build arguments that the engine will pass: the Dockerfile is read anew.
    """
    uid, gid = said["owner"]
    dockerfile: Dockerfile | None = None
    error = said["dockerfile_error"]
    failed = None if error is None else errors.SecxopsError.from_dict(error)
    if said["dockerfile"] is not None:
        try:
            dockerfile = parse(base64.b64decode(said["dockerfile"]), build_args)
        except BadDockerfile as caught:
            failed = caught  # the tools image's version is another one
    return Survey(
        project=Folder.model_validate(said["project"]),
        data=[Folder.model_validate(row) for row in said["data"]],
        version=ProjectVersion.model_validate(said["version"]),
        commit=said["commit"],
        dockerfile=dockerfile,
        dockerfile_path=said["dockerfile_path"],
        dockerfiles_elsewhere=tuple(said.get("dockerfiles_elsewhere", ())),
        dockerfile_error=failed,
        baked=[
            Baked(row["line"], row["files"], row["bytes"], tuple(row["paths"]))
            for row in said["baked"]
        ],
        context_bytes=said["context_bytes"],
        not_copied=[NotCopiedItem.model_validate(row) for row in said["not_copied"]],
        # A tools image of an earlier version has no word of it.
        changed=[NotCopiedItem.model_validate(row) for row in said.get("changed", ())],
        kept=tuple(NotCopiedItem.model_validate(row) for row in said.get("kept", ())),
        needed=tuple((line, path) for line, path in said.get("needed", ())),
        keep_unused=tuple(said.get("keep_unused", ())),
        unreadable=said["unreadable"],
        inside=said["inside"],
        links_given=said["links_given"],
        links_out=tuple(
            LinksOut(**{**row, "paths": tuple(row["paths"])}) for row in said["links_out"]
        ),
        elsewhere=said["elsewhere"],
        # A tools image of an earlier version has no word of it.
        notices=tuple(Notice(**row) for row in said.get("notices", ())),
        identities=said["identities"],
        others={
            folder: OthersFiles(
                row["count"], row["closed"], tuple(row["paths"]), row.get("barred", row["closed"])
            )
            for folder, row in said["others"].items()
        },
        owner=(uid, gid),
        whole_home=said["whole_home"],
    )


if __name__ == "__main__":
    sys.exit(main())
