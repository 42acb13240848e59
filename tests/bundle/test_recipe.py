"""The recipe agrees with itself: pins, Go modules, images, and the graph of parts."""

import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

import node
from podium.bundle import debian, golang, images, recipe

LOCK = recipe.lock()
PROGRAMS = {name: pin for name, pin in LOCK.items() if "programs" in pin}


def modules(name: str) -> Path:
    return node.RECIPE / PROGRAMS[name].get("folder", f"modules/{PROGRAMS[name].get('modules', name)}")


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_is_held_by_a_go_sum(name: str) -> None:
    assert (modules(name) / "go.sum").stat().st_size > 100
    required = re.findall(r"^\t?(?:require )?(\S+) v", (modules(name) / "go.mod").read_text(), re.MULTILINE)
    for package in PROGRAMS[name]["programs"].values():
        assert package.startswith(("podium.invalid/", *required))


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in ("agnhost", "podium-node", "shop")])
def test_the_pinned_version_is_the_one_that_is_compiled(name: str) -> None:
    text = (modules(name) / "go.mod").read_text()
    package = "github.com/coredns/coredns" if name == "coredns" else next(iter(PROGRAMS[name]["programs"].values()))
    versions = dict(re.findall(r"^\t?(?:require )?(\S+) v(\S+)", text, re.MULTILINE))
    found = {version for module, version in versions.items() if package.startswith(module)}
    assert found == {PROGRAMS[name]["version"]}


def test_kubernetes_is_made_of_the_staging_modules_of_its_own_version() -> None:
    text = (modules("kubernetes") / "go.mod").read_text()
    staging = LOCK["kubernetes"]["version"].replace("1.", "v0.", 1)
    assert set(re.findall(r"^\tk8s\.io/\S+ => k8s\.io/\S+ (\S+)$", text, re.MULTILINE)) == {staging}


@pytest.mark.parametrize("name", [name for name in PROGRAMS if "release" in PROGRAMS[name]])
def test_releases_are_pinned_by_a_whole_checksum(name: str) -> None:
    release = PROGRAMS[name]["release"]
    assert re.fullmatch("[0-9a-f]{128}", release["sha512"])
    assert LOCK[name]["version"] in release["url"].format_map(LOCK[name])


def test_images_have_honest_names_and_the_pinned_versions() -> None:
    """Only what Kubernetes itself asks for by name has a name of its registry."""
    named = {part.name: part for part in recipe.goal().closure() if part.name.startswith("image-")}
    assert {f"image-{name}" for name in ("agnhost", "busybox", "nginx", "postgres", "python", "redis")} < set(named)
    for toml in (node.RECIPE / "images").glob("*/image.toml"):
        name = re.findall(r'^name = "(.*)"', toml.read_text(), re.MULTILINE)
        if name and toml.parent.name not in ("coredns", "pause"):
            folder, _, tag = toml.parent.name.partition("-2.")  # another version has a folder of its own
            assert name[0].startswith(f"podium.test/{folder}:" + (f"2.{tag}" if tag else ""))
    for program in ("agnhost", "coredns", "metrics-server", "local-path-provisioner"):
        assert named[f"image-{program}"].version.removeprefix("v") == LOCK[program]["version"]


def test_every_package_set_is_downloaded() -> None:
    packages = next(part for part in recipe.goal().closure() if part.name == "packages")
    sets = packages.pins[0]
    assert {"node", "static", "image-base", *images.names(node.RECIPE)} == set(sets)
    assert all(sets.values())


def test_the_kernel_cannot_see_the_host() -> None:
    """Neither the host's files nor a console that takes commands, whoever is root on a node."""
    config = (node.RECIPE / "kernel.config").read_text()
    for option in ("HOSTFS", "MCONSOLE", "MODULES", "TUN", "UML_NET_TUNTAP"):
        assert f"CONFIG_{option}=y" not in config


def test_a_changed_image_is_made_again_with_the_disk_and_nothing_else(tmp_path: Path) -> None:
    shutil.copytree(node.RECIPE, tmp_path / "node")

    def keys() -> dict[str, str]:
        recipe.goal.cache_clear()
        recipe.lock.cache_clear()
        return {part.name: part.key for part in recipe.goal(tmp_path / "node").closure()}

    before = keys()
    with (tmp_path / "node/images/nginx/rootfs/etc/nginx/nginx.conf").open("a") as file:
        file.write("# changed\n")
    after = keys()
    recipe.goal.cache_clear()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"image-nginx", "disk", "files", "seed", "checksums", "bundle"}


def test_finding_the_bundle_is_quick() -> None:
    """The command line does it at each start: the recipe is hashed, nothing that is large."""
    times = []
    for _ in range(3):
        recipe.goal.cache_clear()
        recipe.lock.cache_clear()
        began = time.process_time()
        assert recipe.goal().key
        times.append(time.process_time() - began)
    assert min(times) < 0.1


@pytest.mark.parametrize(
    ("package", "program"),
    [("k8s.io/kubernetes/cmd/kubelet", "kubelet"), ("go.etcd.io/etcd/server/v3", "server"), ("k8s.io/kind", "kind")],
)
def test_what_go_calls_a_program(package: str, program: str) -> None:
    assert golang._executable(package) == program


def test_backports_that_moved_on() -> None:
    offers: list[Any] = [
        ("linux-source-7.3", "7.3.12-1~bpo13+1"),
        ("linux-source-7.10", "7.10.1-1~bpo13+1"),
        ("linux-source-7.9", "7.9.11-1~bpo13+1"),
    ]
    assert max(offers, key=debian._numbers) == offers[1]
