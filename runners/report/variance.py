"""Where variance comes from: the spread of runs that differ in weights and order, in one of them, or in nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from runners.core import store
from runners.core.errors import BadInput
from runners.core.spec import VARIES, Vary
from runners.core.study import Study, differences
from runners.report import pilot
from runners.report.pilot import Pilot
from runners.report.statistics import (
    distribution_variance,
    half_width,
    sampling_error,
    sd_interval,
    standard_deviation,
    stein_half_width,
    stein_runs,
)
from runners.report.tables import counts_of_others, runs_table

METRICS = ("test_accuracy", "test_loss")
FIGURES = {
    **dict.fromkeys(("mean", "sd", "sd_ci95_low", "sd_ci95_high", "half_width", "wanted_half_width"), "float64"),
    **{"runs_for_wanted": "Int64", "images": "Int64"},  # whole numbers that may be absent
    **dict.fromkeys(("sampling_error", "distribution_variance", "distribution_sd"), "float64"),
}
COLUMNS = ["vary", "contender", "track", "metric", "n", "failed", "diverged", "oom", *FIGURES]


@dataclass(frozen=True)
class Source:
    """A study's runs, with what tells how sure their means are."""

    runs: pd.DataFrame  # its runs table
    predictions: Mapping[str, np.ndarray] = field(default_factory=dict)  # by run id, uint8 (images,)
    labels: np.ndarray | None = None  # of those images, uint8 (images,)
    pilot: Pilot | None = None  # if one decided how many runs there are


def variance_table(sources: Mapping[Vary, Source]) -> pd.DataFrame:
    """One row a source, contender, track and metric.

    `vary` is what the seeds of those runs changed; `sd` (ddof 1) and its interval are over the n that completed, and
    0 only where these came out the same to the last bit. `half_width` is half the mean's 95 % interval; where a pilot
    decided on the number of runs, t and SD are the pilot's alone (Stein 1945), as in `runs_for_wanted`: how many runs
    of that contender, the pilot's among them, it takes to `wanted_half_width`.

    The rest is told of test accuracy where the predictions of all its runs and the labels of the `images` are known:
    `sampling_error` is the standard error that comes from which images are tested; `distribution_variance` the variance
    over runs that endless images would leave (Jordan 2024), an estimate that may be below 0, and `distribution_sd` its
    root where it is not. What cannot be told is empty.
    """
    rows = [row for vary in VARIES if vary in sources for row in _of_source(vary, sources[vary])]
    return pd.DataFrame(rows, columns=COLUMNS).astype(FIGURES)


def read_sources(folders: Sequence[Path]) -> tuple[dict[Vary, Source], list[store.Unreadable]]:
    """What each folder holds, by what varied there, and the files that are no records.

    Raises BadInput if a folder holds no study, if two hold the same source, and, with every difference, if they differ
    in anything but what varied and the seeds.
    """
    studies = [(folder, store.existing_study(folder)) for folder in folders]
    _refuse_different(studies)
    _refuse_twice(studies)
    sources: dict[Vary, Source] = {}
    unreadable: list[store.Unreadable] = []
    for folder, study in studies:
        records, no_records = store.read_records(folder, study)
        predictions, _ = store.read_predictions(folder, [r.run_id for r in records if r.status == "completed"])
        labels, known = store.read_labels(folder), pilot.kept(folder)
        sources[study.plan.vary] = Source(runs_table(records), predictions, labels, known)
        unreadable += no_records
    return sources, unreadable


def _of_source(vary: Vary, source: Source) -> Iterator[dict[str, Any]]:
    for (contender, track), group in source.runs.groupby(["contender", "track"], sort=False):
        completed = group[group["status"] == "completed"]
        identity = {"vary": vary, "contender": contender, "track": track}
        for metric in METRICS:
            known = completed.dropna(subset=metric)
            values = known.set_index("seed")[metric].astype(float)
            row = {**identity, "metric": metric, "n": len(values), **counts_of_others(group), "mean": values.mean()}
            row |= _spread(values, source.pilot)
            if metric == "test_accuracy":
                row |= _wanted(values, source.pilot) | _beyond_images(list(known["run_id"]), source)
            yield row


def _spread(values: pd.Series, known: Pilot | None) -> dict[str, float | None]:
    low, high = sd_interval(values) or (None, None)
    half = stein_half_width(_of_pilot(values, known), len(values)) if known else half_width(values, len(values))
    return {"sd": standard_deviation(values), "sd_ci95_low": low, "sd_ci95_high": high, "half_width": half}


def _wanted(values: pd.Series, known: Pilot | None) -> dict[str, float | None]:
    if known is None:
        return {}
    runs = stein_runs(_of_pilot(values, known), known.half_width)
    return {"wanted_half_width": known.half_width, "runs_for_wanted": runs}


def _of_pilot(values: pd.Series, known: Pilot) -> pd.Series:
    return values[values.index.isin(known.seeds)]


def _beyond_images(run_ids: Sequence[str], source: Source) -> dict[str, float | None]:
    if source.labels is None or not run_ids or not source.predictions.keys() >= set(run_ids):
        return {}
    right = np.array([source.predictions[run_id] == source.labels for run_id in run_ids])
    variance = distribution_variance(right)
    left = variance.of_distribution
    return {
        "images": variance.images,
        "sampling_error": sampling_error(float(right.mean()), variance.images),
        "distribution_variance": left,
        "distribution_sd": None if left is None or left < 0 else sqrt(left),
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
