"""Answers to lab 07. The model answers are in the lab's source; here are right ones of another make, and wrong ones."""

import json
import time

from kubernetes.client import V1Eviction, V1ObjectMeta

from autograder.verify import Answers, Work, box
from podium.waiting import wait_until

PYTHON = "podium.test/python:3.13"
REDIS = "podium.test/redis:8.0"
POSTGRES = "podium.test/postgres:17"
SHOP = "podium.test/shop:{}"

ANSWERS = Answers()
answer = ANSWERS.answer

LIMIT = 180.0
"""Seconds that a part of the shop may take to come up."""


def service(work: Work, name: str, port: int, target: int | None = None, **spec: object) -> None:
    """Create a Service that leads to the Pods with the label ``app: NAME``."""
    body = {"selector": {"app": name}, "ports": [{"port": port, "targetPort": target or port}], **spec}
    work.core.create_namespaced_service(work.namespace, {"metadata": {"name": name}, "spec": body})


def variables(**values: str) -> dict:
    """Environment variables of a container, as they are."""
    return {"env": [{"name": name, "value": value} for name, value in values.items()]}


def deployment(name: str, *containers: dict, replicas: int = 1, strategy: dict | None = None, **spec: object) -> dict:
    """A Deployment whose Pods have the label ``app: NAME``."""
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": list(containers), **spec}}
    body = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    body |= {"strategy": strategy} if strategy else {}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": body}


def rolled_out(work: Work, name: str) -> None:
    """Wait until a Deployment is as it is meant to be."""
    work.kubectl("rollout", "status", f"deployment/{name}", f"--timeout={LIMIT:g}s")


# 07.1, a cart and its store

CODE = {"volumes": [{"name": "code", "configMap": {"name": "cart"}}], "terminationGracePeriodSeconds": 0}
STORE = box("store", image=REDIS)


def cart(store: str = "cart-store:6379") -> dict:
    """The container of a cart that has its store there."""
    mounted = {"volumeMounts": [{"name": "code", "mountPath": "/code"}], **variables(STORE=store)}
    return box("cart", "python3", "/code/cart.py", image=PYTHON, **mounted)


@answer("07.1")
def bare_pods(work: Work) -> None:
    service(work, "cart-store", 6379)
    service(work, "cart", 80, 8080)
    work.pod("redis", STORE, labels={"app": "cart-store"})
    work.pod("cart", cart(), labels={"app": "cart"}, **CODE)


@answer("07.1")
def store_as_a_stateful_set(work: Work) -> None:
    service(work, "cart-store", 6379, clusterIP="None")
    service(work, "cart", 80, 8080)
    stateful = deployment("cart-store", STORE) | {"kind": "StatefulSet"}
    stateful["spec"] |= {"serviceName": "cart-store"}
    work.apply(stateful, deployment("cart", cart(f"cart-store-0.cart-store.{work.namespace}.svc:6379"), **CODE))


@answer("07.1", "through")
def store_in_the_same_pod(work: Work) -> None:
    service(work, "cart-store", 6379)
    service(work, "cart", 80, 8080)
    work.pod("cart", cart("localhost:6379"), STORE, labels={"app": "cart"}, **CODE)


@answer("07.1", "through")
def store_by_the_address_of_its_pod(work: Work) -> None:
    service(work, "cart-store", 6379)
    service(work, "cart", 80, 8080)
    work.pod("redis", STORE, labels={"app": "cart-store"})
    address = wait_until(lambda: work.view.pod("redis").status.pod_ip, "the store to have an address", LIMIT)
    work.pod("cart", cart(f"{address}:6379"), labels={"app": "cart"}, **CODE)


@answer("07.1", "keeps", "through")
def store_that_nobody_finds(work: Work) -> None:
    service(work, "cart", 80, 8080)
    work.pod("redis", STORE, labels={"app": "cart-store"})
    work.pod("cart", cart(), labels={"app": "cart"}, **CODE)


@answer("07.1", "answers", "keeps", "through")
def the_wrong_target_port(work: Work) -> None:
    service(work, "cart-store", 6379)
    service(work, "cart", 80)
    work.pod("redis", STORE, labels={"app": "cart-store"})
    work.pod("cart", cart(), labels={"app": "cart"}, **CODE)


# 07.2, a catalogue and its store


def from_secret(name: str, key: str = "password") -> dict:
    """A variable whose value is in the Secret."""
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": "catalogue-store", "key": key}}}


def make_secret(work: Work, **values: str) -> None:
    """Create the Secret."""
    body = {"metadata": {"name": "catalogue-store"}, "stringData": values}
    work.core.create_namespaced_secret(work.namespace, body)


def make_services(work: Work) -> None:
    """Create both Services."""
    service(work, "catalogue-store", 5432)
    service(work, "catalogue", 80, 8080)


def database(password: dict | None = None) -> dict:
    """The container of the store."""
    env = [{"name": "POSTGRES_USER", "value": "shop"}, password or from_secret("POSTGRES_PASSWORD")]
    return box("postgres", image=POSTGRES, env=env)


def catalogue(*env: dict, host: str = "catalogue-store", password: dict | None = None) -> dict:
    """The container of the catalogue."""
    names = variables(PGHOST=host, PGUSER="shop", PGDATABASE="shop")["env"]
    env = env or (*names, password or from_secret("PGPASSWORD"))
    return box("catalogue", image=SHOP.format("1.0"), args=["catalogue"], env=list(env))


def make_catalogue(work: Work, store: dict, own: dict) -> None:
    """Create both as Pods."""
    work.pod("store", store, labels={"app": "catalogue-store"})
    work.pod("catalogue", own, labels={"app": "catalogue"})


@answer("07.2")
def everything_in_the_secret(work: Work) -> None:
    pairs = {"POSTGRES_USER": "shop", "POSTGRES_PASSWORD": "tea-and-honey", "PGHOST": "catalogue-store"}
    make_secret(work, **pairs, PGUSER="shop", PGPASSWORD="tea-and-honey", PGDATABASE="shop")
    make_services(work)
    everything = {"env": [], "envFrom": [{"secretRef": {"name": "catalogue-store"}}]}
    work.apply(
        deployment("catalogue-store", database() | everything),
        deployment("catalogue", catalogue() | everything),
    )
    rolled_out(work, "catalogue-store")


@answer("07.2")
def as_a_connection_string(work: Work) -> None:
    make_secret(work, password="tea", url="postgres://shop:tea@catalogue-store/shop")
    make_services(work)
    make_catalogue(work, database(), catalogue(from_secret("DATABASE_URL", "url")))


@answer("07.2", "secret")
def password_spelt_out(work: Work) -> None:
    make_services(work)
    password = {"name": "POSTGRES_PASSWORD", "value": "tea"}
    make_catalogue(work, database(password), catalogue(password={"name": "PGPASSWORD", "value": "tea"}))


@answer("07.2", "secret")
def password_in_a_string(work: Work) -> None:
    make_secret(work, password="tea")
    make_services(work)
    url = {"name": "DATABASE_URL", "value": "postgres://shop:tea@catalogue-store/shop"}
    make_catalogue(work, database(), catalogue(url, from_secret("SPARE")))


@answer("07.2", "apart")
def store_beside_the_catalogue(work: Work) -> None:
    make_secret(work, password="tea")
    service(work, "catalogue-store", 5432, selector={"app": "catalogue"})
    service(work, "catalogue", 80, 8080)
    work.pod("catalogue", database(), catalogue(host="localhost"), labels={"app": "catalogue"})


@answer("07.2", "products", "apart", "secret")
def another_password(work: Work) -> None:
    make_secret(work, password="tea", other="coffee")
    make_services(work)
    make_catalogue(work, database(), catalogue(password=from_secret("PGPASSWORD", "other")))


# 07.4, more of it


def checkouts(work: Work) -> list[str]:
    """The names of the Pods behind the Service, once there are three."""
    return sorted(wait_until(lambda: len(found := work.view.backends("checkout")) == 3 and found, "three Pods", LIMIT))


def scale(work: Work, replicas: int = 3) -> None:
    """Scale the Deployment, and wait until it is so."""
    work.kubectl("scale", "deployment", "checkout", f"--replicas={replicas}")
    rolled_out(work, "checkout")


@answer("07.4")
def scaled_and_deleted(work: Work) -> None:
    scale(work)
    killed = checkouts(work)[0]
    work.delete(killed)
    work.record("healing", killed=killed)


@answer("07.4")
def patched_and_evicted(work: Work) -> None:
    work.apps.patch_namespaced_deployment("checkout", work.namespace, {"spec": {"replicas": 3}})
    killed = checkouts(work)[-1]
    eviction = V1Eviction(metadata=V1ObjectMeta(name=killed, namespace=work.namespace))
    work.core.create_namespaced_pod_eviction(killed, work.namespace, eviction)
    work.record("healing", killed=killed)
    wait_until(lambda: killed not in work.view.backends("checkout"), f"{killed} to go", LIMIT)


@answer("07.4", "healed")
def nothing_was_killed(work: Work) -> None:
    scale(work)
    work.record("healing", killed=checkouts(work)[0])


@answer("07.4", "healed")
def made_smaller_and_larger_again(work: Work) -> None:
    scale(work)
    before = checkouts(work)
    scale(work, 2)
    wait_until(lambda: len(work.view.backends("checkout")) == 2, "two Pods", LIMIT)
    [killed] = set(before) - work.view.backends("checkout")
    scale(work)
    work.record("healing", killed=killed)


@answer("07.4", "three", "share", "healed")
def only_two(work: Work) -> None:
    scale(work, 2)
    work.record("healing", killed="checkout")


@answer("07.4", "share", "healed")
def companions_that_do_something_else(work: Work) -> None:
    for name in ("more-1", "more-2"):
        work.pod(name, box("nginx", image="podium.test/nginx:1.26"), labels={"app": "checkout"})
    work.record("healing", killed=checkouts(work)[0])


# 07.5, a new version

PROBE = {"readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 10}}
FAREWELL = {"lifecycle": {"preStop": {"sleep": {"seconds": 15}}}}
CAREFUL = {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def till(version: str, name: str = "express", strategy: dict | None = None, **container: object) -> dict:
    """A checkout as a Deployment of two Pods."""
    main = box("checkout", image=SHOP.format(version), args=["checkout"], **container)
    grace = {"terminationGracePeriodSeconds": 30 if "lifecycle" in container else 1}
    return deployment(name, main, replicas=2, strategy=strategy, **grace)


def opened(work: Work, version: str = "1.0") -> None:
    """Wait until the customer has got answers of this version."""

    def served() -> bool:
        return f"by version {version}" in work.kubectl("logs", "customer-express", "--tail=5")

    wait_until(served, f"the customer to be served by version {version}", LIMIT, every=0.5)


def open_shop(work: Work, first: dict) -> None:
    """Open with the first version."""
    work.apply(first)
    rolled_out(work, first["metadata"]["name"])
    opened(work)


@answer("07.5")
def all_at_once_beside_the_old(work: Work) -> None:
    at_once = {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": "100%"}}
    open_shop(work, till("1.0", strategy=at_once, **PROBE, **FAREWELL))
    work.kubectl("set", "image", "deployment/express", f"checkout={SHOP.format('2.0')}")
    rolled_out(work, "express")


@answer("07.5")
def blue_and_green(work: Work) -> None:
    blue, green = (till(version, name, **PROBE) for version, name in (("1.0", "blue"), ("2.0", "green")))
    for each in (blue, green):
        each["spec"]["template"]["metadata"]["labels"]["shop"] = each["metadata"]["name"]
    work.kubectl("patch", "service", "express", "--patch", json.dumps({"spec": {"selector": {"app": "blue"}}}))
    open_shop(work, blue)
    work.apply(green)
    rolled_out(work, "green")
    work.kubectl("patch", "service", "express", "--patch", json.dumps({"spec": {"selector": {"app": "green"}}}))
    opened(work, "2.0")
    time.sleep(15)  # as a farewell: every node has to learn of it
    work.kubectl("delete", "deployment", "blue")


@answer("07.5", "lossless")
def all_stopped_first(work: Work) -> None:
    open_shop(work, till("1.0", strategy={"type": "Recreate"}, **PROBE, **FAREWELL))
    work.apply(till("2.0", strategy={"type": "Recreate"}, **PROBE, **FAREWELL))
    rolled_out(work, "express")
    opened(work, "2.0")


@answer("07.5", "lossless")
def all_may_be_missing(work: Work) -> None:
    # Nothing keeps the old ones until the new ones are ready. (Without a probe alone it may go well by chance: a busy
    # node sends the first request later than the program listens.)
    careless = {"rollingUpdate": {"maxUnavailable": "100%"}}
    open_shop(work, till("1.0", strategy=careless, **PROBE))
    work.apply(till("2.0", strategy=careless, **PROBE))
    rolled_out(work, "express")
    opened(work, "2.0")


@answer("07.5", "updated", "watched", "lossless")
def never_updated(work: Work) -> None:
    open_shop(work, till("1.0", strategy=CAREFUL, **PROBE, **FAREWELL))


@answer("07.5", "watched", "lossless")
def nobody_watched(work: Work) -> None:
    work.apply(till("2.0", strategy=CAREFUL, **PROBE, **FAREWELL))
    rolled_out(work, "express")
    opened(work, "2.0")


# 07.6, an update that goes wrong


def go_wrong(work: Work) -> None:
    """What the lab's notebook does, and wait until the new version says what it lacks."""
    work.kubectl("rollout", "status", "deployment/wholesale", f"--timeout={LIMIT:g}s")
    work.kubectl("set", "image", "deployment/wholesale", f"checkout={SHOP.format('2.1')}")

    def complains() -> bool:
        pods = work.view.pods("app=wholesale").items()
        new = [name for name, pod in pods if pod.spec.containers[0].image == SHOP.format("2.1")]
        return any("no country" in work.view.log(name) for name in new)

    wait_until(complains, "version 2.1 to complain", LIMIT, every=0.5)


def note_country(work: Work) -> None:
    """Note the cause."""
    work.record("incident", country="ZQ")


@answer("07.6")
def undone(work: Work) -> None:
    go_wrong(work)
    work.kubectl("rollout", "undo", "deployment/wholesale")
    rolled_out(work, "wholesale")
    note_country(work)


@answer("07.6")
def the_old_image_set_again(work: Work) -> None:
    go_wrong(work)
    note_country(work)
    work.kubectl("set", "image", "deployment/wholesale", f"checkout={SHOP.format('2.0')}")


@answer("07.6", "back", "lossless")
def left_as_it_is(work: Work) -> None:
    go_wrong(work)
    note_country(work)


@answer("07.6", "lossless")
def deleted_and_made_anew(work: Work) -> None:
    go_wrong(work)
    note_country(work)
    work.kubectl("delete", "deployment", "wholesale", "--cascade=foreground", "--timeout=180s")
    work.apply(till("2.0", "wholesale", **PROBE))
    rolled_out(work, "wholesale")


@answer("07.6", "back", "lossless")
def further_back_than_asked(work: Work) -> None:
    go_wrong(work)
    note_country(work)
    work.kubectl("set", "image", "deployment/wholesale", f"checkout={SHOP.format('1.0')}")
    rolled_out(work, "wholesale")


@answer("07.6", "diagnosed")
def the_symptom_for_the_cause(work: Work) -> None:
    go_wrong(work)
    work.record("incident", country="not ready")
    work.kubectl("rollout", "undo", "deployment/wholesale")
    rolled_out(work, "wholesale")
