"""What was compared, and what came out."""

from typing import TYPE_CHECKING

from runners.report import divergence
from runners.report.agreement import MCNEMAR_NOTE, SEEDS_FOR_ALL_PAIRS, agreement_sentences, mcnemar_sentences
from runners.report.method import COMPARISON_NOTES
from runners.report.plots import Plot
from runners.report.precision import PRECISION_NOTE, precision_grid
from runners.report.scaling import NOTE, scaling_grid, scaling_sentences
from runners.report.sections.parts import ALONE, Section, Table
from runners.report.wording import (
    EXACTLY_ZERO,
    HELD_FIXED,
    SOURCES,
    agreement_grid,
    comparison_grid,
    counted,
    summary_rows,
    variance_grid,
)
from runners.report.wrong_winner import WRONG_WINNER_NOTE, wrong_winner_grid

if TYPE_CHECKING:
    from runners.report.build import Report


def compared(report: "Report") -> Section:
    """The study in words: contenders, tracks, what varied, margins."""
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


def summary(report: "Report") -> Section:
    """Means and SDs."""
    caption = "Mean ± standard deviation over the runs that completed, by contender and track"
    notes = [
        "**Standard deviation** (SD): how far single runs lie from their mean, not how sure the mean is."
        " **Test-sampling error**: the standard error that any accuracy has from the choice of the test images.",
        "**Losses** are means over images (cross-entropy, in nats), after the last epoch; train loss is over the"
        " images as they were seen during it. **Accuracy** is the fraction of the test images whose class is"
        " predicted right.",
        "**Training** excludes the first step, which is timed as compile, and evaluation. **Total** is from the"
        " process's start to its result.",
    ]
    return Section(
        "summary", "Summary", tables=[Table(caption, summary_rows(report.summary), 1, "summary")], notes=notes
    )


def differences(report: "Report") -> Section:
    """Every comparison, with its plots."""
    grid = comparison_grid(report.comparisons)
    if len(grid) == 1:
        return Section("comparisons", "Differences against the margins", [ALONE])
    table = Table("Every comparison, with its intervals, tests and verdict", grid, 5, "comparisons")
    plots = _plots(report, "differences", "pairs_")
    return Section("comparisons", "Differences against the margins", (), [table], plots, notes=COMPARISON_NOTES)


def plots_section(report: "Report") -> Section:
    """Learning curves, distributions, the split clock, and whatever else `report` has of plots."""
    told = [] if report.plots else ["No run has completed."]
    note = (
        "A colour is a framework everywhere; a dash or a marker is a track, a strategy or a copy. The numbers of each"
        " plot are in the CSV file of its name, in `plots/`."
    )
    return Section("plots", "Learning, spread and time", told, plots=report.plots, notes=[note])


def trainings_part(report: "Report") -> Section | None:
    """The divergence, if it was asked for."""
    if not report.divergence:
        return None
    grid = [divergence.HEADING, *divergence.divergence_grid(report.divergence)]
    table = Table("Relative distance of the weights of two trainings", grid, 2, "divergence")
    note = (
        "One training of each framework, and one more with another number of threads, which adds the same numbers in"
        " another order: same weights, same batches, same update. Distance is the norm of the difference of all"
        " weights, divided by the norm of the second training's weights."
    )
    told = divergence.sentences(report.divergence)
    return Section("divergence", "How trainings part", told, [table], _plots(report, "divergence"), notes=[note])


def variance(report: "Report") -> Section:
    """The spread of runs, by what varied."""
    tables = [
        Table("How far runs spread, by what varied", variance_grid(report.variance), 3, "variance"),
        Table("How sure the mean accuracy is (percentage points)", precision_grid(report.variance), 2, "variance"),
    ]
    notes = [PRECISION_NOTE]
    if len(report.wrong_winner):
        grid = wrong_winner_grid(report.wrong_winner)
        tables.append(Table("How often one run each picks the wrong winner", grid, 4, "wrong_winner"))
        notes.append(WRONG_WINNER_NOTE)
    told = (
        "For the other sources, do the same study (matched track alone) once for each of --vary all, init, order and"
        " nothing, each into an --out of its own, and give all these folders to scripts/seed_variance.py; or have its"
        " --run do a study of each."
    )
    zero = f" {EXACTLY_ZERO}" if (report.variance["sd"] == 0).any() else ""
    note = (
        f"SD over the completed runs (n - 1), with its chi-square interval, which supposes a normal distribution.{zero}"
    )
    plots = _plots(report, "variance")
    return Section("variance", "Where variance comes from", [told], tables, plots, notes=[note, *notes])


def scaling(report: "Report") -> Section | None:
    """Several replicas against the fewest, if there are any."""
    if not len(report.scaling):
        return None
    table = Table("Each contender against its framework's smallest", scaling_grid(report.scaling), 1, "scaling")
    told = scaling_sentences(report.scaling)
    return Section("scaling", "Scaling", told, [table], _plots(report, "scaling"), notes=[NOTE])


def agreement(report: "Report") -> Section:
    """On how many test images runs predict the same."""
    grid, title = agreement_grid(report.agreements), "Do they predict the same?"
    if len(grid) == 1:
        return Section("agreement", title, ["No two runs to compare."])
    sentences = [*agreement_sentences(report.agreements), *mcnemar_sentences(report.agreements)]
    told = [f"**{track}**: {sentence}" for track, sentence in sentences]
    note = (
        "The share of the 10,000 test images for which two runs predict the same class after their last epoch, be it"
        " the right one or not. Two contenders give one value a seed; a contender gives one for every two of its"
        f" seeds, and with more than {SEEDS_FOR_ALL_PAIRS} seeds one for each seed and the next. Pairs of one"
        " contender share runs, so their SD is no measure of how sure the mean is. More or fewer is said where the"
        " mean over contenders lies beyond every value that two seeds of either gave, as a description of these runs"
        " and not as a test."
    )
    table = Table("On how many test images two runs predict the same class", grid, 3, "agreement")
    return Section("agreement", title, told, [table], notes=[note, MCNEMAR_NOTE])


def _plots(report: "Report", *beginnings: str) -> list[Plot]:
    return [plot for plot in report.plots if plot.name.startswith(beginnings)]
