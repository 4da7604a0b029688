"""The agent's call against a real HTTP server that answers as told."""

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from elastic_jupyter.api import names
from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.operator.objects.kernel import make_connection_secret, make_pod
from elastic_jupyter_agent import home
from tests.support.eventually import eventually
from tests.support.kernels import IMAGES, KERNEL_ID, a_kernel, model

AGENT = Path(__file__).parents[3] / "agent/src"
TOKEN = "t" * 64


class Gateway(ThreadingHTTPServer):
    """Answers calls with ``statuses`` in turn, the last one for ever."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses = [204]
        self.calls: list[tuple[str, str | None, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.calls.append((self.path, self.headers["Authorization"], body))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def callers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "call-home" in thread.name]


def environment(secret: dict[str, Any], *, gateway: Gateway) -> dict[str, str]:
    """Return the variables of a kernel's container, with the Service at ``gateway``."""
    pod = make_pod(model(JupyterKernel, a_kernel()), epoch=3, ours=IMAGES)
    container = pod["spec"]["containers"][0]
    found = {}
    for entry in container["env"]:
        if source := entry.get("valueFrom"):
            text = base64.b64decode(secret["data"][source["secretKeyRef"]["key"]]).decode()
            found[entry["name"]] = text.replace(names.service_url("gw", "team"), gateway.url)
    return found


def a_secret() -> dict[str, Any]:
    kernel = model(JupyterKernel, a_kernel())
    return make_connection_secret(kernel, epoch=3, key="k" * 64, token=TOKEN)


def test_the_agent_tells_what_the_operator_wrote_for_it(gateway: Gateway) -> None:
    variables = environment(a_secret(), gateway=gateway)
    home.call_in_background(variables[names.CALL_HOME_VARIABLE])
    eventually(callers, lambda left: not left, within=10, what="the end of the call's thread")
    path = names.address_path(KERNEL_ID)
    assert gateway.calls == [(path, f"token {TOKEN}", {"address": "127.0.0.1", "epoch": 3})]


@pytest.mark.parametrize(
    ("statuses", "want_calls", "want"),
    [
        pytest.param([204], 1, True, id="heard"),
        pytest.param([503, 502, 204], 3, True, id="a gateway that is not ready is asked again"),
        pytest.param([403], 1, False, id="a refusal is final"),
        pytest.param([404], 1, False, id="a gateway that knows of no calls"),
    ],
)
def test_an_answer_is_final_and_a_fault_is_not(
    statuses: list[int], want_calls: int, want: bool, gateway: Gateway
) -> None:
    gateway.statuses = statuses
    assert home.call(f"{gateway.url}/x", token=TOKEN, epoch=1) is want
    assert len(gateway.calls) == want_calls


def test_a_gateway_that_is_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "PATIENCE", 0.2)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as gone:
        port = gone.server_port
    assert home.call(f"http://127.0.0.1:{port}/x", token=TOKEN, epoch=1) is False


@pytest.mark.parametrize(
    "document",
    [
        pytest.param("", id="nobody to call"),
        pytest.param("not JSON", id="broken"),
        pytest.param('{"url": 1}', id="incomplete"),
        pytest.param('{"url": "ftp:", "token": "", "epoch": 1}', id="no URL"),
    ],
)
def test_trouble_is_kept_from_the_user(
    document: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(home, "PATIENCE", 0.1)
    home.call_in_background(document)
    eventually(callers, lambda left: not left, within=10, what="the end of the call's thread")
    assert capfd.readouterr() == ("", "")


def test_it_imports_nothing_but_the_standard_library_and_no_http_client() -> None:
    code = (
        f"import sys; sys.path.append({str(AGENT)!r}); import elastic_jupyter_agent.home; "
        "print(sorted({'http.client', 'ssl', 'asyncio', 'email'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
