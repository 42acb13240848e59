"""The cluster as a map: what runs where, how it is, and what happens when a part of it is missing."""

from collections.abc import Iterable
from html import escape
from typing import Any, ClassVar

from kubernetes.client import CoreV1Api

from podium.cluster import Cluster
from podium.errors import PodiumError
from podium.trace.picture import style
from podium.widgets.base import BASE_CSS, HERE, Live, Object, Poll, Source, Watch, button
from podium.widgets.pods import SIGNS, status

CONTROL_PLANE = ("kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd")
ON_A_NODE = ("kubelet", "containerd", "kube-proxy")
STATES_EVERY, HEALTH_EVERY, DETAIL_EVERY = 0.25, 5.0, 2.0  # seconds
LINES = 30  # of a log
COMPACT = 36  # Pods on one node, from which on they are shown without their names
WITHOUT = {
    "kube-apiserver": "nobody can ask or change anything, and this map sees nothing new. The containers run on.",
    "etcd": "the API server can neither read nor write: nothing can be changed. The containers run on.",
    "kube-scheduler": "new Pods get no node and stay Pending. Those that have one run on.",
    "kube-controller-manager": "nothing acts on a wish: a Deployment makes no Pods, a lost one is not replaced.",
    "kubelet": "nobody starts, probes or reports this node's Pods; after 40 to 50 seconds the node is NotReady.",
    "containerd": "no container of this node can be started or stopped. Those that run go on.",
    "kube-proxy": "this node's rules for Services grow old: new endpoints are not reached, lost ones still are.",
}
"""What is missing while a component is stopped: https://kubernetes.io/docs/concepts/overview/components/."""
METRICS = (
    "apiserver_current_inflight_requests",
    "apiserver_request_total",
    "apiserver_registered_watchers",
    "apiserver_storage_objects",
    "etcd_debugging_mvcc_current_revision",
    "etcd_debugging_mvcc_keys_total",
    "etcd_debugging_mvcc_watcher_total",
    "etcd_mvcc_db_total_size_in_use_in_bytes",
    "etcd_mvcc_put_total",
    "scheduler_pending_pods",
    "scheduler_pod_scheduling_attempts_count",
    "scheduler_schedule_attempts_total",
    "node_collector_zone_size",
    "workqueue_adds_total",
    "workqueue_depth",
    "kubelet_running_pods",
    "kubelet_running_containers",
    "kubelet_started_pods_total",
    "kubelet_started_containers_total",
    "kubeproxy_sync_proxy_rules_endpoint_changes_total",
    "kubeproxy_sync_proxy_rules_service_changes_total",
    "kubeproxy_sync_proxy_rules_iptables_total",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "go_goroutines",
)
"""What is shown of the hundreds, in this order: https://kubernetes.io/docs/reference/instrumentation/metrics/."""


class Map(Live):
    """The live map of a cluster: the management node and the compute nodes, the components with their health, the Pods
    where they run. A click on any of them tells more; a component can be stopped and started.

    Args:
        cluster: The cluster; the running one unless given, as :func:`podium.open` finds it.

    Example:
        >>> podium.widgets.Map()  # doctest: +SKIP
    """

    label = "Map of the cluster"
    _css: ClassVar[str] = BASE_CSS + (HERE / "map.css").read_text()

    def __init__(self, cluster: Cluster | None = None) -> None:
        self._selected = ("", "")  # a kind, and which one of it
        self._tab = "log"
        self._busy: dict[str, str] = {}
        super().__init__(cluster)

    # -- what it follows

    def follow(self) -> list[Source]:
        """Nodes and Pods as the API server tells them; the components as whoever started them tells."""
        self._nodes = Watch(self.cluster, lambda api: CoreV1Api(api).list_node, self.changed)
        self._pods = Watch(self.cluster, lambda api: CoreV1Api(api).list_pod_for_all_namespaces, self.changed)
        self._states = Poll(self._ask_states, self._states_changed, STATES_EVERY)
        self._health = Poll(self._ask_health, self.changed, HEALTH_EVERY)
        self._detail = Poll(self._ask_detail, self.changed, DETAIL_EVERY)
        return [self._nodes, self._pods, self._states, self._health, self._detail]

    def _ask_states(self) -> dict[str, Object]:
        return {report["name"]: report for report in self.cluster.status()["components"]}

    def _states_changed(self) -> None:
        self._health.soon()
        self.changed()

    def _ask_health(self) -> dict[str, bool]:
        healthy = {}
        for name, component in self.cluster.components.items():
            if name != "coredns":  # it is a Pod, and shown as one
                try:
                    healthy[name] = component.health()
                except PodiumError:
                    healthy[name] = False
        return healthy

    def _ask_detail(self) -> tuple[tuple[str, str], str, Any]:
        """What the panel shows, with what it is about: by the time it comes something else may be selected."""
        (kind, name), tab = self._selected, self._tab
        answer: Any = ""
        if kind == "component":
            component = self.cluster.components[name]
            try:
                answer = getattr(self, f"_ask_{tab}")(component)
            except PodiumError as error:
                answer = error.what
        elif kind == "pod" and tab == "log" and (pod := self._pod(name)):
            answer = self._ask_pod_log(pod)
        return (kind, name), tab, answer

    def _ask_log(self, component: Any) -> str:
        return component.log(LINES)

    def _ask_flags(self, component: Any) -> list[tuple[str, str]]:
        return sorted(component.flags.items())

    def _ask_metrics(self, component: Any) -> list[tuple[str, str, str]]:
        return telling(component.metrics())

    def _ask_pod_log(self, pod: Object) -> str:
        meta = pod["metadata"]
        try:
            return self.cluster.kubectl(
                "logs", meta["name"], "--namespace", meta["namespace"], "--all-containers", f"--tail={LINES}",
                "--prefix", "--request-timeout=5s", limit=10,
            )  # fmt: skip
        except PodiumError as error:
            return error.what

    def _pod(self, uid: str) -> Object | None:
        return next((pod for pod in self._pods.objects if pod["metadata"]["uid"] == uid), None)

    # -- what a click does

    def do_component(self, name: str) -> None:
        """Select a component, or let go of it."""
        self._select("component", name)

    def do_pod(self, uid: str) -> None:
        """Select a Pod, or let go of it."""
        self._select("pod", uid)

    def do_node(self, name: str) -> None:
        """Select a node, or let go of it."""
        self._select("node", name)

    def _select(self, kind: str, name: str) -> None:
        self._selected = ("", "") if self._selected == (kind, name) else (kind, name)
        self._tab = "log"
        self._detail.soon()

    def do_tab(self, tab: str) -> None:
        """Show the log, the flags or the metrics."""
        self._tab = tab
        self._detail.soon()

    def do_close(self, _: str) -> None:
        """Let go of what is selected."""
        self._selected = ("", "")

    def do_stop(self, name: str) -> None:
        """Stop a component."""
        self._order(name, "stopping", self.cluster.components[name].stop)

    def do_start(self, name: str) -> None:
        """Start a component."""
        self._order(name, "starting", self.cluster.components[name].start)

    def _order(self, name: str, doing: str, work: Any) -> None:
        def run() -> None:
            try:
                work()
            finally:
                self._busy.pop(name, None)
                self._states.soon()

        if name not in self._busy:
            self._busy[name] = doing
            self.later(run)

    # -- how it is drawn

    def draw(self) -> str:
        """The picture: see :meth:`podium.widgets.base.Live.draw`."""
        pods, names = self._pods.objects, [node["metadata"]["name"] for node in self._nodes.objects]
        homeless = [pod for pod in pods if pod["spec"].get("nodeName") not in names]
        count = f"{_count(len(names), 'compute node')}, {_count(len(pods), 'Pod')}"
        boxes = "".join(
            self._node(node, [pod for pod in pods if pod["spec"].get("nodeName") == node["metadata"]["name"]])
            for node in self._nodes.objects
        )
        return (
            f'<header class="pm-head"><h3>Cluster {escape(self.cluster.name)}</h3><span>{count}</span></header>'
            f'<div class="pm-body{" pm-open" if self._selected[0] else ""}"><div class="pm-map" data-arrows>'
            f"{self._management(homeless)}{self._street()}"
            f'<div class="pm-nodes">{boxes}</div>{_legend()}</div>{self._panel()}</div>'
        )

    def _state(self, name: str) -> tuple[str, str, str]:
        """A component's state: words, sign, tone."""
        if name in self._busy:
            return self._busy[name], "…", "warn"
        node = name.rpartition("/")[0]
        states = self._states.answer or {}
        if name not in states:
            return ("unreachable", "✗", "bad") if f"{node}/agent" in states else ("unknown", "?", "idle")
        state = states[name]["state"]
        if state != "running":
            return state, "↻" if state == "restarting" else "✗", "bad"
        if (self._health.answer or {}).get(name, True):
            return "running", "✓", "good"
        return "running, not healthy", "◐", "warn"

    def _component(self, name: str) -> str:
        program = name.rpartition("/")[2]
        word, sign, tone = self._state(name)
        colour, shape = style(program)
        inside = (
            '<svg viewBox="-8 -8 16 16" width="14" height="14" aria-hidden="true">'
            f'<path d="{shape}" fill="{colour}"/></svg>'
            f'<span class="pm-name">{program}</span> <span class="pm-state pm-{tone}"><b aria-hidden="true">{sign}</b>'
            f" {word}</span>"
        )
        return button(
            "component", name, inside, class_=f"pm-component pm-is-{tone} {self.lit(name, word)}", data_key=name,
            aria_pressed=str(self._selected == ("component", name)).lower(), data_program=program,
        )  # fmt: skip

    def _management(self, homeless: list[Object]) -> str:
        parts = {name: self._component(name) for name in CONTROL_PLANE}
        up = {name: self._state(name)[2] in ("good", "warn") for name in CONTROL_PLANE}
        link = {name: _arrow(up[name] and up["kube-apiserver"]) for name in CONTROL_PLANE}
        waiting = ""
        if homeless:
            chips = "".join(self._pod_button(pod, False) for pod in homeless)
            waiting = (
                '<div class="pm-waiting" data-key="waiting"><h4>Pods without a node</h4>'
                f'<div class="pm-pods">{chips}</div></div>'
            )
        return (
            '<div class="pm-box pm-management" role="group" aria-label="Management node">'
            "<h4>Management node <small>the control plane</small></h4>"
            '<div class="pm-plane"><div class="pm-clients">'
            f"<div>{parts['kube-scheduler']}{link['kube-scheduler']}</div>"
            f"<div>{parts['kube-controller-manager']}{link['kube-controller-manager']}</div></div>"
            f"{parts['kube-apiserver']}<div>{link['etcd']}{parts['etcd']}</div></div>{waiting}</div>"
        )

    def _street(self) -> str:
        up = self._state("kube-apiserver")[2] in ("good", "warn")
        words = (
            "every kubelet and kube-proxy watches the API server; nobody else opens etcd"
            if up
            else "the API server is away: no kubelet and no kube-proxy hears anything new"
        )
        return f'<p class="pm-street"><span aria-hidden="true">{"⇅" if up else "✕"}</span> {words}</p>'

    def _node(self, node: Object, pods: list[Object]) -> str:
        name = node["metadata"]["name"]
        ready = _condition(node, "Ready") == "True"
        word, sign, tone = ("Ready", "✓", "good") if ready else ("NotReady", "✗", "bad")
        if node["spec"].get("unschedulable"):
            word += ", SchedulingDisabled"
        title = button(
            "node", name, f"<b>{escape(name)}</b>", class_="pm-title", data_key="title",
            aria_label=f"node {name}, {word}", aria_pressed=str(self._selected == ("node", name)).lower(),
        )  # fmt: skip
        components = "".join(self._component(f"{name}/{program}") for program in ON_A_NODE)
        groups: dict[str, list[Object]] = {}
        for pod in pods:
            groups.setdefault(pod["metadata"]["namespace"], []).append(pod)
        compact = len(pods) > COMPACT
        inside = "".join(
            f'<div class="pm-namespace" data-key="ns-{escape(space)}">'
            f"<h4><small>{escape(space)} · {len(members)}</small></h4>"
            f'<div class="pm-pods">{"".join(self._pod_button(pod, compact) for pod in members)}</div></div>'
            for space, members in sorted(groups.items(), key=lambda entry: (entry[0] == "kube-system", entry[0]))
        )
        return (
            f'<div class="pm-box pm-is-{tone}" role="group" aria-label="Compute node {escape(name)}"'
            f' data-key="{escape(name)}">'
            f'<div class="pm-nodehead">{title} <span class="pm-state pm-{tone} {self.lit(f"node {name}", word)}">'
            f'<b aria-hidden="true">{sign}</b> {word}</span> <small>{_count(len(pods), "Pod")}</small></div>'
            f'<div class="pm-components">{components}</div>{inside}</div>'
        )

    def _pod_button(self, pod: Object, compact: bool) -> str:
        meta = pod["metadata"]
        word, sign, tone = status(pod)
        name = f"{meta['namespace']}/{meta['name']}: {word}"
        inside = f'<b class="pm-{tone}" aria-hidden="true">{sign}</b>'
        if not compact:
            said = "" if tone == "good" else f" <small>{escape(word)}</small>"
            inside += f" <span class='pm-podname'>{escape(meta['name'])}</span>{said}"
        lit = self.lit(meta["uid"], (word, pod["spec"].get("nodeName")))
        return button(
            "pod", meta["uid"], inside, class_=f"pm-pod pm-is-{tone} {lit}", aria_label=f"Pod {name}", title=name,
            data_key=meta["uid"], aria_pressed=str(self._selected == ("pod", meta["uid"])).lower(),
        )  # fmt: skip

    def _panel(self) -> str:
        kind, name = self._selected
        if not kind:
            return ""
        title, body = getattr(self, f"_panel_{kind}")(name)
        return (
            f'<aside class="pm-box pm-panel" aria-label="{escape(title)}" data-key="panel">'
            f'<div class="pm-nodehead"><h3>{escape(title)}</h3>{button("close", "", "Close")}</div>{body}</aside>'
        )

    def _panel_component(self, name: str) -> tuple[str, str]:
        word, sign, tone = self._state(name)
        program = name.rpartition("/")[2]
        report = (self._states.answer or {}).get(name, {})
        stopped = report.get("state") == "stopped"
        order = button(
            "start" if stopped else "stop", name, f"{'▶ Start' if stopped else '■ Stop'} {program}", class_="pm-order",
            data_key="order", **({"disabled": ""} if name in self._busy else {}),
        )  # fmt: skip
        facts = [("state", f'<span class="pm-state pm-{tone}"><b aria-hidden="true">{sign}</b> {word}</span>')]
        if report.get("pid"):
            facts.append(("process", f"<code>{report['pid']}</code>"))
        facts.append(("restarts", str(report.get("restarts", "?"))))
        while_ = "While it is stopped" if stopped else "Without it"
        hint = (
            f"<p class='pm-hint'><b>{while_}</b>, {WITHOUT[program]} "
            f"<a href='https://kubernetes.io/docs/concepts/overview/components/' target='_blank'>More</a></p>"
        )
        tabs = "".join(
            button("tab", tab, words, role="tab", aria_selected=str(tab == self._tab).lower(), data_key=tab)
            for tab, words in (("log", "Log"), ("flags", "Flags"), ("metrics", "Metrics"))
        )
        body = (
            f"{_facts(facts)}{order}{hint}"
            f'<div role="tablist" aria-label="What to show" class="pm-tabs" data-arrows>{tabs}</div>'
            f"{self._tab_panel()}"
        )
        return name, body

    def _tab_panel(self) -> str:
        about, tab, answer = self._detail.answer or (("", ""), "", "")
        if (about, tab) != (self._selected, self._tab):
            inside = "<p class='podium-note'>Asking …</p>"
        elif isinstance(answer, str):
            inside = f"<pre>{escape(answer) or 'It has written nothing yet.'}</pre>"
        elif tab == "flags":
            rows = "".join(f"<tr><td>--{escape(k)}</td><td><code>{escape(v)}</code></td></tr>" for k, v in answer)
            inside = f"<table><tbody>{rows}</tbody></table>" if rows else "<p>It was started without flags.</p>"
        else:
            rows = "".join(
                f"<tr><td><code>{escape(metric)}</code><br><small>{escape(meaning)}</small></td>"
                f"<td class='pm-number {self.lit(f'{about} {metric}', value)}'>{escape(value)}</td></tr>"
                for metric, value, meaning in answer
            )
            inside = f"<table><tbody>{rows}</tbody></table>"
        label = f'role="tabpanel" aria-label="{self._tab}" data-key="{self._tab}"'
        return f'<div class="pm-scroll" tabindex="0" {label}>{inside}</div>'

    def _panel_node(self, name: str) -> tuple[str, str]:
        node = next((node for node in self._nodes.objects if node["metadata"]["name"] == name), None)
        if not node:
            return f"Node {name}", "<p>It is gone from the API.</p>"
        told = node["status"]
        info, free = told["nodeInfo"], told["allocatable"]
        address = next((a["address"] for a in told.get("addresses", []) if a["type"] == "InternalIP"), "")
        facts = [(c["type"], escape(f"{c['status']}: {c.get('message', '')}")) for c in told.get("conditions", [])]
        facts += [
            ("address", f"<code>{escape(address)}</code>"),
            ("allocatable", escape(f"{free['cpu']} CPU, {free['memory']} memory, {free['pods']} Pods")),
            ("kernel", escape(info["kernelVersion"])),
            ("system", escape(info["osImage"])),
            ("runtime", escape(info["containerRuntimeVersion"])),
            ("kubelet", escape(info["kubeletVersion"])),
        ]
        taints = ", ".join(f"{t['key']}:{t['effect']}" for t in node["spec"].get("taints", []))
        return f"Node {name}", _facts([*facts, ("taints", escape(taints) or "none")])

    def _panel_pod(self, uid: str) -> tuple[str, str]:
        pod = self._pod(uid)
        if not pod:
            return "A Pod", "<p>This Pod is gone. A Pod never comes back: its controller makes another one.</p>"
        meta, told = pod["metadata"], pod.get("status", {})
        word, sign, tone = status(pod)
        conditions = told.get("conditions", [])
        owners = ", ".join(f"{o['kind']} {o['name']}" for o in meta.get("ownerReferences", []))
        facts = [
            ("status", f'<span class="pm-state pm-{tone}"><b aria-hidden="true">{sign}</b> {escape(word)}</span>'),
            ("namespace", escape(meta["namespace"])),
            ("node", escape(pod["spec"].get("nodeName", "none yet"))),
            ("address", f"<code>{escape(told.get('podIP', 'none yet'))}</code>"),
            ("owner", escape(owners) or "none: if it is deleted, nobody makes another one"),
            (
                "conditions",
                " ".join(f"{'✓' if c['status'] == 'True' else '✗'} {c['type']}" for c in conditions),
            ),
        ]
        rows = "".join(f"<tr><td>{escape(n)}</td><td>{escape(s)}</td><td>{r}</td></tr>" for n, s, r in _containers(pod))
        head = "<tr><th>container</th><th>state</th><th>restarts</th></tr>"
        table = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
        return f"Pod {meta['name']}", f"{_facts(facts)}{table}<h4 class='pm-loghead'>Log</h4>{self._tab_panel()}"


def telling(text: str) -> list[tuple[str, str, str]]:
    """The metrics that tell most: name, value (the sum over its series) and meaning.

    Args:
        text: Metrics in Prometheus' text format.
    """
    sums: dict[str, float] = {}
    meaning: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, _, words = line.removeprefix("# HELP ").partition(" ")
            meaning[name] = words.removeprefix("[ALPHA] ").removeprefix("[BETA] ").removeprefix("[STABLE] ")
        elif line and not line.startswith("#"):
            name = line.partition("{")[0].partition(" ")[0]
            if name in METRICS:
                sums[name] = sums.get(name, 0.0) + float(line.rpartition("} ")[2].split()[0 if "}" in line else 1])
    return [(name, _number(name, sums[name]), meaning.get(name, "")) for name in METRICS if name in sums]


def _number(name: str, value: float) -> str:
    if name.endswith("bytes"):
        return f"{value / 2**20:.1f} MiB"
    return f"{value:.1f} s" if name.endswith("seconds_total") else f"{value:,.0f}"


def _containers(pod: Object) -> Iterable[tuple[str, str, int]]:
    told = pod.get("status", {})
    for kind in ("initContainerStatuses", "containerStatuses"):
        for entry in told.get(kind, []):
            ((state, facts),) = entry["state"].items() or (("waiting", {}),)
            words = f"{state} {facts.get('reason', '')}".strip()
            yield entry["name"], f"init, {words}" if kind.startswith("init") else words, entry["restartCount"]


def _condition(thing: Object, kind: str) -> str:
    return next((c["status"] for c in thing["status"].get("conditions", []) if c["type"] == kind), "Unknown")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _arrow(up: bool) -> str:
    return f'<span class="pm-arrow" aria-hidden="true">{"⇄" if up else "✕"}</span>'


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><th scope='row'>{name}</th><td>{value}</td></tr>" for name, value in facts)
    return f"<table class='pm-facts'><tbody>{rows}</tbody></table>"


def _legend() -> str:
    signs = "".join(f"<li><b class='pm-{s.tone}' aria-hidden='true'>{s.sign}</b> {s.word}</li>" for s in SIGNS.values())
    return f"<ul class='pm-legend' aria-label='What the signs of Pods mean'>{signs}</ul>"
