"""From a results folder to everything that the report says."""

from pathlib import Path

from runners.core.store import write_atomically
from runners.core.text import printable
from runners.report import plots, tables
from runners.report.inputs import load
from runners.report.notices import notices
from runners.report.output import html, markdown
from runners.report.report import Report
from runners.report.sections import about, agreement, defaults, ease, learning, parity, runs, scaling, summary, variance
from runners.report.sections.comparison import section as comparison
from runners.report.sections.comparison.answer import answer
from runners.report.sections.comparison.table import any_differ, comparisons_table


def assemble(folder: Path) -> Report:
    """Make everything that the report says, and write nothing; raises BadInput if the folder holds no study."""
    inputs = load(folder)
    comparisons = comparisons_table(inputs)
    sections = (
        about.compared_section(inputs),
        summary.section(inputs),
        comparison.section(inputs, comparisons),
        learning.section(inputs),
        variance.section(inputs),
        scaling.section(inputs),
        defaults.section(inputs),
        agreement.section(inputs),
        parity.audit_section(inputs),
        parity.divergence_section(inputs),
        ease.section(),
        runs.runs_section(inputs),
        runs.failures_section(inputs),
        runs.environment_section(inputs),
        about.method_section(),
        about.cite_section(inputs),
        about.reproduce_section(inputs),
    )
    return Report(
        inputs,
        about.title(inputs),
        comparisons,
        answer(inputs.runs, comparisons),
        any_differ(comparisons),
        tuple(section for section in sections if section),
        tuple(comparison.control_sentences(comparisons)),
        tuple(notices(inputs)),
    )


def build(folder: Path) -> Report:
    """Write tables/, plots/ and the pages anew from the records; raises BadInput if the folder holds no study."""
    report = assemble(folder)
    for name, table in report.tables.items():
        tables.write(table, folder / "tables", name)
    plots.replace_all(report.plots, folder / "plots")
    write_atomically(report.page, printable(html.render(report)).encode())
    write_atomically(folder / "report.md", printable(markdown.render(report)).encode())
    return report
