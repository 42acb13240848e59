"""binder/Dockerfile is built with what replaced.py made, and used as a session of mybinder.org: ``make test-binder``.

pytest takes this file only where it is named: it needs an engine, and what replaced.py makes.
"""

import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from podium.waiting import wait_until
from tests.binder import replaced
from tests.binder.session import MEMORY, Session, docker

FOLDER = Path(os.environ.get("PODIUM_BINDER") or replaced.ROOT / "build/binder")
MINUTES = float(os.environ.get("PODIUM_BINDER_MINUTES") or 2)
MOST_USED = 1_600_000_000  # bytes, of the 2 GB that a session may have
DEBIAN, MICROMAMBA, IMAGE = "podium.test/debian:13", "podium.test/micromamba", "podium.test/binder"


@pytest.fixture(scope="module")
def image() -> str:
    """The image, built as Binder's builder would, but for what it can't reach here."""
    docker("import", str(FOLDER / "debian.tar"), DEBIAN, limit=300)
    (FOLDER / "Dockerfile").write_text(f"FROM {DEBIAN}\nCOPY wheels /wheels\nCOPY micromamba /usr/bin/\n")
    (FOLDER / ".dockerignore").write_text("*\n!wheels\n!micromamba\n")
    shutil.copy(Path(__file__).with_name("micromamba"), FOLDER)
    build("--tag", MICROMAMBA, str(FOLDER))
    with served(FOLDER) as address:
        where = f"PODIUM_BUNDLE_URL={address}/{replaced.archive(FOLDER).name}"
        replacing = [f"--build-arg={word}" for word in (f"MICROMAMBA={MICROMAMBA}", f"DEBIAN={DEBIAN}", where)]
        build(*replacing, "--network=host", "--tag", IMAGE, "--file=binder/Dockerfile", ".")
    return IMAGE


def build(*arguments: str) -> None:
    """Build an image with the builder that every docker has; what it prints is shown where it fails."""
    environment = os.environ | {"DOCKER_BUILDKIT": "0"}
    subprocess.run(["docker", "build", *arguments], env=environment, check=True, timeout=1800, cwd=replaced.ROOT)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which the files of ``folder`` are served while the block runs."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def session(image: str) -> Iterator[Session]:
    """A session whose server answers."""
    with Session(image) as session:
        wait_until(session.answers, "JupyterLab to answer", limit=300, every=0.1)
        session.figures["JupyterLab answers after (s)"] = session.age()
        yield session
        session.figures["memory at its peak (MB)"] = round(session.peak / 1e6)
        print(f"\n{json.dumps(session.figures, indent=1)}")
        (FOLDER / "figures.json").write_text(json.dumps(session.figures, indent=1))
        assert session.killed() == 0


def test_the_first_pod_runs_on_the_cluster_that_started_with_the_session(session: Session) -> None:
    with session.notebook("course/04-the-pod.ipynb") as notebook:
        said = notebook.run(FIRST_POD)
    session.figures["first Pod Ready after (s)"] = session.age()
    assert said.split() == ["node-1", "first"]


FIRST_POD = """
import podium
cluster = podium.open(nodes=1)
cluster.kubectl("run", "first", "--image=podium.test/busybox:1.37", "--", "sleep", "infinity")
cluster.kubectl("wait", "--for=condition=Ready", "pod/first", "--timeout=300s")
print(*cluster.nodes(), cluster.exec("first", ["hostname"]))
"""


def test_it_is_what_binder_asks_for(session: Session) -> None:
    status = dict(line.split(":\t") for line in session.run("cat", "/proc/1/status").splitlines() if ":\t" in line)
    assert status["Uid"].split() == ["1000"] * 4
    assert (status["CapBnd"], status["NoNewPrivs"], status["Seccomp"]) == ("0" * 16, "1", "2")
    assert "jupyter-lab" in session.run("cat", "/proc/1/cmdline")  # the entry point has given way to the server
    assert session.run("sh", "-c", "cd && pwd && touch .local/of-the-learner") == "/home/jovyan"


def test_learners_get_no_answers(session: Session) -> None:
    found = session.run("find", "/home/jovyan", "/opt/podium", "/opt/bundle", "-name", "*.ipynb").splitlines()
    lessons = {f"course/{path.name}" for path in (replaced.ROOT / "course").glob("*.ipynb")}
    labs = {f"labs/release/{path.name}/{path.name}.ipynb" for path in (replaced.ROOT / "labs/source").iterdir()}
    assert set(found) == {f"/home/jovyan/{path}" for path in lessons | labs}
    assert session.run("sh", "-c", "grep -rl 'BEGIN SOLUTION' /home/jovyan /opt/podium --include=*.ipynb || true") == ""
    assert session.run("sh", "-c", "ls -d /home/jovyan/labs/* /opt/podium/labs || true") == "/home/jovyan/labs/release"


def test_learners_get_no_tools_of_instructors(session: Session) -> None:
    settings = re.search(r'"disabledExtensions": (\[.*?\])', session.ask("lab"))
    assert settings
    assert {"@jupyter/nbgrader", "@jupyterlab/apputils-extension:announcements"} <= set(json.loads(settings[1]))


def test_the_cluster_survives_a_kernel(session: Session) -> None:
    with session.notebook("course/06-the-life-of-a-pod.ipynb") as notebook:
        before = notebook.run(WHO)
        notebook.restart()
        assert notebook.run(WHO) == before


WHO = """
import podium
print(podium.open(nodes=1).kubectl("get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}"))
"""


def test_a_lesson_and_a_lab_at_once_fit_into_its_memory(session: Session) -> None:
    """For PODIUM_BINDER_MINUTES: a learner who reads lesson 05 again and again, beside an open lab."""
    lab = session.notebook("labs/release/02-first-pod/02-first-pod.ipynb")
    lesson = session.notebook("course/05-how-a-pod-is-created.ipynb")
    until, rounds = time.monotonic() + 60 * MINUTES, 0
    while not rounds or time.monotonic() < until:
        lab.run_all(solved=False)
        lesson.run_all()
        rounds += 1
    session.figures |= {"minutes of use": MINUTES, "lessons run": rounds}
    assert session.killed() == 0
    assert session.peak < MOST_USED < MEMORY
