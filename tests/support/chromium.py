"""Debian's Chromium, without a screen."""

import contextlib
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

#: Within it a kernel starts and JupyterLab loads, on a busy machine, too.
expect.set_options(timeout=60_000)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start one, or say that the test is skipped.

    Not for longer than a file: while it is open this thread has an event loop, and other tests can
    run none of theirs.
    """
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no browser: chromium is not installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            # Root has no sandbox; the browser opens nothing but our own pages.
            args=["--no-sandbox", "--disable-dev-shm-usage"],
        )
        yield browser
        browser.close()
