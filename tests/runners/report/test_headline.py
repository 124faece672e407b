"""The verdicts as a newcomer, a machine and a pull request read them."""

import json
import math
import re

import numpy as np
import pandas as pd
import pytest

from runners.parity import checks
from runners.report.build import assemble
from runners.report.output.json import SCHEMA, to_json
from runners.report.sections.comparison.section import headlines
from runners.report.sections.comparison.table import comparisons_table
from runners.report.statistics.differences import paired_comparison, runs_needed
from tests.runners.report.conftest import an_audit, made_inputs

SPREAD = np.array([0.001, -0.001, 0.0005, -0.0005, 0.0])


def told(make_record, make_plan, gaps, **given):
    """What is said of test accuracy where torch is ahead of keras by these gaps, pair by pair."""
    plan = make_plan(seeds=range(len(gaps)), **given)
    records = [make_record("keras", seed, test_accuracy=0.88) for seed in range(len(gaps))]
    records += [make_record("torch", seed, test_accuracy=0.88 + gap) for seed, gap in enumerate(gaps)]
    (headline,) = headlines(comparisons_table(made_inputs(plan, records)))
    assert (headline.track, headline.pair) == ("matched", "torch compared with keras")
    return headline.rows[0]


def test_a_difference_that_matters_names_the_better_and_the_margin_that_would_unsettle_it(make_record, make_plan):
    row = told(make_record, make_plan, 0.02 + SPREAD)
    assert (row["verdict"], row["short"]) == ("better", "Test accuracy: torch is better, beyond the margin.")
    opening = "Over 5 pairs of runs, torch is 2.00 points higher than keras on average (95 % interval [+1."
    assert row["told"].startswith(opening)
    low, _ = paired_comparison(0.02 + SPREAD, np.zeros(5), 0.005).ci95
    assert row["would_change"] == f"This holds for any margin below {math.floor(10_000 * low) / 100:.2f} points."


def test_equivalence_says_from_which_difference_on_it_would_be_none(make_record, make_plan):
    row = told(make_record, make_plan, SPREAD)
    _, high = paired_comparison(SPREAD, np.zeros(5), 0.005).ci90
    assert row["verdict"] == "equivalent"
    assert row["short"] == "Test accuracy: the same for practical purposes, equivalent within the margin."
    assert "margin [-0.5, +0.5] points)" in row["told"]
    assert row["would_change"] == f"This holds for any margin above {math.ceil(10_000 * high) / 100:.2f} points."


def test_a_difference_of_open_size_differs(make_record, make_plan):
    row = told(make_record, make_plan, 0.005 + SPREAD)
    assert (row["verdict"], row["short"]) == (
        "different",
        "Test accuracy: different; its size against the margin is unresolved.",
    )


def test_what_is_not_settled_says_how_many_more_seeds_would_settle_it(make_record, make_plan):
    gaps = 0.001 + 10 * SPREAD
    row, needed = told(make_record, make_plan, gaps), runs_needed(paired_comparison(gaps, np.zeros(5), 0.005))
    assert (row["verdict"], row["short"]) == ("inconclusive", "Test accuracy: inconclusive, not settled by these runs.")
    assert f"At least {needed.difference:,} more seeds to show a difference" in row["would_change"]
    assert f"At least {needed.equivalence:,} more seeds to show equivalence" in row["would_change"]


def test_one_more_seed_is_one(make_record, make_plan):
    spread = SPREAD / np.std(SPREAD, ddof=1)
    gaps = 0.0075 + 0.0071 * spread  # t = 2.36 where 2.78 is needed: 5 (2.78 / 2.36)^2 = 6.9 runs
    row = told(make_record, make_plan, gaps)
    assert runs_needed(paired_comparison(gaps, np.zeros(5), 0.005)).difference == 2
    assert row["would_change"].startswith("At least 2 more seeds to show a difference.")
    row = told(make_record, make_plan, 0.0075 + 0.0065 * spread)
    assert row["would_change"].startswith("At least 1 more seed to show a difference.")


def test_beside_an_accuracy_stands_what_the_choice_of_images_is_worth(make_record, make_plan):
    for gaps in (SPREAD, 0.02 + SPREAD, 0.001 + 10 * SPREAD, SPREAD[:2]):
        mean = 0.88 + gaps.mean() / 2
        error = 100 * math.sqrt(mean * (1 - mean) / 10_000)
        ending = f" Choosing other test images moves any accuracy by about {error:.2f} points."
        assert told(make_record, make_plan, gaps)["told"].endswith(ending)


def test_only_of_accuracies_the_choice_of_images_is_told(everything):
    rows = everything.comparisons
    assert rows.loc[rows["sentence"].str.contains("test images"), "metric"].tolist() == ["test_accuracy"] * 2


def test_a_headline_never_says_more_than_the_corrected_test(make_record, make_plan):
    spread = SPREAD / np.std(SPREAD, ddof=1)
    logs = 0.06 + spread * 0.06 / 3.2 * np.sqrt(5)  # t = 3.2: p = 0.033, and of three tests 0.099
    records = [
        make_record(name, seed, test_loss=0.3, total_seconds=60.0, train_seconds=30 * np.exp(logs[seed] * slow))
        for name, slow in (("keras", 0), ("torch", 1))
        for seed in range(5)
    ]
    (headline,) = headlines(comparisons_table(made_inputs(make_plan(), records)))
    found = {row["metric"]: row for row in headline.rows}
    assert found["train_seconds"]["verdict"] == "inconclusive"
    assert found["train_seconds"]["ci95_low"] > 1
    assert found["train_seconds"]["short"] == "Training time may differ: not settled after correcting for 3 metrics."
    assert not any("correcting" in found[metric]["sentence"] for metric in found if metric != "train_seconds")


def test_repetitions_of_one_draw_are_told_as_what_they_are(make_record, make_plan):
    row = told(make_record, make_plan, 0.02 + SPREAD, vary="nothing")
    assert row["verdict"] == "descriptive"
    assert row["short"] == "Test accuracy: descriptive only, no verdict where all runs repeat one draw (5 runs each)."
    assert row["told"].startswith("Over 5 pairs of runs, torch is 2.00 points higher than keras on average. ")
    assert row["would_change"] == "Runs of several draws would give one: --vary all, and another --out."


def test_few_seeds_ask_for_more_and_differ_by_no_verdict(make_record, make_plan):
    row = told(make_record, make_plan, 0.02 + SPREAD[:4])
    assert row["verdict"] == "descriptive"
    assert row["short"] == "Test accuracy: descriptive only, no verdict with 4 seeds (5 are needed)."
    assert row["told"].startswith("Over 4 pairs of runs, torch is 2.00 points higher than keras on average. ")
    assert row["would_change"] == "At least 1 more seed for a verdict."


def test_the_contender_named_first_is_the_reference_whichever_is_larger(make_record, make_plan):
    row = told(make_record, make_plan, -0.02 + SPREAD)
    assert row["short"] == "Test accuracy: keras is better, beyond the margin."
    assert "torch is 2.00 points lower than keras on average (95 % interval [-2." in row["told"]


def test_a_fixed_draw_is_told_in_every_sentence(make_record, make_plan):
    assert "batch order of seed 0" in told(make_record, make_plan, SPREAD, vary="init")["told"]


def test_what_is_not_matched_is_not_called_so_and_each_track_and_pair_is_told_once(make_record, make_plan):
    plan = make_plan(contenders=("keras", "torch", "torch#2"), tracks=("native", "matched"))
    table = comparisons_table(made_inputs(plan, [], unmatched={"torch#2"}))
    assert [(headline.track, headline.pair) for headline in headlines(table)] == [
        ("native", "torch compared with keras"),
        ("native", "torch#2 compared with keras"),
        ("native", "torch#2 compared with torch"),
        ("matched", "torch compared with keras"),
        ("not matched", "torch#2 compared with keras"),
        ("not matched", "torch#2 compared with torch"),
    ]
    assert headlines(comparisons_table(made_inputs(make_plan(contenders=("keras",)), []))) == []


def test_the_document_has_every_comparison_unrounded_and_nothing_that_json_lacks(everything):
    document = json.loads(to_json(everything), parse_constant=pytest.fail)
    assert document["schema"] == SCHEMA == "level-field/verdicts/2"
    assert document["differs"] is everything.differs is False
    assert document["runs"] == {"completed": 16, "failed": 1, "diverged": 1, "oom": 1, "unreadable": 1}
    assert document["notices"] == list(everything.notices)
    rows = everything.comparisons.to_dict("records")
    assert len(document["comparisons"]) == len(rows) == 8
    for found, row in zip(document["comparisons"], rows, strict=True):
        assert list(found) == [*row, "told_as"]
        assert (found["told_as"], found["primary"]) == (row["track"], row["metric"] == "test_accuracy")
        for name, value in row.items():
            assert found[name] == (None if pd.isna(value) else value), name


def test_the_document_calls_a_study_that_fails_its_audit_not_matched(study_folder):
    folder = study_folder()
    checks.write(folder, an_audit(fails=True))
    document = json.loads(to_json(assemble(folder)))
    assert {(row["track"], row["told_as"]) for row in document["comparisons"]} == {("matched", "not matched")}


def test_a_primary_metric_that_differs_makes_the_study_differ(study_folder):
    changed = {f"keras-matched-seed{seed}": {"test_accuracy": 0.99 + 0.0001 * seed} for seed in range(5)}
    report = assemble(study_folder(changed=changed))
    assert report.differs
    assert json.loads(to_json(report))["differs"] is True


def test_the_markdown_has_verdicts_notices_and_every_section_and_fits_a_comment(everything):
    text = (everything.folder / "report.md").read_text()
    assert len(text) < 65_536  # GitHub's limit
    for row in everything.comparisons.to_dict("records"):
        told = re.sub(r"([\\[\\]~|$])", r"\\\1", f"{row['told']} {row['would_change']}")
        assert f"- **{row['short']}** {told}" in text
    for notice in everything.notices:
        assert notice.replace("<", "&lt;") in text
    page = everything.page.read_text()
    titles = re.findall('<li><a href="#[a-z]+">([^<]+)</a></li>', page)
    assert len(titles) > 10
    assert all(f"\n## {title}\n" in text for title in titles)
    for name in re.findall(r"\]\((plots/[a-z_]+\.png)\)", text):
        assert (everything.folder / name).exists()
    assert text.count("](plots/") == len(everything.plots)


def test_markdown_tables_are_rectangular_and_errors_stay_in_their_fences(everything):
    text = (everything.folder / "report.md").read_text()
    fences = text.split("```")
    assert len(fences) % 2 == 1
    outside = "".join(fences[::2])
    assert "<script" not in outside
    assert "<script>" in "".join(fences[1::2])
    tables = re.findall(r"(?:^\|.*\|\n)+", outside, re.MULTILINE)
    assert len(tables) > 5
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
