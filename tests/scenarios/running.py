"""What any notebook does with its kernel."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

from tests.scenarios.world import World
from tests.support.jupyter_tab import Message, NotebookServer, Tab

# A small but whole PNG: one transparent pixel.
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5Erk"
    "Jggg=="
)
SLEEP = "import time\nprint('go', flush=True)\ntime.sleep(600)"


def runs_keeps_its_state_and_shows_rich_output(tab: Tab) -> None:
    """What the first notebook of everybody does."""
    assert tab.run("x = 41", within=60).reply["status"] == "ok"
    assert tab.run("x + 1").result == "42"
    shows_a_picture(tab)
    carries_binary_buffers_both_ways(tab)
    assert not {"restarting", "dead"} & set(tab.statuses())


def shows_a_picture(tab: Tab) -> None:
    cell = tab.run(
        f"import base64, IPython.display as d\nd.display(d.Image(base64.b64decode('{PNG}')))"
    )
    [picture] = cell.messages("display_data")
    assert picture["content"]["data"]["image/png"].strip() == PNG


def carries_binary_buffers_both_ways(tab: Tab) -> None:
    """What a widget does: the stock gateway client dies of either direction."""
    cell = tab.run(
        "from comm import create_comm\n"
        "c = create_comm(target_name='t', data={'n': 1}, buffers=[bytes(range(256)), b''])\n"
        "c.on_msg(lambda m: c.send({'n': 2}, buffers=[bytes(b)[::-1] for b in m['buffers']]))"
    )
    [opened] = cell.messages("comm_open")
    assert [bytes(b) for b in opened["buffers"]] == [bytes(range(256)), b""]

    message = tab.client.session.msg(
        "comm_msg", {"comm_id": opened["content"]["comm_id"], "data": {}}
    )
    message["buffers"] = [bytes(range(256))]
    tab.client.shell_channel.send(message)

    def answers() -> list[Message]:
        return [m for _, _, m in tab.inbox if m["header"]["msg_type"] == "comm_msg"]

    tab.until(answers, within=10, what="the comm's answer")
    [answer] = answers()
    assert [bytes(b) for b in answer["buffers"]] == [bytes(range(256))[::-1]]


def opens_a_file_beside_its_notebook(server: NotebookServer, home: str) -> None:
    """``home`` is where the kernel sees the notebook server's files."""
    folder = f"work-{uuid.uuid4().hex[:6]}"
    server.request("PUT", f"contents/{folder}", type="directory")
    server.request(
        "PUT", f"contents/{folder}/data.csv", type="file", format="text", content="a,b\n1,2\n"
    )
    with server.notebook(folder=folder) as tab:
        assert tab.run("print(open('data.csv').read())", within=60).stdout == "a,b\n1,2\n\n"
        tab.run("open('made.txt', 'w').write('by the kernel')")
        made = server.request("GET", f"contents/{folder}/made.txt")
        assert made["content"] == "by the kernel"
        assert tab.run("import os; print(os.getcwd())").stdout == f"{home}/{folder}\n"


def is_shown_with_its_logo(server: NotebookServer, kernel: str) -> None:
    """What the launcher asks for, which has a letter instead where there is no logo."""
    model = server.request("GET", "kernelspecs")["kernelspecs"][kernel]
    assert model["spec"]["metadata"]["debugger"] is True, "else JupyterLab greys its button out"
    logo = server.file(model["resources"]["logo-svg"])
    assert logo.headers["Content-Type"] == "image/svg+xml"
    assert logo.content == files("ipykernel.resources").joinpath("logo-svg.svg").read_bytes()


def answers_a_debugger(tab: Tab) -> None:
    """What JupyterLab asks when a notebook is opened."""
    content = {"type": "request", "seq": 1, "command": "debugInfo", "arguments": {}}
    message = tab.client.session.msg("debug_request", content)
    tab.client.control_channel.send(message)

    def answers() -> list[tuple[str, Message]]:
        return [
            (channel, message["content"])
            for _, channel, message in tab.inbox
            if message["header"]["msg_type"] == "debug_reply"
        ]

    tab.until(answers, within=30, what="the debugger's answer")
    [(channel, answer)] = answers()
    assert (channel, answer["success"], answer["body"]["isStarted"]) == ("control", True, False)


def finds_itself_in_its_environment(world: World, tab: Tab, folder: str) -> None:
    """What the reference says of a kernel's environment, for one whose notebook is in a folder."""
    want = {
        "KERNEL_ID": tab.kernel_id,
        "KERNEL_USERNAME": world.user,
        "KERNEL_NAMESPACE": world.namespace,
        "KERNEL_WORKING_DIR": f"{world.home}/{folder}",
        "JPY_PARENT_PID": "1",
        "ELASTIC_JUPYTER_CONNECTION": None,
        "ELASTIC_JUPYTER_CALL_HOME": None,
        "JUPYTER_GATEWAY_AUTH_TOKEN": None,
    }
    names = f"{{name: os.environ.get(name) for name in {[*want]}}}"
    cell = tab.run(f"import json, os\nprint(json.dumps({names}))", within=60)
    assert json.loads(cell.stdout) == want


class Running:
    """A kernel that is there and stays."""

    def test_a_notebook_runs_keeps_its_state_and_shows_rich_output(self, patient: World) -> None:
        with patient.server.notebook() as tab:
            runs_keeps_its_state_and_shows_rich_output(tab)

    def test_the_launcher_shows_its_logo_and_a_debugger_its_answer(self, patient: World) -> None:
        is_shown_with_its_logo(patient.server, "python3")
        with patient.server.notebook() as tab:
            answers_a_debugger(tab)

    def test_kernels_that_start_at_once_find_themselves_in_their_environments(
        self, patient: World
    ) -> None:
        server = patient.server
        folders = [f"folder-{uuid.uuid4().hex[:6]}" for _ in range(4)]
        for folder in folders:
            server.request("PUT", f"contents/{folder}", type="directory")
        with ThreadPoolExecutor(len(folders)) as pool:
            tabs = list(pool.map(lambda folder: server.open(folder=folder), folders))
        try:
            for tab, folder in zip(tabs, folders, strict=True):
                finds_itself_in_its_environment(patient, tab, folder)
        finally:
            for tab in tabs:
                tab.close()
                tab.shutdown()

    def test_interrupt_stops_a_cell_and_keeps_the_variables(self, patient: World) -> None:
        with patient.server.notebook() as tab:
            tab.run("x = 1", within=60)
            cell = tab.start(SLEEP)
            cell.until(lambda cell: cell.stdout == "go\n", within=10, what="the cell's first line")
            tab.interrupt()
            cell.wait(within=30)
            assert cell.reply["ename"] == "KeyboardInterrupt"
            assert tab.run("x").result == "1"

    def test_restart_gives_an_empty_kernel_under_the_same_id(self, patient: World) -> None:
        with patient.server.notebook() as tab:
            tab.run("x = 1", within=60)
            tab.restart()
            tab.reconnect()
            cell = tab.run("'x' in dir()", within=30)
            assert cell.result == "False", tab.transcript()
            assert cell.reply["execution_count"] == 1
            patient.runs(tab)
            assert tab.kernel_id in patient.server.kernel_ids()

    def test_a_restart_ends_the_cell_that_runs_with_a_word_on_it(self, patient: World) -> None:
        with patient.server.notebook() as tab:
            cell = tab.start(SLEEP)
            cell.until(lambda cell: cell.stdout == "go\n", within=60, what="the cell's first line")
            tab.restart()
            assert cell.wait(within=10).reply["ename"] == "KernelRestarted"
            assert tab.run("6 * 7", within=30).result == "42"

    def test_tabs_on_one_kernel_share_its_variables_and_see_what_it_says(
        self, patient: World
    ) -> None:
        with patient.server.notebook() as first:
            second = patient.server.attach(first.session)
            first.run("x = 41", within=60)
            cell = second.run("print('hello')\nx + 1")
            assert cell.result == "42"
            mirrored = first.cell(cell.message_id)
            mirrored.until(lambda cell: cell.idle_at, within=10, what="the other tab's cell")
            assert (mirrored.stdout, mirrored.result) == ("hello\n", "42")
            assert mirrored.replied_at is None, "a reply is for whoever asked"
            second.close()
            assert first.run("x").result == "41", "the kernel stays with the other tab"

    def test_shutdown_leaves_nothing_of_the_kernel(self, patient: World) -> None:
        tab = patient.server.open()
        tab.run("1", within=60)
        assert patient.left_of(tab)
        tab.close()
        tab.shutdown()
        patient.reclaimed(tab, within=30)
        assert tab.kernel_id not in patient.server.kernel_ids()
