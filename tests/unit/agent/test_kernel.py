"""Real kernels: what the agent starts is what ``ipykernel_launcher`` starts."""

import contextlib
import json
import queue
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient

from tests.support.addresses import own_address

AGENT = Path(__file__).parents[3] / "agent/src"

#: What a cell can see of how its kernel was started.
PROBE = """
import gc, json, os, sys, threading
print(json.dumps([
    sorted(n for n in globals() if not n.startswith("_")), __name__, sys.path[0], gc.isenabled(),
    sorted(n for n in os.environ if "ELASTIC" in n),
    [t.name for t in threading.enumerate() if "elastic" in t.name],
    sys.argv[0], sys.argv[1], len(sys.argv), sys.modules["__main__"].__dict__ is globals(),
]))
"""


@contextlib.contextmanager
def a_kernel_by(module: str, folder: Path) -> Iterator[BlockingKernelClient]:
    """Start a kernel as ``python -m module``, for the agent with its environment."""
    file = folder / f"{module}.json"
    client = BlockingKernelClient(connection_file=str(file))
    client.ip = own_address()
    client.write_connection_file()
    environment = {"PYTHONPATH": str(AGENT), "IPYTHONDIR": str(folder), "TMPDIR": str(folder)}
    command = [sys.executable, "-m", module]
    if module == "elastic_jupyter_agent":
        environment["ELASTIC_JUPYTER_CONNECTION"] = file.read_text()
        environment["ELASTIC_JUPYTER_CALL_HOME"] = '{"url": "nowhere"}'
    else:
        command += ["-f", str(file)]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, cwd=folder)
    try:
        client.start_channels(hb=False)
        await_ready(client)
        yield client
    finally:
        client.stop_channels()
        client.context.destroy(linger=0)
        process.kill()
        process.wait()


def await_ready(client: BlockingKernelClient) -> None:
    """Wait for the kernel and its output. Upstream's way takes a machine under load for death."""
    subscribed = False
    while not subscribed:
        client.kernel_info()
        client.get_shell_msg(timeout=60)
        with contextlib.suppress(queue.Empty):
            client.get_iopub_msg(timeout=1)
            subscribed = True


def printed(client: BlockingKernelClient, code: str) -> str:
    """Run code and return what it printed."""
    said: list[str] = []

    def note(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            said.append(message["content"]["text"])

    client.execute_interactive(code, output_hook=note, timeout=60)
    return "".join(said)


def probed(module: str, folder: Path) -> Any:
    with a_kernel_by(module, folder) as client:
        return json.loads(printed(client, PROBE))


def test_a_cell_sees_a_kernel_like_any_other(tmp_path: Path) -> None:
    seen = probed("elastic_jupyter_agent", tmp_path)
    assert seen == probed("ipykernel_launcher", tmp_path)
    assert seen[4:6] == [[], []], "what the agent needed is gone"


def test_the_connection_file_is_the_users_alone(tmp_path: Path) -> None:
    with a_kernel_by("elastic_jupyter_agent", tmp_path) as client:
        file = Path(printed(client, "import sys; print(sys.argv[2])").strip())
        assert file.stat().st_mode & 0o077 == 0
        assert json.loads(file.read_text())["key"] == client.session.key.decode()


def test_debugging_works_and_debugpy_is_not_imported_before(tmp_path: Path) -> None:
    with a_kernel_by("elastic_jupyter_agent", tmp_path) as client:
        assert "debugger" in kernel_info(client)["supported_features"]
        loaded = "import sys; print('debugpy' in sys.modules)"
        assert printed(client, loaded) == "False\n"
        assert debug(client, "debugInfo")["body"]["isStarted"] is False
        initialize = {"clientID": "test", "adapterID": "", "pathFormat": "path"}
        assert debug(client, "initialize", initialize)["success"]
        assert debug(client, "attach", {})["success"]
        file = debug(client, "dumpCell", {"code": CELL})["body"]["sourcePath"]
        breakpoints = {"source": {"path": file}, "breakpoints": [{"line": 2}]}
        [placed] = debug(client, "setBreakpoints", breakpoints)["body"]["breakpoints"]
        assert placed["verified"]
        assert debug(client, "configurationDone")["success"]
        client.execute(CELL)
        thread = stopped_thread(client)
        [frame, *_] = debug(client, "stackTrace", {"threadId": thread})["body"]["stackFrames"]
        assert (frame["line"], frame["source"]["path"]) == (2, file)
        assert debug(client, "continue", {"threadId": thread})["success"]
        assert client.get_shell_msg(timeout=60)["content"]["status"] == "ok"


CELL = "a = 1\nb = a + 1\nprint(b)"


def kernel_info(client: BlockingKernelClient) -> Any:
    client.kernel_info()
    return client.get_shell_msg(timeout=60)["content"]


def debug(client: BlockingKernelClient, command: str, arguments: Any = None) -> Any:
    """Make one request of the Debug Adapter Protocol and return the answer."""
    content = {"type": "request", "seq": 1, "command": command, "arguments": arguments or {}}
    client.control_channel.send(client.session.msg("debug_request", content))
    return client.get_control_msg(timeout=60)["content"]


def stopped_thread(client: BlockingKernelClient) -> int:
    """Wait for the event that tells that a breakpoint was met; return its thread."""
    while True:
        message = client.get_iopub_msg(timeout=60)
        if message["msg_type"] == "debug_event" and message["content"]["event"] == "stopped":
            return int(message["content"]["body"]["threadId"])
