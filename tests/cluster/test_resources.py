"""The five kinds as a platform engineer meets them with kubectl."""

import pytest
from tests.support import manifests
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.team import Team, a_namespace, image_of, kernel_name

KINDS = {
    "jupyternotebook": "jnb",
    "jupytergateway": "jgw",
    "jupyterkernelspec": "jks",
    "jupyterkerneltemplate": "jkt",
    "jupyterkernel": "jk",
}


def table(text: str) -> list[dict[str, str]]:
    """Return a table of kubectl as one dict a row; columns stand where their header stands."""
    head, *rows = text.splitlines()
    names = [name for name in head.split("  ") if name.strip()]
    starts = [head.index(name.strip()) for name in names]
    return [
        {
            name.strip(): row[start:end].strip()
            for name, start, end in zip(names, starts, [*starts[1:], None], strict=True)
        }
        for row in rows
    ]


def test_the_kernels_table_tells_what_is_going_on(team: Team) -> None:
    with team.server.notebook() as tab:
        tab.run("1", within=60)
        name = kernel_name(tab)
        [row] = eventually(
            lambda: table(team.cluster.kubectl("get", "jk", name, "-n", team.namespace)),
            lambda rows: rows[0]["IDLE FOR"] and rows[0]["PHASE"] == "Running",
            within=20,
            what="a running kernel and its activity",
        )
        assert (row["NAME"], row["REASON"], row["USER"]) == (name, "Started", "jovyan")
        assert (row["GATEWAY"], row["GPU"], row["PLACE"]) == ("gw", "", "")
        assert row["IDLE FOR"].endswith("s")


def test_notebooks_and_gateways_say_whether_they_are_ready(team: Team) -> None:
    team.gateway_pod()
    [notebook] = table(team.cluster.kubectl("get", "jnb", "-o", "wide", "-n", team.namespace))
    assert (notebook["READY"], notebook["GATEWAY"]) == ("True", "gw")
    assert notebook["URL"] == f"http://nb.{team.namespace}:8888"
    [gateway] = table(team.cluster.kubectl("get", "jgw", "-n", team.namespace))
    assert (gateway["READY"], gateway["IDLE LIMIT"]) == ("True", "3600")


@pytest.mark.parametrize(("kind", "short"), KINDS.items())
def test_a_kind_has_a_short_name_and_explains_itself(
    cluster: Cluster, kind: str, short: str
) -> None:
    assert "FIELDS:" in cluster.kubectl("explain", f"{short}.spec")
    assert cluster.kubectl("explain", short) == cluster.kubectl("explain", kind)


def test_a_time_is_explained_with_its_unit_and_default(cluster: Cluster) -> None:
    text = " ".join(cluster.kubectl("explain", "jgw.spec.cullIdleTimeout").split())
    assert "Seconds without an execution" in text
    assert "default 3600; 0 or less: never" in text


def test_a_kernel_spec_says_whether_it_can_be_started(cluster: Cluster) -> None:
    template = manifests.gpu_template("pod")
    template["spec"]["template"]["metadata"] = {"app": "enterprise-gateway", "component": "kernel"}
    broken = manifests.gpu_template("broken")
    broken["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "much"}}
    with a_namespace(cluster) as namespace:
        cluster.apply(
            namespace,
            manifests.kernel_spec("early", template="pod", display_name="Before its template"),
            manifests.kernel_spec("orphan", template="nothing", display_name="No template"),
            manifests.kernel_spec("refused", template="broken", display_name="No pod"),
            template,
            broken,
        )
        eventually(
            lambda: {
                row["NAME"]: (row["READY"], row["REASON"])
                for row in table(cluster.kubectl("get", "jks", "-n", namespace))
            },
            lambda seen: seen == {
                "early": ("True", "Accepted"),
                "orphan": ("False", "TemplateNotFound"),
                "refused": ("False", "Invalid"),
            },
            within=20,
            what="the state of three kernel specs",
        )  # fmt: skip
        lifted = eventually(
            lambda: cluster.get(namespace, "jupyterkerneltemplates", "pod") or {},
            lambda template: template.get("status"),
            within=20,
            what="the status of the template",
        )
        conditions = {c["type"]: c for c in lifted["status"]["conditions"]}
        assert "app, component" in conditions["LabelsLifted"]["message"]


def test_a_kernel_made_by_hand_runs_and_goes(cluster: Cluster) -> None:
    kernel = {
        "apiVersion": manifests.API,
        "kind": "JupyterKernel",
        "metadata": {"name": "by-hand"},
        "spec": {"template": {"spec": {"containers": [{"name": "kernel"}]}}},
    }
    with a_namespace(cluster) as namespace:
        cluster.apply(namespace, kernel)
        eventually(
            lambda: cluster.get(namespace, "jupyterkernels", "by-hand"),
            lambda seen: seen and seen.get("status", {}).get("phase") == "Running",
            within=30,
            what="a kernel that nobody's gateway made",
        )
        pod = cluster.get(namespace, "pods", "by-hand")
        assert pod is not None
        assert pod["spec"]["containers"][0]["image"] == image_of(cluster, "KERNEL")
        cluster.kubectl("delete", "jk", "by-hand", "-n", namespace)
        eventually(
            lambda: [cluster.get(namespace, "pods", "by-hand"),
                     cluster.get(namespace, "secrets", "by-hand-connection")],
            lambda left: left == [None, None],
            within=20,
            what="the end of its pod and Secret",
        )  # fmt: skip


def test_a_missing_choice_is_refused_with_the_name_of_the_field(cluster: Cluster) -> None:
    notebook = {
        "apiVersion": manifests.API,
        "kind": "JupyterNotebook",
        "metadata": {"name": "nowhere"},
        "spec": {"auth": {"mode": "disable"}},
    }
    with pytest.raises(AssertionError, match=r"spec\.gateway or spec\.template is needed"):
        cluster.apply("default", notebook)
    notebook["spec"] = {"gateway": {"name": "g"}, "auth": {"mode": "sometimes"}}
    with pytest.raises(AssertionError, match=r"spec\.auth\.mode"):
        cluster.apply("default", notebook)


def test_a_claim_for_a_volume_binds(cluster: Cluster) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "home"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    writes = "open('/data/here', 'w').write('kept')"
    with a_namespace(cluster) as namespace:
        cluster.apply(namespace, claim)
        pod = manifests.plain_pod(
            "writer",
            namespace=namespace,
            image=image_of(cluster, "KERNEL"),
            command=["python", "-c", writes],
            volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "home"}}],
        )
        mount = {"name": "data", "mountPath": "/data"}
        pod["spec"]["containers"][0]["volumeMounts"] = [mount]
        cluster.create(pod)
        eventually(
            lambda: (cluster.get(namespace, "pods", "writer") or {})["status"].get("phase"),
            lambda phase: phase == "Succeeded",
            within=60,
            what="a pod that writes to its volume",
        )
