"""The children of a JupyterGateway that serve: Deployment, Service, keys and memory."""

import copy
from collections.abc import Iterable
from typing import Any

from elastic_jupyter.api import names
from elastic_jupyter.api.gateway import (
    DEFAULT_CULL_IDLE_TIMEOUT,
    DEFAULT_CULL_INTERVAL,
    DEFAULT_LAUNCH_TIMEOUT,
    DEFAULT_SNAPSHOT_SIZE,
    JupyterGateway,
    SnapshotStorage,
)
from elastic_jupyter.api.kernel import ReclaimPolicy
from elastic_jupyter.api.reclaim import Reclaim
from elastic_jupyter.api.volume import AccessMode
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator.objects import common
from elastic_jupyter.policy import keys
from elastic_jupyter.policy.images import Images
from elastic_jupyter.policy.pod_template import first_container, pod_spec

_MASTER_KEY_VOLUME = "master-key"
#: The only folder that the gateway may write to.
_WRITABLE = "/tmp"

_SNAPSHOTS_VOLUME = "snapshots"
_SNAPSHOTS = "/var/lib/elastic-jupyter/snapshots"

#: Kernels ask for no processor time by default. A gateway that did not either would have to share
#: with each of them when many start at once, and every user would notice.
_RESOURCES: Object = {"requests": {"cpu": "50m"}}

#: A new gateway takes over before the old one goes, and the old one finishes its requests.
_GRACE_SECONDS = 60

ANNOTATION_SERVICE_ACCOUNT = f"{names.GROUP}/service-account-uid"


def make_master_key_secret(gateway: JupyterGateway, *, key: bytes) -> Object:
    """Return the Secret that all keys and tokens of this gateway derive from. Made once."""
    return {
        "metadata": common.metadata(
            names.master_key_secret_name(_name(gateway)), gateway, _labels(gateway)
        ),
        "type": "Opaque",
        "data": common.encoded({names.MASTER_KEY_KEY: key}),
    }


def master_key(secret: Object | None) -> bytes | None:
    """Return the key in a gateway's Secret; None: there is none, or none that may be used."""
    key = common.decoded(secret, names.MASTER_KEY_KEY) if secret else None
    return key if key is not None and keys.is_usable(key) else None


def make_tombstones_secret(gateway: JupyterGateway) -> Object:
    """Return the empty Secret in which the gateway remembers reclaimed kernels. Made once."""
    return {
        "metadata": common.metadata(
            names.tombstones_secret_name(_name(gateway)), gateway, _labels(gateway)
        ),
        "type": "Opaque",
    }


def make_notebooks_secret(gateway: JupyterGateway, *, uids: Iterable[str]) -> Object:
    """Return the Secret that tells the gateway whom to serve; ``uids`` of JupyterNotebooks.

    It holds no secret. The operator has the right to write Secrets in any case, and would need
    one more for ConfigMaps.
    """
    return {
        "metadata": common.metadata(
            names.notebooks_secret_name(_name(gateway)), gateway, _labels(gateway)
        ),
        "type": "Opaque",
        "data": common.encoded({names.NOTEBOOKS_KEY: "\n".join(uids)}),
    }


def make_handover_lease(gateway: JupyterGateway) -> Object:
    """Return the empty Lease by which gateway pods hand over. Made once."""
    return {
        "metadata": common.metadata(
            names.handover_lease_name(_name(gateway)), gateway, _labels(gateway)
        ),
        "spec": {},
    }


def saves_to_claim(gateway: JupyterGateway) -> bool:
    """Say whether what its kernels save goes to a volume that is made for it."""
    snapshot = gateway.spec.snapshot
    return saves(gateway) and (snapshot is None or snapshot.store is None)


def saves(gateway: JupyterGateway) -> bool:
    """Say whether its kernels save their variables, or those of some kernel specs may."""
    hibernates = _reclaim(gateway).policy is ReclaimPolicy.HIBERNATE
    return hibernates or gateway.spec.snapshot is not None


def _reclaim(gateway: JupyterGateway) -> Reclaim:
    return gateway.spec.reclaim or Reclaim()


def make_snapshots_claim(gateway: JupyterGateway) -> Object:
    """Return the claim for what kernels save, which goes with the gateway and them. Made once."""
    wanted = gateway.spec.snapshot or SnapshotStorage()
    spec: Object = {
        "accessModes": [wanted.access_mode or AccessMode.READ_WRITE_ONCE],
        "resources": {"requests": {"storage": wanted.size or DEFAULT_SNAPSHOT_SIZE}},
    }
    if wanted.class_name:
        spec["storageClassName"] = wanted.class_name
    return {
        "metadata": common.metadata(
            names.snapshots_claim_name(_name(gateway)), gateway, _labels(gateway)
        ),
        "spec": spec,
    }


def make_service(gateway: JupyterGateway) -> Object:
    """Return the Service by which notebooks reach the gateway."""
    return {
        "metadata": common.metadata(_name(gateway), gateway, _labels(gateway)),
        "spec": {
            "selector": selector(gateway),
            "ports": [{"name": "http", "port": names.HTTP_PORT, "targetPort": names.HTTP_PORT}],
        },
    }


def wanted_image(gateway: JupyterGateway) -> str | None:
    """Return the image that the spec names, None when it leaves that to the operator."""
    return gateway.spec.image or first_container(gateway.spec.template or {}).get("image")


def make_deployment(
    gateway: JupyterGateway,
    *,
    image: str,
    ours: Images,
    master_digest: str,
    service_account_uid: str,
) -> Object:
    """Return the Deployment of the gateway.

    ``master_digest`` is of the master key: a pod reads the key when it starts, and its token is of
    one ServiceAccount, so that another one of either needs a new pod. How many pods there are is
    not said: it is 1 unless somebody scales it. Raises ``Invalid`` when the template has no shape
    of a pod.
    """
    template = gateway.spec.template or {}
    pod = pod_spec(template, field="spec.template")
    _complete_container(pod["containers"][0], gateway, image=image, ours=ours)
    pod["serviceAccountName"] = _name(gateway)
    pod.setdefault("terminationGracePeriodSeconds", _GRACE_SECONDS)
    pod.setdefault("enableServiceLinks", False)
    pod["volumes"] = [
        *(pod.get("volumes") or []),
        {
            "name": _MASTER_KEY_VOLUME,
            "secret": {"secretName": names.master_key_secret_name(_name(gateway))},
        },
        {"name": "tmp", "emptyDir": {}},
    ]
    if saves_to_claim(gateway):
        _mount_snapshots(pod, gateway)
    common.restrict(pod, pod["containers"][0])
    pod["containers"][0]["securityContext"].setdefault("readOnlyRootFilesystem", True)
    return {
        "metadata": common.metadata(_name(gateway), gateway, _labels(gateway)),
        "spec": {
            "selector": {"matchLabels": selector(gateway)},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "template": {
                "metadata": {
                    "labels": {**common.template_labels(template), **_labels(gateway)},
                    "annotations": {
                        **common.template_annotations(template),
                        names.ANNOTATION_MASTER_KEY_DIGEST: master_digest,
                        ANNOTATION_SERVICE_ACCOUNT: service_account_uid,
                    },
                },
                "spec": pod,
            },
        },
    }


def _complete_container(
    container: dict[str, Any], gateway: JupyterGateway, *, image: str, ours: Images
) -> None:
    container.setdefault("name", "gateway")
    container["image"] = image
    container.setdefault("imagePullPolicy", "IfNotPresent")
    common.with_env(container, *_env(gateway, ours))
    container.setdefault(
        "ports", [{"name": "http", "containerPort": names.HTTP_PORT, "protocol": "TCP"}]
    )
    container.setdefault("livenessProbe", _probe("/livez", period=10, failures=6))
    # Recovery of many kernels may take long, and is no reason to start again.
    container.setdefault("startupProbe", _probe("/livez", period=1, failures=120))
    container.setdefault("readinessProbe", _probe("/readyz", period=1, failures=2))
    container.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")
    container["volumeMounts"] = [
        *(container.get("volumeMounts") or []),
        {"name": _MASTER_KEY_VOLUME, "mountPath": names.MASTER_KEY_DIRECTORY, "readOnly": True},
        {"name": "tmp", "mountPath": _WRITABLE},
    ]
    given = gateway.spec.resources or container.get("resources")
    container["resources"] = given or copy.deepcopy(_RESOURCES)


def _mount_snapshots(pod: Object, gateway: JupyterGateway) -> None:
    claim = names.snapshots_claim_name(_name(gateway))
    volume = {"name": _SNAPSHOTS_VOLUME, "persistentVolumeClaim": {"claimName": claim}}
    pod["volumes"] = [*pod["volumes"], volume]
    mount = {"name": _SNAPSHOTS_VOLUME, "mountPath": _SNAPSHOTS}
    container = pod["containers"][0]
    container["volumeMounts"] = [*container["volumeMounts"], mount]


def selector(gateway: JupyterGateway) -> dict[str, str]:
    """Return the labels by which the gateway's own pods are found. Never changed: immutable."""
    return {
        names.LABEL_NAME: names.APP_GATEWAY,
        names.LABEL_INSTANCE: common.label_value(_name(gateway)),
    }


def _name(gateway: JupyterGateway) -> str:
    return gateway.metadata.name or ""


def _labels(gateway: JupyterGateway) -> dict[str, str]:
    return common.labels(names.APP_GATEWAY, _name(gateway))


def _env(gateway: JupyterGateway, ours: Images) -> list[Object]:
    spec = gateway.spec
    timeout = spec.cull_idle_timeout
    values = {
        "ELASTIC_JUPYTER_GATEWAY": _name(gateway),
        "ELASTIC_JUPYTER_GATEWAY_UID": gateway.metadata.uid or "",
        "ELASTIC_JUPYTER_KERNEL_IMAGE": ours.kernel,
        "ELASTIC_JUPYTER_CULL_IDLE_TIMEOUT": str(
            DEFAULT_CULL_IDLE_TIMEOUT if timeout is None else timeout
        ),
        "ELASTIC_JUPYTER_CULL_INTERVAL": str(spec.cull_interval or DEFAULT_CULL_INTERVAL),
        "ELASTIC_JUPYTER_KERNELS": ",".join(spec.kernels or ()),
        "ELASTIC_JUPYTER_DEFAULT_KERNEL": spec.default_kernel or "",
        "ELASTIC_JUPYTER_ALLOWED_ENV": ",".join(spec.allowed_env or ()),
        "ELASTIC_JUPYTER_LOG_LEVEL": spec.log_level or "",
        "ELASTIC_JUPYTER_LAUNCH_TIMEOUT": str(
            spec.launch_timeout_seconds or DEFAULT_LAUNCH_TIMEOUT
        ),
        "ELASTIC_JUPYTER_QUEUE_TIMEOUT": spec.queue_timeout_seconds or "",
        "ELASTIC_JUPYTER_START": spec.start or "",
        **_reclaim_env(_reclaim(gateway)),
        **_snapshot_env(gateway),
    }
    return [
        {"name": "ELASTIC_JUPYTER_NAMESPACE", **_field("metadata.namespace")},
        {"name": "POD_NAME", **_field("metadata.name")},
        {"name": "POD_IP", **_field("status.podIP")},
        {"name": "HOME", "value": _WRITABLE},  # Jupyter makes folders in it
        *({"name": name, "value": str(value)} for name, value in values.items() if value),
    ]


def _reclaim_env(wanted: Reclaim) -> dict[str, Any]:
    warning, extension = wanted.warning_seconds, wanted.max_extension_seconds
    return {
        "ELASTIC_JUPYTER_RECLAIM_POLICY": wanted.policy or "",
        "ELASTIC_JUPYTER_RECLAIM_FALLBACK": wanted.fallback or "",
        "ELASTIC_JUPYTER_RECLAIM_WARNING": "" if warning is None else str(warning),
        "ELASTIC_JUPYTER_MAX_EXTENSION": "" if extension is None else str(extension),
    }


def _snapshot_env(gateway: JupyterGateway) -> dict[str, Any]:
    if not saves(gateway):
        return {}
    wanted = gateway.spec.snapshot or SnapshotStorage()
    folder = f"{gateway.metadata.namespace}/{_name(gateway)}"
    return {
        "ELASTIC_JUPYTER_SNAPSHOTS": (
            f"{wanted.store.rstrip('/')}/{folder}" if wanted.store else _SNAPSHOTS
        ),
        "ELASTIC_JUPYTER_MAX_SNAPSHOT_BYTES": wanted.max_bytes or "",
    }


def _field(path: str) -> Object:
    return {"valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def _probe(path: str, *, period: int, failures: int) -> Object:
    return {
        "httpGet": {"path": path, "port": names.HTTP_PORT},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
