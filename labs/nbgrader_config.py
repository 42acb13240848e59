"""How nbgrader runs this course."""

from podium.jupyter.submission import COLLECTED

c = get_config()  # noqa: F821, nbgrader gives it

c.CourseDirectory.course_id = "podium"
# An unsolved cell does nothing: what counts is the state of the cluster.
c.ClearSolutions.code_stub = {"python": "# YOUR CODE HERE"}
c.Autograde.sanitize_preprocessors = [
    "nbgrader.preprocessors.ClearOutput",
    "autograder.nbgrader_plugin.Restored",
    "nbgrader.preprocessors.OverwriteKernelspec",
    "nbgrader.preprocessors.OverwriteCells",
    "nbgrader.preprocessors.CheckCellMetadata",
]
# Cells run in a sandbox, and graded cells never do: what the cluster shows is judged in their place.
c.Autograde.autograde_preprocessors = [
    "autograder.nbgrader_plugin.Judged",
    "nbgrader.preprocessors.IgnorePattern",
    "nbconvert.preprocessors.ClearMetadataPreprocessor",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]
# What a student wrote is shown without scripts, and raw cells, which are HTML as it stands, are not shown.
c.HTMLExporter.filters = {"markdown2html": "autograder.nbgrader_plugin.harmless"}
c.HTMLExporter.raw_mimetypes = []
# Kilobytes that a file may have to be collected: as much as is graded.
c.CourseDirectory.max_file_size = 20 * 1024
# What `podium submission` and JupyterLab's button pack.
c.FileNameCollectorPlugin.named_regexp = COLLECTED
