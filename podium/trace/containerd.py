"""What the container runtime tells: containerd's log of CRI calls, and what it answers to crictl.

https://kubernetes.io/docs/concepts/containers/cri/, https://kubernetes.io/docs/tasks/debug/debug-cluster/crictl/.
"""

import json
import re
from datetime import datetime

from podium.cluster import Cluster
from podium.errors import PodiumError
from podium.trace.klog import Line, whole
from podium.trace.model import Step

SOURCE = "containerd's log"
_ENTRY = re.compile(r'time="([^"]+)" level=\w+ msg="((?:[^"\\]|\\.)*)"')
_ID = re.compile(r"\b([0-9a-f]{64})\b")
_NAME = re.compile(r'name:"([^"]+)"|Name:([^,}]+)')


def parse(log: str) -> list[Line]:
    """The entries of a log in the text format of logrus."""
    entries = ((_ENTRY.search(text), text) for text in whole(log))
    return [
        Line(datetime.fromisoformat(found[1]).timestamp(), found[2].replace('\\"', '"'), text)
        for found, text in entries
        if found
    ]


def steps(lines: list[Line], node: str, pod: str, uid: str, images: set[str], since: float) -> list[Step]:
    """The CRI calls that concern a Pod, and what became of its containers."""
    found: list[Step] = []
    opened: dict[str, Line] = {}
    names: dict[str, str] = {}  # of sandboxes and containers, by id

    def step(verb: str, what: str, line: Line, detail: str, call: str = "", **facts: object) -> None:
        first = opened.pop(call, line)
        text = line.text if first is line else f"{first.text}\n{line.text}"
        end = None if first is line else line.time
        facts = {"pod": pod, "node": node, **facts}
        if line.time >= since:
            found.append(Step(f"{node}/containerd", verb, what, first.time, end, detail, SOURCE, text, facts=facts))

    for line in lines:
        message = line.message
        call = message.split(" ")[0]
        ids = [each for each in _ID.findall(message) if each in names]
        about = ids[0] if ids else ""
        done = " returns " in message or message.endswith("successfully")
        if call == "RunPodSandbox" and uid in message:
            if not done:
                opened[call] = line
            elif found_id := _ID.search(message):
                names[found_id[1]] = f"sandbox of {pod}"
                step("run sandbox", names[found_id[1]], line, f"id {found_id[1][:12]}", call, id=found_id[1])
            else:
                step("run sandbox", f"sandbox of {pod}", line, message, call, failed=True)
        elif call == "PullImage" and (image := next((i for i in images if f'"{i}"' in message), "")):
            if done:
                step("pull image", f"image {image}", line, message.partition(" returns ")[2] or message, call + image)
            elif "failed" in message:
                step("pull image", f"image {image}", line, message, call + image, failed=True)
            else:
                opened[call + image] = line
        elif not about:
            continue
        elif call == "CreateContainer":
            name = next(filter(None, _NAME.search(message.partition(" for ")[2]).groups()))  # type: ignore[union-attr]
            if not done:
                opened[call + name] = line
            else:
                created = _ID.findall(message)[-1]
                names[created] = f"container {name}"
                step("create", names[created], line, f"id {created[:12]}", call + name, id=created, container=name)
        elif call in ("StartContainer", "StopContainer", "StopPodSandbox", "RemoveContainer", "RemovePodSandbox"):
            verb = re.sub(r"([a-z])([A-Z])", r"\1 \2", call).lower().replace(" container", "").replace("pod ", "")
            if done:
                step(verb, names[about], line, f"id {about[:12]}", call + about, id=about)
            elif "failed" in message:
                step(verb, names[about], line, message, call + about, id=about, failed=True)
            else:
                opened[call + about] = line
        elif message.startswith("received container exit event"):
            status = re.search(r"exit_status:(\d+)", message)
            step("exit", names[about], line, f"exit status {status[1] if status else 0}", id=about)
        elif message.startswith("TearDown network"):
            step("tear down", f"network of {pod}", line, "the network address is given back", id=about)
        elif "OOM" in message:
            step("out of memory", names[about], line, message, id=about, failed=True)
    return found


def inspected(cluster: Cluster, node: str, pod: str, uid: str, offset: float, since: float) -> list[Step]:
    """The containers of a Pod as the runtime has them now: when each one's process began, and its number.

    The node's clock is ``offset`` seconds behind.
    """
    listed = cluster.node_exec(node, ["crictl", "ps", "--all", "--quiet", "--label", f"io.kubernetes.pod.uid={uid}"])
    found = []
    for container in listed.split():
        try:
            answer = json.loads(cluster.node_exec(node, ["crictl", "inspect", "--output", "json", container]))
        except PodiumError:  # removed in between
            continue
        status = answer["status"]
        started = datetime.fromisoformat(status["startedAt"]).timestamp() + offset
        if started < since:
            continue
        name, pid = status["metadata"]["name"], answer["info"].get("pid", 0)
        facts = {"pod": pod, "node": node, "id": container, "container": name, "pid": pid}
        detail = f"process {pid} of {node}" if pid else "its process has ended"
        found.append(
            Step(
                f"{node}/containerd",
                "run",
                f"container {name}",
                started,
                None,
                detail,
                "CRI (crictl)",
                answer,
                facts=facts,
            )
        )
    return found
