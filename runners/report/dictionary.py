"""What every file of a results folder and every column of its tables holds: RESULTS.md is made from this.

After a change here: `python -m runners.report.dictionary`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runners.core.frameworks import FRAMEWORKS

DOCUMENT = Path(__file__).parents[2] / "RESULTS.md"
INTRODUCTION = """\
# A results folder

This page is made by `python -m runners.report.dictionary`; change the descriptions there.

Losses are means over images, accuracies are fractions from 0 to 1, and times are seconds. A cell is empty where its
value is unknown or has no meaning. The contender that the command names first is the reference, `a`: a difference is
always b - a, and a ratio b / a.
"""
CHECKPOINTS = " or ".join(f"`{row.checkpoint}`" for row in FRAMEWORKS.values())
# File, or pattern of files -> what it holds.
FILES = {
    "study.json": "The plan, the command, versions, and hashes of code and data.",
    "runs/*.json": "One record for each run, failed ones included: epochs, split clock, environment.",
    "audit.json": "The parity audit: each check, and the defaults in which the frameworks differ.",
    "divergence.json": "After `audit.py --divergence`: how fast two trainings move apart.",
    "pilot.json": "After `seed_variance.py --until-half-width`: how many runs the pilot asks for.",
    "predictions/*.npy": "The predicted class of each test image, uint8 (10000,); `labels.npy` has the true classes.",
    "checkpoints/*/*": f"The run's best weights, by lowest test loss: {CHECKPOINTS}.",
    "tables/*.csv": "The tables below.",
    "tables/*.parquet": "The same tables for pandas, R or DuckDB.",
    "plots/*.png": "Each plot.",
    "plots/*.svg": "The same plot for light and dark pages.",
    "plots/*.csv": "The data that the plot shows.",
    "report.html": "The report: one page that needs no other file.",
    "report.md": "The same report for pull requests.",
}
CONTENDER = {
    "contender": "Framework, strategy and replicas, as in the command.",
    "track": "`matched` or `native`.",
}
RUN = {
    "run_id": "Name of the run and of its files: contender, track and seed.",
    **CONTENDER,
    "seed": "Seed of the run.",
}
PAIR = {"a": "The reference contender.", "b": "The other contender."}
OTHERS = {
    "failed": "Runs that ended with an error.",
    "diverged": "Runs that stopped because a loss was not finite.",
    "oom": "Runs that had too little memory.",
}
INTERVAL = {"ci95_low": "Low end of the 95 % interval.", "ci95_high": "High end of the 95 % interval."}
VARY = {"vary": "What the seed changed: `all`, `init` (weights), `order` (of batches) or `nothing`."}
RESULT = {
    "train_loss": "Mean loss of the training images, each at the time when it was seen.",
    "test_loss": "Mean loss of the test images.",
    "test_accuracy": "Share of the test images that are classified correctly.",
}
SEED_VARIANCE = "also made by `seed_variance.py`"


@dataclass(frozen=True)
class Table:
    """A table of a results folder."""

    rows: str  # what has a row, and when the table is there
    columns: Mapping[str, str]  # column, or pattern of columns, in the table's order -> what it holds


TABLES = {
    "runs": Table(
        "each run, failed ones included; losses and accuracies are those after the last epoch",
        {
            "run_id": RUN["run_id"],
            "contender": CONTENDER["contender"],
            "framework": "Framework of the contender.",
            "strategy": "How several replicas train together; `single` for one replica.",
            "replicas": "Number of replicas.",
            "track": CONTENDER["track"],
            "seed": RUN["seed"],
            "status": "`completed`, `failed`, `diverged` or `oom` (out of memory).",
            "error": "Message of the error that ended the run.",
            "epochs": "Epochs done.",
            "batch_size": "Images in a batch of all replicas together.",
            **RESULT,
            "best_test_accuracy": "Highest test accuracy after any epoch.",
            "startup_seconds": "From the placement of the run, or its process's start if later, to its first line.",
            "import_seconds": "Importing the framework.",
            "data_seconds": "Scaling images, making tensors and the input pipeline.",
            "compile_seconds": "The first training step: tracing, choice of kernels, warm-up.",
            "train_seconds": "Training without the first step, evaluation and checkpoints.",
            "eval_seconds": "Evaluation on the test images after every epoch.",
            "total_seconds": "The whole run, with building, checkpoints and reporting, which have no column.",
            "images_per_second": "Training images for each second of training, both without the first step.",
            "attempts": "Times that the run was started.",
            "node": "Host on which the run's first process was.",
            "init_sha256": "Hash of the initial weights, as the model held them.",
            "order_sha256": "Hash of the drawn batch order, in `matched`.",
            "seconds_to_accuracy": "Training seconds until the test accuracy reached `--target-accuracy`.",
            "communication_share": "Share of training in which replicas waited for gradients, if that is known.",
            "epochs_with_own_order": "Number of different orders in which the run saw the images over its epochs.",
        },
    ),
    "epochs": Table(
        "each epoch of each run",
        {
            **RUN,
            "epoch": "Number of the epoch, from 1.",
            "train_loss": RESULT["train_loss"],
            "train_accuracy": "Share of the training images that were classified correctly when they were seen.",
            "test_loss": RESULT["test_loss"],
            "test_accuracy": RESULT["test_accuracy"],
            "learning_rate": "Learning rate during the epoch.",
            "train_seconds": "Training, without the run's first step.",
            "eval_seconds": "Evaluation on the test images.",
        },
    ),
    "summary": Table(
        "each contender and track; means are over completed runs",
        {
            **CONTENDER,
            "n": "Completed runs.",
            **OTHERS,
            "*_mean": "Mean over the runs; `seconds_per_epoch` is training seconds divided by epochs.",
            "*_sd": "Standard deviation over the runs (n - 1).",
            "*_ci95_low": "Low end of the mean's 95 % t interval.",
            "*_ci95_high": "High end of the mean's 95 % t interval.",
            "test_accuracy_sampling_error": "Standard error of the accuracy from the choice of test images.",
        },
    ),
    "comparisons": Table(
        "each track, pair of contenders and metric",
        {
            "metric": "Column of `runs` that is compared.",
            **PAIR,
            "track": CONTENDER["track"],
            "n": "Pairs of runs, or runs of the side that has fewer.",
            "paired": "Whether runs of the same seed are compared with each other.",
            "difference": "Accuracy: mean of b - a. Losses and times: geometric mean of b / a.",
            **INTERVAL,
            "ci90_low": "Low end of the 90 % interval, which decides on equivalence.",
            "ci90_high": "High end of the 90 % interval.",
            "margin": "Largest difference that counts as equivalent, declared before the first run.",
            "p_difference": "p value of the t test. For all metrics but test accuracy it is Holm-corrected.",
            "p_equivalence": "p value of the two one-sided t tests.",
            "wins": "Seeds that b wins. A run that did not complete is a loss.",
            "verdict": "`better`, `different`, `equivalent`, `inconclusive` or `descriptive` (too few runs).",
            "sentence": "The whole verdict: `short`, `told` and `would_change`.",
            "primary": "Whether this is the primary metric, test accuracy.",
            "win_share": "Probability that a run of b is better than a run of a.",
            "win_share_low": "Low end of its 95 % interval.",
            "win_share_high": "High end of its 95 % interval.",
            "would_change": "What would change the verdict, such as more seeds.",
            "win_runs_needed": "If unpaired: runs of each that show such a share to be more than chance (Noether).",
            "short": "The verdict in one sentence.",
            "told": "The difference and its interval in words.",
        },
    ),
    "agreement": Table(
        "each track and pair of contenders, and each contender with itself",
        {
            "track": CONTENDER["track"],
            **PAIR,
            "what": "Which runs make a pair: the same seed, or two seeds of one contender.",
            "n": "Pairs of runs.",
            "mean": "Mean share of the test images for which both runs predict the same class.",
            "sd": "Standard deviation of that share over the pairs.",
            "low": "Smallest share.",
            "high": "Largest share.",
            "p_mcnemar_median": "Median p value of McNemar's exact test over the pairs, not corrected.",
            "p_mcnemar_holm": "Smallest of these p values after Holm's correction.",
            "n_mcnemar_below_05": "Pairs whose p value is below 0.05 after Holm's correction.",
        },
    ),
    "defaults": Table(
        "each pair of contenders and metric, if the study has both tracks",
        {
            "metric": "Column of `runs` that is compared.",
            **PAIR,
            "matched": "The difference in `matched`, as in `comparisons`.",
            "native": "The difference in `native`.",
            "only_defaults": "What the defaults alone account for: native - matched, or native / matched.",
            "ci95_low": "Low end of its 95 % t interval, not corrected for the number of metrics.",
            "ci95_high": "High end of its 95 % t interval.",
            "n_matched": "Pairs of runs in `matched`.",
            "n_native": "Runs in `native` of the contender that has fewer.",
            "sentence": "The same in words.",
        },
    ),
    "variance": Table(
        f"each source of variance, contender, track and metric; {SEED_VARIANCE}",
        {
            **VARY,
            **CONTENDER,
            "metric": "`test_accuracy` or `test_loss`.",
            "n": "Completed runs.",
            **OTHERS,
            "mean": "Mean over the runs.",
            "sd": "Standard deviation over the runs (n - 1).",
            "sd_ci95_low": "Low end of the standard deviation's 95 % interval.",
            "sd_ci95_high": "High end of the standard deviation's 95 % interval.",
            "half_width": "Half the width of the mean's 95 % interval.",
            "wanted_half_width": "The half-width that `--until-half-width` asked for.",
            "runs_for_wanted": "Runs that it takes, by the pilot's spread (Stein 1945).",
            "images": "Test images that the next three columns are estimated from.",
            "sampling_error": "Standard error of the accuracy from the choice of test images.",
            "distribution_variance": "Variance over runs with endless test images (Jordan 2024); may be below 0.",
            "distribution_sd": "Its square root, unless it is below 0.",
        },
    ),
    "wrong_winner": Table(
        f"each source of variance, track and pair of contenders; {SEED_VARIANCE}",
        {
            **VARY,
            "track": CONTENDER["track"],
            "better": "The contender with the higher mean test accuracy.",
            "worse": "The other contender.",
            "n_better": "Completed runs of the better contender.",
            "n_worse": "Completed runs of the worse contender.",
            "difference": "Difference of the two means, a fraction.",
            "wrong_winner": "Probability that one run of each has the worse contender ahead.",
            "wrong_winner_low": "Low end of its 95 % interval.",
            "wrong_winner_high": "High end of its 95 % interval.",
        },
    ),
    "scaling": Table(
        "each track and contender of a framework with several replicas",
        {
            "framework": "Framework of the contender.",
            "contender": CONTENDER["contender"],
            "strategy": "How several replicas train together.",
            "replicas": "Number of replicas.",
            "track": CONTENDER["track"],
            "scaling": "`strong` (one batch is shared) or `weak` (each replica has a batch of that size).",
            "lr_rule": "How the learning rate follows the batch size in weak scaling.",
            "global_batch_size": "Images in a batch of all replicas together.",
            "learning_rate": "Learning rate at the start.",
            "n": "Completed runs.",
            "epoch_seconds": "Mean seconds for all training images, at the run's images per second.",
            "epoch_seconds_ci95_low": "Low end of the 95 % interval.",
            "epoch_seconds_ci95_high": "High end of the 95 % interval.",
            "images_per_second": "Mean training images for each second of training.",
            "baseline": "The framework's contender with the fewest replicas.",
            "paired": "Whether runs of the same seed are compared with each other.",
            "n_compared": "Pairs of runs, or runs of the side that has fewer.",
            "speedup": "Images per second divided by those of `baseline`, by geometric means.",
            "speedup_ci95_low": "Low end of the 95 % interval.",
            "speedup_ci95_high": "High end of the 95 % interval.",
            "efficiency": "Speed-up divided by the ratio of replicas.",
            "efficiency_ci95_low": "Low end of the 95 % interval.",
            "efficiency_ci95_high": "High end of the 95 % interval.",
            "startup_seconds": "Mean seconds until the run's first line.",
            "n_reached": "Runs that reached `--target-accuracy`.",
            "seconds_to_accuracy": "Mean training seconds until they reached it.",
            "communication_share": "Mean share of training in which replicas waited for gradients.",
        },
    ),
    "divergence": Table(
        "each pair of trainings, precision and step, after `audit.py --divergence`",
        {
            "a": "One training.",
            "b": "The other training.",
            "precision": "`float32` or `float64`.",
            "step": "Training step.",
            "distance": "Distance of the two trainings' weights, divided by the norm of the weights of b.",
        },
    ),
}


def columns_of(table: str) -> list[str]:
    """Return the columns of a table, in its order."""
    return [*TABLES[table].columns]


def markdown() -> str:
    """Return the text of RESULTS.md."""
    parts = [INTRODUCTION, _table("file", FILES)]
    for name, table in TABLES.items():
        parts += [f"## `tables/{name}`\n", f"One row for {table.rows}.\n", _table("column", table.columns)]
    return "\n".join(parts)


def _table(heading: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {heading} | what it holds |", "|---|---|", *(f"| `{name}` | {held} |" for name, held in rows.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(markdown(), encoding="utf-8")
