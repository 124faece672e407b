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
from runners.report.sections.comparison.answer import headlines
from runners.report.sections.comparison.table import comparisons_table
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


def test_beside_an_accuracy_stands_what_the_choice_of_images_is_worth(make_record, make_plan):
    for gaps in (SPREAD, 0.02 + SPREAD, 0.001 + 10 * SPREAD, SPREAD[:2]):
        mean = 0.88 + gaps.mean() / 2
        error = 100 * math.sqrt(mean * (1 - mean) / 10_000)
        ending = f" Choosing other test images moves any accuracy by about {error:.2f} points."
        assert told(make_record, make_plan, gaps)["told"].endswith(ending)


def test_only_of_accuracies_the_choice_of_images_is_told(everything):
    rows = everything.comparisons
    assert rows.loc[rows["sentence"].str.contains("test images"), "metric"].tolist() == ["test_accuracy"] * 2


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
        assert f"**{row['short']}** {told}" in text
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
