"""What can go wrong in any container engine, and what only Docker can say."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import EngineFailed, PermanentError, Refusal, Retry, StepFailed, TemporaryError


class ContainerLayer(Refusal):
    """The project or data lies in the container's own writable layer."""

    code = "on_container_layer"
    text = "{path} lies inside the container itself, not on a volume, so nothing else can reach it."
    hint_text = (
        "Move it to a mounted folder ({mounts}), or start the container with a volume there."
    )


class ImageWithoutJupyter(StepFailed):
    """The image built has no JupyterLab to launch."""

    code = "image_without_jupyter"
    text = "The image was built, but JupyterLab is not in it."
    hint_text = "Add `RUN pip install jupyterlab` to the Dockerfile and retry."


class LaunchFailed(StepFailed):
    """The container did not start, or JupyterLab in it did not answer."""

    code = "launch_failed"
    text = "The environment did not start: {reason}."
    hint_text = (
        "Read the last lines of the log (`jupyter secxops logs {id}`), correct the Dockerfile, "
        "and retry."
    )
    said: Sequence[str] = ()
    """What its JupyterLab has logged, for the share's log."""


class EngineUnavailable(TemporaryError):
    """No container engine answers."""

    code = "engine_unavailable"
    text = "No container engine answers at {endpoint}."
    hint_text = (
        "Start Docker (`sudo systemctl start docker`), or set DOCKER_HOST to where it listens."
    )


class EngineForbidden(PermanentError):
    """The engine is there and this account may not use it."""

    code = "engine_forbidden"
    text = "Your account may not use the container engine at {endpoint}."
    hint_text = (
        "Ask your admin to add you to the group that owns it (`sudo usermod -aG docker $USER`, then sign in "
        "again). Whoever may use it is root on this machine."
    )


class DockerConfigUnusable(Refusal):
    """The configuration in which Docker keeps the accounts at registries is malformed."""

    code = "docker_config_unusable"
    text = "The Docker configuration {path} can't be used: {reason}."
    hint_text = "Correct that file, or move it away and sign in again with `docker login`."


class EngineTooSlow(EngineFailed):
    """What the engine was to do took all the time that it may."""

    retry = Retry.NEVER


class ToolsImageMissing(PermanentError):
    """The tools image, which the copy runs in, can't be had."""

    code = "tools_image_missing"
    text = "The tools image that makes copies can't be found or pulled: {reason}."
    hint_text = (
        "Name a base image with Python 3.10 or newer that this engine has or can pull "
        "(setting DockerEngine.tools_base or SECXOPS_TOOLS_BASE), or ask your admin for a ready tools image "
        "(DockerEngine.tools_image, KubernetesEngine.tools_image)."
    )


class CertificatesUnreadable(PermanentError):
    """The CA bundle that image builds are to trust can't be read."""

    code = "certificates_unreadable"
    text = "The CA bundle {path} can't be read: {reason}."
    hint_text = "Correct the setting DockerEngine.ca_bundle, or make the file readable."
