"""Names that several processes must agree on: group, labels, annotations, children, mount paths."""

import re

GROUP = "kubeflow.tkestack.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

LABEL_NAME = "app.kubernetes.io/name"
LABEL_INSTANCE = "app.kubernetes.io/instance"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "elastic-jupyter"

APP_NOTEBOOK = "jupyter-notebook"
APP_GATEWAY = "jupyter-gateway"
APP_KERNEL = "jupyter-kernel"

#: The gateway's name and the kernel's id: on JupyterKernels, their pods and their Secrets.
LABEL_GATEWAY = f"{GROUP}/gateway"
LABEL_KERNEL_ID = f"{GROUP}/kernel-id"
#: Which pod of a kernel this is, counted from 1: on the pod and its Secret.
LABEL_EPOCH = f"{GROUP}/epoch"

#: When the kernel was asked for, RFC 3339 with microseconds: the order of the queue.
ANNOTATION_ASKED_AT = f"{GROUP}/asked-at"
#: When the gate of a pod was lifted, as above: what the scheduler then says or not.
ANNOTATION_ADMITTED_AT = f"{GROUP}/admitted-at"
#: Epoch of the last pod that an earlier object of this kernel had; the first one here has the next.
ANNOTATION_LAST_EPOCH = f"{GROUP}/last-epoch"

#: Digest of the gateway's master key: on the kernels' Secrets, and what the gateway is rolled by.
ANNOTATION_MASTER_KEY_DIGEST = f"{GROUP}/master-key-digest"

#: Names of the variables that the client set, with commas; the others are the template's.
ANNOTATION_CLIENT_ENV = f"{GROUP}/client-env"
#: The Jupyter sessions on the kernel, as JSON: a notebook server that starts anew reads them here.
ANNOTATION_SESSIONS = f"{GROUP}/sessions"

#: GPU seconds that earlier incarnations used, and the kernel gave back asleep, as JSON.
ANNOTATION_GPU_USAGE = f"{GROUP}/gpu-usage"

#: Folder of the kernel.json that a JupyterKernelSpec of one machine was made of, with its logos.
ANNOTATION_RESOURCE_DIRECTORY = f"{GROUP}/resource-directory"

#: When the kernel, which did not hear the message that interrupts, was to get the signal.
ANNOTATION_INTERRUPTED_AT = f"{GROUP}/interrupted-at"

#: Scheduling gate of a pod that waits for its turn.
GATE_QUEUE = f"{GROUP}/queue"

#: With this label Kueue admits a pod, and its gate is used instead of ours.
LABEL_KUEUE = "kueue.x-k8s.io/queue-name"

CONNECTION_DIRECTORY = "/run/elastic-jupyter/connection"
CONNECTION_KEY = "connection.json"
CONNECTION_FILE = f"{CONNECTION_DIRECTORY}/{CONNECTION_KEY}"
#: In the same Secret: whom our agent in the kernel tells its address (elastic_jupyter_agent.home).
CALL_HOME_KEY = "call-home.json"
#: The environment in which our agent finds the two.
CONNECTION_VARIABLE = "ELASTIC_JUPYTER_CONNECTION"
CALL_HOME_VARIABLE = "ELASTIC_JUPYTER_CALL_HOME"
LOGIN_DIRECTORY = "/run/elastic-jupyter/login"
RUNTIME_DIRECTORY = "/run/elastic-jupyter/runtime"
MASTER_KEY_DIRECTORY = "/run/elastic-jupyter/master-key"
MASTER_KEY_KEY = "key"
#: In the Secret of ``notebooks_secret_name``: uids of JupyterNotebooks, one a line.
NOTEBOOKS_KEY = "uids"

#: Fixed ports of a kernel on its pod's address; below 32768, where no outgoing connection starts.
PORTS = {
    "shell_port": 20001,
    "iopub_port": 20002,
    "stdin_port": 20003,
    "control_port": 20004,
    "hb_port": 20005,
}
#: Port of notebooks and gateways, of their containers and of their Services.
HTTP_PORT = 8888

DEFAULT_USER = "jovyan"
#: Longest user name in an object's name: with a hyphen and a kernel id (36) that has the 63
#: characters that a label and a host name may have.
_LONGEST_USER = 26


def safe_user(user: str) -> str:
    """Return ``user`` as the start of an object's name: a DNS label of at most 26 characters."""
    safe = re.sub(r"[^a-z0-9]+", "-", user.lower()).strip("-")[:_LONGEST_USER].strip("-")
    return safe or DEFAULT_USER


def kernel_object_name(user: str, kernel_id: str) -> str:
    """Return the name of the JupyterKernel and of its pod: ``jovyan-<kernel id>``."""
    return f"{safe_user(user)}-{kernel_id}"


def connection_secret_name(kernel: str) -> str:
    """Return the name of the Secret with the connection file of the JupyterKernel ``kernel``."""
    return f"{kernel}-connection"


def master_key_secret_name(gateway: str) -> str:
    """Return the name of the Secret with the gateway's master key (32 random bytes)."""
    return f"{gateway}-master-key"


def tombstones_secret_name(gateway: str) -> str:
    """Return the name of the Secret in which the gateway remembers reclaimed kernels."""
    return f"{gateway}-tombstones"


def notebooks_secret_name(gateway: str) -> str:
    """Return the name of the Secret in which the operator names the notebooks to be served."""
    return f"{gateway}-notebooks"


def handover_lease_name(gateway: str) -> str:
    """Return the name of the Lease by which one gateway pod hands over to the next."""
    return f"{gateway}-gateway"


def network_policy_name(gateway: str) -> str:
    """Return the name of the NetworkPolicy of the gateway's kernels."""
    return f"{gateway}-kernels"


def gateway_token_secret_name(notebook: str) -> str:
    """Return the name of the Secret with the notebook's token for its gateway (key ``token``)."""
    return f"{notebook}-gateway-token"


def auth_secret_name(notebook: str) -> str:
    """Return the name of the Secret with the notebook's login.

    Keys: ``token`` or ``hashed-password`` or both, and what the server reads of it.
    """
    return f"{notebook}-auth"


def address_path(kernel_id: str) -> str:
    """Return the gateway's path at which a kernel tells its address."""
    return f"/api/kernels/{kernel_id}/address"


def storage_claim_name(notebook: str) -> str:
    """Return the name of the PersistentVolumeClaim that is made for a notebook's files."""
    return f"{notebook}-storage"


def snapshots_claim_name(gateway: str) -> str:
    """Return the name of the PersistentVolumeClaim for what a gateway's kernels have saved."""
    return f"{gateway}-snapshots"


def service_url(name: str, namespace: str) -> str:
    """Return the URL of a notebook's or gateway's Service inside the cluster."""
    return f"http://{name}.{namespace}:{HTTP_PORT}"
