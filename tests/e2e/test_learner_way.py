"""The learner's way in a browser, from the address to a lesson, in a small window and by keyboard alone.

Screenshots are left in ``build/screenshots``, for a person to look at.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from podium.jupyter import START_PAGE
from tests.browser import LIMIT, chromium, podium_lab

pytestmark = [pytest.mark.all, pytest.mark.bundle]
expect.set_options(timeout=1000 * LIMIT)

REPOSITORY = Path(__file__).parents[2]
SHOTS = REPOSITORY / "build/screenshots"
NAME = "learner-test"


class Learner:
    """One page of JupyterLab, and a learner before it.

    Args:
        page: The browser's page.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        page.set_default_timeout(1000 * LIMIT)

    @property
    def notebook(self) -> Locator:
        """The notebook that is seen."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    @property
    def state(self) -> Locator:
        """The cluster's state, in the status bar."""
        return self.page.get_by_role("button", name=re.compile("^Cluster "))

    def shoot(self, name: str) -> None:
        """Leave a screenshot."""
        self.page.screenshot(path=SHOTS / f"{name}.png")

    def command(self, label: str) -> None:
        """Choose a command from the palette, by keyboard."""
        self.page.keyboard.press("Control+Shift+c")
        self.page.locator(".lm-CommandPalette-input").wait_for()
        self.page.keyboard.insert_text(label)
        self.page.locator(".lm-CommandPalette-item.lm-mod-active").wait_for()
        self.page.keyboard.press("Enter")

    def tab_to(self, target: Locator) -> None:
        """Press the tab key until the target has the focus."""
        for _ in range(200):
            if target.evaluate("target => target === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        pytest.fail(f"the tab key does not reach {target}")

    def wait_for_kernel(self, name: str) -> None:
        """Wait until the kernel of a notebook that is seen can be given work: the status bar says so."""
        expect(self.page.locator("#jp-main-statusbar")).to_have_text(re.compile(rf"\| Idle.*{name}", re.DOTALL))


@pytest.fixture
def learner(tmp_path: Path) -> Iterator[Learner]:
    """A learner who has just opened the address."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    shutil.copytree(REPOSITORY / "course", tmp_path / "course")
    own = {"PODIUM_CLUSTER": NAME, "PODIUM_BACKEND": "embedded", "PODIUM_STATE": str(tmp_path / "state")}
    with podium_lab(tmp_path, **own) as address, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.goto(address)
        yield Learner(page)


def test_the_start_page_leads_to_the_lesson_by_keyboard_alone(learner: Learner) -> None:
    page = learner.page
    learner.notebook.get_by_role("heading", name="Podium: start here").wait_for()
    learner.shoot("1-arrival")
    expect(learner.state).to_have_text(re.compile("running, 2 nodes"), timeout=180_000)
    learner.wait_for_kernel(START_PAGE)
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    expect(learner.notebook.locator(".podium-start")).to_contain_text("Your cluster runs, with 2 nodes")
    learner.shoot("2-start-page")

    learner.command("Cluster: State")
    popup = page.get_by_role("dialog", name="The cluster")
    expect(popup).to_contain_text(f"{NAME}: running, 2 nodes")
    expect(popup.get_by_role("button", name="Reset")).to_be_focused()
    learner.shoot("3-cluster")
    page.keyboard.press("Escape")
    expect(popup).to_be_hidden()
    learner.tab_to(learner.state)

    learner.notebook.locator(".jp-Notebook").focus()
    learner.tab_to(learner.notebook.get_by_role("link", name="05 · How a Pod is created"))
    page.keyboard.press("Enter")
    expect(learner.notebook.get_by_role("heading", name="05 · How a Pod is created")).to_be_visible()
