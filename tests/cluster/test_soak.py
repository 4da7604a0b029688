"""Thirty users open, run, idle and close; after that everything is back where it was.

Short among the other tests, ten minutes with ``make soak`` (``SOAK_SECONDS``). Real are the
cluster, the operator, the gateway, every kernel pod, and one notebook server, which two of the
users share. The other 28 have a JupyterNotebook and its token each, but servers that never start:
30 would be more than a small machine holds. They speak to the gateway as their servers would.
"""

import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from tests.support import manifests
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.jupyter_tab import NotebookServer, Tab
from tests.support.rollout import operator_pod
from tests.support.team import (
    GATEWAY,
    NOTEBOOK,
    Team,
    a_gateway_client,
    a_namespace,
    gateway_token,
    served,
)

pytestmark = pytest.mark.alone

#: By default each user comes once in them: who comes stays until it is done.
SECONDS = float(os.environ.get("SOAK_SECONDS") or 5)
USERS, OF_THE_SERVER = 30, 2
#: Who visit before anything is measured.
FIRST = 10
#: Of a kernel, s.
IDLE_LIMIT = 8
#: Kernels that start at the same time: what two cores can do.
STARTS = threading.BoundedSemaphore(4)
COUNTED = (
    *("pods", "secrets", "services", "serviceaccounts", "persistentvolumeclaims"),
    *("deployments", "leases", "jupyterkernels", "jupyternotebooks"),
)
#: Connections that a pool of a process may keep or not.
SPARE_FDS = 4
#: Bytes by which a process may be larger: Python gives memory back in whole arenas only.
SPARE_MEMORY = 12 * 2**20
SETTLED_WITHIN = 90.0
#: A connection to the API server is kept for 60 s after its last use.
POOLS_SETTLED_WITHIN = 120.0

INSIDE = """
import json, os
links = []
for number in os.listdir("/proc/1/fd"):
    try:
        links.append(os.readlink(f"/proc/1/fd/{number}"))
    except OSError:
        pass
status = dict(line.split(":", 1) for line in open("/proc/1/status"))
sockets = sum(link.startswith("socket:") for link in links)
print(json.dumps([len(links), sockets, int(status["VmRSS"].split()[0]) * 1024]))
"""


class Usage(NamedTuple):
    """What one process holds; ``memory`` is resident bytes."""

    fds: int
    sockets: int
    memory: int


class User:
    """One of the thirty: opens a kernel, uses it in one of the ways, and closes it."""

    def __init__(self, team: Team, name: str, gateway_url: str | None) -> None:
        """``gateway_url`` None: a user of the one notebook server."""
        self.team = team
        self.name = name
        self._url = gateway_url
        self.visits = 0

    @property
    def has_server(self) -> bool:
        return self._url is None

    def visit(self, way: "Callable[[User, Tab], None]") -> None:
        with STARTS:
            tab = self._open()
            assert tab.run("print(6 * 7)", within=120).stdout == "42\n"
        try:
            way(self, tab)
        finally:
            tab.close()
        self.visits += 1

    def _open(self) -> Tab:
        if self._url is None:
            return self.team.server.open()
        token = gateway_token(self.team.cluster, self.team.namespace, self.name)
        client = NotebookServer(self._url, token=token)
        eventually(
            lambda: client.look("kernels"),
            lambda seen: isinstance(seen, list),
            within=30,
            what=f"the kernels of {self.name}",
        )
        return client.start()

    def end(self, tab: Tab) -> None:
        if self.has_server:
            tab.shutdown()
        else:
            tab.server.request("DELETE", f"kernels/{tab.kernel_id}")


def closes(user: User, tab: Tab) -> None:
    user.end(tab)


def comes_back(user: User, tab: Tab) -> None:
    tab.reconnect()
    assert tab.run("print('back')", within=120).stdout == "back\n"
    user.end(tab)


def restarts(user: User, tab: Tab) -> None:
    tab.restart()
    assert tab.run("print('new')", within=120).stdout == "new\n"
    user.end(tab)


def idles(user: User, tab: Tab) -> None:
    user.team.reclaimed(tab, within=IDLE_LIMIT + 60)
    with STARTS:
        assert tab.run("print('awake')", within=120).stdout == "awake\n"
    user.end(tab)


def leaves_for_good(user: User, tab: Tab) -> None:
    """The JupyterNotebook is deleted while its kernel runs, and one of its name comes."""
    if user.has_server:
        closes(user, tab)
        return
    cluster, namespace = user.team.cluster, user.team.namespace
    token = gateway_token(cluster, namespace, user.name)
    cluster.delete(namespace, "jupyternotebooks", user.name)
    user.team.reclaimed(tab, within=60)
    arrive(cluster, namespace, user.name)
    eventually(
        lambda: gateway_token(cluster, namespace, user.name),
        lambda newer: newer != token,
        within=30,
        what="a token of the new notebook's own",
    )


WAYS = (closes, comes_back, restarts, idles, leaves_for_good)


def arrive(cluster: Cluster, namespace: str, *names: str) -> None:
    parked = manifests.parked()
    cluster.apply(
        namespace,
        *(manifests.notebook(name, namespace=namespace, template=parked) for name in names),
    )


@pytest.fixture
def users(cluster: Cluster) -> Iterator[list[User]]:
    """Thirty users of one gateway, all let in."""
    names = [f"user-{number:02}" for number in range(USERS - OF_THE_SERVER)]
    with a_namespace(cluster) as namespace:
        cluster.apply(
            namespace,
            manifests.gateway(GATEWAY, cullIdleTimeout=IDLE_LIMIT, cullInterval=1),
            manifests.notebook(NOTEBOOK, gateway=GATEWAY, namespace=namespace),
        )
        arrive(cluster, namespace, *names)
        token = gateway_token(cluster, namespace, NOTEBOOK)
        with (
            served(cluster, namespace) as server,
            a_gateway_client(cluster, namespace, token=token) as gateway,
        ):
            team = Team(cluster, namespace, server)
            of_the_server = [User(team, NOTEBOOK, None) for _ in range(OF_THE_SERVER)]
            yield of_the_server + [User(team, name, gateway.url) for name in names]


def all_at_once(users: list[User], live: Callable[[User], None]) -> None:
    with ThreadPoolExecutor(len(users)) as pool:
        for done in [pool.submit(live, user) for user in users]:
            done.result()


def counts(team: Team) -> dict[str, int]:
    """What the namespace holds, kernels that are remembered included."""
    found = {plural: len(team.cluster.list(team.namespace, plural)) for plural in COUNTED}
    memory = team.cluster.get(team.namespace, "secrets", f"{GATEWAY}-tombstones") or {}
    return {**found, "tombstones": len(memory.get("data") or {})}


def are_as_before(team: Team, before: dict[str, int]) -> None:
    eventually(
        lambda: counts(team),
        lambda seen: seen == before,
        within=SETTLED_WITHIN,
        what=f"the counts {before}",
    )


def usages(cluster: Cluster, pods: dict[str, dict[str, Any]]) -> dict[str, Usage]:
    """What the first process of each of these pods holds."""

    def usage(pod: dict[str, Any]) -> Usage:
        metadata = pod["metadata"]
        said = cluster.exec(metadata["namespace"], metadata["name"], "python", "-c", INSIDE)
        return Usage(*json.loads(said))

    return {name: usage(pod) for name, pod in pods.items()}


def processes(team: Team) -> dict[str, dict[str, Any]]:
    """The pods that must not grow."""
    return {
        "operator": operator_pod(team.cluster),
        "gateway": team.gateway_pod(),
        "notebook": team.notebook_pod(),
    }


def start_of(pod: dict[str, Any]) -> tuple[str, int]:
    return pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"]


def test_thirty_users_leave_everything_as_it_was(users: list[User]) -> None:
    team = users[0].team
    # A notebook's pod comes last of what it has.
    servers = len(users) - OF_THE_SERVER + 2
    before = eventually(
        lambda: counts(team),
        lambda seen: seen["pods"] == servers,
        within=SETTLED_WITHIN,
        what=f"{servers} pods of notebooks and the gateway",
    )
    # What a process keeps for ever it has after the first round: caches, pools, arenas.
    all_at_once(users[:FIRST], lambda user: user.visit(WAYS[users.index(user) % len(WAYS)]))
    are_as_before(team, before)
    pods = processes(team)
    held = usages(team.cluster, pods)

    deadline = time.monotonic() + SECONDS
    visits = sum(user.visits for user in users)

    def live(user: User) -> None:
        choose = random.Random(users.index(user))
        while time.monotonic() < deadline:
            user.visit(choose.choice(WAYS))

    all_at_once(users, live)
    visits = sum(user.visits for user in users) - visits

    are_as_before(team, before)
    lasting = processes(team)
    stayed = {name: pod for name, pod in pods.items() if start_of(pod) == start_of(lasting[name])}

    def held_after_a_visit() -> dict[str, Usage]:
        # A pool lets go of connections that many users at once needed when it is next used.
        users[0].visit(closes)
        return usages(team.cluster, stayed)

    after = eventually(
        held_after_a_visit,
        lambda seen: all(not grown(held[name], seen[name]) for name in seen),
        within=POOLS_SETTLED_WITHIN,
        what=f"what was held before {visits} visits: {held}",
    )
    print(f"{visits} visits in {SECONDS:g} s; before: {held}; after: {after}")
    assert stayed.keys() == pods.keys(), "a process that ended was not measured"


def grown(before: Usage, after: Usage) -> bool:
    return (
        after.fds > before.fds + SPARE_FDS
        or after.sockets > before.sockets + SPARE_FDS
        or after.memory > before.memory + SPARE_MEMORY
    )
