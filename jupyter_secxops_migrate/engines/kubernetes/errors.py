"""What can go wrong on a cluster."""

from __future__ import annotations

from ...errors import PermanentError, Refusal, Retry, StepFailed, TemporaryError


class ImageUserUnknown(StepFailed):
    """The image says that root runs it, or a user by a name: nobody can know that it is not root."""

    code = "image_user_unknown"
    text = "The image does not give its user as a number: {reason}."
    hint_text = (
        "Write `USER 1000`, or any other number but 0, at the end of the Dockerfile, and retry."
    )


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
    hint_text = "Show your admin this message; nothing was changed."


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


class BuilderMissing(PermanentError):
    """No image builder runs where one is needed."""

    code = "builder_missing"
    text = "No image builder is ready on {node}."
    hint_text = (
        "Ask your admin to apply the builder from the operators' guide (namespace {namespace})."
    )
