"""The real bundle goes from one machine to another as one file, and a cluster starts from what arrives."""

import os
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from podium import bundle
from podium.cluster import Cluster

LARGEST = 350_000_000  # bytes


@pytest.mark.all
@pytest.mark.bundle
def test_a_cluster_starts_from_a_bundle_that_was_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    podium = Path(sys.executable).with_name("podium")
    served = tmp_path / "served"
    served.mkdir()
    archive = served / "bundle.tar.zst"
    subprocess.run([podium, "bundle", "build", "--archive", archive], check=True, timeout=900)
    assert archive.stat().st_size <= LARGEST
    try:
        with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=served)) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"http://127.0.0.1:{server.server_port}/{archive.name}"
            for name, value in (
                ("PODIUM_CACHE", tmp_path / "cache"), ("PODIUM_STATE", tmp_path / "state"), ("PODIUM_BUNDLE_URL", url)
            ):  # fmt: skip
                monkeypatch.setenv(name, str(value))
            subprocess.run([podium, "bundle", "fetch"], check=True, timeout=300)
            server.shutdown()
        status = bundle.status()
        assert (status["complete"], status["source"]) == (True, f"fetched from {url}")
        with Cluster(f"fetched-{os.getpid()}", nodes=1) as cluster:
            assert cluster.kubectl_path.is_relative_to(tmp_path / "cache")
            cluster.kubectl("run", "first", "--image=podium.test/nginx:1.26", "--port=80")
            cluster.kubectl("wait", "--for=condition=Ready", "pod/first", "--timeout=120s")
    finally:
        for folder in (served, tmp_path / "cache"):
            shutil.rmtree(folder, ignore_errors=True)
