"""The life of a real Pod, as its picture shows it."""

import json

import pytest

from podium import Cluster
from podium.waiting import wait_until
from podium.widgets import LifeCycle

MANIFEST = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web"},
    "spec": {
        "terminationGracePeriodSeconds": 5,
        "containers": [
            {
                "name": "app",
                "image": "podium.test/nginx:1.26",
                "readinessProbe": {"httpGet": {"port": 80}, "periodSeconds": 1},
                "lifecycle": {"preStop": {"sleep": {"seconds": 2}}},
            }
        ],
    },
}


@pytest.mark.bundle
def test_a_pod_lives_and_goes(cluster: Cluster, namespace: str) -> None:
    picture = LifeCycle("web", namespace, cluster)

    def shows(what: str) -> None:
        wait_until(lambda: what in picture.html, f"the picture to show {what}", limit=120)

    try:
        shows("There is no Pod “web” yet.")
        cluster.kubectl("create", "-n", namespace, "-f", "-", input=json.dumps(MANIFEST))
        shows('data-state="now" data-name="Ready"')
        shows('data-state="now" data-name="Running"')
        shows("readiness: succeeded")
        cluster.kubectl("delete", "pod", "web", "-n", namespace, "--wait=false")
        shows("preStop: running")
        shows('data-state="now" data-name="gone"')
        assert [span.value for span in picture.life.track("Pod", "phase").spans][:2] == ["Pending", "Running"]
    finally:
        picture.close()
