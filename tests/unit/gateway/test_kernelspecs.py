from typing import Any

import pytest
from jupyter_client.kernelspec import NoSuchKernel

from elastic_jupyter.api.kernelspec import JupyterKernelSpec
from elastic_jupyter.errors import Invalid
from elastic_jupyter.gateway.kernelspecs import CatalogKernelSpecManager
from tests.support.kernels import a_kernel_spec
from tests.support.loopback import LoopbackCatalog

R = ["R", "-e", "IRkernel::main()", "--args", "{connection_file}"]


def specs(
    *listed: str, default: str | None = None, image: str | None = "ours", **kinds: dict[str, Any]
) -> Any:
    """Return a manager of these JupyterKernelSpecs; ``image`` is of those that name none."""
    catalog = LoopbackCatalog()
    for name, spec in kinds.items():
        catalog.specs[name] = JupyterKernelSpec.model_validate(a_kernel_spec(name, **spec))
    manager = CatalogKernelSpecManager()
    manager.bind(catalog, default_image=image, listed=listed, wanted_default=default)
    return manager


def test_a_spec_is_shown_as_its_author_wrote_it() -> None:
    manager = specs(r={"displayName": "R für 统计", "language": "R", "command": R})
    shown = manager.get_all_specs()["r"]["spec"]
    assert (shown["display_name"], shown["language"], shown["argv"]) == ("R für 统计", "R", R)
    assert manager.get_kernel_spec("r").to_dict() == shown


def test_a_command_of_the_original_is_shown_as_what_runs() -> None:
    shown = specs(py={"command": ["kubeflow-launcher", "--verbose"]}).get_all_specs()["py"]["spec"]
    assert shown["argv"][:3] == ["python", "-m", "ipykernel_launcher"]
    assert (shown["display_name"], shown["language"]) == ("py", "python")


def test_specs_come_and_go_without_a_restart() -> None:
    manager = specs("python3", "r")
    assert list(manager.get_all_specs()) == ["python3"]
    manager.catalog.specs["r"] = JupyterKernelSpec.model_validate(a_kernel_spec("r"))
    assert list(manager.get_all_specs()) == ["python3", "r"]
    del manager.catalog.specs["r"]
    with pytest.raises(NoSuchKernel):
        manager.get_kernel_spec("r")


def test_the_default_is_one_on_offer() -> None:
    assert specs("r", r={}).default_name() == "r"
    assert specs("r", default="python3", r={}).default_name() == "r"
    assert specs(default="r", r={}).default_name() == "r"


def test_the_originals_name_of_the_built_in_kernel_starts_it() -> None:
    manager = specs()
    assert manager.knows("python_kubernetes")
    assert manager.get_kernel_spec("python_kubernetes").display_name == "Python 3"
    assert manager.pod_template("python_kubernetes", env={})


def test_a_spec_without_its_template_cannot_be_started() -> None:
    manager = specs(r={"template": {"name": "gone"}})
    with pytest.raises(Invalid, match="kernel spec r: there is no JupyterKernelTemplate gone"):
        manager.pod_template("r", env={})
    assert manager.pod_template("unknown", env={}) is None


def test_without_an_image_of_its_own_there_is_no_kernel_but_those_of_specs() -> None:
    manager = specs(image=None, r={})
    assert list(manager.get_all_specs()) == ["r"]
    assert manager.default_name() == "r"
    assert manager.pod_template("python3", env={}) is None
    assert "image" not in manager.pod_template("r", env={})["spec"]["containers"][0]
