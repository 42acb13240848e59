"""The slides of every lesson, in a browser that has no network."""

import re
from pathlib import Path

import nbformat
import pytest

from podium.cli.course import INSTRUCTOR, lessons
from podium.cli.slides import slides
from tests.browser import chromium

COURSE = Path(__file__).parents[2] / "course"
SOURCES = lessons(COURSE)
LIMIT = 60_000  # milliseconds for a page to be there

EVERY_SLIDE = """() => Reveal.getSlides().map((slide) => {
    const { h, v } = Reveal.getIndices(slide);
    Reveal.slide(h, v ?? 0);
    return {
        text: slide.innerText.trim(),
        visible: slide.checkVisibility() && slide.getBoundingClientRect().height > 0,
        wide: slide.scrollWidth - slide.clientWidth,
        broken: [...slide.querySelectorAll("img")].filter((image) => !image.naturalWidth).length,
    };
})"""


@pytest.mark.all
def test_slides_show_in_a_browser_that_has_no_network(tmp_path: Path) -> None:
    """Every slide of every lesson, in Chromium; what a cell shows is there, too, and so are the notes."""
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, offline=True)
        page = context.new_page()
        page.set_default_timeout(LIMIT)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for source in SOURCES:
            notebook = nbformat.read(source, as_version=4)
            code = next(
                c for c in notebook.cells if c.cell_type == "code" and c.metadata.slideshow.slide_type != "skip"
            )
            code.outputs = [nbformat.v4.new_output("display_data", {"text/html": "<i>shown by the cell</i>"})]
            file = tmp_path / f"{source.stem}.slides.html"
            file.write_text(slides(notebook, COURSE))
            page.goto(file.as_uri())
            page.wait_for_function("window.Reveal?.isReady()")
            shown = page.evaluate(EVERY_SLIDE)
            text = "\n".join(slide["text"] for slide in shown)
            for heading in re.findall(r"^##? (.+)$", "\n".join(c.source for c in notebook.cells), re.MULTILINE):
                assert re.sub("[*`]", "", heading) in text, source.name
            assert "shown by the cell" in text
            assert "**Minutes" not in text
            assert "Minutes 0" not in text
            assert not [slide for slide in shown if not slide["visible"] or not slide["text"]], source.name
            assert not [slide["text"] for slide in shown if slide["wide"] > 0], f"{source.name} scrolls sideways"
            assert not any(slide["broken"] for slide in shown), source.name
            assert page.locator("aside.notes").count() == sum(
                INSTRUCTOR in c.metadata.get("tags", []) for c in notebook.cells
            )
        page.evaluate("Reveal.slide(0)")
        with context.expect_page() as window:
            page.keyboard.press("s")
        window.value.locator(".speaker-controls-notes", has_text="Minutes 0").wait_for(timeout=LIMIT)
        assert not [url for url in asked if not url.startswith(("file:", "data:"))]
