"""Draw the Mermaid diagrams of the lessons and docs as SVG, for slides and the book, which are read without JupyterLab.

JupyterLab itself draws them, in a headless Chromium and in its own light theme: learners see the same. Run it
(`make drawings`) when a diagram is new or has changed; the files belong in the repository.
"""

import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote

import nbformat
from playwright.sync_api import sync_playwright

from podium.cli.course import DIAGRAM, drawing, lessons
from podium.waiting import wait_until

COURSE = Path(__file__).parents[1] / "course"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

PYTHON = {"name": "python3", "display_name": "Python 3"}


def diagrams() -> list[str]:
    """The text of every diagram of the lessons and of the documentation."""
    cells = [cell for path in lessons(COURSE) for cell in nbformat.read(path, as_version=4).cells]
    pages = [cell.source for cell in cells] + [page.read_text() for page in sorted(Path(__file__).parent.glob("*.md"))]
    return [text for page in pages for text in DIAGRAM.findall(page)]


def draw(texts: list[str], folder: Path) -> list[str]:
    """The SVG of each diagram, as a JupyterLab on this folder draws it."""
    cell = nbformat.v4.new_markdown_cell("\n".join(f"```mermaid\n{text}```\n" for text in texts))
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": PYTHON}), folder / "all.ipynb")
    token, log = secrets.token_hex(16), folder / "log"
    with log.open("w") as file:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0", "--ip=127.0.0.1",
             f"--IdentityProvider.token={token}"], cwd=folder, stderr=file,
            env=os.environ | {"JUPYTERLAB_SETTINGS_DIR": str(folder)},  # whoever draws may like it dark
        )  # fmt: skip
    try:
        url = wait_until(
            lambda: re.search(r"http://127\.0\.0\.1:\d+/", log.read_text()), "JupyterLab's address", limit=120
        )
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            page = browser.new_page()
            page.goto(f"{url[0]}lab/tree/all.ipynb?token={token}")
            images = page.locator(".jp-RenderedMermaid img")
            wait_until(lambda: images.count() == len(texts), "all diagrams to be drawn", limit=180)
            drawn = [unquote(image.get_attribute("src").partition(",")[2]) for image in images.all()]
            browser.close()
            return drawn
    finally:
        server.terminate()
        server.wait(timeout=60)


def main() -> None:
    """Draw what has no drawing yet, and remove the drawings that no diagram has."""
    folder = COURSE / "drawings"
    folder.mkdir(exist_ok=True)
    wanted = {drawing(COURSE, text): text for text in diagrams()}
    for old in set(folder.glob("*.svg")) - set(wanted):
        old.unlink()
    if missing := [text for path, text in wanted.items() if not path.exists()]:
        with tempfile.TemporaryDirectory() as scratch:
            for text, svg in zip(missing, draw(missing, Path(scratch)), strict=True):
                drawing(COURSE, text).write_text(svg)
    print(f"{len(missing)} drawn, {len(wanted)} in all, in {folder}")


if __name__ == "__main__":
    main()
