"""The claim for a notebook's files on a real API server; that kernels have them: test_notebook.py.

No server runs here, and the claims are bound to volumes that nobody mounts.
"""

import contextlib
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support import manifests
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.team import Object, a_namespace

TOLD_WITHIN = 30.0
HOME = {"name": "own", "mountPath": "/home/jovyan"}


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    with a_namespace(cluster) as namespace:
        yield namespace


@contextlib.contextmanager
def a_volume(cluster: Cluster, *, expandable: bool) -> Iterator[str]:
    """A volume of 1Gi in a StorageClass of its own, whose name is returned."""
    name = f"ej-{uuid.uuid4().hex[:8]}"
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "kubernetes.io/no-provisioner",
        "allowVolumeExpansion": expandable,
    }
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": name,
            "hostPath": {"path": f"/nowhere/{name}"},
        },
    }
    try:
        cluster.apply("default", storage_class, volume)
        yield name
    finally:
        for kind in ("storageclass", "persistentvolume"):
            cluster.kubectl("delete", kind, name, "--ignore-not-found", "--wait=false")


def a_notebook(name: str, template: Object | None = None, **storage: Any) -> Object:
    notebook = manifests.plain_notebook(name, template=template or manifests.parked())
    notebook["spec"]["storage"] = storage
    return notebook


def resize(cluster: Cluster, namespace: str, notebook: str, size: str) -> None:
    patch = json.dumps({"spec": {"storage": {"size": size}}})
    where = ("jupyternotebook", notebook, "-n", namespace)
    cluster.kubectl("patch", *where, "--type=merge", "-p", patch)


def claim(cluster: Cluster, namespace: str, notebook: str) -> Object:
    return cluster.get(namespace, "persistentvolumeclaims", f"{notebook}-storage") or {}


def size(claim: Object) -> Any:
    return claim["spec"]["resources"]["requests"]["storage"]


def bound(cluster: Cluster, namespace: str, notebook: str) -> Object:
    return eventually(
        lambda: claim(cluster, namespace, notebook),
        lambda seen: seen.get("status", {}).get("phase") == "Bound",
        within=TOLD_WITHIN,
        what=f"a bound claim of {notebook}",
    )


def said(cluster: Cluster, namespace: str, plural: str, name: str, type_: str) -> Object | None:
    """Return a condition of an object as soon as it is about the present spec; None: not said."""
    found = eventually(
        lambda: cluster.get(namespace, plural, name) or {},
        lambda seen: (
            seen.get("status", {}).get("observedGeneration") == seen["metadata"]["generation"]
        ),
        within=TOLD_WITHIN,
        what=f"a word on {name}",
    )
    conditions = found["status"]["conditions"]
    return next((one for one in conditions if one["type"] == type_), None)


def applied(cluster: Cluster, namespace: str, notebook: str) -> Object | None:
    return said(cluster, namespace, "jupyternotebooks", notebook, "StorageApplied")


def test_a_claim_grows_where_its_class_permits_and_never_shrinks(
    cluster: Cluster, namespace: str
) -> None:
    with a_volume(cluster, expandable=True) as class_name:
        notebook = a_notebook("grows", size="512Mi", className=class_name)
        cluster.apply(namespace, notebook)
        made = bound(cluster, namespace, "grows")
        resize(cluster, namespace, "grows", "1Gi")
        assert applied(cluster, namespace, "grows") is None
        assert size(claim(cluster, namespace, "grows")) == "1Gi"

        resize(cluster, namespace, "grows", "256Mi")
        told = applied(cluster, namespace, "grows")
        assert told is not None
        assert (told["status"], told["reason"]) == ("False", "CannotChange")
        assert "spec.storage.size 256Mi is less than its 1Gi" in told["message"]
        after = claim(cluster, namespace, "grows")
        assert (size(after), after["metadata"]["uid"]) == ("1Gi", made["metadata"]["uid"])

        resize(cluster, namespace, "grows", "1Gi")
        assert applied(cluster, namespace, "grows") is None


def test_a_claim_whose_class_does_not_permit_growth_stays_and_the_notebook_says_so(
    cluster: Cluster, namespace: str
) -> None:
    with a_volume(cluster, expandable=False) as class_name:
        cluster.apply(namespace, a_notebook("stays", size="512Mi", className=class_name))
        bound(cluster, namespace, "stays")
        resize(cluster, namespace, "stays", "1Gi")
        told = applied(cluster, namespace, "stays")
        assert told is not None
        assert (told["status"], told["reason"]) == ("False", "Forbidden")
        for words in ("spec.storage.size: PersistentVolumeClaim", "must support resize"):
            assert words in told["message"]
        assert size(claim(cluster, namespace, "stays")) == "512Mi"


def test_a_claim_of_somebody_else_is_named_and_not_taken(cluster: Cluster, namespace: str) -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "taken-storage"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "none",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    cluster.apply(namespace, theirs)
    before = claim(cluster, namespace, "taken")
    cluster.apply(namespace, a_notebook("taken", size="2Gi"))
    told = said(cluster, namespace, "jupyternotebooks", "taken", "Ready")
    assert told is not None
    assert told["reason"] == "AlreadyExists"
    assert f"PersistentVolumeClaim {namespace}/taken-storage exists already" in told["message"]
    after = claim(cluster, namespace, "taken")
    assert (after["spec"], after["metadata"].get("labels")) == (before["spec"], None)
    assert cluster.get(namespace, "deployments", "taken") is None


def test_a_template_that_mounts_something_over_the_files_is_told_by_the_field(
    cluster: Cluster, namespace: str
) -> None:
    field = "spec.template.spec.containers[0].volumeMounts[0].mountPath: /home/jovyan is where"
    pod = manifests.parked()["spec"]
    pod["containers"][0]["volumeMounts"] = [HOME]
    pod["volumes"] = [{"name": "own", "emptyDir": {}}]
    notebook = a_notebook("over", template={"spec": pod}, claimName="any")
    cluster.apply(namespace, notebook)
    told = said(cluster, namespace, "jupyternotebooks", "over", "Ready")
    assert told is not None
    assert (told["reason"], told["message"].startswith(field)) == ("Invalid", True)

    uid = (cluster.get(namespace, "jupyternotebooks", "over") or {})["metadata"]["uid"]
    kernel = {
        "apiVersion": manifests.API,
        "kind": "JupyterKernel",
        "metadata": {"name": "over-kernel"},
        "spec": {
            "template": {"spec": pod},
            "notebookRef": {"namespace": namespace, "name": "over", "uid": uid},
        },
    }
    cluster.apply(namespace, kernel)
    seen = eventually(
        lambda: (
            (cluster.get(namespace, "jupyterkernels", "over-kernel") or {})
            .get("status", {})
            .get("conditions", [])
        ),
        lambda conditions: any(one["type"] == "Failed" for one in conditions),
        within=TOLD_WITHIN,
        what="the end of a kernel",
    )
    (failed,) = [one for one in seen if one["type"] == "Failed"]
    assert (failed["reason"], failed["message"].startswith(field)) == ("Invalid", True)
