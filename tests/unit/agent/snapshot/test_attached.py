"""Real ipykernels, started without the agent, that are asked as the gateway asks."""

import ast
import contextlib
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient

from elastic_jupyter_agent import wire
from tests.support.addresses import own_address
from tests.unit.agent.snapshot.gateway import TOKEN, FakeGateway, a_gateway
from tests.unit.agent.test_kernel import AGENT, await_ready

PATIENCE = 60.0


class Kernel:
    """A kernel's process and a client of it."""

    def __init__(self, client: BlockingKernelClient, process: "subprocess.Popen[bytes]") -> None:
        self.client, self.process = client, process

    def run(self, code: str) -> str:
        """Run a cell; return what it printed. Raises ``AssertionError`` when it fails."""
        printed: list[str] = []

        def keep(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                printed.append(message["content"]["text"])

        reply = self.client.execute_interactive(code, timeout=PATIENCE, output_hook=keep)
        assert reply["content"]["status"] == "ok", reply["content"]
        return "".join(printed)

    def ask(self, ask: str, **more: str) -> dict[str, Any]:
        """Ask on the control channel, as the gateway does."""
        question = json.dumps({"ask": ask} | more)
        module = '__import__("elastic_jupyter_agent.attached", fromlist=["*"])'
        content = {
            "code": "",
            "silent": True,
            "store_history": False,
            "user_expressions": {"answer": f"{module}.answer({question!r})"},
            "allow_stdin": False,
        }
        message = self.client.session.msg("execute_request", content)
        self.client.control_channel.send(message)
        while True:
            reply = self.client.control_channel.get_msg(timeout=PATIENCE)
            if reply["parent_header"].get("msg_id") == message["msg_id"]:
                break
        told = reply["content"]["user_expressions"]["answer"]
        if told["status"] != "ok":
            return {"absent": told["ename"]}
        answer: dict[str, Any] = json.loads(ast.literal_eval(told["data"]["text/plain"]))
        return answer

    def save(self, gateway: FakeGateway) -> dict[str, Any]:
        return self.ask("save", url=gateway.url, token=TOKEN)

    def restore(self, gateway: FakeGateway) -> dict[str, Any]:
        return self.ask("restore", url=gateway.url, token=TOKEN)


@contextlib.contextmanager
def a_kernel(folder: Path, *, agent: bool = True, python: str | None = None) -> Iterator[Kernel]:
    """Start ipykernel in a folder, by an interpreter that has it, and end it afterwards."""
    folder.mkdir(exist_ok=True)
    file = folder / "connection.json"
    file.unlink(missing_ok=True)
    client = BlockingKernelClient(connection_file=str(file))
    client.ip = own_address()
    client.write_connection_file()
    environment = {
        "PYTHONPATH": str(AGENT),
        "IPYTHONDIR": str(folder),
        "TMPDIR": str(folder),
        "MPLCONFIGDIR": str(folder),
        "PATH": os.environ["PATH"],
    }
    code = "from ipykernel import kernelapp\nkernelapp.launch_new_instance()"
    if not agent:
        code = f"import sys\nsys.modules['elastic_jupyter_agent'] = None\n{code}"
    command = [python or sys.executable, "-c", code, "-f", str(file)]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, cwd=folder)
    try:
        client.start_channels(hb=False)
        await_ready(client)
        yield Kernel(client, process)
    finally:
        client.stop_channels()
        client.context.destroy(linger=0)
        process.kill()
        process.wait()


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with a_gateway() as gateway:
        yield gateway


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    with a_kernel(tmp_path / "kernel") as kernel:
        yield kernel


MADE = """
import os, sys, random, threading
import numpy as np
x = 1
def f(): return x
class A: pass
a = A(); a.list = shared = [a]
lock = threading.Lock()
os.mkdir("sub"); os.chdir("sub"); sys.path.append("/mine")
os.environ["MINE"] = "yes"; del os.environ["TMPDIR"]
get_ipython().run_line_magic("alias", "hi echo hi")
from IPython.core.magic import register_line_magic
@register_line_magic
def shout(line): print(line.upper(), x)
get_ipython().run_line_magic("load_ext", "autoreload")
get_ipython().run_line_magic("autoreload", "2")
get_ipython().run_line_magic("precision", "3")
np.set_printoptions(precision=2)
import matplotlib; matplotlib.use("svg")
import matplotlib.pyplot as plt
plt.rcParams["figure.dpi"] = 55
calls = []
get_ipython().events.register("post_run_cell", lambda result: calls.append(1))
random.seed(1); np.random.seed(1); a
"""
SEEN = """
import os, sys, random, json, matplotlib
ip = get_ipython()
x = 100; ip.run_line_magic("shout", "a")
print(json.dumps([
    f(), a.list is shared and shared[0] is a, type(a) is A, Out[1] is a, _1 is a, _ is a, len(In),
    In[1][:3], ip.execution_count, os.path.basename(os.getcwd()), "/mine" in sys.path,
    os.environ["MINE"], "TMPDIR" in os.environ, sorted(ip.extension_manager.loaded),
    ip.magics_manager.registry["AutoreloadMagics"]._reloader.check_all,
    ("hi", "echo hi") in ip.alias_manager.aliases, np.get_printoptions()["precision"],
    ip.display_formatter.formatters["text/plain"].float_precision, plt.rcParams["figure.dpi"],
    matplotlib.get_backend(), random.random(), float(np.random.rand()), len(calls) > 0,
    "lock" in globals(),
]))
"""


def test_a_kernel_goes_on_in_another_process(gateway: FakeGateway, tmp_path: Path) -> None:
    folder = tmp_path / "kernel"
    with a_kernel(folder) as first:
        first.run(MADE)
        saved = first.save(gateway)
        uninterrupted = first.run(SEEN).replace("true]", "false]")  # but for the lock
    with a_kernel(folder) as second:
        restored = second.restore(gateway)
        seen = second.run(SEEN)
    assert [lost["name"] for lost in saved["lost"]] == ["lock"], saved
    assert restored["lost"] == saved["lost"], "whoever wakes reads what is not there"
    assert restored["notices"] == []
    assert restored["restored"] == saved["names"]
    assert seen == uninterrupted


def test_nothing_is_left_of_a_question(kernel: Kernel, gateway: FakeGateway) -> None:
    what = (
        "print(sorted(globals()), len(In), Out, get_ipython().execution_count - len(In),"
        "get_ipython().history_manager.input_hist_raw[-3:-1])"
    )
    before = kernel.run(what)
    kernel.ask("hello")
    kernel.ask("leftovers")
    assert "id" in kernel.save(gateway)
    after = kernel.run("print(sorted(globals()), len(In))")
    names, count = before.split("] ")[0], int(before.split("] ")[1].split()[0])
    assert after.split("] ")[0].replace("'_i2', ", "") == names.replace("'_i2', ", "")
    assert int(after.split("] ")[1]) == count + 1


def test_an_absent_agent_is_told_by_an_import_error(tmp_path: Path) -> None:
    with a_kernel(tmp_path / "kernel", agent=False) as kernel:
        assert kernel.ask("hello") == {"absent": "ModuleNotFoundError"}


def test_hello_says_what_there_is(kernel: Kernel) -> None:
    assert kernel.ask("hello") == {
        "agent": importlib.metadata.version("elastic-jupyter-agent"),
        "wire": 2,
        "python": sys.version.split()[0],
    }


@pytest.mark.parametrize(
    "code",
    [
        "import time\nopen('on', 'w').close()\nwhile not Path('off').exists(): time.sleep(.01)",
        "import asyncio\nopen('on', 'w').close()\n"
        "while not Path('off').exists(): await asyncio.sleep(.01)",
    ],
    ids=["computes", "awaits"],
)
def test_a_busy_kernel_says_so(gateway: FakeGateway, tmp_path: Path, code: str) -> None:
    folder = tmp_path / "kernel"
    with a_kernel(folder) as kernel:
        running = kernel.client.execute("from pathlib import Path\n" + code)
        while not (folder / "on").exists():
            assert kernel.process.poll() is None
        assert kernel.save(gateway) == {"busy": "a cell is running"}
        assert kernel.restore(gateway) == {"busy": "a cell is running"}
        (folder / "off").touch()
        reply = kernel.client._recv_reply(running, timeout=PATIENCE)
        assert reply["content"]["status"] == "ok"
        assert "id" in kernel.save(gateway)


def test_a_second_save_writes_what_changed(kernel: Kernel, gateway: FakeGateway) -> None:
    kernel.run(
        "import numpy as np, pandas as pd\n"
        "a = np.random.default_rng(0).random(5_000_000)\n"
        "d = pd.DataFrame({'n': np.arange(3_000_000), 's': ['text'] * 3_000_000})"
    )
    first = kernel.save(gateway)
    kernel.run("a[0] = 7; small = 'new'")
    second = kernel.save(gateway)
    assert first["written"] > 40_000_000
    assert second["written"] < 6_000_000
    assert second["id"] != first["id"]
    with a_kernel(Path(kernel.run("import os; print(os.getcwd(), end='')"))) as other:
        assert other.restore(gateway)["lost"] == []
        assert other.run("print(a[0], d.n.sum(), small)") == "7.0 4499998500000 new\n"
        other.run("a[0] = 8")
        assert other.save(gateway)["written"] < 6_000_000


def test_many_small_objects_are_few_blobs(kernel: Kernel, gateway: FakeGateway) -> None:
    kernel.run("import random\nrows = [(n, random.random()) for n in range(400_000)]")
    assert kernel.save(gateway)["written"] > 4_000_000
    assert len(gateway.puts) < 20


def test_a_second_save_finds_long_texts_again_that_moved(
    kernel: Kernel, gateway: FakeGateway
) -> None:
    kernel.run("import os\nx = [os.urandom(50_000).hex() for _ in range(20)]")
    first = kernel.save(gateway)
    kernel.run("del x[0]")
    second = kernel.save(gateway)
    assert first["written"] > 1_000_000
    assert second["written"] < 300_000


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (
            "import threading as th, time\n"
            "t = th.Thread(target=time.sleep, args=(60,), name='mine', daemon=True); t.start()",
            "mine",
        ),
        ("import asyncio; t = asyncio.create_task(asyncio.sleep(60), name='mine')", "mine (sleep)"),
        ("import subprocess; p = subprocess.Popen(['sleep', '60'])", "sleep ("),
        (
            "import concurrent.futures as c, time; p = c.ThreadPoolExecutor(1, 'mine'); "
            "f = p.submit(time.sleep, 60)",
            "mine_0",
        ),
    ],
    ids=["thread", "task", "process", "pool"],
)
def test_what_a_cell_left_running_is_told(kernel: Kernel, code: str, name: str) -> None:
    kernel.run(code)
    [left] = left_running(kernel, until=lambda names: len(names) == 1)
    assert left.startswith(name)
    if name == "sleep (":
        assert "60" not in left.partition("(")[0], "an argument may be a password"
        kernel.run("p.kill(); p.wait()")
        assert kernel.ask("leftovers") == {"leftovers": []}


def left_running(kernel: Kernel, *, until: Callable[[list[str]], bool]) -> list[str]:
    """Return the names of what is told to be left running, once they are what is wanted."""
    deadline = time.monotonic() + PATIENCE
    while not until(names := [one["name"] for one in kernel.ask("leftovers")["leftovers"]]):
        assert time.monotonic() < deadline, names
    return names


@pytest.mark.parametrize("children", [True, False], ids=["told", "found by their parents"])
def test_a_process_is_told_whoever_has_started_it(kernel: Kernel, *, children: bool) -> None:
    kernel.ask("hello")
    if not children:
        kernel.run("from elastic_jupyter_agent import leftovers; leftovers._CHILDREN = '/none'")
    kernel.run(
        "import os, subprocess as s, threading as th\n"
        "def of_a_thread(): s.Popen(['sleep', '60'])\n"
        "t = th.Thread(target=of_a_thread); t.start(); t.join()\n"
        "s.Popen(['sh', '-c', 'tail -f /dev/null; true'])\n"
        "os.system('sleep 61 &')\n"
        "ended = s.Popen(['true']); os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)"
    )
    want = ["sh", "sleep", "sleep", "tail"]  # a child is its parent's copy at first
    for name in left_running(
        kernel, until=lambda names: sorted(name.partition(" (")[0] for name in names) == want
    ):
        os.kill(int(name.partition("(")[2].rstrip(")")), signal.SIGKILL)


def test_the_end_of_a_kernel_does_not_wait_for_children_that_have_ended(kernel: Kernel) -> None:
    kernel.ask("hello")
    kernel.run(
        "import os, subprocess as s\n"
        "ended = s.Popen(['true']); os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)\n"
        "runs = s.Popen(['sleep', '60'])"
    )
    said = kernel.run(
        "of = get_ipython().kernel._process_children\n"
        "print([child.pid for child in of()] == [runs.pid]); runs.kill()"
    )
    assert said == "True\n"


def test_a_look_for_processes_reads_of_no_others(kernel: Kernel) -> None:
    """There may be thousands, and each takes 15 ms while other code computes."""
    kernel.run(
        "from elastic_jupyter_agent import leftovers\n"
        "files, read = [], leftovers._read\n"
        "leftovers._read = lambda file: files.append(file) or read(file)"
    )
    kernel.ask("leftovers")
    said = kernel.run("import os; print({f.split('/')[2] for f in files} == {str(os.getpid())})")
    assert said == "True\n"


def test_a_gpu_at_work_is_told_with_what_was_left_running(kernel: Kernel) -> None:
    kernel.run("from elastic_jupyter_agent import gpus; gpus.at_work = lambda: ['GPU 0 at 87 %']")
    assert kernel.ask("leftovers") == {"leftovers": [{"kind": "gpu", "name": "GPU 0 at 87 %"}]}


def test_a_debugger_is_not_left_running(kernel: Kernel) -> None:
    """JupyterLab has the kernel start it as soon as its user may want to debug."""
    kernel.ask("hello")
    kernel.run("import debugpy; debugpy.listen(('127.0.0.1', 0))")
    assert kernel.ask("leftovers") == {"leftovers": []}


def test_libraries_leave_nothing_running(kernel: Kernel) -> None:
    assert kernel.ask("leftovers") == {"leftovers": []}
    kernel.run(
        "import numpy as np, pandas, matplotlib.pyplot, polars as pl, sklearn\n"
        "np.ones((500, 500)) @ np.ones((500, 500)); pl.DataFrame({'a': [1]}).sum()\n"
        "import concurrent.futures as c; p = c.ThreadPoolExecutor(); p.submit(int).result()\n"
        "import asyncio; await asyncio.to_thread(int)"
    )
    # A thread of a pool has told its result before it waits for more.
    assert left_running(kernel, until=lambda names: not names) == []


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        ((409, "cancelled: a cell arrived"), "cancelled: a cell arrived"),
        ((507, "the store is full"), "the store is full"),
        ((413, ""), "the gateway answers 413"),
    ],
)
def test_a_refusal_is_told_in_its_words(
    kernel: Kernel, gateway: FakeGateway, refusal: tuple[int, str], sentence: str
) -> None:
    gateway.refusal = refusal
    kernel.run("import os; x = os.urandom(100_000)")
    assert kernel.save(gateway) == {"error": sentence}
    assert gateway.manifest is None
    gateway.refusal = None
    gateway.failures = 3
    assert "id" in kernel.save(gateway)
    assert gateway.puts[-1] == "/manifest"


def test_a_damaged_snapshot_changes_nothing(
    kernel: Kernel, gateway: FakeGateway, tmp_path: Path
) -> None:
    kernel.run("x = list(range(10_000))")
    kernel.save(gateway)
    damaged = dict.fromkeys(gateway.blobs, b"other")
    gateway.blobs.update(damaged)
    with a_kernel(tmp_path / "other") as other:
        assert "is damaged" in other.restore(gateway)["error"]
        gateway.blobs.clear()
        assert other.restore(gateway) == {"error": "a blob of the snapshot is not in the store"}
        assert other.run("print('x' in dir())") == "False\n"


def test_nothing_is_restored_over_what_has_run(
    kernel: Kernel, gateway: FakeGateway, tmp_path: Path
) -> None:
    kernel.run("x = 1")
    kernel.save(gateway)
    with a_kernel(tmp_path / "other") as other:
        for _gateway in range(2):  # the first one dies before it has written that it is done
            assert other.restore(gateway)["restored"] == ["x"]
        other.run("x = 2")
        assert other.restore(gateway)["ran"] is True
        assert other.run("print(x)") == "2\n"


def test_a_callback_is_there_once_after_two_restores(
    kernel: Kernel, gateway: FakeGateway, tmp_path: Path
) -> None:
    kernel.run(
        "calls = []\nfor n in range(2):\n"
        "  get_ipython().events.register('pre_run_cell', lambda info, n=n: calls.append(n))"
    )
    kernel.save(gateway)
    with a_kernel(tmp_path / "other") as other:
        for _gateway in range(2):
            assert other.restore(gateway)["lost"] == []
        assert other.run("print(calls)") == "[0, 1]\n"


@pytest.fixture
def later(gateway: FakeGateway, tmp_path: Path) -> Iterator[Kernel]:
    """A kernel that woke without a module that some of its variables need."""
    folder = tmp_path / "later"
    with a_kernel(folder) as first:
        (folder / "mine.py").write_text("class C:\n  n = 3\n")
        first.run(
            "import numpy, mine; a, b, shared = mine.C(), mine.C(), [1]\n"
            "a.shared, b.shared, l = shared, shared, [shared]; del mine\n"
            "big = numpy.arange(100_000); a.big = big; a"
        )
        assert first.save(gateway)["lost"] == []
    (folder / "mine.py").rename(folder / "gone.py")
    with a_kernel(folder) as second:
        restored = second.restore(gateway)
        assert [lost["name"] for lost in restored["lost"]] == ["a", "b", "Out[1]"]
        for lost in restored["lost"]:
            assert lost["reason"] == (
                "ModuleNotFoundError: No module named 'mine'; "
                "its saved copy is kept, and tried again at the next wake"
            )
        assert restored["restored"] == ["big", "l", "numpy", "shared"]
        yield second


def test_what_could_not_be_made_anew_is_tried_again(
    later: Kernel, gateway: FakeGateway, tmp_path: Path
) -> None:
    later.run("assert l[0] is shared; shared.append(2); b = 'anew'; del big")
    for _save in range(2):
        saved = later.save(gateway)
        assert saved["lost"] == []
        assert saved["names"] == ["a", "b", "l", "numpy", "shared"]
    assert gateway.manifest is not None
    manifest = wire.Manifest.from_json(gateway.manifest)
    needed = {blob.digest for blob in manifest.blobs}
    gateway.blobs = {digest: blob for digest, blob in gateway.blobs.items() if digest in needed}
    (tmp_path / "later/gone.py").rename(tmp_path / "later/mine.py")
    with a_kernel(tmp_path / "later") as third:
        restored = third.restore(gateway)
        assert (restored["lost"], restored["notices"]) == ([], [])
        assert restored["restored"] == saved["names"]
        seen = third.run(
            "print(a.n, a.shared, a.big[7], Out[1] is a, b, l[0] is shared, shared, 'big' in dir())"
        )
    assert seen == "3 [1] 7 True anew True [1, 2] False\n"


def test_a_kept_copy_that_is_gone_loses_no_save(later: Kernel, gateway: FakeGateway) -> None:
    gateway.blobs.clear()
    saved = later.save(gateway)
    assert [lost["name"] for lost in saved["lost"]] == ["a", "b", "Out[1]"]
    assert {lost["reason"] for lost in saved["lost"]} == {
        "it could not be made anew, and its saved copy is gone"
    }
    assert saved["names"] == ["big", "l", "numpy", "shared"]


def test_a_file_that_changed_is_closed_in_a_list(
    kernel: Kernel, gateway: FakeGateway, tmp_path: Path
) -> None:
    kernel.run("f = open('log', 'w'); x = [1]; l = [f, x]; del f")
    kernel.save(gateway)
    (tmp_path / "kernel/log").write_text("more")
    with a_kernel(tmp_path / "other") as other:
        restored = other.restore(gateway)
        assert restored["lost"] == []
        [notice] = restored["notices"]
        assert notice == f"l: the file '{tmp_path}/kernel/log' has changed since, so it is closed"
        assert other.run("print(l[0].closed, l[1] is x)") == "True True\n"


def test_what_another_python_saved_stays_saved(
    kernel: Kernel, gateway: FakeGateway, tmp_path: Path
) -> None:
    kernel.run("x = 1")
    kernel.save(gateway)
    gateway.manifest = json.dumps(json.loads(gateway.manifest) | {"python": "3.5.1"}).encode()
    with a_kernel(tmp_path / "other") as other:
        assert "they come back with Python 3.5" in other.restore(gateway)["error"]
        assert other.run("print('x' in dir())") == "False\n"


def test_an_object_that_never_ends_pickling_is_interrupted(
    kernel: Kernel, gateway: FakeGateway
) -> None:
    kernel.run(
        "import os, signal, time, threading\n"
        "class A:\n"
        "  def __reduce__(s):\n"
        "    threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT)).start()\n"
        "    while True: time.sleep(.01)\n"
        "a = A()"
    )
    assert kernel.save(gateway) == {"error": "it was interrupted"}
    kernel.run("del a")
    assert "id" in kernel.save(gateway)


def test_nothing_runs_after_a_save_until_its_gateway_has_said_what_follows(
    kernel: Kernel, gateway: FakeGateway
) -> None:
    kernel.run("x = 1")
    gateway.wants = 200
    assert "id" in kernel.save(gateway)
    assert "event loop is busy" in kernel.save(gateway)["busy"]
    gateway.wants = 409
    kernel.run("x = 2")


def test_a_time_out_of_what_is_saved_ends_the_save(kernel: Kernel, gateway: FakeGateway) -> None:
    kernel.run(
        "from elastic_jupyter_agent import snapshot\n"
        "kept = snapshot.save\n"
        "def late(*_):\n"
        "  snapshot.save = kept\n"
        "  raise TimeoutError('too late')\n"
        "snapshot.save = late"
    )
    assert kernel.save(gateway) == {"error": "too late"}
    assert "id" in kernel.save(gateway), "the control thread goes on"


HOOKS = """
import matplotlib.pyplot as plt
ran = []
for event in ("pre_execute", "post_execute", "pre_run_cell", "post_run_cell"):
    get_ipython().events.register(event, lambda *_, event=event: ran.append(event))
"""
DRAWS = """
import time
from pathlib import Path
%matplotlib inline
figure, axes = plt.subplots(); axes.plot([1, 2])
Path("on").touch()
while not Path("off").exists(): time.sleep(.01)
ran.clear(); print(plt.fignum_exists(figure.number))
"""


def test_a_question_runs_no_hook_of_cells_nor_shows_half_a_figure(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    folder = tmp_path / "kernel"
    with a_kernel(folder) as kernel:
        kernel.ask("hello")
        kernel.run(HOOKS)
        printed: list[str] = []
        running = kernel.client.execute(DRAWS)
        while not (folder / "on").exists():
            assert kernel.process.poll() is None
        assert "agent" in kernel.ask("hello")
        assert "leftovers" in kernel.ask("leftovers")
        assert kernel.save(gateway) == {"busy": "a cell is running"}
        (folder / "off").touch()
        while (message := kernel.client.get_iopub_msg(timeout=PATIENCE))["parent_header"].get(
            "msg_id"
        ) != running or message["content"].get("execution_state") != "idle":
            if message["msg_type"] == "stream":
                printed.append(message["content"]["text"])
        kernel.client._recv_reply(running, timeout=PATIENCE)
        assert printed == ["True\n"]
        kernel.ask("leftovers")
        assert "id" in kernel.save(gateway)
        assert kernel.run("print(ran[:3])") == (
            "['post_execute', 'post_run_cell', 'pre_execute']\n"
        ), "what ran is of the two cells"


def test_an_ipykernel_that_is_not_known_says_so_when_it_is_greeted(
    kernel: Kernel, gateway: FakeGateway
) -> None:
    kernel.run("get_ipython().kernel._main_asyncio_lock = None")
    for answer in (kernel.ask("hello"), kernel.save(gateway)):
        assert "it lacks the main lock" in answer["unsavable"]
    assert kernel.ask("leftovers") == {"leftovers": []}


def test_pylab_comes_back_hidden(gateway: FakeGateway, tmp_path: Path) -> None:
    with a_kernel(tmp_path / "one") as kernel:
        kernel.run("%pylab inline\nx = array([1])")
        saved = kernel.save(gateway)
        assert saved["names"] == ["x"]
        assert saved["lost"] == []
    with a_kernel(tmp_path / "other") as other:
        restored = other.restore(gateway)
        assert restored["lost"] == []
        assert restored["restored"] == ["x"]
        seen = "rand.__self__ is np.random.mtrand._rand, rcParams is matplotlib.rcParams"
        assert other.run(f"print(array([1]) + x, {seen})") == "[2] True True\n"
        assert other.run("%who") == "x\t \n"
