"""ipywidgets and comms in a kernel, touched in another one as by the front end that shows them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.unit.agent.snapshot.gateway import a_gateway
from tests.unit.agent.snapshot.test_attached import PATIENCE, Kernel, a_kernel

Message = dict[str, Any]


class Case(NamedTuple):
    """``code`` makes a widget ``x``; ``check`` holds after the ``touch`` of it by ``data``."""

    code: str
    touch: str
    data: Message
    check: str


def _set(**state: Any) -> Message:
    return {"method": "update", "state": state}


CLICK = {"method": "custom", "content": {"event": "click"}}
CASES = {
    "slider": Case(
        "x = w.IntSlider(value=3); x.observe(lambda c: seen.append(c.new), 'value')",
        "x",
        _set(value=7),
        "x.value == 7 and seen == [7]",
    ),
    "slider without a name": Case(
        "x = w.FloatText(1.0); x.observe(lambda c: seen.append(c.new), 'value')",
        "x",
        _set(value=2.5),
        "seen == [2.5]",
    ),
    "observer of a method": Case(
        "class A:\n  def __init__(s): s.notes = []; s.box = w.Checkbox(); s.box.observe(s.note)\n"
        "  def note(s, c): s.notes.append((c.name, c.new))\na = A(); x = a.box",
        "x",
        _set(value=True),
        "('value', True) in a.notes",
    ),
    "interact": Case(
        "def f(n, word='a'): seen.append((n, word))\n"
        "w.interact(f, n=(0, 10)); x = f.widget.children[0]; seen.clear()",
        "x",
        _set(value=9),
        "seen == [(9, 'a')]",
    ),
    "interactive with a button": Case(
        "v = w.interactive(lambda n: seen.append(n), {'manual': True}, n=3); x = v.manual_button",
        "x",
        CLICK,
        "seen == [3] and x.disabled is False",
    ),
    "box": Case(
        "y = w.Text('t'); x = w.HBox([y, w.VBox([w.Label('l')])], layout=w.Layout(width='50%'))",
        "y",
        _set(value="u"),
        "x.children[0] is y and y.value == 'u' and x.layout.width == '50%'",
    ),
    "tab": Case(
        "x = w.Tab([w.Output(), w.Text()], titles=('a', 'b'))",
        "x",
        _set(selected_index=1),
        "x.titles == ('a', 'b') and x.selected_index == 1",
    ),
    "button with a closure": Case(
        "def make(by):\n  n = 0\n  def click(_):\n    nonlocal n; n += by; seen.append(n)\n"
        "  return click\nx = w.Button(); x.on_click(make(5)); x.click(); seen.clear()",
        "x",
        CLICK,
        "seen == [10]",
    ),
    "submitted text": Case(
        "x = w.Text(); x.on_msg(lambda *a: seen.append(a[1]['event']))",
        "x",
        {"method": "custom", "content": {"event": "submit"}},
        "seen == ['submit']",
    ),
    "link": Case(
        "x, y = w.IntText(1), w.IntText(1); k = w.link((x, 'value'), (y, 'value'))",
        "x",
        _set(value=4),
        "y.value == 4; k.unlink(); x.value = 5; y.value == 4",
    ),
    "dlink with a transform": Case(
        "x, y = w.IntText(1), w.IntText(1); k = w.dlink((x, 'value'), (y, 'value'), lambda n: -n)",
        "x",
        _set(value=4),
        "y.value == -4",
    ),
    "jslink": Case(
        "x, y = w.IntText(1), w.IntText(2); k = w.jslink((x, 'value'), (y, 'value'))",
        "x",
        _set(value=4),
        "k.source == (x, 'value') and k.target[0] is y",
    ),
    "choice": Case(
        "x = w.Dropdown(options=[('one', [1]), ('two', [2])])\n"
        "x.observe(lambda c: seen.append(c.new), 'value')",
        "x",
        _set(index=1),
        "seen == [[2]] and x.label == 'two'",
    ),
    "output": Case(
        "x = w.Output(); y = w.Button(); y.on_click(x.capture()(lambda _: seen.append(x.msg_id)))",
        "y",
        CLICK,
        "len(seen) == 1 and seen[0] and x.msg_id == ''",
    ),
    "progress": Case("x = w.FloatProgress(value=.5)", "x", _set(description="d"), "x.value == .5"),
    "image": Case("x = w.Image(value=b'PNG')", "x", _set(width="3"), "x.value == b'PNG'"),
    "a class of the user's": Case(
        "import traitlets as t\nclass Mine(w.IntSlider):\n  extra = t.List().tag(sync=True)\n"
        "  @t.observe('value')\n  def _note(s, c): s.extra = [*s.extra, c.new]\n"
        "x = Mine(extra=[1])",
        "x",
        _set(value=7),
        "x.extra == [1, 7] and type(x) is Mine",
    ),
}
#: Of each case by its name: what its names stand for, and its widgets' ids.
BEGIN = """
import ipywidgets as w, json
seen, kept, ids = [], {}, {}
"""
KEEP = """
kept[name] = {n: globals().pop(n) for n in "axykv" if n in globals()}
ids[name] = {n: v.model_id for n, v in kept[name].items() if isinstance(v, w.Widget)}
if "without a name" in name: del kept[name]
"""


def touch(kernel: Kernel, comm_id: str, data: Message) -> list[Message]:
    """Say something as the front end; return the other side's messages to it."""
    message = kernel.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
    kernel.client.shell_channel.send(message)
    return said(kernel, message["header"]["msg_id"])


def said(kernel: Kernel, until_idle_of: str) -> list[Message]:
    found = []
    while True:
        got = kernel.client.get_iopub_msg(timeout=PATIENCE)
        parent = got["parent_header"].get("msg_id")
        if parent == until_idle_of and got["content"].get("execution_state") == "idle":
            return found
        if got["msg_type"].startswith("comm_"):
            found.append(got)


class Woken(NamedTuple):
    """The kernel after the wake, the widgets' ids by case and name, what it said of comms."""

    kernel: Kernel
    ids: dict[str, dict[str, str]]
    said: list[Message]


@pytest.fixture(scope="module")
def woken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Woken]:
    """A kernel with the widgets of all cases, and more that cannot be restored."""
    folder = tmp_path_factory.mktemp("widgets")
    with a_gateway() as gateway:
        with a_kernel(folder / "before") as kernel:
            kernel.run(BEGIN)
            for name, case in CASES.items():
                kernel.run(f"name = {name!r}\n{case.code}\n{KEEP}")
            ids = json.loads(kernel.run("print(json.dumps(ids))"))
            assert kernel.save(gateway)["lost"] == []
        with a_kernel(folder / "after") as kernel:
            answer = kernel.restore(gateway)
            assert answer["lost"] == []
            yield Woken(kernel, ids, said(kernel, kernel.client.kernel_info()))


@pytest.mark.parametrize("name", CASES)
def test_a_widget_works_on(woken: Woken, name: str) -> None:
    case, ids = CASES[name], woken.ids[name]
    woken.kernel.run(f"del seen[:]; globals().update(kept.get({name!r}, {{}}))")
    touch(woken.kernel, ids[case.touch], case.data)
    *before, check = case.check.split("; ")
    woken.kernel.run("\n".join([*before, f"assert {check}, (seen, x.get_state())"]))


def test_the_front_end_is_told_what_the_kernel_has(woken: Woken) -> None:
    slider = woken.ids["slider"]["x"]
    [told] = [one["content"]["data"] for one in woken.said if one["content"]["comm_id"] == slider]
    assert told["method"] == "update"
    assert told["state"]["value"] == 3
    assert {one["msg_type"] for one in woken.said} == {"comm_msg"}, "nothing opens, nothing closes"


def test_a_touch_is_echoed(woken: Woken) -> None:
    slider = woken.ids["slider"]["x"]
    answers = touch(woken.kernel, slider, _set(value=8))
    assert [one["content"]["data"]["method"] for one in answers] == ["echo_update"]


def test_what_is_lost_is_named_and_closed(tmp_path: Path) -> None:
    with a_gateway() as gateway:
        with a_kernel(tmp_path / "before") as kernel:
            kernel.run(
                "import ipywidgets as w, threading, comm\n"
                "lock = threading.Lock()\n"
                "def bad(_, lock=lock): pass\n"
                "named, whole = w.IntSlider(), w.IntSlider(5)\n"
                "named.observe(bad)\n"
                "_a = w.Text(); _a.observe(bad); ids = [_a.model_id, named.model_id]\n"
                "del _a\n"
                "c = comm.create_comm(target_name='mine'); c.on_msg(bad); ids.append(c.comm_id)\n"
                "good = comm.create_comm(target_name='mine'); heard = []\n"
                "good.on_msg(lambda m: heard.append(m['content']['data']))\n"
                "ids += [whole.model_id, good.comm_id]"
            )
            *gone, whole, good = json.loads(kernel.run("import json; print(json.dumps(ids))"))
            lost = {
                (one["name"], one["type"].split(".")[-1]) for one in kernel.save(gateway)["lost"]
            }
            assert lost == {
                ("lock", "lock"),
                ("bad", "function"),
                ("named", "IntSlider"),
                ("a widget", "Text"),
                ("c", "BaseComm"),
            }
        with a_kernel(tmp_path / "after") as kernel:
            assert "whole" in kernel.restore(gateway)["restored"]
            told = said(kernel, kernel.client.kernel_info())
            closed = {m["content"]["comm_id"] for m in told if m["msg_type"] == "comm_close"}
            assert closed == set(gone)
            touch(kernel, good, {"a": 1})
            assert kernel.run("good.send('b'); print(heard, whole.value)") == "[{'a': 1}] 5\n"
            comms = set(kernel.client.comm_info(reply=True, timeout=PATIENCE)["content"]["comms"])
            assert {whole, good} <= comms
            assert not comms & set(gone)


def test_a_kernel_that_is_restored_twice_closes_nothing(tmp_path: Path) -> None:
    with a_gateway() as gateway:
        with a_kernel(tmp_path / "before") as kernel:
            kernel.run("import ipywidgets as w\nx = w.IntSlider(3)\nprint(x.model_id)")
            kernel.save(gateway)
        with a_kernel(tmp_path / "after") as kernel:
            kernel.restore(gateway)
            assert kernel.restore(gateway)["lost"] == []
            slider = kernel.run("import gc; gc.collect(); print(x.model_id, end='')")
            told = said(kernel, kernel.client.kernel_info())
            assert not [one for one in told if one["msg_type"] == "comm_close"]
            touch(kernel, slider, _set(value=9))
            assert kernel.run("print(x.value)") == "9\n"
