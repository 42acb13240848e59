"""Answers to lab 04. The model answers are in the lab's source; here are right ones of another make, and wrong ones."""

import time

from autograder.cluster import start_of
from autograder.verify import Answers, Work, box

NGINX = "podium.test/nginx:1.26"
AGNHOST = "podium.test/agnhost:2.66.1"
PYTHON = "podium.test/python:3.13"

ANSWERS = Answers()
answer = ANSWERS.answer

SLEEP = box("main", "sleep", "infinity")
ONCE = {"restartPolicy": "Never"}

# 04.1, every phase


def make_phases(work: Work, *, pending: dict, running: dict, succeeded: dict, failed: dict) -> None:
    """Create the four Pods; each spec says at least ``containers``."""
    for name, spec in {"pending": pending, "running": running, "succeeded": succeeded, "failed": failed}.items():
        work.core.create_namespaced_pod(
            work.namespace, {"metadata": {"name": name}, "spec": {"terminationGracePeriodSeconds": 0, **spec}}
        )


def one(*command: str, **spec: object) -> dict:
    """The spec of a Pod of one container."""
    return {"containers": [box("main", *command)], **spec}


PHASES = {
    "pending": one("sleep", "infinity", nodeSelector={"disk": "made-of-cheese"}),
    "running": one("sleep", "infinity"),
    "succeeded": one("true", **ONCE),
    "failed": one("false", **ONCE),
}


@answer("04.1")
def waits_in_an_init_container(work: Work) -> None:
    pending = {"containers": [SLEEP], "initContainers": [box("wait", "sleep", "infinity")]}
    succeeded = one("sleep 1; exit 0", restartPolicy="OnFailure")
    failed = {"containers": [SLEEP], "initContainers": [box("fail", "false")], **ONCE}
    make_phases(work, pending=pending, running=PHASES["running"], succeeded=succeeded, failed=failed)


@answer("04.1")
def wants_what_is_not_there(work: Work) -> None:
    pending = {"containers": [{"name": "main", "image": "podium.test/cheese:1"}]}
    running = {"containers": [{"name": "main", "image": NGINX}]}
    failed = one("sleep infinity", activeDeadlineSeconds=1)
    make_phases(work, pending=pending, running=running, succeeded=PHASES["succeeded"], failed=failed)


@answer("04.1", "failed")
def fails_again_and_again(work: Work) -> None:
    make_phases(work, **PHASES | {"failed": one("false")})


@answer("04.1", "succeeded")
def succeeds_again_and_again(work: Work) -> None:
    make_phases(work, **PHASES | {"succeeded": one("true")})


@answer("04.1", "pending")
def pending_for_a_moment(work: Work) -> None:
    pending = {"containers": [SLEEP], "initContainers": [box("wait", "sleep", "3")]}
    make_phases(work, **PHASES | {"pending": pending})


@answer("04.1", "running")
def runs_in_circles(work: Work) -> None:
    make_phases(work, **PHASES | {"running": one("sleep 1; exit 1")})


# 04.2, once more

IMPORT = "if [ -e /work/tried ]; then echo imported; else touch /work/tried; echo not yet; exit 1; fi"
WORKING = {"volumeMounts": [{"name": "work", "mountPath": "/work"}]}
LABEL = {"app": "import"}


def importer(policy: str, script: str = IMPORT) -> dict:
    """The spec of a Pod that imports."""
    volumes = [{"name": "work", "emptyDir": {}}]
    return {"restartPolicy": policy, "volumes": volumes, "containers": [box("import", script, **WORKING)]}


def make_import(work: Work, spec: dict) -> None:
    """Create it as a Pod."""
    metadata = {"name": "import", "labels": LABEL}
    work.core.create_namespaced_pod(work.namespace, {"metadata": metadata, "spec": spec})


@answer("04.2")
def as_a_job(work: Work) -> None:
    template = {"metadata": {"labels": LABEL}, "spec": importer("OnFailure")}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "import"}, "spec": {"template": template}}
    work.apply(job)
    work.kubectl("wait", "--for=condition=Complete", "job/import", "--timeout=180s")


@answer("04.2")
def rule_for_one_container(work: Work) -> None:
    # https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-restart-rules
    spec = importer("Never")
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]
    spec["containers"][0] |= {"restartPolicy": "Never", "restartPolicyRules": rules}
    make_import(work, spec)


@answer("04.2", "succeeded", "once", "imported")
def never_restarted(work: Work) -> None:
    make_import(work, importer("Never"))


@answer("04.2", "succeeded", "once")
def always_restarted(work: Work) -> None:
    make_import(work, importer("Always"))


@answer("04.2", "once", "imported")
def loop_in_the_shell(work: Work) -> None:
    make_import(work, importer("OnFailure", f"until ({IMPORT}); do sleep 1; done"))


@answer("04.2", "succeeded", "once", "imported")
def nothing_kept(work: Work) -> None:
    spec = importer("OnFailure", "mkdir -p /work; " + IMPORT)
    spec["containers"][0].pop("volumeMounts")
    make_import(work, spec)


# 04.4, alive but stuck


def forgetful(**container: object) -> dict:
    """A container that is sick after ten seconds."""
    return {"name": "main", "image": AGNHOST, "args": ["liveness"], **container}


def asks(port: int = 8080, **probe: object) -> dict:
    """A strict probe."""
    return {"httpGet": {"path": "/healthz", "port": port}, "periodSeconds": 1, "failureThreshold": 2, **probe}


@answer("04.4")
def asked_by_a_command(work: Work) -> None:
    # A command is slower than a request: a busy node needs more than the one second that is the default.
    probe = {"exec": {"command": ["curl", "-sf", "http://localhost:8080/healthz"]}, "timeoutSeconds": 5}
    work.pod("forgetful", forgetful(livenessProbe=probe | {"periodSeconds": 3, "failureThreshold": 1}))


@answer("04.4")
def asked_late(work: Work) -> None:
    work.pod("forgetful", forgetful(livenessProbe=asks(initialDelaySeconds=5)))


@answer("04.4", "restarted", "patient")
def not_asked(work: Work) -> None:
    work.pod("forgetful", forgetful())


@answer("04.4", "restarted", "patient")
def asked_whether_it_is_ready(work: Work) -> None:
    work.pod("forgetful", forgetful(readinessProbe=asks()))


@answer("04.4", "patient")
def asked_on_the_wrong_port(work: Work) -> None:
    work.pod("forgetful", forgetful(livenessProbe=asks(port=80)))


@answer("04.4", "restarted")
def ended_by_a_timer(work: Work) -> None:
    command = ["bash", "-c", "/agnhost liveness & sleep 12; exit 1"]
    work.pod("forgetful", {"name": "main", "image": AGNHOST, "command": command})


# 04.5, a slow start

SLOW = start_of("04.5")["pod/slow"]["spec"]["containers"][0]
HTTP = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1}


def mend(work: Work, **container: object) -> None:
    """Replace the Pod by one whose container says this as well."""
    work.delete("slow")
    work.pod("slow", SLOW | container)


@answer("04.5")
def time_before_the_first_question(work: Work) -> None:
    mend(work, livenessProbe=SLOW["livenessProbe"] | {"initialDelaySeconds": 20})


@answer("04.5")
def started_when_the_port_is_open(work: Work) -> None:
    mend(work, startupProbe={"tcpSocket": {"port": 80}, "periodSeconds": 2, "failureThreshold": 30})


@answer("04.5", "strict")
def not_watched_any_more(work: Work) -> None:
    mend(work, livenessProbe=None)


@answer("04.5", "strict")
def watched_with_one_eye(work: Work) -> None:
    mend(work, livenessProbe=HTTP | {"periodSeconds": 10})


@answer("04.5", "ready", "calm", "strict")
def too_little_time(work: Work) -> None:
    mend(work, startupProbe=HTTP | {"failureThreshold": 3})


@answer("04.5", "ready", "calm", "strict")
def asked_whether_it_is_ready_too(work: Work) -> None:
    mend(work, readinessProbe=HTTP)


# 04.6, open or closed

OPEN = {"exec": {"command": ["test", "-e", "/tmp/open"]}, "periodSeconds": 1}


def make_desks(work: Work, selector: dict | None = None, **container: object) -> None:
    """Create two desks and their Service."""
    for name in ("desk-1", "desk-2"):
        work.pod(name, SLEEP | container, labels={"app": "desk", "name": name})
    service = {"metadata": {"name": "desk"}, "spec": {"selector": selector or {"app": "desk"}, "ports": [{"port": 80}]}}
    work.core.create_namespaced_service(work.namespace, service)


def open_desk(work: Work, *names: str) -> None:
    """Open these desks, once they run."""
    for name in names:
        work.kubectl("wait", "--for=jsonpath={.status.phase}=Running", f"pod/{name}", "--timeout=180s")
        work.kubectl("exec", name, "--", "touch", "/tmp/open")


@answer("04.6")
def closed_again(work: Work) -> None:
    make_desks(work, readinessProbe=OPEN | {"failureThreshold": 1})
    open_desk(work, "desk-1", "desk-2")
    work.kubectl("exec", "desk-2", "--", "rm", "/tmp/open")


@answer("04.6")
def served_over_http(work: Work) -> None:
    script = "mkdir /site; cd /site; exec python3 -m http.server 80"
    probe = {"httpGet": {"path": "/open", "port": 80}, "periodSeconds": 1}
    make_desks(work, image=PYTHON, command=["sh", "-c", script], readinessProbe=probe)
    work.kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/desk-1", "--timeout=180s")
    work.kubectl("exec", "desk-1", "--", "sh", "-c", "until touch /site/open; do sleep 1; done")


@answer("04.6", "only")
def not_asked_at_all(work: Work) -> None:
    make_desks(work)
    open_desk(work, "desk-1")


@answer("04.6", "running", "only")
def restarted_when_closed(work: Work) -> None:
    make_desks(work, livenessProbe=OPEN | {"failureThreshold": 2, "initialDelaySeconds": 3})
    open_desk(work, "desk-1")


@answer("04.6", "only")
def both_open(work: Work) -> None:
    make_desks(work, readinessProbe=OPEN)
    open_desk(work, "desk-1", "desk-2")


@answer("04.6", "only")
def only_one_is_known(work: Work) -> None:
    make_desks(work, {"name": "desk-1"}, readinessProbe=OPEN)
    open_desk(work, "desk-1")


# 04.7, a proper farewell

GUEST = "trap 'sleep 3; wget -q -O - http://guestbook/done; exit' TERM; while true; do sleep 1 & wait $!; done"


def says(word: str) -> dict:
    """A hook that tells the guest book something."""
    return {"exec": {"command": ["wget", "-q", "-O", "-", f"http://guestbook/{word}"]}}


def visit(
    work: Work, start: str = "hello", stop: str = "bye", grace: int = 20, leave: bool = True, **more: object
) -> None:
    """Let a guest come, and leave."""
    hooks = {name: says(word) for name, word in (("postStart", start), ("preStop", stop)) if word}
    work.pod("guest", box("guest", GUEST, lifecycle=hooks, **more), terminationGracePeriodSeconds=grace)
    work.kubectl("wait", "--for=condition=Ready", "pod/guest", "--timeout=180s")
    if leave:
        work.kubectl("delete", "pod", "guest", "--timeout=180s")


@answer("04.7")
def grace_given_when_deleting(work: Work) -> None:
    visit(work, grace=2, leave=False)
    work.kubectl("delete", "pod", "guest", "--grace-period=30", "--timeout=180s")


@answer("04.7")
def all_in_the_program(work: Work) -> None:
    program = (
        "import signal, time, urllib.request\n"
        "def say(word): urllib.request.urlopen(f'http://guestbook/{word}').read()\n"
        "def leave(*_): say('bye'); time.sleep(1); say('done'); raise SystemExit\n"
        "signal.signal(signal.SIGTERM, leave); say('hello'); open('/tmp/ready', 'w').close()\n"
        "while True: time.sleep(1)\n"
    )
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1}
    guest = box("guest", "python3", "-c", program, image=PYTHON, readinessProbe=probe)
    work.pod("guest", guest, terminationGracePeriodSeconds=20)
    work.kubectl("wait", "--for=condition=Ready", "pod/guest", "--timeout=180s")
    work.kubectl("delete", "pod", "guest", "--timeout=180s")


@answer("04.7", "done")
def too_little_grace(work: Work) -> None:
    visit(work, grace=2)


@answer("04.7", "hello")
def says_no_hello(work: Work) -> None:
    visit(work, start="")


@answer("04.7", "bye")
def says_no_bye(work: Work) -> None:
    visit(work, stop="")


@answer("04.7", "hello", "bye")
def hooks_swapped(work: Work) -> None:
    visit(work, start="bye", stop="hello")


@answer("04.7", "bye", "done", "gone")
def never_leaves(work: Work) -> None:
    visit(work, leave=False)
    time.sleep(1)
