import pytest

from elastic_jupyter.policy import offer

KNOWN = {"python3", "r", "gpu"}


@pytest.mark.parametrize(
    ("listed", "known", "want"),
    [
        pytest.param([], KNOWN, ["gpu", "python3", "r"], id="no list offers all"),
        pytest.param(["r", "gpu"], KNOWN, ["r", "gpu"], id="a list offers just those"),
        pytest.param(["r", "julia"], KNOWN, ["r"], id="what is missing is left out"),
        pytest.param(["r", "r"], KNOWN, ["r"], id="a double counts once"),
        pytest.param(["python_kubernetes"], KNOWN, ["python3"], id="the original's name"),
        pytest.param(
            ["python_kubernetes"],
            {"python_kubernetes"},
            ["python_kubernetes"],
            id="the original's name as a spec",
        ),
        pytest.param(["julia"], KNOWN, [], id="nothing is left"),
        pytest.param([], {"r"}, ["r"], id="no built-in Python"),
    ],
)
def test_offered(listed: list[str], known: set[str], want: list[str]) -> None:
    assert offer.offered(listed, known) == want


@pytest.mark.parametrize(
    ("wanted", "listed", "want"),
    [
        pytest.param(None, [], "python3", id="the built-in Python"),
        pytest.param("r", [], "r", id="the one that is wanted"),
        pytest.param("python_kubernetes", [], "python3", id="by the original's name"),
        pytest.param(None, ["r", "gpu"], "r", id="the first of a list without Python"),
        pytest.param(None, ["r", "python3"], "python3", id="Python wherever it is in the list"),
        pytest.param("gpu", ["r", "python3"], "python3", id="wanted, but not in the list"),
        pytest.param("julia", ["julia", "r"], "r", id="wanted, but not there"),
        pytest.param("julia", ["julia"], "julia", id="nothing else is on offer"),
        pytest.param(None, ["julia"], "python3", id="nothing is on offer"),
    ],
)
def test_the_default_is_on_offer(wanted: str | None, listed: list[str], want: str) -> None:
    assert offer.default(wanted, listed, KNOWN) == want


@pytest.mark.parametrize(
    ("wanted", "listed", "want"),
    [
        pytest.param(None, [], [], id="no list"),
        pytest.param("r", ["r", "python3", "python_kubernetes"], [], id="all are there"),
        pytest.param(
            None,
            ["rust", "r", "julia"],
            ["spec.kernels: there is no JupyterKernelSpec julia, rust"],
            id="two are missing",
        ),
        pytest.param(
            "julia",
            [],
            ["spec.defaultKernel: julia is no JupyterKernelSpec; the default is python3"],
            id="the default does not exist",
        ),
        pytest.param(
            "gpu",
            ["r"],
            ["spec.defaultKernel: gpu is not in spec.kernels; the default is r"],
            id="the default is not in the list",
        ),
    ],
)
def test_what_is_missing(wanted: str | None, listed: list[str], want: list[str]) -> None:
    assert offer.missing(wanted, listed, KNOWN) == want
