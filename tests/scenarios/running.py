"""What any notebook does with its kernel."""

from tests.scenarios.world import World
from tests.support.jupyter_tab import Message, Tab

# A small but whole PNG: one transparent pixel.
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5Erk"
    "Jggg=="
)
COUNT = "import time\nprint('on', flush=True)\ntime.sleep(600)"


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


class Running:
    """A kernel that is there and stays."""

    def test_a_notebook_runs_keeps_its_state_and_shows_rich_output(self, patient: World) -> None:
        with patient.server.notebook() as tab:
            runs_keeps_its_state_and_shows_rich_output(tab)
