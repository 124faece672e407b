"""Make text from records safe: errors, nodes and files choose it, and it must not control a reader's terminal."""

import re

# Control characters except tab and line feed, marks of the reading direction, and halves of surrogate pairs.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return the text with characters that control a terminal, or that UTF-8 lacks, escaped as in Python: `\x1b`."""
    return UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
