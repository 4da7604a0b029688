"""The pages of docs/how-to, each done from top to bottom, and the reference's examples."""

from pathlib import Path

import pytest
from tests.support import pages
from tests.support.cluster import Cluster
from tests.support.rollout import SYSTEM
from tests.support.team import EXAMPLES, a_namespace
from tests.support.walkthrough import Walkthrough

pytestmark = pytest.mark.long

HOW_TO = [
    page
    for page in pages.pages()
    if page.parts[:2] == ("docs", "how-to") and page.stem != "one-machine"  # tests/local
]


def uses_gpus(page: Path) -> bool:
    """Whether a page is walked where nobody else uses the GPUs, in ``test_gpu_queue.py``."""
    return "nvidia.com/gpu" in pages.text_of(page)


# The operator is everybody's: a page that changes it is walked alone.
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.alone] if SYSTEM in pages.text_of(page) else [])
        for page in HOW_TO
        if not uses_gpus(page)
    ],
    ids=lambda page: page.stem,
)
def test_every_command_and_cell_of_a_page_works(
    page: Path, cluster: Cluster, tmp_path: Path
) -> None:
    with a_namespace(cluster) as namespace:
        Walkthrough(cluster, namespace, tmp_path).walk(page)


def test_the_minimal_examples_of_the_reference_work(cluster: Cluster) -> None:
    with a_namespace(cluster) as namespace:
        cluster.kubectl("apply", "-n", namespace, "-f", EXAMPLES / "minimal")
        wait = ("wait", "-n", namespace, "--timeout", "120s", "--for")
        cluster.kubectl(
            *wait, "condition=Ready", "jupytergateway/team", "jupyternotebook/ada",
            "jupyterkernelspec/python-large", "jupyterkerneltemplate/large", within=130,
        )  # fmt: skip
        cluster.kubectl(*wait, "condition=Running", "jupyterkernel/by-hand", within=130)
