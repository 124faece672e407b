"""Speed-up and efficiency, held against SciPy on numbers that are known, and told on screen and page."""

from io import StringIO

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from runners.report.build import assemble, build
from runners.report.output.terminal import show
from runners.report.plots import save
from runners.report.sections.scaling import (
    READING,
    _loops,
    scaling_plot,
    scaling_points,
    scaling_sentences,
    scaling_table,
)
from runners.report.tables import runs_table
from tests.runners.report.conftest import cells

# Seconds of training without the first step, of runs of 2 epochs of 1280 images, seed by seed.
SECONDS = {
    "torch": (10.0, 11.0, 9.5, 10.5, 12.0),
    "torch:ddp:2": (6.0, 6.4, 5.9, 6.1, 7.5),
    "torch:ddp:4": (4.0, 4.1, 4.3, 3.9, 4.4),
}
SETTINGS = {"limit_train": 1280, "batch_size": 64}


@pytest.fixture
def table(make_record, make_plan):
    """The scaling table of made-up records; `changed` run ids get what they map to."""

    def make(contenders=tuple(SECONDS), *, seeds=range(5), changed=None, **given):
        plan = make_plan(contenders=contenders, seeds=seeds, **SETTINGS | given)
        records = []
        for contender, track, seed in [(c, t, s) for t in plan.tracks for c in plan.contenders for s in plan.seeds]:
            weak = contender.replicas if plan.scaling == "weak" else 1
            batch = {"limit_train": plan.limit_train, "batch_size": plan.batch_size * weak}
            seconds = SECONDS.get(str(contender), SECONDS["torch"])[seed]
            run = f"{str(contender).replace(':', '-')}-{track}-seed{seed}"
            record = make_record(
                str(contender), seed, track, **batch, **{"train_seconds": seconds, **(changed or {}).get(run, {})}
            )
            records.append(record)
        return scaling_table(runs_table(records, plan.target_accuracy), plan)

    return make


def by_hand(contender, images, its_images, replicas):
    """Speed-up and efficiency with the 95 % interval of SciPy's one-sample t test on the logarithms of ratios."""
    ratios = np.log((images / np.array(SECONDS[contender])) / (its_images / np.array(SECONDS["torch"])))
    interval = stats.ttest_1samp(ratios, 0).confidence_interval(0.95)
    speedup = np.exp([ratios.mean(), interval.low, interval.high])
    return speedup, speedup / replicas


FIGURES = ("", "_ci95_low", "_ci95_high")


@pytest.mark.parametrize("scaling", ["strong", "weak"])
@pytest.mark.parametrize(("contender", "replicas"), [("torch:ddp:2", 2), ("torch:ddp:4", 4)])
def test_speed_up_and_efficiency_are_those_computed_by_hand(table, scaling, contender, replicas):
    row = table(scaling=scaling).set_index("contender").loc[contender]
    batch = 64 * (replicas if scaling == "weak" else 1)
    speedup, efficiency = by_hand(contender, 2 * 1280 - batch, 2 * 1280 - 64, replicas)
    assert [row[f"speedup{figure}"] for figure in FIGURES] == pytest.approx(list(speedup), rel=1e-12)
    assert [row[f"efficiency{figure}"] for figure in FIGURES] == pytest.approx(list(efficiency), rel=1e-12)
    assert (row["baseline"], row["paired"], row["n_compared"], row["global_batch_size"]) == ("torch", True, 5, batch)


def test_in_native_an_equal_seed_number_pairs_nothing(table):
    failed = {"torch-native-seed1": {"status": "failed"}, "torch-ddp-2-native-seed3": {"status": "oom"}}
    row = table(tracks=("native",), changed=failed).set_index("contender").loc["torch:ddp:2"]
    its, ours = (np.log(np.delete(SECONDS[name], seed)) for name, seed in (("torch", 1), ("torch:ddp:2", 3)))
    interval = stats.ttest_ind(its, ours, equal_var=False).confidence_interval(0.95)
    speedup = np.exp([its.mean() - ours.mean(), interval.low, interval.high])
    assert [row[f"speedup{figure}"] for figure in FIGURES] == pytest.approx(list(speedup), rel=1e-12)
    assert (row["paired"], row["n_compared"]) == (False, 4)


def test_in_strong_scaling_the_speed_up_is_the_ratio_of_times(table):
    rows = table().set_index("contender")
    ratios = np.array(SECONDS["torch"]) / np.array(SECONDS["torch:ddp:2"])
    assert rows.loc["torch:ddp:2", "speedup"] == pytest.approx(stats.gmean(ratios), rel=1e-12)


def test_seconds_per_epoch_make_up_for_the_first_step(table):
    row = table(scaling="weak").set_index("contender").loc["torch:ddp:4"]
    seconds = np.array(SECONDS["torch:ddp:4"]) / (2 * 1280 - 256) * 1280
    assert row["epoch_seconds"] == pytest.approx(seconds.mean(), rel=1e-12)
    ends = stats.t.interval(0.95, 4, seconds.mean(), stats.sem(seconds))
    assert (row["epoch_seconds_ci95_low"], row["epoch_seconds_ci95_high"]) == pytest.approx(ends, rel=1e-12)


def test_the_baseline_is_its_own_measure_without_an_interval(table):
    row = table().set_index("contender").loc["torch"]
    assert (row["speedup"], row["efficiency"]) == (1, 1)
    assert np.isnan([row["speedup_ci95_low"], row["efficiency_ci95_high"]]).all()


def test_the_rule_and_the_rate_in_force_are_in_the_table(table):
    rows = table(scaling="weak", lr_rule="linear")
    assert set(rows["scaling"]) == {"weak"}
    assert set(rows["lr_rule"]) == {"linear"}
    assert rows["learning_rate"].tolist() == pytest.approx([0.001, 0.002, 0.004])


def test_only_seeds_that_both_completed_are_pairs(table):
    rows = table(changed={"torch-matched-seed1": {"status": "failed"}, "torch-ddp-2-matched-seed3": {"status": "oom"}})
    row = rows.set_index("contender").loc["torch:ddp:2"]
    kept = [0, 2, 4]
    ratios = np.array(SECONDS["torch"])[kept] / np.array(SECONDS["torch:ddp:2"])[kept]
    assert (row["n"], row["n_compared"]) == (4, 3)
    assert row["speedup"] == pytest.approx(stats.gmean(ratios), rel=1e-12)


def test_without_runs_of_the_baseline_nothing_is_told(table):
    changed = {f"torch-matched-seed{seed}": {"status": "failed"} for seed in range(5)}
    rows = table(("torch", "torch:ddp:2"), changed=changed)
    assert rows["speedup"].isna().all()
    assert scaling_sentences(rows) == []
    assert len(scaling_points(rows)) == 1


def test_the_smallest_contender_is_the_baseline_whatever_the_order(table):
    rows = table(("torch:ddp:4", "torch:ddp:2")).set_index("contender")
    assert set(rows["baseline"]) == {"torch:ddp:2"}
    assert rows.loc["torch:ddp:4", "efficiency"] == pytest.approx(rows.loc["torch:ddp:4", "speedup"] / 2)
    rows = table(("keras", "torch:ddp:1", "torch", "keras:mirrored:2"))
    assert rows["baseline"].tolist() == ["keras", "keras", "torch", "torch"]


def test_a_strategy_of_one_replica_is_the_baseline_where_fit_would_be_another_loop(table):
    rows = table(("keras", "keras:mirrored:2", "keras:mirrored:1")).set_index("contender")
    assert set(rows["baseline"]) == {"keras:mirrored:1"}
    assert rows.loc["keras:mirrored:1", "speedup"] == 1
    assert not np.isnan(rows.loc["keras", "speedup_ci95_low"])
    (warning,) = _loops(table(("keras", "keras:mirrored:2", "torch", "torch:ddp:2")))
    assert (
        "against `keras` a speed-up holds the difference of the loops too; in a study with `keras:mirrored:1`"
        in warning
    )


def test_frameworks_without_a_strategy_have_no_rows(table):
    assert table(("keras", "torch")).empty
    assert set(table(("keras", "torch", "torch:ddp:2"))["framework"]) == {"torch"}


def test_every_track_has_its_rows(table):
    assert table(("torch", "torch:ddp:2"), tracks=("matched", "native"))["track"].tolist() == [
        *("matched", "matched", "native", "native")
    ]


def test_the_time_to_accuracy_is_over_the_runs_that_reached_it(table):
    changed = {f"torch-ddp-2-matched-seed{seed}": {"test_accuracy": 0.8} for seed in (0, 1)}
    rows = table(("torch", "torch:ddp:2"), changed=changed, target_accuracy=0.84)
    assert rows["n_reached"].tolist() == [5, 3]
    assert cells(READING, rows)[2][8].endswith(" (3 of 5 runs)")
    assert table(("torch", "torch:ddp:2"))["seconds_to_accuracy"].isna().all()


def test_few_seeds_are_told_as_a_description(table):
    (told,) = scaling_sentences(table(("torch", "torch:ddp:2"), seeds=range(2)))
    assert told.startswith(
        "matched, strong scaling: torch:ddp:2 trains on 1.69 times as many images a second as torch ["
    )
    assert told.endswith("descriptive only, with 2 seeds (5 are needed).")
    (told,) = scaling_sentences(table(("torch", "torch:ddp:2"), seeds=[0]))
    assert "as torch, an efficiency of 83 %; descriptive" in told


def test_the_plot_is_drawn_from_seconds_and_the_ideal(table):
    points = scaling_plot(table()).data
    first = points.loc[0, "epoch_seconds"]
    assert points["ideal_epoch_seconds"].tolist() == pytest.approx([first, first / 2, first / 4])
    assert scaling_plot(table(("keras", "torch"))) is None


@pytest.mark.parametrize("seeds", [[0], range(5)])
def test_any_strategy_and_copy_can_be_drawn(table, tmp_path, seeds):
    contenders = ("keras", "keras:mirrored:2", "keras:multiworker:2", "torch", "torch#2", "torch:ddp:4")
    assert save(scaling_plot(table(contenders, seeds=seeds, tracks=("matched", "native"))), tmp_path).exists()


@pytest.fixture(scope="module")
def weak_report(make_study_folder, tmp_path_factory):
    contenders, settings = ("torch", "torch:ddp:2", "torch#2"), {"scaling": "weak", "lr_rule": "linear"}
    folder = tmp_path_factory.mktemp("weak")
    return build(make_study_folder(folder, contenders, tracks=("matched", "native"), **settings))


def test_a_weak_study_says_whose_batches_differ_and_pairs_only_equal_ones(weak_report):
    matched = weak_report.comparisons[weak_report.comparisons["track"] == "matched"]
    paired = {(row.a, row.b): row.paired for row in matched.itertuples()}
    assert paired == {("torch", "torch:ddp:2"): False, ("torch", "torch#2"): True, ("torch:ddp:2", "torch#2"): False}
    told = matched.set_index(["a", "b"])["sentence"]
    remark = " Weak scaling: torch had batches of 128 images, torch:ddp:2 of 256."
    assert all(told["torch", "torch:ddp:2"].str.contains(remark))
    assert not told["torch", "torch#2"].str.contains("eak scaling").any()
    (notice,) = [notice for notice in weak_report.notices if "another recipe" in notice]
    assert "torch 128 at a learning rate of 0.001, torch:ddp:2 256 at a learning rate of 0.002" in notice
    assert "the parity audit holds all of them to batches of 128" in notice


def test_agreement_and_the_worth_of_defaults_know_of_other_batches(weak_report):
    what = weak_report.tables["agreement"][weak_report.tables["agreement"]["track"] == "matched"].set_index(["a", "b"])[
        "what"
    ]
    assert what["torch", "torch:ddp:2"] == "same seed, other batches"
    assert what["torch", "torch#2"] == "same seed"
    assert set(weak_report.tables["defaults"][["a", "b"]].itertuples(index=False, name=None)) == {("torch", "torch#2")}
    assert "with batches of different sizes, agree on" in weak_report.page.read_text()


def test_screen_and_page_show_the_scaling(weak_report):
    console = Console(file=StringIO(), width=200, soft_wrap=True)
    show(weak_report, console)
    page = weak_report.page.read_text()
    for shown in (console.file.getvalue(), page):
        assert "speed-up" in shown
        assert "torch:ddp:2, native" in shown
    assert all(sentence in page for sentence in scaling_sentences(weak_report.tables["scaling"]))
    assert (weak_report.folder / "tables" / "scaling.parquet").exists()
    assert 'alt="Training seconds per epoch. torch' in page


def test_on_a_narrow_screen_no_name_is_cut_short(weak_report):
    console = Console(file=StringIO(), width=70)
    show(weak_report, console)
    assert "…" not in console.file.getvalue()


def test_a_strong_study_pairs_replicas_and_one_without_strategies_shows_no_scaling(study_folder, everything):
    report = assemble(study_folder(("torch", "torch:ddp:2")))
    assert report.comparisons["paired"].all()
    assert not report.comparisons["sentence"].str.contains("scaling").any()
    assert not any("recipe" in notice for notice in report.notices)
    assert 'id="scaling"' not in everything.page.read_text()
    assert not (everything.folder / "tables" / "scaling.csv").exists()
