"""Edits of living objects: every field of every kind takes effect, and no kernel is lost by it."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.support import manifests
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.jupyter_tab import NotebookServer, Tab
from tests.support.team import GATEWAY, NOTEBOOK, Object, Team, a_team, kernel_name, served

from elastic_jupyter.api.gateway import GatewaySpec
from elastic_jupyter.api.kernelspec import KernelSpecSpec
from elastic_jupyter.api.kerneltemplate import KernelTemplateSpec
from elastic_jupyter.api.notebook import NotebookSpec

pytestmark = pytest.mark.long

ROLLED_OUT_WITHIN = "120s"
#: Seconds until a new or changed spec shows in a running notebook server.
LIVE_WITHIN = 5.0
SPEC = "py"


@dataclass(frozen=True)
class Edit:
    """A change of one field, and what must come of it."""

    field: str
    value: Any
    effect: Callable[[Team], object]

    def __str__(self) -> str:
        return self.field


def fields(model: Any) -> set[str]:
    """Return the JSON names of a spec's fields."""
    return {info.alias or name for name, info in model.model_fields.items()}


def patch(team: Team, plural: str, name: str, **spec: Any) -> None:
    """Edit an object as ``kubectl patch`` does, and wait for it as ``kubectl wait`` does."""
    team.edit(plural, name, **spec)
    team.cluster.kubectl(
        "wait", "-n", team.namespace, f"{plural}/{name}", "--for=condition=Ready",
        f"--timeout={ROLLED_OUT_WITHIN}", within=130,
    )  # fmt: skip


# -- JupyterGateway


def gateway_container(team: Team) -> Object:
    container: Object = team.gateway_pod()["spec"]["containers"][0]
    return container


def has_env(name: str, value: str) -> Callable[[Team], object]:
    def effect(team: Team) -> object:
        return {"name": name, "value": value} in gateway_container(team)["env"]

    return effect


def offers_only_its_list(team: Team) -> bool:
    return set(team.server.request("GET", "kernelspecs")["kernelspecs"]) == {SPEC}


def names_the_default(team: Team) -> bool:
    return bool(team.server.request("GET", "kernelspecs")["default"] == SPEC)


def logs_more(team: Team) -> bool:
    return "[D " in team.cluster.log(team.namespace, team.gateway_pod()["metadata"]["name"])


def is_replaced(team: Team) -> bool:
    gateway = team.cluster.get(team.namespace, "jupytergateways", GATEWAY) or {}
    return "ImageReplaced" in [one["type"] for one in gateway["status"]["conditions"]]


def is_told_not_allowed(team: Team) -> bool:
    gateway = team.cluster.get(team.namespace, "jupytergateways", GATEWAY) or {}
    told = {one["type"]: one["reason"] for one in gateway["status"]["conditions"]}
    return told.get("ClusterRoleBound") == "NotAllowed"


def volumes(team: Team) -> list[str]:
    return [volume["name"] for volume in team.gateway_pod()["spec"]["volumes"]]


def has_label_and_variable(team: Team) -> bool:
    labels = team.gateway_pod()["metadata"]["labels"]
    return labels.get("team") == "a" and bool(has_env("EDITED", "yes")(team))


ORIGINAL_IMAGE = "ccr.ccs.tencentyun.com/kubeflow-oteam/enterprise-gateway:2.5.0"
RESOURCES = {"requests": {"cpu": "10m", "memory": "64Mi"}}
TEMPLATE = {
    "metadata": {"labels": {"team": "a"}},
    "spec": {"containers": [{"env": [{"name": "EDITED", "value": "yes"}]}]},
}
GATEWAY_EDITS = [
    Edit("kernels", [SPEC], offers_only_its_list),
    Edit("defaultKernel", SPEC, names_the_default),
    Edit("cullIdleTimeout", 7200, has_env("ELASTIC_JUPYTER_CULL_IDLE_TIMEOUT", "7200")),
    Edit("cullInterval", 5, has_env("ELASTIC_JUPYTER_CULL_INTERVAL", "5")),
    Edit("logLevel", "DEBUG", logs_more),
    Edit("resources", RESOURCES, lambda team: gateway_container(team)["resources"] == RESOURCES),
    Edit("image", ORIGINAL_IMAGE, is_replaced),
    Edit("template", TEMPLATE, has_label_and_variable),
    Edit("clusterRole", "not-on-the-list", is_told_not_allowed),
    Edit("launchTimeoutSeconds", 77, has_env("ELASTIC_JUPYTER_LAUNCH_TIMEOUT", "77")),
    Edit("queueTimeoutSeconds", 78, has_env("ELASTIC_JUPYTER_QUEUE_TIMEOUT", "78")),
    Edit("allowedNamespaces", {"from": "Same"}, lambda team: team.server.kernel_ids()),
    Edit("start", "OnFirstExecute", has_env("ELASTIC_JUPYTER_START", "OnFirstExecute")),
    Edit("reclaim", {"maxExtensionSeconds": 79}, has_env("ELASTIC_JUPYTER_MAX_EXTENSION", "79")),
    Edit("snapshot", {"size": "64Mi"}, lambda team: "snapshots" in volumes(team)),
]
#: Notebook servers are told, too, and so begin anew.
ALLOWED_ENV = Edit("allowedEnv", ["EDITED"], has_env("ELASTIC_JUPYTER_ALLOWED_ENV", "EDITED"))


@pytest.fixture(scope="module")
def kept(team: Team) -> Iterator[Tab]:
    """A notebook that is open all the time, with a variable in its kernel."""
    team.cluster.apply(team.namespace, manifests.kernel_spec(SPEC))
    with team.server.notebook() as tab:
        tab.run("kept = 'kept'", within=60)
        yield tab


def still_has_its_variables(team: Team, tab: Tab, pod: Object | None) -> None:
    assert tab.run("kept", within=30).result == "'kept'"
    assert pod is not None
    assert (team.pod(tab) or {})["metadata"]["uid"] == pod["metadata"]["uid"]
    assert not {"restarting", "dead"} & set(tab.statuses())


def test_no_field_of_a_gateway_is_left_out_here() -> None:
    assert {edit.field for edit in (*GATEWAY_EDITS, ALLOWED_ENV)} == fields(GatewaySpec)


@pytest.mark.parametrize("edit", GATEWAY_EDITS, ids=str)
def test_an_edit_of_a_gateway_takes_effect_and_keeps_the_kernels(
    team: Team, kept: Tab, edit: Edit
) -> None:
    pod = team.pod(kept)
    before = gateway_spec(team)
    patch(team, "jupytergateways", GATEWAY, **{edit.field: edit.value})
    eventually(lambda: edit.effect(team), bool, within=30, what=f"the effect of {edit}")
    still_has_its_variables(team, kept, pod)
    # What is taken out again must go from the children, too.
    patch(team, "jupytergateways", GATEWAY, **{edit.field: before.get(edit.field)})
    assert gateway_spec(team) == before
    if edit.field != "allowedNamespaces":
        eventually(lambda: edit.effect(team), lambda seen: not seen, within=30, what="the way back")
    still_has_its_variables(team, kept, pod)
    assert kept.open


def gateway_spec(team: Team) -> Object:
    gateway = team.cluster.get(team.namespace, "jupytergateways", GATEWAY)
    assert gateway is not None
    spec: Object = gateway["spec"]
    return spec


# -- JupyterNotebook


def notebook_env(team: Team) -> dict[str, Any]:
    return {one["name"]: one for one in team.notebook_pod()["spec"]["containers"][0]["env"]}


def asks_for_a_login(team: Team) -> bool:
    secret = team.cluster.get(team.namespace, "secrets", f"{NOTEBOOK}-auth") or {}
    return "token" in (secret.get("data") or {})


def has_a_volume(team: Team) -> bool:
    volumes = team.notebook_pod()["spec"]["volumes"]
    return any("persistentVolumeClaim" in volume for volume in volumes)


def has_another_service(team: Team) -> bool:
    service = team.cluster.get(team.namespace, "services", NOTEBOOK) or {}
    return bool(service["spec"]["type"] == "NodePort")


NOTEBOOK_EDITS = [
    Edit("template", TEMPLATE, lambda team: "EDITED" in notebook_env(team)),
    Edit("service", {"type": "NodePort"}, has_another_service),
    Edit("storage", {"size": "64Mi"}, has_a_volume),
    Edit("auth", {"mode": "enable", "token": "t0p"}, asks_for_a_login),
    Edit(
        "gateway",
        {"name": "gw2"},
        lambda team: "gw2" in notebook_env(team)["JUPYTER_GATEWAY_URL"]["value"],
    ),
]


def test_no_field_of_a_notebook_is_left_out_here() -> None:
    assert {edit.field for edit in NOTEBOOK_EDITS} == fields(NotebookSpec)


@pytest.fixture(scope="module")
def left(new_team: Callable[..., Team]) -> tuple[Team, Tab]:
    """A team whose notebook is edited, and the tab in which its kernel was started."""
    team = new_team(manifests.gateway("gw2"), cullIdleTimeout=3600)
    tab = team.server.open()
    tab.run("kept = 'kept'", within=60)
    return team, tab


def test_an_edit_of_what_notebooks_may_set_reaches_gateway_and_notebook(
    left: tuple[Team, Tab],
) -> None:
    team, tab = left
    pod, notebook = team.pod(tab), team.notebook_pod()["metadata"]["uid"]
    patch(team, "jupytergateways", GATEWAY, **{ALLOWED_ENV.field: ALLOWED_ENV.value})
    eventually(lambda: ALLOWED_ENV.effect(team), bool, within=30, what="the gateway's variable")
    eventually(
        lambda: team.notebook_pod()["metadata"]["uid"],
        lambda uid: uid != notebook,
        within=30,
        what="a new notebook server",
    )
    reopened_has_its_variables(team, tab, pod)


@pytest.mark.parametrize("edit", NOTEBOOK_EDITS, ids=str)
def test_an_edit_of_a_notebook_takes_effect_and_leaves_its_kernels(
    left: tuple[Team, Tab], edit: Edit
) -> None:
    team, tab = left
    pod = team.pod(tab)
    assert not edit.effect(team)
    patch(team, "jupyternotebooks", NOTEBOOK, **{edit.field: edit.value})
    assert edit.effect(team)
    team.runs(tab)
    if edit.field == "auth":
        with served(team.cluster, team.namespace, token="t0p") as server:
            assert tab.kernel_id in server.kernel_ids()
    elif edit.field == "gateway":  # the kernels stay with the gateway that runs them
        assert pod is not None
        assert (team.pod(tab) or {})["metadata"]["uid"] == pod["metadata"]["uid"]
    else:
        reopened_has_its_variables(team, tab, pod)


def reopened_has_its_variables(team: Team, tab: Tab, pod: Object | None) -> None:
    """A new notebook server lists the kernel, and a websocket through it finds the variables."""
    with served(team.cluster, team.namespace) as server:
        assert tab.kernel_id in server.kernel_ids()
        again = Tab(server, tab.session)
        still_has_its_variables(team, again, pod)
        again.close()


# -- JupyterKernelSpec and JupyterKernelTemplate


@dataclass(frozen=True)
class SpecEdit:
    """A change of one field of a kernel spec, and what it does to the list and to new kernels."""

    field: str
    value: Any
    listed: Callable[[Object], object] = lambda spec: True
    started: Callable[[Object], object] = lambda container: True

    def __str__(self) -> str:
        return self.field


SPEC_EDITS = [
    SpecEdit("displayName", "Edited", listed=lambda spec: spec["display_name"] == "Edited"),
    SpecEdit("language", "r", listed=lambda spec: spec["language"] == "r"),
    SpecEdit("image", "edited:1", started=lambda container: container["image"] == "edited:1"),
    SpecEdit(
        "env",
        [{"name": "EDITED", "value": "yes"}],
        started=lambda container: {"name": "EDITED", "value": "yes"} in container["env"],
    ),
    SpecEdit(
        "command",
        ["edited", "{connection_file}"],
        started=lambda container: container["command"][0] == "edited",
    ),
    SpecEdit(
        "resources",
        {"limits": {"memory": "200Mi"}},
        started=lambda container: container["resources"] == {"limits": {"memory": "200Mi"}},
    ),
    SpecEdit(
        "template",
        {"name": "other"},
        started=lambda container: container["workingDir"] == "/other",
    ),
    SpecEdit("debugger", False, listed=lambda spec: "debugger" not in spec["metadata"]),
    # What it does is seen in test_idle_reclaim.
    SpecEdit("cullIdleTimeout", 7200),
    SpecEdit("reclaim", {"fallback": "Keep"}),  # and this in test_hibernation
    SpecEdit("className", "any"),  # accepted and without effect, as its description says
]


def test_no_field_of_a_kernel_spec_or_template_is_left_out_here() -> None:
    assert {edit.field for edit in SPEC_EDITS} == fields(KernelSpecSpec)
    assert fields(KernelTemplateSpec) == {"template"}


def template(name: str, folder: str) -> Object:
    container = {"name": "kernel", "workingDir": folder}
    return manifests.kernel_template(name, spec={"containers": [container]})


@pytest.fixture(scope="module")
def edited(cluster: Cluster) -> Iterator[tuple[Team, Tab]]:
    """A team whose kernel spec is edited, and a notebook that runs a kernel of it."""
    objects = (
        template("first", "/tmp"),
        template("other", "/other"),
        manifests.kernel_spec(SPEC, template="first"),
    )
    with (
        a_team(cluster, *objects, cullIdleTimeout=3600) as team,
        team.server.notebook(SPEC) as tab,
    ):
        tab.run("kept = 'kept'", within=60)
        yield team, tab


def started_with(team: Team, server: NotebookServer) -> Object:
    """Start a kernel of the edited spec, and return what its container was asked to be."""
    kernel = server.request("POST", "kernels", name=SPEC)
    found = team.cluster.get(team.namespace, "jupyterkernels", f"jovyan-{kernel['id']}")
    server.request("DELETE", f"kernels/{kernel['id']}")
    assert found is not None
    container: Object = found["spec"]["template"]["spec"]["containers"][0]
    return container


@pytest.mark.parametrize("edit", SPEC_EDITS, ids=str)
def test_an_edited_kernel_spec_is_live_and_leaves_running_kernels_alone(
    edited: tuple[Team, Tab], edit: SpecEdit
) -> None:
    team, tab = edited
    pod, gateway = team.pod(tab), team.gateway_pod()["metadata"]["uid"]
    spec = team.cluster.get(team.namespace, "jupyterkernelspecs", SPEC)
    assert spec is not None
    team.edit("jupyterkernelspecs", SPEC, **{edit.field: edit.value})
    eventually(
        lambda: team.server.request("GET", "kernelspecs")["kernelspecs"][SPEC]["spec"],
        edit.listed,
        within=LIVE_WITHIN,
        what=f"the edited {edit} in the launcher",
    )
    eventually(
        lambda: started_with(team, team.server),
        edit.started,
        within=LIVE_WITHIN + 1,
        what=f"a kernel with the edited {edit}",
    )
    assert team.gateway_pod()["metadata"]["uid"] == gateway, "nothing is restarted for it"
    still_has_its_variables(team, tab, pod)
    team.edit("jupyterkernelspecs", SPEC, **{edit.field: spec["spec"].get(edit.field)})


def test_a_restart_by_the_user_takes_the_edited_template(edited: tuple[Team, Tab]) -> None:
    team, tab = edited
    pod = team.pod(tab)
    folder = f"/tmp/{uuid.uuid4().hex[:8]}"
    containers = [{"name": "kernel", "workingDir": folder}]
    team.edit("jupyterkerneltemplates", "first", template={"spec": {"containers": containers}})
    eventually(
        lambda: started_with(team, team.server)["workingDir"],
        lambda seen: seen == folder,
        within=LIVE_WITHIN + 1,
        what="a new kernel of the edited template",
    )
    still_has_its_variables(team, tab, pod)
    assert tab.run("import os; os.getcwd()").result == "'/tmp'"
    tab.restart()
    tab.reconnect()
    assert tab.run("import os; os.getcwd()", within=60).result == repr(folder)
    assert kernel_name(tab) in team.cluster.names(team.namespace, "jupyterkernels")
