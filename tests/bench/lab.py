"""Where the benchmarks run: a team, and a client pod beside it that holds ``inside.py``."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support import manifests
from tests.support.cluster import Cluster, is_ready
from tests.support.eventually import eventually
from tests.support.team import GATEWAY, NOTEBOOK, Team, a_team, image_of

CLIENT = "bench-client"
INSIDE = Path(__file__).with_name("inside.py")
GROUP = "kubeflow.tkestack.io"
PORTS = ("shell", "iopub", "stdin", "control", "hb")


class Lab:
    """A team of its own and its client in the cluster."""

    def __init__(self, team: Team) -> None:
        self.team = team

    def run(self, *args: str, within: float) -> Any:
        """Run ``inside.py`` to its end and return what it printed."""
        return json.loads(
            self.team.cluster.exec(
                self.team.namespace, CLIENT, "python", "/bench/inside.py", *args, within=within
            )
        )

    @contextlib.contextmanager
    def holder(self) -> Iterator["Holder"]:
        """Hold kernels, and let them go at the end."""
        process = subprocess.Popen(
            [
                *(self.team.cluster.kubectl_path, "exec", "-i", "-n", self.team.namespace, CLIENT),
                *("--", "python", "/bench/inside.py", "hold"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            yield Holder(process)
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)

    def gateway_memory(self) -> dict[str, float]:
        """Return RSS and PSS of the gateway's process, in MB of 10^6 bytes."""
        pod = self.team.gateway_pod()["metadata"]["name"]
        said = self.team.cluster.exec(
            self.team.namespace, pod, "cat", "/proc/1/status", "/proc/1/smaps_rollup"
        )
        kibibytes = {
            key: int(rest.split()[0])
            for key, _, rest in (line.partition(":") for line in said.splitlines())
            if key in ("VmRSS", "Pss")
        }
        return {
            "rss": round(kibibytes["VmRSS"] * 1024 / 1e6, 3),
            "pss": round(kibibytes["Pss"] * 1024 / 1e6, 3),
        }


class Holder:
    """Kernels with a websocket each, held in the client pod."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def hold(self, kernels: int) -> None:
        """Start kernels until so many are held, and idle."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{kernels}\n")
        self._process.stdin.flush()
        assert json.loads(self._process.stdout.readline()) == {"held": kernels}


@contextlib.contextmanager
def a_lab(cluster: Cluster) -> Iterator[Lab]:
    """A team that reclaims nothing, with a client that may make pods of its own."""
    with a_team(cluster, cullIdleTimeout=3600) as team:
        cluster.apply(team.namespace, *rights(team.namespace), *files(), client(team))
        eventually(
            lambda: cluster.get(team.namespace, "pods", CLIENT),
            lambda pod: pod and is_ready(pod),
            within=60,
            what="the client pod",
        )
        yield Lab(team)


def rights(namespace: str) -> list[dict[str, Any]]:
    """The client's account: the pods and JupyterKernels of this namespace."""
    rbac = "rbac.authorization.k8s.io"
    meta = {"metadata": {"name": CLIENT}}
    verbs = ["create", "delete", "get", "list", "watch"]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount"} | meta,
        {"apiVersion": f"{rbac}/v1", "kind": "Role"}
        | meta
        | {
            "rules": [
                {"apiGroups": [""], "resources": ["pods"], "verbs": verbs},
                {"apiGroups": [GROUP], "resources": ["jupyterkernels"], "verbs": verbs},
            ]
        },
        {"apiVersion": f"{rbac}/v1", "kind": "RoleBinding"}
        | meta
        | {
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": CLIENT},
            "subjects": [{"kind": "ServiceAccount", "name": CLIENT, "namespace": namespace}],
        },
    ]


def files() -> list[dict[str, Any]]:
    """The client's script and the bare pods' connection file."""
    ports = {f"{name}_port": number for number, name in enumerate(PORTS, start=20001)}
    connection = ports | {
        "ip": "0.0.0.0",
        "transport": "tcp",
        "signature_scheme": "hmac-sha256",
        "key": "bench",
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": CLIENT},
            "data": {"inside.py": INSIDE.read_text()},
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "bench-connection"},
            "stringData": {"connection.json": json.dumps(connection)},
        },
    ]


def client(team: Team) -> dict[str, Any]:
    """The client pod, with the notebook's token and the way to both servers."""
    pod = manifests.plain_pod(
        CLIENT,
        namespace=team.namespace,
        image=image_of(team.cluster, "NOTEBOOK"),
        command=["python", "-c", "import time; time.sleep(86400)"],
        serviceAccountName=CLIENT,
        volumes=[{"name": "bench", "configMap": {"name": CLIENT}}],
    )
    token = {"secretKeyRef": {"name": f"{NOTEBOOK}-gateway-token", "key": "token"}}
    pod["spec"]["containers"][0] |= {
        # The client stands for a browser elsewhere: what starts here is not to hold it up.
        "resources": {"requests": {"cpu": "200m"}},
        "volumeMounts": [{"name": "bench", "mountPath": "/bench"}],
        "env": [
            {"name": "TOKEN", "valueFrom": token},
            {"name": "GATEWAY_URL", "value": f"http://{GATEWAY}.{team.namespace}:8888"},
            {"name": "NOTEBOOK_URL", "value": f"http://{NOTEBOOK}.{team.namespace}:8888"},
            {"name": "KERNEL_IMAGE", "value": image_of(team.cluster, "KERNEL")},
        ],
    }
    return pod
