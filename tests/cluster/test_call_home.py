"""Kernels of our image tell the gateway their address, and nobody else can."""

import itertools
import json
import time
from collections.abc import Callable
from datetime import datetime

import pytest
from tests.support import manifests
from tests.support.eventually import eventually
from tests.support.team import Team, kernel_name
from tests.support.watch import Version, watching

#: The kubelet may happen to look just when the container starts.
TRIES = 12


@pytest.fixture(scope="module")
def team(new_team: Callable[..., Team]) -> Team:
    """A gateway that logs each request, and a kernel with a command of its own."""
    command = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=30"]
    spec = manifests.kernel_spec("own", display_name="Own command", command=command)
    return new_team(spec, cullIdleTimeout=3600, logLevel="DEBUG")


def calls(team: Team, kernel_id: str) -> list[tuple[float, str]]:
    """Return when a kernel called (seconds of the epoch, by the node), and the gateway's answer."""
    pod = team.gateway_pod()["metadata"]["name"]
    log = team.cluster.log(team.namespace, pod, tail=5000, timestamps=True)
    lines = [line for line in log.splitlines() if f"POST /api/kernels/{kernel_id}/address" in line]
    return [
        (datetime.fromisoformat(line.split()[0]).timestamp(), line.split("]")[1].split()[0])
        for line in lines
    ]


def test_the_gateway_knows_the_address_before_the_status_has_it(team: Team) -> None:
    with watching(team.cluster, team.namespace, "jupyterkernels") as kernels:
        for tried in itertools.count(1):
            with team.server.notebook() as tab:
                tab.run("1", within=60)
                [(called, answer)] = eventually(
                    lambda tab=tab: calls(team, tab.kernel_id),
                    bool,
                    within=60,
                    what="the kernel's call",
                )
                assert answer == "204"
                told = kernels.first(kernel_name(tab), has_address, what="the address")
                if called < told.at + time.time() - time.monotonic():
                    return
            assert tried < TRIES, "the status had the address each time"


def has_address(version: Version) -> bool:
    return "podIP" in version.object.get("status", {})


#: In a kernel: call once more, with what the agent was given and ``changes`` to it.
CALL = """
import http.client, json, urllib.parse
environ = dict(e.split("=", 1) for e in open("/proc/1/environ").read().split("\\0") if "=" in e)
home = json.loads(environ["ELASTIC_JUPYTER_CALL_HOME"])
url = urllib.parse.urlsplit(home["url"])
connection = http.client.HTTPConnection(url.netloc, timeout=10)
connection.connect()
said = {{"address": connection.sock.getsockname()[0], "epoch": home["epoch"]}} | {body}
token = {token} or home["token"]
headers = {{"Authorization": "token " + token}}
connection.request("POST", {path} or url.path, json.dumps(said), headers)
print(connection.getresponse().status)
"""


def test_a_call_that_is_not_this_incarnations_is_refused(team: Team) -> None:
    with team.server.notebook() as tab, team.server.notebook() as other:
        tab.run("import os", within=60)
        other.run("1", within=60)

        def call(token: str = "", path: str = "", **body: object) -> str:
            code = CALL.format(body=repr(body), token=repr(token), path=repr(path))
            return tab.run(code).stdout.strip()

        assert call() == "204"
        assert call(token="0" * 64) == "403"
        assert call(epoch=2) == "403"
        assert call(path=f"/api/kernels/{other.kernel_id}/address") == "403"
        assert call(address="10.0.0.1") == "400"
        assert call(address="gw") == "400"
        hidden = "print([name for name in os.environ if name.startswith('ELASTIC')])"
        assert tab.run(hidden).stdout == "[]\n"


def test_a_kernel_that_does_not_call_is_found_by_its_status(team: Team) -> None:
    with team.server.notebook("own") as tab:
        assert tab.run("print('up')", within=60).stdout == "up\n"
        pod = team.cluster.get(team.namespace, "pods", kernel_name(tab))
        assert pod is not None
        assert "ipykernel_launcher" in json.dumps(pod["spec"]["containers"][0]["command"])
        assert calls(team, tab.kernel_id) == []
