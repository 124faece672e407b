import csv

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from runners.report.sections.agreement import agreement_table
from runners.report.sections.clock import split_clock
from runners.report.sections.comparison.table import comparisons_table
from runners.report.sections.defaults import defaults_table
from runners.report.sections.summary import READING, summary_table
from runners.report.sections.variance import Source, variance_table
from runners.report.sections.wrong_winner import wrong_winner_table
from runners.report.tables import epochs_table, runs_table, write
from tests.runners.report.conftest import cells, made_inputs

# What users' own scripts rely on.
RUNS = (
    "run_id, contender, framework, strategy, replicas, track, seed, status, error, epochs, batch_size, train_loss, "
    "test_loss, test_accuracy, best_test_accuracy, startup_seconds, import_seconds, data_seconds, compile_seconds, "
    "train_seconds, eval_seconds, total_seconds, images_per_second, attempts, node, init_sha256, order_sha256, "
    "seconds_to_accuracy, communication_share, epochs_with_own_order"
)
EPOCHS = (
    "run_id, contender, track, seed, epoch, train_loss, train_accuracy, test_loss, test_accuracy, learning_rate, "
    "train_seconds, eval_seconds"
)
COMPARISONS = (
    "metric, a, b, track, n, paired, difference, ci95_low, ci95_high, ci90_low, ci90_high, margin, p_difference, "
    "p_equivalence, wins, verdict, sentence, primary, win_share, win_share_low, win_share_high, would_change, "
    "win_runs_needed, short, told"
)
AGREEMENT = "track, a, b, what, n, mean, sd, low, high, p_mcnemar_median, p_mcnemar_holm, n_mcnemar_below_05"
DEFAULTS = "metric, a, b, matched, native, only_defaults, ci95_low, ci95_high, n_matched, n_native, sentence"
VARIANCE = (
    "vary, contender, track, metric, n, failed, diverged, oom, mean, sd, sd_ci95_low, sd_ci95_high, half_width, "
    "wanted_half_width, runs_for_wanted, images, sampling_error, distribution_variance, distribution_sd"
)
WRONG_WINNER = (
    "vary, track, better, worse, n_better, n_worse, difference, wrong_winner, wrong_winner_low, wrong_winner_high"
)
PROMISED = {
    "runs": RUNS,
    "epochs": EPOCHS,
    "comparisons": COMPARISONS,
    "agreement": AGREEMENT,
    "defaults": DEFAULTS,
    "variance": VARIANCE,
    "wrong_winner": WRONG_WINNER,
}
TABLES = [*PROMISED, "summary"]


def both_files(folder, name):
    return pd.read_csv(folder / f"{name}.csv"), pd.read_parquet(folder / f"{name}.parquet")


@pytest.mark.parametrize(("name", "columns"), PROMISED.items())
def test_a_table_has_exactly_the_promised_columns_in_their_order(everything, name, columns):
    for table in both_files(everything.folder / "tables", name):
        assert list(table.columns) == columns.split(", ")


@pytest.mark.parametrize("name", TABLES)
def test_csv_and_parquet_say_the_same(everything, name):
    from_csv, from_parquet = both_files(everything.folder / "tables", name)
    assert len(from_csv) > 0
    pd.testing.assert_frame_equal(from_csv, from_parquet, check_dtype=False, check_exact=True)


def test_a_study_without_records_has_tables_that_can_be_read(make_plan, tmp_path):
    inputs = made_inputs(make_plan(), [])
    made = {"runs": inputs.runs, "epochs": inputs.epochs, "comparisons": comparisons_table(inputs)}
    made["agreement"], made["defaults"] = agreement_table(inputs), defaults_table(inputs)
    sources = {"all": Source(inputs.runs)}
    made["variance"], made["wrong_winner"] = variance_table(sources), wrong_winner_table(sources)
    for name, table in made.items():
        write(table, tmp_path, name)
        from_csv, from_parquet = both_files(tmp_path, name)
        assert list(from_csv.columns) == list(from_parquet.columns) == list(table.columns)
        assert len(from_csv) == len(from_parquet) == len(table)


def test_a_study_without_records_has_a_summary_that_can_be_read(make_record, tmp_path):
    write(summary_table(runs_table([])), tmp_path, "summary")
    for table in both_files(tmp_path, "summary"):
        assert list(table.columns) == list(summary_table(runs_table([make_record()])).columns)


def test_a_completed_run_s_row_says_what_its_record_says(make_record):
    record = make_record("keras:mirrored:2", 7, epochs=3, batch_size=64)
    row = runs_table([record]).iloc[0]
    last = record.epochs[-1]
    assert row["run_id"] == "keras-mirrored-2-matched-seed7"
    assert (row["contender"], row["framework"], row["strategy"]) == ("keras:mirrored:2", "keras", "mirrored")
    assert (row["replicas"], row["track"], row["seed"], row["epochs"], row["batch_size"]) == (2, "matched", 7, 3, 64)
    assert (row["train_loss"], row["test_loss"]) == (last.train_loss, last.test_loss)
    assert row["test_accuracy"] == last.test_accuracy
    assert row["best_test_accuracy"] == max(epoch.test_accuracy for epoch in record.epochs) > row["test_accuracy"]
    for stage in ("startup", "import", "data", "compile", "train", "eval", "total"):
        assert row[f"{stage}_seconds"] == getattr(record.clock, f"{stage}_seconds")
    assert (row["attempts"], row["node"]) == (1, "node-1")
    assert (row["init_sha256"], row["order_sha256"]) == ("a1" * 32, "b2" * 32)


def test_a_failed_run_has_a_row_with_its_error_and_no_numbers(make_record):
    row = runs_table([make_record(status="failed", error="Traceback\n  it broke")]).iloc[0]
    assert (row["status"], row["error"], row["epochs"]) == ("failed", "Traceback\n  it broke", 0)
    numbers = ["train_loss", "test_accuracy", "best_test_accuracy", "train_seconds", "images_per_second"]
    assert row[numbers].isna().all()


def test_images_per_second_leaves_out_the_first_step_which_the_compile_clock_has(make_record):
    record = make_record(epochs=3, limit_train=6_000, batch_size=100, train_seconds=4.0)
    assert runs_table([record])["images_per_second"][0] == (3 * 6_000 - 100) / 4.0


@pytest.mark.parametrize("given", [{"batch_size": 100}, {"batch_size": 50, "train_seconds": 0.0}])
def test_a_run_that_trained_no_further_than_its_first_step_has_no_speed(make_record, given):
    record = make_record(epochs=1, limit_train=100, **given)
    assert runs_table([record])["images_per_second"].isna().all()


def test_the_seconds_to_an_accuracy_are_those_of_training_until_it_is_first_reached(make_record):
    record = make_record(epochs=4, test_accuracies=[0.85, 0.9, 0.88, 0.91])
    first, second, *_ = (row.train_seconds for row in record.epochs)
    for target, seconds in ((0.85, first), (0.8501, first + second), (0.9, first + second)):
        assert runs_table([record], target)["seconds_to_accuracy"][0] == seconds
    whole = sum(row.train_seconds for row in record.epochs)
    assert runs_table([record], 0.91)["seconds_to_accuracy"][0] == whole == record.clock.train_seconds


def test_an_accuracy_never_reached_or_never_declared_took_no_time_that_could_be_told(make_record):
    records = [make_record(test_accuracies=[0.85, 0.9]), make_record(seed=1, status="failed")]
    for table in (runs_table(records, 0.901), runs_table(records), runs_table(records[1:], 0.1), runs_table([], 0.1)):
        assert table["seconds_to_accuracy"].dtype == float
        assert table["seconds_to_accuracy"].isna().all()


def test_the_epochs_table_has_a_row_for_every_epoch_of_every_run(make_record):
    records = [make_record("keras", 1, epochs=3), make_record("torch", 2, "native"), make_record(status="failed")]
    table = epochs_table(records)
    assert list(table["epoch"]) == [1, 2, 3, 1, 2]
    assert list(table["contender"]) == ["keras"] * 3 + ["torch"] * 2
    assert list(table["seed"]) == [1, 1, 1, 2, 2]
    assert list(table["test_loss"]) == [row.test_loss for record in records for row in record.epochs]


def test_only_completed_runs_are_on_the_clock(make_record):
    runs = [make_record(train_seconds=7.0), make_record(seed=1, status="diverged"), make_record(seed=2, status="oom")]
    data = split_clock(runs).data.set_index("stage")
    assert (data.loc["train", "runs"], data.loc["train", "mean_seconds"]) == (1, 7.0)


def test_runs_that_did_not_complete_are_counted_and_kept_out_of_the_means(make_record):
    endings = ["completed", "failed", "diverged", "completed", "oom", "diverged", "completed"]
    records = [make_record(seed=seed, status=status) for seed, status in enumerate(endings)]
    row = summary_table(runs_table(records)).iloc[0]
    assert (row["n"], row["failed"], row["diverged"], row["oom"]) == (3, 1, 2, 1)
    accuracies = [records[seed].epochs[-1].test_accuracy for seed in (0, 3, 6)]
    assert row["test_accuracy_mean"] == pytest.approx(np.mean(accuracies))


def test_mean_sd_and_interval_are_those_of_numpy_and_scipy(make_record):
    records = [make_record(seed=seed, epochs=4) for seed in range(6)]
    row = summary_table(runs_table(records)).iloc[0]
    for column, values in {
        "test_accuracy": [record.epochs[-1].test_accuracy for record in records],
        "train_loss": [record.epochs[-1].train_loss for record in records],
        "train_seconds": [record.clock.train_seconds for record in records],
        "seconds_per_epoch": [record.clock.train_seconds / 4 for record in records],
        "images_per_second": [(4 * 60_000 - 128) / record.clock.train_seconds for record in records],
    }.items():
        interval = stats.t.interval(0.95, 5, np.mean(values), stats.sem(values))
        assert row[f"{column}_mean"] == pytest.approx(np.mean(values))
        assert row[f"{column}_sd"] == pytest.approx(np.std(values, ddof=1))
        assert (row[f"{column}_ci95_low"], row[f"{column}_ci95_high"]) == pytest.approx(interval)


def test_beside_the_mean_accuracy_stands_what_the_choice_of_test_images_leaves_open(make_record):
    records = [make_record(test_accuracy=accuracy, seed=seed) for seed, accuracy in enumerate((0.89, 0.91))]
    summary = summary_table(runs_table([*records, make_record("torch", status="failed")]))
    assert summary["test_accuracy_sampling_error"][0] == pytest.approx(0.0030)
    assert np.isnan(summary["test_accuracy_sampling_error"][1])
    assert [row[3] for row in cells(READING, summary)] == ["its test-sampling error", "0.0030", "-"]


def test_one_run_has_a_mean_and_neither_spread_nor_interval(make_record):
    row = summary_table(runs_table([make_record(test_accuracy=0.9)])).iloc[0]
    assert row["test_accuracy_mean"] == 0.9
    assert row[["test_accuracy_sd", "test_accuracy_ci95_low", "test_accuracy_ci95_high"]].isna().all()


def test_a_contender_without_a_completed_run_is_in_the_summary_all_the_same(make_record):
    summary = summary_table(runs_table([make_record("keras"), make_record("torch", status="failed")]))
    assert list(summary["contender"]) == ["keras", "torch"]
    assert list(summary["n"]) == [1, 0]
    assert np.isnan(summary["test_accuracy_mean"][1])


def test_each_track_of_a_contender_is_summarised_by_itself(make_record):
    records = [make_record(track=track, test_accuracy=value) for track, value in (("matched", 0.8), ("native", 0.9))]
    summary = summary_table(runs_table(records))
    assert dict(zip(summary["track"], summary["test_accuracy_mean"], strict=True)) == {"matched": 0.8, "native": 0.9}


def test_an_error_of_many_lines_and_signs_survives_the_csv(make_record, tmp_path):
    error = 'Traceback:\n  "quoted", with, commas\n\tand ünïcode\n'
    write(runs_table([make_record(status="failed", error=error)]), tmp_path, "runs")
    for table in both_files(tmp_path, "runs"):
        assert table["error"][0] == error


def test_wins_are_whole_numbers_though_native_has_none(everything):
    with (everything.folder / "tables" / "comparisons.csv").open() as file:
        wins = [row["wins"] for row in csv.DictReader(file)]
    assert [text.isdecimal() for text in wins[:4]] == [True] * 4
    assert wins[4:] == [""] * 4
