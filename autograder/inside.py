"""What runs in a sandbox beside the notebook's kernel: it hands cells to that, and says how it went.

Nothing that it says is believed, but that a cell has ended.
"""

import asyncio
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any, TextIO

from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat.v4 import new_code_cell, new_notebook

from autograder.relay import forward, serving

TEXT_LIMIT = 20_000
"""Characters of a cell's output that are kept."""


class Runner(NotebookClient):
    """Runs cells, and keeps of what they print the beginning, as text."""

    text = ""
    limit = 0.0

    def output(self, _: list, message: dict, *__: Any) -> None:
        """Keep the text of an output."""
        content = message["content"]
        shown = content.get("data", {}).get("text/plain", "")
        said = content.get("text") or "\n".join(content.get("traceback", ())) or shown
        self.text = (self.text + str(said))[:TEXT_LIMIT]

    def run(self, source: str, limit: float) -> dict[str, str]:
        """Run one cell for at most ``limit`` seconds."""
        self.text, self.limit = "", limit
        self.nb.cells = [new_code_cell(source)]
        state = "ran"
        try:
            self.execute_cell(self.nb.cells[0], 0)
        except DeadKernelError:
            state = "died"
        except CellTimeoutError:
            state = "stuck"
        return {"state": state, "text": self.text}


def serve(requests: TextIO, answers: TextIO) -> None:
    """Start a kernel and run what is asked for."""
    runner = Runner(
        new_notebook(),
        kernel_name="python3",
        allow_errors=True,
        timeout_func=lambda _: runner.limit,
        error_on_timeout={"ename": "CellTimeoutError", "evalue": "", "traceback": []},
        interrupt_on_timeout=True,
        shutdown_kernel="immediate",
    )
    with runner.setup_kernel(cwd=os.getcwd()):
        for line in requests:
            print(json.dumps(runner.run(**json.loads(line))), file=answers, flush=True)


def main(folder: Path, port: int, limits: dict[str, int]) -> None:
    """Set the limits of every process in the sandbox, open the way to the API server, and serve.

    Args:
        folder: Where the relay's sockets are.
        port: The API server's, which is opened on loopback here.
        limits: Values for what setrlimit(2) knows, by their names without ``RLIMIT_``.
    """
    for name, value in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    answers = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # the kernel inherits these
    os.dup2(nowhere, 2)
    there = forward(lambda: asyncio.open_unix_connection(folder / "api.sock"))
    with serving(asyncio.start_server(there, "127.0.0.1", port)):
        serve(sys.stdin, answers)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
