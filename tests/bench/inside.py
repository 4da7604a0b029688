"""The client of the benchmarks. Runs in a pod with the notebook image; stands alone.

``start``: POST /api/kernels on the gateway to the first reply, against a bare pod of the same
image and ZeroMQ to its first reply. ``burst``: the same, ten at once, to the last one's.
``bystander``: ``1`` to its reply on a warm kernel while ten others start, and while none does.
``object``: a JupyterKernel to its pod object, against a bare pod to its own. ``roundtrip``: ``1``
to idle through notebook server and gateway, through the gateway alone, and by ZeroMQ. ``hold``: as
many kernels with a websocket as the last line on stdin says. Prints one JSON document (``hold``: a
line each time).

Both ways have the same client: this process, TCP_NODELAY, and the Jupyter session's packing.
"""

import argparse
import contextlib
import http.client
import json
import multiprocessing
import os
import random
import ssl
import sys
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, ClassVar

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
AT_ONCE = 10
#: Between two requests of a bystander, s: a user is no load.
BYSTANDER_PAUSE = 0.01
BYSTANDER_SAMPLES = 200
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

    def stream(self, path: str, opened: threading.Event | None = None) -> Iterator[Any]:
        """Yield the documents of a watch; ``opened`` is set when the server watches."""
        lines = self._send("GET", path, None)
        if opened:
            opened.set()
        for line in lines:
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
    """The pods and JupyterKernels of this namespace, through the API server."""

    def __init__(self) -> None:
        with open(f"{ACCOUNT}/namespace") as file:
            namespace = file.read()
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._kernels = f"/apis/kubeflow.tkestack.io/v1alpha1/namespaces/{namespace}/jupyterkernels"
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

    def create_kernel(self, kernel: dict[str, Any]) -> None:
        """Create a JupyterKernel, which makes a pod of its name."""
        status, answer = self._rest.ask("POST", self._kernels, kernel)
        assert status == 201, answer

    def delete_kernel(self, name: str) -> None:
        """Delete a JupyterKernel."""
        self._rest.ask("DELETE", f"{self._kernels}/{name}")

    def address(self, name: str, since: str) -> str:
        """Return the pod's IP as soon as its status has one."""
        with contextlib.closing(self._watch(name, since)) as seen:
            for pod in seen:
                if ip := pod.get("status", {}).get("podIP"):
                    return ip
        raise AssertionError(f"{name} got no address")

    def time_to_object(self, name: str, create: Callable[[], None]) -> float:
        """Return the seconds from ``create`` until a watch tells of the pod ``name``."""
        told: list[float] = []
        since = self.version()

        def watch() -> None:
            with contextlib.closing(self._watch(name, since, opened)) as seen:
                next(seen)
                told.append(time.perf_counter())

        opened = threading.Event()
        watcher = threading.Thread(target=watch)
        watcher.start()
        assert opened.wait(TIMEOUT)
        began = time.perf_counter()
        create()
        watcher.join(TIMEOUT)
        return told[0] - began

    def _watch(
        self, name: str, since: str, opened: threading.Event | None = None
    ) -> Iterator[dict[str, Any]]:
        watcher = self._connect()
        query = f"?watch=1&resourceVersion={since}&fieldSelector=metadata.name%3D{name}"
        try:
            for event in watcher.stream(self._path + query, opened):
                yield event["object"]
        finally:
            watcher.close()

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


def burst(rounds: int) -> dict[str, list[float]]:
    """Time ten starts at once to the last first reply, in seconds, in turns of random order."""
    ways: dict[str, Callable[[Pods], Kernel]] = {"gateway": from_gateway, "bare": Bare}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for make in ways.values():  # one of each warms caches of both
        kernel = make(Pods())
        kernel.await_reply(kernel.send())
        kernel.close()
    for _ in range(rounds):
        for way in random.sample(sorted(ways), len(ways)):
            time.sleep(random.uniform(0, 1.2))
            seconds[way].append(start_at_once(ways[way]))
    return seconds


def start_at_once(way: Callable[[Pods], Kernel]) -> float:
    """Start ten kernels, end them, and return the seconds from the first to the last's reply."""
    kernels, seconds = ten(way)
    end(kernels)
    return seconds


def ten(way: Callable[[Pods], Kernel]) -> tuple[list[Kernel], float]:
    """Start ten kernels at once; return them and the seconds from the first to the last's reply."""
    everyone = threading.Barrier(AT_ONCE)

    def one() -> tuple[Kernel, float]:
        pods = Pods()
        pods.version()  # opens the connection
        everyone.wait(TIMEOUT)
        kernel = way(pods)
        kernel.await_reply(kernel.send())
        return kernel, time.perf_counter()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        started = [future.result() for future in [pool.submit(one) for _ in range(AT_ONCE)]]
    kernels = [kernel for kernel, _ in started]
    return kernels, max(at for _, at in started) - min(kernel.asked_at for kernel in kernels)


def end(kernels: list[Kernel]) -> None:
    """End these kernels at once, and wait until they are gone."""
    with ThreadPoolExecutor(len(kernels)) as pool:
        list(pool.map(lambda kernel: kernel.close(), kernels))


class Others:
    """Other users, in a process of their own: threads of one would wait for each other's GIL."""

    _kernels: ClassVar[list[Kernel]] = []

    @classmethod
    def start(cls, way: Callable[[Pods], Kernel]) -> None:
        """Start ten kernels, until the last has replied."""
        cls._kernels, _ = ten(way)

    @classmethod
    def end(cls) -> None:
        """End them."""
        end(cls._kernels)


def bystander(rounds: int) -> dict[str, list[float]]:
    """Time ``1`` to its reply on a warm kernel of the gateway, in ms, in turns of random order.

    ``alone``: nothing starts. ``gateway``: ten kernels of the gateway start, until the last has
    replied. ``bare``: ten bare pods do, so that the difference to it is what the gateway itself
    costs.
    """
    ways: dict[str, Callable[[Pods], Kernel]] = {"gateway": from_gateway, "bare": Bare}
    milliseconds: dict[str, list[float]] = {"alone": [], **{way: [] for way in ways}}
    others = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    with others, contextlib.closing(from_gateway(Pods())) as kernel:
        others.submit(os.getpid).result()  # it has imported all that it needs
        for _ in range(50):
            kernel.await_reply(kernel.send())
        for _ in range(rounds):
            for name in random.sample(sorted(milliseconds), len(milliseconds)):
                if name == "alone":
                    milliseconds[name] += replies(kernel, lambda n: n < BYSTANDER_SAMPLES)
                    continue
                starting = others.submit(Others.start, ways[name])
                milliseconds[name] += replies(kernel, lambda _, s=starting: not s.done())
                starting.result()
                others.submit(Others.end).result()
    return milliseconds


def replies(kernel: "Kernel", going_on: Callable[[int], bool]) -> list[float]:
    """Time ``1`` to its reply again and again, in ms, while ``going_on(samples so far)``."""
    taken: list[float] = []
    while going_on(len(taken)):
        time.sleep(BYSTANDER_PAUSE)
        began = time.perf_counter()
        kernel.await_reply(kernel.send())
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def object_to_pod(rounds: int) -> dict[str, list[float]]:
    """Time a JupyterKernel, and a bare pod, to the pod object, in ms, in turns.

    No node fits, so that nothing starts.
    """
    pods = Pods()
    milliseconds: dict[str, list[float]] = {"kernel": [], "bare": []}
    spec = {
        "restartPolicy": "Never",
        "nodeSelector": {"bench": "nowhere"},
        "containers": [{"name": "kernel", "image": os.environ["KERNEL_IMAGE"]}],
    }
    for turn in range(rounds + 1):
        for kind in random.sample(sorted(milliseconds), 2):
            time.sleep(random.uniform(0.2, 0.4))
            name = f"object-{uuid.uuid4().hex[:8]}"
            meta = {"metadata": {"name": name}}
            pod = {"apiVersion": "v1", "kind": "Pod", "spec": spec} | meta
            kernel = {
                "apiVersion": "kubeflow.tkestack.io/v1alpha1",
                "kind": "JupyterKernel",
                "spec": {"template": {"spec": spec}, "gatewayRef": {"name": "gw"}},
            } | meta
            create = {
                "kernel": lambda kernel=kernel: pods.create_kernel(kernel),
                "bare": lambda pod=pod: pods.create(pod),
            }
            taken = pods.time_to_object(name, create[kind]) * 1000
            (pods.delete_kernel if kind == "kernel" else pods.delete)(name)
            pods.await_end(name)
            if turn:
                milliseconds[kind].append(taken)
    return milliseconds


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


BENCHES: dict[str, Callable[[int], dict[str, list[float]]]] = {
    "start": start,
    "burst": burst,
    "bystander": bystander,
    "object": object_to_pod,
    "roundtrip": roundtrip,
}


def main() -> None:
    """Run what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=[*BENCHES, "hold"])
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    if args.what == "hold":
        hold()
    else:
        print(json.dumps(BENCHES[args.what](args.rounds)))


if __name__ == "__main__":
    main()
