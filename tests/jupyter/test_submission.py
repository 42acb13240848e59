"""What a learner hands in is what nbgrader collects."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from podium.cli import main

LABS = Path(__file__).parents[2] / "labs"
LAB = "02-first-pod"


def nbgrader(folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments], cwd=folder, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_zip_collect_takes_what_was_packed_and_the_later_of_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
    archive = tmp_path / "downloaded" / LAB / "archive"
    archive.mkdir(parents=True)
    shutil.copy(LABS / "nbgrader_config.py", tmp_path)
    shutil.copytree(LABS / "source" / LAB, tmp_path / "release" / LAB)
    monkeypatch.chdir(archive)
    lab = tmp_path / f"{LAB}.ipynb"
    shutil.copy(LABS / "source" / LAB / f"{LAB}.ipynb", lab)
    for student, times in (("ada", 1), ("grace.hopper@navy", 2)):
        for time in range(times):
            notebook = nbformat.read(lab, as_version=4)
            notebook.cells[0].source = f"{student}, {time}"
            nbformat.write(notebook, lab)
            monkeypatch.setattr("podium.jupyter.submission._now", lambda time=time: f"20260101T00000{time}Z")
            assert main(["submission", str(lab), "--student", student]) == 0
            packed = Path(capsys.readouterr().out.strip())
            packed.rename(f"{time} as the browser calls it {packed.name}")
    nbgrader(tmp_path, "zip_collect", LAB)
    for student, last in (("ada", 0), ("grace.hopper@navy", 1)):
        collected = tmp_path / "submitted" / student / LAB
        [notebook] = collected.glob("*.ipynb")
        assert notebook.name == lab.name
        assert nbformat.read(notebook, as_version=4).cells[0].source == f"{student}, {last}"
        assert f"2026-01-01 00:00:0{last}" in (collected / "timestamp.txt").read_text()


@pytest.mark.parametrize(
    ("notebook", "student", "said"),
    [
        (LABS / "source" / LAB / f"{LAB}.ipynb", "../ada", "can't be a student's id"),
        (LABS.parent / "course/05-how-a-pod-is-created.ipynb", "ada", "is no lab"),
        (LABS / "none.ipynb", "ada", "There is no notebook"),
    ],
)
def test_nothing_else_is_packed(
    notebook: Path, student: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["submission", str(notebook), "--student", student]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
