"""What users write wrongly: refused at apply with the name of the field, or told by a condition.

All of it happens in the namespace of a team that works, and whose notebook works on at the end.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support import manifests
from tests.support.eventually import eventually
from tests.support.rollout import operator_pod
from tests.support.team import Team, served

Object = dict[str, Any]

KINDS = {
    "jupyternotebooks": "JupyterNotebook",
    "jupytergateways": "JupyterGateway",
    "jupyterkernelspecs": "JupyterKernelSpec",
    "jupyterkerneltemplates": "JupyterKernelTemplate",
    "jupyterkernels": "JupyterKernel",
}
LONG = "n" * 64


def an_object(plural: str, name: str = "bad", **spec: Any) -> Object:
    return {
        "apiVersion": manifests.API,
        "kind": KINDS[plural],
        "metadata": {"name": name},
        "spec": spec,
    }


def notebook(name: str = "bad", **spec: Any) -> Object:
    return an_object("jupyternotebooks", name, **spec)


def gateway(name: str = "bad", **spec: Any) -> Object:
    return an_object("jupytergateways", name, **spec)


def spec(name: str = "bad", **fields: Any) -> Object:
    return an_object("jupyterkernelspecs", name, **fields)


def template(name: str = "bad", **part: Any) -> Object:
    return an_object("jupyterkerneltemplates", name, template=part)


def kernel(name: str = "bad", **fields: Any) -> Object:
    return an_object("jupyterkernels", name, **{"template": pod(), **fields})


def pod(container: Object | None = None, **fields: Any) -> Object:
    """A pod template; its pod finds no node, so that nothing runs."""
    one = {"name": "kernel", **(container or {})}
    return {"spec": {"nodeSelector": {"no": "node"}, "containers": [one], **fields}}


def refused(what: str, obj: Object, *texts: str) -> Any:
    return pytest.param(obj, texts, id=what)


REFUSED = [
    # JupyterNotebook
    refused("no spec", {**notebook(), "spec": None}, "spec.gateway or spec.template is needed"),
    refused("neither gateway nor template", notebook(auth={"mode": "disable"}), "spec.gateway"),
    refused(
        "an unknown auth mode",
        notebook(template={}, auth={"mode": "Enable"}),
        "spec.auth.mode",
        '"enable", "disable"',
    ),
    refused("a number for a token", notebook(template={}, auth={"token": 1}), "spec.auth.token"),
    refused("a text for auth", notebook(template={}, auth="disable"), "spec.auth"),
    refused(
        "resources of a notebook beside its template, as in the original's sample",
        notebook(template={}, resources={"limits": {"cpu": "1"}}),
        'unknown field "spec.resources"',
    ),
    refused(
        "resources within the template, beside its spec",
        notebook(template={"resources": {"limits": {"nvidia.com/gpu": 1}}}),
        'unknown field "spec.template.resources"',
    ),
    refused("a gateway without a name", notebook(gateway={"namespace": "a"}), "spec.gateway.name"),
    refused("a gateway by its name alone", notebook(gateway="gw"), "spec.gateway"),
    refused("an impossible gateway name", notebook(gateway={"name": "G W"}), "spec.gateway.name"),
    refused("a name with a dot", notebook("a.b", template={}), "metadata.name: its Service"),
    refused("a name of 64 letters", notebook(LONG, template={}), "metadata.name: its Service"),
    refused("a name that starts with a digit", notebook("1a", template={}), "metadata.name: its"),
    refused("a name with an umlaut", notebook("b\u00e4d", template={}), "metadata.name"),
    refused("a list for a template", notebook(template=[]), "spec.template"),
    refused(
        "a size in K, which Kubernetes writes as k or Ki",
        notebook(template={}, storage={"size": "1K"}),
        "spec.storage.size",
    ),
    refused(
        "no container",
        notebook(template={"spec": {"containers": []}}),
        "spec.template.spec.containers",
        "at least 1",
    ),
    refused(
        "one container instead of a list",
        notebook(template={"spec": {"containers": {"name": "nb"}}}),
        "spec.template.spec.containers",
    ),
    refused(
        "a command in one text",
        notebook(template=pod({"command": "jupyter lab"})),
        "spec.template.spec.containers[0].command",
    ),
    refused(
        "labels that are numbers",
        notebook(template={"metadata": {"labels": {"team": 1}}}),
        "spec.template.metadata.labels.team",
    ),
    # JupyterGateway
    refused("cullInterval 0", gateway(cullInterval=0), "spec.cullInterval", "or equal to 1"),
    refused("a negative cullInterval", gateway(cullInterval=-1), "spec.cullInterval"),
    refused("a text for seconds", gateway(cullIdleTimeout="10"), "spec.cullIdleTimeout"),
    refused("half a second", gateway(cullIdleTimeout=0.5), "spec.cullIdleTimeout"),
    refused("more seconds than int32", gateway(cullIdleTimeout=2**31), "spec.cullIdleTimeout"),
    refused("no time to launch", gateway(launchTimeoutSeconds=0), "spec.launchTimeoutSeconds"),
    refused("an unknown log level", gateway(logLevel="debug"), "spec.logLevel", '"DEBUG"'),
    refused("the same kernel twice", gateway(kernels=["a", "a"]), "spec.kernels[1]", "Duplicate"),
    refused("an empty kernel name", gateway(kernels=[""]), "spec.kernels[0]"),
    refused("kernels in one text", gateway(kernels="a,b"), "spec.kernels"),
    refused("two kernels in one entry", gateway(kernels=["a,b"]), "spec.kernels[0]"),
    refused("an impossible default kernel", gateway(defaultKernel="a b"), "spec.defaultKernel"),
    refused("resources without limits", gateway(resources={"cpu": 1}), "spec.resources.cpu"),
    refused("a gateway's name with a dot", gateway("a.b"), "metadata.name: its Service"),
    # JupyterKernelSpec
    refused("a template by its name alone", spec(template="t"), "spec.template"),
    # ADR 0013
    refused("an interrupt mode", spec(interruptMode="signal"), 'field "spec.interruptMode"'),
    refused("encryption", spec(supportedEncryption="curve"), 'field "spec.supportedEncryption"'),
    refused("a limit in words", spec(cullIdleTimeout="1h"), "spec.cullIdleTimeout"),
    refused("variables as an object", spec(env={"A": "1"}), "spec.env"),
    refused("a variable without a name", spec(env=[{"value": "1"}]), "spec.env[0].name"),
    refused("a number for a variable", spec(env=[{"name": "A", "value": 1}]), "spec.env[0].value"),
    refused("too many variables", spec(env=[{"name": f"A{n}"} for n in range(257)]), "spec.env"),
    refused("a command in one text, too", spec(command="python"), "spec.command"),
    refused("a GPU beside limits", spec(resources={"nvidia.com/gpu": 1}), "spec.resources.nvidia"),
    # JupyterKernelTemplate
    refused("a template without one", an_object("jupyterkerneltemplates"), "spec.template"),
    refused("a text for a container", template(spec={"containers": ["k"]}), "spec.containers[0]"),
    refused("an image that is a number", template(**pod({"image": 1})), "containers[0].image"),
    # JupyterKernel
    refused("a kernel without a template", an_object("jupyterkernels"), "spec.template: Req"),
    refused("an id that is no label", kernel(kernelID="a/b"), "spec.kernelID"),
    refused("a gateway without its name", kernel(gatewayRef={}), "spec.gatewayRef.name"),
    refused("a notebook without uid", kernel(notebookRef={"name": "n"}), "spec.notebookRef.uid"),
    refused("a user of 254 letters", kernel(user="u" * 254), "spec.user"),
    refused("a kernel's name that leaves no room", kernel("k" * 243), "metadata.name: its Secret"),
]  # fmt: skip


def crashes_of(team: Team) -> dict[str, tuple[int, int]]:
    """Restarts and tracebacks of the operator and the team's gateway, by pod."""
    found = {}
    for pod in (operator_pod(team.cluster), team.gateway_pod()):
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        [status] = pod["status"]["containerStatuses"]
        tracebacks = team.cluster.log(namespace, name, tail=100_000).count("Traceback")
        found[name] = (status["restartCount"], tracebacks)
    return found


@pytest.fixture(scope="module", autouse=True)
def crashes(team: Team) -> dict[str, tuple[int, int]]:
    """What there was of them before the first test."""
    return crashes_of(team)


@pytest.mark.parametrize(("obj", "texts"), REFUSED)
def test_refused_at_apply(team: Team, obj: Object, texts: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError) as refusal:
        team.cluster.apply(team.namespace, obj)
    said = str(refusal.value)
    assert [text for text in texts if text not in said] == [], said


EDITS = {
    "template": {"template": pod({"image": "other"})},
    "a deep field of the template": {"template": pod(nodeSelector={"no": "other"})},
    "kernelID": {"kernelID": "other"},
    "kernelSpecName": {"kernelSpecName": "other"},
    "gatewayRef": {"gatewayRef": {"name": "other"}},
    "notebookRef": {"notebookRef": {"namespace": "a", "name": "b", "uid": "1"}},
    "user": {"user": "other"},
    "user, taken out": {"user": None},
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_that_a_kernel_could_not_follow_is_refused_with_the_fields_name(
    team: Team, what: str
) -> None:
    made = kernel("edited", kernelID="edited", user="ann")
    team.cluster.apply(team.namespace, made)
    edited = {k: v for k, v in {**made["spec"], **EDITS[what]}.items() if v is not None}
    [field] = EDITS[what]
    with pytest.raises(AssertionError, match=rf"spec\.{field} cannot change.*make it again"):
        team.cluster.apply(team.namespace, {**made, "spec": edited})
    team.cluster.kubectl("label", "jupyterkernel", "edited", "a=b", "-n", team.namespace)
    team.cluster.kubectl("label", "jupyterkernel", "edited", "a-", "-n", team.namespace)


@dataclass(frozen=True)
class Told:
    """A condition that an object is to have; ``texts`` are in its message."""

    type: str
    reason: str
    texts: tuple[str, ...] = field(default=())


def told(what: str, obj: Object, want: Told, *beside: Object) -> Any:
    return pytest.param([*beside, obj], want, id=what)


def ready(reason: str, *texts: str) -> Told:
    return Told("Ready", reason, texts)


def failed(reason: str, *texts: str) -> Told:
    return Told("Failed", reason, texts)


def waits(reason: str, *texts: str) -> Told:
    return Told("Running", reason, texts)


TOLD = [
    # JupyterNotebook
    told(
        "a gateway that does not exist",
        notebook("to-nothing", gateway={"name": "none"}),
        ready("GatewayNotFound", "/none"),
    ),
    told(
        "a gateway of a namespace that does not exist",
        notebook("to-nowhere", gateway={"name": "gw", "namespace": "none"}),
        ready("GatewayNotFound", "none/gw"),
    ),
    told(
        "a field that pods do not have",
        notebook("typo", template=pod({"resource": {}})),
        ready("Invalid", 'unknown field "spec.template.spec.containers[0].resource"'),
    ),
    told(
        "ports in one text",
        notebook("ports", template=pod({"ports": "8888"})),
        ready("Invalid", "ports"),
    ),
    told(
        "a quantity that is none",
        notebook("quantity", template=pod({"resources": {"limits": {"cpu": "lots"}}})),
        ready("Invalid", "quantities must match"),
    ),
    told(
        "a mount without its volume",
        notebook("mount", template=pod({"volumeMounts": [{"name": "no", "mountPath": "/x"}]})),
        ready("Invalid", "volumeMounts[0].name: Not found"),
    ),
    told(
        "a notebook with the name of a gateway",
        notebook("gw", template={}),
        ready("AlreadyExists", "gw exists already and belongs to JupyterGateway gw", "rename"),
    ),
    # JupyterGateway
    told(
        "a quantity that is none, of a gateway",
        gateway("gw-quantity", resources={"limits": {"cpu": "lots"}}),
        ready("Invalid", "quantities must match"),
    ),
    told(
        "a limit below the request",
        gateway("gw-limit", resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
        ready("Invalid", "must be less than or equal to cpu limit"),
    ),
    told(
        "a ClusterRole that nobody allowed",
        gateway("gw-role", clusterRole="cluster-admin", image="none.invalid/none"),
        Told("ClusterRoleBound", "NotAllowed", ("spec.clusterRole: cluster-admin",)),
    ),
    told(
        "a gateway with the name of a notebook",
        gateway("nb"),
        ready("AlreadyExists", "nb exists already and belongs to JupyterNotebook nb"),
    ),
    # JupyterKernelSpec
    told(
        "a template that does not exist",
        spec("orphan", template={"name": "none"}),
        ready("TemplateNotFound", "spec.template", "none"),
    ),
    told(
        "a template of another namespace",
        spec("elsewhere", template={"name": "t", "namespace": "default"}),
        ready("TemplateElsewhere", "spec.template.namespace"),
    ),
    told(
        "a variable with an impossible name",
        spec("variable", env=[{"name": "A B=C", "value": "1"}]),
        ready("Invalid", "env[0].name"),
    ),
    told(
        "a template that is wrong",
        spec("of-wrong", template={"name": "wrong"}),
        ready("Invalid", "volumeMounts[0].name"),
        template("wrong", **pod({"volumeMounts": [{"name": "no", "mountPath": "/x"}]})),
    ),
    # JupyterKernelTemplate
    told(
        "a GPU in the resources of the pod, beside its containers",
        template("gpu", **pod(resources={"limits": {"nvidia.com/gpu": 1}})),
        ready("Invalid", "spec.resources.limits[nvidia.com/gpu]"),
    ),
    told(
        "an image beside the containers",
        template("image", **pod(image="kernel")),
        ready("Invalid", 'unknown field "spec.image"'),
    ),
    told(
        "half a GPU",
        template("half", **pod({"resources": {"limits": {"nvidia.com/gpu": 0.5}}})),
        ready("Invalid", "nvidia.com/gpu"),
    ),
    told(
        "more digits than Python reads",
        template("digits", **pod({"resources": {"limits": {"nvidia.com/gpu": "1" * 5000}}})),
        ready("Invalid", "limits[nvidia.com/gpu]"),
    ),
    told(
        "two containers of one name",
        template("twins", spec={"containers": [{"name": "k"}, {"name": "k", "image": "i"}]}),
        ready("Invalid", "containers[1].name: Duplicate value"),
    ),
    told(
        "a volume that is a text",
        template("volume", **pod(volumes=[{"name": "v", "emptyDir": "yes"}])),
        ready("Invalid", "emptyDir"),
    ),
    # JupyterKernel
    told(
        "a gateway of a kernel that does not exist",
        kernel("k-nothing", gatewayRef={"name": "none"}),
        waits("GatewayNotFound", "spec.gatewayRef: JupyterGateway none does not exist"),
    ),
    told(
        "a gateway of a kernel in another namespace",
        kernel("k-elsewhere", gatewayRef={"name": "gw", "namespace": "default"}),
        failed("GatewayElsewhere", "spec.gatewayRef.namespace"),
    ),
    told(
        "the id of another kernel",
        kernel("k-second", kernelID="twice", gatewayRef={"name": "gw"}),
        failed("KernelIDTaken", "spec.kernelID", "k-first"),
        kernel("k-first", kernelID="twice", gatewayRef={"name": "gw"}),
    ),
    told(
        "a pod that asks for a volume it does not have",
        kernel("k-mount", template=pod({"volumeMounts": [{"name": "no", "mountPath": "/x"}]})),
        failed("Invalid", "volumeMounts[0].name: Not found"),
    ),
    told(
        "a misspelt field of a kernel",
        kernel("k-typo", template=pod({"imagePolicy": "Always"})),
        failed("Invalid", 'unknown field "spec.containers[0].imagePolicy"'),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("objects", "want"), TOLD)
def test_told_by_a_condition(team: Team, objects: list[Object], want: Told) -> None:
    for obj in objects:  # one after the other: the order decides who has an id
        team.cluster.apply(team.namespace, obj)
    assert_told(team, objects[-1], want)


def assert_told(team: Team, obj: Object, want: Told) -> None:
    plural = next(plural for plural, kind in KINDS.items() if kind == obj["kind"])
    name = obj["metadata"]["name"]

    def look() -> Object | None:
        live = team.cluster.get(team.namespace, plural, name) or {}
        conditions = (live.get("status") or {}).get("conditions") or []
        return next((one for one in conditions if one["type"] == want.type), None)

    def is_told(seen: Object | None) -> bool:
        return (
            seen is not None
            and seen["reason"] == want.reason
            and all(text in seen["message"] for text in want.texts)
        )

    eventually(look, is_told, within=30, what=f"{want} of {plural}/{name}")


@pytest.mark.parametrize("levels", [300, 3000, 9000])
def test_a_template_of_any_depth_is_told_and_stops_nobody(team: Team, levels: int) -> None:
    """No decoder of Python takes more than a thousand levels, so kubectl does the looking."""
    name, namespace = f"deep-{levels}", team.namespace
    text = json.dumps(template(name, spec={"containers": [{"name": "k"}], "deep": "HERE"}))
    nested = '{"a":' * levels + "1" + "}" * levels
    # Not by apply, which would write it into an annotation, too.
    manifest = text.replace('"HERE"', nested)
    team.cluster.kubectl("create", "-n", namespace, "-f", "-", input=manifest)
    try:
        eventually(
            lambda: team.cluster.kubectl(
                *("get", "jupyterkerneltemplate", name, "-n", namespace),
                *("-o", "jsonpath={.status.conditions[?(@.type=='Ready')].message}"),
            ),
            lambda said: 'unknown field "spec.deep"' in said,
            within=30,
            what=f"a word on {levels} levels",
        )
        team.cluster.apply(namespace, template(f"beside-{levels}", **pod()))
        team.cluster.kubectl(
            *("wait", "jupyterkerneltemplate", f"beside-{levels}", "-n", namespace),
            *("--for=condition=Ready", "--timeout=30s"),
        )
    finally:
        team.cluster.delete(namespace, "jupyterkerneltemplates", name)


def test_garbage_in_annotations_and_a_status_by_hand_do_not_stop_a_kernel(team: Team) -> None:
    garbage = kernel("garbage")
    garbage["metadata"]["annotations"] = {
        "kubeflow.tkestack.io/asked-at": "0000-99-99",
        "kubeflow.tkestack.io/last-epoch": "9" * 5000,
    }
    team.cluster.apply(team.namespace, garbage)
    assert_told(team, garbage, waits("Unschedulable"))
    status = '{"status": {"phase": "Failed", "conditions": null}}'
    patch = ("patch", "jupyterkernel", "garbage", "-n", team.namespace, "--subresource=status")
    team.cluster.kubectl(*patch, "--type=merge", "-p", status)
    with pytest.raises(AssertionError, match=r"status\.epoch"):
        team.cluster.kubectl(*patch, "--type=merge", "-p", '{"status": {"epoch": -1}}')
    eventually(
        lambda: team.cluster.get(team.namespace, "pods", "garbage"),
        lambda pod: pod is None,
        within=30,
        what="the end of the pod of a kernel that somebody called Failed",
    )


def test_a_kernel_of_a_notebook_that_does_not_exist_goes_and_an_event_says_why(team: Team) -> None:
    nobody = {"namespace": team.namespace, "name": "nobody", "uid": "1"}
    team.cluster.apply(team.namespace, kernel("of-nobody", notebookRef=nobody))
    eventually(
        lambda: [
            event["message"]
            for event in team.cluster.list(team.namespace, "events")
            if event["reason"] == "NotebookGone"
        ],
        lambda said: said and "spec.notebookRef: there is no JupyterNotebook" in said[0],
        within=30,
        what="the event of a kernel whose notebook does not exist",
    )
    eventually(
        lambda: team.cluster.get(team.namespace, "jupyterkernels", "of-nobody"),
        lambda seen: seen is None,
        within=30,
        what="the end of that kernel",
    )


def test_a_kernel_with_the_name_of_a_notebook_runs_beside_it(team: Team) -> None:
    namesake = kernel("nb", template={"spec": {"containers": [{"name": "kernel"}]}})
    team.cluster.apply(team.namespace, namesake)
    assert_told(team, namesake, waits("Started"))
    team.cluster.delete(team.namespace, "jupyterkernels", "nb")


@pytest.mark.parametrize(
    "user", ["\u738b\u5c0f\u660e \U0001f600", "x" * 3000, "Ann/../O'Neil\n", "-.-"]
)
def test_a_notebook_of_any_user_name_starts_kernels(team: Team, user: str) -> None:
    """The pod's name is made safe of it; the name itself reaches the kernel up to 253 letters."""
    name = f"user-{abs(hash(user)) % 10**6}"
    env = [{"name": "KERNEL_USERNAME", "value": user}]
    wanted = manifests.notebook(name, namespace=team.namespace)
    wanted["spec"]["template"] = {"spec": {"containers": [{"name": "notebook", "env": env}]}}
    team.cluster.apply(team.namespace, wanted)
    with served(team.cluster, team.namespace, name) as server, server.notebook() as tab:
        cell = tab.run("import os; os.environ['KERNEL_USERNAME']", within=60)
        assert cell.result == repr(user[:253])
    team.cluster.kubectl("delete", "jupyternotebook", name, "-n", team.namespace, "--wait=false")


def test_nothing_has_crashed_and_the_team_works_on(
    team: Team, crashes: dict[str, tuple[int, int]]
) -> None:
    now = crashes_of(team)
    assert now == {name: crashes.get(name, (0, 0)) for name in now}
    with team.server.notebook() as tab:
        assert tab.run("6 * 7", within=60).result == "42"
