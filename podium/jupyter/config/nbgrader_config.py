"""How ``nbgrader validate`` runs a learner's lab, wherever the learner is."""

c = get_config()  # noqa: F821, nbgrader gives it

c.Execute.timeout = 420  # seconds for a cell: as many as a grader gives to the check of a task
c.Validator.width = 140  # characters of a line, of which nbgrader shows no more
