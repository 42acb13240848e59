"""Inside a Pod: what its containers share and what they have to themselves, as the node's kernel has it."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any, ClassVar

from kubernetes.client import CoreV1Api

from podium.cluster import Cluster
from podium.widgets.base import BASE_CSS, FIRST, HERE, Live, Object, Poll, Source, Watch, button
from podium.widgets.pods import status

EVERY = 1.0  # seconds; the kernel tells of no change by itself
PROCESSES_EVERY = 0.2  # seconds from one look at which processes there are to the next, which costs little
SCRIPT = (HERE / "xray.sh").read_text()
NAMESPACES = {
    "net": "network: addresses, ports, loopback",
    "ipc": "semaphores and shared memory",
    "uts": "the host name",
    "pid": "which processes are seen",
    "mnt": "the file system",
    "cgroup": "the root of the cgroups seen",
    "user": "user and group numbers",
    "time": "the clock since boot",
}
"""The kernel's namespaces: https://man7.org/linux/man-pages/man7/namespaces.7.html."""
SANDBOX = "sandbox"


@dataclass
class Process:
    """A process, as /proc has it.

    Attributes:
        pid: Its number on the node.
        inside: Its number in its own PID namespace.
        parent: Its parent's number on the node.
        command: Its command line.
        memory: KiB of it that are in memory.
        user: The user it runs as.
    """

    pid: int
    inside: int = 0
    parent: int = 0
    command: str = ""
    memory: int = 0
    user: int = 0


@dataclass
class Group:
    """A cgroup of the Pod: https://docs.kernel.org/admin-guide/cgroup-v2.html.

    Attributes:
        folder: Where it is.
        values: What its files say: ``memory.current``, ``cpu.usage_usec``.
        processes: Those in it.
        namespaces: The inode numbers of its first process's namespaces.
        mounts: That process's mounts: where, from which device and which folder of it, how and of which type.
    """

    folder: str
    values: dict[str, str] = field(default_factory=dict)
    processes: dict[int, Process] = field(default_factory=dict)
    namespaces: dict[str, int] = field(default_factory=dict)
    mounts: dict[str, "Mount"] = field(default_factory=dict)

    def mount(self, path: str) -> "Mount | None":
        """What is mounted there; in most images /var/run is a link to /run."""
        path = path.rstrip("/")
        return self.mounts.get(path) or self.mounts.get(path.replace("/var/run/", "/run/", 1))


@dataclass
class Mount:
    """A line of /proc/PID/mountinfo: https://docs.kernel.org/filesystems/proc.html#proc-pid-mountinfo."""

    device: str
    source: str
    options: str
    type: str


@dataclass
class Inside:
    """What the kernel told at one moment.

    Attributes:
        at: That moment, in seconds of a clock that never goes back.
        node: The inode numbers of the node's own namespaces.
        groups: The Pod's cgroups by their folders.
    """

    at: float
    node: dict[str, int]
    groups: dict[str, Group]

    def of(self, container: str) -> Group | None:
        """The cgroup of a container, by the container's number."""
        return next((group for name, group in self.groups.items() if container in name.rpartition("/")[2]), None)


def read(text: str) -> Inside:
    """What ``xray.sh`` printed."""
    *contents, numbers = text.split("\0")
    files: dict[str, list[str]] = defaultdict(list)
    for line in contents + numbers.splitlines():
        path, _, content = line.partition(":")
        files[path].append(content.rstrip("\n"))
    inside = Inside(time.monotonic(), _namespaces(files, 1), {})
    for path in files:
        folder, _, name = path.rpartition("/")
        if not folder.startswith("/sys/fs/cgroup/"):
            continue
        group, [content] = inside.groups.setdefault(folder, Group(folder)), files[path]
        if name == "cgroup.procs":
            present = [int(pid) for pid in content.split() if f"/proc/{pid}/status" in files]
            group.processes = {pid: _process(files, pid) for pid in present}
            first = next((pid for pid in present if f"/proc/{pid}/mountinfo" in files), None)
            if first:
                group.namespaces = _namespaces(files, first)
                group.mounts = dict(map(_mount, files[f"/proc/{first}/mountinfo"][0].splitlines()))
        elif name == "cpu.stat":
            group.values |= {f"cpu.{key}": value for key, value in map(str.split, content.splitlines())}
        else:
            group.values[name] = content
    return inside


def _namespaces(files: Mapping[str, list[str]], pid: int) -> dict[str, int]:
    folder = f"/proc/{pid}/ns/"
    return {path.removeprefix(folder): int(lines[0]) for path, lines in files.items() if path.startswith(folder)}


def _mount(line: str) -> tuple[str, Mount]:
    before, _, after = line.partition(" - ")
    _, _, device, source, where, options, *_ = before.split()
    return where, Mount(device, source, options, after.split()[0])


def _process(files: Mapping[str, list[str]], pid: int) -> Process:
    facts = dict(line.split(":", 1) for line in files[f"/proc/{pid}/status"][0].splitlines())
    command = " ".join(files.get(f"/proc/{pid}/cmdline", []))
    return Process(
        pid,
        inside=int(facts["NSpid"].split()[-1]),
        parent=int(facts["PPid"]),
        command="".join(letter if letter.isprintable() else " " for letter in command).strip(),
        memory=int(facts.get("VmRSS", "0").split()[0]),
        user=int(facts["Uid"].split()[0]),
    )


class XRay(Live):
    """Inside one Pod, live: its containers, the namespaces that they share with their inode numbers, cgroups with
    limits and use, volumes and who mounts them, processes. All of it is read from the kernel of the Pod's node.

    Args:
        pod: The Pod's name. It need not be there yet.
        namespace: Its namespace.
        cluster: The cluster; the running one unless given, as :func:`podium.open` finds it.

    Example:
        >>> podium.widgets.XRay("web")  # doctest: +SKIP
    """

    _css: ClassVar[str] = BASE_CSS + (HERE / "xray.css").read_text()

    def __init__(self, pod: str, namespace: str = "default", cluster: Cluster | None = None) -> None:
        self.label = f"X-ray of Pod {pod}"
        self._name, self._namespace = pod, namespace
        self._pod: Object | None = None
        self._uid = ""  # whose kernel's view is shown
        self._before: Inside | None = None
        self._now: Inside | None = None
        self._last: tuple[Object, Inside] | None = None  # how it was before its end began
        self._chosen = ""
        self._kernel: Poll | None = None
        super().__init__(cluster)

    def follow(self) -> list[Source]:
        """The Pod as the API server tells it, and its node's kernel, asked once a second."""
        self._pods = Watch(
            self.cluster, lambda api: CoreV1Api(api).list_namespaced_pod, self._pod_changed,
            namespace=self._namespace, field_selector=f"metadata.name={self._name}",
        )  # fmt: skip
        self._kernel = Poll(self._ask, self.changed, EVERY)
        return [self._pods, self._kernel, Poll(self._ask_processes, self._kernel.soon, PROCESSES_EVERY)]

    def _pod_changed(self) -> None:
        if self._kernel:
            self._kernel.soon()
        self.changed()

    def _ask(self) -> float:
        """Ask the kernel; what it told is in ``_now``. Returns the moment, so that each answer is another one."""
        self._pods.told.wait(FIRST)
        pod = next(iter(self._pods.objects), None)
        if pod:
            self._pod = pod
            node, uid = pod["spec"].get("nodeName"), pod["metadata"]["uid"]
            if uid != self._uid:
                self._uid, self._before, self._now, self._last = uid, None, None, None
            if node:
                text = self.cluster.node_exec(node, ["sh", "-c", SCRIPT, "xray", uid, uid.replace("-", "_")])
                self._before, self._now = self._now, read(text)
                ending = "deletionTimestamp" in pod["metadata"]
                if not ending and any(name != SANDBOX for name, _ in self._groups(pod, self._now)):
                    self._last = pod, self._now
        return time.monotonic()

    def _ask_processes(self) -> str:
        """The numbers of the Pod's processes. When they are others, all the rest is asked for."""
        pod, now = self._pod, self._now
        if not pod or not now or not now.groups:
            return ""
        folder = min(now.groups, key=len)
        return self.cluster.node_exec(
            pod["spec"]["nodeName"], ["sh", "-c", 'cat "$1"/*/cgroup.procs 2>/dev/null || :', "processes", folder]
        )

    def do_container(self, name: str) -> None:
        """Point a container out in every part of the picture, or cease to."""
        self._chosen = "" if self._chosen == name else name

    # -- how it is drawn

    def draw(self) -> str:
        """The picture: see :meth:`podium.widgets.base.Live.draw`."""
        pod, there = self._pod, bool(self._pods.objects)
        name = escape(f"{self._namespace}/{self._name}")
        if not pod:
            return (
                f"<p class='px-none'>○ There is no Pod <code>{name}</code> yet. This picture begins when there is.</p>"
            )
        word, sign, tone = status(pod) if there else ("gone: this is what it was", "✗", "bad")
        node = pod["spec"].get("nodeName", "no node yet")
        head = (
            f'<header class="px-head"><h3>Pod {name}</h3><span class="px-{tone} {self.lit("word", word)}">'
            f'<b aria-hidden="true">{sign}</b> {escape(word)}</span><span>on {escape(node)}</span>'
            f"<span>{escape(pod.get('status', {}).get('podIP', ''))}</span></header>"
        )
        inside = self._now
        if not there and self._last:
            pod, inside = self._last
        groups = list(self._groups(pod, inside)) if inside else []
        if not inside or not groups:
            return (
                f"{head}<p class='px-none'>○ No container of it runs on a node yet: there is nothing inside to see.</p>"
            )
        return (
            f"{head}{self._containers(pod, inside, groups)}"
            f'<div class="px-two">{self._namespaces(inside, groups)}<div>{self._volumes(pod, groups)}'
            f"{self._processes(groups)}</div></div>"
        )

    def _groups(self, pod: Object, inside: Inside) -> Iterable[tuple[str, Group]]:
        """The sandbox's cgroup and each running container's, by the names that people know."""
        told = pod.get("status", {})
        known = {}
        for kind in ("initContainerStatuses", "containerStatuses"):
            for entry in told.get(kind, []):
                if "running" in entry["state"] and (group := inside.of(entry["containerID"].rpartition("/")[2])):
                    known[entry["name"]] = group
        held = [group for group in inside.groups.values() if group.processes and group not in known.values()]
        pause = next((g for g in held if all(p.command.endswith("pause") for p in g.processes.values())), None)
        if pause:
            yield SANDBOX, pause
        yield from known.items()

    def _chosen_class(self, name: str) -> str:
        return "" if self._chosen in ("", name) else "px-dim"

    def _containers(self, pod: Object, inside: Inside, groups: list[tuple[str, Group]]) -> str:
        specs = {c["name"]: c for c in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]}
        parent = groups[0][1].folder.rpartition("/")[0]
        whole = inside.groups.get(parent)
        cards = "".join(self._card(name, group, specs.get(name)) for name, group in groups)
        total = self._use(whole) if whole else ""
        return (
            f'<div class="px-pod"><div class="px-title"><h4>The Pod\'s cgroup</h4>{total}</div>'
            f'<p class="podium-note px-path"><code>{escape(parent)}</code></p>'
            f'<div class="px-cards" data-arrows>{cards}</div></div>'
        )

    def _card(self, name: str, group: Group, spec: Object | None) -> str:
        image = spec["image"] if spec else "the pause program holds the shared namespaces open"
        title = button(
            "container", name, f"<b>{escape(name)}</b>", class_="px-name", aria_label=f"point out {name}",
            aria_pressed=str(name == self._chosen).lower(),
        )  # fmt: skip
        return (
            f'<section class="px-card {self._chosen_class(name)}" data-key="{escape(name)}"'
            f' aria-label="{escape(name)}">'
            f"{title} <small>{escape(image)}</small>{self._use(group)}</section>"
        )

    def _use(self, group: Group) -> str:
        """The cgroup's limits and use, as bars with words."""
        values = group.values
        memory, most = int(values.get("memory.current", 0)), values.get("memory.max", "max")
        bars = _bar("memory", memory / int(most) if most != "max" else None, f"{_mib(memory)} of {_mib(most)}")
        quota, period = (values.get("cpu.max", "max") + " 100000").split()[:2]
        limit = int(quota) / int(period) if quota != "max" else None
        used = self._cores(group)
        if used is None:
            words = f"at most {limit:g} cores" if limit else "no limit"
        else:
            words = f"{used:.2f} of {limit:g} cores" if limit else f"{used:.2f} cores, no limit"
        held = int(values.get("cpu.nr_throttled", 0))
        words += f", held back {held} times" if held else ""
        bars += _bar("processor", used / limit if used is not None and limit else None, words)
        if pids := values.get("pids.current"):
            top = values.get("pids.max", "max")
            bars += _bar("processes", None, f"{pids}, {'no limit' if top == 'max' else f'at most {top}'}")
        return f"<dl class='px-use'>{bars}</dl>"

    def _cores(self, group: Group) -> float | None:
        """How many cores' time it took since the last look; None at the first one."""
        before = self._before.groups.get(group.folder) if self._before and self._now else None
        if not before or not self._before or not self._now:
            return None
        used = int(group.values.get("cpu.usage_usec", 0)) - int(before.values.get("cpu.usage_usec", 0))
        return max(0.0, used / 1e6 / (self._now.at - self._before.at))

    def _namespaces(self, inside: Inside, groups: list[tuple[str, Group]]) -> str:
        heads = "".join(f'<th scope="col" class="{self._chosen_class(name)}">{escape(name)}</th>' for name, _ in groups)
        rows = []
        for kind, meaning in NAMESPACES.items():
            if kind not in inside.node:
                continue
            letters = {inside.node[kind]: "N"}
            cells = []
            for name, group in groups:
                number = group.namespaces.get(kind, 0)
                mark = letters.setdefault(number, "ABCDEFGHIJKLM"[len(letters) - 1])
                cells.append(
                    f'<td class="px-ns px-{mark} {self._chosen_class(name)} {self.lit(f"{kind} {name}", number)}">'
                    f"<b>{mark}</b> <code>{number}</code></td>"
                )
            numbers = {group.namespaces.get(kind, 0) for _, group in groups}
            if numbers == {inside.node[kind]}:
                verdict = "the node's own"
            elif len(numbers) == 1:
                verdict = "⇄ shared by all"
            else:
                verdict = "≠ each its own" if len(numbers) == len(groups) else "⇄ shared by some"
            rows.append(
                f'<tr data-key="{kind}"><th scope="row"><b>{kind}</b><small>{meaning}</small></th>'
                f'<td class="px-ns px-N"><b>N</b> <code>{inside.node[kind]}</code></td>'
                f"{''.join(cells)}<td>{verdict}</td></tr>"
            )
        return (
            "<div><h4>Namespaces <small>equal inode numbers: the same namespace</small></h4>"
            '<div class="px-scroll" tabindex="0" role="region" aria-label="Namespaces"><table class="px-table">'
            f'<thead><tr><td></td><th scope="col">node</th>{heads}<td></td></tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table></div></div>"
        )

    def _volumes(self, pod: Object, groups: list[tuple[str, Group]]) -> str:
        known = dict(groups)
        rows = []
        for volume in pod["spec"].get("volumes", []):
            kind = next(key for key in volume if key != "name")
            users, sources = [], set()
            for container in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]:
                for wanted in container.get("volumeMounts", []):
                    group = known.get(container["name"])
                    if wanted["name"] == volume["name"] and group:
                        users.append(self._user(container["name"], wanted["mountPath"], group))
                        if mount := group.mount(wanted["mountPath"]):
                            sources.add((mount.device, mount.source, mount.type))
            source = "<br>".join(
                f"{escape(kind)} on device {device}, <code>{escape(_short(path))}</code>"
                for device, path, kind in sources
            )
            shared = "⇄ " if len(users) > 1 else ""
            rows.append(
                f'<tr data-key="{escape(volume["name"])}"><th scope="row"><b>{escape(volume["name"])}</b>'
                f"<small>{escape(kind)}</small></th><td>{shared}{'<br>'.join(users) or 'nobody'}</td>"
                f"<td>{source}</td></tr>"
            )
        if not rows:
            return "<h4>Volumes</h4><p class='podium-note'>The Pod has none.</p>"
        return (
            '<h4>Volumes</h4><div class="px-scroll" tabindex="0" role="region" aria-label="Volumes">'
            '<table class="px-table"><thead><tr><th scope="col">volume</th><th scope="col">mounted by</th>'
            f'<th scope="col">what the kernel has there</th></tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        )

    def _user(self, name: str, path: str, group: Group) -> str:
        mount = group.mount(path)
        how = "not mounted" if not mount else "read-only" if "ro" in mount.options.split(",") else "writable"
        return f'<span class="{self._chosen_class(name)}">{escape(name)} at <code>{escape(path)}</code>, {how}</span>'

    def _processes(self, groups: list[tuple[str, Group]]) -> str:
        rows = []
        for name, group in groups:
            for process in group.processes.values():
                depth = 0
                parent = group.processes.get(process.parent)
                while parent and depth < 8:
                    depth, parent = depth + 1, group.processes.get(parent.parent)
                rows.append(
                    f'<tr class="{self._chosen_class(name)} {self.lit(f"process {process.pid}", name)}"'
                    f' data-key="{process.pid}"><td>{escape(name)}</td><td class="px-number">{process.pid}</td>'
                    f'<td class="px-number">{process.inside}</td><td class="px-number">{process.user}</td>'
                    f'<td class="px-number">{process.memory / 1024:.1f} MiB</td>'
                    f'<td style="padding-inline-start:{depth * 14}px">{"└ " if depth else ""}'
                    f"<code>{escape(process.command[:120])}</code></td></tr>"
                )
        head = "".join(
            f'<th scope="col">{words}</th>'
            for words in ("container", "PID on the node", "PID inside", "user", "memory", "command")
        )
        return (
            '<h4>Processes</h4><div class="px-scroll" tabindex="0" role="region" aria-label="Processes">'
            f'<table class="px-table"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        )


def _bar(name: str, share: float | None, words: str) -> str:
    """A row: what, a bar where there is a limit, and the same in words."""
    bar = ""
    if share is not None:
        tone = "bad" if share > 0.9 else "warn" if share > 0.7 else "good"
        width = f"{min(100, 100 * share):.0f}%"
        bar = f'<span class="px-bar px-{tone}" aria-hidden="true"><i style="width:{width}"></i></span>'
    return f"<dt>{name}</dt><dd>{bar}<span>{words}</span></dd>"


def _mib(number: Any) -> str:
    return "no limit" if number == "max" else f"{int(number) / 2**20:.1f} MiB"


def _short(path: str) -> str:
    """The end of a path: it is what tells."""
    return path if len(path) < 48 else f"…{path[-46:]}"
