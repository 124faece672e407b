"""Where variance comes from: the spread of runs that differ in weights and order, in one of them, or in nothing.

The table also says how sure the mean accuracy is: how its interval shrinks with runs, and what test images leave open.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan, sqrt
from pathlib import Path

import numpy as np
import pandas as pd

from runners.core import store
from runners.core.errors import BadInput
from runners.core.spec import VARIES, Vary
from runners.core.study import Study, differences
from runners.report import pilot
from runners.report.columns import Column, Row, tabulate
from runners.report.dictionary import columns_of
from runners.report.inputs import Inputs
from runners.report.pilot import Pilot
from runners.report.section import Section
from runners.report.sections import wrong_winner
from runners.report.sections.variance_plots import RUNS_FORESEEN, variance_plots
from runners.report.statistics.images import distribution_variance, sampling_error
from runners.report.statistics.means import half_width as half_width_of
from runners.report.statistics.means import sd_interval, standard_deviation, stein_half_width, stein_runs
from runners.report.tables import by_contender, completed, counts_of_others, runs_table
from runners.report.wording import ABSENT, SOURCES, number, runs_and_others

METRICS = ("test_accuracy", "test_loss")
FIGURES = {
    **dict.fromkeys(("mean", "sd", "sd_ci95_low", "sd_ci95_high", "half_width", "wanted_half_width"), "float64"),
    **{"runs_for_wanted": "Int64", "images": "Int64"},  # whole numbers that may be absent
    **dict.fromkeys(("sampling_error", "distribution_variance", "distribution_sd"), "float64"),
}
EXACTLY_ZERO = "An SD of exactly 0 is no rounding: in that metric every run came out the same to the last bit."
PRECISION_NOTE = (
    "**How sure the mean accuracy is**, in percentage points. Its interval is a t interval; where a pilot decided on"
    " the number of runs, of the pilot's SD alone (Stein 1945). **SD on endless ones**: what would be left of the SD if"
    " accuracy were not counted on these test images only (Jordan 2024, theorem 2; the variance is estimated without"
    " bias, and so may come out below 0: then no spread can be told). **Test-sampling error**: the standard"
    " error of any accuracy as a statement on other images than these; no number of runs lessens it."
)


@dataclass(frozen=True)
class Source:
    """A study's runs, with what decides how sure their means are."""

    runs: pd.DataFrame  # its runs table
    predictions: Mapping[str, np.ndarray] = field(default_factory=dict)  # by run id, uint8 (images,)
    labels: np.ndarray | None = None  # of those images, uint8 (images,)
    pilot: Pilot | None = None  # if one decided how many runs there are


def section(inputs: Inputs) -> Section:
    """Show the spread of runs, by what varied."""
    source = Source(inputs.runs, inputs.predictions, inputs.labels, inputs.pilot)
    sources: Mapping[Vary, Source] = {inputs.plan.vary: source}
    variance, wrong = variance_table(sources), wrong_winner.wrong_winner_table(sources)
    accuracy = variance[variance["metric"] == "test_accuracy"]
    tables = [
        tabulate("How far runs spread, by what varied", SPREAD, variance, "variance"),
        tabulate("How sure the mean accuracy is (percentage points)", PRECISION, accuracy, "variance"),
    ]
    words = (
        "For the other sources, do the same study (matched track alone) once for each of --vary all, init, order and"
        " nothing, each into an --out of its own, and give all these folders to scripts/seed_variance.py; or have its"
        " --run do a study of each."
    )
    zero = f" {EXACTLY_ZERO}" if (variance["sd"] == 0).any() else ""
    normal = "SD over the completed runs (n - 1), with its chi-square interval, which supposes a normal distribution."
    notes = [normal + zero, PRECISION_NOTE]
    if len(wrong):
        tables.append(wrong_winner.reading(wrong))
        notes.append(wrong_winner.NOTE)
    data, plots = {"variance": variance, "wrong_winner": wrong}, variance_plots(variance)
    return Section("variance", "Where variance comes from", [words], tables, plots, notes=notes, data=data)


def variance_table(sources: Mapping[Vary, Source]) -> pd.DataFrame:
    """Return one row a source, contender, track and metric.

    `vary` is what the seeds of those runs changed; `sd` (ddof 1) and its interval are over the n that completed, and
    0 only where these came out the same to the last bit. `half_width` is half the mean's 95 % interval; where a pilot
    decided on the number of runs, t and SD are the pilot's alone (Stein 1945), as in `runs_for_wanted`: how many runs
    of that contender, the pilot's among them, it takes to reach `wanted_half_width`.

    The other columns are of test accuracy, where the predictions of all its runs and the labels of the `images` are
    known: `sampling_error` is the standard error that comes from which images are tested; `distribution_variance` the
    variance over runs that endless images would leave (Jordan 2024), an estimate that may be below 0, and
    `distribution_sd` its root where it is not. Unknown values are empty.
    """
    rows = [row for vary in VARIES if vary in sources for row in _of_source(vary, sources[vary])]
    return pd.DataFrame(rows, columns=columns_of("variance")).astype(FIGURES)


def read_sources(folders: Sequence[Path]) -> tuple[dict[Vary, Source], list[store.Unreadable]]:
    """Return each folder's source, by what varied there, and the files that are no records.

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


def precision_sentences(variance: pd.DataFrame) -> list[tuple[Vary, str]]:
    """Return what varied, and how the interval of each contender's mean accuracy shrinks with runs.

    Contenders with less than two completed runs are left out, and those whose runs all came out the same.
    """
    return [(row["vary"], _precision(row)) for row in _with_spread(variance) if pd.notna(row["half_width"])]


def beyond_images_sentences(variance: pd.DataFrame) -> list[tuple[Vary, str]]:
    """Return what varied, and how much of each contender's spread in accuracy endless test images would leave.

    Contenders for which this is unknown are left out, and those whose runs all came out the same.
    """
    rows = _with_spread(variance)
    return [(row["vary"], _beyond_images(row)) for row in rows if pd.notna(row["distribution_variance"])]


def _of_source(vary: Vary, source: Source) -> Iterator[Row]:
    for contender, track, group in by_contender(source.runs):
        identity = {"vary": vary, "contender": contender, "track": track}
        for metric in METRICS:
            known = completed(group).dropna(subset=metric)
            values = known.set_index("seed")[metric].astype(float)
            row = {**identity, "metric": metric, "n": len(values), **counts_of_others(group), "mean": values.mean()}
            row |= _spread(values, source.pilot)
            if metric == "test_accuracy":
                row |= _wanted(values, source.pilot) | _of_images(list(known["run_id"]), source)
            yield row


def _spread(values: pd.Series, known: Pilot | None) -> dict[str, float | None]:
    low, high = sd_interval(values) or (None, None)
    half = stein_half_width(_of_pilot(values, known) if known else values, len(values))
    return {"sd": standard_deviation(values), "sd_ci95_low": low, "sd_ci95_high": high, "half_width": half}


def _wanted(values: pd.Series, known: Pilot | None) -> dict[str, float | None]:
    if known is None:
        return {}
    runs = stein_runs(_of_pilot(values, known), known.half_width)
    return {"wanted_half_width": known.half_width, "runs_for_wanted": runs}


def _of_pilot(values: pd.Series, known: Pilot) -> pd.Series:
    return values[values.index.isin(known.seeds)]


def _of_images(run_ids: Sequence[str], source: Source) -> dict[str, float | None]:
    if source.labels is None or not run_ids or not source.predictions.keys() >= set(run_ids):
        return {}
    right = np.array([source.predictions[run_id] == source.labels for run_id in run_ids])
    left, images = distribution_variance(right), right.shape[1]
    return {
        "images": images,
        "sampling_error": sampling_error(float(right.mean()), images),
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
    known: dict[Vary, Path] = {}
    for folder, study in studies:
        vary = study.plan.vary
        if vary in known:
            raise BadInput(f"{known[vary]} and {folder} both have --vary {vary}; name one folder for each")
        known[vary] = folder


def _with_spread(variance: pd.DataFrame) -> list[Row]:
    accuracy = variance[variance["metric"] == "test_accuracy"]
    return [row for row in accuracy.to_dict("records") if row["sd"] > 0]


def _precision(row: Row) -> str:
    shrinks = ", ".join(f"{_points(half_width_of(row['sd'], n), 2)} with {n}" for n in RUNS_FORESEEN)
    text = (
        f"{_name(row)}: the 95 % interval of its mean accuracy is +-{_points(row['half_width'], 2)} percentage points"
        f" over {row['n']} runs; of runs that spread like these it would be {shrinks}"
    )
    if pd.isna(row["runs_for_wanted"]):
        return f"{text}."
    wanted = f"{100 * row['wanted_half_width']:g}"
    return f"{text}; to +-{wanted}, by the pilot's spread, it takes {row['runs_for_wanted']}."


def _beyond_images(row: Row) -> str:
    left: str = (
        f"on endless ones a variance estimated as {row['distribution_variance']:.1e}, below 0: none that can be told"
        if pd.isna(row["distribution_sd"])
        else f"{_points(row['distribution_sd'])} on endless ones"
    )
    return (
        f"{_name(row)}: SD of test accuracy over {row['n']} runs {_points(row['sd'])} percentage points on these"
        f" {row['images']:,} test images, {left}; which images are tested is worth {_points(row['sampling_error'])}"
        " to any accuracy."
    )


def _name(row: Row) -> str:
    return f"{row['contender']}, {row['track']}"


def _points(value: float | None, digits: int = 3) -> str:
    """Write a fraction in percentage points."""
    return number(None if value is None else 100 * value, digits)


def _sd(row: Row) -> str:
    """Write an SD in two significant digits, so that one that is not 0 is never shown as 0."""
    if isnan(row["sd"]):
        return ABSENT
    return "exactly 0" if row["sd"] == 0 else f"{row['sd']:.2g}"


def _sd_interval(row: Row) -> str:
    low, high = row["sd_ci95_low"], row["sd_ci95_high"]
    return ABSENT if isnan(low) else f"[{low:.2g}, {high:.2g}]"


def _half_width(row: Row) -> str:
    return ABSENT if isnan(row["half_width"]) else f"±{_points(row['half_width'])}"


def _runs_for_wanted(row: Row) -> str:
    runs = row["runs_for_wanted"]
    return ABSENT if pd.isna(runs) else f"{runs} to ±{100 * row['wanted_half_width']:g}"


def _endless_sd(row: Row) -> str:
    """Write the SD on endless images, from its variance, whose estimate may be below 0."""
    return "variance below 0" if row["distribution_variance"] < 0 else _points(row["distribution_sd"])


CONTENDER = (
    Column("what varied", lambda row: SOURCES[row["vary"]], is_number=False),
    Column("contender", _name, is_number=False),
)
SPREAD = (
    *CONTENDER,
    Column("metric", lambda row: row["metric"].replace("_", " "), is_number=False),
    Column("runs", runs_and_others),
    Column("mean", lambda row: number(row["mean"], 4)),
    Column("SD over runs", _sd),
    Column("95 % interval of the SD", _sd_interval),
)
PRECISION = (
    *CONTENDER,
    Column("runs", "n"),
    Column("95 % interval of the mean", _half_width),
    Column("runs to the precision asked for", _runs_for_wanted),
    Column("SD on these test images", lambda row: _points(row["sd"])),
    Column("SD on endless ones", _endless_sd),
    Column("test-sampling error", lambda row: _points(row["sampling_error"])),
)
