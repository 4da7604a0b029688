"""Whose kernels are whose, what clients may say, and what kernel pods may do.

All in a namespace under Pod Security "restricted", from the notebook server to the kernels. The
notebook server is Ann's; Bob's never starts, and his token is used directly at the gateway.
"""

import base64
import contextlib
import json
import re
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from tests.support import manifests
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.jupyter_tab import DIRECTLY, NotebookServer
from tests.support.rollout import SYSTEM
from tests.support.team import (
    GATEWAY,
    NOTEBOOK,
    Team,
    a_gateway_client,
    a_namespace,
    gateway_token,
    served,
)

from elastic_jupyter.policy import tokens
from elastic_jupyter.policy.tokens import NotebookIdentity

pytestmark = pytest.mark.long

RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
SERVER_ENV = {"HF_HOME": "/models", "LD_PRELOAD": "", "PATH_TO_NOTHING": "/x", "KERNEL_TEAM": "a"}
NOTEBOOKS = "jupyternotebooks"
#: From a change of an object until it counts at the gateway, s.
NOTICED_WITHIN = 8.0
#: What a notebook whose server never starts says once its gateway serves it: first and for good.
LET_IN = {"Progressing", "Unschedulable"}


def notebook(name: str, namespace: str, **spec: Any) -> dict[str, Any]:
    return manifests.notebook(name, gateway=GATEWAY, namespace=namespace, **spec)


@pytest.fixture(scope="module")
def classroom(cluster: Cluster) -> Iterator[Team]:
    """Ann's notebook server with storage, Bob's that never starts, and their gateway."""
    env = [{"name": name, "value": value} for name, value in SERVER_ENV.items()]
    template = {"spec": {"containers": [{"name": "notebook", "env": env}]}}
    with a_namespace(cluster, **RESTRICTED) as namespace:
        cluster.apply(
            namespace,
            manifests.gateway(
                GATEWAY,
                allowedEnv=["HF_HOME"],
                allowedNamespaces={"from": "Same"},
                cullInterval=3600,  # nothing here waits for a look at idle kernels
            ),
            notebook(NOTEBOOK, namespace, template=template, storage={"size": "1Gi"}),
            notebook("bob", namespace, template=manifests.parked()),
        )
        with served(cluster, namespace) as server:
            yield Team(cluster, namespace, server)


@pytest.fixture(scope="module")
def bob(cluster: Cluster, classroom: Team) -> Iterator[NotebookServer]:
    """Bob at the gateway."""
    token = gateway_token(cluster, classroom.namespace, "bob")
    with a_gateway_client(cluster, classroom.namespace, token=token) as client:
        yield client


#: Prints the ports on which a kernel's process takes connections from elsewhere.
LISTENS = """
lines = [line.split() for line in open("/proc/net/tcp")]
print(*sorted(int(at.partition(":")[2], 16) for _, at, _, state, *_ in lines
              if state == "0A" and at.startswith("00000000:")))
"""


def status(method: str, url: str, headers: dict[str, str]) -> int:
    answer = requests.request(method, url, headers=headers, timeout=30, proxies=DIRECTLY)
    return answer.status_code


# -- Pod Security


def test_everything_of_ours_runs_under_pod_security_restricted(
    cluster: Cluster, classroom: Team
) -> None:
    with classroom.server.notebook() as tab:
        cell = tab.run("open('proof.txt', 'w').write('x'), __import__('os').getuid()", within=60)
        assert cell.result == "(1, 1000)", "with storage, too"
        pod = classroom.pod(tab)
        assert pod is not None
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    refused = [
        event["message"]
        for event in cluster.list(classroom.namespace, "events")
        if "violates PodSecurity" in event.get("message", "")
    ]
    assert refused == []


def test_the_operators_own_namespace_is_restricted(cluster: Cluster) -> None:
    system = cluster.get(None, "namespaces", SYSTEM)
    assert system is not None
    assert system["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_an_account_that_the_template_names_comes_with_its_token(
    cluster: Cluster, classroom: Team
) -> None:
    cluster.create(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "reader", "namespace": classroom.namespace},
        }
    )
    pod = {"serviceAccountName": "reader", "containers": [{"name": "kernel"}]}
    cluster.apply(
        classroom.namespace,
        manifests.kernel_template("with-account", spec=pod),
        manifests.kernel_spec("with-account", template="with-account"),
    )
    eventually(
        lambda: classroom.server.look("kernelspecs"),
        lambda seen: isinstance(seen, dict) and "with-account" in seen["kernelspecs"],
        within=NOTICED_WITHIN,
        what="the kernel spec",
    )
    with classroom.server.notebook("with-account") as tab:
        folder = "/var/run/secrets/kubernetes.io/serviceaccount"
        code = f"__import__('os').path.exists('{folder}/token')"
        assert tab.run(code, within=60).result == "True"


def test_only_the_gateways_pods_reach_its_kernels_ports(cluster: Cluster, classroom: Team) -> None:
    """The policy; whether the network obeys is up to its plugin, and this one's may not."""
    policy = cluster.get(classroom.namespace, "networkpolicies", f"{GATEWAY}-kernels")
    assert policy is not None
    spec = policy["spec"]
    rule, others = spec["ingress"]
    with classroom.server.notebook() as tab:
        tab.run("1", within=60)
        pod = classroom.pod(tab)
        assert pod is not None
        kernels = spec["podSelector"]["matchLabels"]
        assert kernels.items() <= pod["metadata"]["labels"].items()
        ports = tab.run(LISTENS).text.split()
        [closed] = rule["ports"]
        assert ports == [str(port) for port in range(closed["port"], closed["endPort"] + 1)]
        open_ports = [one for one in others["ports"] if one["protocol"] == "TCP"]
        assert [one["port"] for one in open_ports] == [1, closed["endPort"] + 1]
    [source] = rule["from"]
    gateways = source["podSelector"]["matchLabels"]
    found = [
        pod["metadata"]["labels"]["app.kubernetes.io/name"]
        for pod in cluster.list(classroom.namespace, "pods")
        if gateways.items() <= pod["metadata"]["labels"].items()
    ]
    assert found == ["jupyter-gateway"]


# -- whose kernels


def test_another_notebooks_kernel_does_not_exist(classroom: Team, bob: NotebookServer) -> None:
    with classroom.server.notebook() as tab:
        tab.run("x = 41", within=60)
        url = f"{bob.url}/api/kernels/{tab.kernel_id}"
        for method, path in (
            ("GET", ""),
            ("DELETE", ""),
            ("POST", "/interrupt"),
            ("POST", "/restart"),
            ("GET", "/channels"),
        ):
            assert status(method, url + path, bob.headers) == 404, f"{method} {path}"
        upgrade = {
            **bob.headers,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
        }
        assert status("GET", f"{url}/channels", upgrade) == 404
        assert tab.kernel_id not in bob.kernel_ids()
        assert tab.run("x + 1").result == "42"


def test_there_is_no_way_in_without_a_notebooks_token(
    cluster: Cluster, classroom: Team, bob: NotebookServer
) -> None:
    assert bob.token is not None
    payload, signature = bob.token.split(".")
    ann = gateway_token(cluster, classroom.namespace, NOTEBOOK)
    whom = NotebookIdentity(classroom.namespace, "bob", "1", "bob")
    for what, headers in {
        "none": {},
        "an empty one": {"Authorization": "token "},
        "another's payload": {"Authorization": f"token {ann.split('.')[0]}.{signature}"},
        "a cut one": {"Authorization": f"token {payload}.{signature[:-1]}"},
        "another master key's": {"Authorization": f"token {tokens.mint(b'x' * 32, whom)}"},
        "a cookie": {"Cookie": f"token={bob.token}"},
    }.items():
        for path in ("kernels", "kernelspecs"):
            assert status("GET", f"{bob.url}/api/{path}", headers) == 403, f"{what}, {path}"
    assert status("GET", f"{bob.url}/api/kernels?token={bob.token}", {}) == 403
    assert status("GET", f"{bob.url}/api/kernels", bob.headers) == 200


def test_the_token_of_a_deleted_notebook_opens_nothing_and_its_kernels_go(
    cluster: Cluster, classroom: Team
) -> None:
    """Also when another of its name comes."""
    namespace = classroom.namespace
    carl = notebook("carl", namespace, template=manifests.parked())
    cluster.apply(namespace, carl)
    token = gateway_token(cluster, namespace, "carl")
    with a_gateway_client(cluster, namespace, token=token, within=NOTICED_WITHIN) as client:
        assert client.kernel_ids() == set()
        tab = client.start()
        tab.run("x = 1", within=60)
        cluster.delete(namespace, "jupyternotebooks", "carl")
        cluster.apply(namespace, carl)
        eventually(
            lambda: status("GET", f"{client.url}/api/kernels", client.headers),
            lambda code: code == 403,
            within=NOTICED_WITHIN,
            what="the end of the token",
        )
        classroom.reclaimed(tab, within=30)
        newer = eventually(
            lambda: gateway_token(cluster, namespace, "carl"),
            lambda token: token != client.token,
            within=30,  # the old one's Secret is in the way until the garbage collector has it
            what="the new notebook's own token",
        )
        headers = {"Authorization": f"token {newer}"}
        answer = eventually(
            lambda: requests.get(
                f"{client.url}/api/kernels", headers=headers, timeout=30, proxies=DIRECTLY
            ),
            lambda answer: answer.ok,
            within=NOTICED_WITHIN,
            what="the new notebook's list",
        )
        assert answer.json() == [], "nothing of the old one's"
        eventually(
            lambda: (cluster.get(namespace, "secrets", f"{GATEWAY}-tombstones") or {}).get("data"),
            lambda data: tab.kernel_id not in (data or {}),
            within=30,
            what="that nothing is remembered of the kernel",
        )


# -- what a client may say


def test_kernels_get_of_the_servers_environment_what_is_allowed(classroom: Team) -> None:
    with classroom.server.notebook() as tab:
        code = f"__import__('os').environ.keys() & {set(SERVER_ENV)!r}"
        cell = tab.run(f"print(sorted({code}))", within=60)
        assert cell.text.strip() == "['HF_HOME', 'KERNEL_TEAM']"


def test_starts_at_the_same_time_do_not_mix_their_variables(
    cluster: Cluster, classroom: Team, bob: NotebookServer
) -> None:
    names = ("KERNEL_USERNAME", "KERNEL_ID", "KERNEL_NAMESPACE", "KERNEL_N", "KERNEL_ONLY", "PATH")
    code = f"import os, json\nprint(json.dumps({{n: os.environ.get(n) for n in {names!r}}}))"
    token = gateway_token(cluster, classroom.namespace, NOTEBOOK)
    with contextlib.ExitStack() as stack:
        ann = stack.enter_context(a_gateway_client(cluster, classroom.namespace, token=token))
        asked = [
            {
                "KERNEL_N": f"$(HOME) {number}",
                **({"KERNEL_ONLY": "mine"} if number % 3 == 0 else {}),
                **dict.fromkeys(("KERNEL_USERNAME", "KERNEL_ID", "KERNEL_NAMESPACE"), "root"),
                "PATH": "/evil",
            }
            for number in range(6)
        ]
        with ThreadPoolExecutor(len(asked)) as pool:
            clients = [(ann, bob)[number % 2] for number in range(len(asked))]
            tabs = list(pool.map(lambda one, env: one.start(env=env), clients, asked))
        for tab in tabs:
            stack.callback(tab.server.request, "DELETE", f"kernels/{tab.kernel_id}")
        for tab, env in zip(tabs, asked, strict=True):
            have = json.loads(tab.run(code, within=120).text)
            assert have.pop("PATH") != "/evil"
            assert have == {
                "KERNEL_N": env["KERNEL_N"],
                "KERNEL_ONLY": env.get("KERNEL_ONLY"),
                "KERNEL_ID": tab.kernel_id,
                "KERNEL_USERNAME": "jovyan",
                "KERNEL_NAMESPACE": classroom.namespace,
            }


# -- whom a gateway serves


def reason(cluster: Cluster, namespace: str, name: str, plural: str = NOTEBOOKS) -> str | None:
    found = cluster.get(namespace, plural, name) or {}
    conditions = found.get("status", {}).get("conditions", [])
    return next((one["reason"] for one in conditions if one["type"] == "Ready"), None)


def test_a_gateway_serves_the_namespaces_that_it_allows(cluster: Cluster, classroom: Team) -> None:
    lab = classroom.namespace

    def allow(**allowed: Any) -> None:
        patch = json.dumps({"spec": {"allowedNamespaces": allowed}})
        cluster.kubectl("patch", "jgw", GATEWAY, "-n", lab, "--type=merge", "-p", patch)

    def until(namespace: str, *want: str) -> None:
        eventually(
            lambda: reason(cluster, namespace, "guest"),
            lambda seen: seen in want,
            within=NOTICED_WITHIN,
            what=f"the reason {want}",
        )

    with a_namespace(cluster, **RESTRICTED) as elsewhere:
        cluster.apply(elsewhere, notebook("guest", lab, template=manifests.parked()))
        until(elsewhere, "GatewayNotAllowed")
        assert cluster.names(elsewhere, "secrets") == set(), "no token was made"
        said = cluster.kubectl("describe", "jnb", "guest", "-n", elsewhere)
        assert f"JupyterGateway {lab}/{GATEWAY}" in said
        assert "spec.allowedNamespaces" in said

        allow(**{"from": "Selector", "selector": {"matchLabels": {"course": "ml"}}})
        cluster.kubectl("label", "namespace", elsewhere, "course=ml")
        until(elsewhere, *LET_IN)
        token = gateway_token(cluster, elsewhere, "guest")
        with a_gateway_client(cluster, lab, token=token, within=NOTICED_WITHIN) as guest:
            assert guest.kernel_ids() == set()
            tab = guest.start()
            assert tab.run("6 * 7", within=60).result == "42"
            assert classroom.kernel(tab) is not None, "in the gateway's namespace"

            cluster.kubectl("label", "namespace", elsewhere, "course-")
            until(elsewhere, "GatewayNotAllowed")
            eventually(
                lambda: status("GET", f"{guest.url}/api/kernels", guest.headers),
                lambda code: code == 403,
                within=NOTICED_WITHIN,
                what="the end of the guest's access",
            )
            eventually(
                lambda: tab.open,
                lambda is_open: not is_open,
                within=NOTICED_WITHIN,
                what="the end of the guest's websocket",
            )
            kernel = classroom.kernel(tab)
            assert kernel is not None, "labels are edited by mistake, too"
            cluster.delete(elsewhere, "jupyternotebooks", "guest")
            classroom.reclaimed(tab, within=30)
        allow(**{"from": "Same", "selector": None})


def test_a_gateway_that_says_nothing_serves_other_namespaces_as_the_original_did(
    cluster: Cluster,
) -> None:
    with a_namespace(cluster) as lab, a_namespace(cluster) as elsewhere:
        cluster.apply(lab, manifests.gateway(GATEWAY))
        cluster.apply(elsewhere, notebook("guest", lab, template=manifests.parked()))
        eventually(
            lambda: reason(cluster, elsewhere, "guest"),
            lambda seen: seen in LET_IN,
            within=30,
            what="a notebook with a gateway in another namespace",
        )
        assert gateway_token(cluster, elsewhere, "guest")


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"allowedNamespaces": {"from": "Selector"}}, "spec.allowedNamespaces"),
        ({"allowedNamespaces": {"from": "Some"}}, "spec.allowedNamespaces.from"),
        ({"allowedNamespaces": {"from": "Same", "selector": {}}}, "spec.allowedNamespaces"),
        ({"allowedEnv": ["LD PRELOAD"]}, "spec.allowedEnv[0]"),
        ({"allowedEnv": ["HF_*"]}, "spec.allowedEnv[0]"),
    ],
)
def test_a_wrong_wish_is_refused_by_field(
    cluster: Cluster, spec: dict[str, Any], field: str
) -> None:
    with pytest.raises(AssertionError, match=re.escape(field)):
        cluster.apply("default", manifests.gateway("refused", **spec))


# -- secrets

PASSWORD, TOKEN = "correct horse battery staple", "t-0123456789abcdef"
AUTH: dict[str, dict[str, Any]] = {
    "password": {"mode": "enable", "password": PASSWORD},
    "token": {"mode": "enable", "token": TOKEN},
    "made": {"mode": "enable"},
}


def secret_words(value: object) -> Iterator[str]:
    """What must be seen nowhere in the value of a Secret, which may be JSON."""
    with contextlib.suppress(ValueError, TypeError):
        value = json.loads(value) if isinstance(value, str) else value
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, dict) or re.search("key$|token|password", key):
                yield from secret_words(inner)
    elif isinstance(value, str) and len(value) >= 12:
        yield value


def test_no_login_token_or_key_is_seen_outside_of_secrets(cluster: Cluster) -> None:
    """In pods, other objects' status, Events and logs. A JupyterNotebook's spec may hold a login,

    as with the original, and is not looked at.
    """
    with a_namespace(cluster, **RESTRICTED) as namespace:
        cluster.apply(
            namespace,
            manifests.gateway(GATEWAY, logLevel="DEBUG"),
            *(notebook(name, namespace, auth=auth) for name, auth in AUTH.items()),
        )
        eventually(
            lambda: (
                reason(cluster, namespace, GATEWAY, "jupytergateways"),
                *(reason(cluster, namespace, name) for name in AUTH),
            ),
            lambda seen: set(seen) == {"Available"},
            within=120,
            what="the gateway and all notebook servers",
        )
        words = {PASSWORD, TOKEN}
        for name in AUTH:
            token = gateway_token(cluster, namespace, name)
            with a_gateway_client(cluster, namespace, token=token) as client:
                tab = client.start()
                tab.run("1", within=60)
                words |= of_secrets(cluster, namespace)
                requests.get(
                    f"{client.url}/api/kernels?token={token}", timeout=30, proxies=DIRECTLY
                )
                client.request("DELETE", f"kernels/{tab.kernel_id}")
        assert len(words) > 15
        for where, text in seen_by_others(cluster, namespace):
            assert [word for word in words if word in text] == [], where


def of_secrets(cluster: Cluster, namespace: str) -> set[str]:
    return {
        word
        for secret in cluster.list(namespace, "secrets")
        if not secret["metadata"]["name"].endswith(("-notebooks", "-tombstones"))
        for value in (secret.get("data") or {}).values()
        for word in secret_words(base64.b64decode(value).decode(errors="replace"))
    }


def seen_by_others(cluster: Cluster, namespace: str) -> Iterator[tuple[str, str]]:
    for plural in ("pods", "deployments", "jupyterkernels", "events", "services"):
        yield plural, json.dumps(cluster.list(namespace, plural))
    for plural in ("jupyternotebooks", "jupytergateways"):
        yield plural, json.dumps([one.get("status") for one in cluster.list(namespace, plural)])
    for where in (namespace, SYSTEM):
        for pod in cluster.names(where, "pods"):
            yield f"log of {pod}", cluster.log(where, pod, tail=100_000)
