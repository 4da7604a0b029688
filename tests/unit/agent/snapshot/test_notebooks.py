"""Notebooks as people write them, cut between cells: what they show is what they show uncut.

Among the other tests one run is cut at every third place. ``make notebooks`` (``ALL_CASES``) cuts
it at all of them, and another run at each place alone.
"""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.cases import ALL, some
from tests.unit.agent.snapshot.gateway import FakeGateway, a_gateway
from tests.unit.agent.snapshot.test_attached import PATIENCE, Kernel, a_kernel
from tests.unit.agent.snapshot.torch_python import python_with_torch

NOTEBOOKS = sorted((Path(__file__).parents[3] / "data/notebooks").glob("*.ipynb"))

#: What an output of one cell is made of, in order, with its execution count at the end.
Shown = list[Any]


def cells(notebook: Path) -> list[str]:
    """Return the code of a notebook's cells."""
    content = json.loads(notebook.read_text())
    return ["".join(c["source"]) for c in content["cells"] if c["cell_type"] == "code"]


def run(kernel: Kernel, code: str) -> Shown:
    """Run a cell; return all that a notebook would keep of it."""
    shown: Shown = []

    def keep(message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            if shown and shown[-1][0] == content["name"]:
                shown[-1][1] += content["text"]
            else:
                shown.append([content["name"], content["text"]])
        elif kind in ("display_data", "execute_result", "update_display_data"):
            shown.append([kind, {form: _plain(text) for form, text in content["data"].items()}])

    reply = kernel.client.execute_interactive(code, timeout=PATIENCE, output_hook=keep)["content"]
    assert reply["status"] == "ok", f"{code}\n{reply}"
    return [*shown, reply["execution_count"]]


def _plain(text: str) -> str:
    """Without what is another in each process: an id that scikit-learn counts, a date."""
    return re.sub(r"(?<=sk-(?:container|estimator)-id-)\d+|(?<=<dc:date>)[^<]+", "", text)


def difference(shown: list[Shown], whole: list[Shown]) -> list[str]:
    """Return a line for each cell that shows something else than uncut."""
    return [
        f"cell {place}: {str(now)[:2000]}\n instead of {str(then)[:2000]}"
        for place, (now, then) in enumerate(zip(shown, whole, strict=True))
        if now != then
    ]


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with a_gateway() as gateway:
        yield gateway


@pytest.fixture(params=NOTEBOOKS, ids=lambda notebook: notebook.stem)
def notebook(request: pytest.FixtureRequest) -> Path:
    notebook: Path = request.param
    return notebook


@pytest.fixture
def python(notebook: Path) -> str | None:
    """The interpreter for a notebook; None: the tests' own."""
    return python_with_torch() if notebook.stem.startswith("torch") else None


@pytest.fixture
def whole(notebook: Path, python: str | None, tmp_path: Path) -> list[Shown]:
    """What the notebook shows when nothing happens."""
    with a_kernel(tmp_path / "kernel", python=python) as kernel:
        return [run(kernel, code) for code in cells(notebook)]


def test_a_notebook_that_sleeps_between_cells_shows_the_same(
    notebook: Path, python: str | None, whole: list[Shown], gateway: FakeGateway, tmp_path: Path
) -> None:
    codes, shown = cells(notebook), []
    cuts = some(range(1, len(codes)), every=3)
    for first, end in pairwise([0, *cuts, len(codes)]):
        with a_kernel(tmp_path / "kernel", python=python) as kernel:
            if gateway.manifest is not None:
                restored = kernel.restore(gateway)
                assert (restored["lost"], restored["notices"]) == ([], []), len(shown)
            shown += [run(kernel, code) for code in codes[first:end]]
            assert kernel.save(gateway)["lost"] == [], len(shown)
    assert not (differs := difference(shown, whole)), "\n".join(differs)


def a_notebook_that_sleeps_once_shows_the_same(
    notebook: Path, python: str | None, whole: list[Shown], gateway: FakeGateway, tmp_path: Path
) -> None:
    codes, manifests = cells(notebook), []
    with a_kernel(tmp_path / "kernel", python=python) as kernel:
        for code in codes:
            run(kernel, code)
            assert kernel.save(gateway)["lost"] == []
            manifests.append(gateway.manifest)
    for place, gateway.manifest in enumerate(manifests[:-1], start=1):
        with a_kernel(tmp_path / "kernel", python=python) as kernel:
            assert kernel.restore(gateway)["lost"] == []
            shown = [run(kernel, code) for code in codes[place:]]
        assert not (differs := difference(shown, whole[place:])), f"{place}\n" + "\n".join(differs)


if ALL:
    test_a_notebook_that_sleeps_once_shows_the_same = a_notebook_that_sleeps_once_shows_the_same
