import base64
import json
from collections.abc import Mapping

import pytest

from elastic_jupyter.api.notebook import JupyterNotebook
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator.objects import notebook as objects
from elastic_jupyter.operator.objects.notebook import GatewayAccess
from tests.support.kernels import a_notebook, model

GROUP = "kubeflow.tkestack.io"
LABELS = {
    "app.kubernetes.io/name": "jupyter-notebook",
    "app.kubernetes.io/instance": "nb",
    "app.kubernetes.io/managed-by": "elastic-jupyter",
}
SELECTOR = {name: LABELS[name] for name in list(LABELS)[:2]}
ACCESS = GatewayAccess("http://gw.team:8888", "minted.signed")
TOKEN_LOGIN = {"token": "open-sesame", "revision": "revision-1"}
LOGIN_FILES = ("jupyter_server_config.json", "jupyter_notebook_config.json", "cookie-secret")


def metadata(name: str) -> Object:
    owner = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "JupyterNotebook", "name": "nb"}
    return {
        "name": name,
        "namespace": "team",
        "labels": LABELS,
        "ownerReferences": [{**owner, "uid": "uid-nb", "controller": True}],
    }


def deployment_of(
    notebook: Object,
    *,
    access: GatewayAccess | None = ACCESS,
    login: Mapping[str, str] = TOKEN_LOGIN,
) -> Object:
    return objects.make_deployment(
        model(JupyterNotebook, notebook), image="ours", access=access, login_data=login
    )


def container_of(deployment: Object) -> Object:
    container: Object = deployment["spec"]["template"]["spec"]["containers"][0]
    return container


def revision_of(deployment: Object) -> str:
    annotations: dict[str, str] = deployment["spec"]["template"]["metadata"]["annotations"]
    return annotations[f"{GROUP}/secrets"]


def with_container(**container: object) -> Object:
    return a_notebook(template={"spec": {"containers": [container]}})


def from_secret(name: str, secret: str, key: str) -> Object:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def test_a_plain_notebook_becomes_a_restricted_deployment() -> None:
    deployment = deployment_of(a_notebook())
    revision = revision_of(deployment)
    assert len(revision) == 16
    assert deployment == {
        "metadata": metadata("nb"),
        "spec": {
            "selector": {"matchLabels": SELECTOR},
            "strategy": {"type": "Recreate"},
            "template": {
                "metadata": {"labels": LABELS, "annotations": {f"{GROUP}/secrets": revision}},
                "spec": {
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": {
                        "fsGroup": 1000,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "volumes": [
                        {
                            "name": "elastic-jupyter-login",
                            "secret": {
                                "secretName": "nb-auth",
                                "items": [{"key": name, "path": name} for name in LOGIN_FILES],
                            },
                        }
                    ],
                    "containers": [
                        {
                            "name": "notebook",
                            "image": "ours",
                            "imagePullPolicy": "IfNotPresent",
                            "ports": [{"name": "http", "containerPort": 8888, "protocol": "TCP"}],
                            "readinessProbe": {
                                "httpGet": {"path": "/api", "port": 8888},
                                "periodSeconds": 2,
                                "timeoutSeconds": 5,
                            },
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "capabilities": {"drop": ["ALL"]},
                                "runAsNonRoot": True,
                                "runAsUser": 1000,
                                "runAsGroup": 1000,
                            },
                            "volumeMounts": [
                                {
                                    "name": "elastic-jupyter-login",
                                    "mountPath": "/run/elastic-jupyter/login",
                                    "readOnly": True,
                                }
                            ],
                            "env": [
                                {
                                    "name": "JUPYTER_CONFIG_PATH",
                                    "value": "/run/elastic-jupyter/login",
                                },
                                from_secret("JUPYTER_TOKEN", "nb-auth", "token"),
                                {"name": "KERNEL_USERNAME", "value": "jovyan"},
                                {"name": "JUPYTER_GATEWAY_URL", "value": "http://gw.team:8888"},
                                from_secret(
                                    "JUPYTER_GATEWAY_AUTH_TOKEN", "nb-gateway-token", "token"
                                ),
                            ],
                        }
                    ],
                },
            },
        },
    }


FOREIGN = with_container(image="theirs", args=["--x"])


def test_a_foreign_image_is_left_alone() -> None:
    spec = deployment_of(FOREIGN)["spec"]["template"]["spec"]
    assert set(spec) == {"containers", "volumes"}
    assert set(spec["containers"][0]) == {"name", "image", "args", "env", "volumeMounts"}
    assert spec["containers"][0]["args"] == ["--x"]


def test_what_a_template_says_stays_but_for_what_is_ours() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "JUPYTER_TOKEN", "value": "forged"}]
    notebook = a_notebook(
        template={
            "metadata": {
                "app": "course",
                "labels": dict.fromkeys(LABELS, "x"),
                "annotations": {"n": "1"},
            },
            "spec": {
                "automountServiceAccountToken": True,
                "containers": [{"name": "mine", "env": env}, {"name": "sidecar", "image": "s"}],
            },
        }
    )
    template = deployment_of(notebook)["spec"]["template"]
    assert template["metadata"]["labels"] == {**LABELS, "app": "course"}
    assert template["metadata"]["annotations"]["n"] == "1"
    assert template["spec"]["automountServiceAccountToken"] is True
    assert template["spec"]["containers"][1] == {"name": "sidecar", "image": "s"}
    first = template["spec"]["containers"][0]
    assert (first["name"], first["env"][0]) == ("mine", {"name": "A", "value": "1"})
    assert "forged" not in json.dumps(first)


def test_a_new_secret_rolls_the_pod_and_an_old_one_does_not() -> None:
    revisions = [
        revision_of(deployment_of(a_notebook(), access=access, login=login))
        for access in (ACCESS, GatewayAccess(ACCESS.url, "new"), None)
        for login in (TOKEN_LOGIN, {**TOKEN_LOGIN, "revision": "revision-2"})
    ]
    assert len(set(revisions)) == len(revisions)
    assert revision_of(deployment_of(a_notebook())) == revisions[0]


def env(*entries: Object) -> Object:
    return {"template": {"spec": {"containers": [{"env": list(entries)}]}}}


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        pytest.param({}, "jovyan", id="nobody is named"),
        pytest.param(env({"name": "KERNEL_USERNAME", "value": "ada"}), "ada", id="named"),
        pytest.param(env({"name": "KERNEL_USERNAME"}), "jovyan", id="named without a value"),
        pytest.param(env({"name": "USER", "value": "ada"}), "jovyan", id="another variable"),
        pytest.param({"template": {"spec": {"containers": "x"}}}, "jovyan", id="no shape of a pod"),
    ],
)
def test_whose_kernels_a_notebook_starts(spec: Object, want: str) -> None:
    assert objects.user_of(model(JupyterNotebook, a_notebook(**spec))) == want


@pytest.mark.parametrize(
    ("user", "given", "token"),
    [
        pytest.param("ann.b@example.com", "ann.b@example.com", "ann.b@example.com", id="plain"),
        pytest.param("\u738b \u4e94", "%E7%8E%8B%20%E4%BA%94", "\u738b \u4e94", id="not ASCII"),
        pytest.param("a&b#$(c)%", "a%26b%23%24(c)%25", "a&b#$(c)%", id="words of a URL"),
        pytest.param("x" * 3000, "x" * 253, "x" * 253, id="longer than a kernel may hold"),
    ],
)
def test_a_user_of_any_name_gets_a_server_that_can_say_it(
    user: str, given: str, token: str
) -> None:
    notebook = a_notebook(**env({"name": "KERNEL_USERNAME", "value": user}))
    [container] = deployment_of(notebook)["spec"]["template"]["spec"]["containers"]
    [said] = [one["value"] for one in container["env"] if one["name"] == "KERNEL_USERNAME"]
    assert (said, objects.user_of(model(JupyterNotebook, notebook))) == (given, token)


@pytest.mark.parametrize(
    ("service", "want"),
    [
        pytest.param(None, {"type": "ClusterIP"}, id="inside the cluster"),
        pytest.param({"type": "NodePort"}, {"type": "NodePort"}, id="from outside"),
    ],
)
def test_the_service(service: Object | None, want: Object) -> None:
    spec: Object = {"service": service} if service else {}
    assert objects.make_service(model(JupyterNotebook, a_notebook(**spec))) == {
        "metadata": metadata("nb"),
        "spec": {
            **want,
            "selector": SELECTOR,
            "ports": [{"name": "http", "port": 8888, "targetPort": 8888}],
        },
    }


def test_annotations_of_the_service_are_the_users() -> None:
    notebook = a_notebook(service={"type": "LoadBalancer", "annotations": {"lb": "internal"}})
    made = objects.make_service(model(JupyterNotebook, notebook))
    assert made["metadata"]["annotations"] == {"lb": "internal"}


def test_the_secret_with_the_gateways_token() -> None:
    made = objects.make_gateway_token_secret(model(JupyterNotebook, a_notebook()), token="t")
    assert base64.b64decode(made.pop("data")["token"]) == b"t"
    assert made == {"metadata": metadata("nb-gateway-token"), "type": "Opaque"}


def test_a_notebook_with_storage_has_its_home_on_the_volume() -> None:
    spec = deployment_of(a_notebook(storage={"claimName": "mine"}))["spec"]["template"]["spec"]
    (volume,) = [one for one in spec["volumes"] if "persistentVolumeClaim" in one]
    assert volume["persistentVolumeClaim"] == {"claimName": "mine"}
    mounts = {one["name"]: one["mountPath"] for one in spec["containers"][0]["volumeMounts"]}
    assert mounts[volume["name"]] == "/home/jovyan"


@pytest.mark.parametrize(
    ("given", "want"),
    [
        pytest.param([], "/run/elastic-jupyter/runtime", id="an emptyDir"),
        pytest.param([{"name": "JUPYTER_RUNTIME_DIR", "value": "/mine"}], "/mine", id="its own"),
    ],
)
def test_what_a_server_writes_of_itself_is_not_among_the_files(
    given: list[Object], want: str
) -> None:
    template = {"spec": {"containers": [{"name": "notebook", "env": given}]}}
    notebook = a_notebook(storage={"claimName": "mine"}, template=template)
    spec = deployment_of(notebook)["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    env = {one["name"]: one.get("value") for one in container["env"]}
    assert env["JUPYTER_RUNTIME_DIR"] == want
    volumes = {one["name"] for one in spec["volumes"] if "emptyDir" in one}
    mounts = {one["mountPath"] for one in container["volumeMounts"] if one["name"] in volumes}
    assert mounts == {want} - {"/mine"}
