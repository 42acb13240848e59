"""``%kubectl`` and ``%%apply`` in IPython, on a real cluster."""

import pytest
from IPython.core.interactiveshell import InteractiveShell

from podium import Cluster, PodiumError


@pytest.fixture
def shell() -> InteractiveShell:
    found = InteractiveShell()
    found.run_line_magic("load_ext", "podium")
    return found


def test_apply_and_kubectl(
    shell: InteractiveShell, cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("PODIUM_CLUSTER", cluster.name)
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: colours}\ndata: {sky: blue}\n"
    shell.run_cell_magic("apply", f"-n {namespace}", manifest)
    assert "configmap/colours created" in capfd.readouterr().out
    shell.run_line_magic("kubectl", f"get configmap colours -n {namespace} -o 'jsonpath={{.data.sky}}'")
    assert capfd.readouterr().out == "blue"
    with pytest.raises(PodiumError, match="ended with exit status 1"):
        shell.run_line_magic("kubectl", f"get configmap shapes -n {namespace}")
    assert '"shapes" not found' in capfd.readouterr().out


def test_without_a_cluster_they_say_so(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_CLUSTER", "there-is-none")
    with pytest.raises(PodiumError, match="'there-is-none' does not run"):
        shell.run_line_magic("kubectl", "get pods")
