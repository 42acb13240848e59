"""What etcd holds: its keys, their revisions and values, as they change."""

import base64
import difflib
import json
import re
import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from html import escape
from typing import Any, ClassVar, NamedTuple

import yaml

from podium.cluster import Cluster
from podium.errors import PodiumError, UsageError
from podium.widgets.base import BASE_CSS, HERE, RETRY, Live, Poll, Source, button

ROOT = "/registry/"
LATEST = 8  # writes that are listed
RAW = 512  # bytes of a value that are shown
RECHECK = 1.0  # seconds


class Entry(NamedTuple):
    """A key's own record: https://etcd.io/docs/latest/learning/api/#key-value-pair."""

    created: int
    revision: int
    version: int
    lease: int


class Write(NamedTuple):
    """One change of the store."""

    revision: int
    key: str
    verb: str
    size: int


class Keys:
    """The keys below a prefix, from etcd's own watch, until it is closed.

    Args:
        cluster: Whose store.
        prefix: Of the keys.
        changed: Called, in the watch's thread, with the keys that changed.
    """

    def __init__(self, cluster: Cluster, prefix: str, changed: Callable[[set[str]], object]) -> None:
        self.problem = ""
        self.told = threading.Event()
        self.entries: dict[str, Entry] = {}
        self.revision = 0
        self.writes: deque[Write] = deque(maxlen=LATEST)
        self._cluster, self._prefix, self._changed = cluster, prefix, changed
        self._stack, self._closing, self._lock = ExitStack(), threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._follow, name="podium-etcd", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it; return when its thread has ended."""
        with self._lock:
            self._closing.set()
            self._stack.close()
        self._thread.join()

    def _follow(self) -> None:
        while not self._closing.is_set():
            try:
                self._once()
            except (OSError, ValueError, PodiumError) as error:
                if not self._closing.is_set():
                    self.problem = "etcd does not answer." if isinstance(error, PodiumError) else f"etcd: {error}"
                    self.told.set()
                    self._changed(set())
            self._closing.wait(RETRY)

    def _once(self) -> None:
        listed = json.loads(self._cluster.etcd("get", self._prefix, "--prefix", "--keys-only", "--write-out=json"))
        self.entries = {_text(entry["key"]): _entry(entry) for entry in listed.get("kvs", [])}
        self.revision = listed["header"]["revision"]
        self.problem = ""
        with self._lock:
            if self._closing.is_set():
                return
            stream = self._stack.enter_context(self._cluster.etcd_watch(self._prefix, self.revision + 1))
        self.told.set()
        self._changed(set(self.entries))
        for answer in stream:
            if answer.get("Canceled"):  # compacted: https://etcd.io/docs/latest/learning/api/#watch-streams
                return
            self.revision = max(self.revision, answer["Header"]["revision"])
            self._changed({self._take(event) for event in answer.get("Events") or []})

    def _take(self, event: dict[str, Any]) -> str:
        told = event["kv"]
        key = _text(told["key"])
        if event.get("type") == 1:
            self.entries.pop(key, None)
            self.writes.appendleft(Write(told["mod_revision"], key, "deleted", 0))
        else:
            known = key in self.entries
            self.entries[key] = _entry(told)
            size = len(base64.b64decode(told.get("value", "")))
            self.writes.appendleft(Write(told["mod_revision"], key, "changed" if known else "created", size))
        return key


class Store(Live):
    """etcd's keys as a tree with their revisions, live; of a selected key the raw value beside the decoded object.

    Args:
        cluster: The cluster; the running one unless given, as :func:`podium.open` finds it.
        prefix: Which keys: ``/registry/pods/default/``.
        key: The key that is selected at first.

    Raises:
        UsageError: The prefix is none of Kubernetes' keys.

    Example:
        >>> podium.widgets.Store(prefix="/registry/pods/")  # doctest: +SKIP
    """

    label = "Store of the cluster: etcd"
    _css: ClassVar[str] = BASE_CSS + (HERE / "store.css").read_text()

    def __init__(self, cluster: Cluster | None = None, prefix: str = ROOT, key: str = "") -> None:
        if not prefix.startswith(ROOT):
            raise UsageError(f"Kubernetes keeps no key below {prefix!r}.", f"A prefix begins with {ROOT}")
        self._prefix = prefix
        self._key = key
        self._shown: tuple[str, int, list[str]] = ("", 0, [])  # a key, a revision and the object's lines
        self._news: set[int] = set()  # which of these lines are new
        opened = prefix.rstrip("/").split("/")
        self._open = {"/".join(opened[: depth + 1]) for depth in range(1, len(opened))}
        self._open |= {"/registry/pods", "/registry/pods/default", *_branches(key)}
        super().__init__(cluster)

    def follow(self) -> list[Source]:
        """The keys by etcd's watch; whether etcd answers; the selected key's value."""
        self._detail = Poll(self._ask_detail, self.changed, every=30)
        self._keys = Keys(self.cluster, self._prefix, self._keys_changed)
        self._alive = Poll(self._ask_alive, self.changed, RECHECK)
        return [self._keys, self._detail, self._alive]

    def _keys_changed(self, keys: set[str]) -> None:
        if self._key in keys:
            self._detail.soon()
        self.changed()

    def _ask_alive(self) -> None:
        # The watch itself falls silent without a word while etcd is away.
        if not self.cluster.components["etcd"].health():
            raise PodiumError("etcd does not answer.")

    def _ask_detail(self) -> tuple[str, dict[str, Any], bytes, str, str]:
        """The selected key, its record, its value, what kind of object it is, and the object as YAML."""
        key = self._key
        if not key:
            return "", {}, b"", "", ""
        found = json.loads(self.cluster.etcd("get", key, "--write-out=json")).get("kvs")
        if not found:
            return key, {}, b"", "", ""
        value = base64.b64decode(found[0].get("value", ""))
        kind, decoded = self._decode(key, value)
        if "\nmetadata:" in decoded:
            self._compare(key, found[0]["mod_revision"], decoded.splitlines())
        return key, found[0], value, kind, decoded

    def _decode(self, key: str, value: bytes) -> tuple[str, str]:
        if value.startswith(b"{"):
            whole = json.loads(value)
            kind = f"JSON: {whole.get('apiVersion')} {whole.get('kind')}"
            return kind, yaml.safe_dump(whole, sort_keys=False, allow_unicode=True)
        if not value.startswith(b"k8s\0"):
            return "plain bytes", "This value is no object of the API."
        version, kind = type_meta(value)
        group, _, version = version.rpartition("/")
        namespace, name = key.split("/")[-2:]
        try:
            text = self.cluster.kubectl(
                "get", f"{kind}.{version}.{group}".lower(), name, "--namespace", namespace, "--output=yaml",
                "--request-timeout=5s", limit=10,
            )  # fmt: skip
        except PodiumError as error:
            text = f"The API server does not decode it:\n{error.what}"
        return f"protobuf: {version if not group else f'{group}/{version}'} {kind}", text

    def _compare(self, key: str, revision: int, lines: list[str]) -> None:
        before, at, old = self._shown
        if key != before:
            self._news = set()
        elif revision != at:
            matcher = difflib.SequenceMatcher(None, old, lines, autojunk=False)
            self._news = {n for op, _, _, a, b in matcher.get_opcodes() if op != "equal" for n in range(a, b)}
        self._shown = (key, revision, lines)

    # -- what a click does

    def do_branch(self, path: str) -> None:
        """Open or close a branch of the tree."""
        self._open ^= {path}

    def do_key(self, key: str) -> None:
        """Select a key, and open the branches that lead to it."""
        self._key = key
        self._open |= _branches(key)
        self._detail.soon()

    # -- how it is drawn

    def draw(self) -> str:
        """The picture: see :meth:`podium.widgets.base.Live.draw`."""
        keys = self._keys
        writes = "".join(
            f'<li class="{self.lit(f"write {w.revision} {w.key}", 0)}" data-key="{w.revision} {escape(w.key)}">'
            f"<span class='ps-rev'>{w.revision}</span> <span class='ps-verb'>{_SIGNS[w.verb]} {w.verb}</span> "
            f"{button('key', w.key, escape(w.key), class_='ps-link')}"
            f"<small>{f'{w.size:,} bytes' if w.size else ''}</small></li>"
            for w in list(keys.writes)
        )
        nothing = "<li><small>Nothing has been written since this picture began.</small></li>"
        count = f"{len(keys.entries)} key{'s' if len(keys.entries) != 1 else ''}"
        return (
            f'<header class="ps-head"><h3>etcd of cluster {escape(self.cluster.name)}</h3>'
            f'<span>revision <b class="{self.lit("revision", keys.revision)}" data-key="r">{keys.revision}</b></span>'
            f"<span>{count} below <code>{escape(self._prefix)}</code></span></header>"
            f'<div class="ps-body"><div><h4 id="{self.model_id}-keys">Keys</h4><div class="ps-box ps-tree" role="tree"'
            f' aria-label="Keys" data-arrows>{"".join(self._branch())}</div></div>'
            f'<div><h4>Latest writes</h4><ol class="ps-box ps-writes" data-arrows>{writes or nothing}</ol>'
            f"{self._value()}</div></div>"
        )

    def _branch(self) -> list[str]:
        """The rows of the tree that are to be seen."""
        entries = dict(self._keys.entries)
        below: dict[str, tuple[int, int]] = {}  # of each branch: how many keys, and their newest revision
        for key, entry in entries.items():
            for path in _branches(key):
                count, newest = below.get(path, (0, 0))
                below[path] = (count + 1, max(newest, entry.revision))
        rows = []
        for path in sorted(below.keys() | entries.keys(), key=lambda path: path.split("/")):
            parts = path.split("/")
            if _branches(path) <= self._open:
                rows.append(self._row(path, parts, below.get(path), entries.get(path)))
        return rows

    def _row(self, path: str, parts: list[str], below: tuple[int, int] | None, entry: Entry | None) -> str:
        attributes = {"role": "treeitem", "aria_level": str(len(parts) - 1), "data_key": path}
        attributes["style"] = f"padding-inline-start:{(len(parts) - 2) * 16 + 6}px"
        if below:
            count, newest = below
            opened = path in self._open
            lit = "" if opened else self.lit(f"branch {path}", newest)
            return button(
                "branch", path, f'<span aria-hidden="true">{"▾" if opened else "▸"}</span> {escape(parts[-1])}/'
                f" <small>{count}</small>", class_=f"ps-row {lit}", aria_expanded=str(opened).lower(), **attributes,
            )  # fmt: skip
        assert entry
        return button(
            "key", path, f"<span>{escape(parts[-1])}</span><small>revision {entry.revision}, version {entry.version}"
            "</small>", class_=f"ps-row ps-leaf {self.lit(f'leaf {path}', entry.revision)}",
            aria_selected=str(path == self._key).lower(), **attributes,
        )  # fmt: skip

    def _value(self) -> str:
        if not self._key:
            return '<p class="podium-note">Choose a key to see its value, raw and decoded.</p>'
        key, record, value, kind, decoded = self._detail.answer or ("", {}, b"", "", "")
        title = f'<h4 class="ps-key" data-key="title"><code>{escape(self._key)}</code></h4>'
        if key != self._key:
            return f'{title}<p class="podium-note">Asking …</p>'
        if not record:
            return f"{title}<p>✗ This key is deleted. etcd keeps its past revisions until it compacts them.</p>"
        revision = record["mod_revision"]
        facts = (
            f"created at revision {record['create_revision']}, last changed at revision "
            f'<b class="{self.lit(f"value {key}", revision)}" data-key="rev">{revision}</b>, '
            f"version {record['version']} of this key, {len(value):,} bytes"
        )
        lines = "".join(
            f'<span class="ps-line {"ps-new" if number in self._news else ""}">'
            f'<span aria-hidden="true">{"▸" if number in self._news else " "} </span>{escape(line)}\n</span>'
            for number, line in enumerate(decoded.splitlines())
        )
        rest = f"\n… and {len(value) - RAW:,} bytes more" if len(value) > RAW else ""
        note = (
            f'<p class="podium-note">▸ changed with revision {revision}</p>'
            if self._news and self._shown[0] == key
            else ""
        )
        return (
            f'{title}<p>{facts}</p><div class="ps-pair"><div><h4>Raw: {escape(kind)}</h4>'
            '<pre class="ps-box" tabindex="0" role="region" aria-label="Raw value">'
            f"{escape(dump(value[:RAW]))}{rest}</pre></div><div><h4>Decoded by the API server</h4>"
            '<pre class="ps-box" tabindex="0" role="region" aria-label="Decoded object">'
            f"{lines}</pre>{note}</div></div>"
        )


def _branches(key: str) -> set[str]:
    """The branches that lead to a key."""
    parts = key.split("/")
    return {"/".join(parts[:depth]) for depth in range(2, len(parts))}


_SIGNS = {"created": "+", "changed": "~", "deleted": "-"}


def type_meta(value: bytes) -> tuple[str, str]:
    """The apiVersion and the kind that a stored object names before its own bytes.

    https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding: four bytes ``k8s\\0``, then a
    message ``Unknown``, whose first field is a ``TypeMeta`` of two strings.

    Args:
        value: What etcd holds.
    """
    fields = dict(_fields(dict(_fields(value[4:]))[1]))
    return fields[1].decode(), fields[2].decode()


def _fields(message: bytes) -> list[tuple[int, bytes]]:
    """The numbers and the bytes of a protobuf message's fields that have a length: strings, bytes, messages."""
    found, at = [], 0
    while at < len(message):
        tag, at = _varint(message, at)
        if tag & 7 != 2:
            raise ValueError(f"a field of wire type {tag & 7}, where one with a length was expected")
        length, at = _varint(message, at)
        found.append((tag >> 3, message[at : at + length]))
        at += length
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at


def dump(value: bytes) -> str:
    """Bytes as numbers and as text, eight in a line."""
    lines = []
    for at in range(0, len(value), 8):
        row = value[at : at + 8]
        text = re.sub(rb"[^ -~]", b".", row).decode()
        lines.append(f"{at:04x}  {row.hex(' '):23}  {text}")
    return "\n".join(lines)


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode(errors="replace")


def _entry(told: dict[str, Any]) -> Entry:
    return Entry(told["create_revision"], told["mod_revision"], told["version"], told.get("lease", 0))
