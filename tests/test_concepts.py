"""The map of concepts: each is taught in a section of a lesson, and asked in a task of a lab."""

import tomllib
from pathlib import Path

import nbformat

from autograder.manifest import labs
from podium.cli.course import lessons

COURSE = Path(__file__).parents[1] / "course"
PARTS = tomllib.loads((COURSE / "concepts.toml").read_text())
CONCEPTS = {f"{part}.{number}": concept for part, of in PARTS.items() for number, concept in of["concepts"].items()}


def test_each_concept_is_taught_in_a_section_of_a_lesson() -> None:
    sections = {
        f"{path.name[:2]}/{cell.id}"
        for path in lessons(COURSE)
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "markdown" and cell.source.startswith("## ")
    }
    for number, concept in CONCEPTS.items():
        assert concept["taught"], number
        assert set(concept["taught"]) <= sections, number


def test_each_concept_is_asked_in_a_task_of_a_lab_and_no_other_is() -> None:
    asked = {concept for lab in labs().values() for task in lab.tasks for concept in task.concepts}
    assert asked == set(CONCEPTS)
