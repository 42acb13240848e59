"""Answers to lab 02. The model answers are in the lab's source; here are right ones of another make, and wrong ones."""

import json
import time

from autograder.cluster import start_of
from autograder.verify import Answers, Work, box
from podium.waiting import wait_until

BUSYBOX = "podium.test/busybox:1.37"
NGINX = "podium.test/nginx:1.26"

ANSWERS = Answers()
answer = ANSWERS.answer

WEB = {"labels": {"app": "web"}}
TICKS = "while true; do date; sleep 1; done"
LIMIT = {"resources": {"limits": {"memory": "32Mi"}}}
GREETING = {"env": [{"name": "GREETING", "value": "Good morning, Pod!"}]}
PATIENT = {
    "terminationGracePeriodSeconds": 0,
    "initContainers": [box("wait", "sleep", "4")],
    "containers": [box("main", "sleep", "infinity")],
}
GREETER = start_of("02.6")["pod/greeter"]["spec"]["containers"][0]["command"]


# 02.1, a Pod from a manifest


@answer("02.1")
def run_by_kubectl(work: Work) -> None:
    work.kubectl("run", "web", f"--image={NGINX}", "--labels=app=web,colour=blue")


@answer("02.1")
def with_a_companion(work: Work) -> None:
    containers = [{"name": "a", "image": BUSYBOX, "command": ["sleep", "infinity"]}, {"name": "b", "image": NGINX}]
    spec = {"terminationGracePeriodSeconds": 0, "containers": containers}
    work.core.create_namespaced_pod(work.namespace, {"metadata": {"name": "web", **WEB}, "spec": spec})


@answer("02.1", "image")
def renamed_image(work: Work) -> None:
    # The same program under the name by which it cannot be told apart: not what was asked for.
    work.run("web", "podium.test/python:3.13", "python3", "-m", "http.server", "80", **WEB)


@answer("02.1", "label")
def label_on_the_wrong_key(work: Work) -> None:
    work.run("web", NGINX, labels={"web": "app"})


@answer("02.1", "serves")
def server_replaced_by_sleep(work: Work) -> None:
    work.run("web", NGINX, "sleep", "infinity", **WEB)


@answer("02.1", "ready")
def never_ready(work: Work) -> None:
    probe = {"httpGet": {"port": 80, "path": "/not-there"}, "periodSeconds": 1}
    work.run("web", NGINX, readinessProbe=probe, **WEB)


@answer("02.1", "image", "label", "ready", "serves")
def another_name(work: Work) -> None:
    work.run("webb", NGINX, **WEB)


# 02.2, a Pod from Python


@answer("02.2")
def limit_in_bytes_by_kubectl(work: Work) -> None:
    pod = f"""
        {{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "clock"}}, "spec": {{"containers": [
            {{"name": "clock", "image": "{BUSYBOX}", "command": ["sh", "-c", "{TICKS}"],
              "resources": {{"limits": {{"memory": "33554432"}}}}}}
        ]}}}}"""
    work.kubectl("apply", "--filename", "-", input=pod)


@answer("02.2")
def clock_in_python(work: Work) -> None:
    program = "import time\nwhile True: print(time.ctime(), flush=True); time.sleep(1)"
    work.run("clock", "podium.test/python:3.13", "python3", "-c", program, **LIMIT)


@answer("02.2", "limit")
def no_limit(work: Work) -> None:
    work.run("clock", BUSYBOX, "sh", "-c", TICKS)


@answer("02.2", "limit")
def powers_of_ten(work: Work) -> None:
    work.run("clock", BUSYBOX, "sh", "-c", TICKS, resources={"limits": {"memory": "32M"}})


@answer("02.2", "limit")
def only_a_request(work: Work) -> None:
    work.run("clock", BUSYBOX, "sh", "-c", TICKS, resources={"requests": {"memory": "32Mi"}})


@answer("02.2", "log")
def prints_once(work: Work) -> None:
    work.run("clock", BUSYBOX, "sh", "-c", "date; sleep infinity", **LIMIT)


@answer("02.2", "ready", "log")
def ends_at_once(work: Work) -> None:
    work.run("clock", BUSYBOX, "date", **LIMIT)


# 02.4, accepted is not running


def create_patient(work: Work) -> tuple[float, float]:
    """Create the Pod of the lab; return when it was accepted and when it ran, in seconds after the request."""
    start = time.monotonic()
    work.core.create_namespaced_pod(work.namespace, {"metadata": {"name": "patient"}, "spec": PATIENT})
    accepted = time.monotonic() - start
    wait_until(lambda: work.view.pod("patient").status.phase == "Running", "patient to run", limit=180)
    return accepted, time.monotonic() - start


@answer("02.4")
def by_polling(work: Work) -> None:
    accepted, running = create_patient(work)
    work.annotate("patient", accepted_after=str(accepted), running_after=str(running), phase_when_accepted="Pending")


@answer("02.4")
def by_kubectl_wait(work: Work) -> None:
    start = time.monotonic()
    work.kubectl("run", "patient", f"--image={BUSYBOX}", f"--overrides={json.dumps({'spec': PATIENT})}")
    accepted = time.monotonic() - start
    work.kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/patient", "--timeout=180s")
    running = time.monotonic() - start
    work.annotate("patient", accepted_after=f"{accepted}", running_after=f"{running}", phase_when_accepted="Pending")


@answer("02.4", "accepted", "running")
def swapped(work: Work) -> None:
    accepted, running = create_patient(work)
    work.annotate("patient", accepted_after=str(running), running_after=str(accepted), phase_when_accepted="Pending")


@answer("02.4", "running")
def made_up(work: Work) -> None:
    create_patient(work)
    work.annotate("patient", accepted_after="0.1", running_after="60", phase_when_accepted="Pending")


@answer("02.4", "phase")
def phase_at_the_end(work: Work) -> None:
    accepted, running = create_patient(work)
    work.annotate(
        "patient", accepted_after=f"{accepted:.2f}", running_after=f"{running:.2f}", phase_when_accepted="Running"
    )


@answer("02.4", "accepted", "running", "phase")
def nothing_recorded(work: Work) -> None:
    create_patient(work)


@answer("02.4", "accepted", "running")
def words_for_numbers(work: Work) -> None:
    create_patient(work)
    work.annotate("patient", accepted_after="at once", running_after="nan", phase_when_accepted="Pending")


# 02.5, choosing Pods


@answer("02.5")
def one_by_one(work: Work) -> None:
    work.kubectl("delete", "pod", "import-2", "import-1")
    work.kubectl("label", "pods", "front-1", "back-1", "on-call=yes")


@answer("02.5")
def from_python(work: Work) -> None:
    for name, pod in work.view.pods().items():
        if pod.status.phase == "Succeeded":
            work.core.delete_namespaced_pod(name, work.namespace)
        elif pod.metadata.labels["track"] != "canary":
            work.core.patch_namespaced_pod(name, work.namespace, {"metadata": {"labels": {"on-call": "yes"}}})


@answer("02.5", "only")
def canaries_too(work: Work) -> None:
    work.kubectl("label", "pods", "--selector", "tier in (front, back)", "on-call=yes")
    work.kubectl("delete", "pods", "--field-selector", "status.phase=Succeeded")


@answer("02.5", "marked")
def one_tier_only(work: Work) -> None:
    work.kubectl("label", "pods", "--selector", "tier=front,track!=canary", "on-call=yes")
    work.kubectl("delete", "pods", "--field-selector", "status.phase=Succeeded")


@answer("02.5", "kept")
def deletes_by_track(work: Work) -> None:
    work.kubectl("label", "pods", "--selector", "tier in (front, back), track=stable", "on-call=yes")
    work.kubectl("delete", "pods", "--selector", "track=canary")
    work.kubectl("delete", "pods", "--field-selector", "status.phase=Succeeded")


@answer("02.5", "gone", "kept")
def deletes_nothing(work: Work) -> None:
    work.kubectl("label", "pods", "--selector", "tier in (front, back), track=stable", "on-call=yes")


@answer("02.5", "marked", "only", "gone", "kept")
def deletes_everything(work: Work) -> None:
    work.kubectl("delete", "pods", "--all")


# 02.6, reading an error


@answer("02.6")
def both_replaced(work: Work) -> None:
    work.record(catalogue="ErrImagePull", greeter="3")
    work.replace("catalogue", NGINX)
    work.kubectl("create", "configmap", "words", "--from-literal=GREETING=Hello")
    work.replace("greeter", BUSYBOX, *GREETER, envFrom=[{"configMapRef": {"name": "words"}}])


@answer("02.6")
def image_set_in_place(work: Work) -> None:
    work.record(catalogue="ImagePullBackOff", greeter="3")
    work.kubectl("set", "image", "pod/catalogue", f"nginx={NGINX}")
    work.replace("greeter", BUSYBOX, *GREETER, **GREETING)


@answer("02.6", "reason", "exit-code")
def symptoms_for_causes(work: Work) -> None:
    work.record(catalogue="Pending", greeter="CrashLoopBackOff")
    work.kubectl("set", "image", "pod/catalogue", f"nginx={NGINX}")
    work.replace("greeter", BUSYBOX, *GREETER, **GREETING)


@answer("02.6", "catalogue")
def another_image(work: Work) -> None:
    work.record(catalogue="ErrImagePull", greeter="3")
    work.replace("catalogue", BUSYBOX, "sleep", "infinity")
    work.replace("greeter", BUSYBOX, *GREETER, **GREETING)


@answer("02.6", "catalogue", "greeter", "greets")
def only_diagnosed(work: Work) -> None:
    work.record(catalogue="ErrImagePull", greeter="3")


@answer("02.6", "greets")
def greets_no_more(work: Work) -> None:
    work.record(catalogue="ErrImagePull", greeter="3")
    work.kubectl("set", "image", "pod/catalogue", f"nginx={NGINX}")
    work.replace("greeter", BUSYBOX, "sleep", "infinity")


@answer("02.6", "greeter", "greets")
def greeting_is_empty(work: Work) -> None:
    work.record(catalogue="ErrImagePull", greeter="3")
    work.kubectl("set", "image", "pod/catalogue", f"nginx={NGINX}")
    work.replace("greeter", BUSYBOX, *GREETER, env=[{"name": "GREETING", "value": ""}])
