"""``podium grade`` on real clusters: many submissions, and a batch that is killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from autograder.batch import Journal, at_once
from autograder.grading import fresh_clusters
from autograder.manifest import find_lab
from podium import Cluster
from podium.cli import main
from podium.errors import UsageError, WaitedTooLong
from podium.waiting import wait_until

LAB = find_lab("02")
SOURCE = Path(__file__).parents[2] / "labs" / "source" / LAB.assignment / f"{LAB.assignment}.ipynb"
LIMIT = 900  # seconds for a batch of three on a slow machine

BLOCKER = """
body = {"metadata": {"name": "web", "finalizers": ["podium.test/never"], "labels": {"app": "web"}}}
core.create_namespaced_config_map(namespace, body)
spec = {"containers": [{"name": "nginx", "image": "podium.test/nginx:1.26"}]}
core.create_namespaced_pod(namespace, body | {"spec": spec})
core.delete_namespaced_config_map("web", namespace)
core.delete_namespaced_pod("web", namespace, grace_period_seconds=0)
"""


def submission(folder: Path, cells: dict[str, str | None]) -> Path:
    """The lab with only these cells of it, changed where they are given, and with its graded cells."""
    notebook = nbformat.read(SOURCE, as_version=4)
    graded = {task.grade_id for task in LAB.checked}
    notebook.cells = [
        cell
        for cell in notebook.cells
        if cell.id in cells or cell.metadata.get("nbgrader", {}).get("grade_id") in graded
    ]
    for cell in notebook.cells:
        cell.source = cells.get(cell.id) or cell.source
    folder.mkdir()
    nbformat.write(notebook, folder / SOURCE.name)
    return folder / SOURCE.name


def test_as_many_at_once_as_there_is_room_for() -> None:
    assert [at_once(2, 8000), at_once(8, 8000), at_once(2, 100)] == [2, 4, 1]


def test_a_journal_survives_being_broken_off(tmp_path: Path) -> None:
    notebook = tmp_path / "a.ipynb"
    notebook.write_text("one")
    journal = Journal(tmp_path / "journal")
    journal.write(notebook, {"path": str(notebook), "points": 3})
    with pytest.raises(UsageError, match="Another batch"):
        Journal(tmp_path / "journal")
    journal.close()
    with (tmp_path / "journal").open("a") as file:
        file.write('{"path": ')
    journal = Journal(tmp_path / "journal")
    assert journal.find(notebook)["points"] == 3
    notebook.write_text("another")
    assert journal.find(notebook) is None
    journal.write(notebook, {"path": str(notebook), "points": 4})
    assert [json.loads(line)["points"] for line in (tmp_path / "journal").open()] == [3, 4]
    journal.close()
    (tmp_path / "journal").write_text("no journal\n")
    with pytest.raises(UsageError, match="is not a journal"):
        Journal(tmp_path / "journal")


@pytest.mark.bundle
def test_a_killed_batch_goes_on_where_it_was(tmp_path: Path) -> None:
    solved = {"setup": None, "manifest": None, "apply": None}
    names = [
        submission(tmp_path / "one", {"setup": None, "apply": BLOCKER}),
        submission(tmp_path / "two", solved),
        tmp_path / "two" / "holiday.ipynb",
    ]
    names[2].write_text("no notebook")
    names.append(submission(tmp_path / "zero", {"setup": None, "apply": "import time; time.sleep(100)"}))
    journal = tmp_path / "journal"
    command = [Path(sys.executable).with_name("podium"), "grade", tmp_path, "--journal", journal, "--cores=1", "--json"]
    environment = os.environ | {"PODIUM_STATE": str(tmp_path / "state")}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as first:
        try:
            wait_until(lambda: _lines(journal) >= 2 or first.poll() is not None, "two results", LIMIT, every=0.2)
            assert first.poll() is None, first.stderr and first.stderr.read()
        finally:
            os.kill(first.pid, signal.SIGKILL)
    _wait_for_the_end(tmp_path)
    before = journal.read_bytes()
    names[-1].unlink()
    second = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT)
    assert second.returncode == 1, second.stderr  # for one of them is no notebook
    assert journal.read_bytes().startswith(before)
    graded = {entry["path"]: entry for entry in json.loads(second.stdout)}
    assert sorted(graded) == sorted(json.loads(line)["path"] for line in journal.open()) == sorted(map(str, names[:3]))
    assert [graded[str(name)]["points"] for name in names[:3]] == [0, 4, 0]
    assert "no lab 'holiday'" in graded[str(names[2])]["error"]
    assert second.stderr.count("grading") == 2 * (3 - before.count(b"\n"))  # when it begins, and when it is done
    assert not _running(tmp_path)
    assert not list((tmp_path / "state").glob("grade-*/sandbox-*"))


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _running(folder: Path) -> list[str]:
    """The processes that have to do with a folder, the test itself apart."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, here = (process / "cmdline").read_bytes(), os.readlink(process / "cwd")
        except OSError:
            continue
        if (str(folder).encode() in command or here.startswith(str(folder))) and int(process.name) != os.getpid():
            found.append(command.decode(errors="replace"))
    return found


def _wait_for_the_end(folder: Path) -> None:
    try:
        wait_until(lambda: not _running(folder), "everything of the batch to end", limit=60)
    except WaitedTooLong as problem:
        raise AssertionError("\n".join(_running(folder))) from problem


@pytest.mark.all
@pytest.mark.bundle
def test_a_cluster_that_was_reset_is_as_good_as_a_new_one() -> None:
    with fresh_clusters() as fresh:
        new = _everything(cluster := fresh())
        cluster.kubectl("create", "namespace", "left")
        cluster.kubectl("create", "configmap", "left", "--namespace", "left", "--from-literal=a=b")
        cluster.kubectl("label", "node", "node-1", "podium.test/left=yes")
        cluster.kubectl("delete", "service", "kube-dns", "--namespace", "kube-system")
        cluster.node_exec("node-1", ["touch", "/left", "/var/lib/kubelet/left"])
        cluster.components["kube-scheduler"].stop()
        assert _everything(cluster) != new
        assert _everything(fresh()) == new


def _everything(cluster: Cluster) -> dict[str, object]:
    """What there is on a cluster: all objects but those with names of chance, nodes' labels, and files of the nodes."""
    kinds = cluster.kubectl("api-resources", "--verbs=list", "--output=name").split()
    fleeting = {"events", "events.events.k8s.io", "pods", "endpointslices.discovery.k8s.io", "replicasets.apps",
                "controllerrevisions.apps", "leases.coordination.k8s.io", "ipaddresses.networking.k8s.io",
                "clustertrustbundles.certificates.k8s.io"}  # fmt: skip
    lasting = sorted({kind for kind in kinds if not kind.endswith(".metrics.k8s.io")} - fleeting)
    get = ["get", ",".join(lasting), "--all-namespaces", "--no-headers"]

    def objects() -> str:
        return cluster.kubectl(*get, "--output=custom-columns=K:.kind,S:.metadata.namespace,N:.metadata.name")

    late = {"kube-root-ca.crt", "metrics-server", "local-path-provisioner"}  # made after the start
    wait_until(lambda: late <= set(objects().split()), f"all of {', '.join(sorted(late))}", limit=120)
    folders = ["/etc", "/root", "/usr/local", "/var/lib/kubelet/pki"]
    return {
        "objects": sorted(objects().splitlines()),
        "labels": cluster.kubectl("get", "nodes", "--output=jsonpath={.items[*].metadata.labels}"),
        "files": sorted(cluster.node_exec("node-1", ["find", "/", "-maxdepth", "1"]).splitlines()),
        "stopped": [name for name, each in cluster.components.items() if each.state == "stopped"],
        "kept": cluster.node_exec("node-1", ["find", *folders[:1], "-type", "f"]).count("\n"),
    }


def test_a_folder_without_notebooks_is_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grade", str(tmp_path)]) == 2
    assert "no notebook" in capsys.readouterr().err


@pytest.mark.all
@pytest.mark.bundle
def test_the_model_answers_get_all_points(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grade", str(SOURCE)]) == 0
    text = capsys.readouterr().out
    points, by_hand = (sum(task.points for task in LAB.tasks if task.manual == manual) for manual in (False, True))
    assert f"{points} of {points} points" in text
    assert f"marked by a person: up to {by_hand} more" in text
