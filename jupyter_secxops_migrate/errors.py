"""Every way in which the product says no, as one exception tree.

Each error has a stable ``code`` (scripts and the browser's translations key on it), a
sentence that says what happened, and a next action. The English sentences are here and nowhere
else: ``scripts/catalogues.py`` makes the panel's from them, to be translated. A client that speaks
another language makes its own from ``code`` and ``params``.

The tree::

    SecxopsError
     ├─ PermanentError              trying again changes nothing
     │   ├─ RequestError            the caller asked for something impossible
     │   ├─ Refusal                 the plan says no, nothing was touched
     │   └─ StepFailed              a step of a migration ended badly
     └─ TemporaryError              the same call may succeed later

``params`` are plain JSON values and never hold a secret: whoever raises an error puts only
what may be logged into it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar, TypeVar

from .printable import counted, one_line, printable

JsonScalar = str | int | float | bool | None
Param = JsonScalar | list[str]
T = TypeVar("T")
_TYPED = re.compile(r" \(`?(?:jupyter secxops |--)[^()]*\)")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?", re.ASCII)


class SecxopsError(Exception):
    """Base of all errors of this package.

    Parameters
    ----------
    cause
        What is known about why, in words, without secrets; appended to the message.
    **params
        JSON values that the class's ``text`` and ``hint_text`` name in braces (`fill`); kept as they are.

    Attributes
    ----------
    code
        Stable identifier, ``snake_case``.
    message
        What happened, one or two sentences.
    hint
        What to do now, and who can do it.
    """

    code: ClassVar[str] = "internal"
    text: ClassVar[str] = "Something went wrong inside the migration service."
    hint_text: ClassVar[str] = (
        "Run `jupyter secxops doctor`; the service's log file (its path is shown there) has details."
    )

    panel_hint: ClassVar[str | None] = None
    """The hint where people click instead of typing, if `clicked` does not make it of ``hint_text``."""

    def __init__(self, cause: str | None = None, **params: Param) -> None:
        params = {name: _short(value) for name, value in params.items()}
        self.params: dict[str, Param] = params
        message = fill(self.text, params)
        if cause:
            message = f"{message} {one_line(_short(cause))}"
        self.message = message
        self.hint = fill(self.hint_text, params)
        super().__init__(message)

    def as_dict(self) -> dict[str, Any]:
        """Return ``{code, message, hint, params}``, the form that REST and ``--json`` use."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "params": self.params,
        }

    @staticmethod
    def from_dict(body: dict[str, Any]) -> SecxopsError:
        """Return the error that `as_dict` gave, for a client that was sent it.

        A code that this version does not know becomes a plain `SecxopsError` with its message.
        """
        kinds = {cls.code: cls for cls in SecxopsError.catalogue()}
        found = kinds.get(str(body.get("code")))
        if found is None:
            return SecxopsError(str(body.get("message", "")))
        error = found.__new__(found)
        Exception.__init__(error, str(body.get("message", "")))
        error.message = str(body.get("message", ""))
        error.hint = str(body.get("hint", ""))
        params = body.get("params")
        error.params = params if isinstance(params, dict) else {}
        return error

    @classmethod
    def catalogue(cls) -> Iterator[type[SecxopsError]]:
        """Yield this class and every subclass that has a code of its own."""
        if "code" in vars(cls):
            yield cls
        for sub in cls.__subclasses__():
            yield from sub.catalogue()


_LONGEST = 4096


def _short(value: T) -> T:
    """Return a parameter whose texts are not too long: what failed may have said anything."""
    if isinstance(value, str) and len(value) > _LONGEST:
        return value[:_LONGEST] + "…"  # type: ignore[return-value]
    if isinstance(value, list):
        return [_short(item) for item in value]  # type: ignore[return-value]
    return value


def fill(sentence: str, params: Mapping[str, Any]) -> str:
    """Return a sentence with its parameters, as people may read them (`printable`).

    ``{name}`` is a parameter, ``{count:file|files}`` a number with the word for one and for others. A
    missing parameter shows its own name.
    """
    return sentence.format_map(_Readable(params))


def clicked(hint: str) -> str:
    """Return a hint as it reads where people click: without what they could type, in parentheses.

    Examples
    --------
    >>> clicked("Delete old shares (`jupyter secxops list`), or ask for less (--cpu, --gpu).")
    'Delete old shares, or ask for less.'
    """
    return _TYPED.sub("", hint)


class _Readable(dict[str, Any]):
    """Parameters as a sentence shows them; a missing one shows its own name."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        super().__init__({name: _shown(value) for name, value in params.items()})

    def __missing__(self, key: str) -> str:
        return _Text(f"<{key}>")


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return _Text(", ".join(map(printable, map(str, value))))
    if isinstance(value, str):
        return _Text(one_line(value) if "\n" in value else printable(value))
    return _Count(value) if type(value) is int else value


class _Count(int):
    """A number that knows the words for one and for others."""

    def __format__(self, words: str) -> str:
        one, several, many = words.partition("|")
        return counted(self, one, many) if several else super().__format__(words)


class _Text(str):
    """A text, also where a number should have been; one that is a number, as ``2.5`` is, has words too."""

    def __format__(self, words: str) -> str:
        one, several, many = words.partition("|")
        if not several or not _NUMBER.fullmatch(self):
            return str(self)
        return f"{self} {one if float(self) == 1 else many}"


class PermanentError(SecxopsError):
    """Trying the same again changes nothing."""


class Retry(Enum):
    """What a service does by itself about a temporary error; the type of the error says it."""

    NEVER = "never"
    """Nothing: what failed took its whole time, or somebody must do something first."""
    SOON = "soon"
    """Try a few times, seconds apart."""
    WHILE_AWAY = "while away"
    """Try for as long as the patience lasts: somebody is away who usually comes back by himself."""


class TemporaryError(SecxopsError):
    """The same call may succeed later; a retry is worth it."""

    retry: ClassVar[Retry] = Retry.SOON


# --------------------------------------------------------------------------- requests


class RequestError(PermanentError):
    """The caller asked for something that can't be done as asked."""


class InvalidRequest(RequestError):
    """A body, parameter or reference is not of its form."""

    code = "invalid_request"
    text = "The request is not valid: {reason}."
    hint_text = "Correct it and send it again; the reference in the documentation lists the fields."
    panel_hint = "Correct it and try again."


class RequestTooLarge(RequestError):
    """A body over the limit."""

    code = "request_too_large"
    text = "The request is larger than {limit} bytes."
    hint_text = "Send only the documented fields."


class Unauthenticated(RequestError):
    """No token, or one that nobody has."""

    code = "unauthenticated"
    text = "You are not signed in."
    hint_text = "Sign in to Jupyter, or send its token."


class Forbidden(RequestError):
    """The caller is known and may not do this."""

    code = "forbidden"
    text = "You may not do this."
    hint_text = "Ask the admin of this Jupyter for the right to {action} environments."


class NotFound(RequestError):
    """No such object, or one that belongs to somebody else."""

    code = "not_found"
    text = "You have no share {id}."
    hint_text = "`jupyter secxops list` shows yours."
    panel_hint = "It may have been deleted elsewhere; the list shows yours."


class NoSuchRoute(RequestError):
    """A URL that this service does not have."""

    code = "no_such_route"
    text = "There is nothing at this address."
    hint_text = (
        "The reference in the documentation lists the routes; `openapi.yaml` is beside them."
    )


class MethodNotAllowed(RequestError):
    """A URL that is there, asked in a way that it does not know."""

    code = "method_not_allowed"
    text = "This address does not take {method}."
    hint_text = "The answer's Allow header lists what it takes."


class NoSuchPath(RequestError):
    """A project or data path that does not exist or is not a folder."""

    code = "no_such_path"
    text = "{path} {problem}."
    hint_text = "Check the path, and whether the account of the service may read it."
    panel_hint = "Check the path; relative paths start at the folder in which Jupyter was started."

    def __init__(self, cause: str | None = None, **params: Param) -> None:
        super().__init__(cause, **{"problem": "is not a folder that can be read here", **params})


class NoSuchVersion(RequestError):
    """A git reference that the local repository does not have."""

    code = "no_such_version"
    text = "The project has no version named {version}."
    hint_text = "Use a commit, tag or branch that `git log` shows here; nothing is fetched."


class VersionIncomplete(RequestError):
    """A commit whose files the local repository does not have, or can't read, all of."""

    code = "version_incomplete"
    text = "Not all files of the version {version} are here (as in a partial clone), or they can't be read."
    hint_text = "Fetch them with `git fetch --refetch --no-filter`, and plan again."


class WrongState(RequestError):
    """The migration or its environment is not in a state that allows this."""

    code = "wrong_state"
    text = "This can't be done while the share is {state}."
    hint_text = "Wait until it is {wanted}, or cancel it first."


class IdempotencyConflict(RequestError):
    """One Idempotency-Key came with two different bodies."""

    code = "idempotency_conflict"
    text = "This Idempotency-Key was used before for a different request."
    hint_text = "Use a new key for a new request."


# --------------------------------------------------------------------------- refusals


class Refusal(PermanentError):
    """The plan says no before anything was touched."""


class Refused(Refusal):
    """The summary that a refused migration carries; ``params.codes`` has each refusal's code."""

    code = "refused"
    text = "The share was refused: {reasons}"
    hint_text = "{hints}"


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


class ImageVolumeHides(Refusal):
    """A VOLUME of the image would lie over files of the copy."""

    code = "image_volume_hides"
    text = "The image declares {volume} as a VOLUME, which would hide {path} in the copy."
    hint_text = (
        "Take {path} along as data of its own if it is a folder of the project (`--data {path}`), mount "
        "{folder} elsewhere (`--mount {folder}=PATH`), or remove the VOLUME from the image."
    )


class ContainerLayer(Refusal):
    """The project or data lies in the container's own writable layer."""

    code = "on_container_layer"
    text = "{path} lies inside the container itself, not on a volume, so nothing else can reach it."
    hint_text = (
        "Move it to a mounted folder ({mounts}), or start the container with a volume there."
    )


class TooLittleMemory(Refusal):
    """The node has less memory free than asked for."""

    code = "memory_short"
    text = "The share asks for {asked} of memory; {node} has {free} free."
    hint_text = (
        "Ask for less memory (--memory), stop something there, or ask your admin for a larger node."
    )


class TooLittleDisk(Refusal):
    """Image and volumes would not fit."""

    code = "disk_short"
    text = "{node} has {free} of disk free; the copy needs about {needed}."
    hint_text = "Leave out data, delete old shares (`jupyter secxops list`), or free disk there."


class CpuOvercommitted(Refusal):
    """More CPU is asked for than is free (a warning: CPU is shared by time)."""

    code = "cpu_overcommitted"
    text = (
        "The share asks for {asked:CPU|CPUs}; {node} has {free} free, so the environments will share "
        "CPU time and be slower."
    )
    hint_text = "Ask for less CPU (--cpu) or stop something there."


class TooFewCpus(Refusal):
    """More CPUs are asked for than the node has."""

    code = "cpu_short"
    text = "The share asks for {asked:CPU|CPUs}; {node} has {total}."
    hint_text = "Ask for at most {total} (--cpu)."


class TooLittleCpu(Refusal):
    """Less CPU is asked for than can be set as a limit."""

    code = "cpu_too_little"
    text = "{asked} of a CPU is too little for an environment."
    hint_text = "Ask for at least {least} (--cpu)."


class NoGpu(Refusal):
    """A GPU is asked for and none is free there."""

    code = "gpu_missing"
    text = "The share asks for {asked:GPU|GPUs}; {node} has {free} free."
    hint_text = "Share without --gpu, or ask your admin for a node with GPUs."
    panel_hint = "Share without a GPU, or ask your admin for a node with GPUs."


class NoNodeFits(Refusal):
    """No node of the cluster has room, or may take the environment."""

    code = "no_node_fits"
    text = "No node can take it ({total} in the cluster). The closest is {node} ({lacks})."
    hint_text = "Ask for less (--cpu, --memory, --gpu), stop something there, or ask your admin for a larger node."


class VolumeBound(Refusal):
    """Nodes have room that the environment can't move to, as they do not reach a volume."""

    code = "volume_bound"
    text = "There is room on {nodes}, but it can't move there, because the volume of {claim} can't be reached from there."
    hint_text = (
        "Ask for less (--cpu, --memory, --gpu), share without that folder, or ask your admin to put its "
        "copies on storage that all nodes can reach (KubernetesEngine.storage_classes)."
    )


class NoRoomForJobs(Refusal):
    """The Jobs of a share, which have to run beside its source, do not fit there even one by one."""

    code = "no_room_for_jobs"
    text = "The copy and the build have to run on node {node}, beside the notebook, but do not fit there: {lacks}."
    hint_text = (
        "Stop something there, or ask your admin to make room or to have Jobs ask for less "
        "(KubernetesEngine.job_requests)."
    )


class RegistryMissing(Refusal):
    """It would have to move, and no registry is set by which another node could have its image."""

    code = "registry_missing"
    text = "It can't run on node {node}, and without a registry no other node can get its image."
    hint_text = "Ask for what {node} has (--cpu, --memory, --gpu), or ask your admin to set a registry (KubernetesEngine.registry_address)."


class DataOutsidePolicy(Refusal):
    """A path that the service's policy does not let anyone copy."""

    code = "path_not_allowed"
    text = "{path} may not be copied: {reason}."
    hint_text = "Choose a folder that belongs to the project or its data."


class AlreadySharing(Refusal):
    """Another share of the same project under the same name is under way."""

    code = "already_sharing"
    text = "{name} is already being shared ({id})."
    hint_text = (
        "Wait for it (`jupyter secxops show {id}`), cancel it, or give this share another name "
        "(--name)."
    )


# --------------------------------------------------------------------------- steps


class StepFailed(PermanentError):
    """A step of a migration ended badly; what it left was removed."""


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


class ImageWithoutJupyter(StepFailed):
    """The image built has no JupyterLab to launch."""

    code = "image_without_jupyter"
    text = "The image was built, but JupyterLab is not in it."
    hint_text = "Add `RUN pip install jupyterlab` to the Dockerfile and retry."


class ImageUserUnknown(StepFailed):
    """The image says that root runs it, or a user by a name: nobody can know that it is not root."""

    code = "image_user_unknown"
    text = "The image does not give its user as a number: {reason}."
    hint_text = (
        "Write `USER 1000`, or any other number but 0, at the end of the Dockerfile, and retry."
    )


class CopyFailed(StepFailed):
    """The verified copy could not finish."""

    code = "copy_failed"
    text = "Copying {path} failed: {reason}."
    hint_text = "Correct the cause and retry; the source was not changed."


class FileUnreadable(StepFailed):
    """Files that can't be read."""

    code = "file_unreadable"
    text = "{count:file|files} under {path} can't be read; the first is {first}."
    hint_text = "Make them readable for yourself, or move them out of the project, and retry."


class FileChanging(StepFailed):
    """Files that kept changing while they were copied."""

    code = "file_changing"
    text = "{count:file|files} under {path} kept changing during the copy; the first is {first}."
    hint_text = "Stop what writes to them (a running notebook?) and retry."


class FilesLost(StepFailed):
    """Files that the plan says will be copied, and that did not arrive."""

    code = "files_lost"
    text = (
        "{count:file|files} of {path} that the plan lists as copied did not arrive; "
        "the first is {first} ({reason})."
    )
    hint_text = "Check the share again to see the plan as it is now, then retry."


class SourceReplaced(StepFailed):
    """The folder that is to be read is not the one that the plan looked at."""

    code = "source_replaced"
    text = "{path} is no longer the folder that the plan saw."
    hint_text = (
        "Look at what is there now, and at who may write to the folders above it, then share again."
    )


class DiskFull(StepFailed):
    """The destination ran out of space."""

    code = "disk_full"
    text = "The disk became full during the {step}."
    hint_text = "Delete old shares (`jupyter secxops list`) or free disk there, and retry."


class VerifyFailed(StepFailed):
    """What arrived is not what left."""

    code = "verify_failed"
    text = "{count:file of the copy differs|files of the copy differ} from what was read from {path}; the first is {first}."
    hint_text = (
        "Retry; if it happens again, the disk or memory of {node} is suspect: tell your admin."
    )


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


class Cancelled(StepFailed):
    """Its owner cancelled it."""

    code = "cancelled"
    text = "The share was cancelled."
    hint_text = "Nothing is left behind; share again when you like."


# --------------------------------------------------------------------------- surroundings


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


class EngineFailed(TemporaryError):
    """The engine answered with an error of its own."""

    code = "engine_failed"
    text = "The container engine could not {action}: {reason}."
    hint_text = "Run `jupyter secxops doctor`, then retry."


class DockerConfigUnusable(Refusal):
    """The configuration in which Docker keeps the accounts at registries is malformed."""

    code = "docker_config_unusable"
    text = "The Docker configuration {path} can't be used: {reason}."
    hint_text = "Correct that file, or move it away and sign in again with `docker login`."


class EngineTooSlow(EngineFailed):
    """What the engine was to do took all the time that it may."""

    retry = Retry.NEVER


class StrategyUnknown(PermanentError):
    """The policy names a placement strategy that is not installed."""

    code = "strategy_unknown"
    text = "{reason}."
    hint_text = "Correct ResourcePolicy.strategy, or install the package with that strategy."


class EngineUnknown(PermanentError):
    """The service is to use an engine that is not installed."""

    code = "engine_unknown"
    text = "There is no engine {engine}; installed are {known}."
    hint_text = "Correct SecxopsService.engine (or SECXOPS_ENGINE), or install the package with that engine."


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


class ClusterUnavailable(TemporaryError):
    """No API server answers, or there is no way to sign in to it."""

    code = "cluster_unavailable"
    retry = Retry.WHILE_AWAY
    text = "The cluster's API server does not answer at {endpoint}: {reason}."
    hint_text = "Check the kubeconfig (`kubectl get pods`) and the network, then retry."


class NodeUnreachable(TemporaryError):
    """A node's kubelet does not answer: what runs there can't be seen, started or ended."""

    code = "node_unreachable"
    retry = Retry.WHILE_AWAY
    text = "The node {node} does not answer: {reason}."
    hint_text = "Wait until it is ready again (`kubectl get nodes`) and retry, or tell your admin."


class ClusterForbidden(PermanentError):
    """The account lacks a right."""

    code = "cluster_forbidden"
    text = "The cluster does not let this account {action}: {reason}."
    hint_text = "Ask your admin for the Role in the operators' guide; `jupyter secxops doctor` names what is missing."


class NamespaceGone(PermanentError):
    """The namespace of the shares is being deleted, or is not there."""

    code = "namespace_gone"
    text = "The cluster can't {action}: {reason}."
    hint_text = (
        "Everything that shares had in that namespace is deleted with it. Check `KubernetesEngine.namespace` or the "
        "kubeconfig's context, and share again in a namespace that stays."
    )
    panel_hint = (
        "Everything that shares had in that namespace is deleted with it. Share again in a "
        "namespace that stays."
    )


class ClusterRefused(PermanentError):
    """The API server, or a check that an admin put into it, refused an object."""

    code = "cluster_refused"
    text = "The cluster refused to {action}: {reason}."
    hint_text = "Tell your admin what it said; nothing was changed."


class QuotaExceeded(PermanentError):
    """The namespace's quota has no room."""

    code = "quota_exceeded"
    text = "The namespace's quota leaves no room to {action}: {reason}."
    hint_text = "Delete old shares (`jupyter secxops list`), or ask your admin for a larger quota."


class PodSecurityForbids(PermanentError):
    """The namespace's Pod Security level forbids a pod of ours."""

    code = "pod_security"
    text = "The namespace's Pod Security does not let this account {action}: {reason}."
    hint_text = (
        "Ask your admin to set the level that the operators' guide names for this namespace."
    )


class SecretMissing(Refusal):
    """A secret or configmap of the namespace that pods of a share need is not there, or lacks a key."""

    code = "secret_missing"
    text = "The {kind} {name} of this namespace {problem}."
    hint_text = "Ask your admin to create it, as described in the operators' guide (Kubernetes)."


class RegistryDenied(Refusal):
    """The registry does not let the account of the secret push."""

    code = "registry_denied"
    text = "The registry {registry} refuses the account of the secret {secret}: {reason}."
    hint_text = "Ask your admin to correct the user and password in that secret."


class AccountMissing(PermanentError):
    """There is nothing by which this process could sign in to a cluster."""

    code = "account_missing"
    text = "There is no way to sign in to the cluster: {reason}."
    hint_text = (
        "In a pod, set `serviceAccountName` to the account in the operators' guide and "
        "`automountServiceAccountToken: true`; elsewhere, name a kubeconfig (KubernetesEngine.kubeconfig)."
    )


class SourceUnusable(Refusal):
    """The pod that is to be shared can't be."""

    code = "source_unusable"
    text = "The pod {pod} can't be shared: {reason}."
    hint_text = (
        "Name a running notebook pod: --pod POD or POD/CONTAINER, or KubernetesEngine.source_pod and "
        "source_container."
    )


class NotOnClaim(Refusal):
    """The project or data lies where no other pod can reach it."""

    code = "not_on_claim"
    text = "{path} lies on {kind}, which no other pod can mount."
    hint_text = "Move it to a folder on a persistent volume claim ({mounts})."


class ClaimUnusable(Refusal):
    """The claim of the project or data can't be copied, or its copy would get no volume."""

    code = "claim_unusable"
    text = "The volume claim {claim} can't be copied: {reason}."
    hint_text = (
        "Move the files to a folder on another claim, or ask your admin (KubernetesEngine.storage_classes "
        "chooses the class of copies)."
    )


class Unschedulable(StepFailed):
    """The scheduler finds no node for a pod."""

    code = "unschedulable"
    text = "The scheduler finds no node for {pod}: {reason}"
    hint_text = "Ask for less (--cpu, --memory, --gpu), stop something there, or tell your admin."


class ImageUnpullable(StepFailed):
    """A node can't pull an image."""

    code = "image_unpullable"
    text = "The node {node} can't pull {image}: {reason}."
    hint_text = "Ask your admin to check the pull secret and that the nodes trust the registry."


class RegistryFailed(TemporaryError):
    """The registry did not take, or does not have, an image."""

    code = "registry_failed"
    denied = False
    """Whether it knows who asks, and does not let this account."""
    text = "The registry {registry} could not {action}: {reason}."
    hint_text = "Retry; if it happens again, ask your admin about the registry and its quota."


class RegistryUnusable(RegistryFailed):
    """The registry can't be used before its settings, or what they name, are corrected."""

    retry = Retry.NEVER


class BuilderMissing(PermanentError):
    """No image builder runs where one is needed."""

    code = "builder_missing"
    text = "No image builder is ready on node {node}."
    hint_text = (
        "Ask your admin to apply the builder from the operators' guide (namespace {namespace})."
    )


class BaseImageMissing(StepFailed):
    """A FROM image that can neither be found nor pulled."""

    code = "base_image_missing"
    text = "The image {image}, which the Dockerfile starts FROM, can't be found or pulled."
    hint_text = (
        "Check its name and that this machine reaches its registry, or load it with `docker load`."
    )


class ServiceUnavailable(TemporaryError):
    """The migration service does not answer and could not be started."""

    code = "service_unavailable"
    text = "The migration service does not answer."
    hint_text = (
        "Read its log file {log}, or run `jupyter secxops serve` to see why it does not start."
    )


class ServiceStopped(TemporaryError):
    """The migration service's process was sent a stop signal, or a debugger holds it."""

    code = "service_stopped"
    retry = Retry.NEVER
    text = "The migration service (process {pid}) is suspended, so it can't answer."
    hint_text = (
        "Resume it with `kill -CONT {pid}`, or end it with `kill -KILL {pid}`: the next command starts a new "
        "one, which goes on with your shares."
    )


class SettingsUnusable(PermanentError):
    """The migration service can't start with its settings."""

    code = "settings_unusable"
    text = "The migration service can't use its settings: {reason}."
    hint_text = (
        "Correct that setting; `jupyter secxops serve --help-all` lists all of them, and `jupyter --paths` the "
        "folders in which jupyter_secxops_config.py or .json can be."
    )


class LockAbandoned(TemporaryError):
    """The lock of the store is held, and the process that took it is not there any more."""

    code = "lock_abandoned"
    retry = Retry.NEVER
    text = "The record of your shares is locked by process {pid}, which is not running here."
    hint_text = (
        "Find out who still has the lock with `fuser -v {lock}` and end that process. If nobody here has it, "
        "end the service on the other machine or in the other container that uses this folder, or set "
        "SECXOPS_DATA_DIR to another folder."
    )


class StoreLocked(TemporaryError):
    """Another service already holds this store."""

    code = "store_locked"
    text = "Another migration service (process {pid}) is using this store."
    hint_text = "Use that one, or stop it first."


class ServiceElsewhere(TemporaryError):
    """The store is in use by a service in another container, which has the same folder."""

    code = "service_elsewhere"
    retry = Retry.NEVER
    text = "The migration service of another notebook, {host}, is using the same record ({data})."
    hint_text = (
        "Wait until it ends, 15 minutes after its last use, or set SECXOPS_DATA_DIR to another folder "
        "in one of the two notebooks."
    )


class StoreUnwritable(Exception):
    """Mixed into what is raised while the record of shares can't be written, but may be again later."""


class StoreFull(TemporaryError, StoreUnwritable):
    """The record of shares can't be written: its disk, its inodes or its quota are used up."""

    code = "store_full"
    retry = Retry.NEVER
    text = "The disk that holds the record of your shares is full ({store})."
    hint_text = "Free space or files there (`df -h`, `df -i`), and retry."


class StoreFailed(TemporaryError, StoreUnwritable):
    """The record of shares can't be read or written: its disk, or its database server, fails."""

    code = "store_failed"
    retry = Retry.NEVER
    text = "The record of your shares can't be used ({store}): {reason}."
    hint_text = "Check that its disk is mounted and healthy (`dmesg`), or that its database server runs; then retry."


class StoreReadOnly(PermanentError, StoreUnwritable):
    """The record of shares may not be written."""

    code = "store_read_only"
    text = "The record of your shares can't be written ({store})."
    hint_text = (
        "Make the folder and its files writable for your account, or set SECXOPS_DATA_DIR to a folder "
        "that is."
    )


class StoreCorrupt(PermanentError):
    """The record of shares is no database any more."""

    code = "store_corrupt"
    text = "The record of your shares is damaged ({store})."
    hint_text = (
        "Move that file away, or put one from a backup in its place. With an empty record, containers "
        "and volumes of old shares stay until you remove them with Docker or kubectl."
    )


class StoreNewer(PermanentError):
    """A newer version of this package has written the record of shares."""

    code = "store_newer"
    text = "The record of your shares was written by a newer version ({store})."
    hint_text = "Install that version again."
