"""The book: rendered without a warning, and read without a network."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from autograder.manifest import labs

ROOT = Path(__file__).parents[2]
LIMIT = 600  # seconds to render it
LOADS = r"<(?:script|link|img|iframe|source|object|embed)\b[^>]*?\s(?:src|href|data)=[\"'](?:https?:)?//[^\"']+"


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The book without outputs: its lessons run in tests of their own."""
    folder = tmp_path_factory.mktemp("book")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs", ".", folder],
        cwd=ROOT, timeout=LIMIT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.all
class TestBook:
    def test_it_has_every_lesson_lab_and_page(self, book: Path) -> None:
        wanted = [path.relative_to(ROOT) for path in ROOT.glob("course/[01][1-9]-*.ipynb")]
        wanted += [path.relative_to(ROOT) for path in ROOT.glob("docs/*.md")]
        wanted += [Path("docs/labs", lab.assignment) for lab in labs().values()]
        assert not [page for page in wanted if not (book / page).with_suffix(".html").exists()]

    def test_it_loads_nothing_from_the_web(self, book: Path) -> None:
        pages = list(book.rglob("*.html"))
        assert pages
        for page in pages:
            assert not re.findall(LOADS, page.read_text()), page
        for style in book.rglob("*.css"):
            assert not re.findall(r"(?:@import\s+|url\()[\"']?(?:https?:)?//[^)\"']+", style.read_text()), style

    def test_it_does_not_give_away_solutions(self, book: Path) -> None:
        for page in (book / "docs" / "labs").glob("*.html"):
            text = page.read_text()
            assert "Marking guide" not in text
            assert "BEGIN SOLUTION" not in text
            assert "YOUR ANSWER HERE" in text or "YOUR CODE HERE" in text

    def test_concepts_are_linked_to_where_they_are_taught_and_asked(self, book: Path) -> None:
        page = (book / "docs" / "concepts.html").read_text()
        assert "01-from-containers-to-kubernetes.html#a-container-by-hand" in page
        assert "labs/02-first-pod.html" in page
