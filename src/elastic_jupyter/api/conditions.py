"""The conditions of each kind and their reasons, for the reference.

Whoever says a new condition or reason names it here; a test compares this table with the operator.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ConditionType:
    """One type of condition: what True means, and what each reason stands for.

    ``others`` tells where reasons come from that are not ours and not in ``reasons``.
    """

    type: str
    meaning: str
    reasons: Mapping[str, str]
    others: str = ""


_REFUSED = {
    "Invalid": "The API server refuses what the spec leads to; the message names the field.",
    "Forbidden": "A quota or an admission policy refuses it, or the operator has no right to it.",
}
_DEPLOYMENT = {
    "Available": "The present spec is rolled out, and its pod answers.",
    "Progressing": "The pod is being started or replaced.",
    "ScaledDown": "Somebody has scaled the Deployment to 0.",
    "TooManyReplicas": "Somebody has scaled the Deployment to more than the one pod that can "
    "serve.",
    "DeploymentMissing": "The Deployment is not made yet.",
    "NotProgressing": "The Deployment gave up without a word of its own.",
    "ReplicaFailure": "The pod cannot be made, without a word of the Deployment's own.",
    "AlreadyExists": "An object with the name of a child exists and belongs to somebody else.",
    **_REFUSED,
}
_OF_DEPLOYMENTS = (
    "What keeps the newest pod from answering, for example `Unschedulable`, `ImagePullBackOff` or "
    "`CrashLoopBackOff`, or the Deployment's own words, for example `ProgressDeadlineExceeded` or, "
    "where a quota refuses the pod, `FailedCreate`."
)
_AVAILABLE = ConditionType(
    "Available",
    "A pod answers, be it one of an earlier spec while the present one is rolled out.",
    {"PodAnswers": "There is one.", "NoPodAnswers": "There is none; `Ready` says why."},
)
_IMAGE_REPLACED = ConditionType(
    "ImageReplaced",
    "An image of the original was asked for, and the operator's runs in its place.",
    {"OriginalImage": "The message names both images."},
)
_RECONCILED = ConditionType(
    "Reconciled",
    "The operator has looked after the object. Said only where a fault of its own keeps it from "
    "that.",
    {"InternalError": "The message names the error's type; the operator's log has all of it."},
)
_PASSING = {
    "QuotaExceeded": "A ResourceQuota is used up; it is tried again.",
    "ServiceAccountNotFound": "The pod's ServiceAccount does not exist (yet); it is tried again.",
}
_DRY_RUN = {
    "Accepted": "The API server takes the pod that a kernel of this kind would get.",
    **_REFUSED,
    **_PASSING,
}
_ENDS = {
    "Error": "The process ended with an exit code other than 0; the message ends with its last "
    "lines.",
    "OOMKilled": "It used more memory than its limit.",
    "Evicted": "The node took the pod away.",
    "PodDeleted": "Somebody deleted the pod, and nothing tells why.",
    "NodeLost": "The pod's node does not answer any more.",
    "ErrImageNeverPull": "The image is not on the node, and `imagePullPolicy` is Never.",
    "InvalidImageName": "`image` is no name of an image.",
    "KeyReplaced": "The Secret with its gateway's master key was deleted or edited: nobody can "
    "reach a kernel that has the old key.",
    "GatewayElsewhere": "`spec.gatewayRef.namespace` is another namespace.",
    "KernelIDTaken": "An older JupyterKernel of the same gateway has the id in `spec.kernelID`.",
    "Invalid": _REFUSED["Invalid"],
    "Forbidden": _REFUSED["Forbidden"],
}
_ENDS_ON_ONE_MACHINE = {
    "ProcessGone": "On one machine: its process is gone, and nobody saw how it ended: it had "
    "outlived the elastic-jupyter that started it.",
    "StartError": "On one machine: its command cannot be executed, or its `workingDir` is no "
    "folder.",
    "TooFewGPUs": "On one machine: it asks for more GPUs than that has.",
    "Stopped": "On one machine: elastic-jupyter was stopped, and its kernels with it.",
}

#: By kind, in the order in which they are shown.
CONDITIONS: Mapping[str, tuple[ConditionType, ...]] = {
    "JupyterNotebook": (
        ConditionType(
            "Ready",
            "The notebook server answers, and is as the spec says.",
            {
                **_DEPLOYMENT,
                "GatewayNotFound": "The JupyterGateway of `spec.gateway` does not exist, or is so "
                "new that it has no master key yet, or its master key cannot be used.",
                "SecretNotFound": "The Secret of `spec.auth.secretRef` does not exist.",
                "GatewayNotAllowed": "`spec.allowedNamespaces` of the JupyterGateway does not take "
                "notebooks of this namespace.",
            },
            _OF_DEPLOYMENTS,
        ),
        _AVAILABLE,
        ConditionType(
            "EarlierKernelsDeleted",
            "Kernels that an earlier notebook of this name left are deleted. Said only where they "
            "are not; it is tried again.",
            {"Forbidden": "The operator may not, or an admission policy refuses it."},
            "What else the API server answered, for example `Unavailable`.",
        ),
        ConditionType(
            "StorageApplied",
            "The claim for the notebook's files is as `spec.storage` asks. Said only where it is "
            "not.",
            {
                "CannotChange": "No volume shrinks, and no claim changes its class or access mode; "
                "the message names the field.",
                "Forbidden": "The claim cannot grow: its StorageClass or a quota does not permit "
                "it. It is tried again.",
                "Invalid": "The claim cannot grow, for example because it is not bound yet. It is "
                "tried again.",
            },
        ),
        ConditionType(
            "StorageShared",
            "Kernels have the notebook's files. Said only where they do not.",
            {
                "GatewayElsewhere": "The gateway, and so its kernels, are in another namespace, "
                "where the notebook's volume cannot be mounted."
            },
        ),
        _RECONCILED,
    ),
    "JupyterGateway": (
        ConditionType(
            "Ready",
            "The gateway answers, and is as the spec says.",
            {
                **_DEPLOYMENT,
                "MasterKeyUnusable": "The Secret with the gateway's master key was edited, and no "
                "key can derive from what it holds.",
            },
            _OF_DEPLOYMENTS,
        ),
        _AVAILABLE,
        _IMAGE_REPLACED,
        ConditionType(
            "KernelsMissing",
            "Something that `spec.kernels` or `spec.defaultKernel` names is not on offer.",
            {"NotFound": "The message names them; it goes when their JupyterKernelSpecs come."},
        ),
        ConditionType(
            "ClusterRoleBound",
            "The gateway's ServiceAccount is bound to `spec.clusterRole`.",
            {
                "Allowed": "It is on the operator's allow-list.",
                "NotAllowed": "It is not; the gateway has its own Role alone.",
                "Forbidden": "The operator has no right to `bind` it.",
                "NotFound": "There is no such ClusterRole.",
                "Invalid": _REFUSED["Invalid"],
                "AlreadyExists": "A RoleBinding of the name exists and is somebody else's.",
            },
        ),
        _RECONCILED,
    ),
    "JupyterKernelSpec": (
        ConditionType(
            "Ready",
            "A kernel of this kind can be started.",
            {
                **_DRY_RUN,
                "TemplateNotFound": "There is no JupyterKernelTemplate of the name in "
                "`spec.template`.",
                "TemplateElsewhere": "`spec.template.namespace` is another namespace.",
            },
        ),
        _IMAGE_REPLACED,
        ConditionType(
            "CommandIgnored",
            "`spec.command` has no effect.",
            {
                "OriginalLauncher": "It is a launcher of Enterprise Gateway; gateways launch by "
                "themselves here."
            },
        ),
        _RECONCILED,
    ),
    "JupyterKernelTemplate": (
        ConditionType("Ready", "The API server takes the pod.", _DRY_RUN),
        ConditionType(
            "LabelsLifted",
            "Something in the template's metadata became a label.",
            {"UnknownMetadata": "The message names the keys."},
        ),
        _RECONCILED,
    ),
    "JupyterKernel": (
        ConditionType(
            "Running",
            "The kernel's container runs.",
            {
                "Started": "It runs.",
                "Hibernating": "It runs until its variables are saved.",
                "Hibernated": "Nothing runs: its variables are saved, and the next execution "
                "wakes it.",
                "Dormant": "Nothing runs before the first execution.",
                "Queued": "It waits for a GPU; the message tells its place, as does "
                "`status.queue`.",
                **_PASSING,
                "Unschedulable": "No node takes the pod; the message is the scheduler's.",
                "NoScheduler": "No scheduler of the name in the pod template has said anything of "
                "the pod for 10 s.",
                "SchedulingGated": "The pod has a scheduling gate of somebody else, which the "
                "message names.",
                "GateRefused": "It is its turn to get a GPU, and the API server refuses to lift "
                "the pod's scheduling gate; it is tried again.",
                "ContainerCreating": "The pod is being scheduled and started.",
                "Terminating": "The pod is being deleted.",
                "PreviousPodTerminating": "The pod of this name's previous kernel is still being "
                "deleted.",
                "NameTaken": "A pod or Secret of this name exists that is not this kernel's.",
                "GatewayNotFound": "The JupyterGateway of `spec.gatewayRef` does not exist, or has "
                "no master key to be used, from which the kernel's key derives.",
                "Unavailable": "On one machine: it lacks something for the moment, as the message "
                "says; it is tried again.",
                "Completed": "It ended with exit code 0.",
                **_ENDS,
                **_ENDS_ON_ONE_MACHINE,
            },
            "The kubelet's own words, for example `ErrImagePull` or `Evicted`, or the cause of a "
            "disruption, for example `PreemptionByScheduler`.",
        ),
        ConditionType(
            "Stalled",
            "A container cannot be started, which may pass; after 2 minutes the kernel fails.",
            {},
            "The kubelet's own words, for example `ErrImagePull`, `ImagePullBackOff` or "
            "`CreateContainerConfigError`.",
        ),
        ConditionType(
            "Failed",
            "This kernel ended and will not run again; a restart, or the next execution from an "
            "open notebook, starts the next one.",
            {**_ENDS, **_ENDS_ON_ONE_MACHINE},
            "The kubelet's own words.",
        ),
        ConditionType(
            "ReclaimSoon",
            "It is idle, and its reclaim is near (`reclaim.warningSeconds` of the JupyterGateway); "
            "the message says when, and how to keep it. Said only then.",
            {"IdleTimeout": "Nothing has run for nearly as long as `cullIdleTimeout`."},
        ),
        ConditionType(
            "Savable",
            "Its variables can be saved, as `reclaimPolicy: Hibernate` wants. Said only where they "
            "cannot; the message says why.",
            {
                "DeleteInstead": "It is deleted when it is idle for too long.",
                "KeepInstead": "It is not reclaimed, however long it is idle.",
                "SaveFailed": "This time they could not: they are too large, the store is full or "
                "away, or the agent failed. It runs on, and saving is tried again.",
            },
        ),
        ConditionType(
            "Succeeded", "The kernel's process ended by itself.", {"Completed": "Exit code 0."}
        ),
        ConditionType(
            "Restored",
            "All variables came back when the kernel woke. Said only where some did not.",
            {"NotRestored": "The message names them, each with its type and why."},
        ),
        _IMAGE_REPLACED,
        _RECONCILED,
    ),
}
