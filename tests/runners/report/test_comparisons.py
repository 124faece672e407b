import numpy as np
import pandas as pd
import pytest
from scipy import stats

from runners.report.sections.comparison.section import COLUMNS
from runners.report.sections.comparison.table import any_differ, comparisons_table
from runners.report.statistics.shares import noether_pairs
from tests.runners.report.conftest import cells, made_inputs

METRICS = ["test_accuracy", "test_loss", "train_seconds", "total_seconds"]
ACCURACIES = {
    "keras": [0.893, 0.889, 0.902, 0.897, 0.885, 0.891, 0.899, 0.888],
    "torch": [0.887, 0.891, 0.894, 0.890, 0.884, 0.886, 0.901, 0.882],
}
SECONDS = {
    "keras": [30.1, 31.4, 29.9, 30.6, 33.0, 30.4, 31.1, 30.0],
    "torch": [29.0, 30.9, 30.2, 29.8, 30.1, 30.6, 29.9, 28.8],
}
LOSSES = {
    "keras": [0.301, 0.312, 0.290, 0.305, 0.322, 0.310, 0.295, 0.318],
    "torch": [0.309, 0.308, 0.297, 0.304, 0.315, 0.321, 0.291, 0.327],
}
TOTALS = {"keras": np.array(SECONDS["keras"]) + 9.5, "torch": np.array(SECONDS["torch"]) + 6.0}


@pytest.fixture
def study(make_record, make_plan):
    """The comparisons of runs whose numbers are above; `changed` maps a contender and seed to another ending."""

    def compared(seeds=None, track="matched", contenders=("keras", "torch"), changed=None, **plan):
        records = [
            make_record(
                contender, seed, track, **{**numbers(contender, seed), **(changed or {}).get((contender, seed), {})}
            )
            for contender in contenders
            for seed in (seeds or {}).get(contender, range(8))
        ]
        declared = make_plan(contenders=contenders, tracks=(track,), **plan)
        return comparisons_table(made_inputs(declared, records))

    return compared


def numbers(contender, seed):
    return {
        "test_accuracy": ACCURACIES[contender][seed],
        "test_loss": LOSSES[contender][seed],
        "train_seconds": SECONDS[contender][seed],
        "total_seconds": TOTALS[contender][seed],
    }


def of(table, metric="test_accuracy"):
    return table.set_index("metric").loc[metric]


def test_every_pair_is_compared_on_every_metric_the_primary_one_first(make_plan):
    plan = make_plan(contenders=("torch", "keras", "keras:mirrored:2"), tracks=("native", "matched"))
    table = comparisons_table(made_inputs(plan, []))
    pairs = [("torch", "keras"), ("torch", "keras:mirrored:2"), ("keras", "keras:mirrored:2")]
    expected = [(track, *pair, metric) for track in ("native", "matched") for pair in pairs for metric in METRICS]
    assert list(table[["track", "a", "b", "metric"]].itertuples(index=False, name=None)) == expected


def test_one_contender_is_compared_with_nothing(study):
    table = study(contenders=("keras",))
    assert len(table) == 0
    assert list(table.columns)[:3] == ["metric", "a", "b"]


def test_matched_runs_pair_by_the_seeds_that_both_have(study):
    row = of(study({"keras": [0, 1, 2, 3, 4, 6], "torch": [7, 6, 4, 3, 2, 1]}))
    both = [1, 2, 3, 4, 6]
    a, b = (np.array(ACCURACIES[name])[both] for name in ("keras", "torch"))
    test = stats.ttest_rel(b, a)
    assert (row["n"], row["paired"]) == (5, True)
    assert row["difference"] == pytest.approx((b - a).mean())
    assert (row["ci95_low"], row["ci95_high"]) == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert (row["ci90_low"], row["ci90_high"]) == pytest.approx(tuple(test.confidence_interval(0.90)))
    assert row["p_difference"] == pytest.approx(test.pvalue)


def test_native_runs_do_not_pair_and_all_of_them_count(study):
    row = of(study({"keras": range(6), "torch": range(2, 8)}, track="native"))
    test = stats.ttest_ind(ACCURACIES["torch"][2:], ACCURACIES["keras"][:6], equal_var=False)
    assert (row["n"], row["paired"]) == (6, False)
    assert pd.isna(row["wins"])
    assert row["difference"] == pytest.approx(np.mean(ACCURACIES["torch"][2:]) - np.mean(ACCURACIES["keras"][:6]))
    assert (row["ci95_low"], row["ci95_high"]) == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert row["p_difference"] == pytest.approx(test.pvalue)


def test_native_and_matched_runs_are_never_mixed(make_record, make_plan):
    records = [make_record("keras", 0, "matched"), make_record("torch", 0, "native")]
    table = comparisons_table(made_inputs(make_plan(tracks=("matched", "native")), records))
    assert list(table["n"]) == [0] * 8
    assert table["difference"].isna().all()


def test_a_time_is_compared_as_a_ratio(study):
    row = of(study(), "train_seconds")
    logs = np.log(SECONDS["torch"]) - np.log(SECONDS["keras"])
    interval = stats.t.interval(0.95, 7, logs.mean(), stats.sem(logs))
    assert row["difference"] == pytest.approx(np.exp(logs.mean()))
    assert (row["ci95_low"], row["ci95_high"]) == pytest.approx(tuple(np.exp(interval)))
    assert row["margin"] == 1.05


def alone(values):
    """The p value of paired ratios."""
    return stats.ttest_rel(np.log(values["keras"]), np.log(values["torch"])).pvalue


def holm_by_hand(p):
    """The corrected p values of these, by name."""
    corrected, at_least = {}, 0.0
    for left, name in zip(range(len(p), 0, -1), sorted(p, key=p.get), strict=True):
        at_least = max(at_least, min(1, left * p[name]))
        corrected[name] = at_least
    return corrected


def test_only_the_secondary_p_values_are_holm_corrected(study):
    table = study()
    raw = {"test_loss": LOSSES, "train_seconds": SECONDS, "total_seconds": TOTALS}
    for name, p in holm_by_hand({name: alone(values) for name, values in raw.items()}).items():
        assert of(table, name)["p_difference"] == pytest.approx(p)
    primary = stats.ttest_rel(ACCURACIES["keras"], ACCURACIES["torch"]).pvalue
    assert of(table)["p_difference"] == pytest.approx(primary)


@pytest.mark.parametrize("changed", [{}, {("keras", 3): {"epochs": 3}}], ids=["equal epochs", "one stops early"])
def test_images_per_second_are_training_times_turned_over_and_no_comparison_of_their_own(study, changed):
    table = study(changed=changed)
    assert list(table["metric"]) == METRICS
    raw = {"test_loss": LOSSES, "train_seconds": SECONDS, "total_seconds": TOTALS}
    for name, p in holm_by_hand({name: alone(values) for name, values in raw.items()}).items():
        assert of(table, name)["p_difference"] == pytest.approx(p), name


@pytest.fixture
def slower(study):
    """The comparisons where keras trains slower by so much (a log) at this t value, and all else is the same."""

    def compared(by, t, **given):
        shape = np.array([-1.5, -1.0, -0.5, -0.2, 0.2, 0.5, 1.0, 1.5])
        logs = by + shape / shape.std(ddof=1) * by / t * np.sqrt(8)
        same = {"test_accuracy": 0.9, "test_loss": 0.3, "total_seconds": 60.0}
        return study(
            changed={
                (name, seed): {**same, "train_seconds": 30.0 * (np.exp(logs[seed]) if name == "keras" else 1)}
                for name in ("keras", "torch")
                for seed in range(8)
            },
            **given,
        )

    return compared


MAY_DIFFER = "may differ: not settled after correcting for {} metrics."


def test_a_difference_that_only_the_uncorrected_interval_shows_may_differ(slower):
    row = of(slower(0.06, t=2.72), "train_seconds")  # p = 0.03, and of three tests 0.09
    assert row["p_difference"] == pytest.approx(3 * stats.t.sf(2.72, 7) * 2)
    assert row["ci95_high"] < 1  # alone it would differ
    assert (row["verdict"], row["short"]) == ("inconclusive", f"Training time {MAY_DIFFER.format(3)}")
    assert row["sentence"].startswith(f"Training time {MAY_DIFFER.format(3)} Over 8 pairs of runs, torch takes 5.8 %")
    smaller = of(slower(0.02, t=2.72), "train_seconds")
    assert (smaller["verdict"], "detectable" in smaller["sentence"]) == ("equivalent", False)
    assert "detectable" in of(slower(0.02, t=6.0), "train_seconds")["sentence"]


def test_a_difference_beyond_the_margin_that_does_not_survive_the_correction_may_differ_too(slower):
    strict = of(slower(0.06, t=2.72, time_margin=1.001), "train_seconds")
    assert strict["ci95_high"] < 1 / 1.001  # alone it would be beyond the margin
    assert (strict["verdict"], strict["short"]) == ("inconclusive", f"Training time {MAY_DIFFER.format(3)}")
    assert of(slower(0.06, t=6.0, time_margin=1.001), "train_seconds")["verdict"] == "better"


def test_the_number_of_metrics_is_that_of_the_tests_that_were_made(slower):
    with_target = of(slower(0.06, t=2.72, target_accuracy=0.5), "train_seconds")
    assert with_target["short"].endswith("correcting for 4 metrics.")
    unreached = of(slower(0.06, t=2.72, target_accuracy=0.99), "train_seconds")  # which is no test
    assert unreached["short"].endswith("correcting for 3 metrics.")


def test_what_survives_the_correction_and_what_tells_of_no_difference_says_nothing_of_it(slower):
    for table in (slower(0.06, t=6.0), slower(0.06, t=1.5), slower(0.06, t=2.72, vary="nothing")):
        assert not table["sentence"].str.contains("correcting").any()
    assert of(slower(0.06, t=6.0), "train_seconds")["verdict"] == "different"


def test_the_primary_metric_is_not_corrected_and_says_nothing_of_it(study):
    gaps = 0.006 + np.array([-1.5, -1.0, -0.5, -0.2, 0.2, 0.5, 1.0, 1.5]) * 0.006
    ahead = {("keras", seed): {"test_accuracy": ACCURACIES["torch"][seed] + gaps[seed]} for seed in range(8)}
    row = of(study(changed=ahead))
    assert (row["verdict"], 0.02 < row["p_difference"] < 0.05) == ("different", True)
    assert "correcting" not in row["sentence"]


def judged(*rows):
    """A comparisons table of these verdicts and p values of primary metrics."""
    return pd.DataFrame([{"primary": True, "verdict": kind, "p_difference": p} for kind, p in rows])


def test_contenders_differ_if_a_verdict_says_so_whose_p_value_holds_for_all_pairs_at_once():
    assert any_differ(judged(("different", 0.04)))
    assert any_differ(judged(("better", 0.0)))
    assert not any_differ(judged(("different", 0.04), ("inconclusive", 0.5)))
    assert any_differ(judged(("different", 0.024), ("inconclusive", 0.5)))
    assert any_differ(judged(("different", 0.04), ("better", 0.02)))  # Holm's second step
    assert any_differ(judged(("different", 0.04), ("descriptive", 0.5), ("descriptive", None)))  # which are no tests
    assert not any_differ(judged(("equivalent", 0.001)))
    assert not any_differ(judged(("descriptive", 0.001), ("descriptive", None)))
    assert not any_differ(judged(("different", 0.001)).assign(primary=False))


def test_one_contender_differs_from_nothing(study):
    assert not any_differ(study(contenders=("keras",)))


def test_a_correction_stays_within_its_pair_and_track(study, make_record, make_plan):
    both = []
    for track in ("matched", "native"):
        for name in ("keras", "torch"):
            for seed in range(8):
                both.append(make_record(name, seed, track, train_seconds=SECONDS[name][seed], total_seconds=50 + seed))
    together = comparisons_table(made_inputs(make_plan(tracks=("matched", "native")), both))
    alone = comparisons_table(made_inputs(make_plan(tracks=("matched",)), both))
    assert together["p_difference"][:4].equals(alone["p_difference"])


@pytest.mark.parametrize("status", ["failed", "diverged", "oom"])
def test_a_run_that_did_not_complete_is_in_no_mean_and_its_seed_in_no_pair(study, status):
    row = of(study(changed={("keras", 2): {"status": status}}))
    rest = [seed for seed in range(8) if seed != 2]
    assert row["n"] == 7
    assert row["difference"] == pytest.approx(np.mean([ACCURACIES["torch"][s] - ACCURACIES["keras"][s] for s in rest]))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("changed", "more_wins"),
    [
        ({}, 0),
        (
            {("keras", 0): {"status": "failed"}},
            {"test_accuracy": 1, "test_loss": 1},
        ),  # torch is behind at seed 0, and faster
        ({("torch", 1): {"status": "diverged"}}, -1),  # torch is ahead at seed 1 in all
        ({("keras", 1): {"status": "oom"}}, 0),  # lost already
        (
            {("keras", 0): {"status": "failed"}, ("torch", 0): {"status": "failed"}},
            {"train_seconds": -1, "total_seconds": -1},
        ),  # a tie
    ],
    ids=["none fails", "a fails where it won", "b fails where it won", "a fails where it lost", "both fail"],
)
def test_in_wins_a_run_that_did_not_complete_is_a_loss(study, metric, changed, more_wins):
    seconds = {"train_seconds": SECONDS, "total_seconds": TOTALS}
    values = {"test_accuracy": ACCURACIES, "test_loss": LOSSES, **seconds}[metric]
    a, b = np.array(values["keras"]), np.array(values["torch"])
    won = (b > a if metric == "test_accuracy" else b < a).sum()
    more = more_wins if isinstance(more_wins, int) else more_wins.get(metric, 0)
    assert of(study(changed=changed), metric)["wins"] == won + more


def test_a_run_that_was_never_done_is_no_loss(study):
    assert ACCURACIES["keras"][0] > ACCURACIES["torch"][0]
    assert of(study({"keras": range(1, 8)}))["wins"] == of(study())["wins"]
    assert of(study({"torch": [0, 2, 3, 4, 5, 6, 7]}))["wins"] == of(study())["wins"] - 1


def test_the_time_to_an_accuracy_is_compared_only_if_one_is_declared(study, make_record):
    assert "seconds_to_accuracy" not in list(study()["metric"])
    row = of(study(target_accuracy=0.88), "seconds_to_accuracy")  # all reach it after their first epoch
    first = {
        name: [make_record(name, seed, **numbers(name, seed)).epochs[0].train_seconds for seed in range(8)]
        for name in ("keras", "torch")
    }
    assert row["difference"] == pytest.approx(stats.gmean(first["torch"]) / stats.gmean(first["keras"]))
    assert (row["n"], row["margin"]) == (8, 1.05)
    assert row["wins"] == np.less(first["torch"], first["keras"]).sum()
    assert row["sentence"].startswith("Time to 88 % test accuracy: ")


def test_a_run_that_never_reached_the_target_is_in_no_mean_and_lost(study):
    table = study(target_accuracy=0.8855)  # keras misses it at seed 4, torch at 4 and 7
    row = of(table, "seconds_to_accuracy")
    assert (row["n"], row["verdict"]) == (6, "descriptive")
    assert "never reached it: 1 run of keras and 2 runs of torch. Of those that did: Over 6 pairs" in row["sentence"]
    numbers_of_survivors = ["difference", "ci95_low", "ci95_high", "ci90_low", "ci90_high", "p_equivalence"]
    assert row[[*numbers_of_survivors, "p_difference"]].isna().all()
    without = study()  # in the family of the others it counts for nothing
    assert table["p_difference"][:4].equals(without["p_difference"])
    turned = {"contenders": ("torch", "keras")}  # so that the wins are those of keras, to which torch loses two
    missed, all_reach = (of(study(target_accuracy=t, **turned), "seconds_to_accuracy") for t in (0.8855, 0.88))
    beaten = study(
        target_accuracy=0.88,
        changed={(name, seed): {"status": "failed"} for name, seed in (("keras", 4), ("torch", 4), ("torch", 7))},
        **turned,
    )
    assert missed["wins"] == of(beaten, "seconds_to_accuracy")["wins"] != all_reach["wins"]


@pytest.mark.parametrize("track", ["matched", "native"])
def test_where_no_run_reaches_the_target_that_is_said(study, track):
    row = of(study(target_accuracy=0.99, track=track), "seconds_to_accuracy")
    assert row["n"] == 0
    assert row["short"].endswith("no verdict where runs never reached it: 8 runs of keras and 8 runs of torch.")
    assert row["told"] == ""


def test_a_time_that_was_too_short_to_measure_does_not_cost_the_others(study):
    table = study(changed={("keras", 0): {"train_seconds": 0.0}})
    assert of(table)["n"] == of(table, "total_seconds")["n"] == 8
    assert of(table, "train_seconds")["n"] == 7
    assert of(table, "train_seconds")["wins"] == np.less(SECONDS["torch"], SECONDS["keras"])[1:].sum()


def test_the_share_of_wins_has_its_exact_interval_and_unpaired_every_run_meets_every_other(study):
    row, free = of(study()), of(study(track="native"))
    assert row["wins"] == 2
    exact = stats.binomtest(2, 8).proportion_ci(0.95, "exact")
    assert (row["win_share"], row["win_share_low"], row["win_share_high"]) == pytest.approx(
        (0.25, exact.low, exact.high)
    )
    u = stats.mannwhitneyu(ACCURACIES["torch"], ACCURACIES["keras"]).statistic
    assert free["win_share"] == pytest.approx(u / 64)
    assert free["win_runs_needed"] == noether_pairs(u / 64)
    assert pd.isna(row["win_runs_needed"])
    assert free["win_share_low"] < free["win_share"] < 0.5 < free["win_share_high"]
    failed = of(study(track="native", changed={("keras", 6): {"status": "failed"}}))
    assert failed["win_share"] == pytest.approx(
        (
            u
            + np.greater(ACCURACIES["keras"][6], ACCURACIES["torch"]).sum()
            + np.equal(ACCURACIES["keras"][6], ACCURACIES["torch"]).sum() / 2
        )
        / 64
    )


def test_only_accuracy_is_marked_primary_and_each_verdict_says_what_would_change_it(study):
    table = study({"keras": range(3), "torch": range(3)})
    assert table["primary"].tolist() == [True] + [False] * 3
    assert table["would_change"].tolist() == ["At least 2 more seeds for a verdict."] * 4


@pytest.mark.parametrize("track", ["matched", "native"])
@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_runs_carry_no_verdict(study, track, n):
    table = study({"keras": range(n), "torch": range(n)}, track=track)
    assert list(table["n"]) == [n] * 4
    assert list(table["verdict"]) == ["descriptive"] * 4
    assert all(f"no verdict with {n} seed" in sentence for sentence in table["sentence"])
    intervals = table[["ci95_low", "ci95_high", "ci90_low", "ci90_high", "p_difference", "p_equivalence"]]
    assert intervals.isna().all(axis=None) == (n < 2)
    assert table["difference"].isna().all() == (n == 0)


def test_one_side_without_a_completed_run_is_told_without_a_number(study):
    row = of(study(changed={("torch", seed): {"status": "failed"} for seed in range(8)}))
    assert (row["n"], row["wins"], row["verdict"]) == (0, 0, "descriptive")
    assert pd.isna(row["difference"])
    assert of(study(changed={("keras", seed): {"status": "failed"} for seed in range(8)}))["wins"] == 8


def test_the_margins_are_those_declared_in_the_plan(study):
    strict = study(accuracy_margin=0.004, loss_margin=1.02, time_margin=1.01)
    lax = study(accuracy_margin=0.02, loss_margin=1.3, time_margin=1.25)
    assert list(strict["margin"]) == [0.004, 1.02, 1.01, 1.01]
    assert list(lax["margin"]) == [0.02, 1.3, 1.25, 1.25]
    assert list(lax["verdict"]) == ["equivalent"] * 4
    assert "equivalent" not in list(strict["verdict"])
    assert "margin [-0.4, +0.4] points)" in of(strict)["sentence"]
    assert "margin [-0.9901, +1] %)" in of(strict, "total_seconds")["sentence"]


@pytest.mark.parametrize(("vary", "fixed"), [("init", "batch order"), ("order", "initial weights")])
def test_a_sentence_says_what_was_held_fixed_wherever_it_is_read(study, vary, fixed):
    over_seeds, of_one_draw = study(seeds=None), study(seeds=None, vary=vary)
    assert (over_seeds["would_change"] == of_one_draw["would_change"]).all()
    remark = f" Every run had the {fixed} of seed 0."
    assert list(of_one_draw["told"]) == [told + remark for told in over_seeds["told"]]
    assert of_one_draw["sentence"].str.contains(remark).all()
    texts = ["told", "sentence"]
    pd.testing.assert_frame_equal(of_one_draw.drop(columns=texts), over_seeds.drop(columns=texts))


def test_where_nothing_varied_no_number_of_runs_gives_a_verdict(study):
    over_seeds, of_one_draw = study(), study(vary="nothing")
    assert set(of_one_draw["verdict"]) == {"descriptive"}
    assert set(of_one_draw["would_change"]) == {"Runs of several draws would give one: --vary all, and another --out."}
    told = of(of_one_draw)["sentence"]
    assert told.startswith("Test accuracy: descriptive only, no verdict where all runs repeat one draw (8 runs each). ")
    assert " on average. " in told
    assert " Every run had the initial weights and batch order of seed 0. " in told
    numbers = ["n", "paired", "difference", "ci95_low", "ci90_high", "p_difference", "p_equivalence", "wins"]
    pd.testing.assert_frame_equal(of_one_draw[numbers], over_seeds[numbers])  # which describe those runs


def test_the_table_for_reading_marks_the_primary_metric_and_has_every_interval(study):
    for track, needed in (("matched", "-"), ("native", f"{of(study(track='native'))['win_runs_needed']:,}")):
        table = study(track=track)
        heading, first, second, *_ = cells(COLUMNS, table)
        row = of(table)
        shown = dict(zip(heading, first, strict=True))
        assert shown["metric"] == "test accuracy (primary)"
        assert second[0] == "test loss"
        assert shown["p of a difference (Holm)"] == f"{row['p_difference']:.2g}"
        assert (shown["reference"], shown["other"]) == ("keras", "torch")
        assert shown["difference"] == f"{100 * row['difference']:+.2f} points"
        low, high = (f"{100 * row[end]:+.2f}" for end in ("ci95_low", "ci95_high"))
        assert shown["95 % interval"] == f"[{low}, {high}]"
        assert shown["margin"] == "[-0.5, +0.5]"
        assert shown["wins of the other"] == ("2" if track == "matched" else "-")
        assert shown["other better"] == f"{100 * row['win_share']:.0f} %"
        assert shown["its 95 % interval"] == f"[{100 * row['win_share_low']:.0f}, {100 * row['win_share_high']:.0f}]"
        assert shown["runs to show it"] == needed
    (_, empty, *_) = cells(COLUMNS, study({"keras": [], "torch": []}))
    assert empty[-4:] == ("0", "-", "-", "-")
    assert empty[7:13] == ("-", "-", "-", "[-0.5, +0.5]", "-", "-")


def test_copies_pair_by_seed_as_contenders_do(make_record, make_plan):
    records = [
        make_record(name, seed, **numbers(like, seed))
        for name, like in (("torch", "torch"), ("torch#2", "keras"))
        for seed in range(8)
    ]
    row = of(comparisons_table(made_inputs(make_plan(contenders=("torch", "torch#2")), records)), "train_seconds")
    assert (row["a"], row["b"], row["n"], row["paired"]) == ("torch", "torch#2", 8, True)
    assert row["difference"] == pytest.approx(np.exp(np.mean(np.log(SECONDS["keras"]) - np.log(SECONDS["torch"]))))


def test_the_sentence_names_the_contenders_and_the_verdict(study):
    row = of(study(), "total_seconds")
    assert row["verdict"] == "better"
    per_cent = 100 - 100 * np.exp(np.mean(np.log(TOTALS["torch"]) - np.log(TOTALS["keras"])))
    assert row["short"] == "Total time: torch is better, beyond the margin."
    assert row["told"].startswith(f"Over 8 pairs of runs, torch takes {per_cent:.1f} % less time than keras on average")
    assert row["sentence"] == f"{row['short']} {row['told']} {row['would_change']}"
