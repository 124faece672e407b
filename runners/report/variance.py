"""Where variance comes from: the spread of runs that differ in weights and order, in one of them, or in nothing."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lenet.errors import BadInput
from runners import store
from runners.report.statistics import (
    distribution_variance,
    half_width,
    probability_of_improvement,
    sampling_error,
    sd_interval,
    standard_deviation,
    stein_runs,
)
from runners.report.tables import counts_of_others, runs_table
from runners.spec import VARIES, Vary
from runners.study import Study, differences

METRICS = ("test_accuracy", "test_loss")
RUNS_FORESEEN = (3, 5, 10, 20, 50, 100)
COLUMNS = [
    *("vary", "contender", "track", "metric", "n", "failed", "diverged", "oom"),
    *("mean", "sd", "sd_ci95_low", "sd_ci95_high"),
]


def variance_table(runs: Mapping[Vary, pd.DataFrame]) -> pd.DataFrame:
    """One row a source, contender, track and metric, from the runs table of each source.

    `vary` is what the seeds of those runs changed; `sd` (ddof 1) and its interval are over the n that completed, and
    0 only where these came out the same to the last bit.
    """
    rows = [row for vary in VARIES if vary in runs for row in _of_source(vary, runs[vary])]
    return pd.DataFrame(rows, columns=COLUMNS)


def read_sources(folders: Sequence[Path]) -> tuple[dict[Vary, pd.DataFrame], list[store.Unreadable]]:
    """The runs table of each folder, by what varied there, and the files that are no records.

    Raises BadInput if a folder holds no study, if two hold the same source, and, with every difference, if they differ
    in anything but what varied and the seeds.
    """
    studies = [(folder, store.existing_study(folder)) for folder in folders]
    _refuse_different(studies)
    _refuse_twice(studies)
    runs: dict[Vary, pd.DataFrame] = {}
    unreadable: list[store.Unreadable] = []
    for folder, study in studies:
        records, no_records = store.read_records(folder, study.plan)
        runs[study.plan.vary] = runs_table(records)
        unreadable += no_records
    return runs, unreadable


def precision_sentences(runs: pd.DataFrame, wanted: float | None = None) -> list[str]:
    """How the interval of each contender's mean accuracy shrinks with runs, and how many a half-width takes.

    `wanted` is that half-width, as a fraction. Contenders with less than two completed runs are left out.
    """
    found = []
    for (contender, track), group in _completed(runs).groupby(["contender", "track"], sort=False):
        values = group["test_accuracy"].to_numpy()
        if len(values) < 2:
            continue
        widths = [(n, half_width(values, n) or 0.0) for n in RUNS_FORESEEN]
        shrinks = ", ".join(f"{100 * width:.2f} with {n}" for n, width in widths)
        told = (
            f"{contender}, {track}: the 95 % interval of its mean accuracy is +- so many percentage points: {shrinks}"
        )
        takes = "" if wanted is None else f"; +-{100 * wanted:g} takes {stein_runs(values, wanted)} runs"
        found.append(f"{told} runs{takes}.")
    return found


def wrong_winner_sentences(runs: pd.DataFrame) -> list[str]:
    """For each track and pair of contenders: how often one run each has the worse on average come out ahead.

    Every run of one is held against every run of the other, ties one half.
    """
    found = []
    for track, group in _completed(runs).groupby("track", sort=False):
        by_contender = {
            str(name): of["test_accuracy"].to_numpy() for name, of in group.groupby("contender", sort=False)
        }
        for pair in itertools.combinations(by_contender, 2):
            better, worse = sorted(pair, key=lambda name: -by_contender[name].mean())
            chance = probability_of_improvement(by_contender[worse], by_contender[better], paired=False)
            if chance.probability is None or chance.ci95 is None:
                continue
            low, high = (f"{100 * end:.0f} %" for end in chance.ci95)
            told = f"{better} is ahead of {worse} in mean accuracy ({track}); one run each picks the wrong winner in"
            found.append(f"{told} {100 * chance.probability:.0f} % of cases [{low}, {high}].")
    return found


def beyond_images_sentences(runs: pd.DataFrame, predictions: Mapping[str, np.ndarray], labels: np.ndarray) -> list[str]:
    """How much of each contender's spread in accuracy is left beyond the choice of test images (Jordan 2024).

    Predictions by run id and labels have shape (images,). Contenders with less than two runs of them are left out.
    """
    found = []
    for (contender, track), group in _completed(runs).groupby(["contender", "track"], sort=False):
        right = [predictions[run_id] == labels for run_id in group["run_id"] if run_id in predictions]
        variance = distribution_variance(np.array(right)) if len(right) > 1 else None
        if variance is None or variance.observed is None or variance.of_distribution is None:
            continue
        error = 100 * sampling_error(float(np.mean(right)), variance.images)
        told = (
            f"{contender}, {track}: SD of test accuracy over {variance.runs} runs {100 * variance.observed**0.5:.3f} "
            f"percentage points on these {variance.images:,} test images"
        )
        left = variance.of_distribution
        beyond = (
            f"{100 * left**0.5:.3f} on endless ones"
            if left >= 0
            else f"on endless ones a variance estimated as {left:.1e}, below 0: none that can be told"
        )
        found.append(f"{told}, {beyond}; which images are tested is worth {error:.3f} to any accuracy.")
    return found


def _completed(runs: pd.DataFrame) -> pd.DataFrame:
    return runs[runs["status"] == "completed"].astype({"test_accuracy": float})


def _of_source(vary: Vary, runs: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for (contender, track), group in runs.groupby(["contender", "track"], sort=False):
        completed = group[group["status"] == "completed"]
        for metric in METRICS:
            values = completed[metric].astype(float).dropna()
            sd, interval = standard_deviation(values), sd_interval(values) or (nan, nan)
            yield {
                **{"vary": vary, "contender": contender, "track": track, "metric": metric},
                **{"n": len(values), **counts_of_others(group), "mean": values.mean()},
                **{"sd": nan if sd is None else sd, "sd_ci95_low": interval[0], "sd_ci95_high": interval[1]},
            }


def _refuse_different(studies: Sequence[tuple[Path, Study]]) -> None:
    (first, its_study), *others = studies
    different = [
        f"{name} is {here} in {first} and {there} in {folder}"
        for folder, study in others
        for name, here, there in differences(its_study, study)
        if name != "vary"
    ]
    if different:
        raise BadInput(f"only studies alike in all but --vary and --seeds go together: {'; '.join(different)}")


def _refuse_twice(studies: Sequence[tuple[Path, Study]]) -> None:
    found: dict[Vary, Path] = {}
    for folder, study in studies:
        vary = study.plan.vary
        if vary in found:
            raise BadInput(f"{found[vary]} and {folder} both have --vary {vary}; name one folder for each")
        found[vary] = folder
