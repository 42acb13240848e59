"""JupyterLab in Debian's chromium, as a learner has it: started by ``podium lab``, driven by mouse and keyboard."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, sync_playwright

from podium.waiting import wait_until

LIMIT = 90.0  # seconds for whatever a page is to show: a busy machine starts a kernel within them
AXE = Path(__file__).parent / "axe/node_modules/axe-core/axe.min.js"
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window. It asks nobody but the pages that it is given."""
    program = shutil.which("chromium")
    assert program, "chromium is not installed: `make browser` sees to it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def podium_lab(folder: Path, *options: str, **environment: str) -> Iterator[str]:
    """``podium lab`` in a folder, with more in its environment; yields the address that it prints."""
    log = folder / "lab.log"
    environment = os.environ | {"JUPYTER_CONFIG_DIR": str(folder / ".config")} | environment
    environment.pop("DISPLAY", None)
    with log.open("wb") as file:
        server = subprocess.Popen(
            [Path(sys.executable).with_name("podium"), "lab", *options], cwd=folder, env=environment,
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def address() -> str:
        assert server.poll() is None, log.read_text()
        found = re.search(r"http://127\.0\.0\.1:\S+token=\w+", log.read_text())
        return found[0] if found else ""

    try:
        yield wait_until(address, "podium lab to print its address", limit=180)
    finally:
        server.terminate()  # and with it every kernel
        server.wait(60)


def objections(target: Locator) -> list[tuple[str, str, list[str]]]:
    """What axe-core has against a part of a page: which rule, what it asks for, and the elements that break it."""
    assert AXE.exists(), "axe-core is not there: `make browser` fetches it"
    if not target.page.evaluate("'axe' in window"):
        target.page.evaluate(AXE.read_text())
    found = target.evaluate("el => axe.run(el, {resultTypes: ['violations']})")["violations"]
    return [(each["id"], each["help"], [node["html"][:300] for node in each["nodes"]]) for each in found]


class Lab:
    """One page of JupyterLab.

    Args:
        page: The browser's page.
        address: JupyterLab's, with its token.
        folder: Where the server was started.
    """

    def __init__(self, page: Page, address: str, folder: Path) -> None:
        self.page, self.folder = page, folder
        page.set_default_timeout(1000 * LIMIT)
        page.goto(address)
        page.locator(".jp-DirListing-content").wait_for()

    def menu(self, *names: str) -> None:
        """Choose an entry of a menu."""
        for name in names:
            label = self.page.locator(".lm-MenuBar-itemLabel, .lm-Menu-itemLabel")
            label.filter(has_text=re.compile(f"^{name}$")).click()

    def run(self, name: str, *cells: str) -> Locator:
        """Write a notebook with these cells, open it and run it whole; return its panel."""
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        code = [
            {"cell_type": "code", "id": f"cell-{number}", "source": cell, "metadata": {}, "outputs": [],
             "execution_count": None}
            for number, cell in enumerate(cells)
        ]  # fmt: skip
        notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": code}
        (self.folder / f"{name}.ipynb").write_text(json.dumps(notebook))
        self.open(f"{name}.ipynb")
        self.menu("Run", "Run All Cells")
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    def open(self, file: str) -> None:
        """Open a notebook of this folder, and wait for its kernel."""
        self.page.get_by_role("button", name="Refresh the file browser").first.click()
        self.page.locator(".jp-DirListing-item", has_text=file).dblclick()
        self.page.locator(".lm-TabBar-tab.lm-mod-current", has_text=file).wait_for()
        self.page.locator("#jp-main-statusbar", has_text=re.compile(r"\| Idle")).wait_for()

    def save(self) -> None:
        """Save the notebook."""
        self.menu("File", "Save Notebook")
        self.page.locator(".lm-TabBar-tab.lm-mod-current:not(.jp-mod-dirty)").first.wait_for()

    def close(self) -> None:
        """Save and close the notebook. Its kernel runs on, as is JupyterLab's habit."""
        self.save()
        tab = self.page.locator(
            f"#{self.page.locator('.lm-DockPanel .lm-TabBar-tab.lm-mod-current').get_attribute('id')}"
        )
        self.menu("File", "Close Tab")
        tab.wait_for(state="detached")
