"""A lab as one file that ``nbgrader zip_collect`` takes
(https://nbgrader.readthedocs.io/en/stable/user_guide/managing_assignment_files_manually.html)."""

import io
import re
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from podium.errors import UsageError

if TYPE_CHECKING:
    from nbformat import NotebookNode

STUDENT = r"[A-Za-z0-9][\w.@-]{0,63}"
COLLECTED = rf".*/(?P<student_id>{STUDENT})/(?P<timestamp>\d{{8}}T\d{{6}}Z)/(?P<file_id>[^/]+)\.ipynb$"
"""How nbgrader finds who, when and what in the path inside such a file; the file itself may be renamed on its way."""


def pack(name: str, notebook: "NotebookNode | dict[str, Any]", student: str) -> tuple[str, bytes]:
    """A lab as one file.

    Args:
        name: The notebook's file name: ``02-first-pod.ipynb``.
        notebook: Its content.
        student: The id by which the instructor knows the learner.

    Returns:
        The file's name, and what is in it.

    Raises:
        UsageError: The notebook is no lab, or the id is none.
    """
    import nbformat

    if not re.fullmatch(STUDENT, student):
        raise UsageError(
            f"{student!r} can't be a student's id.", "Use letters, digits, dashes, dots, underscores and @, at most 64."
        )
    content = nbformat.from_dict(notebook)
    if not any(cell.metadata.get("nbgrader", {}).get("grade") for cell in content.cells):
        raise UsageError(f"{name} is no lab: nothing in it is graded.", "Choose one of the notebooks of the labs.")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{student}/{_now()}/{name}", nbformat.writes(content))
    return f"{name.removesuffix('.ipynb')}-{student}.zip", packed.getvalue()


def _now() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
