"""What can be wrong with a project's folder and its versions."""

from __future__ import annotations

from ..errors import Refusal, RequestError


class NoSuchVersion(RequestError):
    """A git reference that the local repository does not have."""

    code = "no_such_version"
    text = "The project has no version named {version}."
    hint_text = "Use a commit, tag or branch that `git log` shows here; nothing is fetched."


class VersionIncomplete(RequestError):
    """A commit whose files the local repository does not have, or can't read, all of."""

    code = "version_incomplete"
    text = "Some files of version {version} are not here (as in a partial clone), or can't be read."
    hint_text = "Fetch them with `git fetch --refetch --no-filter`, and plan again."


class DataOutsidePolicy(Refusal):
    """A path that the service's policy does not let anyone copy."""

    code = "path_not_allowed"
    text = "{path} may not be copied: {reason}."
    hint_text = "Choose a folder that belongs to the project or its data."
