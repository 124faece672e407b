"""Text from records: errors, nodes and files choose it, and a reader's screen must not obey it."""

import re

# Control characters but tab and line feed, marks that turn the reading direction, and halves of surrogate pairs.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""The text with each character that steers a terminal, or that UTF-8 lacks, as Python spells it: `\x1b`."""
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
