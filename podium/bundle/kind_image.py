"""The node image of the kind backend, made without a container registry and without a container engine.

It is what kind's own images/base/Dockerfile and ``kind build node-image`` make (https://kind.sigs.k8s.io/docs/design/node-image/),
from other sources: kind's files from the Go module that the lock file pins, Debian's userland, the programs of the
bundle, and the course's images. Its Kubernetes, containerd and network plug-ins are those of the embedded nodes.
"""

import json
import os
import re
import shutil
import tarfile
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import node
from podium.bundle import debian, images, recipe
from podium.bundle.store import Job, Part
from podium.bundle.tools import PATH
from podium.embedded.files import Bundle
from podium.errors import PodiumError

NAME = "podium.test/kind-node"
ARCHIVE = "kind-node.tar"
_PROGRAMS = ("containerd", "containerd-shim-runc-v2", "crictl", "ctr", "runc")
_CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")
_IPTABLES = [f"{family}{suffix}" for family in ("iptables", "ip6tables") for suffix in ("", "-save", "-restore")]
_FOLDERS = ("dev", "proc", "sys", "run", "tmp", "etc/kubernetes/manifests", "etc/cni/net.d", "kind/manifests")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
_UNPACK = 'dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --no-same-owner -p ' + " ".join(
    f"--exclude='./usr/share/{folder}/*'" for folder in ("doc", "man", "locale", "info", "lintian", "bash-completion")
)

_CONTAINERD = """
[plugins."io.containerd.grpc.v1.cri".cni]
  # filled in with the node's Pod CIDR when kubelet has learnt it
  conf_template = "/{template}"

[metrics]
  address = "127.0.0.1:1338"
"""

_CNI = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: pod-network, namespace: kube-system}
data: {how: "containerd fills in /etc/cni/template.conflist; Podium adds the routes between nodes"}
"""

# What kind's Dockerfile takes away: a node starts nothing but what it is for.
_UNWANTED = (
    "usr/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service",
    "usr/lib/systemd/system/multi-user.target.wants/*",
    "usr/lib/systemd/system/local-fs.target.wants/*",
    "usr/lib/systemd/system/basic.target.wants/*",
    "usr/lib/systemd/system/sockets.target.wants/*udev*",
    "usr/lib/systemd/system/sockets.target.wants/*initctl*",
    "etc/systemd/system/*.wants/*",
)

# As https://github.com/kubernetes-sigs/iptables-wrappers: kube-proxy uses the tables that its node's kubelet uses.
_WRAPPER = """\
#!/bin/sh
mode=legacy
xtables-nft-multi iptables-save -t mangle 2>/dev/null | grep -q '^:KUBE-IPTABLES-HINT' && mode=nft
for name in {names}; do ln -sf "xtables-$mode-multi" "/usr/sbin/$name"; done
exec "$0" "$@"
"""

# The images are put into containerd's store, not unpacked: a node unpacks those that it uses.
_IMPORTER = """
version = 3
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
  "io.containerd.nri.v1.nri"]
[grpc]
uid = {uid}
gid = {gid}
[ttrpc]
uid = {uid}
gid = {gid}
"""
_IMPORT = """
containerd --config "$1/config.toml" --root "$2" --state "$1/state" --address "$1/sock" >"$1/log" 2>&1 &
daemon=$!
for i in $(seq 300); do [ -S "$1/sock" ] && break; sleep 0.1; done
home=$1; shift 2
for archive; do
    ctr --address "$home/sock" --namespace k8s.io images import --no-unpack --all-platforms \
        --label=io.cri-containerd.pinned=pinned "$archive" || { cat "$home/log"; exit 1; }
done
kill $daemon
wait $daemon || true
"""


@cache
def part() -> Part:
    """The part that holds the image, as an archive that ``docker load``, Podman and nerdctl take."""
    pins = recipe.lock()
    pin = pins["kind-node"]
    packages = replace(
        debian.part({"node": pin["node"], "kube-proxy": pin["kube-proxy"]}, {"suite": pin["suite"], "without": []}),
        name="kind-packages",
    )
    return Part(
        name="kind-image",
        what="making the node image for kind",
        make=_make,
        version=pins["kubernetes"]["version"],
        files=(node.RECIPE / "rootfs", node.RECIPE / "images/base", node.RECIPE / "manifests", Path(__file__)),
        needs=(recipe.goal(), packages),
        cost=60,
        size=5000,
    )


def name() -> str:
    """The image's name, which tells exactly what it was made from."""
    return f"{NAME}:{part().key}"


def _make(job: Job) -> str:
    bundle, tree = Bundle(job.need("bundle")), job.scratch / "tree"
    tree.mkdir(parents=True)
    _lay(job, "node", tree)
    debian.link_applets(job, tree)
    _register_iptables(job, tree)
    _lay_files(job, tree)
    _lay_programs(job, bundle, tree)
    _configure(job, tree, next(bundle.images.glob("pause.tar")))
    _import(job, tree, [*sorted(bundle.images.glob("*.tar")), *_control_plane(job, bundle)])
    layer = job.scratch / "layer.tar"
    images.write_layer(tree, layer, {"tmp": {"mode": 0o1777}})
    config = {
        "Env": ["container=docker", _PATH],
        "Entrypoint": ["/usr/local/bin/entrypoint", "/sbin/init"],
        "StopSignal": "SIGRTMIN+3",
    }
    images.write_archive(job.out / ARCHIVE, name(), [layer], config)
    return "the bundle's programs and images, Debian packages and kind's files"


def _lay(job: Job, packages: str, tree: Path) -> None:
    """Unpack packages, with systemd's files, and run none of their scripts."""
    files = debian.closure(job.need("kind-packages"), packages)
    for file in sorted(files, key=lambda file: not file.name.startswith("base-files_")):
        job.run("sh", "-c", _UNPACK, "sh", file, tree, limit=300)
    shutil.copytree(node.RECIPE / "images/base/rootfs", tree, symlinks=True, dirs_exist_ok=True)


def _register_iptables(job: Job, tree: Path) -> None:
    """kind's entrypoint chooses between the two front ends with update-alternatives."""
    for folder in ("etc/alternatives", "var/lib/dpkg/alternatives", "var/log"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    for family in ("iptables", "ip6tables"):
        for mode, priority in (("nft", "20"), ("legacy", "10")):
            slaves = [
                word
                for suffix in ("save", "restore")
                for word in (
                    "--slave",
                    f"/usr/sbin/{family}-{suffix}",
                    f"{family}-{suffix}",
                    f"/usr/sbin/{family}-{mode}-{suffix}",
                )
            ]
            install = ("--install", f"/usr/sbin/{family}", family, f"/usr/sbin/{family}-{mode}", priority, *slaves)
            debian.run_inside(job, tree, "usr/bin/update-alternatives", "--root", str(tree), *install)


def _lay_files(job: Job, tree: Path) -> None:
    """What kind's Dockerfile does."""
    modules = node.RECIPE / "modules/kind"
    environment = {"GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "auto", "GOWORK": "off"}
    job.run("go", "mod", "download", "sigs.k8s.io/kind", limit=600, cwd=modules, env=environment)
    found = job.run(
        "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kind", limit=60, cwd=modules, env=environment
    ).strip()
    files = Path(found) / "images/base/files"
    for file in files.rglob("*"):
        target = tree / file.relative_to(files)
        if file.is_file() and "LICENSES" not in file.parts:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
            target.chmod(0o755 if "bin" in target.parts else 0o644)
    for pattern in _UNWANTED:
        for path in tree.glob(pattern):
            path.unlink()
    for folder in _FOLDERS:
        (tree / folder).mkdir(parents=True, exist_ok=True)
    for link, to in (("var/run", "/run"), ("var/lock", "/run/lock")):
        if not (tree / link).exists():
            (tree / link).symlink_to(to)
    units = tree / "etc/systemd/system"
    (units / "multi-user.target.wants").mkdir(parents=True, exist_ok=True)
    for unit in ("containerd", "kubelet", "undo-mount-hacks"):
        (units / f"multi-user.target.wants/{unit}.service").symlink_to(f"/etc/systemd/system/{unit}.service")
    (units / "systemd-binfmt.service").symlink_to("/dev/null")
    (tree / "usr/sbin/init").unlink(missing_ok=True)
    (tree / "usr/sbin/init").symlink_to("/usr/lib/systemd/systemd")
    (tree / "etc/systemd/journald.conf").write_text("[Journal]\nReadKMsg=no\nRateLimitBurst=0\n")
    certificates = sorted((tree / "usr/share/ca-certificates").rglob("*.crt"))
    (tree / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
    (tree / "etc/ssl/certs/ca-certificates.crt").write_text("".join(path.read_text() for path in certificates))


def _lay_programs(job: Job, bundle: Bundle, tree: Path) -> None:
    """What the embedded nodes' disk has, and kubeadm and kubectl."""
    _take(job, bundle, "/opt/cni", tree / "opt")
    programs = _take(job, bundle, "/usr/local/bin", job.scratch)
    for program in _PROGRAMS:
        shutil.copy(programs / program, tree / "usr/local/bin" / program)
    for program in (programs / "kubelet", bundle.program("kubeadm"), bundle.program("kubectl")):
        shutil.copy(program, tree / "usr/bin" / program.name)


def _take(job: Job, bundle: Bundle, folder: str, to: Path) -> Path:
    """Copy a folder from the disk of the embedded nodes into ``to``; no kernel needs to run for it."""
    to.mkdir(parents=True, exist_ok=True)
    job.run("debugfs", "-R", f"rdump {folder} {to}", bundle.disk, limit=120)
    taken = to / Path(folder).name
    if not taken.is_dir():
        raise PodiumError(f"The bundle's disk has no {folder}.", "Make the bundle anew: podium bundle build")
    return taken


def _configure(job: Job, tree: Path, pause: Path) -> None:
    """containerd as kind has it, with the network of the embedded nodes in place of kindnet."""
    template = "etc/cni/template.conflist"
    shutil.copy(node.RECIPE / "rootfs" / template, tree / template)
    file = tree / "etc/containerd/config.toml"
    text, changed = re.subn(r'sandbox_image = ".*"', f'sandbox_image = "{_tag(pause)}"', file.read_text())
    if changed != 1:
        raise PodiumError("kind's configuration of containerd is not as Podium knows it.", "Change kind_image.py.")
    # Where the machine withholds CAP_SYS_RESOURCE, containerd may not lower a score below its own.
    text = text.replace("restrict_oom_score_adj = false", "restrict_oom_score_adj = true")
    file.write_text(text + _CONTAINERD.format(template=template))
    spec = json.loads(job.run(tree / "usr/local/bin/ctr", "oci", "spec", limit=60))
    spec.setdefault("hooks", {}).setdefault("createContainer", []).append({"path": "/kind/bin/mount-product-files.sh"})
    del spec["process"]["rlimits"]
    (tree / "etc/containerd/cri-base.json").write_text(json.dumps(spec))
    (tree / "kind/version").write_text(f"v{job.part.version}")
    shutil.copy(node.RECIPE / "manifests/storage.yaml", tree / "kind/manifests/default-storage.yaml")
    # Podium gives the nodes their routes; alone, `kind create cluster` wants to have something to install.
    (tree / "kind/manifests/default-cni.yaml").write_text(_CNI)


def _tag(archive: Path) -> str:
    """The name of the image in an archive."""
    with tarfile.open(archive) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest
        return json.load(manifest)[0]["RepoTags"][0]


def _control_plane(job: Job, bundle: Bundle) -> list[Path]:
    """An image of each component that kubeadm runs in a Pod, under the name that it asks for."""
    found = []
    listed = job.run(
        bundle.program("kubeadm"), "config", "images", "list", f"--kubernetes-version=v{job.part.version}", limit=60
    )
    for image in listed.split():
        component = image.rpartition("/")[2].partition(":")[0]
        if component not in (*_CONTROL_PLANE, "kube-proxy"):
            continue  # the course's images have it
        tree = job.scratch / component
        (tree / "usr/local/bin").mkdir(parents=True)
        if component == "kube-proxy":
            _lay(job, "kube-proxy", tree)
            debian.link_applets(job, tree)
            for name in _IPTABLES:
                link = tree / "usr/sbin" / name
                link.unlink(missing_ok=True)
                link.write_text(_WRAPPER.format(names=" ".join(_IPTABLES)))
                link.chmod(0o755)
            shutil.copy(job.scratch / "bin/kube-proxy", tree / "usr/local/bin")
        else:
            for program in (component, "etcdctl") if component == "etcd" else (component,):
                shutil.copy(bundle.program(program), tree / "usr/local/bin")
        layer, archive = job.scratch / f"{component}.layer", job.scratch / f"{component}.tar"
        images.write_layer(tree, layer, {})
        images.write_archive(archive, image, [layer], {"Env": [_PATH]})
        found.append(archive)
    return found


def _import(job: Job, tree: Path, archives: list[Path]) -> None:
    store, programs = tree / "var/lib/containerd", tree / "usr/local/bin"
    store.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="podium-") as home:  # a short path: a socket's must be
        (Path(home) / "config.toml").write_text(_IMPORTER.format(uid=os.getuid(), gid=os.getgid()))
        job.run(
            *("sh", "-c", _IMPORT, "sh", home, store, *archives),
            limit=600,
            env={"PATH": f"{programs}:{PATH}"},
        )
