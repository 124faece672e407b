"""The one exception that scripts turn into a sentence and exit code 2."""


class BadInput(ValueError):
    """What the user asked for cannot be done; the message says in one sentence what, where, and what is allowed."""
