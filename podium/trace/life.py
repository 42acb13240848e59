"""The life of one Pod: what its status was and when, and what its kubelet's log says of probes and hooks.

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/.

Of a hook ``postStart`` a kubelet writes something only if it fails; of a hook ``preStop`` and of each probe, at
verbosity 3: pkg/kubelet/kuberuntime and pkg/kubelet/prober in Kubernetes' source.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from podium.trace.klog import Line

VERBOSITY = 3
FRESH = 3.0  # seconds: a Pod that is younger when it is first seen, is seen from its beginning
PAST = 600.0  # seconds of an older Pod's past that are shown
PHASES = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
CONDITIONS = ("PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready")
PROBES = ("startup", "readiness", "liveness")


@dataclass
class Span:
    """Something that held for a while.

    Attributes:
        start: Since when, in seconds since 1970.
        end: Until when; None while it holds.
        value: What held: ``Running``, ``True``, ``waiting``.
        detail: The same for people, with the reason.
    """

    start: float
    end: float | None
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Mark:
    """Something that happened at one moment: its time in seconds since 1970, ``ok`` or not, and the same for people."""

    time: float
    ok: bool
    detail: str


@dataclass
class Track:
    """What is followed of one thing.

    Attributes:
        group: ``Pod``, ``Conditions``, ``Containers``, ``Probes``, ``Hooks``.
        name: Of the thing in its group.
        note: What has to be said about it: what kind of container it is, or why nothing can be told.
        spans: What held, one after the other.
        marks: What happened.
    """

    group: str
    name: str
    note: str = ""
    spans: list[Span] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)

    def hold(self, value: str, time: float, detail: str = "") -> None:
        """From now on it is this; what is so already goes on."""
        if self.now == value:
            self.spans[-1].detail = detail or self.spans[-1].detail
            return
        self.close(time)
        if value:
            self.spans.append(Span(time, None, value, detail))

    def close(self, time: float) -> None:
        """It holds no longer."""
        if self.spans and self.spans[-1].end is None:
            self.spans[-1].end = max(time, self.spans[-1].start)

    def mark(self, mark: Mark) -> None:
        """Note what happened, once."""
        if mark not in self.marks:
            self.marks.append(mark)

    @property
    def now(self) -> str:
        """What holds; empty for nothing."""
        return self.spans[-1].value if self.spans and self.spans[-1].end is None else ""


class Life:
    """The life of one Pod, as far as it was seen.

    Args:
        name: The Pod's name.

    Attributes:
        pod: The Pod's object, as it was last seen; None before.
        began: When the picture begins, in seconds since 1970.
        gone: When the Pod was seen to be gone.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.pod: dict[str, Any] | None = None
        self.began = 0.0
        self.gone: float | None = None
        self._tracks: dict[tuple[str, str], Track] = {}

    @property
    def tracks(self) -> list[Track]:
        """What is followed, in the order of the picture."""
        order = ("Pod", "Conditions", "Containers", "Probes", "Hooks")
        return sorted(self._tracks.values(), key=lambda track: order.index(track.group))

    def track(self, group: str, name: str, note: str = "") -> Track:
        """The track of one thing."""
        return self._tracks.setdefault((group, name), Track(group, name, note))

    def see(self, pod: dict[str, Any], time: float) -> None:
        """Take a version of the Pod, as the API server sent it at a time (seconds since 1970)."""
        if self.pod is None or self.pod["metadata"]["uid"] != pod["metadata"]["uid"]:
            self._begin(pod, time)
        older = time if self.pod is None else None  # of the first version, some things say how old they are
        self.pod = pod
        status, meta = pod.get("status", {}), pod["metadata"]
        phase = self.track("Pod", "phase")
        new_here = older is not None and self.began < time
        phase.hold(status.get("phase", "Pending"), time, "It was so when the picture began." if new_here else "")
        if meta.get("deletionTimestamp"):
            grace = meta.get("deletionGracePeriodSeconds", 0)
            self.track("Pod", "deletion").hold("terminating", time, f"Asked for with {grace} s of grace.")
        for condition in status.get("conditions") or []:
            said = ": ".join(filter(None, (condition.get("reason"), condition.get("message"))))
            since = self._clip(condition.get("lastTransitionTime"), time) if new_here else time
            self.track("Conditions", condition["type"]).hold(condition["status"], since, said)
        for kind, container, state in _containers(pod):
            track = self.track("Containers", container["name"], kind)
            self._contain(track, state, time, new_here)
        self._declare(pod)

    def _begin(self, pod: dict[str, Any], time: float) -> None:
        self.pod, self.gone = None, None
        self._tracks.clear()
        created = _seconds(pod["metadata"]["creationTimestamp"])
        self.began = time if time - created < FRESH else max(created, time - PAST)
        for name in CONDITIONS:
            self.track("Conditions", name)

    def _clip(self, moment: str | None, time: float) -> float:
        return min(max(_seconds(moment), self.began), time) if moment else time

    def _contain(self, track: Track, state: dict[str, Any], time: float, new_here: bool) -> None:
        (value, about), *_ = (state.get("state") or {"waiting": {}}).items()
        restarts = state.get("restartCount", 0)
        last = (state.get("lastState") or {}).get("terminated")
        if last and restarts:
            ended = self._clip(last.get("finishedAt"), time)
            track.mark(Mark(ended, False, f"Start {restarts} had ended: {_ending(last)}"))
        since = self._clip(about.get("startedAt"), time) if new_here and value == "running" else time
        if value == "running":
            ready = "ready" if state.get("ready") else "not ready"
            track.hold(f"running, {ready}", since, f"restarts: {restarts}")
        elif value == "terminated":
            track.hold("completed" if about.get("exitCode") == 0 else "failed", since, _ending(about))
        else:
            said = ": ".join(filter(None, (about.get("reason"), about.get("message")))) or "nothing is known of it yet"
            track.hold("waiting", since, said)

    def _declare(self, pod: dict[str, Any]) -> None:
        """A track for each probe and hook of the Pod's spec."""
        for _, container, _ in _containers(pod):
            for probe in PROBES:
                if asked := container.get(f"{probe}Probe"):
                    every = asked.get("periodSeconds", 10)
                    self.track("Probes", f"{container['name']}: {probe}", f"every {every} s")
            hooks = container.get("lifecycle") or {}
            if hooks.get("postStart"):
                said = "a kubelet leaves no record of it unless it fails"
                self.track("Hooks", f"{container['name']}: postStart", said)
            if hooks.get("preStop"):
                self.track("Hooks", f"{container['name']}: preStop")

    @property
    def listens(self) -> str:
        """The node whose kubelet's log has something to tell; empty for none."""
        told = any(track.group in ("Probes", "Hooks") for track in self._tracks.values())
        return self.pod["spec"].get("nodeName", "") if told and self.pod and not self.gone else ""

    def read(self, lines: Iterable[Line], namespace: str) -> bool:
        """Take what the kubelet's log says of probes and hooks; tell whether there was something new."""
        before = self._counted()
        for line in lines:
            if line["pod"] != f"{namespace}/{self.name}" or line.time < self.began - 1:
                continue
            container, probe = line["containerName"], line["probeType"].lower()
            match line.message:
                case "Probe succeeded" | "Probe succeeded with a warning":
                    self._probed(container, probe, Mark(line.time, True, "succeeded"))
                case "Probe failed" | "Probe errored":
                    said = (line["output"] or line["err"]).strip()
                    self._probed(container, probe, Mark(line.time, False, f"failed: {said}"))
                case "Running preStop hook":
                    hook = self.track("Hooks", f"{container}: preStop")
                    if not any(span.start == line.time for span in hook.spans):
                        hook.hold("running", line.time, "The containers get SIGTERM when it is over.")
                case "PreStop hook completed" | "PreStop hook not completed in grace period":
                    self.track("Hooks", f"{container}: preStop").close(line.time)
                case "PreStop hook failed" | "Failed to execute PostStartHook":
                    name = f"{container}: {'preStop' if 'PreStop' in line.message else 'postStart'}"
                    self.track("Hooks", name).mark(Mark(line.time, False, f"failed: {line['err']}"))
        return self._counted() != before

    def _probed(self, container: str, probe: str, mark: Mark) -> None:
        self.track("Probes", f"{container}: {probe}").mark(mark)

    def _counted(self) -> int:
        return sum(
            len(track.marks) + len(track.spans) + sum(span.end is not None for span in track.spans)
            for track in self._tracks.values()
        )

    def go(self, time: float) -> None:
        """The Pod is gone."""
        self.gone = self.gone or time
        for track in self._tracks.values():
            track.close(time)

    @property
    def phase(self) -> str:
        """The phase in which it is; ``gone`` at the end, empty before the beginning."""
        if self.gone:
            return "gone"
        return self.track("Pod", "phase").now if self.pod else ""

    def __str__(self) -> str:
        """How it stands, in one sentence for each thing."""
        if self.pod is None:
            return f"Pod {self.name}: there is none."
        if self.gone:
            return f"Pod {self.name} is gone. It lived for {self.gone - self.began:.1f} s of this picture."
        lines = [f"Pod {self.name} is {self.phase}{', and being deleted' if self._deleting() else ''}."]
        lines += [
            f"{track.group[:-1].lower()} {track.name}: {track.now} ({track.spans[-1].detail})".replace(" ()", "")
            for track in self.tracks
            if track.group != "Pod" and track.now
        ]
        for track in self.tracks:
            if track.group == "Probes":
                good = sum(mark.ok for mark in track.marks)
                lines.append(f"probe {track.name}: {good} succeeded, {len(track.marks) - good} failed")
        return "\n".join(lines)

    def _deleting(self) -> bool:
        return ("Pod", "deletion") in self._tracks


def _containers(pod: dict[str, Any]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Of each container: its kind, its spec and its status, in the order in which they start."""
    spec, status = pod["spec"], pod.get("status", {})
    found = []
    for kind, specs, states in (
        ("init", "initContainers", "initContainerStatuses"),
        ("", "containers", "containerStatuses"),
        ("ephemeral", "ephemeralContainers", "ephemeralContainerStatuses"),
    ):
        by_name = {state["name"]: state for state in status.get(states) or []}
        for container in spec.get(specs) or []:
            sidecar = kind == "init" and container.get("restartPolicy") == "Always"
            found.append(("sidecar" if sidecar else kind, container, by_name.get(container["name"], {})))
    return found


def _ending(about: dict[str, Any]) -> str:
    signal = f", signal {about['signal']}" if about.get("signal") else ""
    return f"{about.get('reason', 'ended')}, exit status {about.get('exitCode')}{signal}"


def _seconds(moment: str | datetime) -> float:
    return (moment if isinstance(moment, datetime) else datetime.fromisoformat(moment)).timestamp()
