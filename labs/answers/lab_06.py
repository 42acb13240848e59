"""Answers to lab 06. The model answers are in the lab's source; here are right ones of another make, and wrong ones."""

from autograder.cluster import start_of
from autograder.verify import Answers, Work, box
from podium.waiting import wait_until

NGINX = "podium.test/nginx:1.26"
PYTHON = "podium.test/python:3.13"
REDIS = "podium.test/redis:8.0"

ANSWERS = Answers()
answer = ANSWERS.answer

SLEEP = box("main", "sleep", "infinity")
LIMIT = 180.0
"""Seconds that what is waited for may take to come, on a busy machine."""


def service(name: str, port: int, target: int | None = None, **more: object) -> dict:
    """A Service that leads to the Pods with its name as their label app."""
    ports = [{"port": port, "targetPort": target or port}]
    spec = {"selector": {"app": name}, "ports": ports, **more}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def deployment(name: str, replicas: int, *containers: dict, **spec: object) -> dict:
    """A Deployment whose Pods have its name as their label app."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"terminationGracePeriodSeconds": 0, "containers": list(containers), **spec},
            },
        },
    }


def programs(config_map: str) -> dict:
    """A volume of programs, for a Pod."""
    return {"volumes": [{"name": "programs", "configMap": {"name": config_map}}]}


PROGRAMS = {"volumeMounts": [{"name": "programs", "mountPath": "/programs"}]}


def environment(**variables: str) -> dict:
    """What a container says of its environment."""
    return {"env": [{"name": name, "value": value} for name, value in variables.items()]}


# 06.1, what does not belong together

STORE = {"name": "store", "image": REDIS}


def counters(store: str, *others: dict, **counter: object) -> dict:
    """The Deployment counter, which asks this store."""
    program = box("counter", "python3", "/programs/counter.py", image=PYTHON, **PROGRAMS, **environment(STORE=store))
    return deployment("counter", 2, program | counter, *others, **programs("counter"))


def replace(work: Work, *manifests: dict) -> None:
    """Make the counter anew, and wait for it."""
    work.kubectl("delete", "deployment", "counter", f"--timeout={LIMIT:g}s")
    work.apply(*manifests)
    for each in manifests:
        if each["kind"] == "Deployment":
            work.kubectl("rollout", "status", f"deployment/{each['metadata']['name']}", f"--timeout={LIMIT:g}s")


@answer("06.1")
def store_as_a_single_pod(work: Work) -> None:
    work.pod("memory", STORE, labels={"app": "memory"})
    replace(work, service("memory", 6379), counters("memory"))


@answer("06.1")
def store_as_a_stateful_set(work: Work) -> None:
    redis = deployment("redis", 1, STORE) | {"kind": "StatefulSet"}
    redis["spec"]["serviceName"] = "redis"
    full = f"redis-0.redis.{work.namespace}.svc.cluster.local"
    replace(work, service("redis", 6379, clusterIP="None"), redis, counters(full))


@answer("06.1", "one", "counts")
def one_store_on_each_node(work: Work) -> None:
    stores = deployment("store", 1, STORE) | {"kind": "DaemonSet"}
    del stores["spec"]["replicas"]
    asks = counters("store")
    alike = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "counter"}}}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [alike]}}
    asks["spec"]["template"]["spec"]["affinity"] = apart
    replace(work, service("store", 6379, internalTrafficPolicy="Local"), stores, asks)


@answer("06.1", "counts")
def nobody_tells_the_counters(work: Work) -> None:
    replace(work, service("store", 6379), deployment("store", 1, STORE), counters("localhost"))


@answer("06.1", "apart", "one", "counts")
def one_counter_only(work: Work) -> None:
    work.kubectl("scale", "deployment", "counter", "--replicas=1")


# 06.2, an adapter


def till(source: str = "http://localhost:8000", port: str = "9100") -> list[dict]:
    """A till and its adapter."""
    return [
        box("till", "python3", "/programs/till.py", image=PYTHON, **PROGRAMS),
        box(
            "adapter",
            "python3",
            "/programs/adapter.py",
            image=PYTHON,
            **PROGRAMS,
            **environment(SOURCE=source, PORT=port),
        ),
    ]


@answer("06.2")
def adapter_as_a_sidecar(work: Work) -> None:
    own, adapter = till()
    work.pod("till", own, initContainers=[adapter | {"restartPolicy": "Always"}], **programs("till"))


@answer("06.2")
def programs_as_arguments(work: Work) -> None:
    code = start_of("06.2")["configmap/till"]["data"]
    own, adapter = till("http://127.0.0.1:8000/")
    work.pod(
        "till",
        own | {"command": ["python3", "-c", code["till.py"]], "volumeMounts": []},
        adapter | {"command": ["python3", "-c", code["adapter.py"]], "volumeMounts": []},
    )


@answer("06.2", "single")
def both_in_one_container(work: Work) -> None:
    _, adapter = till()
    script = "python3 /programs/till.py & exec python3 /programs/adapter.py"
    work.pod("till", adapter | {"command": ["sh", "-c", script]}, **programs("till"))


@answer("06.2", "metrics", "single")
def adapter_in_another_pod(work: Work) -> None:
    own, adapter = till(source="http://till:8000")
    work.apply(service("till", 8000))
    work.pod("till", own, labels={"app": "till"}, **programs("till"))
    work.pod("adapter", adapter, **programs("till"))


@answer("06.2", "metrics")
def adapter_asks_the_wrong_port(work: Work) -> None:
    work.pod("till", *till(source="http://localhost:80"), **programs("till"))


# 06.3, an ambassador

SHOP = box("shop", "python3", "/programs/shop.py", image=PYTHON, **PROGRAMS)
PROXY = "server { listen 8080; location / { proxy_pass http://%s; } }"


def nginx(target: str = "prices") -> dict:
    """An ambassador that writes its own configuration."""
    script = f"echo '{PROXY % target}' > /etc/nginx/conf.d/default.conf; exec nginx -e stderr"
    return box("ambassador", script, image=NGINX)


def lead(work: Work, colour: str = "green") -> None:
    """Lead the Service to the Pod of this colour, when the shop knows the first price."""
    wait_until(lambda: "price " in work.view.log("shop", "shop").replace("price unknown", ""), "a first price", LIMIT)
    work.core.patch_namespaced_service("prices", work.namespace, {"spec": {"selector": {"colour": colour}}})


@answer("06.3")
def ambassador_in_python(work: Work) -> None:
    program = (
        "import urllib.request\n"
        "from http.server import *\n"
        "class Ambassador(BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        said = urllib.request.urlopen('http://prices' + self.path).read()\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        "        self.wfile.write(said)\n"
        "HTTPServer(('localhost', 8080), Ambassador).serve_forever()\n"
    )
    guide = box("guide", "python3", "-c", program, image=PYTHON)
    work.pod("shop", SHOP, guide, **programs("shop"))
    lead(work)


@answer("06.3")
def ambassador_as_a_sidecar(work: Work) -> None:
    work.pod("shop", SHOP, initContainers=[nginx() | {"restartPolicy": "Always"}], **programs("shop"))
    lead(work)


@answer("06.3", "local")
def shop_goes_out_itself(work: Work) -> None:
    script = "sed 's/localhost:8080/prices/' /programs/shop.py > /tmp/shop.py; exec python3 /tmp/shop.py"
    work.pod("shop", SHOP | {"command": ["sh", "-c", script]}, SLEEP, **programs("shop"))
    lead(work)


@answer("06.3", "moved")
def nobody_leads_the_service(work: Work) -> None:
    work.pod("shop", SHOP, nginx(), **programs("shop"))
    wait_until(lambda: "price 42" in work.view.log("shop", "shop"), "a first price", LIMIT)


@answer("06.3", "blue", "moved")
def led_too_early(work: Work) -> None:
    work.core.patch_namespaced_service("prices", work.namespace, {"spec": {"selector": {"colour": "green"}}})
    wait_until(lambda: work.view.backends("prices") == {"prices-green"}, "the Service to lead to green", LIMIT)
    # Wait for the rules that kube-proxy writes, too.
    wait_until(lambda: work.view.fetch_service("prices", 80, "price")[1].strip() == "57", "the green price", LIMIT)
    asks = "until wget -q -O - http://prices/price | grep -q 57; do sleep 1; done"
    work.pod("shop", SHOP, nginx(), initContainers=[box("wait", asks)], **programs("shop"))
    wait_until(lambda: "price 57" in work.view.log("shop", "shop"), "a first price", LIMIT)


# 06.5, who owns whom


def orphan(work: Work, cascade: str = "orphan") -> None:
    """Delete the Deployment."""
    work.kubectl("delete", "deployment", "tree", f"--cascade={cascade}", f"--timeout={LIMIT:g}s")


def adopt(work: Work, *children: str, uid: str = "", **more: object) -> None:
    """Let these belong to root."""
    uid = uid or work.core.read_namespaced_config_map("root", work.namespace).metadata.uid
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "root", "uid": uid, **more}
    body = {"metadata": {"ownerReferences": [owner]}}
    if "note" in children:
        work.core.patch_namespaced_config_map("note", work.namespace, body)
    if "leaf" in children:
        work.core.patch_namespaced_pod("leaf", work.namespace, body)


@answer("06.5")
def owned_by_a_controller(work: Work) -> None:
    orphan(work)
    adopt(work, "note", "leaf", controller=True, blockOwnerDeletion=True)


@answer("06.5")
def made_anew_as_children(work: Work) -> None:
    work.delete("leaf")
    work.kubectl("delete", "configmap", "note")
    uid = work.core.read_namespaced_config_map("root", work.namespace).metadata.uid
    owners = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "root", "uid": uid}]
    metadata = {"ownerReferences": owners}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [SLEEP]}
    note = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "note", **metadata}}
    work.apply(note, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "leaf", **metadata}, "spec": spec})
    work.apps.delete_namespaced_deployment("tree", work.namespace, propagation_policy="Orphan")


@answer("06.5", "orphans")
def all_of_the_tree_is_gone(work: Work) -> None:
    orphan(work, "foreground")
    adopt(work, "note", "leaf")


@answer("06.5", "orphans")
def two_pods_like_them(work: Work) -> None:
    orphan(work, "foreground")
    adopt(work, "note", "leaf")
    for name in ("tree-1", "tree-2"):
        work.pod(name, SLEEP, labels={"app": "tree"})
        work.kubectl("wait", "--for=condition=Ready", f"pod/{name}", f"--timeout={LIMIT:g}s")


@answer("06.5", "note", "leaf")
def owner_by_name_only(work: Work) -> None:
    orphan(work)
    adopt(work, "note", "leaf", uid="00000000-0000-0000-0000-000000000000")


@answer("06.5", "leaf")
def one_child_only(work: Work) -> None:
    orphan(work)
    adopt(work, "note")


# 06.7, two hands on one object


def tell(work: Work, field: str = ".spec.replicas", manager: str = "prepare") -> None:
    """Tell of the conflict."""
    work.record("conflict", field=field, manager=manager)


def part(image: str | None = PYTHON, **spec: object) -> str:
    """The team's part of the Deployment, as text."""
    lines = [
        "apiVersion: apps/v1", "kind: Deployment", "metadata: {name: site}", "spec:",
        *(f"  {key}: {value}" for key, value in spec.items()),
        "  selector: {matchLabels: {app: site}}", "  template:", "    metadata: {labels: {app: site}}", "    spec:",
        "      containers:", "        - name: site", "          env: [{name: COLOUR, value: blue}]",
        *([f"          image: {image}"] if image else []),
    ]  # fmt: skip
    return "\n".join(lines)


def apply_part(work: Work, manifest: str, *flags: str) -> None:
    """Apply it as the team."""
    flags = flags or ("--force-conflicts",)
    work.kubectl("apply", "--server-side", "--field-manager=team", *flags, "--filename=-", input=manifest)


@answer("06.7")
def in_two_steps(work: Work) -> None:
    tell(work, field="replicas")
    apply_part(work, part(image=None), "--force-conflicts=false")
    apply_part(work, part())


@answer("06.7")
def by_the_client(work: Work) -> None:
    tell(work)
    container = {"name": "site", "image": PYTHON, "env": [{"name": "COLOUR", "value": "blue"}]}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    work.apps.patch_namespaced_deployment(
        "site", work.namespace, body, field_manager="team", force=True, _content_type="application/apply-patch+yaml"
    )


@answer("06.7", "replicas")
def forced_as_a_whole(work: Work) -> None:
    tell(work)
    apply_part(work, part(replicas=5))


@answer("06.7", "replicas")
def number_shared(work: Work) -> None:
    tell(work)
    apply_part(work, part(replicas=2))


@answer("06.7", "image")
def without_the_image(work: Work) -> None:
    tell(work)
    apply_part(work, part(image=None), "--force-conflicts=false")


@answer("06.7", "told", "replicas", "colour", "image")
def set_and_not_applied(work: Work) -> None:
    tell(work, manager="kubectl")
    for command in (["image", "deployment/site", f"site={PYTHON}"], ["env", "deployment/site", "COLOUR=blue"]):
        work.kubectl("set", *command, "--field-manager=team")


# 06.8, next to nothing allowed

ENFORCE = "pod-security.kubernetes.io/enforce"
SERVE = "cd /data && date > opened && exec python3 -m http.server 8080"
STRICT = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65534,
    "seccompProfile": {"type": "RuntimeDefault"},
}
DATA = {"volumes": [{"name": "data", "emptyDir": {}}]}


def vault(work: Work, level: str = "restricted", key: str = ENFORCE, script: str = SERVE, **security: object) -> None:
    """Let the namespace enforce a level, and run the vault."""
    container = box("vault", script, image=PYTHON, securityContext=STRICT | security)
    container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    work.kubectl("label", "namespace", work.namespace, f"{key}={level}")
    work.pod("vault", container, **DATA)


@answer("06.8")
def all_in_the_container(work: Work) -> None:
    vault(work)


@answer("06.8")
def in_memory_and_with_a_group(work: Work) -> None:
    pod = {"runAsUser": 1234, "runAsGroup": 1234, "fsGroup": 1234, "runAsNonRoot": True}
    own = {key: STRICT[key] for key in ("allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities")}
    container = box("vault", SERVE, image=PYTHON, securityContext=own)
    container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    pod["seccompProfile"] = {"type": "RuntimeDefault"}
    work.kubectl("label", "namespace", work.namespace, f"{ENFORCE}=restricted", f"{ENFORCE}-version=latest")
    volumes = [{"name": "data", "emptyDir": {"medium": "Memory"}}]
    work.pod("vault", container, securityContext=pod, volumes=volumes)


@answer("06.8", "enforced", "restricted")
def baseline_is_not_enough(work: Work) -> None:
    vault(work, level="baseline")


@answer("06.8", "readonly")
def writes_anywhere(work: Work) -> None:
    vault(work, readOnlyRootFilesystem=False)


@answer("06.8", "restricted")
def was_there_before(work: Work) -> None:
    container = box("vault", SERVE, image=PYTHON, securityContext={"readOnlyRootFilesystem": True})
    container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    work.pod("vault", container, **DATA)
    work.kubectl("label", "namespace", work.namespace, f"{ENFORCE}=restricted")


@answer("06.8", "serves", "restricted", "readonly")
def nowhere_to_write(work: Work) -> None:
    # http.server does not come up: there is no /data that the program may write to.
    work.kubectl("label", "namespace", work.namespace, f"{ENFORCE}=restricted")
    work.pod("vault", box("vault", f"mkdir -p /data; {SERVE}", image=PYTHON, securityContext=STRICT))
