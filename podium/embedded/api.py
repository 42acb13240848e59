"""The few questions that are asked of the API server while it starts, with the standard library: quick to import."""

import base64
import http.client
import json
import ssl
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import urlsplit


class Api:
    """A connection to the API server, or to another component that knows the same users.

    Args:
        kubeconfig: A kubeconfig that Podium wrote: the user, the authority and, unless given, the address.
        url: The component's address, where it is not the API server's.
    """

    def __init__(self, kubeconfig: Path, url: str = "") -> None:
        config = json.loads(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._address = urlsplit(url or cluster["server"]).netloc
        self._tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        with NamedTemporaryFile(dir=kubeconfig.parent) as pair:
            pair.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
            pair.flush()
            self._tls.load_cert_chain(pair.name)

    @classmethod
    def etcd(cls, folder: Path, url: str) -> "Api":
        """A connection to etcd, which knows other users."""
        api = cls.__new__(cls)
        api._address = urlsplit(url).netloc
        api._tls = ssl.create_default_context(cafile=str(folder / "pki/etcd-ca.crt"))
        api._tls.load_cert_chain(folder / "pki/etcd-client.crt", folder / "pki/etcd-client.key")
        return api

    def get(self, path: str) -> tuple[int, bytes]:
        """The status and the body of the answer.

        Raises:
            OSError: The API server does not answer.
        """
        return self._call("GET", path)

    def delete(self, path: str) -> tuple[int, bytes]:
        """Delete an object, as :meth:`get`."""
        return self._call("DELETE", path)

    def put(self, path: str, body: str) -> tuple[int, bytes]:
        """Send a text, as :meth:`get`."""
        return self._call("PUT", path, body)

    def object(self, path: str) -> dict[str, Any] | None:
        """The object at a path; None while the API server or the object is not there."""
        try:
            status, body = self.get(path)
        except OSError:
            return None
        return json.loads(body) if status == http.HTTPStatus.OK else None

    def ready(self) -> bool:
        """Whether the API server says that it is ready."""
        try:
            return self.get("/readyz")[0] == http.HTTPStatus.OK
        except OSError:
            return False

    def _call(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection(self._address, timeout=5, context=self._tls)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
