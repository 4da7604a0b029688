"""ipywidgets in JupyterLab, whose kernel sleeps and wakes."""

import pytest
from playwright.sync_api import expect

from tests.browser.test_kernel_state import (
    RECORD_SENT,
    asks_for_widgets_anew,
    has_sent,
    notification,
)
from tests.browser.test_lab import PYTHON, is_reclaimed
from tests.support.lab_page import LabPage
from tests.support.machine import Machine

SLIDER = (
    "import ipywidgets as w; moves = []; s = w.IntSlider(1); "
    "s.observe(lambda change: moves.append(change.new), 'value'); s"
)


@pytest.mark.machine(idle=5, policy="hibernate")
def test_a_slider_that_is_moved_while_its_kernel_sleeps(machine: Machine, lab: LabPage) -> None:
    lab.new_notebook(PYTHON)
    output = lab.run(SLIDER)
    handle, readout = output.locator(".noUi-handle"), output.locator(".widget-readout")
    expect(readout).to_have_text("1")
    handle.press("ArrowRight")
    expect(lab.run("print(moves)")).to_contain_text("[2]")
    is_reclaimed(machine, lab)
    expect(lab.kernel_state).to_have_text("asleep")
    asks_for_widgets_anew(machine, lab)
    lab.shot("slider-asked-for")
    told = notification(lab, "The kernel of this widget sleeps")
    assert not told.count(), "nobody touched the widget"
    for _ in range(3):
        handle.press("ArrowRight")
    expect(readout).to_have_text("5")
    expect(told).to_be_visible()
    lab.shot("slider-asleep")
    assert not machine.kernel_processes(lab)
    expect(lab.run("print(s.value)")).to_contain_text("\n5")
    expect(readout).to_have_text("5")
    handle.press("ArrowRight")
    expect(lab.run("print(s.value)")).to_contain_text("6")
    expect(readout).to_have_text("6")
    lab.shot("slider-awake")
    is_reclaimed(machine, lab)
    lab.page.add_init_script(f"({RECORD_SENT})()")
    lab.reload()
    lab.has_kernel(PYTHON)
    # ipywidgets looks for a widget for 2 s after it was to be drawn, ten times a second, and says
    # "model not found" for good where it came after the last look. After 4 s it asks once more.
    has_sent(lab, "comm_info_request")
    expect(lab.run("print(s.value)")).to_contain_text("\n6")
    expect(readout).to_have_text("6")
    lab.shot("slider-reloaded")
