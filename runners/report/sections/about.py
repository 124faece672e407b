"""The study in words, the methods that hold for every study, and how to repeat or cite this one."""

from lenet.data import TEST_IMAGES
from lenet.network import PARAMETER_COUNT
from runners.report.inputs import Inputs
from runners.report.section import Section
from runners.report.wording import HELD_FIXED, SOURCES, counted, from_the_root

METHOD = (
    "**Verdicts.** Test accuracy is the one primary metric; the p values of the others are corrected for their number"
    " (Holm 1979), and decide whether these differ. The margins and the rules were fixed before any run. A wide"
    " interval is never read as agreement: what is neither shown to differ nor shown to be equivalent is inconclusive."
    " Each pair is judged by itself; the exit code of `--fail-if-different` is corrected for the number of pairs and"
    " tracks (Holm).",
    "**Intervals and tests.** Matched runs pair by seed: paired t test and two one-sided tests (Schuirmann 1987)."
    " Elsewhere nothing pairs: Welch's t test. Times are compared as ratios, by their logarithms. Intervals of means"
    " are t intervals; a percentile bootstrap covers too little at the few runs that a study has.",
    "**Curves.** From 8 runs on, a simultaneous 95 % band by the multiplier-t bootstrap (Telschow and Schwartzman"
    " 2022); below, every run. **Wins** carry an exact (Clopper-Pearson) interval. **Outliers** (more than 14.8"
    " median absolute deviations from the median) are flagged and never dropped.",
    "**Runs that did not complete** are in no mean, are counted beside every mean, and are losses among the wins.",
    f"**Sampling error.** {TEST_IMAGES:,} test images alone leave an uncertainty of about 0.3 percentage points (one"
    " standard error) at an accuracy of 90 %; paired runs share these images.",
    "**Variance.** Why one run is not a result: Bouthillier et al. 2021, Accounting for Variance in Machine Learning"
    " Benchmarks; Jordan 2024, On the Variance of Neural Network Training; Agarwal et al. 2021, Deep RL at the Edge"
    " of the Statistical Precipice.",
)


def title(inputs: Inputs) -> str:
    """Return the name of the study."""
    return f"Level Field: {' against '.join(str(c) for c in inputs.plan.contenders)}"


def compared_section(inputs: Inputs) -> Section:
    """Show the study in words: contenders, tracks, what varied, margins."""
    plan, fixed = inputs.plan, ""
    if held_fixed := HELD_FIXED.get(plan.vary):
        fixed = f"; all had the {held_fixed} of seed {plan.seeds[0]}"
    words = [
        _recipe(inputs),
        *_tracks(inputs),
        f"Between the runs of a contender, what varied was **{SOURCES[plan.vary]}**{fixed}.",
        f"Margins declared before any run: {100 * plan.accuracy_margin:.1f} percentage points of accuracy,"
        f" {100 * plan.time_margin - 100:.0f} % of time, {100 * plan.loss_margin - 100:.0f} % of loss.",
    ]
    return Section("compared", "What was compared", words)


def method_section() -> Section:
    """Show how runs were measured and judged."""
    return Section("method", "Method", METHOD)


def cite_section(inputs: Inputs) -> Section:
    """Show where the results come from, for a bibliography."""
    study = inputs.study
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
    words = ["If these results help your work, say where they come from:"]
    return Section("cite", "Cite", words, texts=[("BibTeX", entry)])


def reproduce_section(inputs: Inputs) -> Section:
    """Show the commands that make the study and this page again."""
    study = inputs.study
    at = f", code at commit `{study.git_commit}`" if study.git_commit else ""
    words = [
        f"Begun {study.begun_at:%Y-%m-%d %H:%M} UTC{at}. The same command again does only what is missing.",
        "From the records alone, without a framework or Ray, this page is made anew by the second command.",
    ]
    texts = [("The study", study.command), ("This page", f"python scripts/report.py {from_the_root(inputs.folder)}")]
    return Section("reproduce", "Reproduce", words, texts=texts)


def _recipe(inputs: Inputs) -> str:
    plan = inputs.plan
    number = len(plan.seeds)
    runs = f"over {counted(number, 'seed')}" if plan.vary == "all" else f"in {counted(number, 'run')} each"
    weak = f" a replica (weak scaling, learning-rate rule {plan.lr_rule})" if plan.scaling == "weak" else ""
    return (
        f"The same simplified LeNet-5 ({PARAMETER_COUNT:,} parameters) on Fashion-MNIST ({plan.limit_train:,} training"
        f" and {TEST_IMAGES:,} test images), trained by **{', '.join(map(str, plan.contenders))}** for {plan.epochs}"
        f" epochs at batch size {plan.batch_size}{weak} with Adam at {plan.optimizer.learning_rate}, {runs}, on"
        f" {plan.device.upper()}s, {counted(plan.threads, 'thread')} a run. Each run had a process of its own; within"
        " each seed the runs went in a random order."
    )


def _tracks(inputs: Inputs) -> list[str]:
    plan, words = inputs.plan, []
    if "matched" in plan.tracks and inputs.audit and inputs.audit.failed:
        words.append(
            "**not matched**: Each run was set up to start from the same weights and see the same batches, but the"
            f" parity audit does not show that {' and '.join(sorted(inputs.unmatched))} computes what"
            f" {plan.contenders[0]} does. With it nothing pairs."
        )
    elif "matched" in plan.tracks:
        words.append(
            "**matched**: both start from the same weights and see the same batches, both drawn with NumPy from the"
            " seed; same update rule, IEEE float32, same threads, same evaluation. Runs pair by seed."
        )
    if "native" in plan.tracks:
        words.append(
            "**native**: each framework as its own documentation teaches it, with its own initialisers, shuffling and"
            " Adam. An equal seed pairs nothing."
        )
    return words
