"""The client of the benchmarks. Runs in a pod with the notebook image; stands alone.

``start``: POST /api/kernels on the gateway to the first reply, against a bare pod of the same
image and ZeroMQ to its first reply. ``roundtrip``: ``1`` to idle through notebook server and
gateway, through the gateway alone, and by ZeroMQ. ``hold``: as many kernels with a websocket as
the last line on stdin says. Prints one JSON document (``hold``: a line each time).

Both ways have the same client: this process, TCP_NODELAY, and the Jupyter session's packing.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import ssl
import sys
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import websocket
import zmq
from jupyter_client.session import Session
from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
KEY = "bench"
# The product's own command and ports, so that only the way differs (its pod builder's defaults).
COMMAND = ["python", "-m", "ipykernel_launcher", "-f", "/connection/connection.json"]
SHELL, IOPUB = 20001, 20002
RECONNECT_MS = 5
TIMEOUT = 120.0


class Rest:
    """A kept connection that speaks JSON."""

    def __init__(self, url: str, headers: dict[str, str], cafile: str | None = None) -> None:
        parts = urllib.parse.urlsplit(url)
        self._headers = headers
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=cafile)
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                parts.netloc, timeout=TIMEOUT, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and decoded answer."""
        answer = self._send(method, path, body)
        raw = answer.read()
        return answer.status, json.loads(raw) if raw else None

    def stream(self, path: str) -> Iterator[Any]:
        """Yield the documents of a watch."""
        for line in self._send("GET", path, None):
            yield json.loads(line)

    def _send(self, method: str, path: str, body: Any) -> http.client.HTTPResponse:
        headers = self._headers | {"Content-Type": "application/json"}
        content = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, path, content, headers)
            return self._connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            # The server closed a connection that was idle for long.
            self._connection.close()
            self._connection.request(method, path, content, headers)
            return self._connection.getresponse()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Pods:
    """The pods of this namespace, through the API server."""

    def __init__(self) -> None:
        with open(f"{ACCOUNT}/namespace") as file:
            self._path = f"/api/v1/namespaces/{file.read()}/pods"
        self._rest = self._connect()

    def _connect(self) -> Rest:
        with open(f"{ACCOUNT}/token") as file:
            headers = {"Authorization": f"Bearer {file.read()}"}
        host = os.environ["KUBERNETES_SERVICE_HOST"]
        port = os.environ["KUBERNETES_SERVICE_PORT"]
        return Rest(f"https://{host}:{port}", headers, f"{ACCOUNT}/ca.crt")

    def create(self, pod: dict[str, Any]) -> None:
        """Create a pod."""
        status, answer = self._rest.ask("POST", self._path, pod)
        assert status == 201, answer

    def address(self, name: str, since: str) -> str:
        """Return the pod's IP as soon as its status has one."""
        watcher = self._connect()
        query = f"?watch=1&resourceVersion={since}&fieldSelector=metadata.name%3D{name}"
        try:
            for event in watcher.stream(self._path + query):
                if ip := event["object"].get("status", {}).get("podIP"):
                    return ip
        finally:
            watcher.close()
        raise AssertionError(f"{name} got no address")

    def version(self) -> str:
        """Return the resourceVersion of now."""
        return self._rest.ask("GET", self._path + "?limit=1")[1]["metadata"]["resourceVersion"]

    def delete(self, name: str) -> None:
        """Delete a pod with 2 s of grace, as the product does."""
        self._rest.ask("DELETE", f"{self._path}/{name}?gracePeriodSeconds=2")

    def await_end(self, name: str) -> None:
        """Wait until a pod is gone, so that its end does not slow the next start."""
        deadline = time.monotonic() + TIMEOUT
        while self._rest.ask("GET", f"{self._path}/{name}")[0] != 404:
            assert time.monotonic() < deadline, f"{name} does not go"
            time.sleep(0.1)


class Bare:
    """A bare pod of the kernel image, and ZeroMQ to it."""

    def __init__(self, pods: Pods) -> None:
        self._pods = pods
        self.name = f"bare-{uuid.uuid4().hex[:8]}"
        self._session = Session(key=KEY.encode())
        since = pods.version()
        self.asked_at = time.perf_counter()
        pods.create(self._pod())
        host = pods.address(self.name, since)
        self._shell = self._socket(zmq.DEALER, host, SHELL)
        self._iopub = self._socket(zmq.SUB, host, IOPUB)

    def _socket(self, kind: int, host: str, port: int) -> zmq.Socket[bytes]:
        socket = zmq.Context.instance().socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        if kind == zmq.SUB:
            socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(f"tcp://{host}:{port}")
        return socket

    def _pod(self) -> dict[str, Any]:
        connection = {"name": "connection", "secret": {"secretName": "bench-connection"}}
        container = {
            "name": "kernel",
            "image": os.environ["KERNEL_IMAGE"],
            "imagePullPolicy": "IfNotPresent",
            "command": COMMAND,
            "volumeMounts": [{"name": "connection", "mountPath": "/connection", "readOnly": True}],
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "containers": [container],
                "volumes": [connection],
            },
        }

    def send(self) -> str:
        """Send ``1`` and return the message's id."""
        message = self._session.msg("execute_request", content=EXECUTE)
        self._session.send(self._shell, message)
        return str(message["header"]["msg_id"])

    def await_reply(self, message_id: str) -> None:
        """Wait for the execute reply."""
        self._await(self._shell, message_id, "execute_reply")

    def await_idle(self, message_id: str) -> None:
        """Wait for ``idle`` on iopub."""
        self._await(self._iopub, message_id, "idle")

    def _await(self, socket: zmq.Socket[bytes], message_id: str, what: str) -> None:
        while True:
            assert socket.poll(int(TIMEOUT * 1000)), f"{self.name}: no {what}"
            _, message = self._session.recv(socket, zmq.NOBLOCK)
            if message and names(message) == (message_id, what):
                return

    def close(self) -> None:
        """Close the sockets and delete the pod."""
        self._shell.close()
        self._iopub.close()
        self._pods.delete(self.name)
        self._pods.await_end(self.name)


EXECUTE = {
    "code": "1",
    "silent": False,
    "store_history": True,
    "user_expressions": {},
    "allow_stdin": False,
    "stop_on_error": True,
}


def names(message: dict[str, Any]) -> tuple[str | None, str]:
    """Return whom a message answers and what it says: its type, or the state of a status."""
    kind = message["header"]["msg_type"]
    return (
        message["parent_header"].get("msg_id"),
        message["content"]["execution_state"] if kind == "status" else kind,
    )


class Served:
    """A kernel of ours, by REST and the v1 websocket, at a gateway or a notebook server."""

    def __init__(self, url: str, headers: dict[str, str], pods: Pods | None = None) -> None:
        self._pods = pods
        self._session = Session(key=b"")
        self._rest = Rest(url, headers)
        self.asked_at = time.perf_counter()
        status, model = self._rest.ask("POST", "/api/kernels", {"name": "python3"})
        assert status == 201, model
        self.id = model["id"]
        self._socket = websocket.create_connection(
            f"{url.replace('http', 'ws', 1)}/api/kernels/{self.id}/channels"
            f"?session_id={self._session.session}",
            header=headers,
            subprotocols=["v1.kernel.websocket.jupyter.org"],
            timeout=TIMEOUT,
        )
        self._early: set[tuple[str | None, str]] = set()

    def send(self) -> str:
        """Send ``1`` and return the message's id."""
        message = self._session.msg("execute_request", content=EXECUTE)
        parts = [message[part] for part in ("header", "parent_header", "metadata", "content")]
        packed = [self._session.pack(part) for part in parts]
        self._socket.send_binary(serialize_msg_to_ws_v1(packed, "shell"))
        return str(message["header"]["msg_id"])

    def await_reply(self, message_id: str) -> None:
        """Wait for the execute reply."""
        self._await((message_id, "execute_reply"))

    def await_idle(self, message_id: str) -> None:
        """Wait for ``idle`` on iopub."""
        self._await((message_id, "idle"))

    def _await(self, want: tuple[str, str]) -> None:
        # Reply and idle overtake each other, so that what came early is remembered.
        while want not in self._early:
            _, parts = deserialize_msg_from_ws_v1(self._socket.recv())
            header, parent, _, content = (self._session.unpack(part) for part in parts[:4])
            self._early.add(names({"header": header, "parent_header": parent, "content": content}))
        self._early.discard(want)

    def close(self) -> None:
        """Close the websocket and shut the kernel down."""
        self._socket.close()
        self._rest.ask("DELETE", f"/api/kernels/{self.id}")
        self._rest.close()
        if self._pods:
            self._pods.await_end(f"jovyan-{self.id}")


Kernel = Bare | Served


def from_gateway(pods: Pods | None = None) -> Served:
    """A kernel of the gateway, with the notebook's token."""
    return Served(
        os.environ["GATEWAY_URL"], {"Authorization": f"token {os.environ['TOKEN']}"}, pods
    )


def from_notebook(pods: Pods) -> Served:
    """A kernel of the notebook server, whose page gives the cookie that a POST needs."""
    url = os.environ["NOTEBOOK_URL"]
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=TIMEOUT)
    connection.request("GET", "/lab")
    cookies = connection.getresponse().headers.get_all("Set-Cookie") or []
    connection.close()
    [xsrf] = [c.split(";")[0].partition("=")[2] for c in cookies if c.startswith("_xsrf=")]
    return Served(url, {"Cookie": f"_xsrf={xsrf}", "X-XSRFToken": xsrf}, pods)


def start(rounds: int) -> dict[str, list[float]]:
    """Time both ways to a first reply, in seconds, in turns of random order.

    The kubelet looks about once a second, so that a start without jitter would always meet the
    same phase of it.
    """
    pods = Pods()
    ways: dict[str, Callable[[Pods], Kernel]] = {"gateway": from_gateway, "bare": Bare}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds + 1):
        for way in random.sample(sorted(ways), len(ways)):
            time.sleep(random.uniform(0, 1.2))
            kernel = ways[way](pods)
            kernel.await_reply(kernel.send())
            taken = time.perf_counter() - kernel.asked_at
            kernel.close()
            if turn:  # the first turn warms caches of both
                seconds[way].append(taken)
    return seconds


def roundtrip(rounds: int) -> dict[str, list[float]]:
    """Time ``1`` to idle on three warm kernels, in ms, in turns."""
    pods = Pods()
    milliseconds: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        kernels: dict[str, Kernel] = {}
        ways: dict[str, Callable[[Pods], Kernel]] = {
            "notebook": from_notebook,
            "gateway": from_gateway,
            "bare": Bare,
        }
        for way, make in ways.items():
            kernels[way] = stack.enter_context(contextlib.closing(make(pods)))
            kernels[way].await_reply(kernels[way].send())
            milliseconds[way] = []
        for turn in range(rounds + 10):
            for way in random.sample(sorted(kernels), len(kernels)):
                kernel = kernels[way]
                began = time.perf_counter()
                message_id = kernel.send()
                kernel.await_idle(message_id)
                taken = (time.perf_counter() - began) * 1000
                kernel.await_reply(message_id)
                if turn >= 10:
                    milliseconds[way].append(taken)
    return milliseconds


def hold() -> None:
    """Hold as many kernels as each line of stdin says, until it ends."""
    with contextlib.ExitStack() as stack:
        held = 0
        for line in sys.stdin:
            while held < int(line):
                kernel = stack.enter_context(contextlib.closing(from_gateway()))
                message_id = kernel.send()
                kernel.await_reply(message_id)
                kernel.await_idle(message_id)
                held += 1
            print(json.dumps({"held": held}), flush=True)


def main() -> None:
    """Run what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["start", "roundtrip", "hold"])
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    if args.what == "hold":
        hold()
    else:
        print(json.dumps({"start": start, "roundtrip": roundtrip}[args.what](args.rounds)))


if __name__ == "__main__":
    main()
