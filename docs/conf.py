"""The book: `make book` renders it, with every lesson as a cluster ran it. Its source folder is the repository's root.

So the lessons and the READMEs are taken from where they are, and links among them hold here as on any code forge.
"""

import json
import re
import tomllib
from pathlib import Path

import nbformat
from nbgrader.preprocessors import ClearSolutions
from sphinx.application import Sphinx
from traitlets.config import PyFileConfigLoader

from autograder.manifest import labs
from podium.cli.course import DIAGRAM, drawing, lessons

ROOT = Path(__file__).resolve().parents[1]
COURSE = ROOT / "course"
LABS = ROOT / "docs" / "labs"  # as they are handed out; not in the repository

project = "Podium"
author = "the Podium contributors"
copyright = "the Podium contributors: code GPL-3.0-or-later, lessons and labs CC BY 4.0"
root_doc = "docs/index"
include_patterns = [
    "docs/**", "course/*.ipynb", "course/instructor/README.md", "labs/README.md", "node/README.md",
    "CONTRIBUTING.md",
]  # fmt: skip
exclude_patterns = [".*", "build", "dist", "node/[!R]*", "tests", "**/.ipynb_checkpoints", "course/00-*"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

html_theme = "sphinx_book_theme"
html_title = "Podium"
html_theme_options = {"navbar_persistent": [], "use_download_button": False, "use_fullscreen_button": False}
html_extra_path = ["static/index.html"]
html_css_files = ["book.css"]
html_static_path = ["static"]
html_show_sphinx = False

myst_enable_extensions = ["attrs_inline", "substitution", "tasklist"]
myst_heading_anchors = 3
suppress_warnings = ["mystnb.unknown_mime_type"]  # a live picture: its still one stands beside it, and is shown

nb_execution_mode = "off"  # `make book` says "cache": whatever has not changed since the last book is not run again
nb_execution_excludepatterns = ["labs/*.ipynb"]
nb_execution_timeout = 300  # seconds for a cell
nb_execution_show_tb = True  # a lesson that broke off is a warning, and so an error in the end: the others run first
nb_ipywidgets_js = {}  # no widget manager from the web
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
nb_render_markdown_format = "gfm"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}
napoleon_use_rtype = False


def table_of_concepts() -> str:
    """What is taught where and asked where, as a table: from course/concepts.toml and autograder/labs.toml."""
    titles = {path.name[:2]: path.stem for path in lessons(COURSE)}
    headings = {
        f"{path.name[:2]}/{cell.id}": cell.source.splitlines()[0].removeprefix("## ")
        for path in lessons(COURSE)
        for cell in nbformat.read(path, as_version=4).cells
    }

    def section(place: str) -> str:
        heading = headings[place]
        anchor = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")  # as myst_heading_anchors makes it
        return f"[{place[:2]} {heading}](/course/{titles[place[:2]]}.ipynb#{anchor})"

    lines = ["| | concept | what you see happen | taught | asked |", "|---|---|---|---|---|"]
    for part, of in tomllib.loads((COURSE / "concepts.toml").read_text()).items():
        lines.append(f"| | **{of['title']}** | | | |")
        for number, concept in of["concepts"].items():
            taught = ", ".join(map(section, concept["taught"]))
            asked = ", ".join(
                f"[{task.id}](/docs/labs/{lab.assignment}.ipynb)"
                for lab in labs().values()
                for task in lab.tasks
                if f"{part}.{number}" in task.concepts
            )
            lines.append(f"| {part}.{number} | {concept['what']} | {concept['seen']} | {taught} | {asked} |")
    return "\n".join(lines)


myst_substitutions = {"concepts": table_of_concepts()}


def hand_out_labs() -> None:
    """Write each lab as learners get it: without solutions and marking guides."""
    clear = ClearSolutions(config=PyFileConfigLoader("nbgrader_config.py", path=str(ROOT / "labs")).load_config())
    LABS.mkdir(exist_ok=True)
    for lab in labs().values():
        name = f"{lab.assignment}.ipynb"
        notebook = nbformat.read(ROOT / "labs" / "source" / lab.assignment / name, as_version=4)
        nbformat.write(clear.preprocess(notebook, {})[0], LABS / name)


def draw_diagrams(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the drawing of each Mermaid diagram in its place: a browser would get Mermaid from the web.

    As wide as it was drawn, so that the text in it is as large as the text around it.
    """

    def picture(match: re.Match[str]) -> str:
        path = drawing(COURSE, match[1])
        width = re.search(r'<svg[^>]*\sviewBox="\S+ \S+ (\S+)', path.read_text())
        assert width
        return f"![](/{path.relative_to(ROOT)}){{width={round(float(width[1]))}px}}\n"

    def drawn(text: str) -> str:
        return DIAGRAM.sub(picture, text)

    if app.env.doc2path(page).suffix != ".ipynb":
        source[0] = drawn(source[0])
        return
    notebook = json.loads(source[0])
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = drawn("".join(cell["source"]))
    source[0] = json.dumps(notebook)


def setup(app: Sphinx) -> None:
    """Called by Sphinx before it looks for pages."""
    hand_out_labs()
    app.connect("source-read", draw_diagrams)
