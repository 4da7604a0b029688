"""The logos of kernels, as the launcher asks for them."""

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from elastic_jupyter.api.kernelspec import JupyterKernelSpec
from elastic_jupyter.gateway import kernelspecs
from tests.support.front_end import FrontEnd
from tests.support.kernels import a_kernel_spec
from tests.support.loopback import Loopback

#: What has a logo that begins like this.
PNG = b"\x89PNG"


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Julia is installed beside the gateway, as is this environment's ipykernel."""
    folder = a_folder(tmp_path / "kernels", "julia-1.11", language="Julia")
    (folder / "logo-64x64.png").write_bytes(PNG + b"julia")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    kernelspecs.folders_by_language.cache_clear()
    yield
    kernelspecs.folders_by_language.cache_clear()


def a_folder(parent: Path, name: str, **contents: Any) -> Path:
    folder = parent / name
    folder.mkdir(parents=True)
    about = {"argv": ["x"], "display_name": name, **contents}
    (folder / "kernel.json").write_text(json.dumps(about))
    return folder


def offer(world: Loopback, name: str, **spec: Any) -> None:
    world.catalog.specs[name] = JupyterKernelSpec.model_validate(a_kernel_spec(name, **spec))


async def resources(front_end: FrontEnd) -> dict[str, dict[str, str]]:
    found = json.loads((await front_end.rest("GET", "/api/kernelspecs")).body)["kernelspecs"]
    for name, model in found.items():
        one = await front_end.rest("GET", f"/api/kernelspecs/{name}")
        assert json.loads(one.body) == model
    return {name: model["resources"] for name, model in found.items()}


async def test_a_kernel_has_the_logo_of_its_folder_or_else_of_its_language(
    world: Loopback, tmp_path: Path
) -> None:
    folder = a_folder(tmp_path, "mine", language="python")
    (folder / "logo-64x64.png").write_bytes(PNG + b"mine")
    world.catalog.folders["mine"] = str(folder)
    offer(world, "mine")
    offer(world, "julia", language="julia", command=["julia"])
    front_end = FrontEnd(await world.gateway())
    shown = await resources(front_end)
    assert shown["mine"] == {"logo-64x64": "/kernelspecs/mine/logo-64x64.png"}
    assert shown["julia"] == {"logo-64x64": "/kernelspecs/julia/logo-64x64.png"}
    for name in ("mine", "julia"):
        logo = await front_end.rest("GET", shown[name]["logo-64x64"])
        assert (logo.code, logo.body) == (200, PNG + name.encode())
        assert logo.headers["Content-Type"] == "image/png"

    assert shown["python3"]["logo-svg"] == "/kernelspecs/python3/logo-svg.svg"
    logo = await front_end.rest("GET", shown["python3"]["logo-svg"])
    assert logo.body == files("ipykernel.resources").joinpath("logo-svg.svg").read_bytes()
    assert logo.headers["Content-Type"] == "image/svg+xml"


async def test_where_there_is_no_logo_none_is_shown(
    world: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "logo-64x64.png").write_bytes(PNG)
    monkeypatch.chdir(tmp_path)
    offer(world, "r", language="R", command=["R"])
    front_end = FrontEnd(await world.gateway())
    assert (await resources(front_end))["r"] == {}
    assert (await front_end.rest("GET", "/kernelspecs/r/logo-64x64.png")).code == 404


@pytest.mark.parametrize(
    "path",
    [
        "python3/kernel.json",
        "python3/",
        "python3/logo-svg.svg/..",
        "python3/logo-..%2Fkernel.json",
        "python3/..%2Fpython3%2Flogo-svg.svg",
        "unknown/logo-svg.svg",
    ],
)
async def test_nothing_else_is_served(world: Loopback, path: str) -> None:
    assert (await FrontEnd(await world.gateway()).rest("GET", f"/kernelspecs/{path}")).code == 404


async def test_a_logo_is_for_who_may_start_the_kernel(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway())
    nobody = {"Authorization": "token guessed"}
    asked = await front_end.rest("GET", "/kernelspecs/python3/logo-svg.svg", headers=nobody)
    assert asked.code == 403
