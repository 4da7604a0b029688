import pytest

from elastic_jupyter.kube import requests
from elastic_jupyter.kube.kinds import JUPYTER_KERNEL, NAMESPACE, POD
from tests.support.objects import an_object

KERNELS = "/apis/kubeflow.tkestack.io/v1alpha1"


@pytest.mark.parametrize(
    ("kind", "namespace", "name", "subresource", "want"),
    [
        pytest.param(POD, "a", "b", None, "/api/v1/namespaces/a/pods/b", id="core group"),
        pytest.param(POD, None, None, None, "/api/v1/pods", id="all namespaces"),
        pytest.param(NAMESPACE, None, "n", None, "/api/v1/namespaces/n", id="cluster-wide object"),
        pytest.param(
            JUPYTER_KERNEL,
            "a",
            "b",
            "status",
            f"{KERNELS}/namespaces/a/jupyterkernels/b/status",
            id="subresource of a named group",
        ),
    ],
)
def test_path(kind, namespace, name, subresource, want):
    assert requests.path(kind, namespace, name, subresource=subresource) == want


@pytest.mark.parametrize(("kind", "namespace"), [(POD, None), (NAMESPACE, "a")])
def test_a_namespace_that_is_missing_or_too_many_is_refused(kind, namespace):
    with pytest.raises(ValueError, match="namespace"):
        requests.get(kind, namespace, "x")


def test_create_needs_a_namespace():
    with pytest.raises(ValueError, match="needs a namespace"):
        requests.create(POD, {"metadata": {"name": "x"}})


def test_create_does_not_change_what_it_is_given():
    pod = an_object("x", spec={})
    request = requests.create(POD, pod, dry_run=True)
    assert "kind" not in pod
    assert request.body == {**pod, "apiVersion": "v1", "kind": "Pod"}
    assert request.params == {"dryRun": "All", "fieldValidation": "Strict"}
    assert request.what == "create Pod team/x"


def test_delete_carries_its_preconditions():
    request = requests.delete(POD, "team", "x", grace_seconds=2, uid="u")
    assert request.body == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 2,
        "preconditions": {"uid": "u"},
    }


def test_a_grace_of_zero_is_sent():
    assert requests.delete(POD, "a", "x", grace_seconds=0).body["gracePeriodSeconds"] == 0


def test_apply_forces_unless_told_otherwise():
    request = requests.apply(POD, an_object("x"), field_manager="me")
    assert request.params == {"fieldManager": "me", "force": "true"}
    assert request.content_type == "application/apply-patch+yaml"
    gentle = requests.apply(POD, an_object("x"), field_manager="me", force=False)
    assert gentle.params["force"] == "false"


def test_a_watch_asks_for_bookmarks():
    request = requests.watch(POD, "a", resource_version="7", timeout_seconds=290)
    assert request.params == {
        "watch": "1",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "290",
        "resourceVersion": "7",
    }
