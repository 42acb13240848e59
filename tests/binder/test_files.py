"""What binder/ names is there; building and using the image takes an engine: image.py."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "binder/Dockerfile").read_text()


def test_what_is_copied_is_there() -> None:
    for sources in re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source


def test_base_images_are_tagged() -> None:
    for image in re.findall(r"^ARG [A-Z]+=(\S+)$", DOCKERFILE.partition("\nFROM ")[0], re.MULTILINE):
        assert re.fullmatch(r"\S+:\S*(debian13|trixie)\S*", image)


def test_the_entry_point_gives_way_to_a_server_with_the_extension() -> None:
    lines = (ROOT / "binder/start").read_text().splitlines()
    assert lines[-1] == 'exec "$@"'
    (podium,) = re.findall("podium=/opt/podium/(.+)", "\n".join(lines))
    assert (ROOT / podium / "config/jupyter_server_config.d/podium.json").exists()
    assert (ROOT / podium / "share/labextensions").exists()


def test_the_start_page_is_there_and_the_badge_opens_it() -> None:
    config = json.loads((ROOT / "binder/jupyter_server_config.json").read_text())
    page = config["LabApp"]["default_url"]
    assert (ROOT / page.removeprefix("/lab/tree/")).exists()
    assert f"mybinder.org/v2/gh/OWNER/podium/HEAD?urlpath={page.removeprefix('/')})" in (ROOT / "README.md").read_text()
