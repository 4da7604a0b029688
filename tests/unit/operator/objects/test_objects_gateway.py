import base64

import pytest

from elastic_jupyter.api import names
from elastic_jupyter.api.gateway import JupyterGateway
from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator.objects import gateway as objects
from elastic_jupyter.operator.objects import gateway_rights as rights
from elastic_jupyter.operator.objects.gateway_network import make_network_policy
from elastic_jupyter.operator.objects.kernel import make_pod
from tests.support.kernels import IMAGES, MASTER_KEY, a_gateway, a_kernel, model

GROUP = "kubeflow.tkestack.io"
LABELS = {
    "app.kubernetes.io/name": "jupyter-gateway",
    "app.kubernetes.io/instance": "gw",
    "app.kubernetes.io/managed-by": "elastic-jupyter",
}
SELECTOR = {name: LABELS[name] for name in list(LABELS)[:2]}
GATEWAY = model(JupyterGateway, a_gateway())


def metadata(name: str) -> Object:
    owner = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "JupyterGateway", "name": "gw"}
    return {
        "name": name,
        "namespace": "team",
        "labels": LABELS,
        "ownerReferences": [{**owner, "uid": "uid-gw", "controller": True}],
    }


def deployment_of(gateway: Object) -> Object:
    return objects.make_deployment(
        model(JupyterGateway, gateway),
        image="image",
        ours=IMAGES,
        master_digest="digest-of-key",
        service_account_uid="uid-account",
    )


def env_of(gateway: Object) -> dict[str, str]:
    (container,) = deployment_of(gateway)["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}


def probe(path: str, period: int, failures: int) -> Object:
    return {
        "httpGet": {"path": path, "port": 8888},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def test_a_plain_gateway_becomes_a_restricted_deployment() -> None:
    deployment = deployment_of(a_gateway())
    (container,) = deployment["spec"]["template"]["spec"].pop("containers")
    assert deployment == {
        "metadata": metadata("gw"),
        "spec": {
            "selector": {"matchLabels": SELECTOR},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "template": {
                "metadata": {
                    "labels": LABELS,
                    "annotations": {
                        f"{GROUP}/master-key-digest": "digest-of-key",
                        f"{GROUP}/service-account-uid": "uid-account",
                    },
                },
                "spec": {
                    "serviceAccountName": "gw",
                    "terminationGracePeriodSeconds": 60,
                    "enableServiceLinks": False,
                    "securityContext": {
                        "fsGroup": 1000,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "volumes": [
                        {"name": "master-key", "secret": {"secretName": "gw-master-key"}},
                        {"name": "tmp", "emptyDir": {}},
                    ],
                },
            },
        },
    }
    assert container == {
        "name": "gateway",
        "image": "image",
        "imagePullPolicy": "IfNotPresent",
        "env": [
            field("ELASTIC_JUPYTER_NAMESPACE", "metadata.namespace"),
            field("POD_NAME", "metadata.name"),
            field("POD_IP", "status.podIP"),
            {"name": "HOME", "value": "/tmp"},
            {"name": "ELASTIC_JUPYTER_GATEWAY", "value": "gw"},
            {"name": "ELASTIC_JUPYTER_GATEWAY_UID", "value": "uid-gw"},
            {"name": "ELASTIC_JUPYTER_KERNEL_IMAGE", "value": "ours/kernel:1"},
            {"name": "ELASTIC_JUPYTER_CULL_IDLE_TIMEOUT", "value": "3600"},
            {"name": "ELASTIC_JUPYTER_CULL_INTERVAL", "value": "10"},
            {"name": "ELASTIC_JUPYTER_LAUNCH_TIMEOUT", "value": "600"},
        ],
        "ports": [{"name": "http", "containerPort": 8888, "protocol": "TCP"}],
        "livenessProbe": probe("/livez", 10, 6),
        "startupProbe": probe("/livez", 1, 120),
        "readinessProbe": probe("/readyz", 1, 2),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {"requests": {"cpu": "50m"}},
        "volumeMounts": [
            {
                "name": "master-key",
                "mountPath": "/run/elastic-jupyter/master-key",
                "readOnly": True,
            },
            {"name": "tmp", "mountPath": "/tmp"},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "runAsGroup": 1000,
        },
    }


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        pytest.param({"cullIdleTimeout": 0}, {"CULL_IDLE_TIMEOUT": "0"}, id="0 means never"),
        pytest.param({"cullIdleTimeout": 60}, {"CULL_IDLE_TIMEOUT": "60"}, id="an idle limit"),
        pytest.param({"cullInterval": 5}, {"CULL_INTERVAL": "5"}, id="an interval"),
        pytest.param({"launchTimeoutSeconds": 9}, {"LAUNCH_TIMEOUT": "9"}, id="a launch timeout"),
        pytest.param({"queueTimeoutSeconds": 9}, {"QUEUE_TIMEOUT": "9"}, id="a queue timeout"),
        pytest.param({"allowedEnv": ["A", "B"]}, {"ALLOWED_ENV": "A,B"}, id="variables"),
        pytest.param({"logLevel": "DEBUG"}, {"LOG_LEVEL": "DEBUG"}, id="a log level"),
        pytest.param(
            {"kernels": ["a", "b"], "defaultKernel": "b"},
            {"KERNELS": "a,b", "DEFAULT_KERNEL": "b"},
            id="kernels",
        ),
    ],
)
def test_the_spec_becomes_the_environment(spec: Object, want: dict[str, str]) -> None:
    named = {f"ELASTIC_JUPYTER_{name}": value for name, value in want.items()}
    assert env_of(a_gateway(**spec)) == env_of(a_gateway()) | named


def test_resources_are_the_containers_and_a_new_spec_selects_the_same_pods() -> None:
    limits = {"limits": {"memory": "1Gi"}}
    spec = deployment_of(a_gateway(resources=limits, logLevel="DEBUG"))["spec"]
    assert spec["template"]["spec"]["containers"][0]["resources"] == limits
    default = deployment_of(a_gateway())["spec"]["template"]["spec"]["containers"][0]
    assert default["resources"] == {"requests": {"cpu": "50m"}}
    assert spec["selector"] == deployment_of(a_gateway())["spec"]["selector"]


def test_a_name_too_long_for_a_label_still_selects() -> None:
    name = "g" * 80
    deployment = deployment_of(a_gateway(name))["spec"]
    selector = deployment["selector"]["matchLabels"]
    assert len(selector["app.kubernetes.io/instance"]) == 63
    assert selector.items() <= deployment["template"]["metadata"]["labels"].items()
    others = deployment_of(a_gateway(name + "2"))["spec"]["selector"]["matchLabels"]
    assert others != selector


def test_the_children_that_are_made_once() -> None:
    key = objects.make_master_key_secret(GATEWAY, key=MASTER_KEY)
    assert base64.b64decode(key.pop("data")["key"]) == MASTER_KEY
    assert key == {"metadata": metadata("gw-master-key"), "type": "Opaque"}
    tombstones = {"metadata": metadata("gw-tombstones"), "type": "Opaque"}
    assert objects.make_tombstones_secret(GATEWAY) == tombstones
    lease = {"metadata": metadata("gw-gateway"), "spec": {}}
    assert objects.make_handover_lease(GATEWAY) == lease


def test_the_service_finds_the_gateways_pods() -> None:
    assert objects.make_service(GATEWAY) == {
        "metadata": metadata("gw"),
        "spec": {
            "selector": SELECTOR,
            "ports": [{"name": "http", "port": 8888, "targetPort": 8888}],
        },
    }


def test_only_the_gateways_pods_reach_the_jupyter_ports_of_its_kernels() -> None:
    first, last = min(names.PORTS.values()), max(names.PORTS.values())
    assert sorted(names.PORTS.values()) == list(range(first, last + 1))
    others = [
        {"protocol": "TCP", "port": 1, "endPort": first - 1},
        {"protocol": "TCP", "port": last + 1, "endPort": 65535},
        {"protocol": "UDP"},
        {"protocol": "SCTP"},
    ]
    kernels = {"app.kubernetes.io/name": "jupyter-kernel", f"{GROUP}/gateway": "gw"}
    policy = make_network_policy(GATEWAY)
    assert policy == {
        "metadata": metadata("gw-kernels"),
        "spec": {
            "podSelector": {"matchLabels": kernels},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": [{"podSelector": {"matchLabels": SELECTOR}}],
                    "ports": [{"protocol": "TCP", "port": first, "endPort": last}],
                },
                {"ports": others},
            ],
        },
    }
    pod = make_pod(model(JupyterKernel, a_kernel()), epoch=1, ours=IMAGES)
    assert kernels.items() <= pod["metadata"]["labels"].items()


def rule(group: str, resources: list[str], verbs: str, only: list[str] | None = None) -> Object:
    named = {"resourceNames": only} if only else {}
    return {"apiGroups": [group], "resources": resources, "verbs": verbs.split(), **named}


def test_the_role_holds_exactly_its_list_no_pods_and_secrets_only_by_name() -> None:
    read = ["jupyterkernelspecs", "jupyterkerneltemplates"]
    assert rights.make_role(GATEWAY) == {
        "metadata": metadata("gw"),
        "rules": [
            rule(GROUP, ["jupyterkernels"], "get list watch create patch update delete"),
            rule(GROUP, ["jupyterkernels/status"], "get patch update"),
            rule(GROUP, read, "get list watch"),
            rule("", ["secrets"], "get patch update", ["gw-tombstones"]),
            rule("", ["secrets"], "get list watch", ["gw-notebooks"]),
            rule("coordination.k8s.io", ["leases"], "get watch patch update", ["gw-gateway"]),
        ],
    }


def test_the_bindings_are_of_its_account_in_its_namespace() -> None:
    gateway = model(JupyterGateway, a_gateway(clusterRole="spark"))
    subjects = [{"kind": "ServiceAccount", "name": "gw", "namespace": "team"}]
    group = "rbac.authorization.k8s.io"
    assert rights.make_service_account(gateway) == {"metadata": metadata("gw")}
    assert rights.make_role_binding(gateway) == {
        "metadata": metadata("gw"),
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "gw"},
        "subjects": subjects,
    }
    assert rights.make_cluster_role_binding(gateway) == {
        "metadata": metadata("gw-cluster-role"),
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "spark"},
        "subjects": subjects,
    }


def test_a_template_adds_to_the_pod_and_the_operator_has_the_last_word() -> None:
    gateway = a_gateway(
        image="theirs",
        resources={"limits": {"memory": "1Gi"}},
        template={
            "metadata": {"labels": {"team": "a", **LABELS, "x": "y"}, "annotations": {"a": "b"}},
            "spec": {
                "nodeSelector": {"disk": "ssd"},
                "priorityClassName": "high",
                "serviceAccountName": "other",
                "containers": [
                    {
                        "image": "another",
                        "resources": {"limits": {"memory": "9Gi"}},
                        "env": [
                            {"name": "HTTPS_PROXY", "value": "http://proxy"},
                            {"name": "HOME", "value": "/root"},
                        ],
                        "volumeMounts": [{"name": "ca", "mountPath": "/ca"}],
                    },
                    {"name": "sidecar", "image": "side"},
                ],
                "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
            },
        },
    )
    plain = deployment_of(a_gateway())["spec"]["template"]
    pod = deployment_of(gateway)["spec"]["template"]
    assert pod["metadata"] == {
        "labels": {"team": "a", "x": "y", **LABELS},
        "annotations": {"a": "b", **plain["metadata"]["annotations"]},
    }
    container, sidecar = pod["spec"].pop("containers")
    (plain_container,) = plain["spec"].pop("containers")
    assert sidecar == {"name": "sidecar", "image": "side"}
    assert pod["spec"] == {
        **plain["spec"],
        "nodeSelector": {"disk": "ssd"},
        "priorityClassName": "high",
        "volumes": [{"name": "ca", "configMap": {"name": "ca"}}, *plain["spec"]["volumes"]],
    }
    assert container == {
        **plain_container,
        "resources": {"limits": {"memory": "1Gi"}},
        "env": [{"name": "HTTPS_PROXY", "value": "http://proxy"}, *plain_container["env"]],
        "volumeMounts": [{"name": "ca", "mountPath": "/ca"}, *plain_container["volumeMounts"]],
    }


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        pytest.param({}, None, id="the operator's"),
        pytest.param({"image": "theirs"}, "theirs", id="of the spec"),
        pytest.param({"template": {"spec": {"containers": [{"image": "b"}]}}}, "b", id="template"),
        pytest.param({"template": {"spec": {"containers": "none"}}}, None, id="no shape of a pod"),
    ],
)
def test_the_image_that_is_asked_for(spec: Object, want: str | None) -> None:
    assert objects.wanted_image(model(JupyterGateway, a_gateway(**spec))) == want


def test_a_gateway_whose_kernels_sleep_has_a_volume_for_what_they_save() -> None:
    gateway = a_gateway(reclaim={"policy": "Hibernate"}, snapshot={"className": "fast"})
    claim = objects.make_snapshots_claim(model(JupyterGateway, gateway))
    assert claim["metadata"] == {**metadata("gw"), "name": "gw-snapshots"}
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "10Gi"}},
        "storageClassName": "fast",
    }
    pod = deployment_of(gateway)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["volumes"][-1]["persistentVolumeClaim"] == {"claimName": "gw-snapshots"}
    [mount] = [
        one for one in container["volumeMounts"] if one["name"] == pod["volumes"][-1]["name"]
    ]
    values = {one["name"]: one.get("value") for one in container["env"]}
    assert values["ELASTIC_JUPYTER_RECLAIM_POLICY"] == "Hibernate"
    assert values["ELASTIC_JUPYTER_SNAPSHOTS"] == mount["mountPath"]


def test_gateways_that_save_to_one_bucket_have_a_folder_each() -> None:
    gateway = a_gateway(
        reclaim={"policy": "Hibernate"},
        snapshot={"store": "s3://bucket/kernels/", "maxBytes": 7},
        start="OnFirstExecute",
    )
    assert not objects.saves_to_claim(model(JupyterGateway, gateway))
    pod = deployment_of(gateway)["spec"]["template"]["spec"]
    values = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
    assert values["ELASTIC_JUPYTER_SNAPSHOTS"] == "s3://bucket/kernels/team/gw"
    assert values["ELASTIC_JUPYTER_MAX_SNAPSHOT_BYTES"] == "7"
    assert values["ELASTIC_JUPYTER_START"] == "OnFirstExecute"
    assert all("persistentVolumeClaim" not in volume for volume in pod["volumes"])


def test_a_gateway_that_deletes_has_a_volume_for_kernel_specs_that_hibernate() -> None:
    gateway = a_gateway(snapshot={})
    assert objects.saves_to_claim(model(JupyterGateway, gateway))
    assert not objects.saves_to_claim(model(JupyterGateway, a_gateway()))
    values = environment_of(gateway)
    assert values["ELASTIC_JUPYTER_SNAPSHOTS"]
    assert "ELASTIC_JUPYTER_RECLAIM_POLICY" not in values


@pytest.mark.parametrize(
    ("reclaim", "want"),
    [
        ({"fallback": "Keep"}, {"ELASTIC_JUPYTER_RECLAIM_FALLBACK": "Keep"}),
        ({"warningSeconds": 0}, {"ELASTIC_JUPYTER_RECLAIM_WARNING": "0"}),
        ({"maxExtensionSeconds": 0}, {"ELASTIC_JUPYTER_MAX_EXTENSION": "0"}),
        ({"maxExtensionSeconds": 7}, {"ELASTIC_JUPYTER_MAX_EXTENSION": "7"}),
        ({}, {}),
    ],
)
def test_what_is_said_of_a_reclaim_comes_to_the_gateway(reclaim: Object, want: Object) -> None:
    plain = environment_of(a_gateway())
    assert environment_of(a_gateway(reclaim=reclaim)) == {**plain, **want}


def environment_of(gateway: Object) -> Object:
    """Return the variables of the gateway's container that have a value of their own."""
    (container,) = deployment_of(gateway)["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}
