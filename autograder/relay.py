"""The only ways out of a sandbox: to its cluster's API server, and to what a lab lets learners do to components."""

import asyncio
import json
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from autograder.cluster import start_of
from autograder.manifest import Lab
from podium.cluster import Cluster
from podium.errors import PodiumError
from podium.relayed import ANSWER_LIMIT, READ

CONNECTIONS = 64
"""Connections that a sandbox may have at a time."""

REQUEST_LIMIT = 4096
"""Bytes that a request about components may have."""

LINES = 10_000
"""Lines of a log that may be asked for."""

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Server = Awaitable[asyncio.AbstractServer]


@contextmanager
def serving(*servers: Server) -> Iterator[None]:
    """Serve from a thread of its own while the block runs."""
    loop = asyncio.new_event_loop()
    open_ones = [loop.run_until_complete(server) for server in servers]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for server in open_ones:
            server.close()
        while tasks := asyncio.all_tasks(loop):  # those that end may let in another one, which has come meanwhile
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.wait(tasks))
        loop.close()


def forward(connect: Callable[[], Awaitable[Ends]]) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
    """What a server does that carries the bytes of each connection to another one and back.

    Args:
        connect: Opens the other one.
    """
    open_ones = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_ones
        if open_ones >= CONNECTIONS:
            writer.close()
            return
        open_ones += 1
        try:
            beyond, back = await connect()
            try:
                await asyncio.gather(_pour(reader, back), _pour(beyond, writer))
            finally:
                back.close()
        except (OSError, asyncio.CancelledError):
            pass  # one of the two ends is gone, or the server, and so is the connection
        finally:
            open_ones -= 1
            writer.close()

    return serve


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


@contextmanager
def relay(folder: Path, cluster: Cluster, server: str, lab: Lab) -> Iterator[None]:
    """Serve, while the block runs, the sockets ``api.sock`` and ``components.sock`` in a folder.

    Args:
        folder: Where to put them; who can get there can use them.
        cluster: The cluster.
        server: Its API server's address, as a kubeconfig has it.
        lab: Its learners may stop and start the components that its tasks break.
    """
    address = urlsplit(server)
    lock = asyncio.Lock()
    starts = [found for task in lab.tasks if task.start.exists() for found in start_of(task.id).values()]
    broken = {found["metadata"]["name"] for found in starts if found["kind"] == "Component"}

    async def components(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            async with lock:
                answer = await asyncio.to_thread(_answer, line, cluster, broken)
            writer.write(answer)
            await writer.drain()
        except (OSError, ValueError, asyncio.CancelledError):
            pass  # it hung up, what it sent is too long, or the server is gone
        finally:
            writer.close()

    api = forward(lambda: asyncio.open_connection(address.hostname, address.port))
    here = os.open(folder, os.O_PATH | os.O_DIRECTORY)  # for an address of a socket is short, and a path may be long
    try:
        with serving(
            asyncio.start_unix_server(api, f"/proc/self/fd/{here}/api.sock"),
            asyncio.start_unix_server(components, f"/proc/self/fd/{here}/components.sock", limit=REQUEST_LIMIT),
        ):
            yield
    finally:
        os.close(here)


def _answer(line: bytes, cluster: Cluster, broken: set[str]) -> bytes:
    """The answer to one request, which anybody may have written."""
    try:
        request = json.loads(line)
        answer = {"value": _do(cluster, broken, str(request["do"]), str(request["name"]), list(request["arguments"]))}
    except PodiumError as problem:
        answer = {"error": problem.what, "hint": problem.hint}
    except (ValueError, KeyError, TypeError, RecursionError):
        answer = {"error": "This is no request."}
    return json.dumps(answer).encode()[: ANSWER_LIMIT - 1] + b"\n"


def _do(cluster: Cluster, broken: set[str], do: str, name: str, arguments: list) -> Any:
    if do == "nodes":
        return cluster.nodes()
    known = cluster.components
    if do == "names":
        return list(known)
    if name not in known:
        raise PodiumError(f"There is no component {name!r}.", f"There are {', '.join(known)}.")
    if do in ("start", "stop") and name.rpartition("/")[2] in broken:
        return getattr(known[name], do)()
    if do not in READ:
        raise PodiumError(f"A notebook of this lab cannot {do} {name} while it is being graded.")
    if do == "log":
        return known[name].log(min(int(arguments[0]), LINES))
    value = getattr(known[name], do)
    return value() if callable(value) else value
