"""The README's walk-through: each of its kubectl commands, in order, as a new user types them."""

import re
import shlex
from pathlib import Path

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.team import EXAMPLES, ORIGINAL, served

ROOT = Path(__file__).parents[2]
NOTEBOOK = "jupyternotebook-elastic"


def commands() -> list[list[str]]:
    """Return the kubectl commands of the README's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    lines = "".join(blocks).splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("kubectl ")]


def test_its_quickstart_is_the_original_s_to_the_letter() -> None:
    here, there = (
        {path.name: path.read_bytes() for path in (root / "elastic").iterdir()}
        for root in (EXAMPLES, ORIGINAL / "examples")
    )
    assert here == there


def test_every_command_of_the_walk_through_works(cluster: Cluster, default_namespace: str) -> None:
    """``port-forward`` does not end by itself: a notebook is run through it instead."""
    said: dict[str, str] = {}
    for arguments in commands():
        if arguments[0] == "port-forward":
            with served(cluster, default_namespace, NOTEBOOK) as server:
                tab = server.open()
                assert tab.run("6 * 7", within=60).result == "42"
                tab.close()
            eventually(
                lambda: cluster.kubectl("get", "jupyterkernels", "-n", default_namespace),
                lambda table: "Running" in table,
                within=20,
                what="the kernel that has answered in the table",
            )
            continue
        arguments = [str(ROOT / word) if word.startswith("examples/") else word
                     for word in arguments]  # fmt: skip
        said[" ".join(arguments[:3])] = cluster.kubectl(*arguments)
    assert f"jovyan-{tab.kernel_id}" in said["get pods"]
    assert "Running" in said["get jupyterkernels"]
    assert "python-gpu" in said[f"apply -f {ROOT}/examples/gpu"]
