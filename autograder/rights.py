"""The kubeconfig of a notebook that is graded: what its lab needs, and nothing that a check believes."""

from pathlib import Path

import yaml
from kubernetes.client import ApiException, CoreV1Api
from kubernetes.config import new_client_from_config_dict

from autograder.cluster import REQUEST_LIMIT
from autograder.manifest import Lab
from podium.cluster import Cluster
from podium.waiting import wait_until

_RIGHTS = Path(__file__).parent / "rights.yaml"

_VALID = 6 * 3600
"""Seconds for which the token is good: longer than any notebook runs."""

_KNOWN_LIMIT = 60.0
"""Seconds after which the API server goes by a rule that it was given."""

_POD = {"metadata": {"name": "probe"}, "spec": {"hostPID": True, "containers": [{"name": "main", "image": "none"}]}}


def learner(cluster: Cluster, lab: Lab) -> dict:
    """The kubeconfig of a lab's learner; the rights behind it are in force when this returns.

    Args:
        cluster: The cluster, on which the lab's namespace exists.
        lab: The lab.

    Raises:
        PodiumError: The cluster did not take the rules, or did not go by them.
    """
    rules = list(yaml.safe_load_all(_RIGHTS.read_text().replace("NN", lab.id)))
    for rule in rules:
        if rule["kind"] == "ClusterRole":
            rule["rules"] += lab.rights
    cluster.kubectl("apply", "--server-side", "--filename", "-", input=yaml.safe_dump_all(rules))
    core = CoreV1Api(cluster.api)
    token = core.create_namespaced_service_account_token(
        f"learner-{lab.id}", "podium-grading", {"spec": {"expirationSeconds": _VALID}}, _request_timeout=REQUEST_LIMIT
    ).status.token
    admin = yaml.safe_load(cluster.kubeconfig_path.read_text())
    name = {"cluster": cluster.name, "user": "learner"}
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster.name, "cluster": admin["clusters"][0]["cluster"]}],
        "users": [{"name": "learner", "user": {"token": token}}],
        "contexts": [{"name": cluster.name, "context": name}],
        "current-context": cluster.name,
    }
    with new_client_from_config_dict(kubeconfig) as api:
        own = CoreV1Api(api)

        def admitted() -> bool:
            try:
                own.list_namespaced_pod(lab.namespace, _request_timeout=REQUEST_LIMIT)
            except ApiException:
                return False
            return True

        wait_until(admitted, "the learner's rights to be in force", _KNOWN_LIMIT)

    def refused() -> bool:
        try:
            core.create_namespaced_pod(lab.namespace, _POD, dry_run="All", _request_timeout=REQUEST_LIMIT)
        except ApiException as problem:
            return "While a notebook is graded" in problem.body
        return False

    wait_until(refused, "the rule against Pods that get at their node to be in force", _KNOWN_LIMIT)
    return kubeconfig
