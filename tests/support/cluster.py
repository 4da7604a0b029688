"""A real cluster as the tests see it: kubectl for what users do, its proxy for cheap looks.

Objects are plain dicts. Nothing here knows of the product but its API group.
"""

import json
import os
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import requests
import yaml
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from tests.support.pod_forward import PodForward

GROUP = "apis/kubeflow.tkestack.io/v1alpha1"
PREFIXES = {
    "deployments": "apis/apps/v1",
    "networkpolicies": "apis/networking.k8s.io/v1",
    "jupyterkernels": GROUP,
    "jupyterkernelspecs": GROUP,
    "jupyterkerneltemplates": GROUP,
    "jupyternotebooks": GROUP,
    "jupytergateways": GROUP,
    "leases": "apis/coordination.k8s.io/v1",
    "subjectaccessreviews": "apis/authorization.k8s.io/v1",
    "roles": "apis/rbac.authorization.k8s.io/v1",
    "rolebindings": "apis/rbac.authorization.k8s.io/v1",
}
READY_WITHIN = 30.0


def find_kubectl() -> str:
    """Return the devcluster's kubectl where it was built, else the one on the PATH."""
    cache = os.environ.get("ELASTIC_JUPYTER_CACHE")
    caches = [Path(cache)] if cache else []
    caches.append(
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "elastic-jupyter"
    )
    for root in caches:
        built = root / "devcluster" / "bin" / "kubectl"
        if os.access(built, os.X_OK):
            return str(built)
    return shutil.which("kubectl") or "kubectl"


class Line:
    """A child process of which one line of output says that it is ready, and where."""

    def __init__(self, argv: list[str], pattern: str) -> None:
        self._process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        # Read to the end: port-forward writes a line a connection and would stop at a full pipe.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.match = self._await(pattern, argv)
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.append(line)
            self._lines.put(line)
        self._lines.put(None)

    def _await(self, pattern: str, argv: list[str]) -> re.Match[str]:
        while True:
            try:
                line = self._lines.get(timeout=READY_WITHIN)
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"{argv[1:]} was not ready: {''.join(self._said)!r}")
            if found := re.search(pattern, line):
                return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process and its reader."""
        if self.alive:
            self._process.terminate()
        self._process.wait(READY_WITHIN)
        self._reader.join(READY_WITHIN)
        assert self._process.stdout is not None
        self._process.stdout.close()


class Forward(Line):
    """A free local port that leads to one of a pod.

    It is bound to the pod that was there at first: kubectl ends when that goes, or refuses or drops
    a connection.
    """

    def __init__(self, argv: list[str]) -> None:
        super().__init__(argv, r"Forwarding from (127\.0\.0\.1:\d+)")

    @property
    def url(self) -> str:
        """The URL of the local port."""
        return f"http://{self.match[1]}"


class Cluster:
    """The cluster that ``KUBECONFIG`` names."""

    def __init__(self) -> None:
        self.kubectl_path = find_kubectl()
        #: The names of the namespaces that the tests at hand made, to be shown when one fails.
        self.namespaces: set[str] = set()
        self._proxy = Line(
            [self.kubectl_path, "proxy", "--port=0"], r"Starting to serve on (127\.0\.0\.1:\d+)"
        )
        self._url = f"http://{self._proxy.match[1]}"
        self._http = requests.Session()
        # The proxies of the environment are for the world outside.
        self._http.trust_env = False
        # What the API server says while it takes up a changed CRD.
        busy = Retry(total=8, status_forcelist=(429,), backoff_factor=0.1, allowed_methods=None)
        self._http.mount("http://", HTTPAdapter(max_retries=busy))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the API proxy."""
        self._http.close()
        self._proxy.close()

    # What users do

    def kubectl(self, *args: str | Path, input: str | None = None, within: float = 60) -> str:
        """Run kubectl and return its output; raises ``AssertionError`` with its complaint."""
        done = subprocess.run(
            [self.kubectl_path, *args], input=input, capture_output=True, text=True, timeout=within
        )
        if done.returncode:
            command = " ".join(map(str, args))
            said = done.stderr or done.stdout
            raise AssertionError(f"kubectl {command}: exit {done.returncode}: {said}")
        return done.stdout

    def apply(self, namespace: str, *objects: dict[str, Any]) -> None:
        """``kubectl apply`` these objects in one go, in this order."""
        self.kubectl(
            "apply", "-n", namespace, "-f", "-", input=yaml.safe_dump_all(objects, sort_keys=False)
        )

    def exec(self, namespace: str, pod: str, *argv: str, within: float = 60) -> str:
        """Run a command in the first container of a pod and return its output."""
        return self.kubectl("exec", "-n", namespace, pod, "--", *argv, within=within)

    def forward(self, namespace: str, target: str, port: int) -> Forward:
        """Forward a free local port to ``target`` (``pod/<name>``, ``svc/<name>``)."""
        return Forward([self.kubectl_path, "port-forward", "-n", namespace, target, f":{port}"])

    def forward_each(self, namespace: str, pod: str, port: int) -> PodForward:
        """Forward a free local port to a pod, for many connections (see ``PodForward``)."""
        return PodForward(self._url, namespace, pod, port)

    # What is

    def watch_path(self, namespace: str, plural: str) -> str:
        """Return the API server's path of a watch that tells all that changes from now on."""
        now = self._http.get(
            self._path(namespace, plural), params={"limit": "1"}, timeout=READY_WITHIN
        )
        now.raise_for_status()
        version = now.json()["metadata"]["resourceVersion"]
        path = self._path(namespace, plural).removeprefix(self._url)
        return f"{path}?watch=true&resourceVersion={version}"

    def _path(self, namespace: str | None, plural: str, name: str | None = None) -> str:
        scope = f"namespaces/{namespace}/" if namespace else ""
        tail = f"/{name}" if name else ""
        return f"{self._url}/{PREFIXES.get(plural, 'api/v1')}/{scope}{plural}{tail}"

    def get(self, namespace: str | None, plural: str, name: str) -> dict[str, Any] | None:
        """Return one object, or None where there is none."""
        answer = self._http.get(self._path(namespace, plural, name), timeout=READY_WITHIN)
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def list(self, namespace: str | None, plural: str, **labels: str) -> list[dict[str, Any]]:
        """Return the objects with these labels, given as ``name_of_label="value"``.

        Keyword names stand for the product's labels: ``kernel_id`` for
        ``kubeflow.tkestack.io/kernel-id``, ``name`` for ``app.kubernetes.io/name``.
        """
        selector = ",".join(f"{LABELS[key]}={value}" for key, value in labels.items())
        answer = self._http.get(
            self._path(namespace, plural),
            params={"labelSelector": selector} if selector else {},
            timeout=READY_WITHIN,
        )
        answer.raise_for_status()
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    def create(self, obj: dict[str, Any]) -> dict[str, Any]:
        """Create an object and return it; its plural is the kind's name and an s."""
        meta = obj.get("metadata", {})
        answer = self._http.post(
            self._path(meta.get("namespace"), obj["kind"].lower() + "s"),
            json=obj,
            timeout=READY_WITHIN,
        )
        assert answer.ok, f"create {obj['kind']} {meta.get('name', '')}: {answer.text}"
        created: dict[str, Any] = answer.json()
        return created

    def delete(
        self, namespace: str | None, plural: str, name: str, *, grace: int | None = None
    ) -> None:
        """Delete an object and do not wait; it is no error when it is gone. ``grace`` in s."""
        answer = self._http.delete(
            self._path(namespace, plural, name),
            params={} if grace is None else {"gracePeriodSeconds": str(grace)},
            timeout=READY_WITHIN,
        )
        if answer.status_code != 404:
            answer.raise_for_status()

    def names(self, namespace: str | None, plural: str, **labels: str) -> set[str]:
        """Return the names of the objects with these labels (see ``list``)."""
        return {item["metadata"]["name"] for item in self.list(namespace, plural, **labels)}

    def log(self, namespace: str, pod: str, *, tail: int = 200, **options: bool) -> str:
        """Return the end of a pod's log, or why there is none.

        ``previous``: of the container before the restart; ``timestamps``: lines begin with theirs.
        """
        answer = self._http.get(
            self._path(namespace, "pods", pod) + "/log",
            params={"tailLines": str(tail)} | {key: str(on).lower() for key, on in options.items()},
            timeout=READY_WITHIN,
        )
        return answer.text


LABELS = {
    "name": "app.kubernetes.io/name",
    "instance": "app.kubernetes.io/instance",
    "managed_by": "app.kubernetes.io/managed-by",
    "gateway": "kubeflow.tkestack.io/gateway",
    "kernel_id": "kubeflow.tkestack.io/kernel-id",
}


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether the pod is Ready and not on its way out."""
    conditions = pod.get("status", {}).get("conditions", [])
    return "deletionTimestamp" not in pod["metadata"] and any(
        c["type"] == "Ready" and c["status"] == "True" for c in conditions
    )


def is_observed(obj: dict[str, Any]) -> bool:
    """Whether the status of an object is about its present spec."""
    observed: int = obj.get("status", {}).get("observedGeneration", 0)
    return observed >= int(obj["metadata"]["generation"])


def events_of(cluster: Cluster, obj: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the Events about an object; they are written after its status."""
    metadata = obj["metadata"]
    return [
        event
        for event in cluster.list(metadata["namespace"], "events")
        if event["involvedObject"].get("uid") == metadata["uid"]
    ]


def describe(cluster: Cluster, namespace: str, logs: Iterable[tuple[str, str]] = ()) -> str:
    """Return what a person needs to see after a failure: objects, events and logs.

    ``logs`` are more pods, as (namespace, pod), whose log belongs here.
    """
    parts: list[str] = []
    for plural in (
        "pods",
        "deployments",
        "jupyternotebooks",
        "jupytergateways",
        "jupyterkernelspecs",
        "jupyterkernels",
    ):
        for item in cluster.list(namespace, plural):
            shown = {
                "spec": item.get("spec") if plural.startswith("jupyter") else "...",
                "status": item.get("status"),
            }
            gone = " (deleting)" if "deletionTimestamp" in item["metadata"] else ""
            parts.append(f"## {plural}/{item['metadata']['name']}{gone}\n{json.dumps(shown)}")
    events = sorted(
        cluster.list(namespace, "events"),
        key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or "",
    )
    parts.append("## events")
    parts += [
        f"{e.get('lastTimestamp') or e.get('eventTime')} {e['involvedObject'].get('kind')}/"
        f"{e['involvedObject'].get('name')} {e.get('reason')}: {e.get('message')}"
        for e in events
    ]
    pods = [(namespace, pod["metadata"]["name"]) for pod in cluster.list(namespace, "pods")]
    for where, pod in [*pods, *logs]:
        parts.append(f"## log of {where}/{pod}\n{cluster.log(where, pod)}")
        restarts = (cluster.get(where, "pods", pod) or {}).get("status", {})
        if any(c.get("restartCount") for c in restarts.get("containerStatuses", [])):
            parts.append(f"## log before the restart\n{cluster.log(where, pod, previous=True)}")
    return "\n".join(parts)
