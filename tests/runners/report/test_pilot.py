"""One pilot, one top-up, and no look in between."""

import json

import numpy as np
import pytest
from scipy import stats

from runners.core.errors import BadInput
from runners.core.spec import Contender
from runners.core.study import Plan
from runners.report import pilot

PLAN = Plan(contenders=("torch",), tracks=("matched",), seeds=(0, 1, 2, 3, 4))
BOTH = PLAN.model_copy(update={"contenders": (*PLAN.contenders, Contender.model_validate("keras"))})
NARROW, WIDE = np.array([0.89, 0.891, 0.889, 0.89, 0.8905]), np.array([0.89, 0.9, 0.88, 0.895, 0.885])


def test_the_widest_spread_of_the_pilot_decides_on_the_number_of_runs(tmp_path):
    decided = pilot.decide(tmp_path, BOTH, {"keras, matched": NARROW, "torch, matched": WIDE}, 0.005)
    assert decided.runs == np.ceil((stats.t.ppf(0.975, 4) * WIDE.std(ddof=1) / 0.005) ** 2)
    assert decided.seeds == PLAN.seeds


def test_more_runs_change_nothing_of_what_was_decided(tmp_path):
    first = pilot.decide(tmp_path, PLAN, {"torch, matched": WIDE}, 0.005)
    grown = PLAN.model_copy(update={"seeds": tuple(range(9))})
    assert pilot.decide(tmp_path, grown, {"torch, matched": NARROW}, 0.005) == first == pilot.decided(tmp_path)


def test_a_precision_that_takes_more_runs_than_a_study_has_is_refused_and_nothing_is_kept(tmp_path):
    with pytest.raises(BadInput, match=r"^--until-half-width 1e-09 takes [\d,]{10,} runs .* at most 100,000; ask for"):
        pilot.decide(tmp_path, PLAN, {"torch, matched": WIDE}, 1e-9)
    assert list(tmp_path.iterdir()) == []
    assert pilot.decide(tmp_path, PLAN, {"torch, matched": WIDE}, 0.005).half_width == 0.005


@pytest.mark.parametrize("half_width", [0.0, -0.1, 1.0, 1e-300, float("nan"), float("inf")])
def test_a_half_width_that_no_mean_can_have_is_refused(half_width):
    with pytest.raises(BadInput, match=r"^--until-half-width must be from 1e-09 to less than 1, not "):
        pilot.check_half_width(half_width)


@pytest.mark.parametrize(("name", "value"), [("half_width", -0.1), ("half_width", "NaN"), ("runs", 3), ("runs", 10**6)])
def test_a_pilot_that_nothing_can_have_decided_is_refused(tmp_path, name, value):
    kept = pilot.decide(tmp_path, PLAN, {"torch, matched": WIDE}, 0.005).model_dump(mode="json")
    (tmp_path / pilot.FILE).write_text(json.dumps(kept | {name: value}))
    with pytest.raises(BadInput, match=r"pilot.json is no pilot of this version"):
        pilot.kept(tmp_path)


def test_another_half_width_after_the_pilot_is_refused(tmp_path):
    pilot.decide(tmp_path, PLAN, {"torch, matched": WIDE}, 0.005)
    with pytest.raises(BadInput, match=r"goes by its pilot to a half-width of 0.005; .* would be peeking"):
        pilot.decide(tmp_path, PLAN, {"torch, matched": WIDE}, 0.004)


def test_a_pilot_of_four_runs_is_too_small_and_none_is_kept(tmp_path):
    with pytest.raises(BadInput, match=r"a pilot takes 5 completed runs of each contender, but torch, matched has 4$"):
        pilot.decide(tmp_path, BOTH, {"keras, matched": NARROW, "torch, matched": WIDE[:4]}, 0.005)
    with pytest.raises(BadInput, match=r"has no pilot.json"):
        pilot.decided(tmp_path)
    assert pilot.kept(tmp_path) is None


@pytest.mark.parametrize(
    ("completed", "lacking"),
    [({"keras, matched": NARROW}, "torch, matched has 0"), ({}, "torch, matched has 0; keras, matched has 0")],
)
def test_a_contender_without_a_completed_run_has_no_pilot(tmp_path, completed, lacking):
    with pytest.raises(BadInput, match=rf"completed runs of each contender, but {lacking}$"):
        pilot.decide(tmp_path, BOTH, completed, 0.005)
    assert list(tmp_path.iterdir()) == []


def test_each_track_is_asked_for_its_own_runs(tmp_path):
    tracks = PLAN.model_copy(update={"tracks": ("matched", "native")})
    with pytest.raises(BadInput, match=r"but torch, native has 0$"):
        pilot.decide(tmp_path, tracks, {"torch, matched": NARROW}, 0.005)


def test_runs_of_the_pilot_that_did_not_complete_count_for_nothing(tmp_path):
    eight = BOTH.model_copy(update={"seeds": tuple(range(8))})  # of which keras lost 3, and torch none
    torch = np.append(NARROW, [0.8895, 0.8902, 0.8899])
    needed = int(np.ceil((stats.t.ppf(0.975, 4) * WIDE.std(ddof=1) / 0.005) ** 2))
    assert needed > 8
    assert pilot.decide(tmp_path, eight, {"keras, matched": WIDE, "torch, matched": torch}, 0.005).runs == needed + 3


def test_a_pilot_that_is_precise_enough_takes_no_more_runs(tmp_path):
    assert pilot.decide(tmp_path, PLAN, {"torch, matched": NARROW}, 0.1).runs == 5


def test_seeds_are_added_from_the_smallest_that_is_free():
    assert pilot.topped_up((3, 0), 4) == (3, 0, 1, 2)
    assert pilot.topped_up((0, 1), 2) == (0, 1)
    assert pilot.topped_up((), 3) == (0, 1, 2)


def test_the_interval_is_over_all_runs_with_the_spread_of_the_pilot_alone():
    top_up = np.array([0.9, 0.91])
    mean = np.concatenate([WIDE, top_up]).mean()
    half = stats.t.ppf(0.975, 4) * WIDE.std(ddof=1) / np.sqrt(7)
    told = pilot.reached("torch, matched", WIDE, top_up)
    assert told.startswith(f"torch, matched: mean test accuracy {mean:.4f} [{mean - half:.4f}, {mean + half:.4f}] over")
    assert "over 7 runs, 5 of them the pilot" in told
