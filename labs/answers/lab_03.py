"""Answers to lab 03. The model answers are in the lab's source; here are right ones of another make, and wrong ones."""

from autograder.verify import Answers, Work, box
from podium.waiting import wait_until

NGINX = "podium.test/nginx:1.26"
PYTHON = "podium.test/python:3.13"

ANSWERS = Answers()
answer = ANSWERS.answer

HTML = "/usr/share/nginx/html"
EMPTY = {"name": "pages", "emptyDir": {}}


def mount(path: str, volume: str = "pages") -> dict:
    """What a container says of a volume that it mounts."""
    return {"volumeMounts": [{"name": volume, "mountPath": path}]}


def server(path: str = HTML, volume: str = "pages") -> dict:
    """nginx with a volume."""
    return box("server", image=NGINX, **mount(path, volume))


# 03.1, one writes, the other serves

WRITE = "while true; do date > /pages/index.html; sleep 1; done"


@answer("03.1")
def written_by_python(work: Work) -> None:
    program = "import time\nwhile True: open('/news/index.html', 'w').write(str(time.time())); time.sleep(0.5)"
    writer = box("writer", "python3", "-c", program, image=PYTHON, **mount("/news"))
    work.pod("news", writer, server(), volumes=[EMPTY])


@answer("03.1")
def written_by_a_sidecar(work: Work) -> None:
    writer = box("writer", WRITE, restartPolicy="Always", **mount("/pages"))
    memory = {"name": "pages", "emptyDir": {"medium": "Memory"}}
    work.pod("news", server(), initContainers=[writer], volumes=[memory])


@answer("03.1", "page", "shared")
def two_volumes(work: Work) -> None:
    writer = box("writer", WRITE, **mount("/pages", "other"))
    work.pod("news", writer, server(), volumes=[EMPTY, {"name": "other", "emptyDir": {}}])


@answer("03.1", "page", "shared")
def mounted_beside_the_folder(work: Work) -> None:
    work.pod("news", box("writer", WRITE, **mount("/pages")), server("/var/www/html"), volumes=[EMPTY])


@answer("03.1", "page")
def written_once(work: Work) -> None:
    writer = box("writer", "date > /pages/index.html; sleep infinity", **mount("/pages"))
    work.pod("news", writer, server(), volumes=[EMPTY])


@answer("03.1", "shared")
def server_writes_its_own_page(work: Work) -> None:
    program = f"while true; do date > {HTML}/index.html; sleep 1; done & exec nginx -e stderr"
    work.pod("news", box("server", program, image=NGINX, **mount(HTML)), volumes=[EMPTY])


@answer("03.1", "ready", "page")
def writer_gives_up(work: Work) -> None:
    writer = box("writer", "date > /page/index.html; exit 1", **mount("/pages"))
    work.pod("news", writer, server(), volumes=[EMPTY])


# 03.2, meeting on localhost

WEB = box("web", image=NGINX)


def asking(address: str) -> str:
    """A shell script that asks for ever."""
    return f"while true; do wget -q -O - {address}; sleep 1; done"


@answer("03.2")
def by_number_from_python(work: Work) -> None:
    program = (
        "import time, urllib.request\n"
        "while True:\n"
        "    try: print(urllib.request.urlopen('http://127.0.0.1').read().decode())\n"
        "    except OSError as problem: print(problem)\n"
        "    time.sleep(1)\n"
    )
    work.pod("pair", box("client", "python3", "-c", program, image=PYTHON), WEB)


@answer("03.2")
def asks_often_by_curl(work: Work) -> None:
    script = "while true; do curl -s http://localhost:80/; sleep 0.5; done"
    work.pod("pair", WEB, box("client", "bash", "-c", script, image="podium.test/agnhost:2.66.1"))


@answer("03.2", "local")
def by_the_address_of_the_pod(work: Work) -> None:
    own = {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    work.pod("pair", WEB, box("client", asking("http://$IP/"), env=[own]))


@answer("03.2", "prints", "local")
def asks_once(work: Work) -> None:
    work.pod("pair", WEB, box("client", "sleep 2; wget -q -O - http://localhost/; sleep infinity"))


@answer("03.2", "prints", "local")
def wrong_port(work: Work) -> None:
    work.pod("pair", WEB, box("client", asking("http://localhost:8080/")))


@answer("03.2", "prints")
def throws_the_page_away(work: Work) -> None:
    work.pod("pair", WEB, box("client", asking("http://localhost/") + " > /dev/null"))


@answer("03.2", "ready", "prints", "local")
def a_pod_each(work: Work) -> None:
    work.pod("web", WEB)
    work.pod("client", box("client", asking("http://localhost/")))


# 03.4, first things first

UNTIL = "until wget -q -T 2 -O /dev/null http://pantry; do sleep 1; done"
MAIN = box("main", "sleep", "infinity")


def pantry(work: Work) -> None:
    """Create what is waited for."""
    work.run("pantry", NGINX, labels={"app": "pantry"})
    work.kubectl("expose", "pod", "pantry", "--port=80")


def wait_for_init(work: Work) -> None:
    """Wait until the first init container of cook runs or has ended."""

    def state() -> object:
        found = (work.view.pod("cook").status.init_container_statuses or [None])[0]
        return found and (found.state.running or found.state.terminated)

    wait_until(state, "cook's init container to start", limit=180)


@answer("03.4")
def fails_until_it_is_there(work: Work) -> None:
    work.pod("cook", MAIN, initContainers=[box("wait", "wget -q -T 2 -O /dev/null http://pantry")])
    wait_for_init(work)
    pantry(work)
    work.kubectl("wait", "--for=condition=Ready", "pod/cook", "--timeout=180s")  # its back-off may have grown


@answer("03.4")
def asks_the_address_in_two_steps(work: Work) -> None:
    service = {"metadata": {"name": "pantry"}, "spec": {"selector": {"role": "food"}, "ports": [{"port": 80}]}}
    service = work.core.create_namespaced_service(work.namespace, service)
    address = f"until wget -q -T 2 -O /dev/null http://{service.spec.cluster_ip}; do sleep 1; done"
    work.pod("cook", MAIN, initContainers=[box("first", "true"), box("second", address)])
    wait_for_init(work)
    work.run("pantry", NGINX, labels={"role": "food"})


@answer("03.4", "waited")
def waits_in_the_main_container(work: Work) -> None:
    work.pod("cook", box("main", f"{UNTIL}; sleep infinity"))
    pantry(work)


@answer("03.4", "waited")
def sleeps_instead_of_asking(work: Work) -> None:
    work.pod("cook", MAIN, initContainers=[box("wait", "sleep", "1")])
    wait_until(lambda: work.view.pod("cook").status.phase == "Running", "cook to run", limit=180)
    pantry(work)


@answer("03.4", "waited")
def in_the_wrong_order(work: Work) -> None:
    pantry(work)
    work.kubectl("wait", "--for=condition=Ready", "pod/pantry", "--timeout=180s")
    work.pod("cook", MAIN, initContainers=[box("wait", UNTIL)])


@answer("03.4", "ready", "waited", "answers")
def never_served(work: Work) -> None:
    work.pod("cook", MAIN, initContainers=[box("wait", UNTIL)])
    wait_for_init(work)
    work.run("pantry", NGINX, labels={"app": "pantry"})
    service = {"metadata": {"name": "pantry"}, "spec": {"selector": {"app": "pantri"}, "ports": [{"port": 80}]}}
    work.core.create_namespaced_service(work.namespace, service)


# 03.5, a sidecar that knows when to leave

REPORT = "for n in 1 2 3 4 5; do echo line $n of 5 >> /log/report.log; sleep 1; done"
SHIP = "trap exit TERM; touch /log/report.log; tail -f /log/report.log & wait"
LOG = mount("/log", "log")
VOLUME = [{"name": "log", "emptyDir": {}}]


def report(*, sidecar: bool, ship: str = SHIP, log: dict = LOG, write: str = REPORT) -> dict:
    """The spec of a Pod with a report and its shipper, which is a sidecar or an ordinary container."""
    shipper, main = box("shipper", ship, **log), box("report", write, **LOG)
    common = {"restartPolicy": "Never", "volumes": [*VOLUME, {"name": "other", "emptyDir": {}}]}
    if sidecar:
        return {"initContainers": [shipper | {"restartPolicy": "Always"}], "containers": [main], **common}
    return {"containers": [main, shipper], **common}


def make_report(work: Work, spec: dict) -> None:
    """Create it."""
    work.core.create_namespaced_pod(
        work.namespace, {"metadata": {"name": "report"}, "spec": {"terminationGracePeriodSeconds": 2, **spec}}
    )


@answer("03.5")
def shipped_by_python(work: Work) -> None:
    program = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit())\n"
        "file = open('/log/report.log', 'a+'); file.seek(0)\n"
        "while True:\n"
        "    print(file.read(), end='', flush=True); time.sleep(0.2)\n"
    )
    spec = report(sidecar=True)
    spec["initContainers"][0] |= {"image": PYTHON, "command": ["python3", "-c", program]}
    make_report(work, spec)


@answer("03.5")
def killed_after_the_grace_period(work: Work) -> None:
    spec = report(sidecar=True, ship="touch /log/report.log; exec tail -f /log/report.log")
    make_report(work, spec | {"restartPolicy": "OnFailure"})


@answer("03.5", "succeeded", "sidecar")
def an_ordinary_container(work: Work) -> None:
    make_report(work, report(sidecar=False))


@answer("03.5", "sidecar")
def a_container_that_counts_the_lines(work: Work) -> None:
    ship = "touch /log/report.log; until grep 'line 5' /log/report.log; do sleep 1; done; cat /log/report.log"
    make_report(work, report(sidecar=False, ship=ship))


@answer("03.5", "shipped")
def no_common_volume(work: Work) -> None:
    make_report(work, report(sidecar=True, log=mount("/log", "other")))


@answer("03.5", "shipped", "sidecar")
def ships_its_own_lines(work: Work) -> None:
    spec = report(sidecar=True, write=REPORT.replace(">>", "| tee -a"))
    del spec["initContainers"]
    make_report(work, spec)


@answer("03.5", "succeeded", "shipped", "sidecar")
def blocks_the_report(work: Work) -> None:
    spec = report(sidecar=True)
    del spec["initContainers"][0]["restartPolicy"]
    make_report(work, spec)


# 03.6, what a restart leaves behind


def in_worker(work: Work, script: str) -> None:
    """Run a script in the worker."""
    work.kubectl("exec", "survivor", "-c", "worker", "--", "sh", "-c", script)


def end_worker(work: Work) -> None:
    """Make the worker's program end, a moment later: the command itself runs in the same container."""
    in_worker(work, "(sleep 1; kill 1) > /dev/null 2>&1 &")


def wait_for_restart(work: Work, container: str = "worker") -> None:
    """Wait until a container has been restarted."""

    def restarted() -> bool:
        statuses = work.view.pod("survivor").status.container_statuses
        return any(s.name == container and s.restart_count and s.state.running for s in statuses)

    wait_until(restarted, f"{container} to restart", limit=180)


@answer("03.6")
def written_in_one_go(work: Work) -> None:
    in_worker(work, "touch /shared/note /tmp/note")
    end_worker(work)
    wait_for_restart(work)
    work.kubectl("create", "configmap", "survival", "--from-literal=volume=Yes", "--from-literal=container=No")


@answer("03.6")
def told_before_it_happens(work: Work) -> None:
    work.record("survival", volume="yes", container="no")
    in_worker(work, "echo hello > /tmp/note; cp /tmp/note /shared/note")
    end_worker(work)


@answer("03.6", "told")
def answers_swapped(work: Work) -> None:
    in_worker(work, "touch /shared/note /tmp/note")
    end_worker(work)
    work.record("survival", volume="no", container="yes")


@answer("03.6", "written")
def only_one_note(work: Work) -> None:
    in_worker(work, "touch /shared/note")
    end_worker(work)
    work.record("survival", volume="yes", container="no")


@answer("03.6", "restarted", "written", "found")
def a_new_pod(work: Work) -> None:
    in_worker(work, "touch /shared/note /tmp/note")
    pod = work.view.pod("survivor")
    work.delete("survivor")
    pod.metadata.resource_version = pod.metadata.uid = pod.spec.node_name = None
    work.core.create_namespaced_pod(work.namespace, pod)
    work.record("survival", volume="yes", container="no")


@answer("03.6", "restarted", "written", "found", "told")
def notes_without_a_restart(work: Work) -> None:
    in_worker(work, "touch /shared/note /tmp/note")


# 03.7, a process and its walls

SLEEPER = box("sleeper", "sleep", "86400")
NURSE = box("nurse", "while true; do ps; sleep 1; done")


def ward(work: Work, *containers: dict, first: str = "pause", **spec: object) -> None:
    """Make the Pod, and note which process is the first."""
    work.pod("ward", *containers, **spec)
    work.record("walls", first=first)


@answer("03.7")
def nurse_as_a_sidecar(work: Work) -> None:
    ward(work, SLEEPER, initContainers=[NURSE | {"restartPolicy": "Always"}], shareProcessNamespace=True)


@answer("03.7")
def nurse_in_python(work: Work) -> None:
    program = (
        "import glob, time\n"
        "while True:\n"
        "    for path in glob.glob('/proc/[0-9]*/cmdline'): print(open(path).read(), flush=True)\n"
        "    time.sleep(1)\n"
    )
    nurse = box("nurse", "python3", "-c", program, image=PYTHON)
    ward(work, nurse, SLEEPER, first="/pause", shareProcessNamespace=True)


@answer("03.7", "sees", "apart")
def behind_their_walls(work: Work) -> None:
    ward(work, SLEEPER, NURSE)


@answer("03.7", "sees", "apart")
def starts_it_herself(work: Work) -> None:
    ward(work, SLEEPER, box("nurse", "sleep 86400 & while true; do ps; sleep 1; done"))


@answer("03.7", "apart")
def without_any_walls(work: Work) -> None:
    ward(work, SLEEPER, NURSE, hostPID=True)


@answer("03.7", "told")
def takes_the_sleeper_for_the_first(work: Work) -> None:
    ward(work, SLEEPER, NURSE, first="sleep", shareProcessNamespace=True)
