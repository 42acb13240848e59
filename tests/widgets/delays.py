"""How long a change takes until a browser shows it: ``python -m tests.widgets.delays [CHANGES]``, on a quiet machine.

Of each of the five pictures, in JupyterLab in Debian's chromium, on a cluster of its own: from the moment in which a
change has been made (the API server has answered, a process has said that it runs) to the frame in which it is seen.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from kubernetes.client import CoreV1Api

from podium import Cluster
from podium.waiting import wait_until
from tests.browser import Lab, chromium, podium_lab

BUSYBOX = "podium.test/busybox:1.37"
APART = 1.3  # seconds from one change to the next: no picture's own rhythm
# Elements that have the text, or are named by it: one more of them is the change.
WATCH = """(picture, [selector, text]) => {
    const named = (node) => (node.textContent + node.getAttribute("aria-label")).includes(text);
    const count = () => [...picture.querySelectorAll(selector)].filter(named).length;
    const before = count();
    window.shown = 0;
    const watching = new MutationObserver(() => {
        if (count() <= before) return;
        watching.disconnect();
        requestAnimationFrame(() => { window.shown = Date.now() / 1000; });
    });
    watching.observe(picture, { childList: true, subtree: true, characterData: true, attributes: true });
}"""


def pod(name: str, **spec: object) -> dict[str, object]:
    main = {"name": "main", "image": BUSYBOX, "command": ["sleep", "infinity"]}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [main], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def process(cluster: Cluster, number: int, ends: ExitStack) -> None:
    """Start a process in the Pod; return as soon as it runs."""
    script = f"sleep 90{number} >/dev/null 2>&1 & echo begun; sleep 1"
    command = [str(cluster.kubectl_path), "exec", "seen", "--", "sh", "-c", script]
    environment = {"KUBECONFIG": str(cluster.kubeconfig_path)}
    running = ends.enter_context(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    assert running.stdout
    assert running.stdout.readline() == "begun\n"


def measure(changes: int) -> dict[str, list[float]]:
    """Seconds from each change to its being seen, by picture."""
    found: dict[str, list[float]] = {}
    with (
        Cluster("delays", nodes=1) as cluster,
        TemporaryDirectory() as place,
        chromium() as browser,
        ExitStack() as ends,
    ):
        core = CoreV1Api(cluster.api)
        core.create_namespaced_pod("default", pod("seen"))
        cluster.kubectl("wait", "--for=condition=Ready", "pod/seen", "--timeout=90s")

        def condition(number: int) -> None:
            new = {"type": f"podium.test/change-{number}", "status": "True"}
            core.patch_namespaced_pod_status("seen", "default", {"status": {"conditions": [new]}})

        def label(number: int) -> None:
            core.patch_namespaced_pod("seen", "default", {"metadata": {"labels": {"change": str(number)}}})

        def settings(number: int) -> None:
            core.create_namespaced_config_map("default", {"metadata": {"name": f"change-{number}"}})

        pictures: dict[str, tuple[str, str, str, Callable[[int], object]]] = {
            "Map": (
                "Map()", "[data-do=pod]", "default/change-{}",
                lambda number: core.create_namespaced_pod("default", pod(f"change-{number}", nodeName="nowhere")),
            ),
            "Store": ("Store(prefix='/registry/configmaps/default/')", "[role=treeitem]", "change-{}", settings),
            "Life cycle": ("LifeCycle('seen')", "*", "podium.test/change-{}", condition),
            "X-ray": ("XRay('seen')", "td", "sleep 90{}", lambda number: process(cluster, number, ends)),
            "Trace": ("Trace('seen', until='deleted')", ".podium-step", "", label),
        }  # fmt: skip
        with podium_lab(Path(place), PODIUM_CLUSTER=cluster.name, PODIUM_BACKEND=cluster.backend) as address:
            page = browser.new_page(viewport={"width": 1400, "height": 1500})
            lab = Lab(page, address, Path(place))
            for name, (cell, selector, text, change) in pictures.items():
                picture = lab.run(name, f"import podium.widgets\npodium.widgets.{cell}").locator(".podium")
                picture.wait_for()
                time.sleep(5)  # so that it has settled
                for number in range(changes):
                    picture.evaluate(WATCH, [selector, text.format(number)])
                    change(number)
                    made = time.time()
                    seen = wait_until(lambda: page.evaluate("window.shown"), f"{name} to show the change", limit=30)
                    found.setdefault(name, []).append(seen - made)
                    time.sleep(APART)
                lab.close()
    return found


if __name__ == "__main__":
    print("| from a change to its being seen | median (ms) | most (ms) |\n|---|---|---|")
    for name, seconds in measure(*map(int, sys.argv[1:2] or ["8"])).items():
        print(f"| {name} | {1000 * statistics.median(seconds):.0f} | {1000 * max(seconds):.0f} |")
