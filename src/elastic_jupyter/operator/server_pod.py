"""What keeps the pod of a notebook server or of a gateway from answering. Pure."""

from collections.abc import Iterable, Mapping

from elastic_jupyter.api import names
from elastic_jupyter.kube.kinds import Key, Object

#: What every container waits for at first.
_USUAL = ("ContainerCreating", "PodInitializing")
#: Characters of a container's last words that are told; the kubelet sends 2048 bytes at most.
_LAST_WORDS = 2048


def of(pods: Mapping[Key, Object], app: str, owner: Key) -> list[Object]:
    """Return the pods of the notebook or gateway ``owner``; ``app`` is one of ``names.APP_*``."""
    return [
        pod
        for key, pod in pods.items()
        if key.namespace == owner.namespace and owner_of(key, pod, app) == owner
    ]


def owner_of(key: Key, pod: Object | None, app: str) -> Key | None:
    """Return the notebook or gateway that a pod serves, None when it is another's pod."""
    labels = ((pod or {}).get("metadata") or {}).get("labels") or {}
    instance = labels.get(names.LABEL_INSTANCE)
    return (
        Key(key.namespace, instance) if instance and labels.get(names.LABEL_NAME) == app else None
    )


def trouble(pods: Iterable[Object]) -> tuple[str, str] | None:
    """Return reason and message of the newest pod that does not answer, None if there is none."""
    waiting = [
        pod
        for pod in pods
        if not pod["metadata"].get("deletionTimestamp") and _condition(pod, "Ready") != "True"
    ]
    waiting.sort(key=lambda pod: pod["metadata"].get("creationTimestamp") or "")
    return _of_pod(waiting[-1]) if waiting else None


def _of_pod(pod: Object) -> tuple[str, str] | None:
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            # Schedulers other than Kubernetes' own may give no reason.
            reason = condition.get("reason") or "Unschedulable"
            return reason, f"pod {name}: {condition.get('message') or 'not scheduled'}"
    for container in (
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ):
        waits = (container.get("state") or {}).get("waiting") or {}
        if waits.get("reason") not in (None, *_USUAL):
            said = waits.get("message") or waits["reason"]
            words = _last_words(container)
            ended = f"; its last words: {words}" if words else ""
            return waits["reason"], f"pod {name}, container {container['name']}: {said}{ended}"
    return None


def _last_words(container: Object) -> str:
    ended = (container.get("lastState") or {}).get("terminated") or {}
    return str(ended.get("message") or "")[-_LAST_WORDS:].strip()


def _condition(pod: Object, kind: str) -> str | None:
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition["type"] == kind:
            status: str = condition["status"]
            return status
    return None
