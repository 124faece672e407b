import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from runners.core import store
from runners.core.errors import BadInput
from runners.core.spec import VARIES
from runners.report.build import assemble, build
from runners.report.output.html import render
from runners.report.pilot import FILE, Pilot
from runners.report.sections.variance import EXACTLY_ZERO, SPREAD, Source, read_sources, variance_table
from runners.report.tables import runs_table
from runners.report.wording import SOURCES
from tests.runners.report.conftest import ACCURACIES, LOSSES, cells


@pytest.fixture
def table(make_runs):
    """The variance table of one contender's runs; what else a `Source` has by its names."""

    def of(vary="all", *, predictions=None, labels=None, pilot=None, **given):
        return variance_table({vary: Source(make_runs(**given), predictions or {}, labels, pilot)})

    return of


@pytest.fixture
def folders(tmp_path, make_study_folder):
    """One results folder for each source asked for, with what else its study differs in."""

    def made(**given):
        found = []
        for name, settings in given.items():
            folder = tmp_path / name
            folder.mkdir()
            found.append(make_study_folder(folder, **settings))
        return found

    return made


# The table


def test_mean_sd_and_interval_are_those_of_the_completed_runs(table):
    row = table().set_index("metric").loc["test_loss"]
    assert row["mean"] == pytest.approx(np.mean(LOSSES))
    assert row["sd"] == pytest.approx(np.std(LOSSES, ddof=1))
    interval = [np.std(LOSSES, ddof=1) * math.sqrt(4 / stats.chi2.ppf(q, 4)) for q in (0.975, 0.025)]
    assert [row["sd_ci95_low"], row["sd_ci95_high"]] == pytest.approx(interval)
    assert (row["vary"], row["contender"], row["track"], row["n"]) == ("all", "keras", "matched", 5)


def test_there_is_a_row_for_each_source_contender_track_and_metric(make_runs):
    both = pd.concat([make_runs("torch"), make_runs("keras"), make_runs("keras", "native")])
    table = variance_table({"nothing": Source(make_runs("torch")), "all": Source(both)})
    metrics = ["test_accuracy", "test_loss"]
    groups = [("all", "torch", "matched"), ("all", "keras", "matched"), ("all", "keras", "native")]
    expected = [(*group, metric) for group in [*groups, ("nothing", "torch", "matched")] for metric in metrics]
    assert list(table[["vary", "contender", "track", "metric"]].itertuples(index=False, name=None)) == expected


@pytest.mark.parametrize("status", ["failed", "diverged", "oom"])
def test_what_did_not_complete_is_counted_beside_n_and_in_no_number(table, status):
    row = table(changed={2: {"status": status}}, accuracies=[*ACCURACIES[:2], 0.1, *ACCURACIES[3:]]).iloc[0]
    assert (row["n"], row["failed"] + row["diverged"] + row["oom"], row[status]) == (4, 1, 1)
    rest = np.delete(ACCURACIES, 2)
    assert (row["mean"], row["sd"]) == pytest.approx((rest.mean(), rest.std(ddof=1)))


@pytest.mark.parametrize(("n", "numbers"), [(0, 0), (1, 1), (2, 5)])
def test_one_run_has_no_sd_and_none_not_even_a_mean(table, n, numbers):
    row = table(changed={seed: {"status": "failed"} for seed in range(n, 5)}).iloc[0]
    assert row["n"] == n
    assert row[["mean", "sd", "sd_ci95_low", "sd_ci95_high", "half_width"]].notna().sum() == numbers


def test_runs_that_came_out_the_same_have_an_sd_of_exactly_0_and_others_never(table):
    same, almost = [0.1] * 5, [0.1, 0.1, math.nextafter(0.1, 1), 0.1, 0.1]
    row, other = (table(accuracies=values).iloc[0] for values in (same, almost))
    assert (row["sd"], row["sd_ci95_low"], row["sd_ci95_high"], row["half_width"]) == (0, 0, 0, 0)
    assert 0 < other["sd_ci95_low"] < other["sd"] < 1e-16
    spreads = [cells(SPREAD, pd.DataFrame([each]))[1][5] for each in (row, other)]
    assert spreads[0] == "exactly 0"
    assert float(spreads[1]) == pytest.approx(other["sd"], rel=0.05)


def test_without_runs_there_is_a_table_without_rows():
    table = variance_table({"all": Source(runs_table([]))})
    assert (len(table), list(table.columns)[:3]) == (0, ["vary", "contender", "track"])


# How sure the mean is


def first_three(half_width=0.001):
    """A pilot of the first three of the five seeds."""
    return Pilot(seeds=(0, 1, 2), half_width=half_width, runs=5)


@pytest.mark.parametrize("metric", [0, 1])
def test_the_half_width_is_that_of_scipy_s_interval_of_the_mean(table, metric):
    row = table(changed={2: {"status": "failed"}}).iloc[metric]
    interval = stats.ttest_1samp(np.delete((ACCURACIES, LOSSES)[metric], 2), 0).confidence_interval(0.95)
    assert row["half_width"] == pytest.approx((interval.high - interval.low) / 2, rel=1e-9)


@pytest.mark.parametrize("metric", [0, 1])
def test_after_a_pilot_the_half_width_has_the_pilot_s_spread_and_t(table, metric):
    row = table(pilot=first_three()).iloc[metric]
    sd = np.std((ACCURACIES, LOSSES)[metric][:3], ddof=1)
    assert row["half_width"] == pytest.approx(4.302652730 * sd / math.sqrt(5), rel=1e-9)  # t of 2 degrees of freedom
    assert row["sd"] == pytest.approx(np.std((ACCURACIES, LOSSES)[metric], ddof=1))


def test_the_runs_to_a_precision_are_there_where_a_pilot_was_asked_for_one(table):
    of_accuracy, of_loss = table(pilot=first_three()).to_dict("records")
    needed = math.ceil((4.302652730 * np.std(ACCURACIES[:3], ddof=1) / 0.001) ** 2)
    assert (of_accuracy["wanted_half_width"], of_accuracy["runs_for_wanted"]) == (0.001, needed)
    assert pd.isna([of_loss["wanted_half_width"], of_loss["runs_for_wanted"]]).all()
    assert table()[["wanted_half_width", "runs_for_wanted"]].isna().all(axis=None)


# Beyond the choice of test images

FIGURES = ["images", "sampling_error", "distribution_variance", "distribution_sd"]


def parting(seeds=range(5), images=400):
    """Predictions of which more are wrong, seed by seed; every label is 0."""
    rng = np.random.default_rng(0)
    return {f"keras-matched-seed{i}": (rng.random(images) < 0.05 + 0.1 * i).astype(np.uint8) for i in seeds}


LABELS = np.zeros(400, np.uint8)


def test_the_distribution_s_variance_is_the_mean_covariance_of_two_images(table):
    predictions = parting()
    of_accuracy, of_loss = table(predictions=predictions, labels=LABELS).to_dict("records")
    right = np.array([predicted == 0 for predicted in predictions.values()], float)
    covariances = np.cov(right.T)
    left = (covariances.sum() - np.trace(covariances)) / (400 * 399)
    assert left > 0
    assert of_accuracy["distribution_variance"] == pytest.approx(left, rel=1e-9)
    assert of_accuracy["distribution_sd"] == pytest.approx(math.sqrt(left), rel=1e-9)
    assert of_accuracy["sampling_error"] == pytest.approx(stats.binom.std(400, right.mean()) / 400)
    assert of_accuracy["images"] == 400
    assert all(pd.isna(of_loss[name]) for name in FIGURES)


def test_a_variance_below_0_stays_so_and_has_no_sd(table):
    level = {run_id: np.roll(np.arange(400) < 40, 40 * i) for i, run_id in enumerate(parting())}
    row = table(predictions=level, labels=LABELS).iloc[0]
    # All have 40 wrong, so nothing is observed; each of 200 images is wrong in one run of five, of variance 1/5.
    assert row["distribution_variance"] == pytest.approx(-200 / 5 / (400 * 399), rel=1e-9)
    assert np.isnan(row["distribution_sd"])


def test_runs_that_predict_the_same_leave_a_variance_of_exactly_0(table):
    same = dict.fromkeys(parting(), (np.arange(400) >= 42).astype(np.uint8))  # five times 42/400, whose mean is rounded
    row = table("nothing", predictions=same, labels=LABELS).iloc[0]
    assert (row["distribution_variance"], row["distribution_sd"]) == (0, 0)
    assert row["sampling_error"] > 0


@pytest.mark.parametrize("lost", [{"labels": None}, {"predictions": parting(range(4))}, {"predictions": {}}])
def test_what_the_images_tell_is_empty_without_labels_or_with_a_run_s_predictions_lost(table, lost):
    row = table(**{"predictions": parting(), "labels": LABELS, **lost}).iloc[0]
    assert row[FIGURES].isna().all()
    assert row["sd"] > 0


def test_only_completed_runs_need_predictions(table):
    failed = {4: {"status": "diverged"}}
    rows = [table(predictions=parting(range(n)), labels=LABELS, changed=failed).iloc[0] for n in (4, 5)]
    assert rows[0]["distribution_variance"] == rows[1]["distribution_variance"] > 0


def test_one_run_has_a_sampling_error_and_no_variance(table):
    row = table(seeds=[0], predictions=parting(), labels=LABELS).iloc[0]
    assert (row["images"], row["sampling_error"] > 0) == (400, True)
    assert np.isnan([row["distribution_variance"], row["distribution_sd"], row["half_width"]]).all()


# For people


def test_every_source_has_words():
    assert tuple(SOURCES) == VARIES


def test_a_row_reads_as_it_is(table):
    heading, row, _ = cells(SPREAD, table("init", changed={2: {"status": "failed"}}))
    assert heading == ("what varied", "contender", "metric", "runs", "mean", "SD over runs", "95 % interval of the SD")
    assert row[:6] == ("initial weights only", "keras, matched", "test accuracy", "4, 1 failed", "0.8910", "0.0052")
    assert row[6] == "[0.0029, 0.019]"


def test_what_is_not_there_is_a_dash(table):
    (_, row, _) = cells(SPREAD, table(changed={s: {"status": "oom"} for s in range(5)}))
    assert row[3:] == ("0, 5 oom", "-", "-", "-")


@pytest.mark.parametrize("same", [True, False])
def test_the_page_says_of_an_sd_of_0_that_it_is_no_rounding(study_folder, same):
    changed = {f"torch-matched-seed{n}": {"test_accuracy": 0.9, "test_loss": 0.3} for n in range(5)} if same else {}
    page = render(assemble(study_folder(vary="nothing", changed=changed)), pictures=False)
    assert (EXACTLY_ZERO in page) == ('<td class="n">exactly 0</td>' in page) == same


# Several folders


def test_a_report_s_table_is_that_of_its_folder_alone(folders):
    (folder,) = folders(a={"vary": "order"})
    store.write_atomically(folder / FILE, first_three().model_dump_json().encode())
    build(folder)
    sources, unreadable = read_sources([folder])
    assert unreadable == []
    written = pd.read_parquet(folder / "tables" / "variance.parquet")
    pd.testing.assert_frame_equal(written, variance_table(sources), check_dtype=False)
    assert written[["half_width", "images", "distribution_variance", "runs_for_wanted"]].iloc[0].notna().all()
    assert set(written["vary"]) == {"order"}


def test_each_folder_is_a_source_whatever_its_seeds_and_the_order_of_the_folders(folders):
    made = folders(
        b={"vary": "nothing", "seeds": range(3)},
        a={"vary": "all"},
        c={"vary": "init", "seeds": (7, 8), "contenders": ("keras", "torch")},
    )
    sources, _ = read_sources(made)
    table = variance_table(sources)
    assert list(table["vary"].unique()) == ["all", "init", "nothing"]
    assert dict(zip(table["vary"], table["n"], strict=True)) == {"all": 5, "init": 2, "nothing": 3}


def test_a_file_that_is_no_record_is_told(folders):
    one, other = folders(a={}, b={"vary": "init"})
    path = other / "runs" / "torch-matched-seed1.json"
    path.write_text("{")
    sources, unreadable = read_sources([one, other])
    assert [item.path for item in unreadable] == [path]
    assert len(sources["init"].runs) == 9


def test_studies_that_differ_in_more_are_refused_with_every_difference(folders):
    first, *others = folders(a={}, b={"vary": "init", "batch_size": 64}, c={"vary": "order", "threads": 2, "epochs": 3})
    told = (
        f"only studies alike in all but --vary and --seeds go together: batch_size is 128 in {first} and 64 in "
        f"{others[0]}; epochs is 2 in {first} and 3 in {others[1]}; threads is 1 in {first} and 2 in {others[1]}"
    )
    with pytest.raises(BadInput) as refusal:
        read_sources([first, *others])
    assert str(refusal.value) == told


@pytest.mark.parametrize(
    ("update", "told"),
    [
        ({"code_sha256": "e" * 64}, "code is cccccccccccc in .* and eeeeeeeeeeee in"),
        ({"data_sha256": "e" * 64}, "data is dddddddddddd in .* and eeeeeeeeeeee in"),
        ({"versions": {"torch": "2.14.0"}}, r"version of torch is None in .* and 2\.14\.0 in"),
    ],
)
def test_studies_of_other_code_data_or_versions_are_refused(folders, update, told):
    first, other = folders(a={}, b={"vary": "init"})
    store.write_study(other, store.read_study(other).model_copy(update=update))
    with pytest.raises(BadInput, match=told):
        read_sources([first, other])


def test_studies_of_other_contenders_are_refused(folders):
    with pytest.raises(BadInput, match=r"contenders is keras torch in .* and torch torch#2 in"):
        read_sources(folders(a={}, b={"vary": "init", "contenders": ("torch", "torch#2")}))


def test_a_source_comes_from_one_folder(folders):
    first, second = folders(a={"vary": "init"}, b={"vary": "init", "seeds": (5, 6)})
    with pytest.raises(BadInput, match=f"{first} and {second} both have --vary init; name one folder for each"):
        read_sources([first, second])
    with pytest.raises(BadInput, match=f"{first} and {first} both have"):
        read_sources([first, first])


def test_a_folder_without_a_study_is_refused():
    with pytest.raises(BadInput, match="nowhere holds no"):
        read_sources([Path("nowhere")])
