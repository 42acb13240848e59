"""The real bundle: complete, of the pinned versions, and as its manifest says."""

import json
import subprocess
import tarfile

import pytest

from podium import bundle
from podium.bundle import recipe
from podium.embedded.files import Bundle

pytestmark = pytest.mark.bundle


@pytest.fixture(scope="module")
def here() -> Bundle:
    return bundle.current()


def test_every_file_is_as_the_manifest_says(here: Bundle) -> None:
    wrong = [name for name, digest in here.manifest["sha256"].items() if recipe.sha256(here.path / name) != digest]
    assert wrong == []


@pytest.mark.parametrize(
    ("program", "arguments", "pin"),
    [
        ("etcd", ["--version"], "etcd"),
        ("etcdctl", ["version"], "etcd"),
        ("etcdutl", ["version"], "etcd"),
        ("kind", ["version"], "kind"),
        ("kube-apiserver", ["--version"], "kubernetes"),
        ("kube-controller-manager", ["--version"], "kubernetes"),
        ("kube-scheduler", ["--version"], "kubernetes"),
        ("kubeadm", ["version"], "kubernetes"),
        ("kubectl", ["version", "--client"], "kubernetes"),
    ],
)
def test_versions(program: str, arguments: list[str], pin: str, here: Bundle) -> None:
    done = subprocess.run([here.program(program), *arguments], capture_output=True, text=True, timeout=30, check=True)
    assert recipe.lock()[pin]["version"] in done.stdout


def test_kubeadm_asks_for_the_images_that_are_there(here: Bundle) -> None:
    command = [here.program("kubeadm"), "config", "images", "list", "--kubernetes-version"]
    version = f"v{recipe.lock()['kubernetes']['version']}"
    done = subprocess.run([*command, version], capture_output=True, text=True, timeout=60, check=True)
    asked = {line for line in done.stdout.split() if "/coredns:" in line or "/pause:" in line}
    assert len(asked) == 2
    assert asked < {name(archive) for archive in here.images.glob("*.tar")}


def name(archive: object) -> str:
    with tarfile.open(str(archive)) as tar:
        index = tar.extractfile("index.json")
        assert index
        return json.loads(index.read())["manifests"][0]["annotations"]["io.containerd.image.name"]


def test_the_kernel_needs_no_libraries(here: Bundle) -> None:
    """It is built on one machine and runs on others, whose C library may be older."""
    assert b"/ld-linux" not in here.kernel.read_bytes()[:4096]


def test_the_disk_takes_no_more_room_than_what_is_in_it(here: Bundle) -> None:
    status = here.disk.stat()
    assert status.st_blocks * 512 < 1.2e9 < status.st_size


def test_status_says_where_each_part_came_from() -> None:
    status = bundle.status()
    assert status["complete"]
    assert all(part["source"] for part in status["parts"])
    assert {part["name"] for part in status["parts"]} > {"kernel", "kubernetes", "etcd", "containerd", "disk", "seed"}
