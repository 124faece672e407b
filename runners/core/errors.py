"""The exceptions that scripts turn into a sentence and an exit code: 2 for BadInput, 1 for the others."""

GOES_ON = "recorded runs are kept, and the same command continues from there"


class BadInput(ValueError):
    """What the user asked for cannot be done; the message says in one sentence what, where, and what is allowed."""


class NotMatched(Exception):
    """Contenders of a matched study do not compute the same; the message is for the user."""


class ProcessDied(Exception):
    """A process died before it could answer: not what its work raised, and worth another attempt."""


class ClusterLost(Exception):
    """The cluster has lost what the runs need, and they cannot go on; the message is for the user."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its class where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
