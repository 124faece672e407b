"""What holds for every study, and how to come to the same one again."""

from typing import TYPE_CHECKING

from runners.core.frameworks import FRAMEWORKS
from runners.report.ease import RULES, ease_table
from runners.report.method import METHOD
from runners.report.sections.parts import Section, Table
from runners.report.wording import from_the_root

if TYPE_CHECKING:
    from runners.report.build import Report


def ease(_report: "Report") -> Section:
    """What each framework asks of its user."""
    heading = ("aspect", *(framework.label for framework in FRAMEWORKS.values()), "what was counted")
    rows = [(row.aspect, *(row.cells[name] for name in FRAMEWORKS), row.counted) for row in ease_table()]
    table = Table("What each framework asks of its user, counted in this project's source", [heading, *rows], 99)
    return Section("ease", "Ease of use, counted", tables=[table], notes=[RULES])


def method(_report: "Report") -> Section:
    """How it was measured and judged."""
    return Section("method", "Method", METHOD)


def cite(report: "Report") -> Section:
    """Where the results come from, for a bibliography."""
    study = report.study
    told = ["If these results help your work, say where they come from:"]
    commit = f", commit {study.git_commit}" if study.git_commit else ""
    entry = "\n".join(
        [
            "@misc{levelfield,",
            "  title = {Level Field: the same LeNet-5 on Fashion-MNIST, compared across deep-learning frameworks},",
            "  author = {{The Level Field developers}},",
            f"  year = {{{study.begun_at.year}}},",
            f"  note = {{Study begun {study.begun_at:%Y-%m-%d}, code SHA-256 {study.code_sha256[:12]}{commit}}},",
            "}",
        ]
    )
    return Section("cite", "Cite", told, texts=[("BibTeX", entry)])


def reproduce(report: "Report") -> Section:
    """The commands that make the study and this page again."""
    study = report.study
    at = f", code at commit `{study.git_commit}`" if study.git_commit else ""
    told = f"Begun {study.begun_at:%Y-%m-%d %H:%M} UTC{at}. The same command again does only what is missing."
    again = "From the records alone, without a framework or Ray, this page is made anew by the second command."
    texts = [("The study", study.command), ("This page", f"python scripts/report.py {from_the_root(report.folder)}")]
    return Section("reproduce", "Reproduce", [told, again], texts=texts)
