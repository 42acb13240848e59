"""Talking to the first process of a node: over the network's proxy socket, with mutual TLS."""

import http.client
import json
import os
import socket
import ssl
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from podium.embedded import network
from podium.errors import PodiumError

_STDOUT, _STDERR = 1, 2


class Agent:
    """The agent of one node.

    Args:
        folder: The cluster's folder.
        name: The node's name, as its certificate has it.
        address: The node's address in the cluster's network.
    """

    def __init__(self, folder: Path, name: str, address: str) -> None:
        self._folder, self._name, self._address = folder, name, address
        self._tls = ssl.create_default_context(cafile=str(folder / "pki/agent-ca.crt"))
        self._tls.load_cert_chain(folder / "pki/agent-client.crt", folder / "pki/agent-client.key")

    def components(self) -> list[dict[str, Any]]:
        """The node's programs: name, state, pid, argv, restarts, last_exit, since."""
        return json.loads(self._call("GET", "/components"))

    def start(self, component: str) -> None:
        """Start a program that was stopped."""
        self._call("POST", f"/components/{component}/start")

    def stop(self, component: str) -> None:
        """Stop a program; it stays down until it is started."""
        self._call("POST", f"/components/{component}/stop")

    def log(self, component: str, lines: int) -> str:
        """The last lines of a program's log."""
        return self._call("GET", f"/components/{component}/log?lines={lines}").decode(errors="replace")

    def execute(
        self, argv: list[str], stdin: bytes | Iterable[bytes] = b"", limit: float = 120
    ) -> tuple[int, bytes, bytes]:
        """Run a command as root on the node.

        Args:
            argv: The command and its arguments.
            stdin: What it reads.
            limit: Seconds without any output after which it is given up and killed.

        Returns:
            The exit status (128 + the number of the signal that killed it), standard output, standard error.
        """
        streams: dict[int, list[bytes]] = {_STDOUT: [], _STDERR: []}
        with self._request("POST", "/exec?" + urlencode([("arg", a) for a in argv]), stdin, limit) as response:
            for number, data in _frames(response):
                if number in streams:
                    streams[number].append(data)
                else:
                    return int(data), b"".join(streams[_STDOUT]), b"".join(streams[_STDERR])
        raise PodiumError(f"{self._name} broke off while it ran {' '.join(argv)}.", "See its console: podium status.")

    def _call(self, method: str, path: str) -> bytes:
        with self._request(method, path, b"", limit=30) as response:
            return response.read()

    @contextmanager
    def _request(
        self, method: str, path: str, body: bytes | Iterable[bytes], limit: float
    ) -> Iterator[http.client.HTTPResponse]:
        try:
            connection = _Tunnel(self._folder, self._name, self._address, self._tls, limit)
            try:
                connection.request(method, path, body, encode_chunked=not isinstance(body, bytes))
                response = connection.getresponse()
                if response.status != http.HTTPStatus.OK:
                    raise PodiumError(f"{self._name} answered {response.status}: {response.read().decode().strip()}")
                yield response
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise PodiumError(
                f"{self._name} does not answer ({error}).",
                "Is it running? `podium status` tells; its console is its log.",
            ) from error


class _Tunnel(http.client.HTTPConnection):
    def __init__(self, folder: Path, name: str, address: str, tls: ssl.SSLContext, limit: float) -> None:
        super().__init__(name, network.AGENT_PORT, timeout=limit)
        self._folder, self._address, self._tls = folder, address, tls

    def connect(self) -> None:
        directory = os.open(self._folder, os.O_PATH)
        wire = socket.socket(socket.AF_UNIX)
        try:
            wire.settimeout(self.timeout)
            wire.connect(f"/proc/self/fd/{directory}/egress.sock")
            wire.sendall(f"CONNECT {self._address}:{self.port} HTTP/1.1\r\nHost: {self._address}\r\n\r\n".encode())
            head = b""
            while not head.endswith(b"\r\n\r\n"):  # a byte at a time: what follows belongs to TLS
                byte = wire.recv(1)
                if not byte:
                    break
                head += byte
            if b" 200 " not in head.partition(b"\r\n")[0]:
                raise ConnectionRefusedError(
                    head.rpartition(b"\r\n\r\n")[2].decode() or "the node is not on the network"
                )
            self.sock = self._tls.wrap_socket(wire, server_hostname=self.host)
        except OSError:
            wire.close()
            raise
        finally:
            os.close(directory)


def _frames(response: http.client.HTTPResponse) -> Iterator[tuple[int, bytes]]:
    while len(header := response.read(5)) == 5:
        number, length = struct.unpack(">BI", header)
        yield number, response.read(length)
