"""A real browser before JupyterLab of ``elastic-jupyter up``: what a user sees.

Pictures of it are kept in ``artifacts/browser``, of a failed test those of all its pages.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.chromium import chromium
from tests.support.jupyter_tab import NotebookServer
from tests.support.lab_page import LabPage
from tests.support.machine import Machine, a_machine

PAGES = pytest.StashKey[list[LabPage]]()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for one file."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    """A machine of the test's own that runs; its marker ``machine`` has the options."""
    marker = request.node.get_closest_marker("machine")
    with a_machine(tmp_path / "one", leases=tmp_path / "leases", **marker.kwargs) as machine:
        _keep_quiet(machine.root / "home" / ".jupyter")
        yield machine.up()


@pytest.fixture
def server(machine: Machine) -> NotebookServer:
    """The machine's notebook server, as the browser reaches it."""
    return machine.server


@pytest.fixture
def new_page(
    request: pytest.FixtureRequest, browser: Browser, server: NotebookServer
) -> Iterator[Callable[[], LabPage]]:
    """Open pages of JupyterLab; when the test ends, none may have asked its user anything."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    pages = request.node.stash[PAGES] = []

    def make() -> LabPage:
        lab = LabPage(context.new_page(), server)
        pages.append(lab)
        lab.open()
        return lab

    yield make
    dialogs = [lab.dialogs for lab in pages]
    context.close()
    assert not any(dialogs), f"JupyterLab asked something: {dialogs}"


@pytest.fixture
def lab(new_page: Callable[[], LabPage]) -> LabPage:
    """One page of JupyterLab."""
    return new_page()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """Keep pictures of what failed, and add what pages and machine have said to the report."""
    report = yield
    if report.failed and report.when == "call":
        for number, lab in enumerate(item.stash.get(PAGES, []), 1):
            lab.shot(f"failed-{item.name}-{number}")
            report.sections.append((f"page {number}", lab.transcript()))
    machine = item.funcargs.get("machine") if isinstance(item, pytest.Function) else None
    if report.failed and machine is not None:
        report.sections.append(("machine", machine.said + machine.logs()))
    return report


def _keep_quiet(config: Path) -> None:
    """Have JupyterLab not ask for news, nor look for them, nor ask for a name at the first save."""
    settings = {
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "docmanager-extension/plugin": {"renameUntitledFileOnSave": False},
    }
    for plugin, values in settings.items():
        file = config / "lab" / "user-settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(values))
