"""What our extension of JupyterLab shows of a kernel, and its buttons."""

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.support.lab_page import LabPage
from tests.support.machine import Machine

PYTHON = "Python 3 (ipykernel)"
GPU = "Python 3 (ipykernel) (GPU)"
SLIDER = "import ipywidgets\ndisplay(ipywidgets.IntSlider())"
STATE = "kept = 41\nrunning = (n for n in range(3))\nnext(running)"
COUNTDOWN = re.compile(r"^sleeps in 0:\d\d$")
#: The texts that an element has from now on, kept in ``window.texts``.
RECORD_TEXTS = """element => {
  window.texts = [element.textContent];
  new MutationObserver(() => window.texts.push(element.textContent))
    .observe(element, {childList: true, characterData: true, subtree: true});
}"""
#: ``window.sent``: what the page has sent since then.
RECORD_SENT = """() => {
  const send = WebSocket.prototype.send;
  window.sent = '';
  WebSocket.prototype.send = function (frame) {
    window.sent += typeof frame === 'string' ? frame : new TextDecoder().decode(frame);
    return send.call(this, frame);
  };
}"""


@pytest.mark.machine(idle=10, policy="hibernate")
def test_a_kernels_sleep_is_seen_and_steered_from_its_notebook(
    machine: Machine, lab: LabPage
) -> None:
    lab.new_notebook(GPU)
    slider = lab.run(SLIDER).locator(".noUi-handle")
    expect(slider).to_be_visible()
    lab.run(STATE)
    expect(lab.kernel_state).to_have_text(COUNTDOWN)
    lab.kernel_state.evaluate(RECORD_TEXTS)
    lab.shot("countdown-light")

    expect(lab.kernel_state).to_have_text("asleep")
    texts = lab.page.evaluate("window.texts")
    assert len({text for text in texts if COUNTDOWN.match(text)}) > 2, f"not counted: {texts}"
    expect(lab.kernel_in_status_bar).to_have_text("Kernel: asleep")
    expect(button(lab, "Keep")).to_be_disabled()
    expect(button(lab, "Release GPU now")).to_be_disabled()
    touched = notification(lab, "The kernel of this widget sleeps")
    asks_for_widgets_anew(machine, lab)
    lab.shot("asked-for-widgets")
    assert not touched.count(), "nobody touched the widget"
    slider.press("ArrowRight")
    expect(touched).to_be_visible()
    lab.shot("asleep-light")
    lab.use_theme("JupyterLab Dark")
    lab.shot("asleep-dark")

    expect(lab.run("kept + 1")).to_contain_text("42")
    expect(notification(lab, "1 variable did not come back")).to_be_visible()
    button(lab, "Keep").press("Enter")
    expect(lab.kernel_state).to_have_text("running")
    expect(notification(lab, "kept longer")).to_be_visible()
    lost = lab.may_ask("1 variable did not come back")
    button(lab, "not restored").press("Enter")
    expect(lost.get_by_role("row").last).to_contain_text("runninggenerator")
    lab.shot("not-restored-dark")
    lab.page.keyboard.press("Escape")
    expect(lost).to_have_count(0)

    lab.new_notebook(GPU)
    turn = lab.run("print('my turn')")
    expect(lab.kernel_state).to_have_text("waiting 1st of 1")
    expect(lab.kernel_in_status_bar).to_have_text("Kernel: waiting 1st of 1")
    lab.shot("waiting-dark")
    lab.show("Untitled.ipynb")
    button(lab, "Release GPU now").press("Enter")
    expect(lab.kernel_state).to_have_text("asleep")
    lab.show("Untitled1.ipynb")
    expect(turn).to_contain_text("my turn")
    expect(lab.kernel_state).to_have_text(COUNTDOWN)
    lab.use_theme("JupyterLab Light")
    lab.shot("released-light")


def asks_for_widgets_anew(machine: Machine, lab: LabPage) -> None:
    """Have the page lose its server, and wait until it asks for the states of its widgets again."""
    lab.may_lose_server()
    lab.page.evaluate(RECORD_SENT)
    machine.replace_notebook_server()
    has_sent(lab, "request_state")


def has_sent(lab: LabPage, text: str) -> None:
    """Wait until the page has sent this, since ``RECORD_SENT`` began."""
    lab.page.wait_for_function("text => window.sent.includes(text)", arg=text, timeout=60_000)


def button(lab: LabPage, name: str) -> Locator:
    return lab.notebook.locator(".jp-Toolbar").get_by_role("button", name=name)


def notification(lab: LabPage, text: str) -> Locator:
    return lab.page.locator(".Toastify__toast", has_text=text)
