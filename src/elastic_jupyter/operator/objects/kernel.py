"""The children of a JupyterKernel: its connection Secret and its pod."""

import json
from collections.abc import Mapping
from typing import Any

from elastic_jupyter.api import names
from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator.objects import common, storage
from elastic_jupyter.policy import accelerators, images
from elastic_jupyter.policy.compose import DEFAULT_ARGV
from elastic_jupyter.policy.images import Choice, Images
from elastic_jupyter.policy.pod_template import first_container, pod_spec

#: Seconds between SIGTERM and SIGKILL, where the template does not say. ipykernel as process 1
#: ignores SIGTERM, and Kubernetes' default of 30 s would hold the GPU for that long.
GRACE_SECONDS = 2

#: What runs in our own image in place of the default command: ipykernel, too, but started faster.
AGENT_ARGV = ("python", "-m", "elastic_jupyter_agent")

_VOLUME = "elastic-jupyter-connection"


def make_connection_secret(
    kernel: JupyterKernel,
    *,
    epoch: int,
    key: str,
    token: str | None = None,
    master_digest: str | None = None,
) -> Object:
    """Return the Secret with the connection file of one incarnation.

    ``key`` signs messages; with ``token`` the kernel may tell its gateway the address it has.
    ``master_digest`` is of the master key that both derive from.
    """
    connection = {
        "ip": "0.0.0.0",
        "transport": "tcp",
        "signature_scheme": "hmac-sha256",
        "key": key,
        "kernel_name": "",
        **names.PORTS,
    }
    files = {names.CONNECTION_KEY: json.dumps(connection)}
    gateway = kernel.spec.gateway_ref
    if gateway and token:
        url = names.service_url(gateway.name, kernel.metadata.namespace or "")
        url += names.address_path(kernel_id(kernel))
        files[names.CALL_HOME_KEY] = json.dumps({"url": url, "token": token, "epoch": epoch})
    metadata = identity(names.connection_secret_name(kernel.metadata.name or ""), kernel, epoch)
    if master_digest:
        metadata["annotations"] = {names.ANNOTATION_MASTER_KEY_DIGEST: master_digest}
    return {
        "metadata": metadata,
        # Not immutable: of such a Secret a kubelet keeps what it read first for as long as any pod
        # names it, and gives a new pod the key of its predecessor of the same name.
        "type": "Opaque",
        "data": common.encoded(files),
    }


def master_digest(secret: Object) -> str | None:
    """Return of which master key a connection Secret is, None when it does not tell."""
    annotations = secret["metadata"].get("annotations") or {}
    digest: str | None = annotations.get(names.ANNOTATION_MASTER_KEY_DIGEST)
    return digest


def make_pod(
    kernel: JupyterKernel, *, epoch: int, ours: Images, shared_claim: str | None = None
) -> Object:
    """Return the pod of one incarnation of a kernel.

    ``shared_claim`` is the claim of the notebook's files, if its kernels have them, too. Raises
    ``Invalid`` when the template has no shape of a pod.
    """
    template = kernel.spec.template
    spec = pod_spec(template, field="spec.template")
    _complete_container(spec["containers"][0], kernel, ours)
    if _runs_the_default(spec["containers"][0], ours):
        _run_agent(spec["containers"][0], kernel)
    else:
        _mount_connection_file(spec, kernel)
    for container in (*spec["containers"], *(spec.get("initContainers") or [])):
        if isinstance(container, dict):
            container.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")
    spec["restartPolicy"] = "Never"
    spec.setdefault("terminationGracePeriodSeconds", GRACE_SECONDS)
    # Variables for every Service of a namespace slow a start down, and leak names into cells.
    spec["enableServiceLinks"] = False
    if not (spec.get("serviceAccountName") or spec.get("serviceAccount")):
        spec["automountServiceAccountToken"] = False
    common.confine(spec)
    if spec["containers"][0]["image"] == ours.kernel:
        common.restrict(spec, spec["containers"][0])
    if shared_claim:
        storage.mount(spec, spec["containers"][0], claim=shared_claim)
        storage.start_in_folder(spec["containers"][0])
    metadata = identity(kernel.metadata.name or "", kernel, epoch)
    metadata["labels"] = {**common.template_labels(template), **metadata["labels"]}
    metadata["annotations"] = {**common.template_annotations(template), **_asked_at(kernel)}
    our_gate = {"name": names.GATE_QUEUE}
    # Of a template's own the queue would not know, and nobody would lift it.
    gates = [gate for gate in spec.pop("schedulingGates", None) or [] if gate != our_gate]
    if accelerators.requests(spec) and names.LABEL_KUEUE not in metadata["labels"]:
        gates.append(our_gate)
    if gates:
        spec["schedulingGates"] = gates
    return {"metadata": metadata, "spec": spec}


def image_choice(kernel: JupyterKernel, ours: Images) -> Choice:
    """Return which image a kernel's container runs, and which it was asked to run."""
    return _choice(first_container(kernel.spec.template), ours)


def _choice(container: Mapping[str, Any], ours: Images) -> Choice:
    asked, env = container.get("image"), container.get("env")
    return images.kernel(
        asked if isinstance(asked, str) else None, ours, env=env if isinstance(env, list) else ()
    )


def kernel_id(kernel: JupyterKernel) -> str:
    """Return Jupyter's id of a kernel; one made by hand may have none and goes by its uid."""
    return kernel.spec.kernel_id or kernel.metadata.uid or ""


def identity(name: str, kernel: JupyterKernel, epoch: int) -> Object:
    """Return the metadata by which a child is known as one of this incarnation."""
    gateway = kernel.spec.gateway_ref
    labels = {
        **common.labels(names.APP_KERNEL, kernel.metadata.name or ""),
        **({names.LABEL_GATEWAY: common.label_value(gateway.name)} if gateway else {}),
        names.LABEL_KERNEL_ID: kernel_id(kernel),
        names.LABEL_EPOCH: str(epoch),
    }
    return common.metadata(name, kernel, labels)


def _asked_at(kernel: JupyterKernel) -> Mapping[str, str]:
    stamp = (kernel.metadata.annotations or {}).get(names.ANNOTATION_ASKED_AT)
    return {names.ANNOTATION_ASKED_AT: stamp} if stamp else {}


def _complete_container(container: dict[str, Any], kernel: JupyterKernel, ours: Images) -> None:
    container.setdefault("name", "kernel")
    container["image"] = _choice(container, ours).image
    if container["image"] == ours.kernel:
        container.setdefault("imagePullPolicy", "IfNotPresent")
        if not container.get("command") and not container.get("args"):
            container["command"] = list(DEFAULT_ARGV)
    common.with_env(
        container,
        {"name": "KERNEL_ID", "value": kernel_id(kernel)},
        {"name": "KERNEL_USERNAME", "value": kernel.spec.user or names.DEFAULT_USER},
        {"name": "KERNEL_NAMESPACE", "value": kernel.metadata.namespace},
        # To ipykernel: nobody sits at a terminal. Else the first lines of its log, and so the last
        # ones of a kernel that was killed, say how to quit it there.
        {"name": "JPY_PARENT_PID", "value": "1"},
    )


def _runs_the_default(container: Mapping[str, Any], ours: Images) -> bool:
    command, args = container.get("command"), container.get("args")
    return container["image"] == ours.kernel and command == list(DEFAULT_ARGV) and not args


def _run_agent(container: Object, kernel: JupyterKernel) -> None:
    """Give the container our agent, and the connection in its environment.

    Not as a volume: the kubelet looks every 300 ms whether a pod's volumes are mounted, and a pod
    that has none starts by so much earlier.
    """
    container["command"] = list(AGENT_ARGV)
    secret = names.connection_secret_name(kernel.metadata.name or "")
    call_home = common.from_secret(names.CALL_HOME_VARIABLE, secret, names.CALL_HOME_KEY)
    call_home["valueFrom"]["secretKeyRef"]["optional"] = True  # without a gateway there is none
    common.with_env(
        container,
        common.from_secret(names.CONNECTION_VARIABLE, secret, names.CONNECTION_KEY),
        call_home,
    )


def _mount_connection_file(spec: Object, kernel: JupyterKernel) -> None:
    """Give the first container the connection file, and its path to the command."""
    container = spec["containers"][0]
    for part in ("command", "args"):
        if container.get(part):
            container[part] = [_with_connection_file(word) for word in container[part]]
    container["volumeMounts"] = [
        *(container.get("volumeMounts") or []),
        {"name": _VOLUME, "mountPath": names.CONNECTION_DIRECTORY, "readOnly": True},
    ]
    secret = names.connection_secret_name(kernel.metadata.name or "")
    spec["volumes"] = [
        *(spec.get("volumes") or []),
        {"name": _VOLUME, "secret": {"secretName": secret}},
    ]


def _with_connection_file(word: Any) -> Any:
    if not isinstance(word, str):
        return word  # the API server refuses it and says so
    return word.replace("{connection_file}", names.CONNECTION_FILE)
