"""A JupyterLab page in a browser, used with keyboard and mouse as a user does."""

import re
import time
from collections import deque
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Locator, Page, WebSocket, expect

from tests.support.jupyter_tab import NotebookServer

_SHOTS = Path(__file__).parents[2] / "artifacts" / "browser"
#: What a user would have to click away, recorded as it appears.
_RECORD_DIALOGS = """
window.dialogs = [];
new MutationObserver(() => {
  for (const dialog of document.querySelectorAll('.jp-Dialog:not([data-seen])')) {
    dialog.dataset.seen = '';
    window.dialogs.push(dialog.innerText);
  }
}).observe(document, {childList: true, subtree: true});
"""
#: What JupyterLab asks where there is no server; its title comes later than its text.
_NO_SERVER = "A connection to the Jupyter server could not be established."
#: What is noted of a message between page and kernel.
_TOLD = re.compile(r'"(?:msg_type|execution_state|method|phase|comm_id)": ?"([\w-]+)"')
#: How many of them, and how much is read of one in search of it.
_NOTES, _READ = 300, 4000


class LabPage:
    """One page of JupyterLab; pictures of it are kept in ``artifacts/browser``."""

    def __init__(self, page: Page, server: NotebookServer) -> None:
        self.page = page
        self.notebook = page.locator(".jp-NotebookPanel:visible")
        self._current_tab = page.locator("#jp-main-dock-panel .lm-TabBar-tab.lm-mod-current")
        self._server = server
        self._expected: tuple[str, ...] = ()
        self._notes: deque[str] = deque(maxlen=_NOTES)
        page.on("websocket", self._follow)
        page.on("console", self._note_error)
        page.add_init_script(_RECORD_DIALOGS)

    def open(self) -> None:
        """Follow the address that ``up`` prints."""
        self.page.goto(f"{self._server.url}/lab?token={self._server.token}")
        expect(self.page.locator(".jp-LauncherCard").first).to_be_visible()

    def open_notebook(self, file: str) -> None:
        """Open a notebook by its address, on a server that needs no token, or had it."""
        self.page.goto(f"{self._server.url}/lab/tree/{file}")
        expect(self.notebook.locator(".jp-Cell").first).to_be_visible()

    def new_notebook(self, kernel: str) -> None:
        """Click the launcher's card with this name, and wait until the notebook can be used."""
        if not self.page.locator(".jp-Launcher:visible").count():
            self.page.get_by_title("New Launcher", exact=True).click()
        name = re.compile(rf"^{re.escape(kernel)}$")
        cards = self.page.locator('.jp-Launcher:visible .jp-LauncherCard[data-category="Notebook"]')
        cards.filter(has=self.page.get_by_text(name)).click()
        expect(self.notebook.locator(".jp-Cell")).to_have_count(1)
        self.has_kernel(kernel)

    def has_kernel(self, kernel: str) -> None:
        """Wait until the notebook has a kernel; a cell that is run before is dropped in silence."""
        toolbar = self.notebook.locator(".jp-Toolbar").first
        expect(toolbar.locator(".jp-Toolbar-kernelName")).to_have_text(kernel)
        self.has_status("idle", "starting")

    def has_status(self, *any_of: str) -> None:
        """Wait until the notebook's own indicator says that its kernel is in one of these states.

        The status bar may still tell of the notebook that was seen before.
        """
        indicator = self.notebook.locator(".jp-Notebook-ExecutionIndicator")
        expect(indicator).to_have_attribute("data-status", re.compile(rf"^({'|'.join(any_of)})$"))

    def run(self, code: str) -> Locator:
        """Type code into the last cell, press Shift-Enter, and return where its output appears."""
        cells = self.notebook.locator(".jp-Cell")
        number = cells.count()
        cell = cells.nth(number - 1)
        cell.locator(".cm-content").click()
        self.page.keyboard.insert_text(code)
        self.page.keyboard.press("Shift+Enter")
        expect(cells).to_have_count(number + 1)
        return cell.locator(".jp-Cell-outputArea")

    def show(self, notebook: str) -> None:
        """Click the tab of an open notebook, by the name of its file."""
        self.page.locator("#jp-main-dock-panel .lm-TabBar-tab", has_text=notebook).click()
        name = re.compile(rf"^\s*{re.escape(notebook)}\s*$")
        expect(self._current_tab).to_have_text(name)

    def stop(self) -> None:
        """Press the stop button of the notebook."""
        self._press("notebook:interrupt-kernel")

    def reload(self) -> None:
        """Save the notebook, and load the page anew."""
        self.save()
        self.page.reload()

    def save(self) -> None:
        """Press the save button of the notebook, and wait until it is saved."""
        with self.page.expect_response(lambda seen: seen.request.method == "PUT" and seen.ok):
            self._press("docmanager:save")

    def _press(self, command: str) -> None:
        self.notebook.locator(f'.jp-Toolbar [data-command="{command}"]').click()

    def use_theme(self, name: str) -> None:
        """Choose a theme in the menu, and wait until the page has it."""
        for item in ("Settings", "Theme", name):
            self.page.locator(".lm-MenuBar-itemLabel, .lm-Menu-itemLabel").get_by_text(
                item, exact=True
            ).click()
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-name", name)
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0)

    def may_ask(self, title: str) -> Locator:
        """Return the dialog with this title, which is no mistake."""
        self._expected += (title,)
        return self.page.locator(".jp-Dialog", has_text=title)

    def may_lose_server(self) -> None:
        """Click away what JupyterLab says where there is no server, which is then no mistake."""
        said = self.page.locator(".jp-Dialog", has_text=_NO_SERVER)
        self._expected += (_NO_SERVER,)
        self.page.add_locator_handler(said, lambda: said.get_by_role("button").last.click())

    @property
    def kernel_state(self) -> Locator:
        """What our extension says of the kernel in the toolbar of the notebook that is seen."""
        return self.notebook.locator(".jp-Toolbar .jp-ElasticState")

    @property
    def kernel_in_status_bar(self) -> Locator:
        """What it says there of the kernel of the notebook that is in front."""
        return self.page.locator("#jp-main-statusbar .jp-ElasticState")

    def is_asleep(self) -> None:
        """Wait until toolbar and status bar say that the kernel sleeps."""
        expect(self.kernel_state).to_have_text("asleep")
        expect(self.kernel_in_status_bar).to_have_text("Kernel: asleep")

    @property
    def kernel_id(self) -> str:
        """The kernel of the notebook that is seen."""
        title = self._current_tab.inner_text()
        [session] = [
            session
            for session in self._server.request("GET", "sessions")
            if session["path"] == title.strip()
        ]
        kernel_id: str = session["kernel"]["id"]
        return kernel_id

    @property
    def dialogs(self) -> list[str]:
        """The texts of all dialogs that nobody expected since the page was loaded."""
        found: list[str] = self.page.evaluate("window.dialogs")
        return [text for text in found if not text.startswith(self._expected)]

    def transcript(self) -> str:
        """What page and kernel have said to each other of late, and the page's errors."""
        return "\n".join(self._notes)

    def _follow(self, socket: WebSocket) -> None:
        if "/channels" in socket.url:
            socket.on("framesent", lambda frame: self._note_message(">", frame))
            socket.on("framereceived", lambda frame: self._note_message("<", frame))

    def _note_message(self, way: str, frame: str | bytes) -> None:
        head = frame[:_READ]
        text = head if isinstance(head, str) else head.decode(errors="replace")
        self._note(f"{way} {' '.join(_TOLD.findall(text))}")

    def _note_error(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._note(f"! {message.text[:_READ]}")

    def _note(self, text: str) -> None:
        self._notes.append(f"{time.monotonic():.2f} {text}")

    def shot(self, name: str) -> None:
        """Keep a picture of what the user sees."""
        _SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=_SHOTS / f"{name}.png")
