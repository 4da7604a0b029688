"""Kernels that nobody's gateway made: nobody deletes them, so that everybody can see their end.

They hold nothing then.
"""

import json
from collections.abc import Iterator

import pytest
from tests.cluster.test_bad_news import CANNOT_START, by_hand, confine
from tests.cluster.test_resources import table
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.team import a_namespace, foreign_image


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    with a_namespace(cluster) as name:
        confine(cluster, name)
        yield name


def test_kernels_made_by_hand_show_their_end_in_the_table(cluster: Cluster, namespace: str) -> None:
    image = foreign_image(cluster, "plain-kernel")
    news = [one for one in CANNOT_START if one.name != "init-crash"]
    for one in news:
        pod = json.loads(json.dumps(one.pod).replace('"KERNEL"', json.dumps(image)))
        cluster.apply(namespace, by_hand(f"by-hand-{one.name}", pod))
    want = {f"by-hand-{one.name}": ("Failed", one.reason) for one in news}
    eventually(
        lambda: {
            row["NAME"]: (row["PHASE"], row["REASON"])
            for row in table(cluster.kubectl("get", "jk", "-n", namespace))
        },
        lambda seen: want.items() <= seen.items(),
        within=90,
        what="the ends of kernels made by hand",
    )
    eventually(
        lambda: sorted(
            name
            for plural in ("pods", "secrets")
            for name in cluster.names(namespace, plural)
            if name.startswith("by-hand-")
        ),
        lambda left: not left,
        within=15,
        what="the end of all pods and Secrets",
    )
    for one in news:
        cluster.delete(namespace, "jupyterkernels", f"by-hand-{one.name}")
