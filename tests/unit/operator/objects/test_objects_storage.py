import pytest

from elastic_jupyter.api.notebook import JupyterNotebook
from elastic_jupyter.errors import Invalid
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator.objects import storage
from tests.support.kernels import a_notebook, model


def notebook_with(**given: object) -> JupyterNotebook:
    return model(JupyterNotebook, a_notebook(storage=given))


@pytest.mark.parametrize(
    ("given", "want"),
    [
        pytest.param(
            {"size": "1Gi"},
            {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            id="the cluster's default class",
        ),
        pytest.param(
            {"size": "1Gi", "className": "fast", "accessMode": "ReadWriteMany"},
            {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": "1Gi"}},
                "storageClassName": "fast",
            },
            id="a class for several nodes",
        ),
    ],
)
def test_a_claim_is_made_that_outlives_the_notebook(given: Object, want: Object) -> None:
    claim = storage.make_claim(notebook_with(**given))
    assert claim is not None
    assert claim["spec"] == want
    assert claim["metadata"]["name"] == "nb-storage"
    assert "ownerReferences" not in claim["metadata"]


def test_a_claim_that_is_named_is_used_as_it_is() -> None:
    notebook = notebook_with(claimName="mine")
    assert storage.make_claim(notebook) is None
    assert storage.claim_name(notebook) == "mine"


def claim_with(**spec: object) -> Object:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "standard",
        "resources": {"requests": {"storage": "2Gi"}},
        **spec,
    }
    return {"metadata": {"name": "nb-storage", "namespace": "team"}, "spec": spec}


@pytest.mark.parametrize(
    ("given", "grows", "never"),
    [
        pytest.param({"size": "2Gi"}, None, [], id="as it is"),
        pytest.param({"size": "2048Mi"}, None, [], id="the same in other words"),
        pytest.param({"size": "2.1Gi"}, "2.1Gi", [], id="larger"),
        pytest.param({"size": "2G"}, None, ["size"], id="a little smaller"),
        pytest.param({"size": "2Gi", "className": "standard"}, None, [], id="the class it has"),
        pytest.param({"size": "2Gi", "className": "fast"}, None, ["className"], id="of a class"),
        pytest.param(
            {"size": "3Gi", "accessMode": "ReadWriteMany"}, "3Gi", ["accessMode"], id="of a mode"
        ),
    ],
)
def test_what_a_claim_that_is_there_can_become(
    given: Object, grows: str | None, never: list[str]
) -> None:
    notebook = notebook_with(**given)
    assert storage.growth(notebook, claim_with()) == grows
    told = list(storage.unreachable(notebook, claim_with()))
    for text, field in zip(told, never, strict=True):
        assert text.startswith(f"spec.storage.{field} ")


@pytest.mark.parametrize(
    ("given", "want"),
    [
        pytest.param({"storage": {"size": "1Gi"}}, "nb-storage", id="shared by default"),
        pytest.param({"storage": {"claimName": "mine"}}, "mine", id="a named claim"),
        pytest.param(
            {"storage": {"size": "1Gi", "shareWithKernels": False}}, None, id="not shared"
        ),
        pytest.param({}, None, id="no storage"),
    ],
)
def test_which_claim_kernels_share(given: Object, want: str | None) -> None:
    assert storage.shared_claim(model(JupyterNotebook, a_notebook(**given))) == want


@pytest.mark.parametrize(
    ("container", "want"),
    [
        pytest.param({}, "/home/jovyan", id="nothing is said"),
        pytest.param({"env": "/home/jovyan/a/b"}, "/home/jovyan/a/b", id="the notebook's folder"),
        pytest.param({"env": "/home/jovyan/a$$b"}, "/home/jovyan/a$b", id="a dollar in its name"),
        pytest.param({"env": "/home/jovyan/../etc"}, "/home/jovyan", id="not on the volume"),
        pytest.param({"env": "/home/jovyanother"}, "/home/jovyan", id="a longer name"),
        pytest.param({"env": "work"}, "/home/jovyan", id="not absolute"),
        pytest.param({"workingDir": "/opt"}, "/opt", id="the template's own"),
    ],
)
def test_where_a_kernel_starts(container: Object, want: str) -> None:
    if "env" in container:
        container = {"env": [{"name": "KERNEL_WORKING_DIR", "value": container["env"]}]}
    storage.start_in_folder(container)
    assert container["workingDir"] == want


def test_a_group_of_the_template_stays() -> None:
    spec: Object = {"securityContext": {"fsGroup": 7}}
    storage.mount(spec, {}, claim="c")
    assert spec["securityContext"] == {"fsGroup": 7}


@pytest.mark.parametrize("path", ["/home/jovyan", "/home/jovyan/"])
def test_a_mount_of_the_template_in_the_volumes_place_is_refused_by_its_name(path: str) -> None:
    container = {"volumeMounts": [{"mountPath": "/data"}, {"mountPath": path}]}
    with pytest.raises(Invalid, match=r"^spec\.template\.\S+volumeMounts\[1\].*spec\.storage"):
        storage.mount({}, container, claim="c")


def test_other_mounts_of_the_template_stay() -> None:
    inside, broken = {"mountPath": "/home/jovyan/data"}, "the API server's to refuse"
    container: Object = {"volumeMounts": [inside, broken, {"mountPath": 1}]}
    storage.mount({}, container, claim="c")
    assert [inside, broken] == container["volumeMounts"][:2]
    assert container["volumeMounts"][-1]["mountPath"] == "/home/jovyan"
