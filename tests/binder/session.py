"""A session as mybinder.org runs one: the image, in a container with its limits, used as a browser would use it."""

import json
import subprocess
import threading
import time
import urllib.request
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import websocket

MEMORY = 2 << 30  # bytes
TOKEN = "a-token-of-the-hub"
HEADERS = {"Authorization": f"token {TOKEN}"}
BASE = "/user/somebody/"
_LIMITS = (
    "--cpus=1", f"--memory={MEMORY}", f"--memory-swap={MEMORY}", "--user=1000", "--cap-drop=ALL",
    "--security-opt=no-new-privileges", "--shm-size=64m", "--publish=127.0.0.1::8888",
)  # fmt: skip

# As BinderHub's chart has it: helm-chart/binderhub/values.yaml in github.com/jupyterhub/binderhub.
_COMMAND = (
    "python3", "-c", "import os, sys; os.execvp('jupyter-lab', sys.argv)", "--ip=0.0.0.0", "--port=8888",
    f"--NotebookApp.base_url={BASE}", f"--NotebookApp.token={TOKEN}", "--NotebookApp.trust_xheaders=True",
)  # fmt: skip


class Session:
    """A running container. As a context manager it is removed after the block.

    Args:
        image: The image's name.
    """

    def __init__(self, image: str) -> None:
        self._started = time.monotonic()
        self.name = docker("run", "--detach", *_LIMITS, image, *_COMMAND)
        self._address = docker("port", self.name, "8888").splitlines()[0]
        pid = docker("inspect", "--format={{.State.Pid}}", self.name)
        self._group = _memory_group(pid)
        self.peak = 0
        self.figures: dict[str, float] = {}
        self._over = threading.Event()
        self._sampler = threading.Thread(target=self._sample)
        self._sampler.start()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._sampler.join()
        docker("rm", "--force", self.name)

    def _sample(self) -> None:
        while not self._over.wait(0.5):
            self.peak = max(self.peak, self.memory())

    def memory(self) -> int:
        """The bytes that the kernel can't take back from it when memory runs short: all but the pages of files."""
        stat = dict(line.split() for line in (self._group / "memory.stat").read_text().splitlines())
        names = (
            ("total_rss", "total_shmem") if "total_rss" in stat else ("anon", "shmem", "kernel")
        )  # cgroups(7): v1, v2
        return sum(int(stat[name]) for name in names)

    def age(self) -> float:
        """Seconds since it was started."""
        return round(time.monotonic() - self._started, 1)

    def killed(self) -> int:
        """How many of its processes were killed because memory ran out."""
        events = next(path for name in _EVENTS if (path := self._group / name).exists())
        return int(dict(line.split() for line in events.read_text().splitlines())["oom_kill"])

    def run(self, *command: str) -> str:
        """What a command in the container prints."""
        return docker("exec", self.name, *command)

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """The server's answer to a request, read as JSON where it is that.

        Raises:
            OSError: It does not answer, or with an error.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self._address}{BASE}{path}", data, HEADERS, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
            return json.loads(text) if "json" in answer.headers.get("Content-Type", "") else text.decode()

    def answers(self) -> bool:
        """Whether JupyterLab's page can be had. If the container has ended, its last words are shown."""
        if not self._group.exists():
            subprocess.run(["docker", "logs", self.name], check=False)
            raise AssertionError("The session has ended.")
        try:
            return "jupyter-config-data" in self.ask("lab")
        except OSError:
            return False

    def connect(self, kernel: str) -> websocket.WebSocket:
        """A connection to a kernel, as a notebook has one."""
        return websocket.create_connection(
            f"ws://{self._address}{BASE}api/kernels/{kernel}/channels",
            header=[f"{name}: {value}" for name, value in HEADERS.items()], timeout=300,
        )  # fmt: skip

    def notebook(self, path: str) -> "Notebook":
        """Open a notebook: its kernel starts, and ends with the block of a ``with``."""
        return Notebook(self, path)


class Notebook:
    """An open notebook.

    Args:
        session: The session.
        path: Its path there.
    """

    def __init__(self, session: Session, path: str) -> None:
        self._session = session
        self.cells = [
            cell for cell in session.ask(f"api/contents/{path}")["content"]["cells"] if cell["cell_type"] == "code"
        ]
        body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        opened = session.ask("api/sessions", body)
        self._id, self.kernel = opened["id"], opened["kernel"]["id"]

    def __enter__(self) -> "Notebook":
        return self

    def __exit__(self, *_: object) -> None:
        self._session.ask(f"api/sessions/{self._id}", method="DELETE")

    def run_all(self, solved: bool = True) -> None:
        """Run every cell, and raise AssertionError where one fails, unless it is a lab that is not ``solved``."""
        for cell in self.cells:
            with nullcontext() if solved else suppress(AssertionError):
                self.run(cell["source"], cell["id"])

    def run(self, code: str, cell: str = "") -> str:
        """Run code in the kernel, as that of a cell with this id, and return what it prints.

        Raises:
            AssertionError: It raised an exception.
        """
        request = uuid4().hex
        header = {
            "msg_id": request,
            "msg_type": "execute_request",
            "session": request,
            "username": "",
            "version": "5.3",
        }
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True}
        metadata = {"cellId": cell} if cell else {}  # as JupyterLab does
        message = {"header": header, "parent_header": {}, "metadata": metadata, "content": content, "channel": "shell"}
        printed = ""
        # One connection for each cell: the server closes one that answers no pings, and nobody reads between cells.
        with closing(self._session.connect(self.kernel)) as connection:
            connection.send(json.dumps(message))
            while True:
                if isinstance(received := connection.recv(), bytes):  # a widget's
                    continue
                answer = json.loads(received)
                if answer["parent_header"].get("msg_id") != request:
                    continue
                kind, content = answer["msg_type"], answer["content"]
                if kind == "stream":
                    printed += content["text"]
                elif kind == "error":
                    raise AssertionError(f"{code}\n{content['ename']}: {content['evalue']}")
                elif kind == "status" and content["execution_state"] == "idle":
                    return printed

    def restart(self) -> None:
        """Restart the kernel, as the button does."""
        self._session.ask(f"api/kernels/{self.kernel}/restart", {})


def docker(*arguments: str, limit: float = 120) -> str:
    """What docker prints; AssertionError if it fails."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=limit, check=False)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


_EVENTS = ("memory.events", "memory.oom_control")  # cgroups(7): version 2, version 1


def _memory_group(pid: str) -> Path:
    """The control group that bounds the memory of a process: cgroups(7)."""
    groups = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    by_controller = {name: path for _, names, path in groups for name in names.split(",")}
    if "memory" in by_controller:
        return Path(f"/sys/fs/cgroup/memory{by_controller['memory']}")
    return Path(f"/sys/fs/cgroup{by_controller['']}")
