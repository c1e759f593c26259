"""Why an environment has no place, and what is said about a tight one."""

from __future__ import annotations

from ..errors import PermanentError, Refusal


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
    text = "No node can take the environment ({total} in the cluster). The closest is {node} ({lacks})."
    hint_text = "Ask for less (--cpu, --memory, --gpu), stop something there, or ask your admin for a larger node."


class VolumeBound(Refusal):
    """Nodes have room that the environment can't move to, as they do not reach a volume."""

    code = "volume_bound"
    text = "There is room on {nodes}, but the environment can't move there, because the volume of {claim} can't be reached from there."
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
    text = "The environment can't run on node {node}, and without a registry no other node can get its image."
    hint_text = "Ask for no more than {node} has (--cpu, --memory, --gpu), or ask your admin to set a registry (Registries.named)."


class StrategyUnknown(PermanentError):
    """The policy names a placement strategy that is not installed."""

    code = "strategy_unknown"
    text = "{reason}."
    hint_text = "Correct ResourcePolicy.strategy, or install the package with that strategy."
