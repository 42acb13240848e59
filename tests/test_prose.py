"""Prose: the form of links, and the field's terms as the field writes them. Spelling is `make lint`'s."""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("", "docs", "binder", "node", "labs", "labs/source/*", "course", "course/instructor")
PAGES = sorted(
    page for folder in FOLDERS for kind in ("md", "ipynb") for page in ROOT.glob(f"{folder}/*.{kind}".lstrip("/"))
)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

TERMS = [
    "API", "Binder", "CNCF", "ConfigMap", "CoreDNS", "CustomResourceDefinition", "DaemonSet", "Debian", "Docker",
    "GitHub", "JupyterLab", "Kubernetes", "PersistentVolumeClaim", "Pod", "Pods", "Podman", "PostgreSQL", "Prometheus",
    "Python", "ReplicaSet", "StatefulSet", "YAML", "containerd", "etcd", "kube-apiserver", "kube-controller-manager",
    "kube-proxy", "kube-scheduler", "kubectl", "kubelet", "kubelets", "nbgrader", "runc",
]  # fmt: skip
SPELT = {term.lower(): term for term in TERMS}
NOT_THE_TERM = {"A pod is what peas grow in"}  # where the word is meant, and not the object


def text(page: Path) -> str:
    """What a page says to people: no code, no code blocks."""
    if page.suffix == ".ipynb":
        cells = nbformat.read(page, as_version=4).cells
        said = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    else:
        said = page.read_text()
    said = re.sub(r"^( *)(```+|~~~+).*?^\1\2", "", said, flags=re.MULTILINE | re.DOTALL)
    said = re.sub(r"### BEGIN SOLUTION|### END SOLUTION|<!--.*?-->", "", said, flags=re.DOTALL)
    return re.sub(r"^(    |\t).*$", "", re.sub(r"`[^`]*`", "", said), flags=re.MULTILINE)


def links(page: Path) -> list[str]:
    """Where its links and pictures lead."""
    said = text(page)
    return re.findall(r"\]\(<?([^)\s>]+)", said) + re.findall(r"<(https?:[^>\s]+)>", said)


@each_page
def test_terms_are_spelt_as_the_field_spells_them(page: Path) -> None:
    said = re.sub(r"\]\([^)]*\)|<[^>]*>", "] ", text(page))  # neither addresses nor tags
    for phrase in NOT_THE_TERM:
        said = said.replace(phrase, "")
    words = re.findall(r"(?<![\w./:@=-])[A-Za-z]+(?:-[a-z]+)*(?![\w/=]|\.[a-z])", said)
    assert not [word for word in words if SPELT.get(word.lower(), word) != word]


@each_page
def test_links_have_a_good_form(page: Path) -> None:
    for link in links(page):
        assert not link.startswith("http:"), f"{link}: https"
        if "kubernetes.io/" in link and "k8s.io" not in link:
            path = r"https://kubernetes\.io/(docs|blog|releases)/([a-z0-9./_-]+/)?(#[A-Za-z0-9._-]+)?"
            assert re.fullmatch(path, link), f"{link}: https://kubernetes.io/docs/…/, with the last stroke"


@each_page
def test_relative_links_lead_to_a_file(page: Path) -> None:
    for link in links(page):
        if not re.match(r"[a-z]+:|#", link):
            path = link.partition("#")[0]
            target = ROOT / path.lstrip("/") if path.startswith("/") else page.parent / path
            assert target.exists(), link
