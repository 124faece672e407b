"""Exceptions that scripts report as one sentence with an exit code: 2 for BadInput, 1 for the others."""

GOES_ON = "recorded runs are kept, and the same command continues from there"


class BadInput(ValueError):
    """The user's request is impossible; the message says in one sentence what failed, where, and what is allowed."""


class NotMatched(Exception):
    """Contenders of a matched study compute different things; the message is for the user."""


class ProcessDied(Exception):
    """A process died before it answered. Its work raised nothing, so another attempt may succeed."""


class ClusterLost(Exception):
    """The cluster has lost resources without which the runs cannot go on; the message is for the user."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class if there is no message."""
    return _lines(error)[0]


def last_line(error: BaseException) -> str:
    """Return the last line of an error's message, or the name of its class if there is no message."""
    return _lines(error)[-1]


def _lines(error: BaseException) -> list[str]:
    return (str(error).strip() or type(error).__name__).splitlines()
