"""The exceptions that scripts turn into a sentence and an exit code: 2 for BadInput, 1 for NotMatched."""


class BadInput(ValueError):
    """What the user asked for cannot be done; the message says in one sentence what, where, and what is allowed."""


class NotMatched(Exception):
    """Contenders of a matched study do not compute the same; the message is for the user."""
