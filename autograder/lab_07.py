"""The checks of lab 07, Microservices."""

import json
import re
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import TypeVar
from uuid import uuid4

from kubernetes.client import ApiException, V1Container, V1Pod
from urllib3.exceptions import HTTPError

from autograder.checks import Criterion, Verdict, task
from autograder.cluster import REQUEST_LIMIT, View, is_over, is_ready, start_of

T = TypeVar("T")

_LIMIT = 120.0
"""Seconds that Pods may take to leave."""

_DATABASE_LIMIT = 300.0
"""Seconds that a new database may take to be made: by many short processes, which are slow in a busy machine's node."""

_PORT = 8080
"""Where the shop's programs listen."""

_SEED = {"bread", "honey", "tea"}
"""What the catalogue's table holds at first: node/shop/catalogue.go."""

_LAST_WORDS = 50
"""Lines of a customer's log among which there is one that counts: it writes one a second, and one for each loss."""


@task(
    "07.1",
    Criterion(
        "answers", 1, "The Service cart answers on port 80.", "kubectl get endpointslices; kubectl logs of its Pod"
    ),
    Criterion("keeps", 2, "What is put into a cart can be read again.", "kubectl describe service cart-store"),
    Criterion(
        "through",
        2,
        "The cart reaches its store through the Service cart-store.",
        "ask the cart for /: it says at which address it found its store; kubectl get service cart-store",
    ),
)
def cart(view: View) -> Iterator[Verdict]:
    """A service in Python with a store of its own."""
    if view.service("cart") is None:
        return
    body = view.settles(lambda: _says(view.fetch_service("cart", 80, "livez")[1], "cart"))
    yield Verdict("answers", bool(body), "It answers." if body else f"Behind it: {_names(view.backends('cart'))}.")
    if not body:
        return
    path, item = f"carts/check-{uuid4().hex[:8]}", f"honey-{uuid4().hex[:8]}"
    post = view.core.connect_post_namespaced_service_proxy_with_path

    def kept() -> bool:
        try:
            post("cart:80", view.namespace, f"{path}/{item}", _preload_content=False, _request_timeout=REQUEST_LIMIT)
        except (ApiException, HTTPError):
            return False
        answers = _says(view.fetch_service("cart", 80, path)[1], "cart").get("answer") or []
        return item in map(str, answers)

    holds = bool(view.settles(kept))
    yield Verdict("keeps", holds, "It was still there." if holds else "What the check put in was not there.")
    store = _says(view.fetch_service("cart", 80)[1], "cart").get("store", "")
    service = view.service("cart-store")
    # Without an address of its own (clusterIP: None) a Service's name leads to its Pods themselves.
    own = set() if service is None else {service.spec.cluster_ip} - {"None"} or _addresses(view, "cart-store")
    through = holds and store.rpartition(":")[0] in own
    found = f"It found its store at {store or 'no address'}; cart-store is {', '.join(sorted(own)) or 'not there'}."
    yield Verdict("through", through, found)


@task(
    "07.2",
    Criterion("products", 2, "The Service catalogue lists the products on port 80.", "kubectl logs of its Pod"),
    Criterion(
        "apart",
        1,
        "Its store is behind the Service catalogue-store, in a Pod of its own.",
        "kubectl get endpointslices -l kubernetes.io/service-name=catalogue-store -o yaml",
    ),
    Criterion(
        "secret",
        2,
        "Both get the password from a Secret, and no Pod spells it out.",
        "kubectl get pods -o yaml: env, envFrom, args; kubectl get secrets",
    ),
)
def catalogue(view: View) -> Iterator[Verdict]:
    """A service in another language, with another store."""
    if view.service("catalogue") is None:
        return

    def listed() -> str:
        status, body = view.fetch_service("catalogue", 80, "products")
        says = _says(body, "catalogue")
        if status == HTTPStatus.OK and {str(each.get("name")) for each in says.get("products") or []} >= _SEED:
            return "yes"
        return (
            "never" if "authentication failed" in str(says.get("error")) else ""
        )  # a store that is there, and refuses

    def stores() -> set[str]:
        return view.backends("catalogue-store") | view.backends("catalogue-store", ready=False)

    def made() -> bool:
        """Whether every store has a database that answers."""
        pods = view.pods()
        found = [(pods[name], container) for name in stores() & pods.keys() for container in _containers(pods[name])]
        logs = [view.log(pod.metadata.name, each.name) for pod, each in found if "postgres" in each.image]
        return all("ready to accept connections" in log for log in logs)

    view.settles(stores)
    _soon(lambda: made() or listed(), _DATABASE_LIMIT)
    holds = view.settles(listed) == "yes"
    status, body = view.fetch_service("catalogue", 80, "products")
    said = _says(body, "catalogue").get("error") or f"It answers {status}."
    yield Verdict("products", holds, "It lists them." if holds else str(said)[:200])
    behind, own = view.backends("catalogue-store"), view.backends("catalogue")
    apart = holds and bool(behind) and not behind & own
    yield Verdict("apart", apart, f"Behind catalogue-store: {_names(behind)}; behind catalogue: {_names(own)}.")
    pods = view.pods()
    both = {name for name in behind | own if name in pods}
    spelt = {name for name in both if _spells_password(pods[name])}
    keepers = {name for name in both if _uses_secret(pods[name])}
    secret = holds and bool(behind) and not spelt and keepers == both
    found = f"The password is spelt out in: {_names(spelt)}; a Secret is used by: {_names(keepers)}."
    yield Verdict("secret", secret, found)


@task(
    "07.4",
    Criterion("three", 1, "The Service checkout leads to three Pods that are ready.", "kubectl get endpointslices"),
    Criterion("share", 1, "Each of them answers customers.", "ask the Service a few times: the answer names the Pod"),
    Criterion(
        "healed",
        2,
        "The Pod noted under killed in the ConfigMap healing is gone, and was replaced without your help.",
        "kubectl get events; kubectl describe deployment checkout",
    ),
)
def checkout(view: View) -> Iterator[Verdict]:
    """Scaling and self-healing."""
    three = bool(view.settles(lambda: len(view.backends("checkout")) == 3))
    backends = view.backends("checkout")
    if len(backends) < 2:
        return
    yield Verdict("three", three, f"It leads to: {_names(backends)}.")

    def answering() -> bool:
        _, body = view.fetch_service("checkout", 80, "healthz")
        seen.add(str(_says(body, "checkout").get("pod")))
        return seen >= backends

    seen: set[str] = set()
    shared = three and bool(view.settles(answering))
    yield Verdict("share", shared, f"Answers came from: {_names(seen & backends)}.")
    killed = view.config_map("healing").get("killed", "").strip()
    pods = view.pods()
    owners = [pods[name].metadata.owner_references or [] for name in backends if name in pods]
    kept = three and len(owners) == 3 and all(owners)
    born = bool(killed) and any(killed.startswith(f"{each[0].name}-") for each in owners if each)
    born = born and bool(view.events(killed, "Scheduled"))
    there = bool(killed) and view.pod(killed) is not None
    told = view.core.list_namespaced_event(view.namespace, _request_timeout=REQUEST_LIMIT).items
    # A controller that has one too many deletes one itself: that is scaling down, not healing.
    spare = bool(killed) and any(e.reason == "SuccessfulDelete" and killed in (e.message or "") for e in told)
    why = (
        "No Pod is noted." if not killed
        else f"{killed} is still there." if there
        else f"{killed} was none of those that a controller made." if not born
        else f"{killed} was one too many when the Deployment was made smaller." if spare
        else f"{killed} is gone; behind the Service: {_names(backends)}."
    )  # fmt: skip
    yield Verdict("healed", kept and born and not there and not spare, why)


@task(
    "07.5",
    Criterion(
        "updated", 2, "At least two Pods answer behind the Service express, all as version 2.0.", "kubectl get pods"
    ),
    Criterion(
        "watched", 1, "The customer was there and got answers of both versions.", "kubectl logs customer-express"
    ),
    Criterion("lossless", 3, "The customer lost no request.", "kubectl logs customer-express: lost"),
)
def express(view: View) -> Iterator[Verdict]:
    """A rolling update that no customer notices."""
    if not view.settles(lambda: view.backends("express")):
        return
    updated = bool(view.settles(lambda: _all_are(view, "express", "2.0"))) and bool(_soon(lambda: not _leaving(view)))
    yield Verdict("updated", updated, f"They answer as: {_names(set(_versions(view, 'express')))}.")
    versions, lost = _customer(view, "07.5", "customer-express")
    watched = updated and {"1.0", "2.0"} <= versions
    yield Verdict("watched", watched, f"It got answers of: {_names(versions)}.")
    yield Verdict("lossless", watched and lost == 0, f"It lost {lost}.")


@task(
    "07.6",
    Criterion(
        "diagnosed",
        1,
        "The ConfigMap incident says under country which code version 2.1 does not know.",
        "kubectl logs of a Pod of version 2.1",
    ),
    Criterion(
        "back",
        2,
        "At least two Pods answer behind the Service wholesale, all as version 2.0; none is left of 2.1.",
        "kubectl get pods; kubectl rollout history deployment/wholesale",
    ),
    Criterion("lossless", 2, "The customer lost no request.", "kubectl logs customer-wholesale: lost"),
)
def wholesale(view: View) -> Iterator[Verdict]:
    """An update that goes wrong, and its undo."""
    told = view.core.list_namespaced_event(view.namespace, _request_timeout=REQUEST_LIMIT).items
    if not any("podium.test/shop:2.1" in (event.message or "") for event in told):
        return  # nothing has happened yet
    country = view.config_map("incident").get("country", "").strip().strip("\"'").upper()
    yield Verdict("diagnosed", country == "ZQ", f"It says {country!r}." if country else "It says nothing.")

    def restored() -> bool:
        images = {container.image for pod in view.pods().values() for container in pod.spec.containers}
        tried = "podium.test/shop:2.1" in images
        return not tried and _all_are(view, "wholesale", "2.0")

    back = bool(view.settles(restored)) and bool(_soon(lambda: not _leaving(view)))
    found = f"They answer as: {_names(set(_versions(view, 'wholesale')))}."
    yield Verdict("back", back, found)
    versions, lost = _customer(view, "07.6", "customer-wholesale")
    yield Verdict("lossless", back and bool(versions) and lost == 0, f"It lost {lost}.")


def _soon(condition: Callable[[], T], limit: float = _LIMIT) -> T | None:
    """What ``condition`` returns once that is true; None if it does not come to that within so many seconds."""
    deadline = time.monotonic() + limit
    while not (result := condition()):
        if time.monotonic() > deadline:
            return None
        time.sleep(0.5)
    return result


def _says(body: str, service: str) -> dict:
    """What a service of the shop says in its answer; empty where the answer is somebody else's."""
    try:
        says = json.loads(body)
    except ValueError:
        return {}
    return says if isinstance(says, dict) and says.get("service") == service else {}


def _addresses(view: View, service: str) -> set[str]:
    """The addresses of the Pods behind a Service."""
    pods = view.pods()
    return {pods[name].status.pod_ip for name in view.backends(service) if name in pods}


def _spells_password(pod: V1Pod) -> bool:
    """Whether a variable, a command or an argument of the Pod holds a password, and not where to get it."""
    variables = [variable for container in _containers(pod) for variable in container.env or [] if variable.value]
    words = [word for container in _containers(pod) for word in [*(container.command or []), *(container.args or [])]]
    return any("PASSWORD" in each.name.upper() and "$(" not in each.value for each in variables) or any(
        _CONNECTION.search(text) for text in [*(each.value for each in variables), *words]
    )


_CONNECTION = re.compile(r"://[^/@\s:]+:[^/@\s$]+@|password=[^\s$]", re.IGNORECASE)
"""A user's name and password in a URL, or a password as a parameter; unless it is taken from a variable."""


def _uses_secret(pod: V1Pod) -> bool:
    """Whether a container of the Pod gets a variable or a file from a Secret."""
    volumes = any(
        volume.secret or any(source.secret for source in (volume.projected and volume.projected.sources) or [])
        for volume in pod.spec.volumes or []
    )
    return volumes or any(
        any(source.secret_ref for source in container.env_from or [])
        or any(variable.value_from and variable.value_from.secret_key_ref for variable in container.env or [])
        for container in _containers(pod)
    )


def _containers(pod: V1Pod) -> list[V1Container]:
    return [*pod.spec.containers, *(pod.spec.init_containers or [])]


def _versions(view: View, service: str) -> list[str]:
    """The versions as which the Pods behind a Service answer; an empty one where a Pod does not."""
    bodies = [view.fetch(name, _PORT, "healthz")[1] for name in view.backends(service)]
    return [str(_says(body, "checkout").get("version", "")) for body in bodies]


def _all_are(view: View, service: str, version: str) -> bool:
    versions = _versions(view, service)
    return len(versions) > 1 and set(versions) == {version}


def _leaving(view: View) -> bool:
    """Whether a Pod is about to go: until it is gone, a request may still be lost."""
    listed = view.core.list_namespaced_pod(view.namespace, _request_timeout=REQUEST_LIMIT).items
    return any(pod.metadata.deletion_timestamp and not is_over(pod) for pod in listed)


def _customer(view: View, task_id: str, name: str) -> tuple[set[str], int | None]:
    """Which versions the customer got answers from, and how many requests it lost; nothing where it is another one."""
    pod, real = view.pod(name), start_of(task_id)[f"pod/{name}"]["spec"]["containers"][0]
    if pod is None or not is_ready(pod) or any(s.restart_count for s in pod.status.container_statuses or []):
        return set(), None
    [main, *others] = pod.spec.containers
    if others or main.command or (main.image, main.args) != (real["image"], real["args"]):
        return set(), None

    def told() -> list[tuple[str, str]]:
        answer = view.core.read_namespaced_pod_log(
            name, view.namespace, tail_lines=_LAST_WORDS, _preload_content=False, _request_timeout=REQUEST_LIMIT
        )
        return re.findall(r"answered \d+ \((.*)\), lost (\d+)", answer.data.decode(errors="replace"))

    for _ in range(2):  # what has been lost up to now has been told when the customer has spoken twice
        before = told()
        view.settles(lambda before=before: told() != before)
    if not (counted := told()):
        return set(), None
    by, lost = counted[-1]
    # What was not answered in time is the machine's fault: who is turned away by the shop is told so at once.
    late = re.findall(r"lost: .*(?:[Tt]imeout|deadline)", view.log(name))
    return set(re.findall(r"by version ([\d.]+)", by)), max(0, int(lost) - len(late))


def _names(found: set[str]) -> str:
    return ", ".join(sorted(filter(None, found))) or "none"
