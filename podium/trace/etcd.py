"""What etcd's own watch tells: https://etcd.io/docs/latest/learning/api/#watch-api."""

import base64
import json
import threading
import time
from contextlib import ExitStack
from typing import Any

from podium.cluster import Cluster
from podium.trace.audit import Family, key_of
from podium.trace.model import Step
from podium.waiting import wait_until

SOURCE = "etcd watch"


class Watch:
    """A watch of the whole store, from the moment it is made until it is closed.

    etcd tells revisions and no times, so each answer is given the time at which it came.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._answers: list[tuple[float, dict[str, Any]]] = []
        self._stack = ExitStack()
        newest = json.loads(cluster.etcd("get", "/registry/health", "--write-out=json"))["header"]["revision"]
        stream = self._stack.enter_context(cluster.etcd_watch("/registry/", newest))
        self._reader = threading.Thread(target=self._read, args=[stream], daemon=True)
        self._reader.start()
        try:
            # The newest revision is told at once: then nothing can be missed any more.
            wait_until(lambda: self._answers, "etcd's watch to begin", limit=10, every=0.02)
        except BaseException:
            self.close()
            raise

    def _read(self, stream: Any) -> None:
        for answer in stream:
            self._answers.append((time.time(), answer))

    def close(self) -> None:
        """End the watch."""
        self._stack.close()
        self._reader.join()

    def steps(self, family: Family, since: float) -> list[Step]:
        """The writes to the family's keys that came at ``since`` or later."""
        keys = {key_of(resource, family.namespace, name): (resource, name) for resource, name in family.names}
        found = []
        for came, answer in list(self._answers):
            for event in answer.get("Events", []):
                entry = event["kv"]
                key = base64.b64decode(entry["key"]).decode()
                if key not in keys or came < since:
                    continue
                resource, name = keys[key]
                size = len(base64.b64decode(entry.get("value", "")))
                verb = "delete" if event.get("type") == 1 else "write"
                detail = f"revision {entry['mod_revision']}"
                detail += f", version {entry['version']} of this key, {size} bytes" if verb == "write" else ""
                facts = {
                    "key": key,
                    "revision": entry["mod_revision"],
                    "version": entry.get("version", 0),
                    "size": size,
                }
                facts |= {"resource": resource, "name": name, "verb": verb}
                found.append(Step("etcd", verb, key, came, None, detail, SOURCE, event, facts=facts))
        return found
