"""How nbgrader runs this course."""

from autograder.grading import LEARNER
from podium.jupyter.submission import COLLECTED

c = get_config()  # noqa: F821, nbgrader gives it

c.CourseDirectory.course_id = "podium"
# An unsolved cell does nothing: what counts is the state of the cluster.
c.ClearSolutions.code_stub = {"python": "# YOUR CODE HERE"}
# Graded cells are judged by nbgrader's own process, not in the student's kernel.
c.Autograde.autograde_preprocessors = [
    "autograder.nbgrader_plugin.JudgedExecute",
    "nbgrader.preprocessors.IgnorePattern",
    "nbconvert.preprocessors.ClearMetadataPreprocessor",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]
# Seconds that a cell may run: a Pod takes a few, and a learner may well wait for it for a minute.
c.Execute.timeout = 120
# Cells that only show the learner something; what they would show a grader is judged anyway.
c.Execute.skip_cells_with_tag = LEARNER

# What `podium submission` and JupyterLab's button pack.
c.FileNameCollectorPlugin.named_regexp = COLLECTED
