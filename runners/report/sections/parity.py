"""Do both sides compute the same, and what is only defaults?"""

from typing import TYPE_CHECKING

from runners.report import audit as parity
from runners.report.defaults_worth import has_both_tracks
from runners.report.sections.parts import ALONE, Section, Table

if TYPE_CHECKING:
    from runners.report.build import Report


def audit(report: "Report") -> Section | None:
    """The checks of the parity audit, if the study has one."""
    if not report.audit:
        return None
    failed = [f"**{row.check} ({row.precision})**: {row.finding}" for row in report.audit.failed]
    table = Table("The checks of the parity audit", [parity.HEADING, *parity.audit_grid(report.audit)], 3)
    note = (
        "**Parity audit**: each contender shows what it computes in a process of its own, through the functions that"
        " its runs go through; precision, amount of data and optimiser are settings. Exact checks count faults. The"
        " others measure the largest norm of a difference, divided by the norm of the second contender's: of each"
        " layer's output, each parameter's gradient or movement, each loss. Float32 is judged only as far as its"
        " rounding does not yet decide which way a ReLU falls."
    )
    return Section("audit", "Parity audit", [f"{parity.summary(report.audit)}.", *failed], [table], notes=[note])


def defaults(report: "Report") -> Section:
    """What only the frameworks' own choices add, and which these are."""
    plan, title = report.study.plan, "What the defaults are worth"
    told = list(report.defaults["sentence"])
    notes = []
    if told:
        notes.append(
            "A difference in native less the same difference in matched is what the frameworks' own choices add to it:"
            " initialisers, Adam's epsilon, shuffling, how images are fed. Matched is paired by seed and native is not;"
            " intervals are 95 % t intervals with the degrees of freedom of Welch and Satterthwaite, not corrected for"
            " the number of sentences."
        )
    elif not has_both_tracks(plan):
        told.append(
            "This study has only one of matched and native. A study with `--track matched,native` tells how much of a"
            " difference is only defaults."
        )
    elif len(plan.contenders) > 1:
        failed = report.audit and report.audit.failed
        why = "The parity audit failed" if failed else "No two contenders have batches of one size"
        told.append(f"{why}: with nothing matched, nothing tells how much of a difference is only defaults.")
    else:
        told.append(ALONE)
    tables = []
    if report.audit and report.audit.defaults:
        tables.append(Table("The defaults in which the contenders differ", parity.defaults_grid(report.audit), 99))
        notes.append(
            "Read from the live objects of the installed versions, in the processes of the parity audit: fresh"
            " networks, optimisers, feeds and settings of the process. Where epsilon is added and what the bias"
            " corrections are rounded to is measured with one Adam step each. 0 threads leave the number to the"
            " framework. What is the same everywhere is left out."
        )
    return Section("defaults", title, told, tables, notes=notes)
