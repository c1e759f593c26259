"""Every way in which the product says no, as one exception tree.

Each error has a stable ``code`` (scripts and the browser's translations key on it), a
sentence that says what happened, and a next action. The sentences here are English; a
client that speaks another language makes its own from ``code`` and ``params``.

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

from collections.abc import Iterator
from typing import Any, ClassVar

JsonScalar = str | int | float | bool | None
Param = JsonScalar | list[str]


class SecxopsError(Exception):
    """Base of all errors of this package.

    Parameters
    ----------
    cause
        What is known about why, in words, without secrets; appended to the message.
    **params
        JSON values that the class's ``text`` and ``hint_text`` name in braces.

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

    def __init__(self, cause: str | None = None, **params: Param) -> None:
        self.params: dict[str, Param] = params
        message = self.text.format_map(_Readable(params))
        if cause:
            message = f"{message} {cause}"
        self.message = message
        self.hint = self.hint_text.format_map(_Readable(params))
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


class _Readable(dict[str, Param]):
    """Parameters as a sentence shows them; a missing one shows its own name."""

    def __init__(self, params: dict[str, Param]) -> None:
        super().__init__({k: ", ".join(v) if isinstance(v, list) else v for k, v in params.items()})

    def __missing__(self, key: str) -> str:
        return f"<{key}>"


class PermanentError(SecxopsError):
    """Trying the same again changes nothing."""


class TemporaryError(SecxopsError):
    """The same call may succeed later; a retry is worth it."""

    outage: ClassVar[bool] = False
    """Whether somebody is away who usually comes back by himself: then waiting is worth it too."""
    again = True
    """Whether it is worth it at once; false for what took its whole time and did not come."""
    planned = False
    """Whether a plan says so; however long the plan took, the outage is the same one as before."""


# --------------------------------------------------------------------------- requests


class RequestError(PermanentError):
    """The caller asked for something that can't be done as asked."""


class InvalidRequest(RequestError):
    """A body, parameter or reference is not of its form."""

    code = "invalid_request"
    text = "The request is not valid: {reason}."
    hint_text = "Correct it and send it again; the reference in the documentation lists the fields."


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
    text = "There is no share {id} of yours."
    hint_text = "`jupyter secxops list` shows yours."


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
    text = "{path} is not a folder that can be read here."
    hint_text = "Check the path; relative paths start at the folder in which Jupyter was started."


class NoSuchVersion(RequestError):
    """A git reference that the local repository does not have."""

    code = "no_such_version"
    text = "The project has no version named {version}."
    hint_text = "Use a commit, tag or branch that `git log` shows here; nothing is fetched."


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
    text = "{project} has no Dockerfile in this version, so there is no recipe for its environment."
    hint_text = (
        "Write a file named Dockerfile in {project}, for example: FROM python:3.12-slim, then "
        "RUN pip install jupyterlab and your packages. Then share again."
    )


class BadDockerfile(Refusal):
    """The Dockerfile can't be read as one."""

    code = "bad_dockerfile"
    text = "The Dockerfile can't be used: {reason} (line {line})."
    hint_text = "Correct line {line} of the Dockerfile and share again."


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
        "Line {line} of the Dockerfile copies {files} files of the project ({size}) into the image; "
        "the image is to hold the environment only."
    )
    hint_text = "Code and data are copied into volumes anyway: remove the COPY, or list the files in .dockerignore."


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
    text = "{node} has {free} of memory free and {asked} are asked for."
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
    text = "{node} has {free} of CPU free and {asked} are asked for: the environments will share it and be slower."
    hint_text = "Ask for less CPU (--cpu) or stop something there."


class TooFewCpus(Refusal):
    """More CPUs are asked for than the node has."""

    code = "cpu_short"
    text = "{node} has {total} CPUs and {asked} are asked for."
    hint_text = "Ask for at most {total} (--cpu)."


class NoGpu(Refusal):
    """A GPU is asked for and none is free there."""

    code = "gpu_missing"
    text = "{node} has {free} GPUs free and {asked} are asked for."
    hint_text = "Share without --gpu, or ask your admin for a node with GPUs."


class NoNodeFits(Refusal):
    """No node of the cluster has room, or may take the environment."""

    code = "no_node_fits"
    text = "It fits on none of the cluster's {total} nodes; the closest, {node}, lacks: {lacks}."
    hint_text = "Ask for less (--cpu, --memory, --gpu), stop something there, or ask your admin for a larger node."


class RegistryMissing(Refusal):
    """It would have to move, and no registry is set by which another node could have its image."""

    code = "registry_missing"
    text = "It has to run on another node than {node}, and no registry is set by which that could have its image."
    hint_text = "Ask for what {node} has (--cpu, --memory, --gpu), or ask your admin to set a registry (KubernetesEngine.registry_address)."


class DataOutsidePolicy(Refusal):
    """A path that the service's policy does not let anyone copy."""

    code = "path_not_allowed"
    text = "{path} may not be copied: {reason}."
    hint_text = "Choose a folder that belongs to the project or its data."


class AlreadySharing(Refusal):
    """Another share of the same project under the same name is under way."""

    code = "already_sharing"
    text = "{name} is being shared already ({id})."
    hint_text = (
        "Wait for it (`jupyter secxops show {id}`), cancel it, or give this share another --name."
    )


# --------------------------------------------------------------------------- steps


class StepFailed(PermanentError):
    """A step of a migration ended badly; what it left was removed."""


class BuildFailed(StepFailed):
    """The image build failed at an instruction."""

    code = "build_failed"
    text = "The image build failed at line {line} of the Dockerfile: {instruction}"
    hint_text = "Read the last lines of the log (`jupyter secxops logs {id}`), correct line {line}, and retry."


class ImageWithoutJupyter(StepFailed):
    """The image built has no JupyterLab to launch."""

    code = "image_without_jupyter"
    text = "The image was built, but JupyterLab is not in it."
    hint_text = "Add `RUN pip install jupyterlab` to the Dockerfile and retry."


class ImageUserUnknown(StepFailed):
    """The image says that root runs it, or a user by a name: nobody can know that it is not root."""

    code = "image_user_unknown"
    text = "The image does not say by a number which user runs it: {reason}."
    hint_text = (
        "Write `USER 1000` at the end of the Dockerfile, or another number than 0, and retry."
    )


class CopyFailed(StepFailed):
    """The verified copy could not finish."""

    code = "copy_failed"
    text = "Copying {path} failed: {reason}."
    hint_text = "Correct the cause and retry; the source was not changed."


class FileUnreadable(StepFailed):
    """Files that can't be read."""

    code = "file_unreadable"
    text = "{count} files under {path} can't be read, the first is {first}."
    hint_text = "Make them readable for yourself, or move them out of the project, and retry."


class FileChanging(StepFailed):
    """Files that kept changing while they were copied."""

    code = "file_changing"
    text = "{count} files under {path} kept changing while they were copied, the first is {first}."
    hint_text = "Stop what writes to them (a running notebook?) and retry."


class DiskFull(StepFailed):
    """The destination ran out of space."""

    code = "disk_full"
    text = "The disk became full during the {step}."
    hint_text = "Delete old shares (`jupyter secxops list`) or free disk there, and retry."


class VerifyFailed(StepFailed):
    """What arrived is not what left."""

    code = "verify_failed"
    text = "{count} files of the copy differ from what left {path}, the first is {first}."
    hint_text = (
        "Retry; if it happens again, the disk or memory of {node} is suspect: tell your admin."
    )


class ImageMismatch(StepFailed):
    """The running container's image is not the one that was built."""

    code = "image_mismatch"
    text = "The container runs image {running}, not the one that was built ({built})."
    hint_text = "Retry; if it happens again, tell your admin: something changes tags on {node}."


class ImageAndCodeDiffer(StepFailed):
    """Files in the image and in the copied code stayed different after a second build."""

    code = "image_and_code_differ"
    text = "{count} files changed between building the image and copying the code, the first is {first}."
    hint_text = "Stop what writes to them and retry."


class LaunchFailed(StepFailed):
    """The container did not start, or JupyterLab in it did not answer."""

    code = "launch_failed"
    text = "The environment did not start: {reason}."
    hint_text = (
        "Read its last lines (`jupyter secxops logs {id}`), correct the Dockerfile, and retry."
    )


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


class StrategyUnknown(PermanentError):
    """The policy names a placement strategy that is not installed."""

    code = "strategy_unknown"
    text = "{reason}."
    hint_text = "Correct ResourcePolicy.strategy, or install what brings that strategy."


class EngineUnknown(PermanentError):
    """The service is to use an engine that is not installed."""

    code = "engine_unknown"
    text = "There is no engine {engine}; installed are {known}."
    hint_text = (
        "Correct SecxopsService.engine (or SECXOPS_ENGINE), or install what brings that engine."
    )


class ToolsImageMissing(PermanentError):
    """The tools image, which the copy runs in, can't be had."""

    code = "tools_image_missing"
    text = "The tools image can't be made: {reason}."
    hint_text = (
        "Name a base image with Python 3.10 or newer that this engine has or can pull "
        "(setting DockerEngine.tools_base), or a ready tools image (DockerEngine.tools_image)."
    )


class CertificatesUnreadable(PermanentError):
    """The CA bundle that image builds are to trust can't be read."""

    code = "certificates_unreadable"
    text = "The CA bundle {path} can't be read: {reason}."
    hint_text = "Correct the setting DockerEngine.ca_bundle, or make the file readable."


class ClusterUnavailable(TemporaryError):
    """No API server answers, or there is no way to sign in to it."""

    code = "cluster_unavailable"
    outage = True
    text = "The cluster's API server does not answer at {endpoint}: {reason}."
    hint_text = "Check the kubeconfig (`kubectl get pods`) and the network, then retry."


class NodeUnreachable(TemporaryError):
    """A node's kubelet does not answer: what runs there can't be seen, started or ended."""

    code = "node_unreachable"
    outage = True
    text = "The node {node} does not answer: {reason}."
    hint_text = "Wait until it is ready again (`kubectl get nodes`) and retry, or tell your admin."


class ClusterForbidden(PermanentError):
    """The account lacks a right."""

    code = "cluster_forbidden"
    text = "The cluster does not let this account {action}: {reason}."
    hint_text = "Ask your admin for the Role of the operators' guide; `jupyter secxops doctor` names what is missing."


class NamespaceGone(PermanentError):
    """The namespace of the shares is being deleted, or is not there."""

    code = "namespace_gone"
    text = "The cluster can't {action}: {reason}."
    hint_text = (
        "All that shares had in that namespace goes with it. Check `KubernetesEngine.namespace` or the "
        "kubeconfig's context, and share again in a namespace that stays."
    )


class ClusterRefused(PermanentError):
    """The API server, or a check that an admin put into it, refused an object."""

    code = "cluster_refused"
    text = "The cluster refused to {action}: {reason}."
    hint_text = "Tell your admin what it said; nothing was changed."


class QuotaExceeded(PermanentError):
    """The namespace's quota has no room."""

    code = "quota_exceeded"
    text = "The namespace's quota does not allow to {action}: {reason}."
    hint_text = "Delete old shares (`jupyter secxops list`), or ask your admin for a larger quota."


class PodSecurityForbids(PermanentError):
    """The namespace's Pod Security level forbids a pod of ours."""

    code = "pod_security"
    text = "The namespace's Pod Security does not allow to {action}: {reason}."
    hint_text = (
        "Ask your admin to set the level that the operators' guide names for this namespace."
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
    text = "The registry {registry} could not {action}: {reason}."
    hint_text = "Retry; if it happens again, ask your admin about the registry and its quota."


class BuilderMissing(PermanentError):
    """No image builder runs where one is needed."""

    code = "builder_missing"
    text = "No image builder is ready on node {node}."
    hint_text = (
        "Ask your admin to apply the builder of the operators' guide (namespace {namespace})."
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


class StoreLocked(TemporaryError):
    """Another service already holds this store."""

    code = "store_locked"
    text = "Another migration service (process {pid}) works on this store."
    hint_text = "Use that one, or stop it first."
