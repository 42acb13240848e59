"""What a kubelet's log tells of one Pod. Most of it stands there at verbosity 4: pkg/kubelet in Kubernetes' source."""

import json
import re

from podium.trace.klog import Line
from podium.trace.model import Step

SOURCE = "kubelet's log"
VERBOSITY = 4

_VOLUME = re.compile(r'volume "([^"]+)"')


def steps(lines: list[Line], node: str, pod: str, namespace: str, uid: str = "") -> list[Step]:
    """What the kubelet of a node did about a Pod."""
    full = f"{namespace}/{pod}"
    found: list[Step] = []
    opened: dict[str, Line] = {}

    def step(verb: str, line: Line, what: str, detail: str, since: str = "", **facts: object) -> None:
        first = opened.pop(since, line)
        text = line.text if first is line else f"{first.text}\n{line.text}"
        end = None if first is line else line.time
        facts = {"pod": pod, "uid": uid, "node": node, **facts}
        found.append(Step(f"{node}/kubelet", verb, what, first.time, end, detail, SOURCE, text, facts=facts))

    mounted: set[str] = set()
    for line in lines:
        if line["pod"] != full and full not in line["pods"]:
            continue
        container = line["containerName"] or line["container"]
        match line.message:
            case "SyncLoop ADD":
                step("see", line, f"Pod {pod}", "its watch brought a Pod that is bound to this node")
            case "SyncLoop DELETE":
                step("see deletion", line, f"Pod {pod}", "its watch brought the time of deletion", deletion=True)
            case "SyncLoop REMOVE":
                step("see removal", line, f"Pod {pod}", "its watch told that the object is gone", removal=True)
            case "Pod Admit Result":
                step("admit", line, f"Pod {pod}", line["Message"] or "the node can run it")
            case "Creating PodSandbox for pod":
                opened["sandbox"] = line
            case "Created PodSandbox for pod":
                step("sandbox", line, f"sandbox of {pod}", f"asked the runtime: {line['podSandboxID'][:12]}", "sandbox")
            case "Determined the ip for pod after sandbox changed":
                addresses = ", ".join(json.loads(line["IPs"]))
                step("address", line, f"sandbox of {pod}", f"the runtime says {addresses}")
            case "Creating container in pod":
                step(
                    "container",
                    line,
                    f"container {container}",
                    "asks the runtime to create and start it",
                    container=container,
                )
            case "SyncLoop (PLEG): event for pod":
                event = json.loads(line["event"])
                verb = {"ContainerStarted": "notice start", "ContainerDied": "notice end"}.get(event["Type"])
                if verb:
                    step(verb, line, f"container {event['Data'][:12]}", "its relist found the change", id=event["Data"])
            case "SyncLoop (probe)":
                if line["status"]:
                    step("probe", line, f"Pod {pod}", f"{line['probe']}: {line['status']}")
            case "Probe failed":
                step(
                    "probe",
                    line,
                    f"container {container}",
                    f"{line['probeType']} failed: {line['output'].strip()}",
                    failed=True,
                )
            case "Killing container with a grace period":
                opened[container] = line
            case "Container exited normally":
                step(
                    "stop",
                    line,
                    f"container {container}",
                    "asked the runtime to end it",
                    container,
                    container=container,
                )
            case "Pod termination unmounted volumes":
                step("unmount", line, f"volumes of {pod}", "all volumes are unmounted")
            case "Pod termination removed cgroups":
                step("clean up", line, f"cgroup of {pod}", "its cgroup is gone")
            case "Error syncing pod, skipping":
                step("give up", line, f"Pod {pod}", f"for now: {line['err']}", failed=True)
            case str(message) if message.startswith(
                ("operationExecutor.MountVolume started", "MountVolume.SetUp succeeded")
            ):
                volume = _VOLUME.search(message)
                if volume and volume[1] not in mounted:
                    if message.startswith("operation"):
                        opened[f"volume {volume[1]}"] = line
                    else:
                        mounted.add(volume[1])
                        step("mount", line, f"volume {volume[1]}", "its files are in place", f"volume {volume[1]}")
    return found
