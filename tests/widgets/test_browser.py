"""The five pictures as a learner sees them: in JupyterLab in a browser, of a real cluster that changes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import Browser, Locator, expect

from podium import Cluster
from podium.waiting import wait_until
from tests.browser import LIMIT, Lab, chromium, objections, podium_lab

pytestmark = pytest.mark.all
expect.set_options(timeout=1000 * LIMIT)
NGINX, BUSYBOX = "podium.test/nginx:1.26", "podium.test/busybox:1.37"
PAPER = 200  # Pods of a node that nobody has switched on
OBSERVE = """picture => {
    window.fresh = window.slowest = 0;
    for (const mark of picture.querySelectorAll("[data-do=pod]")) mark.old = true;
    new MutationObserver((changes) => {
        for (const { addedNodes } of changes)
            window.fresh += [...addedNodes].filter((node) => node.matches?.("[data-do=pod]")).length;
    }).observe(picture, { childList: true, subtree: true });
    let last = performance.now();
    const frame = (now) => {
        window.slowest = Math.max(window.slowest, now - last);
        last = now;
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
}"""


class Desk(NamedTuple):
    """What the tests work at; ``shots`` is where they leave screenshots of what they saw."""

    lab: Lab
    browser: Browser
    shots: Path


@pytest.fixture(scope="module")
def desk(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One JupyterLab on the tests' cluster, and one page."""
    folder = tmp_path_factory.mktemp("lab")
    with (
        podium_lab(folder, PODIUM_CLUSTER=cluster.name, PODIUM_BACKEND=cluster.backend) as address,
        chromium() as browser,
    ):
        page = browser.new_page(viewport={"width": 1400, "height": 1500})
        lab = Lab(page, address, folder)
        yield Desk(lab, browser, tmp_path_factory.mktemp("shots"))


def manifest(name: str, *containers: dict[str, Any], **spec: Any) -> str:
    found = [{"name": "app", "image": NGINX}, *containers]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": found, **spec}}
    return json.dumps(pod)


def watches(cluster: Cluster) -> int:
    """How many watches of Pods and Nodes the API server serves, as it says itself."""
    lines = cluster.components["kube-apiserver"].metrics().splitlines()
    pattern = re.compile(r'apiserver_longrunning_requests\{.*resource="(pods|nodes)".*verb="WATCH".*\} (\d+)')
    return sum(int(found[2]) for line in lines if (found := pattern.match(line)))


def looks_right(desk: Desk, picture: Locator, name: str) -> None:
    """In both themes: the theme's colours, and nothing that axe objects to. Leaves a screenshot of each."""
    page, colours = desk.lab.page, []
    for theme in ("Light", "Dark"):
        desk.lab.menu("Settings", "Theme", f"JupyterLab {theme}")
        page.locator(f"body[data-jp-theme-light={str(theme == 'Light').lower()}]").wait_for(state="attached")
        colours.append(picture.evaluate("el => getComputedStyle(el).color"))
        assert not objections(picture), f"{name}, {theme}"
        picture.screenshot(path=desk.shots / f"{name}-{theme.lower()}.png")
    assert len(set(colours)) == 2
    desk.lab.menu("Settings", "Theme", "JupyterLab Light")


def test_map(desk: Desk, cluster: Cluster, namespace: str) -> None:
    before = watches(cluster)
    picture = desk.lab.run("map", "import podium.widgets\npodium.widgets.Map()").locator(".podium")
    said = picture.get_by_role("status")
    for node in cluster.nodes():
        expect(picture.get_by_role("group", name=f"Compute node {node}")).to_be_visible()
    assert watches(cluster) > before

    cluster.kubectl("create", "deployment", "front", f"--image={NGINX}", "--replicas=2", "-n", namespace)
    expect(picture.get_by_role("button", name=re.compile(rf"Pod {namespace}.front-\S+: Running"))).to_have_count(2)

    picture.locator("[data-do=component][data-arg=kube-scheduler]").press("Enter")
    panel = picture.get_by_role("complementary", name="kube-scheduler")
    panel.get_by_role("tab", name="Log").press("ArrowRight")
    expect(panel.get_by_role("tab", name="Flags")).to_be_focused()
    panel.get_by_role("tab", name="Flags").press("Enter")
    expect(panel.get_by_role("tabpanel", name="flags")).to_contain_text("--kubeconfig")
    panel.get_by_role("button", name="Stop kube-scheduler").press("Enter")
    try:
        expect(panel).to_contain_text("new Pods get no node")
        expect(panel.get_by_role("button", name="Start kube-scheduler")).to_be_enabled()
        assert cluster.components["kube-scheduler"].state == "stopped"
        cluster.kubectl("run", "lost", f"--image={NGINX}", "-n", namespace)
        expect(picture.get_by_role("group", name="Management node")).to_contain_text("Pods without a node")
        looks_right(desk, picture, "map")
        panel.get_by_role("button", name="Start kube-scheduler").press("Enter")
        expect(picture.get_by_role("button", name=f"Pod {namespace}/lost: Running")).to_be_visible()
    finally:
        cluster.components["kube-scheduler"].start()

    cluster.components["kube-apiserver"].stop()
    try:
        expect(said).to_contain_text("The API server does not answer.")
        expect(picture.get_by_role("button", name=f"Pod {namespace}/lost: Running")).to_be_visible()
    finally:
        cluster.components["kube-apiserver"].start()
    expect(said).to_be_empty()

    desk.lab.close()
    wait_until(lambda: watches(cluster) <= before, "the watches of the closed notebook to end", LIMIT)


def test_a_cell_that_is_run_again_leaves_one_picture(desk: Desk) -> None:
    panel = desk.lab.run("again", "import podium.widgets\npodium.widgets.Map()", PICTURES)
    expect(panel.locator(".podium")).to_have_count(1)
    desk.lab.menu("Run", "Run All Cells")
    expect(panel.locator(".jp-InputPrompt", has_text="[4]:")).to_be_visible()
    said = desk.lab.folder / "left-again"
    wait_until(said.exists, "the earlier picture to end", LIMIT)
    expect(panel.locator(".podium")).to_have_count(1)
    desk.lab.close()


# In a thread, since a cell that waits holds up what the front end tells its pictures; and what a thread prints is lost.
PICTURES = """
import threading
from pathlib import Path
from podium.waiting import wait_until

said = Path("left-again" if "said" in globals() else "left")

def painters():
    return sum(thread.name == "podium-painter" for thread in threading.enumerate())

def wait():
    wait_until(lambda: painters() == 1, "the earlier picture to end", limit=60)
    said.touch()

threading.Thread(target=wait).start()
"""


def test_map_of_many_pods(desk: Desk, cluster: Cluster, namespace: str) -> None:
    """What has not changed is never drawn again: that is what keeps the page fluid, whatever the machine."""
    spec = {"nodeName": "paper", "containers": [{"name": "app", "image": NGINX}]}
    pods = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"paper-{number}"}, "spec": spec}
        for number in range(PAPER)
    ]
    cluster.kubectl("create", "-f", "-", input='{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "paper"}}')
    try:
        picture = desk.lab.run("many", "import podium.widgets\npodium.widgets.Map()").locator(".podium")
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": pods})
        cluster.kubectl("create", "-n", namespace, "-f", "-", input=listed)
        marks = picture.get_by_role("group", name="Compute node paper").locator("[data-do=pod]")
        expect(marks).to_have_count(PAPER)
        picture.evaluate(OBSERVE)
        chosen = picture.get_by_role("button", name=f"Pod {namespace}/paper-7: ")
        chosen.focus()
        for number in range(0, PAPER, 20):
            running = json.dumps({"status": {"phase": "Running"}})
            cluster.kubectl(
                "patch", "pod", f"paper-{number}", "-n", namespace, "--subresource=status", "--type=merge",
                f"--patch={running}",
            )  # fmt: skip
        expect(picture.get_by_role("button", name=re.compile(r"paper-\d+: Running"))).to_have_count(PAPER // 20)
        expect(chosen).to_be_focused()
        assert marks.evaluate_all("all => all.every((mark) => mark.old)")
        print(f"{PAPER} Pods, {desk.lab.page.evaluate('window.fresh')} drawn anew,", end=" ")
        print(f"longest frame {desk.lab.page.evaluate('window.slowest'):.0f} ms")
        assert desk.lab.page.evaluate("window.fresh") == 0
    finally:
        cluster.kubectl("delete", "pods", "--all", "-n", namespace, "--force", "--grace-period=0", limit=300)
        cluster.kubectl("delete", "node", "paper")
    expect(picture.get_by_role("group", name="Compute node paper")).to_have_count(0)
    desk.lab.close()


def test_store(desk: Desk, cluster: Cluster, namespace: str) -> None:
    prefix = f"/registry/configmaps/{namespace}/"
    cell = f"import podium.widgets\npodium.widgets.Store(prefix={prefix!r})"
    picture = desk.lab.run("store", cell).locator(".podium")
    tree, said = picture.get_by_role("tree", name="Keys"), picture.get_by_role("status")
    cluster.kubectl("create", "configmap", "colours", "--from-literal=sky=blue", "-n", namespace)
    leaf = tree.get_by_role("treeitem", name="colours revision")
    expect(leaf).to_be_visible()

    branch = tree.get_by_role("treeitem", name=f"{namespace}/")
    branch.press("ArrowLeft")
    expect(leaf).to_have_count(0)
    branch.press("ArrowRight")
    expect(leaf).to_be_visible()
    branch.press("ArrowDown")
    expect(leaf).to_be_focused()
    leaf.press("Enter")
    decoded = picture.get_by_role("region", name="Decoded object")
    expect(decoded).to_contain_text("sky: blue")
    expect(picture.get_by_role("region", name="Raw value")).to_contain_text("6b 38 73 00")

    cluster.kubectl("label", "configmap", "colours", "seen=yes", "-n", namespace)
    expect(decoded.locator(".ps-new", has_text="seen:")).to_be_visible()
    looks_right(desk, picture, "store")

    cluster.components["etcd"].stop()
    try:
        expect(said).to_contain_text("etcd does not answer.")
        expect(leaf).to_be_visible()
    finally:
        cluster.components["etcd"].start()
    expect(said).to_be_empty()
    wait_until(lambda: cluster.components["kube-apiserver"].health(), "the API server to find etcd again", LIMIT)
    cluster.kubectl("delete", "configmap", "colours", "-n", namespace)
    expect(picture).to_contain_text("This key is deleted.")
    desk.lab.close()


def test_xray(desk: Desk, cluster: Cluster, namespace: str) -> None:
    helper = {"name": "helper", "image": BUSYBOX, "command": ["sleep", "3600"]}
    cluster.kubectl(
        "create", "-n", namespace, "-f", "-", input=manifest("two", helper, terminationGracePeriodSeconds=1)
    )
    cluster.kubectl("wait", "--for=condition=Ready", "pod/two", "-n", namespace, "--timeout=90s")
    cell = f"import podium.widgets\npodium.widgets.XRay('two', {namespace!r})"
    picture = desk.lab.run("xray", cell).locator(".podium")
    table = picture.get_by_role("region", name="Namespaces")
    number = cluster.exec("two", ["readlink", "/proc/self/ns/net"], namespace, "helper").strip()[len("net:[") : -1]
    expect(table.get_by_role("row", name=re.compile("^net")).get_by_text(number)).to_have_count(3)  # sandbox, both
    expect(table.get_by_role("row", name=re.compile("^mnt"))).to_contain_text("≠ each its own")

    cluster.exec("two", ["touch", "/tmp/here"], namespace, "helper")
    cluster.exec("two", ["sh", "-c", "sleep 4321 >/dev/null 2>&1 &"], namespace, "helper")
    processes = picture.get_by_role("region", name="Processes")
    expect(processes).to_contain_text("sleep 4321")
    picture.get_by_role("button", name=re.compile("helper")).first.press("Enter")
    expect(processes.locator("tbody tr:not(.px-dim)")).to_have_count(2)
    looks_right(desk, picture, "xray")

    cluster.kubectl("delete", "pod", "two", "-n", namespace, "--wait=false")
    expect(picture).to_contain_text("gone: this is what it was")
    expect(processes).to_contain_text("sleep 3600")
    desk.lab.close()


def test_life_cycle(desk: Desk, cluster: Cluster, namespace: str) -> None:
    cell = f"import podium.widgets\npodium.widgets.LifeCycle('web', {namespace!r})"
    picture = desk.lab.run("life", cell).locator(".podium")
    expect(picture).to_contain_text("There is no Pod “web” yet.")
    app = {
        "readinessProbe": {"httpGet": {"port": 80}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"sleep": {"seconds": 2}}},
    }
    pod = json.loads(manifest("web", terminationGracePeriodSeconds=5))
    pod["spec"]["containers"][0] |= app

    def lit(state: str) -> Locator:
        return picture.locator(f'[data-state=now][data-name="{state}"]')

    cluster.kubectl("create", "-n", namespace, "-f", "-", input=json.dumps(pod))
    expect(lit("Running")).to_be_visible()
    expect(lit("Ready")).to_be_visible()

    told = picture.locator(".podium-life-told")
    first = picture.locator(".podium-life [role=button][tabindex='0']")
    first.press("ArrowDown")
    expect(picture.locator(".podium-life [data-chosen]")).to_be_focused()
    before = told.inner_text()
    desk.lab.page.keyboard.press("ArrowDown")
    expect(told).not_to_have_text(before)
    looks_right(desk, picture, "life")

    uid = cluster.kubectl("get", "pod", "web", "-n", namespace, "-o", "jsonpath={.metadata.uid}")
    cluster.kubectl("delete", "pod", "web", "-n", namespace)
    expect(lit("gone")).to_be_visible()
    expect(picture.locator('[aria-label^="app: preStop"]')).not_to_have_count(0)
    cluster.kubectl("create", "-n", namespace, "-f", "-", input=json.dumps(pod))
    expect(lit("Ready")).to_be_visible()
    assert cluster.kubectl("get", "pod", "web", "-n", namespace, "-o", "jsonpath={.metadata.uid}") != uid
    desk.lab.close()


def test_trace(desk: Desk, cluster: Cluster, namespace: str) -> None:
    two = "\n".join(
        [
            "import json, podium, podium.widgets",
            f"pods = [json.loads(pod) for pod in {[manifest('first'), manifest('second')]}]",
            f"traces = [podium.trace_pod(pod, namespace={namespace!r}) for pod in pods]",
            "podium.widgets.Trace(*traces)",
        ]
    )
    panel = desk.lab.run("trace", f"{two}", f"podium.widgets.Trace('web', namespace={namespace!r})")
    compared, picture = panel.locator(".podium").nth(0), panel.locator(".podium").nth(1)
    expect(picture).to_contain_text("Nothing has happened yet.")
    expect(compared.get_by_role("region", name="The steps that both have").get_by_role("row")).not_to_have_count(0)
    looks_right(desk, compared, "compared")

    cluster.kubectl("create", "-n", namespace, "-f", "-", input=manifest("web"))
    expect(picture).to_contain_text("It is Ready.")
    expect(picture.get_by_text("● live")).to_have_count(0)
    steps = picture.locator(".podium-step")
    assert steps.count() >= 15

    picture.locator(".podium-step[tabindex='0']").press("Home")
    desk.lab.page.keyboard.press("ArrowRight")
    expect(steps.nth(1)).to_be_focused()
    desk.lab.page.keyboard.press("Enter")
    record = picture.get_by_role("region", name="The record")
    expect(record).to_contain_text("auditID")
    expect(steps.locator("xpath=self::*[@data-lit]")).not_to_have_count(0)

    slider = picture.get_by_role("slider", name="Until when steps are shown")
    slider.press("Home")
    expect(picture.locator(".podium-until")).to_contain_text("0 of")
    expect(picture.locator(".podium-step[data-later]")).not_to_have_count(0)
    slider.press("End")
    expect(picture.locator(".podium-step[data-later]")).to_have_count(0)
    lanes = picture.get_by_role("region", name="Swim lanes of Pod web")
    width = lanes.evaluate("el => el.scrollWidth")
    lanes.press("+")
    assert lanes.evaluate("el => el.scrollWidth") > width
    lanes.press("0")
    looks_right(desk, picture, "trace")
    desk.lab.close()


def test_stills_say_the_same_without_a_front_end(desk: Desk, cluster: Cluster, namespace: str) -> None:
    """A notebook of all pictures, saved in JupyterLab, as nbconvert's page in a browser that runs no script."""
    cluster.kubectl("create", "-n", namespace, "-f", "-", input=manifest("one"))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/one", "-n", namespace, "--timeout=90s")
    shows = {
        "Map()": "Compute node node-1",
        f"Store(prefix='/registry/pods/{namespace}/')": "1 key below",
        f"XRay('one', {namespace!r})": "⇄ shared by all",
        f"LifeCycle('none', {namespace!r})": "There is no Pod “none” yet.",
        f"Trace(podium.trace_pod({manifest('two')}, namespace={namespace!r}))": "It is Ready.",
    }
    panel = desk.lab.run("stills", *(f"import podium.widgets\npodium.widgets.{cell}" for cell in shows))
    for number in range(len(shows)):
        expect(panel.locator(".jp-Cell").nth(number).locator(".podium")).to_be_visible()
    desk.lab.close()
    body, _ = HTMLExporter().from_filename(desk.lab.folder / "stills.ipynb")
    file = desk.lab.folder / "stills.html"
    file.write_text(body)
    page = desk.browser.new_context(java_script_enabled=False).new_page()
    page.goto(file.as_uri())
    stills = page.locator(".podium")
    expect(stills).to_have_count(len(shows))
    for still, what in zip(stills.all(), shows.values(), strict=True):
        expect(still).to_be_visible()
        assert what in still.inner_html()
        assert still.locator("button").count() == 0
    page.screenshot(path=desk.shots / "stills.png", full_page=True)
