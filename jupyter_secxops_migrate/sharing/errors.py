"""Why a share is refused, and how it ends badly."""

from __future__ import annotations

from ..errors import Refusal, StepFailed


class Refused(Refusal):
    """The summary that a refused share carries; ``params.codes`` has each refusal's code."""

    code = "refused"
    text = "The share was refused: {reasons}"
    hint_text = "{hints}"


class ImageVolumeHides(Refusal):
    """A VOLUME of the image would lie over files of the copy."""

    code = "image_volume_hides"
    text = "The image declares {volume} as a VOLUME, which would hide {path} in the copy."
    hint_text = (
        "Take {path} along as data of its own if it is a folder of the project (`--data {path}`), mount "
        "{folder} elsewhere (`--mount {folder}=PATH`), or remove the VOLUME from the image."
    )


class ProjectOutOfReach(Refusal):
    """The engine is sent the files to build from, and nobody can read them to the service."""

    code = "project_out_of_reach"
    text = (
        "{project} is in {source}. This service can't read its files there, and {engine} can't build the "
        "image without them."
    )
    hint_text = (
        "Share it from inside {source}, or ask your admin for an engine that builds images beside the project, "
        "as the one for Kubernetes does."
    )


class AlreadySharing(Refusal):
    """Another share of the same project under the same name is under way."""

    code = "already_sharing"
    text = "{name} is already being shared ({id})."
    hint_text = (
        "Wait for it (`jupyter secxops show {id}`), cancel it, or give this share another name "
        "(--name)."
    )


class FilesLost(StepFailed):
    """Files that the plan says will be copied, and that did not arrive."""

    code = "files_lost"
    text = (
        "{count:file|files} of {path} that the plan lists as copied did not arrive; "
        "the first is {first} ({reason})."
    )
    hint_text = "Check the share again to see the plan as it is now, then retry."


class ImageMismatch(StepFailed):
    """The running container's image is not the one that was built."""

    code = "image_mismatch"
    text = "The container runs image {running}, not the one that was built ({built})."
    hint_text = "Retry; if it happens again, tell your admin that something on {node} changes tags."


class ImageAndCodeDiffer(StepFailed):
    """Files in the image and in the copied code stayed different after a second build."""

    code = "image_and_code_differ"
    text = "{count:file|files} changed between building the image and copying the code; the first is {first}."
    hint_text = "Stop what writes to them and retry."


class FilesHidden(StepFailed):
    """What was copied can't be seen inside the environment: something lies over it, or removed it."""

    code = "files_hidden"
    text = (
        "{count:file or folder|files and folders} of {path} can't be seen inside the environment; "
        "the first is {first} ({reason})."
    )
    hint_text = (
        "Change the image so that no VOLUME line and no start-up script hides or removes them, or mount the "
        "folder elsewhere (`--mount`), and retry."
    )


class FilesUnreadableInside(StepFailed):
    """What was copied can't be read by the environment's own user."""

    code = "files_unreadable_inside"
    text = (
        "{count:file or folder|files and folders} of {path} can't be read inside the environment by its user ({user}); "
        "the first is {first}."
    )
    hint_text = "Let others read them at the source (`chmod -R o+rX`), or move them out, and retry."


class Cancelled(StepFailed):
    """Its owner cancelled it."""

    code = "cancelled"
    text = "The share was cancelled."
    hint_text = "Nothing is left behind; share again when you like."
