"""What the page says below its verdicts, section by section; report.html and report.md are both made of these.

A new section is a function from the report to a `Section`, or None where there is nothing to say, and a line in
`SECTIONS`. Words between ** are strong, between ` code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runners.record import RunRecord
from runners.registry import FRAMEWORKS
from runners.report import audit as parity
from runners.report import divergence
from runners.report.agreement import SEEDS_FOR_ALL_PAIRS, agreement_sentences
from runners.report.defaults_worth import has_both_tracks
from runners.report.ease import RULES, ease_table
from runners.report.method import COMPARISON_NOTES, METHOD
from runners.report.plots import Plot
from runners.report.scaling import NOTE, scaling_grid, scaling_sentences
from runners.report.verdict import counted
from runners.report.wording import (
    ABSENT,
    EXACTLY_ZERO,
    HELD_FIXED,
    SOURCES,
    agreement_grid,
    comparison_grid,
    number,
    summary_rows,
    variance_grid,
)

if TYPE_CHECKING:
    from runners.report.build import Report

LONGEST = 500  # rows of a table, or errors, that a page shows; the files hold all
ALONE = "One contender alone: nothing is compared."


@dataclass(frozen=True)
class Table:
    """Rows for reading, the heading first; after the columns of words come those of numbers."""

    caption: str
    grid: Sequence[Sequence[str]]
    words: int = 1
    file: str | None = None  # in tables/, without its ending


@dataclass(frozen=True)
class Section:
    """A part of the page: what it says, then its tables, plots and texts, then the notes that explain its terms."""

    anchor: str
    title: str
    told: Sequence[str] = ()
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()
    texts: Sequence[tuple[str, str]] = ()  # a heading each, and what stands as it is
    notes: Sequence[str] = ()


def sections(report: "Report") -> list[Section]:
    """Those that this study has, in order."""
    return [section for section in (make(report) for make in SECTIONS) if section]


def _compared(report: "Report") -> Section:
    plan = report.study.plan
    held_fixed = HELD_FIXED.get(plan.vary)
    runs = f"in {counted(len(plan.seeds), 'run')} each" if held_fixed else f"over {counted(len(plan.seeds), 'seed')}"
    weak = f" a replica (weak scaling, learning-rate rule {plan.lr_rule})" if plan.scaling == "weak" else ""
    told = [
        f"The same simplified LeNet-5 (44,426 parameters) on Fashion-MNIST ({plan.limit_train:,} training and 10,000"
        f" test images), trained by **{', '.join(map(str, plan.contenders))}** for {plan.epochs} epochs at batch size"
        f" {plan.batch_size}{weak} with Adam at {plan.optimizer.learning_rate}, {runs}, on {plan.device.upper()}s,"
        f" {counted(plan.threads, 'thread')} a run. Each run had a process of its own; within each seed the runs went"
        " in a random order."
    ]
    if "matched" in plan.tracks and report.audit and report.audit.failed:
        told.append(
            "**not matched**: Each run was set up to start from the same weights and see the same batches, but the"
            f" parity audit does not show that {' and '.join(sorted(report.audit.unmatched))} computes what"
            f" {plan.contenders[0]} does. With it nothing pairs."
        )
    elif "matched" in plan.tracks:
        told.append(
            "**matched**: both start from the same weights and see the same batches, both drawn with NumPy from the"
            " seed; same update rule, IEEE float32, same threads, same evaluation. Runs pair by seed."
        )
    if "native" in plan.tracks:
        told.append(
            "**native**: each framework as its own documentation teaches it, with its own initialisers, shuffling and"
            " Adam. An equal seed pairs nothing."
        )
    fixed = f"; all had the {held_fixed} of seed {plan.seeds[0]}" if held_fixed else ""
    told.append(f"Between the runs of a contender, what varied was **{SOURCES[plan.vary]}**{fixed}.")
    told.append(
        f"Margins declared before any run: {100 * plan.accuracy_margin:.1f} percentage points of accuracy,"
        f" {100 * plan.time_margin - 100:.0f} % of time, {100 * plan.loss_margin - 100:.0f} % of loss."
    )
    return Section("compared", "What was compared", told)


def _summary(report: "Report") -> Section:
    caption = "Mean ± standard deviation over the runs that completed, by contender and track"
    notes = [
        "**Standard deviation** (SD): how far single runs lie from their mean, not how sure the mean is.",
        "**Losses** are means over images (cross-entropy, in nats), after the last epoch; train loss is over the"
        " images as they were seen during it. **Accuracy** is the fraction of the test images whose class is"
        " predicted right.",
        "**Training** excludes the first step, which is timed as compile, and evaluation. **Total** is from the"
        " process's start to its result.",
    ]
    return Section(
        "summary", "Summary", tables=[Table(caption, summary_rows(report.summary), 1, "summary")], notes=notes
    )


def _differences(report: "Report") -> Section:
    grid = comparison_grid(report.comparisons)
    if len(grid) == 1:
        return Section("comparisons", "Differences against the margins", [ALONE])
    table = Table("Every comparison, with its intervals, tests and verdict", grid, 4, "comparisons")
    plots = _plots(report, "differences", "pairs_")
    return Section("comparisons", "Differences against the margins", (), [table], plots, notes=COMPARISON_NOTES)


def _plots_section(report: "Report") -> Section:
    chosen = _plots(report, "test_", "train_", "seconds_", "distribution_", "split_clock")
    told = [] if chosen else ["No run has completed."]
    note = (
        "A colour is a framework everywhere; a dash or a marker is a track, a strategy or a copy. The numbers of each"
        " plot are in the CSV file of its name, in `plots/`."
    )
    return Section("plots", "Learning, spread and time", told, plots=chosen, notes=[note])


def _audit(report: "Report") -> Section | None:
    if not report.audit:
        return None
    failed = [f"**{row.check} ({row.precision})**: {row.finding}" for row in report.audit.failed]
    table = Table("The checks of the parity audit", [parity.HEADING, *parity.audit_grid(report.audit)], 3)
    note = (
        "**Parity audit**: each contender shows what it computes in a process of its own, through the functions that"
        " its runs go through; precision, amount of data and optimiser are settings. Exact checks count faults. The"
        " others measure the largest norm of a difference, relative to the norm: of each layer's output, each"
        " parameter's gradient or movement, each loss. Float32 is judged only as far as its rounding does not yet"
        " decide which way a ReLU falls."
    )
    return Section("audit", "Parity audit", [f"{parity.summary(report.audit)}.", *failed], [table], notes=[note])


def _divergence(report: "Report") -> Section | None:
    if not report.divergence:
        return None
    grid = [divergence.HEADING, *divergence.divergence_grid(report.divergence)]
    table = Table("Relative distance of the weights of two trainings", grid, 2, "divergence")
    note = (
        "One training of each framework, and one more with another number of threads, which adds the same numbers in"
        " another order: same weights, same batches, same update. Distance is the norm of the difference of all"
        " weights, relative to the larger norm."
    )
    told = divergence.sentences(report.divergence)
    return Section("divergence", "How trainings part", told, [table], _plots(report, "divergence"), notes=[note])


def _variance(report: "Report") -> Section:
    table = Table("How far runs spread, by what varied", variance_grid(report.variance), 3, "variance")
    told = (
        "For the other sources, do the same study (matched track alone) once for each of --vary all, init, order and"
        " nothing, each into an --out of its own, and give all these folders to scripts/seed_variance.py."
    )
    zero = f" {EXACTLY_ZERO}" if (report.variance["sd"] == 0).any() else ""
    note = (
        f"SD over the completed runs (n - 1), with its chi-square interval, which supposes a normal distribution.{zero}"
    )
    return Section("variance", "Where variance comes from", [told], [table], _plots(report, "variance"), notes=[note])


def _scaling(report: "Report") -> Section | None:
    if not len(report.scaling):
        return None
    table = Table("Each contender against its framework's smallest", scaling_grid(report.scaling), 1, "scaling")
    told = scaling_sentences(report.scaling)
    return Section("scaling", "Scaling", told, [table], _plots(report, "scaling"), notes=[NOTE])


def _defaults(report: "Report") -> Section:
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


def _agreement(report: "Report") -> Section:
    grid, title = agreement_grid(report.agreements), "Do they predict the same?"
    if len(grid) == 1:
        return Section("agreement", title, ["No two runs to compare."])
    told = [f"**{track}**: {sentence}" for track, sentence in agreement_sentences(report.agreements)]
    note = (
        "The share of the 10,000 test images for which two runs predict the same class after their last epoch, be it"
        " the right one or not. Two contenders give one value a seed; a contender gives one for every two of its"
        f" seeds, and with more than {SEEDS_FOR_ALL_PAIRS} seeds one for each seed and the next. Pairs of one"
        " contender share runs, so their SD is no measure of how sure the mean is. More or fewer is said where the"
        " mean over contenders lies beyond every value that two seeds of either gave, as a description of these runs"
        " and not as a test."
    )
    table = Table("On how many test images two runs predict the same class", grid, 3, "agreement")
    return Section("agreement", title, told, [table], notes=[note])


def _ease(_report: "Report") -> Section:
    heading = ("aspect", *(framework.label for framework in FRAMEWORKS.values()), "what was counted")
    rows = [(row.aspect, *(row.cells[name] for name in FRAMEWORKS), row.counted) for row in ease_table()]
    table = Table("What each framework asks of its user, counted in this project's source", [heading, *rows], 99)
    return Section("ease", "Ease of use, counted", tables=[table], notes=[RULES])


def _runs(report: "Report") -> Section:
    heading = (
        *("run", "status", "attempts", "test accuracy", "test loss", "training s", "load before", "load after"),
        *("initial weights", "batch order"),
    )
    rows = [_run_cells(record) for record in report.records[:LONGEST]]
    left_out = len(report.records) - len(rows)
    told = [f"The first {LONGEST:,} of {len(report.records):,} runs; `tables/runs.csv` has all."] if left_out else []
    note = (
        "The last two columns begin the SHA-256 of the weights that the model really started from and of the batch"
        " order that it was fed; in a matched pair both are equal. A native run's order is its framework's own."
        " **Load** is the machine's average number of busy processes in the minute before."
    )
    return Section("runs", "Runs", told, [Table("Every run", [heading, *rows], 2, "runs")], notes=[note])


def _failures(report: "Report") -> Section:
    alike: dict[tuple[str, str], list[RunRecord]] = {}
    for record in report.unsuccessful:
        alike.setdefault((record.status, record.error or ABSENT), []).append(record)
    texts = [(_failed(runs), error) for (_, error), runs in list(alike.items())[: LONGEST // 10]]
    told = "" if alike else "Every run that has a record completed."
    if len(alike) > len(texts):
        told = f"The first {len(texts)} of {len(alike):,} different errors; the records in `runs/` have all."
    return Section("failures", "Failures", [told] if told else [], texts=texts)


def _failed(runs: Sequence[RunRecord]) -> str:
    first, *others = runs
    told = f"{first.run_id}: {first.status} after {counted(first.attempts, 'attempt')}, seed {first.spec.seed}"
    return f"{told}; so did {counted(len(others), 'other run')}" if others else told


def _environment(report: "Report") -> Section:
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in report.records:
        if record.environment:
            groups.setdefault(f"{record.spec.contender}, {record.spec.track}", []).append(_facts(record))
    facts = dict.fromkeys(key for seen in groups.values() for one in seen for key in one)
    rows = [(key, *(_seen(key, seen) for seen in groups.values())) for key in facts]
    told = [] if groups else ["No run got far enough to see its machine."]
    tables = [Table("What the runs of each contender and track saw", [("fact", *groups), *rows], 99)] if groups else []
    note = "Where runs differ, every value seen is listed."
    return Section("environment", "Environment", told, tables, notes=[note] if groups else [])


def _seen(key: str, seen: Sequence[dict[str, Any]]) -> str:
    values = list(dict.fromkeys(str(facts.get(key, ABSENT)) for facts in seen))
    if len(values) > 6 and key == CORES:
        numbers = sorted(float(value) for value in values if value != ABSENT)
        return f"{numbers[0]} to {numbers[-1]}"
    more = f"; and {len(values) - 6:,} more" if len(values) > 6 else ""
    return "; ".join(values[:6]) + more


CORES = "cores in use while training"


def _facts(record: RunRecord) -> dict[str, Any]:
    seen = record.environment
    assert seen is not None
    facts = {
        "node": seen.node,
        "processor": f"{seen.cpu_model}, {seen.cpu_cores} cores, {seen.memory_bytes / 2**30:.0f} GiB",
        "GPU": f"{seen.gpu_model}, driver {seen.gpu_driver}" if seen.gpu_model else "none used",
        "system": seen.os,
        **{f"version of {package}": version for package, version in seen.versions.items()},
        **{name.replace("_", " "): value for name, value in seen.flags.items()},
        "git commit": seen.git_commit,
        "SHA-256 of the data": seen.data_sha256[:12],
        "SHA-256 of the code": seen.code_sha256[:12],
    }
    if record.clock and record.clock.train_seconds:
        facts[CORES] = f"{record.clock.train_cpu_seconds / record.clock.train_seconds:.1f}"
    return facts


def _run_cells(record: RunRecord) -> tuple[str, ...]:
    last, clock, seen = record.epochs[-1] if record.epochs else None, record.clock, record.environment
    return (
        record.run_id,
        record.status,
        str(record.attempts),
        number(last.test_accuracy if last else None, 4),
        number(last.test_loss if last else None, 4),
        number(clock.train_seconds if clock else None, 1),
        number(seen.load_before if seen else None, 1),
        number(seen.load_after if seen else None, 1),
        (record.init_sha256 or ABSENT)[:8],
        (record.order_sha256 or ABSENT)[:8],
    )


def _method(_report: "Report") -> Section:
    return Section("method", "Method", METHOD)


def _cite(report: "Report") -> Section:
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


def _reproduce(report: "Report") -> Section:
    study = report.study
    at = f", code at commit `{study.git_commit}`" if study.git_commit else ""
    told = f"Begun {study.begun_at:%Y-%m-%d %H:%M} UTC{at}. The same command again does only what is missing."
    again = "From the records alone, without a framework or Ray, this page is made anew by the second command."
    texts = [("The study", study.command), ("This page", f"python scripts/report.py {report.folder.name}")]
    return Section("reproduce", "Reproduce", [told, again], texts=texts)


def _plots(report: "Report", *beginnings: str) -> list[Plot]:
    return [plot for plot in report.plots if plot.name.startswith(beginnings)]


SECTIONS: tuple[Callable[["Report"], Section | None], ...] = (
    _compared,
    _summary,
    _differences,
    _plots_section,
    _variance,
    _scaling,
    _defaults,
    _agreement,
    _audit,
    _divergence,
    _ease,
    _runs,
    _failures,
    _environment,
    _method,
    _cite,
    _reproduce,
)
