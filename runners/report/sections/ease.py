"""What each framework asks of its user."""

from runners.core.frameworks import FRAMEWORKS
from runners.report.columns import Table
from runners.report.ease import RULES, ease_table
from runners.report.section import Section


def section() -> Section:
    """Show lines, calls and names of each framework, counted in the article's scripts."""
    heading = ("aspect", *(framework.label for framework in FRAMEWORKS.values()), "what was counted")
    rows = [(row.aspect, *(row.cells[name] for name in FRAMEWORKS), row.counted) for row in ease_table()]
    caption = "What each framework asks of its user, counted in the article's scripts"
    return Section("ease", "Ease of use, counted", tables=[Table(caption, heading, rows, len(heading))], notes=[RULES])
