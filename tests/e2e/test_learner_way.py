"""The learner's whole way in a browser, from the address to the file that is handed in; then the instructor's.

Screenshots are left in ``build/screenshots``, for a person to look at.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, Page, expect

from podium.jupyter import CONFIG, START_PAGE
from tests.browser import LIMIT, chromium, objections, podium_lab

pytestmark = [pytest.mark.all, pytest.mark.bundle]
expect.set_options(timeout=1000 * LIMIT)

REPOSITORY = Path(__file__).parents[2]
SHOTS = REPOSITORY / "build/screenshots"
NAME = "learner-test"
LESSON, LAB = "05-how-a-pod-is-created", "02-first-pod"
LONG = 900  # seconds for a lesson, and for a command of nbgrader
WRONG = """apiVersion: v1
kind: Pod
metadata: {name: web}
spec: {containers: [{name: nginx, image: podium.test/nginx:1.26}]}
"""
RIGHT = WRONG.replace("{name: web}", "{name: web, labels: {app: web}}")
ANSWER = """The *scheduler*, of course. [Look](javascript:document.title='caught'),
<script>document.title='caught'</script><img src=x onerror="document.title='caught'">"""


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

    def run(self, number: int, text: str = "") -> Locator:
        """Run a cell, with another text if one is given, wait until it has ended, and return the cell."""
        cell = self.notebook.locator(".jp-Notebook-cell").nth(number)
        prompt = cell.locator(".jp-InputPrompt")
        before = prompt.inner_text().strip()
        prompt.click()
        if text:
            self.page.keyboard.press("Enter")
            self.page.keyboard.press("Control+a")
            self.page.keyboard.insert_text(text)
        self.page.keyboard.press("Control+Enter")
        if before:  # a code cell: its number rises
            expect(prompt).to_have_text(re.compile(rf"^(?!{re.escape(before)})\[\d+\]:$"))
        return cell


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instructor's folder, and in it the learner's: the lessons, and a lab as it is handed out."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    folder = tmp_path_factory.mktemp("course")
    shutil.copytree(REPOSITORY / "labs/source" / LAB, folder / "source" / LAB)
    shutil.copy(REPOSITORY / "labs/nbgrader_config.py", folder)
    nbgrader(folder, "generate_assignment", LAB)
    shutil.copytree(folder / "release", folder / "learner/labs/release")
    shutil.copytree(REPOSITORY / "course", folder / "learner/course", ignore=shutil.ignore_patterns("instructor"))
    return folder


def own(folder: Path) -> dict[str, str]:
    """What makes the cluster, and what is known of progress, this test's own."""
    return {"PODIUM_CLUSTER": NAME, "PODIUM_BACKEND": "embedded", "PODIUM_STATE": str(folder / "state")}


def nbgrader(folder: Path, *arguments: str | Path) -> str:
    """What is said to whoever types this command of nbgrader in a terminal of JupyterLab."""
    environment = os.environ | own(folder) | {
        "JUPYTER_CONFIG_DIR": str(folder / ".config"), "JUPYTER_CONFIG_PATH": str(CONFIG),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments], cwd=folder, env=environment, capture_output=True, text=True,
        timeout=LONG, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def learner(course: Path) -> Iterator[Learner]:
    """A learner who has just opened the address, in a small window, on a server that takes itself for one of Binder."""
    binder = {"BINDER_REPO_URL": "https://github.com/OWNER/podium"}
    with podium_lab(course / "learner", **own(course), **binder) as address, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.goto(address)
        yield Learner(page)


def test_the_whole_way(learner: Learner, course: Path) -> None:
    reach_the_lesson_by_keyboard_alone(learner)
    run_the_lesson_and_stop_the_scheduler(learner)
    check_mend_and_hand_in_a_lab(learner, course)
    validate_as_the_grader_would(course)
    collect_grade_and_give_feedback(learner, course)


def reach_the_lesson_by_keyboard_alone(learner: Learner) -> None:
    page = learner.page
    learner.notebook.get_by_role("heading", name="Podium: start here").wait_for()
    learner.shoot("1-arrival")
    expect(learner.state).to_have_text(re.compile("running, 2 nodes"), timeout=180_000)
    learner.wait_for_kernel(START_PAGE)
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    expect(learner.notebook.locator(".podium-start")).to_contain_text("Your cluster runs, with 2 nodes")
    learner.shoot("2-start-page")
    assert not objections(learner.notebook.locator(".podium-start"))

    learner.command("Cluster: State")
    popup = page.get_by_role("dialog", name="The cluster")
    expect(popup).to_contain_text(f"{NAME}: running, 2 nodes")
    expect(popup.get_by_role("button", name="Reset")).to_be_focused()
    learner.shoot("3-cluster")
    assert not objections(popup)
    assert not objections(learner.state)
    page.keyboard.press("Escape")
    expect(popup).to_be_hidden()
    learner.tab_to(learner.state)

    learner.notebook.locator(".jp-Notebook").focus()
    learner.tab_to(learner.notebook.get_by_role("link", name="05 · How a Pod is created"))
    page.keyboard.press("Enter")
    expect(learner.notebook.get_by_role("heading", name="05 · How a Pod is created")).to_be_visible()


def run_the_lesson_and_stop_the_scheduler(learner: Learner) -> None:
    page, cells = learner.page, learner.notebook.locator(".jp-Notebook-cell")
    learner.wait_for_kernel(LESSON)
    learner.command("Run All Cells")
    ended = learner.notebook.locator(".jp-OutputArea-output", has_text="No Pod of this lesson is left")
    expect(ended).to_have_count(1, timeout=1000 * LONG)
    expect(learner.notebook.locator("[data-mime-type='application/vnd.jupyter.stderr']")).to_have_count(0)
    heading = learner.notebook.get_by_role("heading", name="And what no request shows")
    heading.evaluate("heading => heading.scrollIntoView()")
    learner.shoot("4-lesson")

    last = cells.count()
    for _ in range(2):
        cells.last.locator(".jp-InputPrompt").click()
        page.keyboard.press("b")
    picture = learner.run(last, "import podium.widgets\n\npodium.widgets.Map()").get_by_role("region", name="Map")
    picture.locator("[data-key='kube-scheduler']").click()
    picture.get_by_role("button", name="Stop kube-scheduler").click()
    expect(learner.state).to_contain_text("not running: kube-scheduler")
    learner.run(last + 1, "%kubectl run lonely --image=podium.test/busybox:1.37 -- sleep 600")
    pending = picture.get_by_role("button", name="Pod default/lonely: Pending")
    for theme in ("Light", "Dark"):
        learner.command(f"Use Theme: JupyterLab {theme}")
        expect(page.locator(f"body[data-jp-theme-light={'true' if theme == 'Light' else 'false'}]")).to_be_attached()
        pending.scroll_into_view_if_needed()
        learner.shoot(f"5-no-scheduler-{theme.lower()}")
    picture.get_by_role("button", name="Start kube-scheduler").click()
    expect(picture.get_by_role("button", name="Pod default/lonely: Running")).to_be_visible()
    learner.run(last + 1, "%kubectl delete pod lonely --now")


def check_mend_and_hand_in_a_lab(learner: Learner, course: Path) -> None:
    page = learner.page
    learner.command("Start Page")
    start = learner.notebook.locator(".podium-start")
    expect(start).to_contain_text("done ✓")  # the lesson that was run
    learner.shoot("6-progress-dark")
    start.get_by_role("link", name="Lab 02: First Pod").last.click()
    expect(learner.notebook.get_by_role("heading", name="Lab 02: First Pod")).to_be_visible()
    learner.wait_for_kernel(LAB)

    released = nbformat.read(course / "release" / LAB / f"{LAB}.ipynb", as_version=4)
    number = {cell.id: index for index, cell in enumerate(released.cells)}
    expect(learner.run(number["setup"])).to_contain_text("node-2")
    learner.run(number["manifest"], f"%%writefile web.yaml\n{WRONG}")
    learner.run(number["apply"], 'kubectl("apply --filename web.yaml")')
    expect(learner.run(number["check-1"])).to_contain_text("Hint 1 of")
    check = learner.run(number["check-1"])
    expect(check).to_contain_text("Hint 2 of")
    check.scroll_into_view_if_needed()
    learner.shoot("7-failed-check-dark")
    learner.command("Use Theme: JupyterLab Light")
    learner.run(number["manifest"], f"%%writefile web.yaml\n{RIGHT}")
    learner.run(number["apply"])
    expect(learner.run(number["check-1"])).to_contain_text("4 of 4 points")
    check.scroll_into_view_if_needed()
    learner.shoot("8-passed-check")
    answer = learner.run(number["prediction"], ANSWER)
    keep_it_in_the_browser_and_bring_it_back(learner, number["prediction"])
    expect(answer).to_contain_text("scheduler")

    learner.notebook.get_by_role("button", name="Download Submission").first.click()
    page.locator(".jp-Dialog input").fill("ada")
    learner.shoot("10-download")
    assert not objections(page.locator(".jp-Dialog-content"))
    archive = course / "downloaded" / LAB / "archive"
    with page.expect_download() as download:
        page.locator(".jp-Dialog .jp-mod-accept").click()
    assert download.value.suggested_filename == f"{LAB}-ada.zip"
    download.value.save_as(archive / f"{LAB}-ada.zip")
    learner.command("Start Page")
    expect(start.get_by_role("row", name="Lab 02: First Pod")).to_contain_text("4 of 23 points")


def keep_it_in_the_browser_and_bring_it_back(learner: Learner, number: int) -> None:
    """As on Binder, whose sessions are lost: save, lose what a cell said, and restore it."""
    dialog = learner.page.locator(".jp-Dialog")
    learner.notebook.get_by_role("button", name="Save to browser storage").click()
    expect(dialog).to_contain_text("Notebook saved to browser storage")
    dialog.locator(".jp-mod-accept").click()
    lost = learner.run(number, "Nothing is left.")
    expect(lost).to_contain_text("Nothing is left.")
    learner.notebook.get_by_role("button", name="Restore from browser storage").click()
    expect(dialog).to_contain_text("This will replace your current notebook")
    learner.shoot("9-restore")
    dialog.locator(".jp-mod-accept").click()
    expect(dialog).to_have_count(0)


def collect_grade_and_give_feedback(learner: Learner, course: Path) -> None:
    nbgrader(course, "zip_collect", LAB)
    nbgrader(course, "autograde", LAB)
    page = learner.page.context.browser.new_page(viewport={"width": 1280, "height": 720})
    page.set_default_timeout(1000 * LIMIT)
    page.route(re.compile("^https:"), lambda route: route.abort())  # formulas would come from there
    with podium_lab(course, **own(course)) as address:
        page.goto(address)
        page.goto(f"{address.partition('/lab')[0]}/formgrader/gradebook/{LAB}/{LAB}")
        submission = page.get_by_role("link", name="Submission #1")
        submission.wait_for()
        page.screenshot(path=SHOTS / "11-formgrader.png")
        submission.click()
        expect(page.locator("input[id='02-1']")).to_have_attribute("placeholder", "4")
        page.locator("input[id='02-1']").scroll_into_view_if_needed()
        page.screenshot(path=SHOTS / "12-marks.png")
        answer = page.locator(".nbgrader_cell", has=page.locator("input[id='02-3']"))
        expect(answer).to_contain_text("The scheduler, of course.")
        answer.get_by_text("Look", exact=True).click()
        with page.expect_response("**/api/grade/*"):
            page.locator("input[id='02-3']").fill("2.5")
            page.keyboard.press("Tab")
        answer.scroll_into_view_if_needed()
        page.screenshot(path=SHOTS / "13-marked.png")
        assert page.title() != "caught"
        assert not answer.locator("script, [href^=javascript], [onerror]").count()
    nbgrader(course, "generate_feedback", LAB)
    page.goto((course / f"feedback/ada/{LAB}/{LAB}.html").as_uri())
    expect(page.locator("body")).to_contain_text("02.1 A Pod from a manifest: 4 of 4 points")
    expect(page.locator("body")).to_contain_text("(Score: 6.5 / 26.0)")
    page.screenshot(path=SHOTS / "14-feedback.png")


def validate_as_the_grader_would(course: Path) -> None:
    said = {}
    for edition in ("release", "source"):
        lab = nbformat.read(course / edition / LAB / f"{LAB}.ipynb", as_version=4)
        if edition == "release":
            end = [cell.id for cell in lab.cells].index("prediction")
            lab.cells = lab.cells[: end + 1]  # the first three tasks: each waits for what does not come
        nbformat.write(lab, course / "learner" / f"{edition}.ipynb")
        said[edition] = nbgrader(course, "validate", course / "learner" / f"{edition}.ipynb")
    assert "VALIDATION FAILED ON 3 CELL(S)" in said["release"]
    assert "✗ 0/1 There is a Pod clock that becomes Ready" in said["release"]
    assert "You did not provide a response." in said["release"]
    assert "Success!" in said["source"]
