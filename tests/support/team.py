"""A team's gateway and notebook server on the cluster, and what there is of their kernels."""

import base64
import contextlib
import json
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from jupyter_kernel_client.wsclient import JupyterSubprotocol

from tests.support import manifests
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.jupyter_tab import NotebookServer
from tests.support.pod_forward import PodForward
from tests.support.rollout import SYSTEM, server_pod

GATEWAY = "gw"
NOTEBOOK = "nb"
CHILDREN = ("pods", "secrets", "jupyterkernels")
SERVED_WITHIN = 90.0
EXAMPLES = Path(__file__).parents[2] / "examples"
#: What the users of the original have, byte for byte; it names the namespace ``default``.
ORIGINAL = Path(__file__).parents[1] / "data" / "original"

Object = dict[str, Any]


class Tab(Protocol):
    """Whatever has a kernel of ours open."""

    kernel_id: str


class Team:
    """One namespace with the gateway ``gw`` and the notebook server ``nb``.

    ``idle``: seconds after which its gateway reclaims an idle kernel.
    """

    #: Seconds that a reclaim may take beyond that.
    slack = 10.0
    #: The kernel spec with one GPU, where a team has it, and how many GPUs there are.
    gpu, gpus = "gpu", 2
    what_is_missing = "nvidia.com/gpu"
    user, home = "jovyan", "/home/jovyan"

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        server: NotebookServer,
        *,
        idle: float = 600,
        later: contextlib.ExitStack | None = None,
    ) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.server = server
        self.idle = idle
        #: The ways to notebook servers that came after the first.
        self._later = later or contextlib.ExitStack()

    def kernel(self, tab: Tab) -> Object | None:
        """Return the JupyterKernel behind a tab, or None."""
        return self.cluster.get(self.namespace, "jupyterkernels", kernel_name(tab))

    def pod(self, tab: Tab) -> Object | None:
        """Return the kernel pod behind a tab, or None."""
        return self.cluster.get(self.namespace, "pods", kernel_name(tab))

    def runs(self, tab: Tab) -> Object:
        """Wait until the JupyterKernel of a kernel says that it runs, and return it.

        The kubelet may say so a second after the kernel has answered.
        """
        return eventually(
            lambda: self.kernel(tab) or {},
            lambda kernel: kernel.get("status", {}).get("phase") == "Running",
            within=20,
            what=f"phase Running of {kernel_name(tab)}",
        )

    def left_of(self, tab: Tab) -> list[str]:
        """Return what the cluster still holds of a kernel, as ``plural/name``."""
        return [
            f"{plural}/{name}"
            for plural in CHILDREN
            for name in sorted(self.cluster.names(self.namespace, plural))
            if name.startswith(kernel_name(tab))
        ]

    def reclaimed(self, tab: Tab, *, within: float) -> None:
        """Wait until nothing is left of a kernel in the cluster."""
        eventually(
            lambda: self.left_of(tab),
            lambda left: not left,
            within=within,
            what=f"the reclaim of {kernel_name(tab)}",
        )

    def edit(self, plural: str, name: str, **spec: Any) -> None:
        """Change fields of an object's spec, as ``kubectl patch`` does; None takes one out."""
        self.cluster.kubectl(
            "patch", "-n", self.namespace, plural, name, "--type=merge",
            "-p", json.dumps({"spec": spec}),
        )  # fmt: skip

    def placed(self, tabs: Sequence[Tab]) -> int:
        """Return how many of these kernels have a pod that is bound to a node."""
        pods = [self.pod(tab) for tab in tabs]
        return len([pod for pod in pods if pod and pod["spec"].get("nodeName")])

    def touch(self, tab: Tab, file: str) -> None:
        """Make a file where the kernel sees it."""
        self.cluster.exec(self.namespace, kernel_name(tab), "touch", file, within=30)

    @property
    def gateway_address(self) -> tuple[str, int]:
        """Host and port of the gateway, as the kernels see it."""
        return f"{GATEWAY}.{self.namespace}", 8888

    def restart_gateway(self) -> None:
        """Have another gateway in good order, and wait until it is ready."""
        self.cluster.kubectl("rollout", "restart", "-n", self.namespace, f"deploy/{GATEWAY}")
        self.gateway_pod()

    def kill_gateway(self) -> None:
        """SIGKILL the gateway; its container starts again by itself."""
        kill(self.cluster, self.gateway_pod(), helper_namespace=self.namespace)

    def replace_gateway(self) -> None:
        """SIGKILL the gateway, and wait until another one is Ready."""
        before = self.gateway_pod()
        self.kill_gateway()
        self.gateway_after(before)

    def gateway_after(self, before: Object) -> None:
        """Wait until a gateway is Ready that is another one than in this pod then."""
        eventually(
            lambda: self.gateway_pod()["status"]["containerStatuses"][0]["containerID"],
            lambda container: container != before["status"]["containerStatuses"][0]["containerID"],
            within=60,
            what="a new gateway container",
        )

    def replace_notebook_server(self) -> None:
        """Delete the notebook server's pod, and wait until the next one answers."""
        before = self.notebook_pod()["metadata"]
        self.cluster.delete(self.namespace, "pods", before["name"])
        eventually(
            lambda: self.notebook_pod()["metadata"]["uid"],
            lambda uid: uid != before["uid"],
            within=SERVED_WITHIN,
            what="the next notebook server",
        )
        self.server = self._later.enter_context(served(self.cluster, self.namespace))

    def gateway_pod(self) -> Object:
        """Wait until the gateway is rolled out and return its pod."""
        return server_pod(self.cluster, self.namespace, "jupytergateways", GATEWAY)

    def notebook_pod(self) -> Object:
        """Wait until the notebook server is rolled out and return its pod."""
        return server_pod(self.cluster, self.namespace, "jupyternotebooks", NOTEBOOK)


def kernel_name(tab: Tab) -> str:
    """Return the name of a tab's JupyterKernel and of its pod."""
    return f"jovyan-{tab.kernel_id}"


@contextlib.contextmanager
def a_namespace(cluster: Cluster, **labels: str) -> Iterator[str]:
    """A namespace of its own, with every GPU given back at its end."""
    name = f"ej-{uuid.uuid4().hex[:8]}"
    metadata = {"name": name, "labels": labels}
    cluster.namespaces.add(name)
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    try:
        yield name
    finally:
        sweep(cluster, name)
        cluster.delete(None, "namespaces", name)


def sweep(cluster: Cluster, namespace: str, plurals: tuple[str, ...] = ()) -> None:
    """Delete our objects and wait until no kernel pod is left, by force in the end.

    A namespace's own deletion gives each pod its full grace period, and ipykernel as PID 1 would
    hold its GPU for all of it.
    """
    for plural in plurals or ("jupyternotebooks", "jupytergateways", "jupyterkernels"):
        for name in cluster.names(namespace, plural):
            cluster.delete(namespace, plural, name)

    def kernels() -> set[str]:
        return cluster.names(namespace, "pods", name="jupyter-kernel")

    try:
        eventually(kernels, lambda left: not left, within=60, what="the end of all kernel pods")
    except AssertionError:
        for name in kernels():
            cluster.delete(namespace, "pods", name, grace=0)
        raise


@contextlib.contextmanager
def served(
    cluster: Cluster,
    namespace: str,
    notebook: str = NOTEBOOK,
    *,
    token: str | None = None,
    offers: str = "python3",
) -> Iterator[NotebookServer]:
    """Wait until a notebook server answers with its gateway's kernels; yield its REST API."""
    with _answering(
        cluster, namespace, "jupyternotebooks", notebook, token=token, offers=offers
    ) as server:
        yield server


@contextlib.contextmanager
def a_gateway_client(
    cluster: Cluster, namespace: str, *, token: str, within: float = SERVED_WITHIN
) -> Iterator[NotebookServer]:
    """The REST API of the gateway ``gw`` itself, as a notebook server with this token sees it.

    ``within``: seconds until the gateway lets it in.
    """
    with _answering(
        cluster, namespace, "jupytergateways", GATEWAY, token=token, within=within
    ) as client:
        yield client


@contextlib.contextmanager
def _answering(
    cluster: Cluster,
    namespace: str,
    plural: str,
    name: str,
    *,
    token: str | None,
    offers: str = "python3",
    within: float = SERVED_WITHIN,
) -> Iterator[NotebookServer]:
    """Yield the REST API of a notebook or gateway once it tells its kernels and offers this one.

    It is that of one pod. One that refuses the connection, as before it listens where nothing
    probes for that, ends the way to it: then there is another.
    """
    ours = {image_of(cluster, part) for part in ("GATEWAY", "NOTEBOOK")}
    began = time.monotonic()
    while True:
        pod = server_pod(cluster, namespace, plural, name)
        is_ours = pod["spec"]["containers"][0]["image"] in ours
        with cluster.forward_each(namespace, pod["metadata"]["name"], 8888) as way:
            server = NotebookServer(
                way.url,
                token=token,
                protocol=JupyterSubprotocol.V1 if is_ours else JupyterSubprotocol.DEFAULT,
            )
            if _has_answered(way, server, offers, within=within, whose=f"{plural}/{name}"):
                try:
                    yield server
                finally:
                    server.close()
                return
        assert time.monotonic() - began < within, f"{plural}/{name} takes no connection"


def _has_answered(
    way: PodForward, server: NotebookServer, offers: str, *, within: float, whose: str
) -> bool:
    """Wait until a server tells its kernels, or the way to it has ended; return which it was."""
    is_open, *_ = eventually(
        lambda: (way.alive, server.look("kernelspecs"), server.look("kernels")),
        lambda seen: not seen[0] or (is_offered(offers, seen[1]) and isinstance(seen[2], list)),
        within=within,
        what=f"{offers} among the kernels of {whose}",
    )
    return is_open


def is_offered(kernel: str, specs: Any) -> bool:
    """Whether this answer of a server is its kernel specs, and has that kernel."""
    return isinstance(specs, dict) and kernel in specs["kernelspecs"]


def gateway_token(cluster: Cluster, namespace: str, notebook: str) -> str:
    """Wait for a notebook's gateway token and return it."""
    secret = eventually(
        lambda: cluster.get(namespace, "secrets", f"{notebook}-gateway-token"),
        lambda secret: secret,
        within=SERVED_WITHIN,
        what=f"the token of notebook {notebook}",
    )
    assert secret is not None
    return base64.b64decode(secret["data"]["token"]).decode()


@contextlib.contextmanager
def a_team(cluster: Cluster, *objects: Object, **gateway: Any) -> Iterator[Team]:
    """A team of its own; ``objects`` come with it, ``gateway`` is the JupyterGateway's spec."""
    with a_namespace(cluster) as namespace:
        cluster.apply(
            namespace,
            *objects,
            manifests.gateway(GATEWAY, **gateway),
            manifests.notebook(NOTEBOOK, gateway=GATEWAY, namespace=namespace),
        )
        with served(cluster, namespace) as server, contextlib.ExitStack() as later:
            idle = gateway.get("cullIdleTimeout", 600)
            yield Team(cluster, namespace, server, idle=idle, later=later)


def image_of(cluster: Cluster, part: str) -> str:
    """Return the image that the operator runs for ``GATEWAY``, ``NOTEBOOK`` or ``KERNEL``."""
    for deployment in cluster.list(SYSTEM, "deployments"):
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            for env in container.get("env", []):
                if env["name"] == f"ELASTIC_JUPYTER_{part}_IMAGE":
                    return str(env["value"])
    raise AssertionError(f"no image of {part} in the operator's Deployment")


def foreign_image(cluster: Cluster, name: str) -> str:
    """Return the image made from ``tests/images/<name>``, which holds nothing of ours."""
    registry, _, kernel = image_of(cluster, "KERNEL").rpartition("/")
    return f"{registry}/{name}:{kernel.rpartition(':')[2]}"


KILLER = """
import os, signal, sys
def is_in(pid):
    try:
        with open(f"/proc/{pid}/cgroup") as file:
            return sys.argv[1] in file.read()
    except OSError:
        return False
found = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and is_in(pid)]
for pid in found:
    os.kill(pid, signal.SIGKILL)
sys.exit(not found)
"""


def kill(cluster: Cluster, pod: Object, *, helper_namespace: str) -> None:
    """SIGKILL the first container of a pod, as the kernel's OOM killer would.

    ``kubectl delete --force`` still sends SIGTERM first, and PID 1 cannot be killed from inside;
    so a privileged pod in ``helper_namespace`` does it. Returns when the container is dead.
    """
    before = pod["status"]["containerStatuses"][0]
    helper = manifests.plain_pod(
        f"killer-{uuid.uuid4().hex[:6]}",
        namespace=helper_namespace,
        image=image_of(cluster, "KERNEL"),
        command=["python", "-c", KILLER, before["containerID"].rpartition("/")[2]],
        hostPID=True,
        nodeName=pod["spec"]["nodeName"],
    )
    helper["spec"]["containers"][0]["securityContext"] = {"privileged": True, "runAsUser": 0}
    cluster.create(helper)
    name = helper["metadata"]["name"]
    namespace, target = pod["metadata"]["namespace"], pod["metadata"]["name"]
    try:
        eventually(
            lambda: (
                cluster.get(namespace, "pods", target),
                (cluster.get(helper_namespace, "pods", name) or {}).get("status"),
            ),
            lambda seen: (
                seen[0] is None
                or seen[0]["status"]["containerStatuses"][0]["restartCount"]
                > before["restartCount"]
                or not seen[0]["status"]["containerStatuses"][0]["ready"]
            ),
            within=90,
            what=f"the death of {namespace}/{target}",
        )
    finally:
        cluster.delete(helper_namespace, "pods", name, grace=0)
