"""What the page says below its verdicts, section by section; report.html and report.md are both made of these.

A new section is a function from the report to a `Section`, or None where there is nothing to say, and a line in
`SECTIONS`. Words between ** are strong, between ` code.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from runners.report.sections import about, findings, parity, runs
from runners.report.sections.parts import Section, Table

if TYPE_CHECKING:
    from runners.report.build import Report

__all__ = ["SECTIONS", "Section", "Table", "sections"]


def sections(report: "Report") -> list[Section]:
    """Those that this study has, in order."""
    return [section for section in (make(report) for make in SECTIONS) if section]


SECTIONS: tuple[Callable[["Report"], Section | None], ...] = (
    findings.compared,
    findings.summary,
    findings.differences,
    findings.plots_section,
    findings.variance,
    findings.scaling,
    parity.defaults,
    findings.agreement,
    parity.audit,
    findings.trainings_part,
    about.ease,
    runs.runs,
    runs.failures,
    runs.environment,
    about.method,
    about.cite,
    about.reproduce,
)
