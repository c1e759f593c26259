"""What can be wrong with a Dockerfile, and how a build fails."""

from __future__ import annotations

from ..errors import Param, Refusal, StepFailed


class NoDockerfile(Refusal):
    """The project version has no Dockerfile."""

    code = "no_dockerfile"
    text = (
        "{project} has no {dockerfile} in this version, so there is no recipe for its environment."
    )
    hint_text = (
        "Write a file named {dockerfile} in {project}, for example: FROM python:3.12-slim, then "
        "RUN pip install jupyterlab and your packages. Then share again."
    )
    panel_hint = (
        "Write a file named {dockerfile} in {project}, for example: FROM python:3.12-slim, then "
        "RUN pip install jupyterlab and your packages. Then check again."
    )

    def __init__(self, cause: str | None = None, **params: Param) -> None:
        super().__init__(cause, **{"dockerfile": "Dockerfile", **params})


class DockerfileElsewhere(Refusal):
    """The project has no Dockerfile where one is looked for, but one in a folder."""

    code = "dockerfile_elsewhere"
    text = "{project} has no Dockerfile at its top, but there is {first}."
    hint_text = "Share with --dockerfile {first}; its COPY lines start at the project's folder."
    panel_hint = (
        "Share with it, or write one at the top. Its COPY lines start at the project's folder."
    )


class BadDockerfile(Refusal):
    """The Dockerfile can't be read as one."""

    code = "bad_dockerfile"
    text = "The Dockerfile can't be used: {reason} (line {line})."
    hint_text = "Correct line {line} of the Dockerfile and share again."
    panel_hint = "Correct line {line} of the Dockerfile and check again."


class NeedsBuildKit(Refusal):
    """An instruction that only BuildKit runs, on an engine without it or with an old one."""

    code = "dockerfile_needs_buildkit"
    text = "Line {line} of the Dockerfile ({instruction}) needs BuildKit, or a newer one than this engine has."
    hint_text = (
        "Rewrite line {line} without {feature}, or ask your admin for a newer Docker Engine."
    )


class ImageHoldsProject(Refusal):
    """Project code or data would be baked into the image (a warning, or a refusal by policy)."""

    code = "image_holds_project"
    text = (
        "Line {line} of the Dockerfile copies {files:file|files} of the project ({size}) into the image; "
        "the image should hold only the environment."
    )
    hint_text = "Code and data are copied into volumes anyway: remove the COPY, or list the files in .dockerignore."


class BuildFailed(StepFailed):
    """The image build failed at an instruction."""

    code = "build_failed"
    text = "The image build failed at line {line} of the Dockerfile: {instruction}"
    hint_text = "Read the last lines of the log (`jupyter secxops logs {id}`), correct line {line}, and retry."


class BaseTriggerFailed(StepFailed):
    """The image build failed at an instruction that its base image brings along."""

    code = "base_trigger_failed"
    text = "The image build failed at an instruction of the base image {image} (ONBUILD): {instruction}"
    hint_text = (
        "The failing instruction is in the base image, not in your Dockerfile. Provide what it "
        "needs, which the end of the log (`jupyter secxops logs {id}`) shows, or start FROM "
        "another image, and retry."
    )


class BaseImageMissing(StepFailed):
    """A FROM image that can neither be found nor pulled."""

    code = "base_image_missing"
    text = "The image {image}, which the Dockerfile starts FROM, can't be found or pulled."
    hint_text = (
        "Check its name and that this machine reaches its registry, or load it with `docker load`."
    )
