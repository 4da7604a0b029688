"""What a JupyterNotebook has beside its kernels: logins, files, a server that may be replaced."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from jupyter_server.auth.security import passwd
from tests.scenarios.notebook_server_gone import NotebookServerGone
from tests.scenarios.running import opens_a_file_beside_its_notebook
from tests.support import manifests
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.jupyter_tab import DIRECTLY
from tests.support.rollout import server_pod
from tests.support.team import Object, Team, a_namespace, foreign_image, served

pytestmark = pytest.mark.long

SECRET_TOKEN, SECRET_PASSWORD = "open-sesame-7", "correct horse battery"


# -- logins


@dataclass(frozen=True)
class Login:
    """One way to log in: ``auth`` of the spec, and the token or the password that opens."""

    auth: Object | None
    token: str | None = None
    password: str | None = None
    open: bool = field(default=False)


LOGINS = {
    "disable": Login({"mode": "disable", "token": "unused"}, open=True),
    "token": Login({"mode": "enable", "token": SECRET_TOKEN}, token=SECRET_TOKEN),
    "password": Login({"password": SECRET_PASSWORD}, password=SECRET_PASSWORD),
    "hash": Login({"password": passwd(SECRET_PASSWORD)}, password=SECRET_PASSWORD),
    "neither": Login({"mode": "enable"}),
    "secret": Login({"secretRef": {"name": "mine"}}, token=SECRET_TOKEN),
}
SERVERS = [
    *(pytest.param("ours", login, id=f"{login}, our image") for login in LOGINS),
    *(
        pytest.param("stock", login, id=f"{login}, a stock JupyterLab")
        for login in ("disable", "token", "password", "neither")
    ),
]


@pytest.fixture(scope="module")
def logins(cluster: Cluster) -> Iterator[str]:
    """A namespace with a notebook for each row of the table, none of which has a gateway."""
    ours = {"spec": {"containers": [{"name": "notebook"}]}}
    stock = manifests.stock_lab(foreign_image(cluster, "stock-lab"))
    with a_namespace(cluster) as namespace:
        cluster.apply(
            namespace,
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "mine"},
                "stringData": {"token": SECRET_TOKEN},
            },
            *(
                manifests.plain_notebook(
                    f"{kind}-{login}",
                    auth=LOGINS[login].auth,
                    template=ours if kind == "ours" else stock,
                )
                for kind, login in (row.values for row in SERVERS)
            ),
        )
        yield namespace


def ready(cluster: Cluster, namespace: str, notebook: str) -> Object:
    """Wait for the notebook's one pod and return it."""
    return server_pod(cluster, namespace, "jupyternotebooks", notebook)


def status(url: str, session: requests.Session | None = None, **headers: str) -> int:
    """Ask for what nobody may see without a login."""
    get = session.get if session else requests.get
    answer = get(f"{url}/api/contents", headers=headers, timeout=30, proxies=DIRECTLY)
    return answer.status_code


def with_password(url: str, password: str) -> int:
    """Fill in the login page as a browser does, and ask then."""
    with requests.Session() as browser:
        browser.get(f"{url}/login", timeout=30, proxies=DIRECTLY)
        form = {"password": password, "_xsrf": browser.cookies["_xsrf"]}
        browser.post(f"{url}/login", data=form, timeout=30, proxies=DIRECTLY)
        return status(url, browser)


@pytest.mark.parametrize(("kind", "login"), SERVERS)
def test_a_login_lets_in_who_has_it_and_nobody_else(
    cluster: Cluster, logins: str, kind: str, login: str
) -> None:
    name, wanted = f"{kind}-{login}", LOGINS[login]
    pod = ready(cluster, logins, name)
    token = wanted.token
    if login == "neither":  # made once, for whoever may read the Secret
        secret = cluster.get(logins, "secrets", f"{name}-auth") or {}
        token = base64.b64decode(secret["data"]["token"]).decode()
    with cluster.forward(logins, f"svc/{name}", 8888) as way:
        url = way.url
        assert status(url) == (200 if wanted.open else 403)
        if token:
            assert status(url, Authorization=f"token {token}") == 200
            assert status(url, Authorization="token wrong") == 403
        if wanted.password:
            assert with_password(url, wanted.password) == 200
            assert with_password(url, "wrong") == 403
    deployment = cluster.get(logins, "deployments", name)
    text = json.dumps([pod["spec"], deployment])
    for secret in (token, wanted.password):
        assert secret is None or secret not in text


def test_a_changed_secret_is_the_new_login(cluster: Cluster, logins: str) -> None:
    before = ready(cluster, logins, "ours-secret")["metadata"]["uid"]
    cluster.kubectl(
        "patch", "secret", "mine", "-n", logins, "-p", '{"stringData": {"token": "changed"}}'
    )
    eventually(
        lambda: ready(cluster, logins, "ours-secret")["metadata"]["uid"],
        lambda uid: uid != before,
        within=90,
        what="a pod with the new login",
    )
    with cluster.forward(logins, "svc/ours-secret", 8888) as way:
        assert status(way.url, Authorization="token changed") == 200
        assert status(way.url, Authorization=f"token {SECRET_TOKEN}") == 403


# -- a service from outside


def test_the_service_is_of_the_type_that_the_notebook_says(team: Team) -> None:
    service = {"type": "NodePort", "annotations": {"example.com/zone": "a"}}
    notebook = manifests.notebook(
        "outside", namespace=team.namespace, service=service, template=manifests.parked()
    )
    team.cluster.apply(team.namespace, notebook)
    made = eventually(
        lambda: team.cluster.get(team.namespace, "services", "outside"),
        lambda made: made is not None,
        within=20,
        what="the Service",
    )
    assert made["spec"]["type"] == "NodePort"
    assert made["spec"]["ports"][0]["nodePort"]
    assert made["metadata"]["annotations"]["example.com/zone"] == "a"


# -- files


@pytest.fixture(scope="module")
def with_files(team: Team, cluster: Cluster) -> Team:
    """The team with a notebook ``files`` that has storage, and a stock server on the same claim."""
    template = manifests.stock_lab(foreign_image(cluster, "stock-lab"))
    cluster.apply(
        team.namespace,
        manifests.notebook("files", namespace=team.namespace, storage={"size": "1Gi"}),
        manifests.notebook(
            "stock-files",
            namespace=team.namespace,
            template=template,
            storage={"claimName": "files-storage"},
        ),
        manifests.notebook(
            "alone",
            namespace=team.namespace,
            storage={"claimName": "files-storage", "shareWithKernels": False},
        ),
    )
    return team


def write(server: Any, path: str, text: str) -> None:
    """Write a file as JupyterLab's file browser does."""
    server.request("PUT", f"contents/{path}", type="file", format="text", content=text)


@pytest.mark.parametrize("notebook", ["files", "stock-files"])
def test_a_kernel_opens_a_file_beside_its_notebook(with_files: Team, notebook: str) -> None:
    team = with_files
    with served(team.cluster, team.namespace, notebook) as server:
        opens_a_file_beside_its_notebook(server, team.home)
        with server.notebook() as tab:
            # A server writes its token there for its own user, and nothing of it for its kernels.
            look = "from pathlib import Path; print(*Path('/home/jovyan').rglob('jpserver-*'))"
            assert tab.run(look, within=60).stdout == "\n"


def test_kernels_of_a_notebook_that_does_not_share_have_no_files(with_files: Team) -> None:
    team = with_files
    with served(team.cluster, team.namespace, "alone") as server, server.notebook() as tab:
        tab.run("1", within=60)
        pod = team.pod(tab)
        assert pod is not None
        assert "files-storage" not in json.dumps(pod["spec"])


def test_files_outlive_the_notebook_that_is_deleted_and_made_again(with_files: Team) -> None:
    team, cluster = with_files, with_files.cluster
    with served(cluster, team.namespace, "files") as server:
        write(server, "kept.txt", "still here")
    cluster.kubectl("delete", "jupyternotebook", "files", "-n", team.namespace)
    cluster.apply(
        team.namespace,
        manifests.notebook("files", namespace=team.namespace, storage={"size": "1Gi"}),
    )
    with served(cluster, team.namespace, "files") as server:
        assert server.request("GET", "contents/kept.txt")["content"] == "still here"


# -- a server that is replaced


class TestNotebookServerGone(NotebookServerGone):
    """As on every engine."""
