"""What nbgrader runs in place of its own parts; ``labs/nbgrader_config.py`` names it."""

from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbgrader.preprocessors import Execute

from autograder.checks import judge
from autograder.cluster import begin
from autograder.grading import as_outputs, graded_task
from autograder.manifest import find_lab


class JudgedExecute(Execute):
    """nbgrader's Execute in a fresh namespace, with graded cells judged here and never sent to the student's kernel.

    nbgrader reads a score from what a graded cell shows, and gives full marks for what it cannot read. Here no code
    of the student has a hand in what is shown.
    """

    def preprocess(
        self, nb: NotebookNode, resources: ResourcesDict, km: object = None
    ) -> tuple[NotebookNode, ResourcesDict]:
        """Run and judge one submission."""
        self._lab = find_lab(resources["nbgrader"]["assignment"])
        begin(self._lab.id, fresh=True)
        return super().preprocess(nb, resources, km)

    def preprocess_cell(
        self, cell: NotebookNode, resources: ResourcesDict, index: int
    ) -> tuple[NotebookNode, ResourcesDict]:
        """Run one cell, or judge it."""
        if task := graded_task(cell, self._lab):
            cell.outputs = as_outputs(judge(task))
            return cell, resources
        return super().preprocess_cell(cell, resources, index)
