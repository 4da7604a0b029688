import base64
import json

import pytest

from elastic_jupyter.api import names
from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.errors import Invalid
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator.objects.kernel import (
    image_choice,
    kernel_id,
    make_connection_secret,
    make_pod,
)
from elastic_jupyter.policy.images import Choice
from tests.support.kernels import IMAGES, KERNEL_ID, a_kernel, model

GROUP = "kubeflow.tkestack.io"
GATE = {"name": f"{GROUP}/queue"}
CONNECTION = "/run/elastic-jupyter/connection/connection.json"
SECCOMP = {"seccompProfile": {"type": "RuntimeDefault"}}
UNPRIVILEGED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
LABELS = {
    "app.kubernetes.io/name": "jupyter-kernel",
    "app.kubernetes.io/instance": "jovyan-1",
    "app.kubernetes.io/managed-by": "elastic-jupyter",
    f"{GROUP}/gateway": "gw",
    f"{GROUP}/kernel-id": KERNEL_ID,
    f"{GROUP}/epoch": "3",
}


def metadata(name: str, **more: object) -> Object:
    owner = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "JupyterKernel", "name": "jovyan-1"}
    return {
        "name": name,
        "namespace": "team",
        "labels": LABELS,
        "ownerReferences": [{**owner, "uid": "uid-jovyan-1", "controller": True}],
        **more,
    }


def pod_of(kernel: Object) -> Object:
    return make_pod(model(JupyterKernel, kernel), epoch=3, ours=IMAGES)


def container_of(kernel: Object) -> Object:
    container: Object = pod_of(kernel)["spec"]["containers"][0]
    return container


def from_secret(name: str, key: str, **more: object) -> Object:
    reference = {"name": "jovyan-1-connection", "key": key, **more}
    return {"name": name, "valueFrom": {"secretKeyRef": reference}}


def test_a_plain_kernel_becomes_a_restricted_pod() -> None:
    asked = {f"{GROUP}/asked-at": "2026-11-24T17:00:00.123456Z"}
    assert pod_of(a_kernel(annotations=asked, user="ada")) == {
        "metadata": metadata("jovyan-1", annotations=asked),
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 2,
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            "securityContext": {"fsGroup": 1000, **SECCOMP},
            "containers": [
                {
                    "name": "kernel",
                    "image": "ours/kernel:1",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python", "-m", "elastic_jupyter_agent"],
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "env": [
                        {"name": "KERNEL_ID", "value": KERNEL_ID},
                        {"name": "KERNEL_USERNAME", "value": "ada"},
                        {"name": "KERNEL_NAMESPACE", "value": "team"},
                        {"name": "JPY_PARENT_PID", "value": "1"},
                        from_secret("ELASTIC_JUPYTER_CONNECTION", "connection.json"),
                        from_secret("ELASTIC_JUPYTER_CALL_HOME", "call-home.json", optional=True),
                    ],
                    "securityContext": {
                        **UNPRIVILEGED,
                        "runAsNonRoot": True,
                        "runAsUser": 1000,
                        "runAsGroup": 1000,
                    },
                }
            ],
        },
    }


def test_the_secret_holds_a_connection_file_that_any_address_may_use() -> None:
    secret = make_connection_secret(model(JupyterKernel, a_kernel()), epoch=3, key="k" * 64)
    connection = json.loads(base64.b64decode(secret.pop("data")["connection.json"]))
    assert secret == {
        "metadata": metadata("jovyan-1-connection"),
        "type": "Opaque",
    }
    assert connection == {
        "ip": "0.0.0.0",
        "transport": "tcp",
        "signature_scheme": "hmac-sha256",
        "key": "k" * 64,
        "kernel_name": "",
        **names.PORTS,
    }


def test_the_secret_says_where_the_kernel_may_tell_its_address() -> None:
    kernel = model(JupyterKernel, a_kernel())
    secret = make_connection_secret(kernel, epoch=3, key="k" * 64, token="t" * 64)
    assert json.loads(base64.b64decode(secret["data"]["call-home.json"])) == {
        "url": f"http://gw.team:8888/api/kernels/{KERNEL_ID}/address",
        "token": "t" * 64,
        "epoch": 3,
    }


IPYKERNEL = ["python", "-m", "ipykernel_launcher", "-f"]


@pytest.mark.parametrize(
    ("parts", "want"),
    [
        pytest.param({}, "elastic_jupyter_agent", id="by default"),
        pytest.param(
            {"container": {"command": [*IPYKERNEL, "{connection_file}"]}},
            "elastic_jupyter_agent",
            id="with the default in words",
        ),
        pytest.param(
            {"container": {"command": [*IPYKERNEL, "{connection_file}", "--debug"]}},
            "ipykernel_launcher",
            id="not with a command of its own",
        ),
        pytest.param(
            {"container": {"command": [*IPYKERNEL, "{connection_file}"], "args": ["--debug"]}},
            "ipykernel_launcher",
            id="not with arguments of its own",
        ),
        pytest.param(
            {"container": {"image": "theirs:2", "command": [*IPYKERNEL, "{connection_file}"]}},
            "ipykernel_launcher",
            id="not in a foreign image",
        ),
    ],
)
def test_our_own_image_runs_the_agent(parts: Object, want: str) -> None:
    assert container_of(a_kernel(**parts))["command"][2] == want


@pytest.mark.parametrize(
    ("pod", "want"),
    [
        pytest.param({}, False, id="no account"),
        pytest.param({"serviceAccountName": "spark"}, None, id="an account"),
        pytest.param({"serviceAccount": "spark"}, None, id="an account by its old name"),
        pytest.param(
            {"automountServiceAccountToken": True}, False, id="a token alone is not given"
        ),
    ],
)
def test_a_service_account_token_only_for_a_named_account(pod: Object, want: bool | None) -> None:
    assert pod_of(a_kernel(pod=pod))["spec"].get("automountServiceAccountToken") is want


OTHER = {"name": "theirs"}
KUEUE = {"labels": {names.LABEL_KUEUE: "q"}}


@pytest.mark.parametrize(
    ("kernel", "want"),
    [
        pytest.param(a_kernel(), None, id="no GPU"),
        pytest.param(a_kernel(gpus=1), [GATE], id="a GPU"),
        pytest.param(a_kernel(gpus=1, pod_metadata=KUEUE), None, id="a GPU that Kueue admits"),
        pytest.param(
            a_kernel(gpus=1, pod={"schedulingGates": [OTHER]}), [OTHER, GATE], id="a gate of theirs"
        ),
        pytest.param(
            a_kernel(container={"resources": {"limits": {"cpu": 1, "hugepages-2Mi": 1}}}),
            None,
            id="resources that no queue is for",
        ),
        pytest.param(
            a_kernel(pod={"schedulingGates": [GATE, OTHER]}),
            [OTHER],
            id="our gate in a template, and no queue that would lift it",
        ),
        pytest.param(
            a_kernel(gpus=1, pod={"schedulingGates": [GATE]}), [GATE], id="our gate, only once"
        ),
    ],
)
def test_a_pod_with_an_accelerator_waits_at_a_gate(kernel: Object, want: object) -> None:
    assert pod_of(kernel)["spec"].get("schedulingGates") == want


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
def test_a_kernel_never_restarts_in_place(policy: str) -> None:
    assert pod_of(a_kernel(pod={"restartPolicy": policy}))["spec"]["restartPolicy"] == "Never"


def test_a_template_may_give_its_kernel_more_time_to_end() -> None:
    spec = pod_of(a_kernel(pod={"terminationGracePeriodSeconds": 30}))["spec"]
    assert spec["terminationGracePeriodSeconds"] == 30


def test_unknown_metadata_becomes_labels_and_ours_win() -> None:
    given = {
        "app": "course",
        "component": "not a label value!",
        "name": "x",
        "labels": {"app": "lab", "team": "a", names.LABEL_EPOCH: "9"},
        "annotations": {"note": "kept"},
    }
    made = pod_of(a_kernel(pod_metadata=given))["metadata"]
    assert made == metadata(
        "jovyan-1", labels={**LABELS, "app": "lab", "team": "a"}, annotations={"note": "kept"}
    )
    assert pod_of(a_kernel(pod_metadata={"app": "course"}))["metadata"]["labels"]["app"] == "course"


@pytest.mark.parametrize(
    ("container", "want"),
    [
        pytest.param(
            {"image": "r", "command": ["R", "--file={connection_file}"], "args": ["x"]},
            (["R", f"--file={CONNECTION}"], ["x"]),
            id="in a command",
        ),
        pytest.param(
            {"args": ["-f", "{connection_file}"]}, (None, ["-f", CONNECTION]), id="in arguments"
        ),
        pytest.param({"image": "r"}, (None, None), id="a foreign image starts itself"),
        pytest.param(
            {"command": ["a", 1]}, (["a", 1], None), id="what is no text is the server's to refuse"
        ),
    ],
)
def test_the_connection_file_is_put_into_the_command(
    container: Object, want: tuple[list[str] | None, list[str] | None]
) -> None:
    made = container_of(a_kernel(container=container))
    assert (made.get("command"), made.get("args")) == want


def test_a_foreign_image_is_left_alone_but_for_the_profile_of_system_calls() -> None:
    made = pod_of(a_kernel(container={"image": "theirs:2"}))["spec"]
    assert made["securityContext"] == SECCOMP
    for field in ("securityContext", "imagePullPolicy", "command"):
        assert field not in made["containers"][0]


@pytest.mark.parametrize(
    ("parts", "want_pod", "want_container"),
    [
        pytest.param(
            {"pod": {"securityContext": {"runAsUser": 0}}},
            {"runAsUser": 0, **SECCOMP},
            UNPRIVILEGED,
            id="the pod's user stays",
        ),
        pytest.param(
            {"pod": {"securityContext": {"fsGroup": 7, "supplementalGroups": [8]}}},
            {"fsGroup": 7, "supplementalGroups": [8], **SECCOMP},
            {**UNPRIVILEGED, "runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000},
            id="the pod's groups stay",
        ),
        pytest.param(
            {"pod": {"securityContext": {"runAsUser": 5, "seccompProfile": {"type": "Other"}}}},
            {"runAsUser": 5, "seccompProfile": {"type": "Other"}},
            UNPRIVILEGED,
            id="the pod's profile stays",
        ),
        pytest.param(
            {"container": {"securityContext": {"privileged": True}}},
            {"fsGroup": 1000, **SECCOMP},
            {"privileged": True},
            id="the container's context stays",
        ),
    ],
)
def test_what_a_template_says_of_security_stays(
    parts: Object, want_pod: Object, want_container: Object
) -> None:
    spec = pod_of(a_kernel(**parts))["spec"]
    assert spec["securityContext"] == want_pod
    assert spec["containers"][0]["securityContext"] == want_container


def test_ours_join_the_environment_and_volumes_of_the_template() -> None:
    user, mount, volume = (
        {"name": "A", "value": "1"},
        {"name": "d", "mountPath": "/d"},
        {"name": "d"},
    )
    forged = {"name": "KERNEL_ID", "value": "forged"}
    container = {"image": "theirs:2", "env": [user, forged], "volumeMounts": [mount]}
    kernel = a_kernel(container=container, pod={"volumes": [volume]})
    template = json.dumps(kernel["spec"]["template"])
    spec = pod_of(kernel)["spec"]
    env = [(entry["name"], entry["value"]) for entry in spec["containers"][0]["env"]]
    assert env == [
        ("A", "1"),
        ("KERNEL_ID", KERNEL_ID),
        ("KERNEL_USERNAME", "jovyan"),
        ("KERNEL_NAMESPACE", "team"),
        ("JPY_PARENT_PID", "1"),
    ]
    assert [one["name"] for one in spec["volumes"]] == ["d", "elastic-jupyter-connection"]
    assert spec["containers"][0]["volumeMounts"][0] == mount
    assert json.dumps(kernel["spec"]["template"]) == template, "the template was changed"


def test_a_kernel_made_by_hand_goes_by_its_uid_and_has_no_gateway() -> None:
    kernel = a_kernel(kernelID=None, gatewayRef=None)
    assert kernel_id(model(JupyterKernel, kernel)) == "uid-jovyan-1"
    labels = pod_of(kernel)["metadata"]["labels"]
    assert labels[names.LABEL_KERNEL_ID] == "uid-jovyan-1"
    assert names.LABEL_GATEWAY not in labels


@pytest.mark.parametrize(
    ("container", "want"),
    [
        pytest.param({}, Choice("ours/kernel:1"), id="none asked for"),
        pytest.param({"image": "theirs:2"}, Choice("theirs:2"), id="theirs"),
        pytest.param(
            {"image": "ccr.ccs.tencentyun.com/kubeflow-oteam/jupyter-kernel-py:latest"},
            Choice(
                "ours/kernel:1",
                replaced="ccr.ccs.tencentyun.com/kubeflow-oteam/jupyter-kernel-py:latest",
            ),
            id="the original's",
        ),
        pytest.param(
            {
                "image": "elyra/kernel-py:3.2.3",
                "env": [{"name": "EG_RESPONSE_ADDRESS", "value": "10.0.0.1:8877"}],
            },
            Choice("elyra/kernel-py:3.2.3"),
            id="one that calls an Enterprise Gateway back",
        ),
    ],
)
def test_which_image_runs(container: Object, want: Choice) -> None:
    kernel = a_kernel(container=container)
    assert image_choice(model(JupyterKernel, kernel), IMAGES) == want
    assert container_of(kernel)["image"] == want.image


def test_a_template_without_the_shape_of_a_pod_is_invalid() -> None:
    kernel = a_kernel()
    kernel["spec"]["template"] = {"spec": {"containers": "kernel"}}
    with pytest.raises(Invalid, match=r"spec\.template\.spec\.containers must be a list"):
        pod_of(kernel)
