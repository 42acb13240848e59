"""Hostile and broken submissions: each gets what its cluster shows, sees nothing, and leaves nothing behind."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

import autograder
from autograder.cluster import begin
from autograder.grading import LIMITS, run
from autograder.manifest import find_lab
from autograder.sandbox import Limits, Sandbox
from podium import Cluster
from podium.waiting import wait_until

LAB = find_lab("02")
LABS = Path(__file__).parents[2] / "labs"
SOURCE = {
    cell.id: cell.source
    for cell in nbformat.read(LABS / "source" / LAB.assignment / f"{LAB.assignment}.ipynb", as_version=4).cells
}
SETUP, MANIFEST, APPLY, CLOCK = (SOURCE[name] for name in ("setup", "manifest", "apply", "python"))
SOLVED = [SETUP, MANIFEST, APPLY]
ALL = [task.id for task in LAB.checked]
SECRET = "the-instructors-secret"
SMALL = Limits(memory_mb=700, disk_mb=16, processes=100)
SHORT = replace(SMALL, cell=10)
"""For what never ends by itself; no cell beside that may need longer, on a slow machine either."""

QUICK = """
import subprocess
run = "kubectl --namespace lab-02 run web --image=podium.test/nginx:1.26 --labels=app=web --port=80"
subprocess.run(run.split(), check=True)
"""

LIAR = """
import builtins, sys
import autograder, autograder.checks, kubernetes, IPython
autograder.grade = autograder.check = grade = check = lambda task: 4.0
autograder.checks.judge = lambda *_: 4.0
kubernetes.client.CoreV1Api.read_namespaced_pod = lambda *_, **__: kubernetes.client.V1Pod()
for name in ("autograder", "autograder.checks", "autograder.lab_02"):
    sys.modules[name] = type(sys)(name)
sys.displayhook = lambda value: print(4.0)
get_ipython().display_formatter.format = lambda value, *_: ({"text/plain": "4.0"}, {})
IPython.display.display = lambda *_: print(4.0)
builtins.sum, builtins.all, builtins.float = (lambda *_: 99), (lambda *_: True), (lambda *_: 4.0)
"""
FORGER = """
import os
for process in filter(str.isdigit, os.listdir("/proc")):
    for number in range(32):
        try:
            file = os.open(f"/proc/{process}/fd/{number}", os.O_WRONLY)
            os.write(file, b'{"verdicts": {"ready": [true, ""]}, "error": "", "state": "ran", "text": "4.0"}\\n')
        except OSError:
            pass
"""
USURPER = """
import json
pod = {"metadata": {"name": "spy"}, "spec": {"containers": [{"name": "main", "image": "podium.test/busybox:1.37"}]}}
def made(name="spy", **spec):
    body = {"metadata": {"name": name}, "spec": pod["spec"] | spec}
    return lambda: core.create_namespaced_pod(namespace, body)
def boxed(**context):
    return made(containers=[pod["spec"]["containers"][0] | {"securityContext": context}])
def told(line):
    return lambda: kubectl(line)
event = {"metadata": {"name": "lie"}, "involvedObject": {"namespace": namespace}, "reason": "Scheduled"}
binding = {"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "node-1"}}
made("web", schedulerName="nobody")()
attempts = {
    "status": lambda: core.patch_namespaced_pod_status("web", namespace, {"status": {"phase": "Running"}}),
    "event": lambda: core.create_namespaced_event(namespace, event),
    "binding": lambda: core.create_namespaced_binding(namespace, binding, _preload_content=False),
    "node status": lambda: core.patch_node_status("node-1", {"status": {"phase": "x"}}),
    "node": told("label node node-1 podium.test/x=y"),
    "endpoints": lambda: core.create_namespaced_endpoints(namespace, {"metadata": {"name": "web"}}),
    "masters": told("get pods --as me --as-group system:masters"),
    "impersonation": told("get pods --as system:serviceaccount:kube-system:default"),
    "secrets": told("get secrets --namespace kube-system"),
    "kube-system": told("delete pods --all --namespace kube-system"),
    "namespace": told("delete namespace kube-system"),
    "role": told("create clusterrolebinding me --clusterrole cluster-admin --serviceaccount podium-grading:learner-02"),
    "own role": told("create rolebinding me --clusterrole admin --serviceaccount podium-grading:learner-02"),
    "token": told("create token default"),
    "policy": told("delete validatingadmissionpolicies --all"),
    "lease": told("delete leases --all --namespace kube-node-lease"),
    "node proxy": told("get --raw /api/v1/nodes/node-1/proxy/pods"),
    "privileged": boxed(privileged=True),
    "capability": boxed(capabilities={"add": ["SYS_ADMIN"]}),
    "hostPath": made(volumes=[{"name": "all", "hostPath": {"path": "/"}}]),
    "hostNetwork": made(hostNetwork=True),
    "hostPID": made(hostPID=True),
    "component": lambda: cluster.components["kube-scheduler"].stop(),
    "node exec": lambda: cluster.node_exec("node-1", ["true"]),
    "etcd": lambda: cluster.etcd("get", "/"),
    "down": cluster.down,
}
done = []
for name, attempt in attempts.items():
    try:
        attempt()
        done.append(name)
    except Exception as refused:
        assert any(word in str(refused) for word in ("orbidden", "While a notebook is graded", "being graded")), refused
print(json.dumps(done))
"""
MIRROR = """
import json, os, pathlib, socket
seen = [path for path in PATHS if os.path.exists(path)]
seen += [str(path) for path in pathlib.Path("/podium").rglob("lab_0*.py")]
texts = [path.read_text(errors="replace") for path in pathlib.Path("/podium").rglob("*") if path.is_file()
         and path.name != "kubectl"]
texts += [path.read_text() for path in pathlib.Path("/proc").glob("[0-9]*/environ") if os.access(path, os.R_OK)]
seen += [text for text in SECRETS if any(text in each for each in texts)]
for family, address in (
    (socket.AF_INET, ("127.0.0.1", PORT)), (socket.AF_INET, ("192.0.2.1", 80)), (socket.AF_INET, ("1.1.1.1", 53)),
    (socket.AF_UNIX, "\\0" + ABSTRACT),
):
    with socket.socket(family) as wire:
        wire.settimeout(5)
        try:
            wire.connect(address)
            seen.append(address)
        except OSError:
            pass
for module in ("autograder.lab_02", "autograder.judging", "autograder.verify"):
    try:
        __import__(module)
        seen.append(module)
    except ImportError:
        pass
seen += [] if len([name for name in os.listdir("/proc") if name.isdigit()]) < 12 else ["processes"]
seen += [str(path) for path in map(pathlib.Path, ("/usr/x", "/x", "/dev/x", "/podium/x", "/run/podium/x"))
         if os.access(path.parent, os.W_OK)]
print(json.dumps(seen))
"""

FULL_DISK = """
import os
for folder in ("/scratch", "/tmp", "/dev/shm"):
    try:
        for number in range(10_000):
            with open(f"{folder}/{number}", "wb") as file:
                file.write(bytes(1 << 20))
        print("no bounds")
    except OSError as problem:
        print(problem.strerror)
    import shutil
    for number in range(10_000):
        os.path.exists(f"{folder}/{number}") and os.remove(f"{folder}/{number}")
"""
HOG = """
import os
kept = []
if os.fork() == 0 or os.fork() == 0 or True:
    while True:
        kept.append(bytearray(os.urandom(1 << 20)) * 16)
"""
BOMB = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
STUBBORN = """
while True:
    try:
        while True:
            pass
    except KeyboardInterrupt:
        pass
"""
TWICE = "core.delete_namespaced_pod('web', namespace, grace_period_seconds=0)"


def graded(task: str, source: str = "", **metadata: object) -> NotebookNode:
    """The graded cell of a task, or what became of it."""
    own = {"grade_id": task.replace(".", "-"), "grade": True, "solution": False, "points": 4} | metadata
    return new_code_cell(source or f'grade("{task}")', metadata={"nbgrader": own})


def notebook(*cells: str | NotebookNode) -> NotebookNode:
    """A notebook of these cells, and of whatever kernel."""
    made = [new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    return new_notebook(cells=made, metadata={"kernelspec": {"name": "julia", "display_name": "x"}})


@pytest.fixture
def fresh(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, with the lab's namespace new; after the test nothing of a sandbox runs."""
    begin(LAB.id, cluster.api, fresh=True)
    yield cluster
    wait_until(lambda: not _sandboxes(cluster), "everything in the sandbox to end", limit=30)
    assert not list(cluster.kubeconfig_path.parent.glob("sandbox-*"))


def _sandboxes(cluster: Cluster) -> list[int]:
    """The processes of this cluster's sandboxes."""
    found, mark = [], f"PODIUM_CLUSTER={cluster.name}\0PODIUM_STATE=/run/podium".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is not ours
            found += [int(process.name)] if mark in (process / "environ").read_bytes() else []
    return found


@pytest.mark.parametrize(
    ("cells", "deserved", "note", "limits"),
    [
        pytest.param([*SOLVED, LIAR, "print(4.0)", "4.0", *map(graded, ALL)], {"02.1": 4}, "", SMALL, id="lies"),
        pytest.param(
            [
                graded("02.1"), graded("02.2", points=400), *SOLVED, TWICE, APPLY,
                graded("02.1", "raise SystemExit", points=400, grade=False), graded("02.9", points=400),
                new_code_cell("4.0", metadata={"nbgrader": "4.0"}), graded("02.4", CLOCK), SETUP,
            ],
            {"02.1": 4}, "", SMALL, id="edited-cells",
        ),
        pytest.param(
            ["raise SystemExit", *SOLVED, "exit()", "import os; os.kill(os.getpid(), 9)", CLOCK], {"02.1": 4},
            "The kernel died in cell 6; the cells after it were not run.", SMALL, id="exits-and-killed-kernel",
        ),
        pytest.param(
            [QUICK, FORGER, "import os; os.kill(os.getppid(), 9)", QUICK], {"02.1": 4},
            "The sandbox ended in cell 3; the cells after it were not run.", SMALL, id="killed-runner",
        ),
        pytest.param(
            ["while True: pass", FULL_DISK, QUICK, "while True: print('x' * 100_000)"], {"02.1": 4},
            "|.* used more than 700 MB of memory .*", SHORT, id="endless-time-disk-and-output",
        ),
        pytest.param([QUICK, HOG, QUICK], {"02.1": 4}, ".* used more than 700 MB of memory .*", SMALL, id="memory"),
        pytest.param([QUICK, BOMB], {"02.1": 4}, "", SHORT, id="fork-bomb"),
        pytest.param(
            [QUICK, STUBBORN, QUICK], {"02.1": 4}, ".*", SHORT, id="stubborn",  # nbclient takes it for ended
        ),
    ],
)  # fmt: skip
def test_a_submission_gets_what_its_cluster_shows(
    fresh: Cluster, cells: list[str | NotebookNode], deserved: dict[str, int], note: str, limits: Limits
) -> None:
    results, said = run(LAB, submitted := notebook(*cells), fresh, limits)
    assert {result.task.id: result.points for result in results} == dict.fromkeys(ALL, 0) | deserved
    assert [result.error for result in results if result.error] == []
    assert re.fullmatch(note, said), said
    assert len(json.dumps(submitted)) < 1 << 20


def test_a_submission_sees_nothing_and_reaches_nobody(
    fresh: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_TEST_SECRET", SECRET)
    (tmp_path / "gradebook.db").touch()
    package = Path(autograder.__file__).parent
    paths = [LABS, package / "lab_02.py", fresh.kubeconfig_path, tmp_path, Path.home() / ".cache", Path("/etc/shadow")]
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(f"\0{SECRET}")
        abstract.listen()
        values = {
            "PATHS": [*map(str, paths), "../../../gradebook.db"],
            "SECRETS": [SECRET[::-1], "No other Pod has that label", "Wrong answers:"],
            "PORT": listening.getsockname()[1],
            "ABSTRACT": SECRET,
        }
        told = "\n".join(f"{name} = {value!r}" for name, value in values.items())
        told += "\nSECRETS[0] = SECRETS[0][::-1]"
        results, note = run(LAB, submitted := notebook(told, MIRROR), fresh)
    assert (sum(result.points for result in results), note) == (0, "")
    assert json.loads(submitted.cells[1].outputs[0].text) == []


def test_a_submission_has_no_power_over_what_is_believed(fresh: Cluster) -> None:
    leases = ["get", "leases", "--namespace", "kube-node-lease"]  # who finds none may delete them all
    wait_until(lambda: "node-1" in fresh.kubectl(*leases), "the nodes' leases", limit=60)
    results, note = run(LAB, submitted := notebook(SETUP, USURPER), fresh)
    assert (sum(result.points for result in results), note) == (0, "")
    assert submitted.cells[1].outputs[0].text.splitlines()[-1] == "[]"
    assert fresh.components["kube-scheduler"].state == "running"


STOPS = """
import podium
components = podium.open().components
said = []
for name in ("kube-scheduler", "node-1/kube-proxy"):
    components[name].stop()
    said.append(components[name].state)
    components[name].start()
    said.append(components[name].state)
for name in ("etcd", "kube-apiserver", "coredns"):
    try:
        components[name].stop()
    except podium.PodiumError:
        said.append(components[name].health())
print(said)
"""


def test_a_lab_about_components_may_stop_those_that_it_breaks(cluster: Cluster) -> None:
    begin("01", cluster.api)
    with Sandbox(cluster, find_lab("01"), LIMITS) as sandbox:
        assert sandbox.run(STOPS, 1).text.strip() == str(["stopped", "running"] * 2 + [True] * 3)
        assert _sandboxes(cluster)
    wait_until(lambda: not _sandboxes(cluster), "everything in the sandbox to end", limit=30)
