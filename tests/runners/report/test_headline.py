"""The verdicts as a newcomer, a machine and a pull request read them."""

import json
import math
import re

import numpy as np
import pytest

from runners.report.build import assemble
from runners.report.comparisons import comparisons_table
from runners.report.document import SCHEMA, to_json
from runners.report.headline import answers
from runners.report.statistics import paired_comparison, runs_needed
from runners.report.tables import runs_table

SPREAD = np.array([0.001, -0.001, 0.0005, -0.0005, 0.0])


def told(make_record, make_plan, gaps, **given):
    """The answer on test accuracy where keras is ahead of torch by these gaps, pair by pair."""
    plan = make_plan(seeds=range(len(gaps)), **given)
    records = [make_record("keras", seed, test_accuracy=0.88 + gap) for seed, gap in enumerate(gaps)]
    records += [make_record("torch", seed, test_accuracy=0.88) for seed in range(len(gaps))]
    runs = runs_table(records)
    return answers(comparisons_table(runs, plan), runs, plan)[0]


def test_a_difference_that_matters_names_the_better_and_the_margin_that_would_unsettle_it(make_record, make_plan):
    answer = told(make_record, make_plan, 0.02 + SPREAD)
    assert (answer.kind, answer.short) == ("better", "Test accuracy: keras is better.")
    assert answer.told.startswith("Over 5 pairs of runs, keras is 2.00 percentage points higher on average. With 95 %")
    low, _ = paired_comparison(0.02 + SPREAD, np.zeros(5), 0.005).ci95
    assert f"any margin below {math.floor(10_000 * low) / 100:.2f} percentage points." in answer.change


def test_equivalence_says_from_which_difference_on_it_would_be_none(make_record, make_plan):
    answer = told(make_record, make_plan, SPREAD)
    _, high = paired_comparison(SPREAD, np.zeros(5), 0.005).ci90
    assert (answer.kind, answer.short) == ("equivalent", "Test accuracy: the same for practical purposes.")
    assert "smaller than 0.5 percentage points, which was declared to matter" in answer.told
    assert f"any margin above {math.ceil(10_000 * high) / 100:.2f} percentage points." in answer.change


def test_a_difference_of_open_size_differs(make_record, make_plan):
    answer = told(make_record, make_plan, 0.005 + SPREAD)
    assert (answer.kind, answer.short) == (
        "different",
        "Test accuracy: they differ; whether by enough to matter is open.",
    )


def test_what_is_not_settled_says_how_many_more_seeds_would_settle_it(make_record, make_plan):
    gaps = 0.001 + 10 * SPREAD
    answer, needed = told(make_record, make_plan, gaps), runs_needed(paired_comparison(gaps, np.zeros(5), 0.005))
    assert (answer.kind, answer.short) == ("inconclusive", "Test accuracy: not settled by these runs.")
    assert f"at least {needed.difference:,} more seeds to show a difference" in answer.change
    assert f"at least {needed.equivalence:,} more seeds to show equivalence" in answer.change


def test_one_more_seed_is_one(make_record, make_plan):
    spread = SPREAD / np.std(SPREAD, ddof=1)
    gaps = 0.0075 + 0.0071 * spread  # t = 2.36 where 2.78 is needed: 5 (2.78 / 2.36)^2 = 6.9 runs
    answer = told(make_record, make_plan, gaps)
    assert runs_needed(paired_comparison(gaps, np.zeros(5), 0.005)).difference == 2
    assert answer.change.startswith("It would take at least 2 more seeds to show a difference, were mean")
    answer = told(make_record, make_plan, 0.0075 + 0.0065 * spread)
    assert answer.change.startswith("It would take at least 1 more seed to show a difference, were mean")


def test_beside_an_accuracy_stands_what_the_choice_of_images_is_worth(make_record, make_plan):
    for gaps in (SPREAD, 0.02 + SPREAD, 0.001 + 10 * SPREAD, SPREAD[:2]):
        mean = 0.88 + gaps.mean() / 2
        error = 100 * math.sqrt(mean * (1 - mean) / 10_000)
        ending = f" (Choosing other test images moves any accuracy by about {error:.2f} percentage points.)"
        assert told(make_record, make_plan, gaps).told.endswith(ending)


def test_only_of_accuracies_the_choice_of_images_is_told(everything):
    assert [answer.metric for answer in everything.answers if "test images" in answer.told] == ["test_accuracy"] * 2


def test_a_difference_that_does_not_survive_the_correction_says_so_where_it_is_told_first(make_record, make_plan):
    spread = SPREAD / np.std(SPREAD, ddof=1)
    logs = 0.06 + spread * 0.06 / 3.2 * np.sqrt(5)  # t = 3.2: p = 0.033, and of three tests 0.099
    records = [
        make_record(name, seed, test_loss=0.3, total_seconds=60.0, train_seconds=30 * np.exp(logs[seed] * slow))
        for name, slow in (("keras", 1), ("torch", 0))
        for seed in range(5)
    ]
    plan, runs = make_plan(), runs_table(records)
    found = {answer.metric: answer for answer in answers(comparisons_table(runs, plan), runs, plan)}
    caveat = "; not significant after Holm's correction of the secondary metrics. What was declared to matter is 5 %."
    for metric in ("train_seconds", "images_per_second"):
        assert (found[metric].kind, found[metric].told.endswith(caveat)) == ("different", True)
    assert not any("Holm" in found[metric].told for metric in ("test_accuracy", "test_loss", "total_seconds"))


def test_repetitions_of_one_draw_are_told_as_what_they_are(make_record, make_plan):
    answer = told(make_record, make_plan, 0.02 + SPREAD, vary="nothing")
    assert (answer.kind, answer.short) == ("descriptive", "Test accuracy: too little for a verdict.")
    assert answer.told.startswith("No verdict where all runs repeat one draw (5 runs each); keras is 2.00 percentage")
    assert answer.change == "Runs of several draws would give one: --vary all, and another --out."


def test_few_seeds_ask_for_more_and_differ_by_no_verdict(make_record, make_plan):
    answer = told(make_record, make_plan, 0.02 + SPREAD[:4])
    assert (answer.kind, answer.short) == ("descriptive", "Test accuracy: too little for a verdict.")
    assert answer.told.startswith("No verdict with 4 seeds (5 are needed); keras is 2.0")
    assert answer.change == "At least 1 more seed for a verdict."


def test_the_side_that_is_told_first_is_the_larger_whichever_comes_first(make_record, make_plan):
    answer = told(make_record, make_plan, -0.02 + SPREAD)
    assert answer.short == "Test accuracy: torch is better."
    assert "torch is 2.00 percentage points higher" in answer.told


def test_a_fixed_draw_is_told_in_every_sentence(make_record, make_plan):
    assert "batch order of seed 0" in told(make_record, make_plan, SPREAD, vary="init").told


def test_the_document_has_every_comparison_unrounded_and_nothing_that_json_lacks(everything):
    document = json.loads(to_json(everything), parse_constant=pytest.fail)
    assert document["schema"] == SCHEMA
    assert document["differs"] is everything.differs is False
    assert document["runs"] == {"completed": 16, "failed": 1, "diverged": 1, "oom": 1, "unreadable": 1}
    assert document["notices"] == list(everything.notices)
    rows = everything.comparisons.to_dict("records")
    assert len(document["comparisons"]) == len(rows) == 10
    for found, row, answer in zip(document["comparisons"], rows, everything.answers, strict=True):
        assert (found["verdict"], found["told_as"], found["primary"]) == (row["verdict"], answer.track, answer.primary)
        for name in ("difference", "ci95_low", "p_equivalence", "wins"):
            absent = row[name] is None or row[name] != row[name] or "NA" in str(row[name])
            assert found[name] == (None if absent else row[name]), name


def test_a_primary_metric_that_differs_makes_the_study_differ(study_folder):
    changed = {f"keras-matched-seed{seed}": {"test_accuracy": 0.99 + 0.0001 * seed} for seed in range(5)}
    report = assemble(study_folder(changed=changed))
    assert report.differs
    assert json.loads(to_json(report))["differs"] is True


def test_the_markdown_has_verdicts_notices_and_every_section_and_fits_a_comment(everything):
    text = (everything.folder / "report.md").read_text()
    assert len(text) < 65_536  # GitHub's limit
    for answer in everything.answers:
        assert f"- **{answer.short}** {answer.told} {answer.change}" in text
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
