"""What the page says below its verdicts, section by section; report.html and report.md are both made of these.

A new section is a function from the report to a `Section`, or None where there is nothing to say, and a line in
`SECTIONS`. Words between ** are strong, between ` code.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from runners.report.sections import about, findings, parity, runs
from runners.report.sections.parts import Section, Table

if TYPE_CHECKING:
    from runners.report.build import Report

__all__ = ["SECTIONS", "Section", "Table", "sections"]


def sections(report: "Report") -> list[Section]:
    """Those that this study has, in order. A plot that no other section takes is in the section of plots."""
    made = {make: make(report) for make in SECTIONS if make is not findings.plots_section}
    taken = {plot.name for section in made.values() if section for plot in section.plots}
    rest = tuple(plot for plot in report.plots if plot.name not in taken)
    made[findings.plots_section] = findings.plots_section(replace(report, plots=rest))
    return [section for make in SECTIONS if (section := made[make])]


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
