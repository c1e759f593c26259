"""What is wrong with a request, field by field, in sentences that say what to write instead.

pydantic's own messages are for programmers. Knows the fields' names and forms, and no surroundings: what
a field is called there (an option, a form's label) is its caller's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ValidationError

from .errors import InvalidRequest
from .model import ShareRequest

WANTED: Mapping[str, str] = {
    "project": "the path of a folder",
    "data": "paths of folders, at most 32",
    "name": "a name of at most 100 characters in one line",
    "version": "a commit, tag or branch of the local repository",
    "cpu": "a number of CPUs from 0.01 to 4096, such as 2 or 0.5",
    "memory": "a size from 64M to 1024T, such as 512M or 2G",
    "gpu": "a whole number of GPUs from 0 to 64",
    "mounts": "absolute paths for the project or its data, at most 33",
    "keep": "paths of files, at most 1000",
    "keep_owners": "true or false",
    "source": "a running pod's name, and perhaps its container's",
    "dockerfile": "the path of a file inside the project, such as binder/Dockerfile",
    "unsaved": "paths of documents, at most 200",
    "front": "the path of a document",
    "labels": "left out: it is not in use yet",
    "recipient": "left out: it is not in use yet",
    "expiry": "left out: it is not in use yet",
}
"""What each field of a `ShareRequest` has to be."""

_MOST = 5


def wrong_fields(
    error: ValidationError, model: type[BaseModel] = ShareRequest
) -> Sequence[tuple[str, str]]:
    """Return the first wrong fields of a request (``data.0``; empty for all of it), each with its sentence.

    None of what was sent is quoted. Of another model than `ShareRequest`, what a field has to be is its
    description.
    """
    if model is not ShareRequest:
        return _wrong_of(error, model)
    found: dict[str, str] = {}
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        path = ".".join(str(part) for part in one["loc"])[:100]
        name = path.partition(".")[0]
        if not path:
            found[path] = "the body has to be a JSON object with the fields of a share"
        elif one["type"] == "extra_forbidden":
            found.setdefault(path, f"there is no field {path}")
        elif name in WANTED:
            found.setdefault(path, f"{path} has to be {WANTED[name]}")
        else:
            found.setdefault(path, f"{path} has to be {WANTED['source']}")
    return list(found.items())[:_MOST]


def _wrong_of(error: ValidationError, model: type[BaseModel]) -> Sequence[tuple[str, str]]:
    found: dict[str, str] = {}
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        path = ".".join(str(part) for part in one["loc"])[:100]
        field = model.model_fields.get(path.partition(".")[0])
        if not path:
            found[path] = "the body has to be a JSON object"
        elif one["type"] == "extra_forbidden":
            found.setdefault(path, f"there is no field {path}")
        else:
            wanted = (field and field.description) or "as the documentation of this route says"
            found.setdefault(path, f"{path} has to be {wanted}")
    return list(found.items())[:_MOST]


def invalid(error: ValidationError, model: type[BaseModel] = ShareRequest) -> InvalidRequest:
    """Return the error of a request whose fields are wrong."""
    wrong = wrong_fields(error, model)
    return InvalidRequest(
        reason="; ".join(said for _, said in wrong), fields=[path for path, _ in wrong]
    )
