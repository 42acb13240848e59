"""``make demo`` in a new clone does the main job: a cluster, the lesson, a solved lab graded."""

import os
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.all
@pytest.mark.bundle
def test_demo_in_a_new_clone_gives_a_solved_lab_all_its_points(tmp_path: Path) -> None:
    clone = tmp_path / "podium"
    subprocess.run(["git", "clone", "--quiet", REPOSITORY, clone], check=True, timeout=60)
    environment = {name: value for name, value in os.environ.items() if name not in ("PODIUM_CLUSTER", "VIRTUAL_ENV")}
    state = tmp_path / "state"
    done = subprocess.run(
        ["make", "demo"], cwd=clone, env=environment | {"PODIUM_STATE": str(state)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert re.search(r"02-first-pod\.ipynb: (\d+) of \1 points", done.stdout), done.stdout
    assert not list(state.iterdir())
