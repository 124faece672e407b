import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from runners.core.errors import BadInput
from runners.core.spec import Adam, Settings
from runners.core.study import Plan, Study, as_ranges, continued, run_specs, to_do
from scripts import options


def plan(**given):
    return Plan(**{"contenders": ("keras", "torch"), "tracks": ("matched",), "seeds": range(3), "epochs": 4, **given})


def study(versions=None, code="c" * 64, data="d" * 64, command="python scripts/compare.py", commit="1" * 40, **given):
    versions = {"python": "3.11.9", "torch": "2.13.0"} if versions is None else versions
    hashes = {"git_commit": commit, "code_sha256": code, "data_sha256": data}
    return Study(plan=plan(**given), command=command, versions=versions, **hashes)


def order_of(seed, **given):
    return [(str(spec.contender), spec.track) for spec in run_specs(plan(seeds=[seed], **given))]


def test_the_grid_is_every_contender_on_every_track_with_every_seed_once():
    specs = run_specs(plan(contenders=("keras", "torch", "torch:ddp:2"), tracks=("matched", "native"), seeds=(7, 0, 3)))
    grid = itertools.product(("keras", "torch", "torch:ddp:2"), ("matched", "native"), (7, 0, 3))
    assert sorted((str(spec.contender), spec.track, spec.seed) for spec in specs) == sorted(grid)


def test_the_runs_go_seed_after_seed_as_the_plan_names_them():
    specs = run_specs(plan(tracks=("matched", "native"), seeds=(7, 0, 3)))
    assert [spec.seed for spec in specs] == [7] * 4 + [0] * 4 + [3] * 4


def test_within_a_seed_each_framework_is_first_about_half_the_time():
    first = [order_of(seed)[0][0] for seed in range(200)]
    assert 80 <= first.count("keras") <= 120
    repeats = sum(a == b for a, b in itertools.pairwise(first))
    assert 80 <= repeats <= 120  # nor do they simply take turns


def test_within_a_seed_every_order_of_four_runs_comes_up():
    orders = {tuple(order_of(seed, tracks=("matched", "native"))) for seed in range(200)}
    assert len(orders) == 24


def test_the_order_is_the_same_every_time_and_whatever_the_other_seeds_are():
    assert run_specs(plan()) == run_specs(plan())
    assert run_specs(plan(seeds=(5, 2)))[2:] == run_specs(plan(seeds=(2,)))


def test_the_order_leaves_numpy_s_global_state_alone():
    state = np.random.get_state
    before = state(legacy=False)["state"]
    run_specs(plan())
    after = state(legacy=False)["state"]
    assert (after["key"].tolist(), after["pos"]) == (before["key"].tolist(), before["pos"])


def test_every_run_has_the_plan_s_settings():
    settings = {
        "epochs": 2,
        "batch_size": 50,
        "optimizer": Adam(learning_rate=0.5, beta_1=0.75),
        "limit_train": 100,
        "device": "gpu",
        "threads": 3,
        "deterministic": True,
        "checkpoint": False,
        "early_stopping": 4,
        "reduce_lr": 5,
    }
    assert settings.keys() == Settings.model_fields.keys()
    for spec in run_specs(plan(**settings)):
        assert {name: getattr(spec, name) for name in settings} == settings


DRAWS = {  # of three runs, seeds 7, 0 and 3: the seeds of weights and order, and how often both came before
    "all": [(7, 7, 0), (0, 0, 0), (3, 3, 0)],
    "init": [(7, 7, 0), (0, 7, 0), (3, 7, 0)],
    "order": [(7, 7, 0), (7, 0, 0), (7, 3, 0)],
    "nothing": [(7, 7, 0), (7, 7, 1), (7, 7, 2)],
}


@pytest.mark.parametrize(("vary", "draws"), DRAWS.items())
@pytest.mark.parametrize("contender", ["keras", "torch", "torch#2"])
def test_only_what_varies_follows_the_seed(vary, draws, contender):
    specs = run_specs(plan(contenders=("keras", "torch", "torch#2"), seeds=(7, 0, 3), vary=vary))
    of_it = [spec for spec in specs if str(spec.contender) == contender]
    assert [spec.seed for spec in of_it] == [7, 0, 3]
    assert [(spec.init_seed, spec.order_seed, spec.repeat) for spec in of_it] == draws


def test_both_tracks_draw_alike_and_neither_repeats_the_other():
    specs = run_specs(plan(tracks=("matched", "native"), seeds=(4, 5)))
    assert {(spec.init_seed, spec.order_seed, spec.repeat) for spec in specs} == {(4, 4, 0), (5, 5, 0)}


REPLICAS = ("torch", "torch:ddp:2", "torch:ddp:4", "torch#2")


def in_force(**given):
    """Batch size and learning rate of each contender's runs, which must all have the same."""
    seen = {(str(s.contender), s.batch_size, s.optimizer.learning_rate) for s in run_specs(plan(**given))}
    found = {name: (batch_size, rate) for name, batch_size, rate in seen}
    assert len(found) == len(seen)
    return found


def test_in_strong_scaling_every_contender_has_the_same_batch_and_learning_rate():
    assert set(in_force(contenders=REPLICAS, batch_size=96).values()) == {(96, 0.001)}
    assert in_force(contenders=REPLICAS, scaling="strong") == in_force(contenders=REPLICAS)


@pytest.mark.parametrize(
    ("rule", "rates"), [("none", (0.001, 0.001)), ("linear", (0.002, 0.004)), ("sqrt", (0.0014142135623730951, 0.002))]
)
def test_in_weak_scaling_the_batch_grows_with_the_replicas_and_the_rate_by_the_rule(rule, rates):
    seen = in_force(contenders=REPLICAS, batch_size=96, scaling="weak", lr_rule=rule)
    assert seen == {
        "torch": (96, 0.001),
        "torch#2": (96, 0.001),
        "torch:ddp:2": (192, pytest.approx(rates[0], rel=1e-15)),
        "torch:ddp:4": (384, pytest.approx(rates[1], rel=1e-15)),
    }


def test_only_learning_rate_and_batch_size_change_in_weak_scaling():
    settings = {"contenders": ("torch:ddp:4",), "deterministic": True, "limit_train": 600, "seeds": [3]}
    (strong,), (weak,) = (run_specs(plan(**settings, scaling=s)) for s in ("strong", "weak"))
    assert weak == strong.model_copy(update={"batch_size": 512})


def test_a_rule_for_the_learning_rate_needs_batches_that_differ():
    with pytest.raises(ValidationError, match="--lr-rule sqrt goes with --scaling weak: in strong scaling every"):
        plan(lr_rule="sqrt")


def test_weak_batches_beyond_the_data_are_refused_before_anything_starts():
    settings = {"contenders": REPLICAS, "batch_size": 128, "scaling": "weak"}
    with pytest.raises(ValidationError, match="torch:ddp:4 batches of 4 times 128 images, more than the 511 training"):
        plan(**settings, limit_train=511)
    assert plan(**settings, limit_train=512).limit_train == 512


def test_in_native_any_number_of_replicas_divides_a_weak_batch():
    settings = {"contenders": ("torch:ddp:3",), "tracks": ("native",), "batch_size": 128}
    with pytest.raises(ValidationError, match="its 3 replicas divide, not 128"):
        plan(**settings)
    assert in_force(**settings, scaling="weak") == {"torch:ddp:3": (384, 0.001)}


@pytest.mark.parametrize("vary", ["init", "order", "nothing"])
@pytest.mark.parametrize("tracks", [("native",), ("matched", "native")])
def test_only_in_matched_can_a_part_vary_alone(vary, tracks):
    told = f"--vary {vary} goes with --track matched alone, not {','.join(tracks)}: elsewhere"
    with pytest.raises(ValidationError, match=told):
        plan(vary=vary, tracks=tracks)
    assert plan(vary="all", tracks=tracks).tracks == tracks


def test_an_unknown_source_of_variance_is_refused_with_the_choices():
    with pytest.raises(ValidationError, match="'all', 'init', 'order' or 'nothing'"):
        plan(vary="everything")


def test_no_two_runs_of_a_study_share_an_id():
    contenders = ("keras", "keras:mirrored:1", "keras:mirrored:2", "keras:mirrored:2#2", "torch", "torch#2")
    specs = run_specs(plan(contenders=contenders, tracks=("matched", "native"), seeds=(0, 1, 2, 11, 12, 22)))
    assert len({spec.run_id for spec in specs}) == len(specs) == 6 * 2 * 6


def test_only_runs_without_a_record_are_to_do_in_the_plan_s_order():
    specs = run_specs(plan())
    recorded = {specs[0].run_id, specs[3].run_id, "keras-matched-seed99"}
    assert to_do(plan(), recorded) == (*specs[1:3], *specs[4:])
    assert to_do(plan(), set()) == specs
    assert to_do(plan(), [spec.run_id for spec in specs]) == ()


@pytest.mark.parametrize(
    ("given", "repeated"),
    [
        ({"seeds": (0, 3, 1, 3)}, "seed 3"),
        ({"contenders": ("torch", "keras", "torch")}, "contender torch"),
        ({"contenders": ("keras:mirrored", "keras:mirrored:1")}, "contender keras:mirrored:1"),
        ({"contenders": ("torch", "torch#2", "torch#2")}, "contender torch#2"),
        ({"tracks": ("native", "native")}, "track native"),
    ],
)
def test_what_is_named_twice_is_refused(given, repeated):
    with pytest.raises(ValidationError, match=f"{repeated} is named twice: a run is counted once"):
        plan(**given)


@pytest.mark.parametrize("name", ["contenders", "tracks", "seeds"])
def test_a_plan_of_nothing_is_refused(name):
    with pytest.raises(ValidationError, match=name):
        plan(**{name: ()})


def test_the_margins_are_declared_in_the_plan_and_written_with_it():
    declared = plan()
    assert (declared.accuracy_margin, declared.time_margin, declared.target_accuracy) == (0.005, 1.05, None)
    assert {"accuracy_margin", "time_margin", "target_accuracy"} <= study().model_dump(mode="json")["plan"].keys()


def test_a_study_survives_json():
    written = study(seeds=(0, 2**32 - 1), contenders=("keras:mirrored:2", "torch"), commit=None)
    assert Study.model_validate_json(written.model_dump_json()) == written


def test_more_seeds_top_a_study_up_and_those_done_keep_their_place():
    old = study(seeds=(4, 0))
    topped_up = continued(old, study(seeds=(0, 1, 2, 4)))
    assert topped_up.plan.seeds == (4, 0, 1, 2)
    assert run_specs(topped_up.plan)[:4] == run_specs(old.plan)


@pytest.mark.parametrize("vary", DRAWS)
def test_a_topped_up_study_still_draws_from_its_first_seed(vary):
    old = study(seeds=(4, 0), vary=vary)
    topped_up = continued(old, study(seeds=(0, 1, 2), vary=vary))
    assert topped_up.plan.seeds == (4, 0, 1, 2)
    assert run_specs(topped_up.plan)[:4] == run_specs(old.plan)
    assert len(run_specs(topped_up.plan)) == 8


@pytest.mark.parametrize(
    ("begun", "added", "command"),
    [
        ("compare.py --seeds 2 --epochs 4", (2, 3, 7), "compare.py --epochs 4 --seeds 0-3,7"),
        ("compare.py --seeds=0,1 --out 'a b'", (1, 5), "compare.py --out 'a b' --seeds 0-1,5"),
        ("compare.py keras", (0, 1, 2), "compare.py keras --seeds 0-2"),
    ],
)
def test_the_command_of_a_topped_up_study_does_all_of_it(begun, added, command):
    old = study(seeds=(0, 1), command=f"python {begun}")
    topped_up = continued(old, study(seeds=added, command="python scripts/seed_variance.py there"))
    assert topped_up.command == f"python {command}"
    assert continued(topped_up, study(seeds=(0,), command="python other")).command == f"python {command}"


@given(st.lists(st.integers(0, 30), min_size=1, unique=True))
def test_seeds_as_ranges_are_read_back_as_they_were(seeds):
    assert options.seeds(as_ranges(seeds)) == tuple(seeds)


def test_fewer_seeds_leave_the_study_as_it_is():
    old = study(seeds=(0, 1, 2))
    assert continued(old, study(seeds=(1,))).plan == old.plan


def test_another_command_commit_or_hour_is_the_same_study():
    old = study(command="python scripts/compare.py --epochs 4", commit="1" * 40)
    new = study(command="python scripts/compare.py --epochs=4", commit="2" * 40)
    assert new.begun_at > old.begun_at
    assert continued(old, new).begun_at == old.begun_at


OTHERWISE = {
    "epochs was 4, now 5": {"epochs": 5},
    "vary was all, now init": {"vary": "init"},
    "scaling was strong, now weak": {"scaling": "weak"},
    "lr_rule was none, now linear; scaling was strong, now weak": {"scaling": "weak", "lr_rule": "linear"},
    "contenders was keras torch, now keras keras#2": {"contenders": ("keras", "keras#2")},
    "contenders was keras torch, now torch": {"contenders": ("torch",)},
    "tracks was matched, now matched,native": {"tracks": ("matched", "native")},
    "device was cpu, now gpu": {"device": "gpu"},
    "batch_size was 128, now 64": {"batch_size": 64},
    "learning_rate was 0.001, now 0.01": {"optimizer": Adam(learning_rate=0.01)},
    "limit_train was 60000, now 6000": {"limit_train": 6000},
    "threads was 1, now 2": {"threads": 2},
    "deterministic was False, now True": {"deterministic": True},
    "checkpoint was True, now False": {"checkpoint": False},
    "early_stopping was None, now 3": {"early_stopping": 3},
    "reduce_lr was None, now 3": {"reduce_lr": 3},
    "accuracy_margin was 0.005, now 0.01": {"accuracy_margin": 0.01},
    "time_margin was 1.05, now 1.1": {"time_margin": 1.1},
    "loss_margin was 1.05, now 1.1": {"loss_margin": 1.1},
    "target_accuracy was None, now 0.9": {"target_accuracy": 0.9},
    "data was dddddddddddd, now eeeeeeeeeeee": {"data": "e" * 64},
    "code was cccccccccccc, now eeeeeeeeeeee": {"code": "e" * 64},
    "version of torch was 2.13.0, now 2.14.0": {"versions": {"python": "3.11.9", "torch": "2.14.0"}},
    "version of torch was 2.13.0, now None": {"versions": {"python": "3.11.9"}},
    "version of ray was None, now 2.60.0": {"versions": {"python": "3.11.9", "torch": "2.13.0", "ray": "2.60.0"}},
}


@pytest.mark.parametrize(("told", "given"), OTHERWISE.items(), ids=OTHERWISE)
def test_another_study_is_refused_with_what_was_and_what_is_now(told, given):
    with pytest.raises(BadInput) as refusal:
        continued(study(), study(**given))
    assert str(refusal.value) == f"this folder holds another study: {told}; use another --out for a new one"


def test_every_difference_is_told():
    with pytest.raises(BadInput, match=r"code was c{12}, now e{12}; epochs was 4, now 5; threads was 1, now 2; use"):
        continued(study(), study(epochs=5, threads=2, code="e" * 64, seeds=range(9)))
