import base64
import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.api.notebook import JupyterNotebook
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator.objects import notebook as objects
from elastic_jupyter.operator.objects.notebook import GatewayAccess
from elastic_jupyter.policy import passwords
from tests.support.kernels import a_notebook, model

GROUP = "kubeflow.tkestack.io"
LABELS = {
    "app.kubernetes.io/name": "jupyter-notebook",
    "app.kubernetes.io/instance": "nb",
    "app.kubernetes.io/managed-by": "elastic-jupyter",
}
SELECTOR = {name: LABELS[name] for name in list(LABELS)[:2]}
ACCESS = GatewayAccess("http://gw.team:8888", "minted.signed")
RANDOM, OTHER = "0123456789abcdef" * 4, "fedcba98" * 8
TOKEN_LOGIN = {"token": "open-sesame", "revision": "revision-1"}
PASSWORD_LOGIN = {"hashed-password": "sha256:ab:cd", "revision": "revision-1"}
HASH = "argon2:$argon2id$v=19$m=10240,t=10,p=8$abc$def"


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
    login: Mapping[str, str] | None = TOKEN_LOGIN,
) -> Object:
    return objects.make_deployment(
        model(JupyterNotebook, notebook), image="ours", access=access, login=login
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
            "replicas": 1,
            "selector": {"matchLabels": SELECTOR},
            "strategy": {"type": "Recreate"},
            "template": {
                "metadata": {"labels": LABELS, "annotations": {f"{GROUP}/secrets": revision}},
                "spec": {
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": {"fsGroup": 1000},
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
                                "seccompProfile": {"type": "RuntimeDefault"},
                            },
                            "env": [
                                {"name": "KERNEL_USERNAME", "value": "jovyan"},
                                {"name": "JUPYTER_GATEWAY_URL", "value": "http://gw.team:8888"},
                                from_secret(
                                    "JUPYTER_GATEWAY_AUTH_TOKEN", "nb-gateway-token", "token"
                                ),
                                from_secret("JUPYTER_TOKEN", "nb-auth", "token"),
                            ],
                        }
                    ],
                },
            },
        },
    }


FOREIGN = with_container(image="theirs", args=["--x"])
PASSWORD_VARIABLE = "ELASTIC_JUPYTER_HASHED_PASSWORD"


@pytest.mark.parametrize(
    ("notebook", "login", "want_args", "want_env"),
    [
        pytest.param(a_notebook(), PASSWORD_LOGIN, None, [PASSWORD_VARIABLE], id="a password"),
        pytest.param(a_notebook(), None, None, ["ELASTIC_JUPYTER_AUTH"], id="no login"),
        pytest.param(
            FOREIGN, TOKEN_LOGIN, ["--x"], ["JUPYTER_TOKEN"], id="a token, in a foreign image"
        ),
        pytest.param(
            FOREIGN,
            PASSWORD_LOGIN,
            [
                "--x",
                f"--ServerApp.password=$({PASSWORD_VARIABLE})",
                f"--NotebookApp.password=$({PASSWORD_VARIABLE})",
            ],
            [PASSWORD_VARIABLE],
            id="a password, in a foreign image",
        ),
        pytest.param(
            FOREIGN,
            None,
            [
                "--x",
                "--ServerApp.token=",
                "--ServerApp.password=",
                "--NotebookApp.token=",
                "--NotebookApp.password=",
            ],
            ["ELASTIC_JUPYTER_AUTH"],
            id="no login, in a foreign image",
        ),
    ],
)
def test_how_a_server_learns_its_login(
    notebook: Object,
    login: Mapping[str, str] | None,
    want_args: list[str] | None,
    want_env: list[str],
) -> None:
    container = container_of(deployment_of(notebook, access=None, login=login))
    assert container.get("args") == want_args
    assert [entry["name"] for entry in container["env"]] == ["KERNEL_USERNAME", *want_env]


@pytest.mark.parametrize("notebook", [a_notebook(), FOREIGN], ids=["our image", "a foreign image"])
@pytest.mark.parametrize("login", [TOKEN_LOGIN, PASSWORD_LOGIN], ids=["token", "password"])
def test_no_token_and_no_password_is_readable_in_the_deployment(
    notebook: Object, login: Mapping[str, str]
) -> None:
    text = json.dumps(deployment_of(notebook, login=login))
    for secret in (ACCESS.token, *login.values()):
        assert secret not in text


def test_a_foreign_image_is_left_alone() -> None:
    spec = deployment_of(FOREIGN)["spec"]["template"]["spec"]
    assert set(spec) == {"containers"}
    assert set(spec["containers"][0]) == {"name", "image", "args", "env"}


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
        for login in (TOKEN_LOGIN, {**TOKEN_LOGIN, "revision": "revision-2"}, None)
    ]
    assert len(set(revisions)) == len(revisions)
    assert revision_of(deployment_of(a_notebook())) == revisions[0]


def login_of(auth: Object | None, stored: Mapping[str, str] | None = None) -> dict[str, str] | None:
    spec: Object = {"auth": auth} if auth else {}
    notebook = model(JupyterNotebook, a_notebook(**spec))
    held = {key: value.encode() for key, value in (stored or {}).items()}
    return objects.login_data(notebook, held, random=RANDOM if stored is None else OTHER)


@pytest.mark.parametrize(
    ("auth", "want"),
    [
        pytest.param(None, {"token": RANDOM}, id="a token is made"),
        pytest.param({"mode": "enable"}, {"token": RANDOM}, id="a token is made when enabled"),
        pytest.param({"token": "mine"}, {"token": "mine"}, id="a token is given"),
        pytest.param({"password": HASH}, {"hashed-password": HASH}, id="a hash is given"),
        pytest.param(
            {"password": HASH, "token": "mine"},
            {"hashed-password": HASH, "token": "mine"},
            id="both are given",
        ),
    ],
)
def test_a_login_is_made_once(auth: Object | None, want: dict[str, str]) -> None:
    first = login_of(auth)
    assert first is not None
    assert {key: value for key, value in first.items() if key != "revision"} == want
    assert login_of(auth, first) == first


def test_without_a_login_none_is_stored() -> None:
    assert login_of({"mode": "disable", "token": "mine", "password": "mine"}) is None


@given(st.text(min_size=1, max_size=20))
def test_a_password_is_stored_as_a_hash_that_stays(password: str) -> None:
    first = login_of({"password": password})
    assert first is not None
    assert passwords.matches(password, first["hashed-password"])
    assert set(first) == {"hashed-password", "revision"}
    assert login_of({"password": password}, first) == first
    changed = login_of({"password": f"{password}!"}, first)
    assert changed is not None
    assert changed["revision"] != first["revision"]
    assert not passwords.matches(password, changed["hashed-password"])


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


def test_service_and_secrets() -> None:
    notebook = model(JupyterNotebook, a_notebook())
    assert objects.make_service(notebook) == {
        "metadata": metadata("nb"),
        "spec": {
            "selector": SELECTOR,
            "ports": [{"name": "http", "port": 8888, "targetPort": 8888}],
        },
    }
    for made, name, data in (
        (
            objects.make_gateway_token_secret(notebook, token="t"),
            "nb-gateway-token",
            {"token": "t"},
        ),
        (objects.make_login_secret(notebook, data=PASSWORD_LOGIN), "nb-auth", PASSWORD_LOGIN),
    ):
        stored = made.pop("data")
        assert {key: base64.b64decode(value).decode() for key, value in stored.items()} == data
        assert made == {"metadata": metadata(name), "type": "Opaque"}
