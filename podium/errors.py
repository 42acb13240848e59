"""What Podium says when something does not hold: a sentence for a person, and what to do next."""


class PodiumError(Exception):
    """What was asked for did not hold.

    Args:
        what: What happened and where, as one sentence for a person.
        hint: What to do next, as one sentence; empty where nothing would help.
    """

    exit_code = 1

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}\n{self.hint}" if self.hint else self.what

    def _render_traceback_(self) -> list[str]:
        """IPython shows this in place of a traceback: a learner needs the sentence, not the stack."""
        return [str(self)]


class UsageError(PodiumError):
    """The call itself was wrong: an unknown name, a value out of range."""

    exit_code = 2


class CannotRunHere(PodiumError):
    """This machine cannot do it; ``podium doctor`` says why."""

    exit_code = 3


class WaitedTooLong(PodiumError):
    """A wait reached its limit."""
