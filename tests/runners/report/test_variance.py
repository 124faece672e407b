import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lenet.errors import BadInput
from runners import store
from runners.report.build import assemble, build
from runners.report.page import render
from runners.report.tables import runs_table
from runners.report.variance import (
    beyond_images_sentences,
    precision_sentences,
    read_sources,
    variance_table,
    wrong_winner_sentences,
)
from runners.report.wording import EXACTLY_ZERO, SOURCES, variance_grid
from runners.spec import VARIES

ACCURACIES = [0.893, 0.889, 0.902, 0.897, 0.885]
LOSSES = [0.31, 0.29, 0.30, 0.33, 0.28]


@pytest.fixture
def runs(make_record):
    """A runs table of one contender; `changed` maps a seed to another ending."""

    def table(contender="keras", track="matched", seeds=range(5), changed=None, accuracies=ACCURACIES):
        numbers = [{"test_accuracy": accuracies[seed], "test_loss": LOSSES[seed]} for seed in seeds]
        given = [{**told, **(changed or {}).get(seed, {})} for seed, told in zip(seeds, numbers, strict=True)]
        return runs_table(
            [make_record(contender, seed, track, **told) for seed, told in zip(seeds, given, strict=True)]
        )

    return table


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


def test_mean_sd_and_interval_are_those_of_the_completed_runs(runs):
    row = variance_table({"all": runs()}).set_index("metric").loc["test_loss"]
    assert row["mean"] == pytest.approx(np.mean(LOSSES))
    assert row["sd"] == pytest.approx(np.std(LOSSES, ddof=1))
    interval = [np.std(LOSSES, ddof=1) * math.sqrt(4 / stats.chi2.ppf(q, 4)) for q in (0.975, 0.025)]
    assert [row["sd_ci95_low"], row["sd_ci95_high"]] == pytest.approx(interval)
    assert (row["vary"], row["contender"], row["track"], row["n"]) == ("all", "keras", "matched", 5)


def test_there_is_a_row_for_each_source_contender_track_and_metric(runs):
    both = pd.concat([runs("torch"), runs("keras"), runs("keras", "native")])
    table = variance_table({"nothing": runs("torch"), "all": both})
    metrics = ["test_accuracy", "test_loss"]
    groups = [("all", "torch", "matched"), ("all", "keras", "matched"), ("all", "keras", "native")]
    expected = [(*group, metric) for group in [*groups, ("nothing", "torch", "matched")] for metric in metrics]
    assert list(table[["vary", "contender", "track", "metric"]].itertuples(index=False, name=None)) == expected


@pytest.mark.parametrize("status", ["failed", "diverged", "oom"])
def test_what_did_not_complete_is_counted_beside_n_and_in_no_number(runs, status):
    row = variance_table({"all": runs(changed={2: {"status": status, "test_accuracy": 0.1}})}).iloc[0]
    assert (row["n"], row["failed"] + row["diverged"] + row["oom"], row[status]) == (4, 1, 1)
    rest = np.delete(ACCURACIES, 2)
    assert (row["mean"], row["sd"]) == pytest.approx((rest.mean(), rest.std(ddof=1)))


@pytest.mark.parametrize(("n", "numbers"), [(0, 0), (1, 1), (2, 4)])
def test_one_run_has_no_sd_and_none_not_even_a_mean(runs, n, numbers):
    failed = {seed: {"status": "failed"} for seed in range(n, 5)}
    row = variance_table({"all": runs(changed=failed)}).iloc[0]
    assert row["n"] == n
    assert row[["mean", "sd", "sd_ci95_low", "sd_ci95_high"]].notna().sum() == numbers


def test_runs_that_came_out_the_same_have_an_sd_of_exactly_0_and_others_never(runs):
    same, almost = [0.1] * 5, [0.1, 0.1, math.nextafter(0.1, 1), 0.1, 0.1]
    row, other = (variance_table({"nothing": runs(accuracies=values)}).iloc[0] for values in (same, almost))
    assert (row["sd"], row["sd_ci95_low"], row["sd_ci95_high"]) == (0, 0, 0)
    assert 0 < other["sd_ci95_low"] < other["sd"] < 1e-16
    spreads = [variance_grid(pd.DataFrame([each]))[1][5] for each in (row, other)]
    assert spreads[0] == "exactly 0"
    assert float(spreads[1]) == pytest.approx(other["sd"], rel=0.05)


def test_without_runs_there_is_a_table_without_rows():
    table = variance_table({"all": runs_table([])})
    assert (len(table), list(table.columns)[:3]) == (0, ["vary", "contender", "track"])


# For people


def test_every_source_has_words():
    assert tuple(SOURCES) == VARIES


def test_a_row_reads_as_it_is(runs):
    heading, row, _ = variance_grid(variance_table({"init": runs(changed={2: {"status": "failed"}})}))
    assert heading == ("what varied", "contender", "metric", "runs", "mean", "SD over runs", "95 % interval of the SD")
    assert row[:6] == ("initial weights only", "keras, matched", "test accuracy", "4, 1 failed", "0.8910", "0.0052")
    assert row[6] == "[0.0029, 0.019]"


def test_what_is_not_there_is_a_dash(runs):
    (_, row, _) = variance_grid(variance_table({"all": runs(changed={s: {"status": "oom"} for s in range(5)})}))
    assert row[3:] == ("0, 5 oom", "-", "-", "-")


@pytest.mark.parametrize("same", [True, False])
def test_the_page_says_of_an_sd_of_0_that_it_is_no_rounding(study_folder, same):
    changed = {f"torch-matched-seed{n}": {"test_accuracy": 0.9, "test_loss": 0.3} for n in range(5)} if same else {}
    page = render(assemble(study_folder(vary="nothing", changed=changed)))
    assert (EXACTLY_ZERO in page) == ('<td class="n">exactly 0</td>' in page) == same


# Several folders


def test_a_report_s_table_is_that_of_its_folder_alone(folders):
    (folder,) = folders(a={"vary": "order"})
    build(folder)
    runs, unreadable = read_sources([folder])
    assert unreadable == []
    written = pd.read_parquet(folder / "tables" / "variance.parquet")
    pd.testing.assert_frame_equal(written, variance_table(runs), check_dtype=False)
    assert set(written["vary"]) == {"order"}


def test_each_folder_is_a_source_whatever_its_seeds_and_the_order_of_the_folders(folders):
    made = folders(
        b={"vary": "nothing", "seeds": range(3)},
        a={"vary": "all"},
        c={"vary": "init", "seeds": (7, 8), "contenders": ("keras", "torch")},
    )
    runs, _ = read_sources(made)
    table = variance_table(runs)
    assert list(table["vary"].unique()) == ["all", "init", "nothing"]
    assert dict(zip(table["vary"], table["n"], strict=True)) == {"all": 5, "init": 2, "nothing": 3}


def test_a_file_that_is_no_record_is_told(folders):
    one, other = folders(a={}, b={"vary": "init"})
    path = other / "runs" / "torch-matched-seed1.json"
    path.write_text("{")
    runs, unreadable = read_sources([one, other])
    assert [item.path for item in unreadable] == [path]
    assert len(runs["init"]) == 9


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


# How precise, and how misleading


def test_how_the_interval_shrinks_and_how_many_runs_a_precision_takes_is_told(runs):
    (told,) = precision_sentences(runs(changed={2: {"status": "failed"}}), wanted=0.001)
    rest = np.delete(ACCURACIES, 2)
    half = stats.t.ppf(0.975, 9) * rest.std(ddof=1) / math.sqrt(10)
    assert f"{100 * half:.2f} with 10, " in told
    needed = math.ceil((stats.t.ppf(0.975, 3) * rest.std(ddof=1) / 0.001) ** 2)
    assert told.endswith(f"with 100 runs; +-0.1 takes {needed} runs.")
    assert precision_sentences(runs(seeds=[0])) == precision_sentences(runs_table([])) == []


def test_the_chance_that_one_run_each_picks_the_wrong_winner_has_its_interval(runs):
    ahead = [0.899, 0.891, 0.900, 0.898, 0.894]
    (told,) = wrong_winner_sentences(pd.concat([runs("keras"), runs("torch", accuracies=ahead)]))
    u = stats.mannwhitneyu(ACCURACIES, ahead).statistic / 25
    assert told.startswith(
        "torch is ahead of keras in mean accuracy (matched); one run each picks the wrong winner in "
    )
    assert f" {100 * u:.0f} % of cases [" in told
    assert wrong_winner_sentences(runs("keras")) == []


def test_what_is_left_beyond_the_choice_of_test_images_is_told_though_it_be_negative(runs):
    table, labels = runs(), np.zeros(400, int)
    rng = np.random.default_rng(0)
    differing = {run_id: (rng.random(400) < 0.05 + 0.1 * i) for i, run_id in enumerate(table["run_id"])}
    (told,) = beyond_images_sentences(table, differing, labels)
    right = np.array([~predicted for predicted in differing.values()])
    covariances = np.cov(right.T.astype(float))
    left = (covariances.sum() - np.trace(covariances)) / (400 * 399)
    assert f"over 5 runs {100 * right.mean(axis=1).std(ddof=1):.3f} percentage points on these 400 test images" in told
    assert f", {100 * math.sqrt(left):.3f} on endless ones; " in told
    assert f"worth {100 * math.sqrt(right.mean() * (1 - right.mean()) / 400):.3f} to any accuracy." in told
    level = {run_id: np.roll(np.arange(400) < 40, 40 * i) for i, run_id in enumerate(table["run_id"])}
    assert "on endless ones a variance estimated as -" in beyond_images_sentences(table, level, labels)[0]
    assert beyond_images_sentences(table, {}, labels) == []
